//! btrfs: `/sys/fs/btrfs/FSID` (Documentation/ABI: fs/btrfs/sysfs.c).

use rustix::fs::{Mode, OFlags, open};
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::path::Path;

use super::{DATA_PROFILES, FEATURES};
use crate::event::{Filesystem, Text};
use crate::kernel::Roots;

/// `struct btrfs_ioctl_fs_info_args` (include/uapi/linux/btrfs.h), as far as it is looked at.
#[repr(C)]
struct FsInfo {
    max_id: u64,
    num_devices: u64,
    fsid: [u8; 16],
    rest: [u64; 124],
}

const _: () = assert!(size_of::<FsInfo>() == 1024);

const BTRFS_IOC_FS_INFO: Opcode = opcode::read::<FsInfo>(0x94, 31);

/// The id of the filesystem whose directory `path` is.
pub fn fsid(path: &Path) -> Result<String, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let failed = |e| format!("its mount cannot be asked ({e})");
    let directory = open(path, flags, Mode::empty()).map_err(failed)?;
    let mut info = FsInfo {
        max_id: 0,
        num_devices: 0,
        fsid: [0; 16],
        rest: [0; 124],
    };
    // SAFETY: the kernel reads and writes this structure, of this size, and nothing beyond it.
    unsafe { ioctl(&directory, Updater::<BTRFS_IOC_FS_INFO, _>::new(&mut info)) }
        .map_err(failed)?;
    Ok(uuid(&info.fsid))
}

fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Reads what sysfs tells of the filesystem `fsid`.
pub fn read(filesystem: &mut Filesystem, fsid: &str, roots: &Roots) -> Result<(), String> {
    let at = format!("fs/btrfs/{fsid}");
    let text = |name: &str| roots.sys_text(&format!("{at}/{name}"));
    let number = |name: &str| text(name)?.parse().ok();
    filesystem.sector_size = number("sectorsize");
    filesystem.node_size = number("nodesize");
    filesystem.checksum = text("checksum").map(Text::from);
    let directory = roots.sys.join(&at);
    let profiles = |kind: &str| profiles(&directory.join("allocation"), kind);
    filesystem.metadata_profiles = profiles("metadata").unwrap_or_default();
    match profiles("data") {
        Ok(data) if !data.is_empty() => filesystem.data_profiles = data,
        Ok(_) => {
            let why = "sysfs shows no data block group";
            filesystem.missing.insert(DATA_PROFILES, why.to_owned());
        }
        Err(why) => {
            filesystem.missing.insert(DATA_PROFILES, why);
        }
    }
    // Those that could be switched on stand there as well, with a 0.
    let features = names(&directory.join("features"))?;
    filesystem.features = features
        .into_iter()
        .filter(|name| text(&format!("features/{name}")).is_some_and(|value| value != "0"))
        .map(Text::from)
        .collect();
    if filesystem.features.is_empty() {
        let why = "sysfs shows none";
        filesystem.missing.insert(FEATURES, why.to_owned());
    }
    Ok(())
}

/// Profiles with block groups: `single`, `dup`, `raid1`; of `data`, also those of mixed groups.
fn profiles(allocation: &Path, kind: &str) -> Result<Vec<Text>, String> {
    let mut found = Vec::new();
    let mut failed = None;
    for kind in [kind, "mixed"] {
        let directory = allocation.join(kind);
        match names(&directory) {
            Ok(all) => found.extend(all.into_iter().filter(|name| {
                // The other entries are attributes, not directories.
                let total = std::fs::read_to_string(directory.join(name).join("total_bytes"));
                total.is_ok_and(|total| total.trim() != "0")
            })),
            // Mixed groups are rare.
            Err(why) if kind != "mixed" => failed = Some(why),
            Err(_) => {}
        }
    }
    match failed {
        Some(why) if found.is_empty() => Err(why),
        _ => Ok(found.into_iter().map(Text::from).collect()),
    }
}

/// Names in a directory, sorted.
fn names(directory: &Path) -> Result<Vec<String>, String> {
    let failed = |e: std::io::Error| format!("sysfs cannot be read ({})", e.kind());
    let entries = std::fs::read_dir(directory).map_err(failed)?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const FSID: &str = "00010203-0405-0607-0809-0a0b0c0d0e0f";

    fn roots(dir: &Path) -> Roots {
        Roots {
            btf: dir.join("btf"),
            proc: dir.join("proc"),
            sys: dir.join("sys"),
        }
    }

    #[test]
    fn ids_are_written_as_sysfs_writes_them() {
        assert_eq!(uuid(&std::array::from_fn(|at| at as u8)), FSID);
    }

    #[test]
    fn sysfs_as_the_kernel_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let roots = roots(dir.path());
        for (path, text) in [
            ("features/skinny_metadata", "1\n"),
            ("features/no_holes", "1\n"),
            ("features/raid1c34", "0\n"),
            ("allocation/data/total_bytes", "9\n"),
            ("allocation/data/single/total_bytes", "0\n"),
            ("allocation/data/raid1/total_bytes", "8388608\n"),
            ("allocation/metadata/dup/total_bytes", "8388608\n"),
            ("sectorsize", "4096\n"),
            ("nodesize", "16384\n"),
            ("checksum", "crc32c (crc32c-intel)\n"),
        ] {
            let path = roots.sys.join("fs/btrfs").join(FSID).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut found = Filesystem::default();
        read(&mut found, FSID, &roots).unwrap();
        assert_eq!(found.features, ["no_holes", "skinny_metadata"]);
        assert_eq!(found.data_profiles, ["raid1"]);
        assert_eq!(found.metadata_profiles, ["dup"]);
        assert_eq!(
            (found.sector_size, found.node_size),
            (Some(4096), Some(16384))
        );
        assert_eq!(found.checksum.as_deref(), Some("crc32c (crc32c-intel)"));
        assert!(found.missing.is_empty(), "{found:?}");
    }

    #[test]
    fn without_sysfs_each_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let mut found = Filesystem::default();
        let why = read(&mut found, FSID, &roots(dir.path())).unwrap_err();
        assert!(why.contains("sysfs cannot be read"), "{why}");
        assert!(found.missing.contains_key("data_profiles"), "{found:?}");
    }
}
