//! The events of a log, many at a time.

use anyhow::{Result, anyhow};
use std::io;

use super::batch::{Batch, Stop};
use super::cutter::{Cutter, Piece, cannot_read};
use super::ending::Ending;
use super::error::reason;
use super::pipeline::Pipeline;
use crate::event::Event;

/// Where batches come from.
pub(super) enum Feed {
    /// This thread reads and parses.
    Inline(Box<Cutter>),
    /// Others do.
    Pipeline(Pipeline),
}

impl Feed {
    fn next(&mut self) -> Piece<Batch> {
        match self {
            Self::Pipeline(pipeline) => pipeline.next(),
            Self::Inline(cutter) => match cutter.next() {
                Piece::Lines(lines) => Piece::Lines(Batch::parse(&lines)),
                Piece::Refused(error) => Piece::Refused(error),
                Piece::Failed { error, inside } => Piece::Failed { error, inside },
                Piece::End { cut_frame } => Piece::End { cut_frame },
            },
        }
    }
}

/// A damaged line after which nothing has been seen to follow: the tail, if nothing does.
#[derive(Clone, Copy)]
struct Tail {
    number: u64,
    len: u64,
}

/// The batches of a log, and what they amount to.
pub(super) struct Batches {
    pub(super) name: String,
    pub(super) feed: Feed,
    /// Lines of the batches given so far.
    lines: u64,
    pub(super) ending: Ending,
    pub(super) unknown: u64,
    tail: Option<Tail>,
    error: Option<anyhow::Error>,
    done: bool,
}

impl Batches {
    pub(super) fn new(name: String, feed: Feed) -> Self {
        Self {
            name,
            feed,
            lines: 0,
            ending: Ending::NoEnd,
            unknown: 0,
            tail: None,
            error: None,
            done: false,
        }
    }

    /// The next events, at least one; an error comes after all that precede it, and is the last.
    pub(super) fn next(&mut self) -> Option<Result<Vec<Event>>> {
        while !self.done {
            if let Some(error) = self.error.take() {
                self.done = true;
                return Some(Err(error));
            }
            let piece = self.feed.next();
            if let Some(events) = self.take(piece)
                && !events.is_empty()
            {
                return Some(Ok(events));
            }
        }
        None
    }

    fn take(&mut self, piece: Piece<Batch>) -> Option<Vec<Event>> {
        match (piece, self.tail.take()) {
            (Piece::Lines(batch), None) => return Some(self.batch(batch)),
            (Piece::Lines(_) | Piece::Refused(_) | Piece::Failed { inside: true, .. }, Some(t)) => {
                self.error = Some(self.damaged(t.number));
            }
            (Piece::Refused(error), None) => self.error = Some(error),
            (Piece::Failed { error, .. }, None) => {
                self.error = Some(anyhow!(
                    "{}: the log is damaged after line {}: {}: the events before it are valid",
                    self.name,
                    self.lines,
                    reason(&error)
                ));
            }
            (Piece::Failed { error, .. }, Some(_)) => {
                self.error = Some(cannot_read(&self.name, &error));
            }
            (Piece::End { cut_frame }, tail) => {
                let bytes = match tail {
                    Some(tail) => Some(cut_frame.unwrap_or(tail.len)),
                    None if self.ending == Ending::NoEnd => cut_frame,
                    None => None,
                };
                if let Some(bytes_ignored) = bytes {
                    self.ending = Ending::Cut { bytes_ignored };
                }
                self.done = true;
            }
        }
        None
    }

    fn batch(&mut self, batch: Batch) -> Vec<Event> {
        self.lines += batch.lines;
        self.unknown += batch.unknown;
        match batch.ended {
            Some(true) => self.ending = Ending::Complete,
            Some(false) => self.ending = Ending::NoEnd,
            None => {}
        }
        let number = self.lines;
        match batch.stop {
            None => {}
            Some(Stop::Damaged { len, last: true }) => self.tail = Some(Tail { number, len }),
            Some(Stop::Damaged { .. }) => self.error = Some(self.damaged(number)),
            Some(Stop::Malformed { schema, why }) => {
                self.error = Some(anyhow!(
                    "{}: line {number} is not a record of log schema {schema}: {why}",
                    self.name
                ));
            }
        }
        batch.events
    }

    fn damaged(&self, number: u64) -> anyhow::Error {
        anyhow!(
            "{}: line {number} is damaged: the events before it are valid",
            self.name
        )
    }
}

/// Bytes read from an input so far, counted as they are read.
pub(super) struct Counted<R> {
    pub(super) input: R,
    pub(super) bytes: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl<R: io::Read> io::Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        self.bytes
            .fetch_add(read as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(read)
    }
}
