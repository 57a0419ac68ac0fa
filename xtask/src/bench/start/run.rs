//! One start of a tracer, up to its first row.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::util::typed;

/// A tracer that has not said what is waited for by then never will.
const LIMIT: Duration = Duration::from_secs(60);

/// A tracer, and how to tell that it is ready and that it shows something.
pub struct Tracer {
    /// Runs it.
    pub command: Command,
    /// A part of the line that it writes when everything is attached.
    pub ready: &'static str,
    /// Whether a line of its standard output is a row.
    pub row: fn(&str) -> bool,
}

/// What a start took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// Milliseconds until it said that everything is attached.
    pub ready_ms: f64,
    /// Milliseconds until the first row; `None` when it was not waited for.
    pub row_ms: Option<f64>,
    /// Largest resident memory up to then (`VmHWM`), in bytes.
    pub peak_bytes: u64,
}

/// When a line came, whether it was on standard output, and the line.
type Said = (Instant, bool, String);

/// Starts it, waits until it is ready and, if `rows`, for its first row, and ends it.
///
/// # Errors
/// When it cannot be started, ends by itself, or is silent for a minute.
pub fn start(tracer: &mut Tracer, rows: bool) -> Result<Start> {
    let command = &mut tracer.command;
    let begun = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{}`", typed(command)))?;
    let mut child = Running(child);
    let (sender, lines) = mpsc::channel();
    listen(child.0.stdout.take(), true, sender.clone());
    listen(child.0.stderr.take(), false, sender);
    let ready = |_: bool, line: &str| line.contains(tracer.ready);
    let ready_at = wait_for(&lines, ready).with_context(|| typed(&tracer.command))?;
    let row = |stdout: bool, line: &str| stdout && (tracer.row)(line);
    let row_at = match rows {
        true => Some(wait_for(&lines, row).with_context(|| typed(&tracer.command))?),
        false => None,
    };
    let ms = |at: Instant| (at - begun).as_secs_f64() * 1e3;
    Ok(Start {
        ready_ms: ms(ready_at),
        row_ms: row_at.map(ms),
        peak_bytes: peak(child.0.id())?,
    })
}

/// Ends with this value, by SIGINT, as from a terminal.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: kill(2) takes no memory, and the child has not been waited for.
        unsafe { libc::kill(self.0.id().cast_signed(), libc::SIGINT) };
        let _ = self.0.wait();
    }
}

/// Sends the lines of a pipe, each with the time at which it came. Reads to the end, so that the
/// writer is never held up.
fn listen(pipe: Option<impl Read + Send + 'static>, stdout: bool, to: Sender<Said>) {
    let Some(pipe) = pipe else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Nobody listens any more once all is known.
            let _ = to.send((Instant::now(), stdout, line));
        }
    });
}

/// When a line came that fits.
fn wait_for(lines: &Receiver<Said>, fits: impl Fn(bool, &str) -> bool) -> Result<Instant> {
    let until = Instant::now() + LIMIT;
    let mut last = String::new();
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((at, stdout, line)) if fits(stdout, &line) => return Ok(at),
            Ok((_, _, line)) => last = line,
            Err(RecvTimeoutError::Timeout) => bail!("it is silent; its last words were: {last}"),
            Err(RecvTimeoutError::Disconnected) => bail!("it has ended: {last}"),
        }
    }
}

/// `VmHWM` of a process, in bytes.
///
/// # Errors
/// When it has ended.
pub fn peak(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .context("the memory of the tracer cannot be read")?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = size.and_then(|size| size.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kib.context("the kernel does not tell VmHWM")? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Tracer {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Tracer {
            command,
            ready: "ready",
            row: |line| line.starts_with("row"),
        }
    }

    #[test]
    fn ready_comes_before_the_row() {
        let mut tracer = shell("echo ready >&2; sleep 0.05; echo head; echo row; sleep 9 & wait");
        let one = start(&mut tracer, true).unwrap();
        assert!(
            one.row_ms.unwrap() >= one.ready_ms && one.peak_bytes > 0,
            "{one:?}"
        );
        assert_eq!(start(&mut tracer, false).unwrap().row_ms, None);
    }

    #[test]
    fn one_that_ends_says_why() {
        let error = start(&mut shell("echo no rights >&2; exit 4"), true).unwrap_err();
        assert!(
            format!("{error:#}").contains("it has ended: no rights"),
            "{error:#}"
        );
    }
}
