//! Starts of both tracers in turns: on a quiet machine, and beside work with failures, which leaves
//! them the processors or does not.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::run::{Start, Tracer, start};
use crate::{signal, util};

/// Until the work has made its file and is under way, and between two starts.
const SETTLES: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(500);

/// What the starts took.
#[derive(Default)]
pub struct Figures {
    /// `bpftrace --version`; `None` when there is none.
    pub bpftrace: Option<String>,
    /// Starts on a quiet machine, of iomap-trace and of bpftrace.
    pub quiet: [Vec<Start>; 2],
    /// Starts beside work with failures that takes what they leave of the processors.
    pub yielding: [Vec<Start>; 2],
    /// Starts beside work with failures.
    pub busy: [Vec<Start>; 2],
}

/// Starts each tracer `starts` times, in turns.
///
/// # Errors
/// When a tracer or the work cannot be run.
pub fn measure(program: &Path, script: &Path, dir: &Path, starts: u32) -> Result<Figures> {
    let mut tracers = vec![ours(program)];
    let mut figures = Figures::default();
    if let Some(bpftrace) = util::which("bpftrace") {
        let version = util::output(Command::new(&bpftrace).arg("--version"))?;
        figures.bpftrace = Some(version.trim().to_owned());
        tracers.push(theirs(&bpftrace, script));
    }
    rounds(&mut tracers, &mut figures.quiet, starts, "quiet", false)?;
    for (nice, starts_beside) in [(19, &mut figures.yielding), (0, &mut figures.busy)] {
        let mut work = Work::begin(program, dir, nice)?;
        let how = format!("beside work of niceness {nice}");
        rounds(&mut tracers, starts_beside, starts, &how, true)?;
        ensure!(
            work.goes_on(),
            "the work ended by itself: its failures were not there to be shown"
        );
    }
    Ok(figures)
}

fn rounds(
    tracers: &mut [Tracer],
    starts: &mut [Vec<Start>; 2],
    rounds: u32,
    how: &str,
    rows: bool,
) -> Result<()> {
    // The first start of each finds cold caches, and does not count.
    for round in 0..=rounds {
        eprintln!("{how}: start {round} of {rounds}");
        for (tracer, starts) in tracers.iter_mut().zip(starts.iter_mut()) {
            ensure!(
                !signal::interrupted(),
                "interrupted; everything is cleaned up"
            );
            let one = start(tracer, rows)?;
            if round > 0 {
                starts.push(one);
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// The live table, as users start it.
fn ours(program: &Path) -> Tracer {
    Tracer {
        command: Command::new(program),
        ready: "Ctrl-C ends",
        // The header is written with the first row.
        row: |line| !line.is_empty(),
    }
}

fn theirs(bpftrace: &Path, script: &Path) -> Tracer {
    let mut command = Command::new(bpftrace);
    command.args(["-B", "line"]).arg(script);
    Tracer {
        command,
        ready: "tracing",
        row: |line| line.contains(" failed "),
    }
}

/// The reproducer that dirties by mmap; it ends with this value.
struct Work(Child);

impl Work {
    fn begin(program: &Path, dir: &Path, nice: u8) -> Result<Self> {
        let child = Command::new("nice")
            .arg(format!("-n{nice}"))
            .arg(program)
            .args(["repro", "mmap", "--seconds", "3600", "--dir"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("the work cannot be started")?;
        std::thread::sleep(SETTLES);
        Ok(Self(child))
    }

    fn goes_on(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.goes_on() {
            // SAFETY: kill(2) takes no memory, and the child has not been waited for.
            unsafe { libc::kill(self.0.id().cast_signed(), libc::SIGINT) };
        }
        let _ = self.0.wait();
    }
}
