//! Attributes of files: the inode's flags, the hint for extents, compression.
//!
//! Read when a file is first named, through the descriptor that led to its path. That is doubled
//! (`pidfd_getfd`, since 5.6) rather than opened again: an open can break a lease or wake whoever
//! watches the file.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, StatxFlags, fgetxattr, ioctl_getflags, statx};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::path::Path;

use super::owners::{Descriptor, Key};
use crate::event::Text;
use crate::kernel::open_if;

/// What is known of a file; the reason where something could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub size: Option<u64>,
    pub allocated: Option<u64>,
    pub flags: Option<Vec<Text>>,
    pub extent_size: Option<u32>,
    pub compression: Option<Text>,
    pub missing: Option<String>,
}

/// `FS_*_FL` (include/uapi/linux/fs.h), by the names of `chattr` where it has one.
const FLAGS: &[(u32, &str)] = &[
    (0x1, "secrm"),
    (0x2, "undelete"),
    (0x4, "compressed"),
    (0x8, "sync"),
    (0x10, "immutable"),
    (0x20, "append"),
    (0x40, "nodump"),
    (0x80, "noatime"),
    (0x400, "nocompress"),
    (0x800, "encrypted"),
    (0x4000, "journal-data"),
    (0x8000, "notail"),
    (0x4_0000, "huge-file"),
    (0x8_0000, "extents"),
    (0x10_0000, "verity"),
    (0x20_0000, "ea-inode"),
    (0x80_0000, "nocow"),
    (0x200_0000, "dax"),
    (0x1000_0000, "inline-data"),
    (0x2000_0000, "project-inherit"),
];

/// `FS_XFLAG_*`: only what the flags above do not say.
const XFLAGS: &[(u32, &str)] = &[
    (0x1, "realtime"),
    (0x2, "preallocated"),
    (0x800, "extent-size"),
    (0x8000, "dax"),
    (0x1_0000, "cow-extent-size"),
];

/// `struct fsxattr`.
#[repr(C)]
#[derive(Default)]
struct FsXattr {
    xflags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    pad: [u8; 8],
}

const FS_IOC_FSGETXATTR: Opcode = opcode::read::<FsXattr>(b'X', 31);

/// The longest name of a way to compress is `zlib`, `lzo` or `zstd`.
const LONGEST: usize = 32;

impl Descriptor {
    /// The attributes of the inode, if this still leads to it.
    pub fn attributes(&self, key: Key) -> Attributes {
        match self.held(key) {
            Ok(file) => of(&file),
            Err(e) => Attributes {
                missing: Some(format!("the file could not be asked ({e})")),
                ..Attributes::default()
            },
        }
    }

    /// A descriptor of the inode, which must be a regular file.
    fn held(&self, key: Key) -> rustix::io::Result<OwnedFd> {
        let path = match self {
            Self::Link(link) => {
                if let Ok(file) = doubled(link)
                    && is(&file, key)
                {
                    return Ok(file);
                }
                link.clone()
            }
            Self::Loop(_) => self.path().ok_or(Errno::NOENT)?,
        };
        let opened = open_if(&path, |stat| {
            let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            regular && stat.st_ino == key.ino
        })?;
        if is(&opened, key) {
            Ok(opened)
        } else {
            Err(Errno::NOENT)
        }
    }
}

/// The same open file as `/proc/PID/fd/N`.
fn doubled(link: &Path) -> rustix::io::Result<OwnedFd> {
    let mut parts = link.components().rev();
    let mut next = || parts.next()?.as_os_str().to_str();
    let numbers = || -> Option<(Pid, i32)> {
        let fd = next()?.parse().ok()?;
        (next()? == "fd").then_some(())?;
        Some((Pid::from_raw(next()?.parse().ok()?)?, fd))
    };
    // A mapping has no descriptor.
    let (pid, fd) = { numbers }().ok_or(Errno::BADF)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    pidfd_getfd(&process, fd, PidfdGetfdFlags::empty())
}

/// Whether this is the regular file `key`.
fn is(file: &OwnedFd, key: Key) -> bool {
    let wanted = StatxFlags::INO | StatxFlags::TYPE;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    statx(file, c"", flags, wanted).is_ok_and(|found| {
        let dev = found.stx_dev_major << 20 | found.stx_dev_minor;
        let kind = FileType::from_raw_mode(found.stx_mode.into());
        kind == FileType::RegularFile && found.stx_ino == key.ino && dev == key.dev
    })
}

fn of(file: &OwnedFd) -> Attributes {
    let mut found = Attributes::default();
    let wanted = StatxFlags::SIZE | StatxFlags::BLOCKS;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    if let Ok(stat) = statx(file, c"", flags, wanted) {
        found.size = Some(stat.stx_size);
        found.allocated = Some(stat.stx_blocks.saturating_mul(512));
    }
    match ioctl_getflags(file) {
        Ok(flags) => found.flags = Some(names(flags.bits(), FLAGS)),
        Err(e) => found.missing = Some(format!("the filesystem does not tell the flags ({e})")),
    }
    let mut more = FsXattr::default();
    // SAFETY: the kernel writes this structure, of this size, and nothing beyond it.
    let asked = unsafe { ioctl(file, Updater::<FS_IOC_FSGETXATTR, _>::new(&mut more)) };
    if asked.is_ok() {
        let all = found.flags.get_or_insert_default();
        for name in names(more.xflags, XFLAGS) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        found.extent_size = (more.extent_size != 0).then_some(more.extent_size);
    }
    let mut value = [0; LONGEST];
    if let Ok(len) = fgetxattr(file, c"btrfs.compression", &mut value[..]) {
        let text = String::from_utf8_lossy(&value[..len.min(LONGEST)]);
        found.compression = Some(Text::from(text.trim_end_matches('\0')));
    }
    found
}

fn names(set: u32, table: &[(u32, &'static str)]) -> Vec<Text> {
    let set = table.iter().filter(|(bit, _)| set & bit != 0);
    set.map(|(_, name)| Text::const_new(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::owners::of_process;
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn key(file: &std::fs::File) -> Key {
        let found = file.metadata().unwrap();
        Key {
            dev: libc::major(found.dev()) << 20 | libc::minor(found.dev()),
            ino: found.ino(),
        }
    }

    #[test]
    fn our_own_file_by_its_descriptor_and_by_an_open() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(12_345).unwrap();
        let key = key(&file);
        let found = of_process(std::process::id(), key).unwrap();
        let attributes = found.attributes(key);
        assert_eq!(attributes.size, Some(12_345));
        let Descriptor::Link(link) = &found else {
            panic!("{found:?}")
        };
        let opened = open_if(link, |_| true).unwrap();
        assert_eq!(of(&opened), attributes);
        drop(file);
        let missing = found.attributes(key).missing.unwrap();
        assert!(missing.contains("could not be asked"), "{missing}");
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
        // SAFETY: a path that ends with a zero byte, as the call wants it.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let found = std::fs::metadata(&fifo).unwrap();
        let key = Key {
            dev: libc::major(found.dev()) << 20 | libc::minor(found.dev()),
            ino: found.ino(),
        };
        let attributes = Descriptor::Link(fifo).attributes(key);
        assert_eq!(attributes.flags, None);
        assert!(attributes.missing.is_some());
    }
}
