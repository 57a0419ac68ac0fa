//! A process, its time and its memory.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::io::{self, BufRead, BufReader};
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::util::typed;

/// What a run cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Seconds from start to end.
    pub seconds: f64,
    /// Seconds of all cores, user and kernel.
    pub cpu_seconds: f64,
    /// Bytes of memory at its peak.
    pub peak_bytes: u64,
}

/// The run in the middle, by time.
pub fn median(mut runs: Vec<Run>) -> Option<Run> {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    runs.get(runs.len() / 2).copied()
}

/// Runs a command, and hands each line of its standard output to `line`. It is killed after
/// `limit`: then there is `None`.
///
/// # Errors
/// When it cannot be started, or fails.
pub fn run_lines(
    command: &mut Command,
    limit: Duration,
    mut line: impl FnMut(&str),
) -> Result<Option<Run>> {
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", typed(command)))?;
    let pid = child.id().cast_signed();
    let (done, timer) = watch(pid, limit);
    if let Some(out) = child.stdout.take() {
        for text in BufReader::with_capacity(1 << 20, out).lines() {
            line(&text.context("its output cannot be read")?);
        }
    }
    let ended = wait(pid);
    let seconds = begun.elapsed().as_secs_f64();
    drop(done);
    let late = timer.join().unwrap_or(false);
    finish(command, ended, seconds, late)
}

/// Runs a command without its standard output.
///
/// # Errors
/// When it cannot be started, or fails.
pub fn run(command: &mut Command) -> Result<Run> {
    let begun = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run `{}`", typed(command)))?;
    let ended = wait(child.id().cast_signed());
    let run = finish(command, ended, begun.elapsed().as_secs_f64(), false)?;
    run.context("a run without a limit has an end")
}

/// Kills `pid` after `limit`, unless the sender is dropped before. The thread says whether it did.
fn watch(
    pid: i32,
    limit: Duration,
) -> (std::sync::mpsc::Sender<()>, std::thread::JoinHandle<bool>) {
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    let timer = std::thread::spawn(move || {
        let late = waiting.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if late {
            // SAFETY: kill(2) takes no memory. The process is ours; it is waited for only after its
            // output has ended, and the sender dropped right after that.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        late
    });
    (done, timer)
}

/// Waits for a child of this process: how it ended, and what it used.
fn wait(pid: i32) -> io::Result<(ExitStatus, libc::rusage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are valid for writes of their types.
        let found = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
        if found == pid {
            // SAFETY: integers only, zeroed and then filled by wait4.
            return Ok((ExitStatus::from_raw(status), unsafe { usage.assume_init() }));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn finish(
    command: &Command,
    ended: io::Result<(ExitStatus, libc::rusage)>,
    seconds: f64,
    late: bool,
) -> Result<Option<Run>> {
    let (status, usage) = ended.with_context(|| format!("`{}` is lost", typed(command)))?;
    if late {
        return Ok(None);
    }
    ensure!(status.success(), "`{}` failed: {status}", typed(command));
    let time = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Ok(Some(Run {
        seconds,
        cpu_seconds: time(usage.ru_utime) + time(usage.ru_stime),
        peak_bytes: usage.ru_maxrss.cast_unsigned() * 1024,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn lines_and_costs_come_back() {
        let mut lines = Vec::new();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one; echo two"]);
        let run = run_lines(&mut shell, LONG, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two"]);
        let run = run.unwrap();
        assert!(run.seconds > 0.0 && run.peak_bytes > 0);
    }

    #[test]
    fn a_failure_is_an_error_and_a_late_one_is_none() {
        let error = run(&mut Command::new("false")).unwrap_err();
        assert!(error.to_string().starts_with("`false` failed"), "{error}");
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        let late = run_lines(&mut sleep, Duration::from_millis(20), |_| {}).unwrap();
        assert_eq!(late, None);
    }

    #[test]
    fn the_median_is_by_time() {
        let run = |seconds| Run {
            seconds,
            cpu_seconds: 0.0,
            peak_bytes: 1,
        };
        let middle = median(vec![run(3.0), run(1.0), run(2.0)]).unwrap();
        assert!((middle.seconds - 2.0).abs() < 1e-9);
        assert_eq!(median(Vec::new()), None);
    }
}
