//! Waits for the disk beside the run: `fdatasync(2)` of a finished part can take seconds, in which
//! the ring buffer would overflow.

use std::thread::JoinHandle;

use super::error::LogError;
use super::sink::LogFile;
use super::writer::Writer;

/// A finished part on its way to the disk.
#[derive(Debug, Default)]
pub(super) struct Settling {
    running: Option<JoinHandle<Result<(), LogError>>>,
    /// Of one that was waited for in passing.
    failed: Option<LogError>,
}

impl Settling {
    /// Sends a part, all of which was written, on its way.
    pub(super) fn begin(&mut self, part: Writer<LogFile>) {
        // Two at once would be of no use.
        self.failed = self.failed.take().or(self.wait().err());
        let Some((file, name, kept)) = part.into_file() else {
            return;
        };
        let settle = move || {
            super::sink::Sink::settle(&mut { file }).map_err(|why| LogError {
                log: name,
                kept,
                why,
            })
        };
        let named = std::thread::Builder::new().name("log-sync".to_owned());
        // Without a thread the disk takes it in its own time.
        self.running = named.spawn(settle).ok();
    }

    /// The error of the last part, if it is known by now and there was one.
    pub(super) fn settled(&mut self) -> Result<(), LogError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        match &self.running {
            Some(running) if running.is_finished() => self.wait(),
            _ => Ok(()),
        }
    }

    /// Waits for the last part.
    pub(super) fn wait(&mut self) -> Result<(), LogError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        match self.running.take().map(JoinHandle::join) {
            Some(Ok(settled)) => settled,
            // It does not panic; if it did, nothing is known against the part.
            Some(Err(_)) | None => Ok(()),
        }
    }
}
