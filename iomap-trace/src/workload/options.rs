//! What to run: the mode, the sizes and the thread counts, with their limits.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::locker::Locker;
use crate::error::{ExitKind, Fail};
use crate::text::printable;

/// Base offsets must be page multiples on every architecture.
const OFFSET_STEP: u64 = 64 * 1024;
const MAX_BLOCK: u64 = 64 << 20;
const MAX_THREADS: u32 = 256;
const MAX_DEPTH: u32 = 1024;

/// Which two kinds of writers collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Stores through a shared mapping against O_DIRECT writes: failures before submission
    Mmap,
    /// Buffered writes against O_DIRECT writes
    Buffered,
    /// Buffered writes against libaio O_DIRECT writes: failures after completion
    Aio,
    /// Buffered writes against io_uring O_DIRECT writes
    Uring,
    /// FIEMAP, lseek, reads, reflinks and fsync beside buffered and O_DIRECT writes: the other
    /// holders of btrfs's extent lock
    Lockers,
}

impl Mode {
    /// The name on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mmap => "mmap",
            Self::Buffered => "buffered",
            Self::Aio => "aio",
            Self::Uring => "uring",
            Self::Lockers => "lockers",
        }
    }

    /// Length of the working range in bytes unless told otherwise. A dirtier that finds a page dirty
    /// already does nothing, and one far from the direct writers does not collide: stores need a
    /// small range to meet them thousands of times in a few seconds. Whoever walks all extents must
    /// not take so long that the lock is hardly ever free.
    const fn file_size(self) -> u64 {
        match self {
            Self::Mmap => 512 << 10,
            Self::Lockers => 2 << 20,
            Self::Buffered | Self::Aio | Self::Uring => 8 << 20,
        }
    }

    /// Bytes per write unless told otherwise.
    const fn block(self) -> u64 {
        match self {
            Self::Buffered => 64 << 10,
            Self::Mmap | Self::Aio | Self::Uring | Self::Lockers => 16 << 10,
        }
    }

    /// Bytes per buffered write unless told otherwise, for writes of `block` bytes. A direct write
    /// over several small ones flushes several pieces, and while it looks at the first the kernel
    /// still has to finish the others: that, far more than one large piece, makes it fail.
    pub const fn dirty_block(self, block: u64) -> u64 {
        match self {
            Self::Buffered if block.is_multiple_of(4 * 512) => block / 4,
            _ => block,
        }
    }

    /// Threads that write with O_DIRECT unless told otherwise. A lock that is held makes each of
    /// them fail once.
    const fn direct_threads(self) -> u32 {
        match self {
            Self::Lockers => 6,
            Self::Mmap | Self::Buffered | Self::Aio | Self::Uring => 2,
        }
    }

    /// Threads that dirty the page cache unless told otherwise. Among lockers one is enough: what
    /// is dirty cannot be kept from being dropped by a lock alone.
    const fn dirty_threads(self) -> u32 {
        match self {
            Self::Lockers => 1,
            Self::Mmap | Self::Buffered | Self::Aio | Self::Uring => 2,
        }
    }

    /// Whether a thread calls fsync regularly unless told otherwise. It does where failures come
    /// after completion, because those make fsync return EIO.
    const fn wants_fsync(self) -> bool {
        matches!(self, Self::Aio | Self::Uring | Self::Lockers)
    }
}

/// Everything a run depends on. [`Options::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which writers collide.
    pub mode: Mode,
    /// Directory of the file, on the filesystem under test.
    pub dir: PathBuf,
    /// Name of the file within `dir`; must not exist yet.
    pub name: OsString,
    /// How long the threads run.
    pub duration: Duration,
    /// Seed of every thread's choices.
    pub seed: u64,
    /// Keep the two kinds of writers in different halves of the range, so that nothing collides.
    pub control: bool,
    /// Length of the working range in bytes.
    pub file_size: u64,
    /// File offset of the working range in bytes; what is before it stays a hole.
    pub offset: u64,
    /// Bytes per write.
    pub block: u64,
    /// Bytes per buffered write; `block` is a multiple of it.
    pub dirty_block: u64,
    /// Number of threads that write with O_DIRECT.
    pub direct_threads: u32,
    /// Number of threads that dirty the page cache.
    pub dirty_threads: u32,
    /// Writes that each aio or io_uring thread keeps in flight.
    pub depth: u32,
    /// Interval of the fsync thread; `None` or zero leaves only the fsync at the end.
    pub fsync_every: Option<Duration>,
    /// Who else takes the extent lock in [`Mode::Lockers`]; empty in every other mode.
    pub lockers: Vec<Locker>,
    /// Leave checksums and copy-on-write on (btrfs only).
    pub cow: bool,
    /// Leave the file behind.
    pub keep: bool,
}

