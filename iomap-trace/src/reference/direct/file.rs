//! The file that is written, and the system calls of each step.

use super::align::Alignment;
use super::errno::Errno;
use super::look::{self, Looker};
use super::outcome::{Pages, Span, WriteOutcome};
use super::path::{self, Backing, Moment, Rules};
use super::sys;
use crate::reference::Policy;
use anyhow::{Context, Result, anyhow, ensure};
use rustix::fs::{Advice, FileType, Mode, OFlags, fadvise, fdatasync, fstat, open};
use serde::Serialize;
use std::fs::File;
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most that one write(2) writes: `MAX_RW_COUNT`, in whole blocks of any size.
const MAX_RW_COUNT: usize = 0x7fff_0000;
/// Size of the largest folio of the page cache in bytes: that of a huge page on machines with pages
/// of 4 KiB (`MAX_PAGECACHE_ORDER`); larger pages have larger ones.
const LARGEST_FOLIO: u64 = 2 << 20;
/// The same with larger pages.
const LARGEST_FOLIO_OF_LARGE_PAGES: u64 = 512 << 20;

/// How a range is written back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flush {
    /// `sync_file_range(2)`: the range alone, as the kernel does before a direct write. No metadata
    /// and no flush of the device's cache, exactly as after a direct write.
    #[default]
    Range,
    /// `fdatasync(2)`: the whole file, its metadata and the device's cache. Needed where a
    /// compressed btrfs file is to be on disk when the step is done: its pages are handed to a
    /// worker, and `btrfs_fdatawrite_range()` starts writeback twice for it, which
    /// `sync_file_range(2)` does not.
    DataSync,
}

/// A file that is written directly, by a policy. Several threads can share it.
#[derive(Debug)]
pub struct DirectFile {
    /// With O_DIRECT. Flushes do not use it: its cursor in the file's `errseq_t` moves in
    /// [`DirectFile::sync`] alone.
    direct: File,
    /// For drops and looks, and to open more.
    buffered: File,
    /// Descriptors for flushes and buffered writes that no write uses now: as many as there were
    /// writes at the same time.
    idle: Mutex<Vec<File>>,
    /// Direct writes that were begun, and that have ended.
    begun: AtomicU64,
    ended: AtomicU64,
    rules: Rules,
    looker: Looker,
    flush: Flush,
    /// The page cache may be stale, and no sync has said so yet.
    stale: AtomicBool,
}

