//! One build of the table, and the checks that this kernel is that very build.

use super::build_id;
use crate::event::KernelInfo;
use crate::kernel::{Roots, Tracefs};

/// A build whose btrfs has no type information; its layout was read from its debug information.
#[derive(Debug, PartialEq, Eq)]
pub struct Build {
    /// `uname -r`.
    pub release: &'static str,
    /// `uname -m`.
    pub arch: &'static str,
    /// The package's version, a word of `uname -v`.
    pub version: &'static str,
    /// GNU build id of btrfs.ko.
    pub build_id: &'static str,
    /// Offsets in bytes of the slots of the layout that are btrfs's, by slot: all but that of the io
    /// tree in the inode, which programs do without.
    pub offsets: &'static [(&'static str, u32)],
    /// Bit of `EXTENT_LOCKED`.
    pub extent_locked: u64,
    /// `IO_TREE_INODE_IO`.
    pub io_tree_inode_io: u32,
    /// `btrfs_ordered_extent.inode` is a `struct inode *`.
    pub ordered_inode_is_vfs: bool,
    /// `extent_io_tree`'s inode is a `struct inode *`.
    pub io_tree_inode_is_vfs: bool,
    /// A read may give its extent lock up in another task.
    pub foreign_unlocks: bool,
    /// Ordered-I/O completion can block the release of a folio.
    pub ordered_blocks_release: bool,
    /// Flags of ordered extents, by bit.
    pub ordered_flags: &'static [(u32, &'static str)],
    /// Events whose records show that the module is the one expected.
    pub events: &'static [Event],
}

/// An event of the system `btrfs`: name, then name, offset and size in bytes of its fields.
pub type Event = (&'static str, &'static [(&'static str, u32, u32)]);

impl Build {
    /// `5.10.0-32-cloud-amd64 (5.10.223-1)`.
    pub fn name(&self) -> String {
        format!("{} ({})", self.release, self.version)
    }

    fn is(&self, info: &KernelInfo) -> bool {
        let mut words = info.build.split_whitespace();
        self.release == info.release
            && self.arch == info.arch
            && words.any(|word| word == self.version)
    }
}

/// The running build among `builds`; an error says what does not fit. The names must be equal, the
/// module must have the build id, and its events, where tracefs is there, the expected fields.
pub fn recognise(
    builds: &'static [Build],
    info: &KernelInfo,
    roots: &Roots,
    tracefs: Option<&Tracefs>,
) -> Result<&'static Build, String> {
    let Some(build) = builds.iter().find(|build| build.is(info)) else {
        let (release, build) = (&info.release, &info.build);
        return Err(format!("the build `{release} {build}` is not in the table"));
    };
    let differs = |what: String| {
        let name = build.name();
        format!("the table's layout for `{name}` is not used, since {what}")
    };
    match build_id::of_module(roots, "btrfs") {
        Ok(id) if id == build.build_id => {}
        Ok(id) => {
            let what = format!("the module is another one (its build id is {id})");
            return Err(differs(what));
        }
        Err(why) => {
            return Err(differs(format!(
                "the module's build id is not known ({why})"
            )));
        }
    }
    if let Some(tracefs) = tracefs {
        for event in build.events {
            check(tracefs, event).map_err(differs)?;
        }
    }
    Ok(build)
}

fn check(tracefs: &Tracefs, (event, fields): &Event) -> Result<(), String> {
    let format = tracefs.format("btrfs", event)?;
    for (name, offset, size) in *fields {
        let found = format.field(name).map(|f| (f.offset, f.size));
        if found != Some((*offset, *size)) {
            return Err(format!(
                "the event {event} has no `{name}` of {size} bytes at {offset}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
