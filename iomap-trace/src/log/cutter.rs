//! Cuts a log's contents into pieces of whole lines.

use anyhow::{Result, anyhow, bail};
use memchr::{memchr, memmem, memrchr};
use std::io;

use super::ZSTD_MAGIC;
use super::error::reason;
use super::frames::{Input, Source};
use super::line::{self, Head};
use crate::event::SCHEMA;

/// Longest line that is read; the longest record of a log is far shorter.
const LINE_LIMIT: usize = 16 << 20;

/// Bytes read at a time.
const READ: usize = 128 << 10;

/// Bytes that are gathered for a piece of a file.
const GATHER: usize = 192 << 10;

/// How every `start` record of the writer begins.
const START: &[u8] = br#"{"type":"start""#;

/// Whole lines of one schema.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) bytes: Vec<u8>,
    pub(super) schema: u32,
}

/// What comes next in a log.
#[derive(Debug)]
pub(super) enum Piece<L> {
    /// Lines, one at least.
    Lines(L),
    /// A log begins that cannot be read. Nothing follows.
    Refused(anyhow::Error),
    /// Reading failed, after some bytes of a line (`inside`) or at its beginning. Nothing follows.
    Failed { error: io::Error, inside: bool },
    /// Nothing follows. Compressed bytes of the last frame, when it is not whole.
    End { cut_frame: Option<u64> },
}

/// Reads a log piece by piece. Only the first line of each log in the file is looked at: it tells
/// the schema of those that follow.
pub(super) struct Cutter {
    name: String,
    source: Source,
    /// Read, and not handed out. Begins where a line begins.
    rest: Vec<u8>,
    /// In so many of these bytes there is no newline.
    searched: usize,
    /// Bytes to gather before a piece is handed out.
    gather: usize,
    schema: u32,
    /// No line has been handed out.
    fresh: bool,
    failed: Option<io::Error>,
    at_end: bool,
}

impl Cutter {
    /// Reads `input`, which is called `name` in errors, and looks at its first line. `patient`:
    /// much may be read before something is handed out, because reading does not wait for a writer.
    pub(super) fn new(name: &str, input: Input, patient: bool) -> Result<Self> {
        let source = Source::new(input).map_err(|error| cannot_read(name, &error))?;
        let mut cutter = Self {
            name: name.to_owned(),
            source,
            rest: Vec::new(),
            searched: 0,
            gather: if patient { GATHER } else { 1 },
            schema: SCHEMA,
            fresh: true,
            failed: None,
            at_end: false,
        };
        let len = cutter.whole_lines();
        if len == 0
            && let Some(error) = cutter.failed.take()
        {
            return Err(cannot_read(name, &error));
        }
        let line = memchr(b'\n', &cutter.rest[..len]).map_or(len, |at| at + 1);
        cutter.check_head(line)?;
        Ok(cutter)
    }

    /// What comes next. Not to be called again after the last piece.
    pub(super) fn next(&mut self) -> Piece<Lines> {
        let len = self.whole_lines();
        if len == 0 {
            return match self.failed.take() {
                Some(error) => Piece::Failed {
                    error,
                    inside: !self.rest.is_empty(),
                },
                None => Piece::End {
                    cut_frame: self.source.cut_frame(),
                },
            };
        }
        // Logs may stand one after the other in a file: each begins a piece of its own.
        let next_log = memmem::find_iter(&self.rest[..len], START)
            .find(|at| *at > 0 && self.rest[*at - 1] == b'\n');
        let len = next_log.unwrap_or(len);
        if !std::mem::take(&mut self.fresh) && self.rest.starts_with(START) {
            let line = memchr(b'\n', &self.rest[..len]).map_or(len, |at| at + 1);
            if let Err(error) = self.check_head(line) {
                return Piece::Refused(error);
            }
        }
        let mut rest = Vec::with_capacity(self.gather + READ);
        rest.extend_from_slice(&self.rest[len..]);
        self.rest.truncate(len);
        self.searched = 0;
        Piece::Lines(Lines {
            bytes: std::mem::replace(&mut self.rest, rest),
            schema: self.schema,
        })
    }

    /// Length of the whole lines in `rest`, after reading until there are some; the end of the
    /// contents, and [`LINE_LIMIT`], end a line as well. 0 at the end, and where reading failed.
    fn whole_lines(&mut self) -> usize {
        loop {
            let over = self.at_end || self.failed.is_some();
            if over || self.rest.len() >= self.gather {
                if let Some(long) = self.rest.get(..LINE_LIMIT)
                    && memchr(b'\n', long).is_none()
                {
                    return LINE_LIMIT;
                }
                if let Some(at) = memrchr(b'\n', &self.rest[self.searched..]) {
                    return self.searched + at + 1;
                }
                self.searched = self.rest.len();
                if over {
                    return if self.at_end { self.rest.len() } else { 0 };
                }
            }
            self.read();
        }
    }

    fn read(&mut self) {
        let len = self.rest.len();
        self.rest.resize(len + READ, 0);
        let read = self.source.read(&mut self.rest[len..]);
        self.rest.truncate(len + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => self.at_end = true,
            Ok(_) => {}
            Err(error) => self.failed = Some(error),
        }
    }

    /// Looks at the first `len` bytes of `rest`: a log's first line.
    fn check_head(&mut self, len: usize) -> Result<()> {
        let (name, line) = (&self.name, &self.rest[..len]);
        let cut_frame = self.source.cut_frame().is_some();
        match line::head(line.trim_ascii()) {
            Head::Start(schema) => {
                self.schema = schema;
                Ok(())
            }
            Head::Newer(schema, version) => bail!(
                "{name} was written by iomap-trace {version} with log schema {schema}, and this is \
                 iomap-trace {}, which reads schemas up to {SCHEMA}: use a newer iomap-trace",
                env!("CARGO_PKG_VERSION"),
            ),
            Head::Foreign if line.is_empty() && !cut_frame => {
                bail!("{name} is not an iomap-trace event log: it is empty")
            }
            Head::Foreign if is_cut_head(line, cut_frame) => {
                bail!("{name}: the log is cut inside its first record: there is nothing to report")
            }
            Head::Foreign => {
                bail!("{name} is not an iomap-trace event log: its first record is not \"start\"")
            }
        }
    }
}

fn is_cut_head(line: &[u8], cut_frame: bool) -> bool {
    !line.ends_with(b"\n")
        && (cut_frame || ZSTD_MAGIC.starts_with(line) || line::begins_start(line))
}

/// The error of a log that cannot be opened or read.
pub(super) fn cannot_read(name: &str, error: &io::Error) -> anyhow::Error {
    anyhow!("{name} cannot be read: {}", reason(error))
}