impl DirectFile {
    /// Opens a file that exists, or a block device, for direct writes.
    ///
    /// # Errors
    /// In one line, where it cannot be opened for writing, has no direct I/O, or is no such file.
    pub fn open(path: &Path, policy: Policy) -> Result<Self> {
        let shown = path.display();
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
        let buffered: File = open(path, flags, Mode::empty())
            .with_context(|| format!("cannot open {shown} for writing"))?
            .into();
        let kind = FileType::from_raw_mode(fstat(&buffered)?.st_mode);
        ensure!(
            matches!(kind, FileType::RegularFile | FileType::BlockDevice),
            "{shown} is no file or block device: direct I/O is for these"
        );
        let direct = reopen(&buffered, OFlags::DIRECT).map_err(|errno| match -errno.raw() {
            libc::EINVAL => anyhow!(
                "{shown} cannot be opened for direct I/O: its filesystem has none; \
                 use one that has, such as ext4, xfs or btrfs"
            ),
            libc::ENOENT => anyhow!("{shown} cannot be opened again: /proc is not mounted"),
            _ => anyhow!("{shown} cannot be opened for direct I/O: {errno}"),
        })?;
        let page = rustix::param::page_size() as u64;
        let alignment = Alignment::of(&direct, page)
            .with_context(|| format!("cannot find out how {shown} must be aligned"))?;
        let rules = Rules {
            policy,
            alignment,
            page,
            largest_folio: match page {
                4096 => LARGEST_FOLIO,
                _ => LARGEST_FOLIO_OF_LARGE_PAGES,
            },
        };
        Ok(Self {
            looker: Looker::find(&buffered, page),
            direct,
            buffered,
            idle: Mutex::default(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            rules,
            flush: Flush::default(),
            stale: AtomicBool::new(false),
        })
    }

    /// Flushes in another way.
    #[must_use]
    pub const fn with_flush(mut self, flush: Flush) -> Self {
        self.flush = flush;
        self
    }

    /// Looks at the page cache in another way, such as that of older kernels.
    #[must_use]
    pub const fn with_looker(mut self, looker: Looker) -> Self {
        self.looker = looker;
        self
    }

    /// What happens when a page stays.
    pub const fn policy(&self) -> Policy {
        self.rules.policy
    }

    /// What writes must be aligned to.
    pub const fn alignment(&self) -> Alignment {
        self.rules.alignment
    }

    /// How it looks at the page cache.
    pub const fn looker(&self) -> Looker {
        self.looker
    }

    /// Writes `buf` at the offset `pos`, step by step. A write of no bytes does nothing; at most
    /// 2 GiB less 64 KiB are written at once, as by write(2).
    ///
    /// An error is in the outcome, with the bytes that were acknowledged before it: EINVAL for what
    /// is not aligned, EBUSY for a page that stayed where the policy has no answer, and otherwise
    /// what the system call of a step returned. RLIMIT_FSIZE ends a write with EFBIG, and with
    /// SIGXFSZ where the process does not ignore that.
    pub fn write_at(&self, buf: &[u8], pos: u64) -> WriteOutcome {
        let buf = &buf[..buf.len().min(MAX_RW_COUNT)];
        if buf.is_empty() {
            return WriteOutcome::nothing(Ok(0));
        }
        let Rules { alignment, .. } = self.rules;
        if let Err(errno) = alignment.check(buf.as_ptr() as usize, buf.len(), pos) {
            return WriteOutcome::nothing(Err(errno));
        }
        let outcome = path::write(self, &self.rules, buf, pos);
        if outcome.warnings > 0 {
            self.stale.store(true, Ordering::Release);
        }
        outcome
    }

    /// Makes all that was acknowledged durable: `fdatasync(2)`.
    ///
    /// # Errors
    /// With a writeback error since the last sync, whoever's data it was; and with EIO, once, after
    /// a write that left stale pages behind, as `dio_warn_stale_pagecache()` makes fsync fail.
    pub fn sync(&self) -> Result<(), Errno> {
        let stale = self.stale.swap(false, Ordering::AcqRel);
        loop {
            match fdatasync(&self.direct) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(()) if stale => return Err(Errno::IO),
                other => return Ok(other?),
            }
        }
    }
}

impl DirectFile {
    fn lock_idle(&self) -> MutexGuard<'_, Vec<File>> {
        // A thread that panicked left whole descriptors behind.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backing for DirectFile {
    type Own = File;

    fn own(&self) -> Result<File, Errno> {
        let idle = self.lock_idle().pop();
        idle.map_or_else(|| reopen(&self.buffered, OFlags::empty()), Ok)
    }

    fn give_back(&self, own: File) {
        self.lock_idle().push(own);
    }

    fn writeback_error(&self, own: &File) -> Result<(), Errno> {
        sys::writeback_error(own)
    }

    fn moment(&self) -> Moment {
        Moment(self.ended.load(Ordering::SeqCst))
    }

    fn is_disturbed(&self, since: Moment) -> bool {
        self.begun.load(Ordering::SeqCst) != since.0
    }

    fn flush(&self, own: &File, span: Span) -> Result<(), Errno> {
        match self.flush {
            Flush::Range => sys::sync_file_range(own, span),
            Flush::DataSync => Ok(fdatasync(own)?),
        }
    }

    fn drop_pages(&self, span: Span) -> Result<(), Errno> {
        // No length would mean all to the end of the file.
        let Some(len) = NonZeroU64::new(span.len) else {
            return Ok(());
        };
        let advice = Advice::DontNeed;
        Ok(fadvise(&self.buffered, span.pos, Some(len), advice)?)
    }

    fn look(&self, span: Span) -> Result<Pages, Errno> {
        self.looker.look(&self.buffered, span, self.rules.page)
    }

    fn resident(&self, span: Span) -> Result<Vec<Span>, Errno> {
        look::resident(&self.buffered, span, self.rules.page)
    }

    fn write_direct(&self, buf: &[u8], pos: u64) -> Result<usize, Errno> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let written = rustix::io::pwrite(&self.direct, buf, pos);
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(written?)
    }

    fn write_buffered(&self, own: &File, buf: &[u8], pos: u64) -> Result<usize, Errno> {
        Ok(rustix::io::pwrite(own, buf, pos)?)
    }
}

/// Opens the same inode once more, whatever its path is now.
fn reopen(file: &File, more: OFlags) -> Result<File, Errno> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | more;
    Ok(open(path, flags, Mode::empty())?.into())
}
