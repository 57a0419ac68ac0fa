//! Everything that the parties share: clock, page cache, extent io tree, work queue, disk.

use std::collections::VecDeque;

use super::super::Policy;
use super::cache::{Folio, Heads, PageCache, Touch};
use super::cast::Task;
use super::kernel::Kernel;
use super::tape::Tape;
use super::tree::{Ordered, Span, Tree};
use crate::event::{Dev, How};
use crate::rng::Rng;

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// `SEEN` of an `errseq_t`, and one count above it (lib/errseq.c).
const SEEN: u32 = 1 << 12;
const EIO: u32 = libc::EIO as u32;

/// A filesystem, as far as it keeps folios from being released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fs {
    /// Extent locks, ordered extents, a check under the lock while it maps.
    Btrfs,
    /// Nothing but the dirty flag.
    Xfs,
    /// Buffer heads and a journal.
    Ext4,
    /// Launders dirty folios.
    Fuse,
}

impl Fs {
    /// Name as the kernel's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Btrfs => "btrfs",
            Self::Xfs => "xfs",
            Self::Ext4 => "ext4",
            Self::Fuse => "fuse",
        }
    }
}

/// What a tracer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Results and refusals (fexit and kprobe).
    Returns,
    /// Only tracepoints: folios are found by a walk afterwards, results are not seen.
    Tracepoints,
}

/// Which inode, and where in it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Device.
    pub dev: Dev,
    /// Inode number.
    pub ino: u64,
    /// Subvolume.
    pub root: Option<u64>,
    /// Index of the first page of the model's range.
    pub first_page: u64,
    /// Pages of it.
    pub pages: u64,
}

/// What happened, for the timeline.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub ns: u64,
    /// Which column.
    pub column: usize,
    /// In words.
    pub text: String,
    /// A folio was refused.
    pub refused: bool,
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// Virtual clock, nanoseconds since boot.
    pub now: u64,
    /// Chooses.
    pub rng: Rng,
    /// Kernel.
    pub kernel: Kernel,
    /// Filesystem.
    pub fs: Fs,
    /// Policy of the direct write path.
    pub policy: Policy,
    /// What the tracer sees.
    pub shape: Shape,
    /// Inode and range.
    pub place: Place,
    /// Page cache.
    pub cache: PageCache,
    /// Extent io tree.
    pub tree: Tree,
    /// Ordered extents that wait for a worker.
    pub queue: VecDeque<Ordered>,
    /// Ordered extents that are not complete.
    pub ordered: Vec<Span>,
    /// Which write each page of the disk is of.
    pub disk: Vec<u64>,
    /// Data is written in place (`NODATACOW`): completion locks nothing.
    pub nocow: bool,
    /// The next write-back fails.
    pub io_error: bool,
    /// A write-back failed, and no flush has returned the error yet (`AS_EIO`).
    pub error_unreturned: bool,
    /// Laundering fails.
    pub launder_error: bool,
    /// Writeback can begin under a folio lock: what the kernel tests for, and no filesystem does.
    pub careless_writeback: bool,
    /// `mapping.wb_err`.
    pub wb_err: u32,
    /// Last real write-back error.
    pub wb_error_ns: Option<u64>,
    /// Direct writes that hold `i_rwsem` shared, and whether a buffered one holds it.
    pub writers: u32,
    /// A buffered writer holds `i_rwsem`.
    pub exclusive: bool,
    /// Pages that nobody dirties, between an invalidation and the walk that looks at its folios.
    pub looking: Vec<(u64, u64)>,
    /// Pages of one folio, where readers and writers cache new ones.
    pub folio_pages: u64,
    /// Unlocks can take tens of milliseconds.
    pub slow_unlocks: bool,
    /// What the tracer records.
    pub tape: Tape,
    /// What happened, when somebody wants to read it.
    pub lines: Option<Vec<Line>>,
    versions: u64,
    writes: u64,
}

impl World {
    /// A world with an empty page cache.
    pub fn new(rng: Rng, kernel: Kernel, fs: Fs, policy: Policy, place: Place) -> Self {
        Self {
            now: 0,
            rng,
            kernel,
            fs,
            policy,
            shape: Shape::Returns,
            place,
            cache: PageCache::new(place.pages),
            tree: Tree::default(),
            queue: VecDeque::new(),
            ordered: Vec::new(),
            disk: vec![0; place.pages as usize],
            nocow: false,
            io_error: false,
            error_unreturned: false,
            launder_error: false,
            careless_writeback: false,
            wb_err: 0,
            wb_error_ns: None,
            writers: 0,
            exclusive: false,
            looking: Vec::new(),
            folio_pages: 1,
            slow_unlocks: false,
            tape: Tape::default(),
            lines: None,
            versions: 0,
            writes: 0,
        }
    }

    /// Notes what happened, for the timeline.
    pub fn say(&mut self, column: usize, text: impl FnOnce(&Self) -> String) {
        self.note(column, false, text);
    }

    /// Notes that a folio was refused.
    pub fn refuse(&mut self, column: usize, text: impl FnOnce(&Self) -> String) {
        self.note(column, true, text);
    }

