//! ext2, ext3, ext4: the super block as the page cache of the device has it, and the options that
//! ext4 shows in procfs.

use rustix::fs::FileType;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::io::IoSliceMut;
use std::path::Path;

use super::open::open_if;
use super::{DATA_MODE, named};
use crate::event::{Dev, Filesystem, Text};
use crate::kernel::Roots;

/// Where the super block lies, and its length in bytes (fs/ext4/ext4.h).
const AT: u64 = 1024;
const LEN: usize = 1024;
const MAGIC: [u8; 2] = 0xef53_u16.to_le_bytes();

/// `s_feature_compat`, by the names of `dumpe2fs` (e2fsprogs, lib/e2p/feature.c).
const COMPAT: &[(u32, &str)] = &[
    (0x1, "dir_prealloc"),
    (0x2, "imagic_inodes"),
    (0x4, "has_journal"),
    (0x8, "ext_attr"),
    (0x10, "resize_inode"),
    (0x20, "dir_index"),
    (0x40, "lazy_bg"),
    (0x200, "sparse_super2"),
    (0x400, "fast_commit"),
    (0x800, "stable_inodes"),
    (0x1000, "orphan_file"),
];

/// `s_feature_incompat`.
const INCOMPAT: &[(u32, &str)] = &[
    (0x1, "compression"),
    (0x2, "filetype"),
    (0x4, "needs_recovery"),
    (0x8, "journal_dev"),
    (0x10, "meta_bg"),
    (0x40, "extent"),
    (0x80, "64bit"),
    (0x100, "mmp"),
    (0x200, "flex_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x2000, "metadata_csum_seed"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
];

/// `s_feature_ro_compat`.
const RO_COMPAT: &[(u32, &str)] = &[
    (0x1, "sparse_super"),
    (0x2, "large_file"),
    (0x8, "huge_file"),
    (0x10, "uninit_bg"),
    (0x20, "dir_nlink"),
    (0x40, "extra_isize"),
    (0x80, "snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (0x400, "metadata_csum"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
    (0x1_0000, "orphan_present"),
];

/// Reads what can be read of the filesystem `kind`; `devices` is where device nodes are, and
/// `whole_pages` says that its blocks are not smaller than a page.
pub fn read(
    filesystem: &mut Filesystem,
    kind: &str,
    roots: &Roots,
    devices: &Path,
    whole_pages: bool,
) -> Result<(), String> {
    let dev = filesystem.dev;
    let name = device_name(dev, roots);
    // The driver of ext4 serves all three, and shows its options under the name of the device.
    let options = name
        .as_ref()
        .and_then(|name| roots.proc_text(&format!("fs/ext4/{}/options", name.replace('/', "!"))));
    match options {
        Some(options) => filesystem.data_mode = data_mode(&options),
        None if kind == "ext2" => {}
        None => {
            let why = "procfs does not show its options";
            filesystem.missing.insert(DATA_MODE, why.to_owned());
        }
    }
    let name = name.ok_or("sysfs does not name its device")?;
    let block = super_block(&devices.join(name), dev, whole_pages)?;
    filesystem.features = features(&block).ok_or("its device holds no super block of ext")?;
    Ok(())
}

/// `data=ordered` among the options, one a line. Without a journal there is none.
fn data_mode(options: &str) -> Option<Text> {
    let mut lines = options.lines();
    lines.find_map(|line| line.trim().strip_prefix("data=").map(Text::from))
}

/// The name of a block device's node below `/dev`.
fn device_name(dev: Dev, roots: &Roots) -> Option<String> {
    let events = roots.sys_text(&format!("dev/block/{dev}/uevent"))?;
    let name = events.lines().find_map(|l| l.strip_prefix("DEVNAME="))?;
    // Nothing but a node below `/dev` is ever opened.
    let safe = !name.starts_with('/') && name.split('/').all(|part| part != "..");
    safe.then(|| name.to_owned())
}

/// The super block out of the page cache, where a mounted filesystem keeps it. A device that is
/// suspended or dead is not waited for.
///
/// The kernel calls a page unknown whose blocks it read one by one (`sb_bread()` marks the buffer).
/// If all of the page is one buffer, a read that may wait finds it (`block_read_full_folio()`) and
/// does not ask the device.
fn super_block(node: &Path, dev: Dev, whole_pages: bool) -> Result<[u8; LEN], String> {
    let failed = |e| match e {
        Errno::AGAIN => {
            "its super block is not in the page cache, and the device is not read".into()
        }
        Errno::OPNOTSUPP => "this kernel cannot read its super block without waiting".into(),
        Errno::NODEV => "its device node is another one".into(),
        e => format!("its device cannot be read ({e})"),
    };
    let device = open_if(node, |stat| {
        let number = Dev {
            major: libc::major(stat.st_rdev),
            minor: libc::minor(stat.st_rdev),
        };
        FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice && number == dev
    })
    .map_err(failed)?;
    let mut block = [0; LEN];
    let mut into = [IoSliceMut::new(&mut block)];
    let read = match preadv2(&device, &mut into, AT, ReadWriteFlags::NOWAIT) {
        Err(Errno::AGAIN | Errno::OPNOTSUPP) if whole_pages => {
            preadv2(&device, &mut into, AT, ReadWriteFlags::empty())
        }
        read => read,
    };
    match read.map_err(failed)? {
        LEN => Ok(block),
        _ => Err("its super block could be read in part only".to_owned()),
    }
}

/// The features of a super block; none if it is not one.
fn features(block: &[u8; LEN]) -> Option<Vec<Text>> {
    if block[0x38..0x3a] != MAGIC {
        return None;
    }
    let word = |at: usize| {
        block[at..at + 4]
            .iter()
            .rev()
            .fold(0, |n, b| n << 8 | u32::from(*b))
    };
    let mut features = named(word(0x5c), COMPAT, "compat");
    features.extend(named(word(0x60), INCOMPAT, "incompat"));
    features.extend(named(word(0x64), RO_COMPAT, "ro_compat"));
    Some(features)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn block(compat: u32, incompat: u32, ro_compat: u32) -> [u8; LEN] {
        let mut block = [0; LEN];
        block[0x38..0x3a].copy_from_slice(&MAGIC);
        block[0x5c..0x60].copy_from_slice(&compat.to_le_bytes());
        block[0x60..0x64].copy_from_slice(&incompat.to_le_bytes());
        block[0x64..0x68].copy_from_slice(&ro_compat.to_le_bytes());
        block
    }

    #[test]
    fn features_have_the_names_of_dumpe2fs() {
        let found = features(&block(0x4, 0x242, 0x8000_0401)).unwrap();
        let expected = [
            "has_journal",
            "filetype",
            "extent",
            "flex_bg",
            "sparse_super",
            "metadata_csum",
            "ro_compat-0x80000000",
        ];
        assert_eq!(found, expected);
        assert_eq!(features(&[0; LEN]), None);
    }

    #[test]
    fn a_node_that_is_no_such_device_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots {
            btf: dir.path().join("btf"),
            proc: dir.path().join("proc"),
            sys: dir.path().join("sys"),
        };
        let write = |path: std::path::PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let uevent = roots.sys.join("dev/block/8:1/uevent");
        write(uevent.clone(), "MAJOR=8\nMINOR=1\nDEVNAME=x/fifo\n");
        write(
            roots.proc.join("fs/ext4/x!fifo/options"),
            "rw\ndata=journal\n",
        );
        let devices = dir.path().join("dev");
        fs::create_dir_all(devices.join("x")).unwrap();
        let fifo = std::ffi::CString::new(devices.join("x/fifo").to_str().unwrap()).unwrap();
        // SAFETY: a path that ends with a zero byte, as the call wants it.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        let mut found = Filesystem {
            dev: Dev { major: 8, minor: 1 },
            ..Filesystem::default()
        };
        // It would wait for a writer for ever.
        let why = read(&mut found, "ext4", &roots, &devices, false).unwrap_err();
        assert_eq!(why, "its device node is another one");
        assert_eq!(found.data_mode.as_deref(), Some("journal"));
        write(uevent, "DEVNAME=../etc/shadow\n");
        let why = read(&mut found, "ext4", &roots, &devices, false).unwrap_err();
        assert!(why.contains("does not name"), "{why}");
    }
}
