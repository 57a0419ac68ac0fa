//! Reads an event log, up to its last whole record.

use anyhow::{Result, anyhow, bail};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::ZSTD_MAGIC;
use super::error::reason;
use super::frames::Source;
use super::line::{self, Head, Line};
use crate::event::{Event, SCHEMA};

/// Longest line that is read; the longest record of a log is far shorter.
const LINE_LIMIT: usize = 16 << 20;

/// How a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its `end` record: nothing is missing.
    Complete,
    /// After a whole record that is not `end`: the recorder was killed, or its disk was full.
    NoEnd,
    /// Inside a record or a zstd frame.
    Cut {
        /// Bytes of the file after the last whole record, or of the last frame, which is not
        /// whole: of that, whole records were read where they could be had.
        bytes_ignored: u64,
    },
}

impl Ending {
    /// A line that says what is missing from the log called `name`, if anything is.
    pub fn warning(self, name: &str) -> Option<String> {
        let how = match self {
            Self::Complete => return None,
            Self::NoEnd => "it has no `end` record".to_owned(),
            Self::Cut { bytes_ignored: 1 } => "its last byte is no whole record".to_owned(),
            Self::Cut { bytes_ignored } => {
                format!("its last {bytes_ignored} bytes are no whole record")
            }
        };
        Some(format!(
            "{name}: the log's tail is missing ({how}): what happened last and the losses are not known"
        ))
    }
}

/// The events of a log, one after the other.
pub struct Reader {
    name: String,
    source: Source,
    line: Vec<u8>,
    /// Number of the line in `line`, from 1.
    number: u64,
    /// `line` has not been looked at.
    fresh: bool,
    schema: u32,
    ending: Ending,
    unknown: u64,
    done: bool,
}

impl Reader {
    /// Opens the log at `path`, `-` for standard input, and looks at its first record.
    ///
    /// # Errors
    /// When it cannot be read, is no event log, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::new("standard input", Box::new(io::stdin()));
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| cannot_read(&name, &error))?;
        Self::new(name, Box::new(file))
    }

    /// A log read from `input`, called `name` in errors.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn new(name: impl Into<String>, input: Box<dyn Read + Send>) -> Result<Self> {
        let name = name.into();
        let source = Source::new(input).map_err(|error| cannot_read(&name, &error))?;
        let mut reader = Self {
            name,
            source,
            line: Vec::new(),
            number: 0,
            fresh: true,
            schema: SCHEMA,
            ending: Ending::NoEnd,
            unknown: 0,
            done: false,
        };
        reader.fetch()?;
        reader.check_head()?;
        Ok(reader)
    }

    /// Name of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the log ends. Known when every event has been read.
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// Number of records skipped so far because this version does not know their type.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Reads the next line into `self.line`, which stays empty at the end.
    fn fetch(&mut self) -> Result<()> {
        self.line.clear();
        self.number += 1;
        self.source
            .line(&mut self.line, LINE_LIMIT)
            .map_err(|error| {
                if self.number == 1 {
                    return cannot_read(&self.name, &error);
                }
                anyhow!(
                    "{}: the log is damaged after line {}: {}: the events before it are valid",
                    self.name,
                    self.number - 1,
                    reason(&error)
                )
            })
    }

    fn check_head(&mut self) -> Result<()> {
        match line::head(trim(&self.line)) {
            Head::Start(schema) => {
                self.schema = schema;
                Ok(())
            }
            Head::Newer(schema, version) => bail!(
                "{} was written by iomap-trace {version} with log schema {schema}, and this is \
                 iomap-trace {}, which reads schemas up to {SCHEMA}: use a newer iomap-trace",
                self.name,
                env!("CARGO_PKG_VERSION"),
            ),
            Head::Foreign if self.line.is_empty() && self.source.cut_frame().is_none() => {
                bail!("{} is not an iomap-trace event log: it is empty", self.name)
            }
            Head::Foreign if self.is_cut_head() => bail!(
                "{}: the log is cut inside its first record: there is nothing to report",
                self.name
            ),
            Head::Foreign => bail!(
                "{} is not an iomap-trace event log: its first record is not \"start\"",
                self.name
            ),
        }
    }

    fn is_cut_head(&self) -> bool {
        !self.line.ends_with(b"\n")
            && (self.source.cut_frame().is_some()
                || ZSTD_MAGIC.starts_with(&self.line)
                || line::begins_start(&self.line))
    }

    /// The event on `self.line`, if it holds one.
    fn event(&mut self) -> Result<Option<Event>> {
        if trim(&self.line).is_empty() {
            return Ok(None);
        }
        if self.number > 1 && self.line.starts_with(br#"{"type":"start""#) {
            // Logs may stand one after the other in a file.
            self.check_head()?;
        }
        match line::parse(trim(&self.line), self.schema) {
            Line::Event(event) => {
                self.ending = match *event {
                    Event::End(_) => Ending::Complete,
                    _ => Ending::NoEnd,
                };
                Ok(Some(*event))
            }
            Line::Derived => Ok(None),
            Line::Unknown => {
                self.unknown += 1;
                self.ending = Ending::NoEnd;
                Ok(None)
            }
            Line::Damaged => {
                let at_end = self.source.at_end();
                // If nothing follows, it is the tail.
                if !at_end.map_err(|error| cannot_read(&self.name, &error))? {
                    bail!(
                        "{}: line {} is damaged: the events before it are valid",
                        self.name,
                        self.number
                    );
                }
                self.cut(self.line.len() as u64);
                Ok(None)
            }
            Line::Malformed(why) => bail!(
                "{}: line {} is not a record of log schema {}: {why}",
                self.name,
                self.number,
                self.schema
            ),
        }
    }

    fn cut(&mut self, bytes: u64) {
        let bytes_ignored = self.source.cut_frame().unwrap_or(bytes);
        self.ending = Ending::Cut { bytes_ignored };
    }

    fn step(&mut self) -> Result<Option<Event>> {
        loop {
            if !std::mem::take(&mut self.fresh) {
                self.fetch()?;
            }
            if self.line.is_empty() {
                break;
            }
            if let Some(event) = self.event()? {
                return Ok(Some(event));
            }
        }
        if self.ending == Ending::NoEnd && self.source.cut_frame().is_some() {
            self.cut(0);
        }
        Ok(None)
    }
}

impl Iterator for Reader {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.step().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

fn trim(line: &[u8]) -> &[u8] {
    line.trim_ascii()
}

fn cannot_read(name: &str, error: &io::Error) -> anyhow::Error {
    anyhow!("{name} cannot be read: {}", reason(error))
}