impl Options {
    /// The defaults of `mode`, on a file in `dir`.
    pub fn new(mode: Mode, dir: impl Into<PathBuf>) -> Self {
        Self {
            mode,
            dir: dir.into(),
            name: default_name(),
            duration: Duration::from_secs(10),
            seed: 1,
            control: false,
            file_size: mode.file_size(),
            offset: 0,
            block: mode.block(),
            dirty_block: mode.dirty_block(mode.block()),
            direct_threads: mode.direct_threads(),
            dirty_threads: mode.dirty_threads(),
            depth: 8,
            fsync_every: mode.wants_fsync().then_some(Duration::from_millis(100)),
            lockers: match mode {
                Mode::Lockers => Locker::ALL.to_vec(),
                _ => Vec::new(),
            },
            cow: false,
            keep: false,
        }
    }

    /// Refuses what cannot be run, as a usage error.
    pub fn validate(&self) -> Result<()> {
        let name = self.name.as_bytes();
        let problem = if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
            "--name must be a plain file name, without a slash: use --dir for the directory"
        } else if name.contains(&0) {
            "--name must not contain a NUL byte"
        } else if self.block == 0 || !self.block.is_multiple_of(512) || self.block > MAX_BLOCK {
            "--block must be a multiple of 512 bytes, at most 64M"
        } else if self.dirty_block == 0
            || !self.dirty_block.is_multiple_of(512)
            || !self.block.is_multiple_of(self.dirty_block)
        {
            "--dirty-block must be a multiple of 512 bytes, and --block a multiple of it"
        } else if !self.file_size.is_multiple_of(self.block) || self.file_size < 2 * self.block {
            "--file-size must be a multiple of --block and hold at least two blocks"
        } else if !self.offset.is_multiple_of(OFFSET_STEP)
            || !self.offset.is_multiple_of(self.block)
        {
            "--offset must be a multiple of 64K and of --block"
        } else if self.end().is_none() {
            "--offset plus --file-size is more than a file can hold: use a smaller --offset"
        } else if !(1..=MAX_THREADS).contains(&self.direct_threads)
            || !(1..=MAX_THREADS).contains(&self.dirty_threads)
        {
            "--direct-threads and --dirty-threads must be between 1 and 256"
        } else if !(1..=MAX_DEPTH).contains(&self.depth) {
            "--depth must be between 1 and 1024"
        } else if self.mode != Mode::Lockers && !self.lockers.is_empty() {
            "--only chooses among the threads of lockers: leave it out in other modes"
        } else if self.control && self.control_blocks() == 0 {
            "--control needs two halves of whole pages: use a larger --file-size"
        } else {
            return Ok(());
        };
        Err(Fail::error(ExitKind::Usage, problem))
    }

    /// Blocks in the direct writers' half of a control run: the halves must not share a page.
    fn control_blocks(&self) -> u64 {
        let page = rustix::param::page_size() as u64;
        let half = self.file_size / self.block / 2;
        if self.block.is_multiple_of(page) {
            half
        } else {
            // A block is a multiple of 512, so this many blocks are whole pages.
            half - half % (page / 512)
        }
    }

    /// End of the working range, where a file offset can still express it.
    fn end(&self) -> Option<i64> {
        i64::try_from(self.offset.checked_add(self.file_size)?).ok()
    }

    /// The directory for an error's one line.
    pub(super) fn shown_dir(&self) -> String {
        printable(&self.dir.to_string_lossy())
    }

    /// The whole working range.
    pub(super) const fn range(&self) -> Range {
        Range {
            pos: self.offset,
            len: self.file_size,
            block: self.block,
        }
    }

    /// The ranges of the direct writers and of all other threads: the same one, or the two
    /// halves under [`Options::control`].
    pub(super) fn ranges(&self) -> (Range, Range) {
        let whole = self.range();
        let dirty = Range {
            block: self.dirty_block,
            ..whole
        };
        if !self.control {
            return (whole, dirty);
        }
        let first = self.control_blocks() * whole.block;
        let direct = Range {
            len: first,
            ..whole
        };
        let dirty = Range {
            pos: whole.pos + first,
            len: whole.len - first,
            ..dirty
        };
        (direct, dirty)
    }
}

