//! The events of a piece of a log.

use memchr::memchr;

use super::cutter::Lines;
use super::line::{self, Line};
use crate::event::Event;

/// What a piece of whole lines holds.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    /// Number of its lines, up to the one at which it stops.
    pub(super) lines: u64,
    /// Records of a type this version does not know.
    pub(super) unknown: u64,
    /// Whether its last record is `end`; `None` without any record.
    pub(super) ended: Option<bool>,
    /// Why its last line is not read, and what follows is not either.
    pub(super) stop: Option<Stop>,
}

/// A line that is no record.
#[derive(Debug)]
pub(super) enum Stop {
    /// No JSON object, so many bytes long. `last`: no line follows in this piece.
    Damaged { len: u64, last: bool },
    /// It lacks what its type has in this schema, with the reason.
    Malformed { schema: u32, why: String },
}

/// Bytes of a usual record, for a first guess.
const USUAL: usize = 192;

impl Batch {
    /// Reads the lines.
    pub(super) fn parse(lines: &Lines) -> Self {
        let mut batch = Self {
            events: Vec::with_capacity(lines.bytes.len() / USUAL + 1),
            ..Self::default()
        };
        let mut rest = &lines.bytes[..];
        while !rest.is_empty() && batch.stop.is_none() {
            let len = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(len);
            rest = after;
            batch.line(line, lines.schema, rest.is_empty());
        }
        batch
    }

    fn line(&mut self, line: &[u8], schema: u32, last: bool) {
        self.lines += 1;
        let record = line.trim_ascii();
        if record.is_empty() {
            return;
        }
        match line::parse(record, schema) {
            Line::Event(event) => {
                self.ended = Some(matches!(event, Event::End(_)));
                self.events.push(event);
            }
            Line::Derived => {}
            Line::Unknown => {
                self.unknown += 1;
                self.ended = Some(false);
            }
            Line::Damaged => {
                let len = line.len() as u64;
                self.stop = Some(Stop::Damaged { len, last });
            }
            Line::Malformed(why) => self.stop = Some(Stop::Malformed { schema, why }),
        }
    }
}
