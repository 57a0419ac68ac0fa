//! One run of a load, with or without the tracer.

use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::BufReader;
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use super::load::{self, Kind};
use super::zram::Disk;
use crate::bench::start::run::peak;
use crate::soak::counts;
use crate::soak::kernel::Counts;
use crate::soak::logs;
use crate::soak::process::{Program, Running};

/// Until a tracer that is attached no longer measures itself, and until it has read everything.
const SETTLES: Duration = Duration::from_millis(1000);
/// A tracer that was told to end has done so by then.
const ENDS: Duration = Duration::from_secs(60);

/// How the tracer is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracer {
    /// Not at all.
    None,
    /// `record -o log.jsonl.zst`.
    Record,
    /// `trace --format json`, into a file.
    Json,
}

impl Tracer {
    /// All.
    pub const ALL: [Self; 3] = [Self::None, Self::Record, Self::Json];

    /// What it is, in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "without the tracer",
            Self::Record => "`record`",
            Self::Json => "`trace --format json`",
        }
    }
}

/// What a load does.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// How it fails.
    pub kind: Kind,
    /// Where.
    pub disk: &'a Disk,
    /// Threads that write.
    pub writers: usize,
    /// For how long.
    pub time: Duration,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Failures that the kernel counted.
    pub kernel: u64,
    /// Seconds that they took.
    pub seconds: f64,
    /// What the tracer did, if there was one.
    pub traced: Option<Traced>,
}

/// What the tracer did.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// Failures on this device that it wrote down.
    pub recorded: u64,
    /// What it says was lost, by kind.
    pub lost: Vec<(String, u64)>,
    /// Seconds of processor time of its process, from before the load to after it.
    pub cpu_seconds: f64,
    /// Its resident memory at the peak, bytes (`VmHWM`).
    pub peak_bytes: u64,
    /// Why the counts do not agree, if they do not.
    pub wrong: Option<String>,
}

impl Run {
    /// Failures a second.
    pub fn rate(&self) -> f64 {
        self.kernel as f64 / self.seconds
    }
}

/// Runs a load; `scratch` takes what the tracer writes, and is left as it was.
///
/// # Errors
/// When the load or the tracer fails.
pub fn run(program: &Program, scratch: &Path, tracer: Tracer, load: Load<'_>) -> Result<Run> {
    if tracer == Tracer::None {
        let (kernel, seconds) = counted(load)?;
        return Ok(Run {
            kernel: kernel.1,
            seconds,
            traced: None,
        });
    }
    let (log, said) = (scratch.join("log.jsonl.zst"), scratch.join("stderr"));
    let out = scratch.join("out.jsonl");
    let mut command = program.command();
    match tracer {
        Tracer::Record => command.args(["record", "-o"]).arg(&log),
        _ => command.args(["trace", "--format", "json"]),
    };
    let file = File::create(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut running = Running::start(command, Stdio::from(file), said.clone())?;
    running.attached()?;
    sleep(SETTLES);
    let before = cpu_seconds(running.pid())?;
    let ((device, kernel), seconds) = counted(load)?;
    sleep(SETTLES);
    let cpu_seconds = cpu_seconds(running.pid())? - before;
    let peak_bytes = peak(running.pid())?;
    running.signal(libc::SIGTERM);
    let ended = running.wait(ENDS)?;
    ensure!(
        ended.is_some_and(|status| status.success()),
        "the tracer ended with {ended:?}: {}",
        running.words().trim()
    );
    let read = match tracer {
        Tracer::Record => logs::report(program, std::slice::from_ref(&log))?,
        _ => logs::read(BufReader::with_capacity(1 << 20, File::open(&out)?))?,
    };
    for file in [&log, &out, &said] {
        if file.exists() {
            std::fs::remove_file(file)?;
        }
    }
    let recorded = read.pre.get(&device).copied().unwrap_or(0);
    let by_probe = &read.summary["losses"]["by_probe"];
    let told = counts::compare(
        &[(device, kernel)].into(),
        &read.pre,
        counts::lost(by_probe),
    );
    Ok(Run {
        kernel,
        seconds,
        traced: Some(Traced {
            recorded,
            lost: losses(by_probe),
            cpu_seconds,
            peak_bytes,
            wrong: told.err(),
        }),
    })
}

/// Runs a load: its device, the failures that the kernel counted, and seconds.
fn counted(load: Load<'_>) -> Result<((String, u64), f64)> {
    let disk = load.disk;
    let count = Counts::of(std::iter::once((disk.kind, disk.path())))?;
    let took = load::run(load.kind, disk, load.writers, load.time)?;
    let counted = count.stop()?.into_iter().next().context("no count")?;
    Ok((counted, took.as_secs_f64()))
}

/// Losses by kind, those of none left out.
fn losses(by_probe: &serde_json::Value) -> Vec<(String, u64)> {
    let losses = by_probe.as_object().into_iter().flatten();
    losses
        .filter_map(|(name, count)| Some((name.clone(), count.as_u64().filter(|n| *n > 0)?)))
        .collect()
}

/// Processor time of all threads of a process up to now.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut clock = 0;
    // SAFETY: the pointer is valid for a write of its type.
    let refused = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the pointer is valid for a write of its type.
    let told = refused == 0 && unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } == 0;
    ensure!(told, "the processor time of the tracer cannot be read");
    // SAFETY: integers only, zeroed and then filled.
    let time = unsafe { time.assume_init() };
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_by_kind() {
        let losses_of = serde_json::json!({"failure.lost": 2, "holder.lost": 0});
        assert_eq!(losses(&losses_of), [("failure.lost".to_owned(), 2)]);
        assert_eq!(losses(&serde_json::Value::Null), []);
    }

    #[test]
    fn the_time_of_a_process_grows() {
        let me = std::process::id();
        let before = cpu_seconds(me).unwrap();
        let until = std::time::Instant::now() + Duration::from_millis(30);
        while std::time::Instant::now() < until {}
        assert!(cpu_seconds(me).unwrap() > before);
    }
}
