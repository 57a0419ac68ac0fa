//! Reads an event log, up to its last whole record.

use anyhow::Result;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::vec;

use super::batches::{Batches, Counted, Feed};
use super::cutter::{Cutter, cannot_read};
use super::ending::Ending;
use super::pipeline::Pipeline;
use crate::event::Event;

/// A smaller file is read before threads have been started.
const WORTH_THREADS: u64 = 1 << 20;

/// The events of a log, one after the other or, with [`Reader::batch`], many at a time.
///
/// It reads in the thread that asks for events, unless it is told to read ahead.
pub struct Reader {
    batches: Batches,
    /// Of the last batch.
    events: vec::IntoIter<Event>,
    bytes: Arc<AtomicU64>,
    size: Option<u64>,
}

impl Reader {
    /// Opens the log at `path`; `-` is standard input. Whether it is compressed is told by its
    /// first bytes.
    ///
    /// # Errors
    /// When it cannot be read, is no event log, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::of("standard input".to_owned(), io::stdin(), None);
        }
        Self::open_as(path.display().to_string(), path)
    }

    /// Opens the log at `path`, which is called `name` in errors.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_as(name: String, path: &Path) -> Result<Self> {
        let open = || {
            let file = File::open(path)?;
            let status = file.metadata()?;
            let size = status.is_file().then_some(status.len());
            Ok((file, size))
        };
        let (file, size) = open().map_err(|error| cannot_read(&name, &error))?;
        Self::of(name, file, size)
    }

    /// A log read from `input`, called `name` in errors.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn new(name: impl Into<String>, input: Box<dyn Read + Send>) -> Result<Self> {
        Self::of(name.into(), input, None)
    }

    /// `size`: of a file, which never makes its reader wait.
    fn of(name: String, input: impl Read + Send + 'static, size: Option<u64>) -> Result<Self> {
        let bytes = Arc::new(AtomicU64::new(0));
        let input = Box::new(Counted {
            input,
            bytes: Arc::clone(&bytes),
        });
        let cutter = Cutter::new(&name, input, size.is_some())?;
        Ok(Self {
            batches: Batches::new(name, Feed::Inline(Box::new(cutter))),
            events: vec::IntoIter::default(),
            bytes,
            size,
        })
    }

    /// Reads ahead on threads of their own, if the machine has several CPUs and the log is not
    /// small. Events and errors are the same.
    #[must_use]
    pub fn ahead(self) -> Self {
        let cpus = available_parallelism().map_or(1, usize::from);
        if cpus == 1 || self.size.is_some_and(|size| size < WORTH_THREADS) {
            return self;
        }
        self.ahead_with(cpus)
    }

    /// Reads ahead, with so many threads to parse.
    pub(super) fn ahead_with(mut self, parsers: usize) -> Self {
        self.batches.feed = match self.batches.feed {
            Feed::Inline(cutter) => match Pipeline::start(*cutter, parsers) {
                Ok(pipeline) => Feed::Pipeline(pipeline),
                // It is only slower.
                Err(cutter) => Feed::Inline(cutter),
            },
            pipeline @ Feed::Pipeline(_) => pipeline,
        };
        self
    }

    /// Name of the log.
    pub fn name(&self) -> &str {
        &self.batches.name
    }

    /// Size of the file in bytes, if it is a regular file.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Bytes of the file, compressed as they may be, that were read so far: those of the events
    /// given, and somewhat more.
    pub fn bytes_read(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How the log ends. Known when every event has been read.
    pub fn ending(&self) -> Ending {
        self.batches.ending
    }

    /// Number of records skipped so far because this version does not know their type. Exact when
    /// every event has been read.
    pub fn unknown(&self) -> u64 {
        self.batches.unknown
    }

    /// The next events, at least one. An error comes after all events before it, and is the last.
    pub fn batch(&mut self) -> Option<Result<Vec<Event>>> {
        if self.events.len() > 0 {
            return Some(Ok(std::mem::take(&mut self.events).collect()));
        }
        self.batches.next()
    }
}

impl Iterator for Reader {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.events.len() == 0 {
            match self.batches.next()? {
                Ok(events) => self.events = events.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
        self.events.next().map(Ok)
    }
}
