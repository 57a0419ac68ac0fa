//! Gathers the records of each failure, and hands it to the judge when its evidence is complete.

use crate::correlate::Verdict;
use crate::event::{Event, Failure, Start};

/// A failure and what the engine says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The failure.
    pub failure: Failure,
    /// The verdict.
    pub verdict: Verdict,
}

/// The engine.
#[derive(Debug)]
pub struct Engine;

impl Engine {
    /// An engine for the run that `start` describes.
    pub fn new(_start: &Start) -> Self {
        Self
    }

    /// Takes one event; verdicts that became certain are appended to `out`.
    pub fn push(&mut self, _event: &Event, _out: &mut Vec<Judged>) {}

    /// Ends the run: everything still open is judged with what is known.
    pub fn finish(&mut self, _out: &mut Vec<Judged>) {}
}
