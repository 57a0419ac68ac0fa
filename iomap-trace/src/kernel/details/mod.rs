//! What mounted filesystems say of themselves: features, profiles, checksums.
//!
//! Only what can be asked without side effects and without waiting: sysfs, procfs, an ioctl on the
//! mount's directory, and of ext4 the super block as the page cache has it.

mod btrfs;
mod ext;
mod open;
mod xfs;

pub use open::open_if;
use std::path::Path;

use super::mountinfo::MountLine;
use super::system::page_size;
use super::{Roots, mounts};
use crate::event::{Filesystem, Text};

/// Filesystems that are asked: a host of containers can have thousands.
const MOST: usize = 256;

/// The filesystems with a mount among `lines`, each once. Never fails: what cannot be read carries
/// its reason.
pub fn read(lines: &[MountLine], roots: &Roots) -> Vec<Filesystem> {
    let filesystems = mounts::promptly(lines).into_iter().take(MOST);
    filesystems
        .map(|(line, path)| one(line, path, roots))
        .collect()
}

fn one(line: &MountLine, path: Option<&Path>, roots: &Roots) -> Filesystem {
    let mut filesystem = Filesystem {
        dev: line.dev,
        ..Filesystem::default()
    };
    let asked = match line.fs.as_str() {
        "btrfs" => mounted(path)
            .and_then(btrfs::fsid)
            .and_then(|fsid| btrfs::read(&mut filesystem, &fsid, roots)),
        "xfs" => mounted(path).and_then(|path| xfs::read(&mut filesystem, path)),
        "ext2" | "ext3" | "ext4" => {
            let block_size = path.and_then(mounts::block_size);
            let whole_pages = block_size.is_some_and(|size| size >= page_size());
            let devices = Path::new("/dev");
            ext::read(&mut filesystem, &line.fs, roots, devices, whole_pages)
        }
        other => Err(format!("it is not known how {other} tells them")),
    };
    if let Err(why) = asked {
        filesystem.missing.insert(FEATURES, why);
    }
    filesystem
}

/// Names of fields in [`Filesystem::missing`].
const FEATURES: Text = Text::const_new("features");
const DATA_PROFILES: Text = Text::const_new("data_profiles");
const DATA_MODE: Text = Text::const_new("data_mode");

fn mounted(path: Option<&Path>) -> Result<&Path, String> {
    path.ok_or_else(|| {
        "no mount of it can be asked without a risk to wait: hidden, or below a filesystem that may \
         be remote"
            .to_owned()
    })
}

/// Names of the bits of `set`, and of what is left over the number.
fn named(set: u32, names: &[(u32, &'static str)], rest: &str) -> Vec<Text> {
    let mut left = set;
    let mut found = Vec::new();
    for (bit, name) in names {
        if set & bit != 0 {
            found.push(Text::const_new(name));
        }
        left &= !bit;
    }
    if left != 0 {
        found.push(Text::from(format!("{rest}-{left:#x}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::mountinfo::parse;

    #[test]
    fn each_filesystem_once_and_what_cannot_be_asked_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots {
            btf: dir.path().join("btf"),
            proc: dir.path().join("proc"),
            sys: dir.path().join("sys"),
        };
        let lines = parse(
            b"1 0 254:0 / / rw - ext4 /dev/vda rw\n\
              2 1 0:50 / /nfs rw - nfs4 server:/ rw\n\
              3 2 7:0 / /nfs/img rw - xfs /dev/loop0 rw\n\
              4 1 254:0 /a /b rw - ext4 /dev/vda rw\n\
              5 1 7:9 / /nowhere/f rw - f2fs /dev/loop9 rw\n",
        );
        let found = read(&lines, &roots);
        let devs: Vec<String> = found.iter().map(|f| f.dev.to_string()).collect();
        assert_eq!(devs, ["254:0", "7:0", "7:9"]);
        let why: Vec<&str> = found
            .iter()
            .map(|f| f.missing["features"].as_str())
            .collect();
        assert!(why[1].contains("risk to wait"), "{why:?}");
        assert!(why[2].contains("f2fs"), "{why:?}");
        assert!(!format!("{found:?}").contains(dir.path().to_str().unwrap()));
    }

    #[test]
    fn bits_without_a_name_are_not_lost() {
        let names = [(1, "one"), (4, "four")];
        assert_eq!(named(5, &names, "x"), ["one", "four"]);
        assert_eq!(named(0x25, &names, "x"), ["one", "four", "x-0x20"]);
        assert!(named(0, &names, "x").is_empty());
    }
}
