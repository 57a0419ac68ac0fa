//! `iomap-trace repro`, and what it knows.

use super::{Arg, Finished, Tracer, bin, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;

/// What a reproducer says of its run.
#[derive(Debug)]
pub struct Truth(pub Value);

impl Truth {
    /// Process.
    pub fn pid(&self) -> u64 {
        self.0["pid"].as_u64().unwrap()
    }

    /// Threads of a role.
    pub fn tids(&self, role: &str) -> BTreeSet<u64> {
        let threads = self.0["threads"].as_array().unwrap().iter();
        threads
            .filter(|t| t["role"] == role)
            .map(|t| t["tid"].as_u64().unwrap())
            .collect()
    }

    /// Path of the file, escaped as in the log.
    pub fn path(&self) -> &str {
        self.0["file"]["path"].as_str().unwrap()
    }

    /// Inode number of the file.
    pub fn ino(&self) -> u64 {
        self.0["file"]["ino"].as_u64().unwrap()
    }

    /// `[since, until]` of each fsync that returned EIO.
    pub fn eio_windows(&self) -> Vec<[u64; 2]> {
        serde_json::from_value(self.0["fsync"]["eio_windows_ns"].clone()).unwrap()
    }
}

/// Runs a reproducer under `exec`, and gives what both say. Its standard output is kept apart from
/// the tracer's.
pub fn traced(exec: &[Arg<'_>], repro: &[Arg<'_>]) -> (Finished, Truth) {
    let truth = tempfile::NamedTempFile::new().unwrap();
    let bin = bin();
    let mut args: Vec<Arg<'_>> = vec![&"exec"];
    args.extend(exec);
    args.extend([
        &"--" as Arg<'_>,
        &"sh",
        &"-c",
        &r#"exec "$0" repro --json "$@" >"$TRUTH""#,
        &bin,
    ]);
    args.extend(repro);
    let finished = Tracer::spawn(&args, &[("TRUTH", truth.path())])
        .wait()
        .expect(0);
    let told = std::fs::read(truth.path()).unwrap();
    (finished, Truth(serde_json::from_slice(&told).unwrap()))
}

/// A reproducer of its own.
#[derive(Debug)]
pub struct Repro(Tracer);

impl Repro {
    /// Starts one, and waits until its file is there.
    pub fn start(args: &[Arg<'_>]) -> Self {
        let mut all: Vec<Arg<'_>> = vec![&"repro", &"--json"];
        all.extend(args);
        let repro = Tracer::spawn(&all, &[]);
        wait_until("repro to start", || repro.stderr().contains("repro: "));
        Self(repro)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Ends it now.
    pub fn stop(self) -> Truth {
        self.0.signal(libc::SIGINT);
        self.wait()
    }

    /// Kills it; its file stays.
    pub fn kill(self) {
        self.0.signal(libc::SIGKILL);
        self.0.wait();
    }

    /// Waits for its end.
    pub fn wait(self) -> Truth {
        let finished = self.0.wait().expect(0);
        Truth(serde_json::from_slice(&finished.stdout).unwrap())
    }
}
