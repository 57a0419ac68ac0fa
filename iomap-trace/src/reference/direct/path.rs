//! The write path itself: which step follows which, over any [`Backing`].

use super::align::Alignment;
use super::errno::Errno;
use super::outcome::{Look, Pages, Route, Span, Step, StepDone, WriteOutcome};
use crate::reference::{Next, Policy};
use std::time::Instant;

/// What the steps are done with: the file, or in tests a file that fails as told.
///
/// Ranges to flush, drop and look at are whole pages.
pub(super) trait Backing {
    /// A descriptor that one write has for itself. A descriptor reports each writeback error once:
    /// were it shared, another thread's flush could take the error that says that this write is lost.
    type Own;

    /// Takes a descriptor.
    fn own(&self) -> Result<Self::Own, Errno>;
    /// Gives it back.
    fn give_back(&self, own: Self::Own);
    /// Reports a writeback error since the last report, without waiting for anything.
    fn writeback_error(&self, own: &Self::Own) -> Result<(), Errno>;
    /// A moment, for [`Backing::is_disturbed`].
    fn moment(&self) -> Moment;
    /// Was there another thread's direct write at any time since then? A direct write whose pages
    /// cannot be dropped sets a writeback error, although no writeback failed.
    fn is_disturbed(&self, since: Moment) -> bool;
    /// Writes back and waits, and reports any writeback error since the last report.
    fn flush(&self, own: &Self::Own, span: Span) -> Result<(), Errno>;
    /// Drops the pages of the range.
    fn drop_pages(&self, span: Span) -> Result<(), Errno>;
    /// Counts the pages of the range.
    fn look(&self, span: Span) -> Result<Pages, Errno>;
    /// Says where they are.
    fn resident(&self, span: Span) -> Result<Vec<Span>, Errno>;
    /// Writes with O_DIRECT.
    fn write_direct(&self, buf: &[u8], pos: u64) -> Result<usize, Errno>;
    /// Writes through the page cache.
    fn write_buffered(&self, own: &Self::Own, buf: &[u8], pos: u64) -> Result<usize, Errno>;
}

/// A moment in the life of a file: the number of direct writes that had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) u64);

/// How often a step is tried whose error may be another's.
const TRIES: u32 = 16;

/// What does not change from write to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) policy: Policy,
    pub(super) alignment: Alignment,
    /// Page size in bytes.
    pub(super) page: u64,
    /// Size in bytes of the largest folio that the page cache makes.
    pub(super) largest_folio: u64,
}

/// Writes `buf` at `pos`: alignment and length were checked.
pub(super) fn write<B: Backing>(backing: &B, rules: &Rules, buf: &[u8], pos: u64) -> WriteOutcome {
    let own = match backing.own() {
        Ok(own) => own,
        Err(errno) => return WriteOutcome::nothing(Err(errno)),
    };
    let mut write = Write {
        backing,
        own,
        rules,
        out: WriteOutcome::nothing(Ok(0)),
    };
    let span = Span {
        pos,
        len: buf.len() as u64,
    };
    match write.before(span) {
        Next::Fail(errno) => write.out.result = Err(Errno::new(errno)),
        Next::GoOn => write.directly(buf, span),
        Next::Buffered => write.buffered(buf, span),
    }
    backing.give_back(write.own);
    write.out
}

struct Write<'a, B: Backing> {
    backing: &'a B,
    own: B::Own,
    rules: &'a Rules,
    out: WriteOutcome,
}

/// What became of a write with O_DIRECT.
#[derive(Default)]
struct DirectPart {
    bytes: usize,
    error: Option<Errno>,
    /// It was short, and cannot go on directly.
    rest_is_buffered: bool,
}