/// The name of a file that nobody else uses: `iomap-trace-repro-<pid>.dat`.
pub fn default_name() -> OsString {
    format!("iomap-trace-repro-{}.dat", std::process::id()).into()
}

/// A range of blocks in the file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// Offset of the first byte.
    pub pos: u64,
    /// Length, a multiple of `block`.
    pub len: u64,
    /// Bytes per block.
    pub block: u64,
}

impl Range {
    /// Offset of a block chosen by `rng`.
    pub(super) fn pick(&self, rng: &mut super::rng::Rng) -> u64 {
        self.pos + rng.below(self.len / self.block) * self.block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    fn options(change: impl Fn(&mut Options)) -> Result<()> {
        let mut options = Options::new(Mode::Mmap, "/");
        change(&mut options);
        options.validate()
    }

    #[test]
    fn defaults_are_valid_in_every_mode() {
        for mode in Mode::value_variants() {
            Options::new(*mode, "/").validate().unwrap();
        }
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        let changes: [fn(&mut Options); 14] = [
            |o| o.name = "".into(),
            |o| o.name = "..".into(),
            |o| o.name = "a/b".into(),
            |o| o.block = 0,
            |o| o.block = 1000,
            |o| o.file_size = o.block,
            |o| o.file_size += 1,
            |o| o.offset = 4096,
            |o| o.offset = 1 << 63,
            |o| o.direct_threads = 0,
            |o| o.depth = 0,
            |o| o.lockers = vec![Locker::Seek],
            |o| o.dirty_block = 0,
            |o| o.dirty_block = 3 * 512,
        ];
        for (i, change) in changes.iter().enumerate() {
            let error = options(change).expect_err(&format!("change {i}"));
            assert_eq!(Fail::code(&error), 2, "change {i}");
            assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn names_may_hold_any_byte_but_slash_and_nul() {
        use std::os::unix::ffi::OsStringExt;
        options(|o| o.name = OsString::from_vec(b"a b\n\xff".to_vec())).unwrap();
    }

    #[test]
    fn control_halves_are_disjoint_and_cover_the_range() {
        let mut options = Options::new(Mode::Aio, "/");
        options.offset = 1 << 33;
        options.file_size = 5 * options.block;
        let (direct, dirty) = options.ranges();
        assert_eq!(direct, dirty);
        options.control = true;
        let (direct, dirty) = options.ranges();
        assert_eq!(direct.pos, 1 << 33);
        assert_eq!(direct.pos + direct.len, dirty.pos);
        assert_eq!(direct.len + dirty.len, options.file_size);
    }

    #[test]
    fn control_halves_never_share_a_page() {
        let mut options = Options::new(Mode::Aio, "/");
        options.control = true;
        options.block = 1536;
        options.dirty_block = 1536;
        options.file_size = 1536 * 1001;
        options.validate().unwrap();
        assert_eq!(
            options.ranges().1.pos % rustix::param::page_size() as u64,
            0
        );
        options.file_size = 1536 * 2;
        assert!(options.validate().is_err());
    }

    #[test]
    fn picked_blocks_lie_in_the_range() {
        let range = Range {
            pos: 1 << 20,
            len: 3 << 14,
            block: 1 << 14,
        };
        let mut rng = crate::rng::Rng::for_thread(1, 1);
        for _ in 0..100 {
            let pos = range.pick(&mut rng);
            assert!(pos >= range.pos && pos + range.block <= range.pos + range.len);
            assert_eq!(pos % range.block, 0);
        }
    }
}
