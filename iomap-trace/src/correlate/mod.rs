//! The pure engine: events in, verdicts out. No I/O, no clock, no kernel.
//!
//! [`Engine`] gathers the records of each failure into a case and keeps the recent holders; the
//! judge decides each case from what it holds. Time passes only through the events themselves, so
//! the same records give the same verdicts wherever and whenever they are read.

mod case;
mod engine;
mod folio;
mod hold;
mod judge;
mod refused;
#[cfg(test)]
mod tests;
mod verdict;

pub use engine::{Engine, Judged};
pub use verdict::{Cause, Confidence, Party, Verdict, Witness};
