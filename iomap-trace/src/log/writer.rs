//! Writes the event log.

use anyhow::{Context, Result};
use std::fs::File;
use std::io;
use std::path::Path;

use super::error::LogError;
use super::sink::{self, LogFile, Sink};
use crate::event::Event;

/// Buffered bytes at which the log is flushed without being asked.
const FLUSH_AT: usize = 256 << 10;

/// zstd's default level.
const LEVEL: i32 = 3;

/// An event log being written. A flush puts whole records, and with zstd a whole frame, on disk.
///
/// The first write error is returned once. From then on nothing is written any more and records
/// are only counted ([`Writer::dropped`]); what was on disk stays there.
pub struct Writer<S: Sink = File> {
    sink: S,
    name: String,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// Whole lines not written yet.
    pending: Vec<u8>,
    /// Number of lines in `pending`.
    pending_records: u64,
    /// Bytes on disk that are whole records (with zstd, whole frames).
    len: u64,
    records: u64,
    dropped: u64,
    stopped: bool,
}

impl Writer {
    /// Creates the log at `path`, readable by its owner only, or empties the file that is there.
    /// It is compressed when the name ends in `.zst`.
    ///
    /// # Errors
    /// When the file cannot be created, or `path` is a symbolic link.
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let sink =
            sink::create(path).map_err(|error| super::error::cannot_create(&name, &error))?;
        Self::new(sink, name, path.extension().is_some_and(|end| end == "zst"))
    }
}

impl<S: Sink> Writer<S> {
    /// A log written to the empty `sink`, called `name` in errors.
    ///
    /// # Errors
    /// When zstd cannot be set up, for want of memory.
    pub fn new(sink: S, name: impl Into<String>, compressed: bool) -> Result<Self> {
        let zstd = if compressed {
            let mut zstd = zstd::bulk::Compressor::new(LEVEL).context("zstd cannot be set up")?;
            zstd.include_checksum(true)
                .context("zstd cannot be set up")?;
            Some(zstd)
        } else {
            None
        };
        Ok(Self {
            sink,
            name: name.into(),
            zstd,
            pending: Vec::with_capacity(FLUSH_AT + (16 << 10)),
            pending_records: 0,
            len: 0,
            records: 0,
            dropped: 0,
            stopped: false,
        })
    }

    /// Takes one record. It is on disk after the next [`Writer::flush`], which happens here when
    /// much has gathered.
    ///
    /// # Errors
    /// When that flush fails: once, see [`Writer`].
    pub fn append(&mut self, event: &Event) -> Result<(), LogError> {
        if self.stopped {
            self.dropped += 1;
            return Ok(());
        }
        let start = self.pending.len();
        if let Err(error) = serde_json::to_writer(&mut self.pending, event) {
            self.pending.truncate(start);
            self.dropped += 1;
            return Err(self.stop(error.into()));
        }
        self.pending.push(b'\n');
        self.pending_records += 1;
        if self.pending.len() >= FLUSH_AT {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what has gathered. Meant to be called on a timer, some times a second.
    ///
    /// # Errors
    /// When it cannot be written: once, see [`Writer`].
    pub fn flush(&mut self) -> Result<(), LogError> {
        if self.stopped || self.pending.is_empty() {
            return Ok(());
        }
        let frame = match &mut self.zstd {
            None => None,
            Some(zstd) => match zstd.compress(&self.pending) {
                Ok(frame) => Some(frame),
                Err(error) => return Err(self.stop(error)),
            },
        };
        let bytes = frame.as_deref().unwrap_or(&self.pending);
        match write_all(&mut self.sink, bytes) {
            Ok(()) => {
                self.len += bytes.len() as u64;
                self.records += self.pending_records;
                self.pending.clear();
                self.pending_records = 0;
                Ok(())
            }
            Err((written, error)) => {
                // A part of a frame is of no use; a part of the lines is.
                let kept = match frame {
                    Some(_) => 0,
                    None => whole_lines(&self.pending[..written]),
                };
                let kept_records = count_lines(&self.pending[..kept]);
                if kept < written {
                    // If this fails too, the reader copes with the torn line.
                    let _ = self.sink.cut(self.len + kept as u64);
                }
                self.len += kept as u64;
                self.records += kept_records;
                self.pending_records -= kept_records;
                Err(self.stop(error))
            }
        }
    }

    /// Flushes, and waits until the disk has taken the log, so that a write error that the
    /// filesystem put off is not missed. To be called after the `end` record.
    ///
    /// # Errors
    /// When it cannot be written: once, see [`Writer`].
    pub fn finish(&mut self) -> Result<(), LogError> {
        self.flush()?;
        if self.stopped {
            return Ok(());
        }
        self.sink.settle().map_err(|error| self.stop(error))
    }

    /// Name of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the bytes go.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// Records on disk.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Records that were not written because writing had failed.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// Bytes on disk after the next flush, as far as one can tell before: text becomes a tenth or so.
    pub(super) fn length(&self) -> u64 {
        let gathered = self.pending.len() as u64;
        self.len
            + if self.zstd.is_some() {
                gathered / 10
            } else {
                gathered
            }
    }

    fn stop(&mut self, why: io::Error) -> LogError {
        self.stopped = true;
        self.dropped += self.pending_records;
        self.pending_records = 0;
        self.pending = Vec::new();
        LogError {
            log: self.name.clone(),
            kept: self.records,
            why,
        }
    }
}

impl Writer<LogFile> {
    /// The file, the log's name and the records in it, once all of it was written; `None` when
    /// that failed.
    pub(super) fn into_file(self) -> Option<(File, String, u64)> {
        let whole = !self.stopped && self.pending.is_empty();
        let file = whole.then(|| self.sink.file.try_clone().ok()).flatten()?;
        Some((file, self.name.clone(), self.records))
    }
}

impl<S: Sink> Drop for Writer<S> {
    fn drop(&mut self) {
        // Whoever wants to know of an error calls `finish`.
        let _ = self.flush();
    }
}

/// Like [`io::Write::write_all`], but an error says how much was written.
fn write_all(sink: &mut impl Sink, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// Length of the whole lines at the beginning of `bytes`.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1)
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
