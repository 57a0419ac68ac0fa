//! A filesystem to test on, and a file in it whose bytes are known.

use crate::harness::{Fs, Image, skip};
use iomap_trace::reference::Policy;
use iomap_trace::reference::direct::{AlignedBuf, DirectFile};
use rustix::fs::{Advice, IFlags, Mode, OFlags, fadvise, ioctl_getflags, ioctl_setflags, open};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub const PAGE: usize = 4096;
/// Size of a file under test in bytes.
pub const SIZE: usize = 2 << 20;

/// What a file under test has in it at first.
pub static INITIAL: LazyLock<Vec<u8>> = LazyLock::new(|| pattern(0, SIZE));

/// Where a test works.
#[derive(Debug)]
pub struct Ground {
    pub dir: PathBuf,
    pub fs: Fs,
    // Unmounted when the test is over.
    _image: Option<Image>,
}

impl Ground {
    /// A filesystem of its own, or one that is mounted already; `None` where it is not.
    fn new(fs: Fs) -> Option<Self> {
        let Some(mnt) = std::env::var_os("IOMAP_TRACE_MNT") else {
            let image = Image::new(fs);
            return Some(Self {
                dir: image.mnt(),
                fs,
                _image: Some(image),
            });
        };
        let dir = Path::new(&mnt).join(name(fs));
        if !dir.is_dir() {
            skip(&format!("{} is not there", dir.display()));
            return None;
        }
        Some(Self {
            dir,
            fs,
            _image: None,
        })
    }

    /// One after the other.
    pub fn each(test: impl Fn(&Self)) {
        for fs in [Fs::Ext4, Fs::Xfs, Fs::Btrfs] {
            if let Some(ground) = Self::new(fs) {
                eprintln!("on {}", name(fs));
                test(&ground);
            }
        }
    }
}

const fn name(fs: Fs) -> &'static str {
    match fs {
        Fs::Ext4 => "ext4",
        Fs::Xfs => "xfs",
        Fs::Btrfs => "btrfs",
    }
}

/// A file under test, on disk with nothing of it cached, gone after the test. On btrfs it has no
/// checksums: since 6.12.y writes to others are never direct.
#[derive(Debug)]
pub struct Sheet {
    pub path: PathBuf,
    pub buffered: File,
}

impl Sheet {
    pub fn new(dir: &Path, btrfs: bool) -> Self {
        let path = dir.join("sheet");
        let buffered = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        if btrfs {
            let flags = ioctl_getflags(&buffered).unwrap();
            ioctl_setflags(&buffered, flags | IFlags::NOCOW).unwrap();
        }
        let sheet = Self { path, buffered };
        sheet.reset();
        sheet
    }

    /// Makes it as it was at first, on disk with nothing of it cached.
    pub fn reset(&self) {
        self.buffered.write_all_at(&INITIAL, 0).unwrap();
        // The first may tell of an error of a test before.
        let _ = self.buffered.sync_all();
        self.buffered.sync_all().unwrap();
        self.drop_pages();
    }

    pub fn on(ground: &Ground) -> Self {
        Self::new(&ground.dir, ground.fs == Fs::Btrfs)
    }

    pub fn open(&self, policy: Policy) -> DirectFile {
        DirectFile::open(&self.path, policy).unwrap()
    }

    pub fn drop_pages(&self) {
        fadvise(&self.buffered, 0, None, Advice::DontNeed).unwrap();
    }

    /// What the disk has.
    pub fn on_disk(&self, pos: usize, len: usize) -> Vec<u8> {
        read_direct(&self.path, pos, len)
    }

    /// What a reader through the page cache gets.
    pub fn cached(&self, pos: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.buffered.read_exact_at(&mut bytes, pos as u64).unwrap();
        bytes
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        // The filesystem may have failed with its device.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Reads with O_DIRECT. A kernel that has dirty pages of the range writes them back first.
pub fn read_direct(path: &Path, pos: usize, len: usize) -> Vec<u8> {
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    let file: File = open(path, flags, Mode::empty()).unwrap().into();
    let mut buf = AlignedBuf::new(len);
    file.read_exact_at(&mut buf, pos as u64).unwrap();
    buf.to_vec()
}

/// Bytes that name their writer, with no two words alike: nothing can compress them away.
pub fn pattern(writer: u64, len: usize) -> Vec<u8> {
    (0..len as u64 / 8)
        .flat_map(|word| (word ^ writer.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
        .collect()
}

/// The same, aligned for direct I/O.
pub fn block(writer: u64, len: usize) -> AlignedBuf {
    let mut buf = AlignedBuf::new(len);
    buf.copy_from_slice(&pattern(writer, len));
    buf
}
