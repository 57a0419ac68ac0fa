//! Where the layout of btrfs comes from: type information, or the table of known builds.

mod build;
mod build_id;
mod table;

use super::btf::Types;
use super::{Roots, Tracefs};
use crate::event::KernelInfo;

pub use build::Build;

/// Structs of btrfs that the programs read.
const STRUCTS: &[&str] = &[
    "btrfs_inode",
    "btrfs_root",
    "extent_io_tree",
    "btrfs_ordered_extent",
    "btrfs_work",
];

/// Where the layout of btrfs comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Type information, of the kernel or of the module.
    Types,
    /// The table: this is exactly one of the builds in it.
    Table(&'static Build),
    /// Nowhere, for this reason.
    Unknown(String),
}

impl Source {
    /// The table's entry, if that is where it comes from.
    pub fn build(&self) -> Option<&'static Build> {
        match self {
            Self::Table(build) => Some(build),
            _ => None,
        }
    }
}

/// Whether a path of the layout (`btrfs_root.anon_dev`) leads through a struct of btrfs.
pub fn is_ours(path: &str) -> bool {
    path.split('.')
        .next()
        .is_some_and(|name| STRUCTS.contains(&name))
}

/// A build to test with.
#[cfg(test)]
pub fn first_build() -> &'static Build {
    &table::BUILDS[0]
}

/// What to go by on this kernel. The table is for kernels that have types, but none of btrfs.
pub fn find(
    types: &Types,
    info: &KernelInfo,
    roots: &Roots,
    tracefs: Option<&Tracefs>,
    loaded: Option<bool>,
) -> Source {
    if STRUCTS.iter().any(|name| types.has_struct(name)) {
        return Source::Types;
    }
    if loaded == Some(false) {
        let why = "btrfs is not loaded, so its types are not known: run `modprobe btrfs` first";
        return Source::Unknown(why.to_owned());
    }
    let unread = types.unread().iter().find(|(name, _)| name == "btrfs");
    let no_types = match unread {
        Some((_, why)) => format!("the type information of btrfs cannot be read ({why})"),
        None => "btrfs has no type information on this kernel (modules have none before 5.11)"
            .to_owned(),
    };
    match build::recognise(table::BUILDS, info, roots, tracefs) {
        Ok(build) => Source::Table(build),
        Err(why) => Source::Unknown(format!("{no_types}, and {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iomap_trace_ebpf::FIELDS;

    #[test]
    fn every_struct_of_btrfs_is_known_as_such() {
        for field in FIELDS {
            let slot = ["btrfs_", "io_tree_", "ordered_"];
            let ours = slot.iter().any(|prefix| field.slot.starts_with(prefix));
            for path in field.paths {
                assert_eq!(is_ours(path), ours, "{path}");
            }
        }
        assert!(!is_ours("inode.i_ino") && !is_ours(""));
    }
}
