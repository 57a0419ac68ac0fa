//! The pure engine: events in, verdicts out. No I/O, no clock, no kernel.

mod engine;
mod judge;
mod verdict;

pub use engine::{Engine, Judged};
pub use verdict::{Cause, Confidence, Party, Verdict, Witness};
