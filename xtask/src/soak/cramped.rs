//! A recorder whose disk runs full and is freed again.

use super::logs;
use super::process::{Program, Running};
use super::rng::Rng;
use super::{Stage, Wrong};
use crate::demo::images::Mounted;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Size of its filesystem. The recorder goes on when 1 MiB is free.
const SIZE: &str = "4M";

/// It, its filesystem, and who fills that.
pub struct Cramped<'a> {
    program: &'a Program,
    // Ends before its filesystem is unmounted.
    running: Running,
    mounted: Mounted,
    /// Where parts go, to make room.
    moved: PathBuf,
    rng: Rng,
    next: Instant,
    full: bool,
    filled: u64,
    number: u64,
}

impl<'a> Cramped<'a> {
    /// Starts it.
    pub fn start(stage: &'a Stage<'a>, rng: Rng) -> Result<Self> {
        let mounted = Mounted::memory("small", SIZE, stage.scratch)?;
        let moved = stage.scratch.join("moved");
        fs::create_dir(&moved)?;
        let mut record = stage.program.command();
        record.args(["record", "--rotate-size", "64K", "-o"]);
        record.arg(mounted.path().join("log.jsonl"));
        let said = stage.scratch.join("cramped.err");
        let mut running = Running::start(record, Stdio::null(), said)?;
        running.attached()?;
        Ok(Self {
            program: &stage.program,
            running,
            mounted,
            moved,
            rng,
            next: Instant::now() + Duration::from_secs(3),
            full: false,
            filled: 0,
            number: 0,
        })
    }

    /// Fills the disk or frees it, when it is time.
    pub fn tend(&mut self, wrong: &mut Wrong) -> Result<()> {
        if Instant::now() < self.next {
            return Ok(());
        }
        if let Some(status) = self.running.ended()? {
            wrong.add(format!(
                "the recorder on the small disk ended by itself, {status}"
            ));
            anyhow::bail!("it said: {}", self.running.words().trim());
        }
        let ms = match self.full {
            false => {
                self.fill()?;
                self.rng.within(2000..6000)
            }
            true => {
                self.free(wrong)?;
                // The recorder looks every ten seconds whether there is room.
                self.rng.within(11_000..15_000)
            }
        };
        self.full = !self.full;
        self.next = Instant::now() + Duration::from_millis(ms);
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        self.filled += 1;
        let mut filler = File::create(self.mounted.path().join("filler"))?;
        let full = loop {
            if let Err(error) = filler.write_all(&[0; 4096]) {
                break error;
            }
        };
        match full.raw_os_error() {
            Some(libc::ENOSPC) => Ok(()),
            _ => Err(full).context("the small disk cannot be filled"),
        }
    }

    /// Takes the filler away, and finished parts to another disk: each must be readable there.
    fn free(&mut self, wrong: &mut Wrong) -> Result<()> {
        fs::remove_file(self.mounted.path().join("filler"))?;
        let log = self.mounted.path().join("log.jsonl");
        let parts = logs::parts(&log)?;
        for part in parts.iter().filter(|part| **part != log) {
            self.number += 1;
            let to = self.moved.join(format!("{}.jsonl", self.number));
            fs::copy(part, &to)?;
            fs::remove_file(part)?;
            self.read(to, wrong)?;
        }
        Ok(())
    }

    fn read(&self, part: PathBuf, wrong: &mut Wrong) -> Result<()> {
        if let Err(error) = logs::report(self.program, std::slice::from_ref(&part)) {
            wrong.add(format!(
                "a part from the small disk is not readable: {error:#}"
            ));
        }
        Ok(fs::remove_file(part)?)
    }

    /// Ends it; its last parts must be readable.
    pub fn end(mut self, wrong: &mut Wrong) -> Result<()> {
        if self.full {
            self.free(wrong)?;
        }
        self.running.signal(libc::SIGTERM);
        let ended = self.running.wait(Duration::from_secs(60))?;
        let words = self.running.words();
        let stops = words.matches("recording stopped").count();
        let code = ended.and_then(|status| status.code());
        // 1 says that the log is not whole.
        wrong.unless(code == Some(i32::from(stops > 0)), || {
            format!(
                "the recorder on the small disk ended with {ended:?}: {}",
                words.trim()
            )
        });
        wrong.unless(self.filled == 0 || stops > 0, || {
            "a full disk did not stop the log".to_owned()
        });
        for part in logs::parts(&self.mounted.path().join("log.jsonl"))? {
            self.number += 1;
            let to = self.moved.join(format!("{}.jsonl", self.number));
            fs::copy(&part, &to)?;
            self.read(to, wrong)?;
        }
        println!(
            "  small disk: filled {} times, writing stopped {stops} times, {} parts, all read",
            self.filled, self.number
        );
        Ok(())
    }
}