    fn note(&mut self, column: usize, refused: bool, text: impl FnOnce(&Self) -> String) {
        if self.lines.is_none() {
            return;
        }
        let line = Line {
            ns: self.now,
            column,
            text: text(self),
            refused,
        };
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// A number for a direct write.
    pub fn write_number(&mut self) -> u64 {
        self.writes += 1;
        self.writes
    }

    /// A version for data that somebody wrote.
    pub fn version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    /// Sets `wb_err` to EIO (lib/errseq.c `errseq_set()`).
    pub fn set_wb_err(&mut self) {
        let old = self.wb_err;
        let mut new = (old & !(SEEN - 1) & !SEEN) | EIO;
        if old & SEEN != 0 {
            new = new.wrapping_add(1 << 13);
        }
        self.wb_err = new;
    }

    /// `wb_err` holds an EIO that nobody has seen: another one does not change it.
    pub fn eio_unseen(wb_err: u32) -> bool {
        wb_err & (SEEN - 1) == EIO && wb_err & SEEN == 0
    }

    /// Adds a folio of this page, read from disk, if there is none.
    pub fn add_folio(&mut self, page: u64, task: Task, how: How) {
        if self.cache.at(page).is_some() {
            return;
        }
        let (first, end) = self.pages_at(page);
        let pages = end - first;
        let versions = &self.disk[first as usize..(first + pages) as usize];
        let version = versions.iter().copied().min().unwrap_or(0);
        let private = match self.fs {
            Fs::Btrfs | Fs::Ext4 => true,
            Fs::Xfs => pages > 1,
            Fs::Fuse => false,
        };
        self.cache.add(Folio {
            page: first,
            pages,
            dirty: false,
            writeback: false,
            private,
            checked: false,
            heads: (self.fs == Fs::Ext4).then(Heads::default),
            locked: false,
            version,
        });
        let ns = self.now;
        self.cache.cached[first as usize] = Some(Touch { ns, task, how });
    }

    /// Makes an ordered extent. It meets no other: its maker holds the range locked, and whoever
    /// dirties folios has waited for the one before (`btrfs_add_ordered_extent()`).
    pub fn order(&mut self, extent: Ordered) -> Ordered {
        debug_assert!(!self.is_ordered(extent.span), "{extent:?}: {self:?}");
        self.ordered.push(extent.span);
        extent
    }

    /// An ordered extent of `span` is not complete (`btrfs_lookup_ordered_range()`).
    pub fn is_ordered(&self, span: Span) -> bool {
        self.ordered.iter().any(|other| other.meets(span))
    }

    /// Pages `.0...1` of the folio with this page, or of the one that would be added.
    fn pages_at(&self, page: u64) -> (u64, u64) {
        if let Some(folio) = self.cache.at(page) {
            return (folio.page, folio.end());
        }
        let large = page / self.folio_pages * self.folio_pages;
        let end = (large + self.folio_pages).min(self.place.pages);
        match self.cache.next(large, end) {
            None => (large, end),
            Some(_) => (page, page + 1),
        }
    }

    /// Bytes of the folio with this page, or of the one that would be added.
    pub fn folio_at(&self, page: u64) -> Span {
        let (first, end) = self.pages_at(page);
        bytes_of(first, end)
    }

    /// Whether a folio of this page can be dirtied now by somebody who does not hold its range
    /// locked: btrfs locks it, and looks for an ordered extent under the lock; where there is one it
    /// lets go of all, waits, and begins anew (`btrfs_page_mkwrite()`,
    /// `lock_and_cleanup_extent_if_need()`).
    pub fn can_lock_and_dirty(&self, page: u64) -> bool {
        let span = self.folio_at(page);
        self.can_dirty(page) && self.tree.blocked(span).is_none() && !self.is_ordered(span)
    }

    /// Whether a folio of this page can be dirtied now: whoever does takes its lock, and waits for
    /// writeback (stable pages).
    pub fn can_dirty(&self, page: u64) -> bool {
        // A large folio reaches beyond the range.
        let folio = self.cache.at(page);
        let (first, last) = self.pages_at(page);
        let looked = |(from, end): &(u64, u64)| *from < last && first < *end;
        let free = |folio: &Folio| !folio.locked && !folio.writeback;
        !self.looking.iter().any(looked) && folio.is_none_or(free)
    }

    /// Dirties the folio with this page, which is there.
    pub fn dirty(&mut self, page: u64, task: Task, how: How) {
        let (ns, version) = (self.now, self.version());
        let Some(folio) = self.cache.at_mut(page) else {
            return;
        };
        folio.version = version;
        let first = folio.page as usize;
        if !folio.dirty {
            folio.dirty = true;
            self.cache.dirtied[first] = Some(Touch { ns, task, how });
        }
    }

    /// The first byte of a span in the file.
    pub fn pos(&self, span: Span) -> u64 {
        (self.place.first_page * PAGE).saturating_add(span.start)
    }

    /// A range as text: `0+16K`, from the model's first byte.
    pub fn range(span: Span) -> String {
        let size = |bytes: u64| match bytes {
            0 => "0".to_owned(),
            bytes if bytes % 1024 == 0 => format!("{}K", bytes / 1024),
            bytes => bytes.to_string(),
        };
        format!("{}+{}", size(span.start), size(span.end - span.start))
    }
}

/// Pages `from..end` with a byte of `span`.
pub const fn pages_of(span: Span) -> (u64, u64) {
    (span.start / PAGE, span.end.div_ceil(PAGE))
}

/// Bytes of pages `from..end`.
pub const fn bytes_of(from: u64, end: u64) -> Span {
    Span {
        start: from * PAGE,
        end: end * PAGE,
    }
}
