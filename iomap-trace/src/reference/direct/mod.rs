//! A direct write path in user space, on real files.
//!
//! It does with system calls what the kernel does inside one O_DIRECT write, step by step, with a
//! [`Policy`](super::Policy) where the kernel has one built in, and tells of every step what it took
//! and what it found. So it says what *should* have become of a write, and what each policy costs.
//!
//! ```no_run
//! use iomap_trace::reference::Policy;
//! use iomap_trace::reference::direct::{AlignedBuf, DirectFile, Route};
//! # fn main() -> anyhow::Result<()> {
//! let file = DirectFile::open("/srv/data/file".as_ref(), Policy::Fallback)?;
//! let mut block = AlignedBuf::new(16 << 10);
//! block.fill(7);
//! let outcome = file.write_at(&block, 1 << 20);
//! match outcome.result {
//!     Ok(bytes) if outcome.route == Route::Direct => println!("{bytes} bytes, direct"),
//!     Ok(bytes) => println!("{bytes} bytes; {} pages stayed", outcome.pre.cached()),
//!     Err(errno) => println!("{errno}: nothing was acknowledged"),
//! }
//! file.sync()?;
//! # Ok(())
//! # }
//! ```
//!
//! # The steps
//!
//! | [`Step`] | system call | mirrors |
//! | --- | --- | --- |
//! | `Flush` | `sync_file_range(2)` or `fdatasync(2)` | `filemap_write_and_wait_range()`, called by `generic_file_direct_write()` and `iomap_dio_rw()` (5.8 to 6.4), by `kiocb_invalidate_pages()` from 6.5 |
//! | `Drop`, `Look` | `posix_fadvise(2)` DONTNEED; `cachestat(2)`, or `mincore(2)` before 6.5 | `invalidate_inode_pages2_range()`; from 6.5 in `kiocb_invalidate_pages()` |
//! | `DirectWrite` | `pwrite(2)` with O_DIRECT | `a_ops->direct_IO()` of `generic_file_direct_write()`; `iomap_dio_bio_iter()` |
//! | `Check` | `sync_file_range(2)` on the last page that a file can have | nothing: see below |
//! | `SecondDrop`, `SecondLook` | as above | the second `invalidate_inode_pages2_range()`, of `generic_file_direct_write()` and `iomap_dio_complete()`; from 6.5 `kiocb_invalidate_post_direct_write()`; pages that stay are one `dio_warn_stale_pagecache()` |
//! | `BufferedWrite` | `pwrite(2)` | `generic_perform_write()` of `generic_file_write_iter()`; btrfs: `btrfs_buffered_write()` of `btrfs_direct_write()` |
//! | `SecondFlush` | as `Flush` | `filemap_write_and_wait_range()` of `direct_write_fallback()` (6.5; before, of `__generic_file_write_iter()`); btrfs: `btrfs_fdatawrite_range()`, `filemap_fdatawait_range()` |
//! | `SecondDrop` after it | as above | `invalidate_mapping_pages()`, which is what DONTNEED is: here nothing differs |
//!
//! Pages that stay are EBUSY to the policy, as to the kernel. Bytes are acknowledged as the kernel
//! acknowledges them: direct ones when the device has them, buffered ones after a flush without an
//! error. Neither is durable before [`DirectFile::sync`]. A short direct write goes on directly where
//! it is aligned, and otherwise buffered, as that of `generic_file_direct_write()` does in its
//! callers; `Strict` leaves it short, as XFS does.
//!
//! # What user space cannot do
//!
//! - The kernel drops a folio under the folio's lock, and holds the inode's `i_rwsem` over its steps.
//!   Here anything may happen between two steps: what was dropped may be read again, or made dirty.
//!   So pages also stay that another reader has just brought; a stale page is a risk, not a fact.
//! - DONTNEED leaves pages that are mapped, dirty, locked or under writeback.
//!   `invalidate_inode_pages2_range()` unmaps them, launders them, and waits for their locks. So
//!   user space falls back where the kernel would not: above all, for a page that is mapped and clean.
//! - DONTNEED leaves a large folio that reaches beyond the range; where clean pages stay, the range
//!   is dropped again as wide as the largest folio, and with it clean pages that are nobody's concern.
//! - DONTNEED starts writeback of pages that were made dirty since the flush: a look may find these
//!   under writeback.
//! - The direct write is the kernel's, which flushes and drops for itself. Pages that `Warn` writes
//!   past are unmapped and dropped by it, so that fewer are stale than were in 5.8; and where the
//!   kernel falls back itself, the route still says direct.
//! - A kernel that falls back itself waits for its writeback with `filemap_fdatawait_range()` (btrfs),
//!   which takes an error from flags that all writers of the file share: where two fall back at the
//!   same time and one's writeback fails, the other may be told, and the first has its write(2)
//!   acknowledged though nothing of it is on disk (seen on btrfs, 6.18). From 6.12 an error that
//!   another writer's pages left behind is itself a reason to fall back. So a direct write is followed
//!   by `Check`, and done again where that finds an error.
//! - `sync_file_range(2)` tells writeback errors from the file's `errseq_t`, and
//!   `filemap_write_and_wait_range()` from the mapping's flags. `dio_warn_stale_pagecache()` sets only
//!   the first, to EIO. So errors of before the write are forgotten first, and a flush that fails
//!   while another thread writes directly to the same [`DirectFile`] is tried again, a buffered write
//!   with its data. An error of another process's direct write cannot be told from a failed flush, and
//!   is taken for one: a write that is not acknowledged may be on disk, and never the reverse.
//! - `kiocb_invalidate_pages()` fails at once, without waiting, for IOCB_NOWAIT; there is no such
//!   write here.

mod align;
mod errno;
mod file;
mod look;
mod outcome;
mod path;
mod sys;

pub use crate::workload::buffer::AlignedBuf;
pub use align::{Alignment, Source};
pub use errno::Errno;
pub use file::{DirectFile, Flush};
pub use look::Looker;
pub use outcome::{Look, Pages, Route, Span, Step, StepDone, WriteOutcome};
