//! What became of one write.

use super::errno::Errno;
use serde::{Serialize, Serializer};

/// What became of one write, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriteOutcome {
    /// Bytes acknowledged, or why there are none. Fewer than asked for where a step failed after
    /// them: its error is in `steps`. Serialised as `ret`, bytes or a negative error number.
    #[serde(rename = "ret", serialize_with = "as_ret")]
    pub result: Result<usize, Errno>,
    /// The way that the acknowledged bytes took.
    pub route: Route,
    /// The page cache of the range after it was flushed and dropped, before the write.
    pub pre: Look,
    /// The page cache of the range after the write, when it was dropped once more. Of a write that
    /// is mixed: of its direct part.
    pub post: Look,
    /// Pages that stayed in the page cache over a direct write: they may differ from the disk.
    /// 0 for bytes written buffered, whose pages are what was written.
    pub stale_pages: u64,
    /// Where these pages are, in order. Empty also where the kernel does not tell.
    pub stale: Vec<Span>,
    /// How often a kernel of this policy would have called `dio_warn_stale_pagecache()`, which
    /// makes the next fsync return EIO.
    pub warnings: u32,
    /// How often a system call was interrupted by a signal and called again.
    pub interrupted: u32,
    /// Every step, in order.
    pub steps: Vec<StepDone>,
}

impl WriteOutcome {
    /// The first error of a step, if it failed.
    pub fn error(&self, step: Step) -> Option<Errno> {
        let mut of_step = self.steps.iter().filter(|done| done.step == step);
        of_step.find_map(|done| done.error)
    }

    /// Time that a step took in nanoseconds, all its turns together; 0 where it was not reached.
    pub fn elapsed_ns(&self, step: Step) -> u64 {
        let of_step = self.steps.iter().filter(|done| done.step == step);
        of_step.map(|done| done.elapsed_ns).sum()
    }
}

/// The way that data took to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// Through the descriptor with O_DIRECT. What the kernel makes of that it does not tell: btrfs
    /// writes checksummed files buffered whatever the flag (6.12.y, 6.15 to 7.2).
    Direct,
    /// Through the page cache, and flushed.
    Buffered,
    /// Begun directly, ended through the page cache.
    Mixed,
    /// Nothing was written.
    None,
}

/// What a look at the page cache of a range found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    /// The write did not come that far.
    NotTaken,
    /// These pages.
    Found(Pages),
    /// The kernel refused to tell.
    Failed(Errno),
}

impl Look {
    /// Pages that were found; 0 where it is not known.
    pub const fn cached(self) -> u64 {
        match self {
            Self::Found(pages) => pages.cached,
            Self::NotTaken | Self::Failed(_) => 0,
        }
    }
}

/// Pages of a range that are in the page cache, in base pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// All of them. `mincore(2)` leaves out those that are not up to date.
    pub cached: u64,
    /// Those that are dirty; `None` where only `mincore(2)` was there, which does not tell.
    pub dirty: Option<u64>,
    /// Those under writeback; `None` as above.
    pub writeback: Option<u64>,
}

/// A range of a file in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Span {
    /// Offset.
    pub pos: u64,
    /// Length.
    pub len: u64,
}

impl Span {
    /// Offset of the first byte after it.
    pub const fn end(self) -> u64 {
        self.pos + self.len
    }

    /// The smallest range around it that begins and ends at multiples of `unit`, a power of two.
    /// No offset is larger than `i64::MAX`.
    pub(super) const fn widened(self, unit: u64) -> Self {
        let pos = self.pos & !(unit - 1);
        let last = i64::MAX as u64 & !(unit - 1);
        let end = if self.end() > last {
            i64::MAX as u64
        } else {
            self.end().next_multiple_of(unit)
        };
        Self {
            pos,
            len: end - pos,
        }
    }
}

/// A step of a write. Its kernel function stands in the [module's documentation](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Dirty pages of the range are written back.
    Flush,
    /// The pages of the range are dropped.
    Drop,
    /// The page cache is looked at.
    Look,
    /// Data is written with O_DIRECT.
    DirectWrite,
    /// The file is asked for a writeback error since the flush: after one, the data is written again.
    Check,
    /// Data is written through the page cache.
    BufferedWrite,
    /// What was written through the page cache is written back.
    SecondFlush,
    /// The pages are dropped once more.
    SecondDrop,
    /// The page cache is looked at once more.
    SecondLook,
}

/// A step that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StepDone {
    /// Which one.
    pub step: Step,
    /// Its duration in nanoseconds.
    pub elapsed_ns: u64,
    /// Its error, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Errno>,
}

/// As a system call returns it: bytes, or a negative error number.
fn as_ret<S: Serializer>(result: &Result<usize, Errno>, serializer: S) -> Result<S::Ok, S::Error> {
    match result {
        Ok(bytes) => serializer.serialize_u64(*bytes as u64),
        Err(errno) => errno.serialize(serializer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_to_whole_units_and_never_beyond_the_largest_offset() {
        let span = |pos, len| Span { pos, len };
        assert_eq!(span(512, 512).widened(4096), span(0, 4096));
        assert_eq!(span(4096, 4097).widened(4096), span(4096, 8192));
        assert_eq!(span(4096, 4096).widened(4096), span(4096, 4096));
        let end = i64::MAX as u64;
        assert_eq!(span(end - 10, 10).widened(4096).end(), end);
        assert_eq!(span(end - 4095, 0).widened(4096), span(end - 4095, 0));
    }

    #[test]
    fn a_result_is_serialised_as_a_return_value() {
        let mut outcome = WriteOutcome {
            result: Ok(4096),
            route: Route::Direct,
            pre: Look::Found(Pages::default()),
            post: Look::Failed(Errno::IO),
            stale_pages: 0,
            stale: Vec::new(),
            warnings: 0,
            interrupted: 0,
            steps: vec![StepDone {
                step: Step::SecondLook,
                elapsed_ns: 7,
                error: Some(Errno::IO),
            }],
        };
        let json = serde_json::to_value(&outcome).unwrap();
        assert_eq!(json["ret"], 4096);
        assert_eq!(json["post"]["failed"], -5);
        assert_eq!(json["pre"]["found"]["cached"], 0);
        assert_eq!(json["steps"][0]["step"], "second-look");
        assert_eq!(outcome.error(Step::SecondLook), Some(Errno::IO));
        assert_eq!(outcome.error(Step::Look), None);
        assert_eq!(outcome.elapsed_ns(Step::SecondLook), 7);
        outcome.result = Err(Errno::BUSY);
        assert_eq!(serde_json::to_value(&outcome).unwrap()["ret"], -16);
    }
}