impl<B: Backing> Write<'_, B> {
    /// Does a step: again where a signal interrupted it, with its time and its error noted.
    fn step<T>(
        &mut self,
        step: Step,
        mut act: impl FnMut(&B, &B::Own) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let begun = Instant::now();
        let result = loop {
            match act(self.backing, &self.own) {
                Err(Errno::INTR) => self.out.interrupted += 1,
                other => break other,
            }
        };
        self.out.steps.push(StepDone {
            step,
            elapsed_ns: u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX),
            error: result.as_ref().err().copied(),
        });
        result
    }

    /// Forgets the writeback errors of before: a descriptor that reports them all, once, is that of
    /// [`DirectFile::sync`](super::DirectFile::sync).
    fn forget_errors(&self) {
        let _forgotten = self.backing.writeback_error(&self.own);
    }

    /// Flushes, drops and looks; says what the policy makes of it.
    fn before(&mut self, span: Span) -> Next {
        let policy = self.rules.policy;
        let pages = span.widened(self.rules.page);
        if let Err(errno) = self.first_flush(pages) {
            return policy.after_flush(errno.raw(), policy == Policy::Enotblk);
        }
        self.out.pre = self.drop_and_look(pages, Step::Drop, Step::Look);
        let errno = match self.out.pre {
            Look::Found(found) if found.cached == 0 => return Next::GoOn,
            Look::Found(_) | Look::NotTaken => Errno::BUSY,
            Look::Failed(errno) => errno,
        };
        let next = policy.after_invalidation(errno.raw());
        if next == Next::GoOn {
            self.out.warnings += 1;
        }
        next
    }

    /// Writes back what is dirty. Errors of before are not this write's; an error that may be another
    /// direct write's is no failed flush when there is none the next time.
    fn first_flush(&mut self, pages: Span) -> Result<(), Errno> {
        let mut tries = TRIES;
        loop {
            let moment = self.backing.moment();
            self.forget_errors();
            let flushed = self.step(Step::Flush, |file, own| file.flush(own, pages));
            tries -= 1;
            if flushed.is_ok() || tries == 0 || !self.backing.is_disturbed(moment) {
                return flushed;
            }
        }
    }

    /// Drops the pages of a range and looks what is left.
    ///
    /// An error of dropping is noted, no more: the look says whether pages stayed. POSIX_FADV_DONTNEED
    /// leaves a large folio that the range only touches, which `invalidate_inode_pages2_range()`
    /// drops: where clean pages stay, all that a large folio may cover is dropped.
    fn drop_and_look(&mut self, pages: Span, drop: Step, look: Step) -> Look {
        let _noted = self.step(drop, |file, _| file.drop_pages(pages));
        let found = self.step(look, |file, _| file.look(pages));
        let wide = pages.widened(self.rules.largest_folio);
        let found = match found {
            Ok(found) if found.cached > 0 && wide != pages => {
                let _noted = self.step(drop, |file, _| file.drop_pages(wide));
                self.step(look, |file, _| file.look(pages))
            }
            found => found,
        };
        match found {
            Ok(found) => Look::Found(found),
            Err(errno) => Look::Failed(errno),
        }
    }

    /// Writes with O_DIRECT, and drops the range once more.
    ///
    /// The kernel may write buffered without telling, and where several threads write, the error of
    /// its writeback may be told to another one (`AS_EIO` of the mapping is cleared by whoever looks
    /// first). So after any writeback error the write is done again. An error that does not go away
    /// may be that of a page which stays: that is acknowledged, as the kernel does, and
    /// [`DirectFile::sync`](super::DirectFile::sync) tells of it.
    fn directly(&mut self, buf: &[u8], span: Span) {
        let mut tries = TRIES;
        let written = loop {
            let written = self.write_all_direct(buf, span.pos);
            // A write that failed may have reached the disk in part: what it was sent to is dropped.
            self.after_direct(span);
            if written.bytes == 0 {
                break written;
            }
            tries -= 1;
            match self.step(Step::Check, B::writeback_error) {
                Err(_) if tries > 0 => {}
                Err(errno) if self.out.stale_pages == 0 => {
                    break DirectPart {
                        error: Some(errno),
                        ..DirectPart::default()
                    };
                }
                _ => break written,
            }
        };
        if self.out.stale_pages > 0 {
            self.out.warnings += 1;
        }
        let done = written.bytes;
        self.acknowledge(done, Route::Direct, written.error);
        if written.rest_is_buffered && self.rules.policy != Policy::Strict {
            let rest = Span {
                pos: span.pos + done as u64,
                len: (buf.len() - done) as u64,
            };
            self.buffered(&buf[done..], rest);
        }
    }

    /// Writes with O_DIRECT, as far as that goes.
    fn write_all_direct(&mut self, buf: &[u8], start: u64) -> DirectPart {
        let mut part = DirectPart::default();
        while part.bytes < buf.len() {
            let pos = start + part.bytes as u64;
            let rest = &buf[part.bytes..];
            match self.step(Step::DirectWrite, |file, _| file.write_direct(rest, pos)) {
                Err(errno) => {
                    part.error = Some(errno);
                    break;
                }
                Ok(bytes) => part.bytes += bytes.min(rest.len()),
            }
            let here = start + part.bytes as u64;
            let stuck = here == pos;
            if part.bytes < buf.len() && (stuck || !self.rules.alignment.is_offset(here)) {
                part.rest_is_buffered = true;
                break;
            }
        }
        part
    }

    /// Drops the range once more; what stays may be stale.
    fn after_direct(&mut self, span: Span) {
        let pages = span.widened(self.rules.page);
        self.out.post = self.drop_and_look(pages, Step::SecondDrop, Step::SecondLook);
        self.out.stale_pages = self.out.post.cached();
        self.out.stale = match self.out.stale_pages {
            0 => Vec::new(),
            _ => self.backing.resident(pages).unwrap_or_default(),
        };
    }

    /// Writes through the page cache, flushes, and drops the pages: acknowledged is only what was
    /// flushed without an error. A flush whose error may be another direct write's is done again,
    /// and so is the write, since the error may be its own as well.
    fn buffered(&mut self, buf: &[u8], span: Span) {
        let mut tries = TRIES;
        let (done, error) = loop {
            let moment = self.backing.moment();
            self.forget_errors();
            let (done, error) = self.write_all_buffered(buf, span.pos);
            if done == 0 {
                break (0, error);
            }
            let pages = Span {
                pos: span.pos,
                len: done as u64,
            }
            .widened(self.rules.page);
            let flushed = self.step(Step::SecondFlush, |file, own| file.flush(own, pages));
            tries -= 1;
            match flushed {
                Ok(()) => {
                    self.drop_written(pages);
                    break (done, error);
                }
                Err(_) if tries > 0 && self.backing.is_disturbed(moment) => {}
                Err(errno) => break (0, Some(errno)),
            }
        };
        self.acknowledge(done, Route::Buffered, error);
    }

    /// Bytes that the page cache took, and why not all.
    fn write_all_buffered(&mut self, buf: &[u8], pos: u64) -> (usize, Option<Errno>) {
        let mut done = 0;
        while done < buf.len() {
            let (rest, here) = (&buf[done..], pos + done as u64);
            let write = |file: &B, own: &B::Own| file.write_buffered(own, rest, here);
            match self.step(Step::BufferedWrite, write) {
                Ok(0) => return (done, Some(Errno::IO)),
                Ok(bytes) => done += bytes.min(rest.len()),
                Err(errno) => return (done, Some(errno)),
            }
        }
        (done, None)
    }

    /// Drops what was written through the page cache and flushed.
    fn drop_written(&mut self, pages: Span) {
        if self.out.post == Look::NotTaken {
            self.out.post = self.drop_and_look(pages, Step::SecondDrop, Step::SecondLook);
        } else {
            let _noted = self.step(Step::SecondDrop, |file, _| file.drop_pages(pages));
        }
    }

    /// Adds bytes to the result. An error counts only where no byte was acknowledged before it, as
    /// in `direct_write_fallback()` (6.6; `generic_file_write_iter()` before).
    fn acknowledge(&mut self, bytes: usize, route: Route, error: Option<Errno>) {
        let before = self.out.result.unwrap_or(0);
        self.out.result = match (before + bytes, error) {
            (0, Some(errno)) => Err(errno),
            (total, _) => Ok(total),
        };
        if bytes > 0 {
            self.out.route = if before > 0 { Route::Mixed } else { route };
        }
    }
}

impl WriteOutcome {
    /// Of a write of which no step was taken.
    pub(super) const fn nothing(result: Result<usize, Errno>) -> Self {
        Self {
            result,
            route: Route::None,
            pre: Look::NotTaken,
            post: Look::NotTaken,
            stale_pages: 0,
            stale: Vec::new(),
            warnings: 0,
            interrupted: 0,
            steps: Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
