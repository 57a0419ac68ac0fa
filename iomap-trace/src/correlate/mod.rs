//! The pure engine: events in, verdicts out. No I/O, no clock, no kernel.
//!
//! [`Engine`] gathers the records of each failure into a case and keeps the recent holders; the
//! judge decides each case from what it holds. Time passes only through the events themselves, so
//! the same records give the same verdicts wherever and whenever they are read.

mod calendar;
mod case;
mod engine;
mod evidence;
mod fetch;
mod folio;
mod held;
mod hold;
mod index;
mod judge;
mod losses;
mod near;
mod queue;
mod refused;
mod seen;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod verdict;
mod why;
mod witnesses;

pub use engine::{Engine, Judged, Open};
pub use losses::HOOKS;
pub use verdict::{Cause, Confidence, Party, Verdict, Witness};
