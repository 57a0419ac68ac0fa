//! A direct write path in user space, on real files.

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
