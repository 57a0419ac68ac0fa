//! Calling fsync, which returns EIO once after any number of post-write failures.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::tally::{Role, Tally};
use crate::clock::boot_ns;

/// What the descriptor kept for fsync reported. A descriptor reports each error once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FsyncCounts {
    /// Calls, the one at the end among them.
    pub calls: u64,
    /// Calls that returned EIO.
    pub eio: u64,
    /// For each of those `[since, until]`, in `CLOCK_BOOTTIME` nanoseconds: the error was raised
    /// after the previous call on the descriptor (or its opening) began and before this one ended.
    pub eio_windows_ns: Vec<[u64; 2]>,
}

/// Calls fsync on one descriptor and keeps count.
#[derive(Debug)]
pub(super) struct Syncer<'a> {
    file: &'a File,
    since_ns: u64,
    pub(super) counts: FsyncCounts,
}

impl<'a> Syncer<'a> {
    /// Starts the first window now, so `file` must just have been opened.
    pub(super) fn new(file: &'a File) -> Self {
        Self {
            file,
            since_ns: boot_ns(),
            counts: FsyncCounts::default(),
        }
    }

    /// One fsync.
    pub(super) fn call(&mut self) -> io::Result<()> {
        let began = boot_ns();
        let result = self.file.sync_all();
        self.counts.calls += 1;
        if let Err(error) = &result
            && error.raw_os_error() == Some(libc::EIO)
        {
            self.counts.eio += 1;
            self.counts.eio_windows_ns.push([self.since_ns, boot_ns()]);
        }
        self.since_ns = began;
        result
    }

    /// Calls fsync every `interval` until `halt` is set.
    pub(super) fn run(&mut self, interval: Duration, halt: &AtomicBool) -> Tally {
        let mut tally = Tally::new(Role::Fsync);
        let mut next = Instant::now() + interval;
        while !halt.load(Ordering::Relaxed) {
            let left = next.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                // In small steps, so that a long interval does not delay the end.
                thread::sleep(left.min(Duration::from_millis(20)));
                continue;
            }
            match self.call() {
                Ok(()) => tally.ops += 1,
                Err(error) => tally.error(&error),
            }
            next = Instant::now() + interval;
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_calls_and_stops() {
        let file = tempfile::tempfile().unwrap();
        let mut syncer = Syncer::new(&file);
        syncer.call().unwrap();
        let halt = AtomicBool::new(false);
        let tally = thread::scope(|scope| {
            let thread = scope.spawn(|| syncer.run(Duration::from_millis(1), &halt));
            thread::sleep(Duration::from_millis(30));
            halt.store(true, Ordering::Relaxed);
            thread.join().unwrap()
        });
        assert!(tally.ops > 0 && tally.errors.is_empty());
        assert_eq!(syncer.counts.calls, tally.ops + 1);
        assert_eq!(syncer.counts.eio, 0);
    }
}
