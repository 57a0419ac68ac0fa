//! The recorder that runs all the time.

use super::logs::{self, Reported};
use super::memory::{self, Sample};
use super::process::Running;
use super::{Stage, Wrong, counts};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What may be resident at any moment once the programs are attached, KiB: 30 MiB, of which 4 MiB
/// are the ring buffer, which the kernel has anyway, some 8 MiB the program's own text, 4 MiB
/// what it needs anyway, and up to 11 MB the holders that the engine keeps.
const MOST_KIB: u64 = 30 << 10;
/// What the second half may have more than the first, by the medians, KiB: the holders that are
/// kept, which a short run gathers all the while. A leak of 100 bytes for each failure would be some
/// 60 MiB in ten minutes.
const GROWTH_KIB: u64 = 16 << 10;
/// Descriptors come and go with parts of the log, two at a time.
const MORE_FDS: u64 = 2;

/// It, and what was seen of it.
pub struct Steady<'a> {
    stage: &'a Stage<'a>,
    log: PathBuf,
    running: Running,
    began: Instant,
    samples: Vec<Sample>,
    /// Where its memory was when it was too much for the first time.
    largest: Option<String>,
}

impl<'a> Steady<'a> {
    /// Starts it, and waits until it is attached.
    pub fn start(stage: &'a Stage<'a>) -> Result<Self> {
        let dir = stage.scratch.join("steady");
        std::fs::create_dir(&dir)?;
        let log = dir.join("log.jsonl.zst");
        let mut record = stage.program.command();
        record
            .args(["record", "--rotate-size", "1M", "-o"])
            .arg(&log);
        let mut running = Running::start(record, Stdio::null(), dir.join("stderr"))?;
        running.attached()?;
        Ok(Self {
            stage,
            log,
            running,
            began: Instant::now(),
            samples: Vec::new(),
            largest: None,
        })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Looks at its memory. Now and then it is told to open its log anew.
    pub fn sample(&mut self, wrong: &mut Wrong) -> Result<()> {
        if let Some(status) = self.running.ended()? {
            wrong.add(format!("the recorder ended by itself, {status}"));
            anyhow::bail!(
                "the long-lived recorder is gone: {}",
                self.running.words().trim()
            );
        }
        let sample = memory::sample(self.running.pid())?;
        if sample.rss > MOST_KIB && self.largest.is_none() {
            self.largest = Some(memory::largest(self.running.pid()));
        }
        self.samples.push(sample);
        if self.samples.len().is_multiple_of(17) {
            self.running.signal(libc::SIGHUP);
        }
        Ok(())
    }

    /// Ends it, and compares what it recorded with the kernel's counts by device.
    pub fn end(mut self, kernel: &BTreeMap<String, u64>, wrong: &mut Wrong) -> Result<()> {
        self.running.signal(libc::SIGTERM);
        let ended = self.running.wait(Duration::from_secs(60))?;
        wrong.unless(ended.is_some_and(|status| status.success()), || {
            format!(
                "the long-lived recorder ended with {ended:?}: {}",
                self.running.words()
            )
        });
        let seconds = self.began.elapsed().as_secs_f64();
        let parts = logs::parts(&self.log)?;
        let bytes: u64 = parts.iter().map(|part| size(part)).sum();
        let read = logs::report(&self.stage.program, &parts).context("the long log")?;
        let pre: u64 = read.pre.values().sum();
        println!(
            "  recorder: {seconds:.0} s, {pre} pre failures ({:.0}/s), {} parts, {} KiB",
            pre as f64 / seconds,
            parts.len(),
            bytes >> 10,
        );
        judge(&read, kernel, wrong);
        self.memory(wrong);
        Ok(())
    }

    fn memory(&self, wrong: &mut Wrong) {
        let Some(course) = memory::course(&self.samples) else {
            return wrong.add("there are too few samples of memory".to_owned());
        };
        let (most, (first, second)) = (course.most, course.halves);
        println!(
            "  memory: at most {:.1} MiB resident (heap {:.1}, files and ring buffer {:.1}, \
             shared {:.1}); medians of the halves {:.1} and {:.1} MiB; {} and {} descriptors",
            mib(most.rss),
            mib(most.anon),
            mib(most.file),
            mib(most.shmem),
            mib(first),
            mib(second),
            course.fds.0,
            course.fds.1,
        );
        wrong.unless(most.rss <= MOST_KIB, || {
            let largest = self.largest.as_deref().unwrap_or_default();
            format!("more than {} MiB resident:\n{largest}", MOST_KIB >> 10)
        });
        wrong.unless(second <= first + GROWTH_KIB, || {
            format!(
                "its memory grew by {} KiB from half to half",
                second - first
            )
        });
        wrong.unless(course.fds.1 <= course.fds.0 + MORE_FDS, || {
            "descriptors are leaked".to_owned()
        });
    }
}

fn judge(read: &Reported, kernel: &BTreeMap<String, u64>, wrong: &mut Wrong) {
    let lost = counts::lost(&read.summary["losses"]["by_probe"]);
    match counts::compare(kernel, &read.pre, lost) {
        Ok(line) => println!(
            "  counts: {line}; losses of any kind: {}",
            read.summary["losses"]
        ),
        Err(line) => wrong.add(format!(
            "the counts differ: {line}; losses of any kind: {}",
            read.summary["losses"]
        )),
    }
    wrong.unless(kernel.values().all(|count| *count > 0), || {
        "a filesystem had no failure, so nothing was tested there".to_owned()
    });
    wrong.unless(read.said.is_empty(), || {
        format!("the long log is not whole: {}", read.said.trim())
    });
    let (runs, unended) = (&read.summary["runs"], &read.summary["unended"]);
    wrong.unless(*runs == 1 && *unended == 0, || {
        format!("the long log has {runs} runs, {unended} without an end")
    });
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
