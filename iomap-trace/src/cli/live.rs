//! The loop of a live run: ring buffer, timer, signals, the command.

use anyhow::{Context, Result};
use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};

use tokio::time::MissedTickBehavior;

use super::plan::{Plan, Rows};
use super::signals::Signals;
use super::status::StatusLine;
use crate::capture::{KernelLog, Source};
use crate::clock::boot_ns;
use crate::event::{End, Event, Start};
use crate::kernel::system;
use crate::log::Writer;
use crate::probe::{Tracer, losses};
use crate::report::{self, Cost, Format, Observer, Session, Summary};

/// A record can be committed without waking the reader (aya 0.14), so look this often anyway; the
/// log is flushed at the same time.
const TICK: Duration = Duration::from_millis(100);

/// While records come, the misses of programs are read this often: a verdict is not `exact` where
/// evidence may have been missed between two readings.
const MISSES_NS: u64 = 20_000_000;

/// How a run ended.
#[derive(Debug, Default)]
pub struct Stop {
    /// Exit status of the command.
    pub status: Option<ExitStatus>,
    /// The event log is not whole.
    pub log_failed: bool,
    /// What was found.
    pub summary: Summary,
}

/// A live run.
pub struct Live {
    tracer: Tracer,
    source: Source,
    kernel_log: KernelLog,
    began: Instant,
    signals: Signals,
    sink: Sink,
    observer: Option<Rc<RefCell<dyn Observer>>>,
}

/// Where events go: the log first, then the session.
struct Sink {
    session: Session,
    log: Option<Writer>,
    log_failed: bool,
    /// Whoever reads the rows has seen enough of them.
    closed: bool,
    stop_after: Option<u64>,
    /// Failures that the session was given; some of them are judged later.
    taken: u64,
    /// The last failure was one too many: so are the records that follow it.
    beyond: bool,
    rows: Rows,
    summary: Rows,
    /// What the session wrote and the terminal has not got yet.
    text: Vec<u8>,
    status: StatusLine,
}

impl Live {
    /// A run with attached programs.
    pub fn new(
        tracer: Tracer,
        source: Source,
        signals: Signals,
        log: Option<Writer>,
        plan: &Plan,
    ) -> Self {
        Self {
            tracer,
            source,
            kernel_log: KernelLog::open(),
            began: Instant::now(),
            signals,
            sink: Sink {
                session: Session::new(plan.format),
                log,
                log_failed: false,
                closed: false,
                stop_after: plan.common.count,
                taken: 0,
                beyond: false,
                rows: plan.rows,
                summary: plan.summary,
                text: Vec::new(),
                status: StatusLine::new(plan.format != Format::Json),
            },
            observer: None,
        }
    }

    /// Shows everything to `observer` as well.
    #[must_use]
    pub fn observed(mut self, observer: Rc<RefCell<dyn Observer>>) -> Self {
        self.sink.session.observe(Rc::clone(&observer));
        self.observer = Some(observer);
        self
    }

    /// Runs until it is told to stop, and writes the summary.
    ///
    /// # Errors
    /// When the command cannot be started, or output cannot be written.
    pub async fn run(mut self, start: Start, plan: &Plan) -> Result<Stop> {
        self.sink.take(Event::Start(Box::new(start)))?;
        let mut child = match spawn(plan) {
            Ok(child) => child,
            Err(e) => {
                // The log is closed as a whole one all the same.
                self.end("command not run")?;
                return Err(e);
            }
        };
        if let (Some(observer), Some(pid)) = (&self.observer, child.as_ref().and_then(Child::id)) {
            observer.borrow_mut().started(pid);
        }
        let why = self.follow(plan, child.as_mut()).await;
        // The accounts are closed first: the command may go on for long after its time is up.
        let ended = why.and_then(|why| self.end(why));
        let status = match child {
            Some(mut child) => Some(self.outlast(&mut child).await?),
            None => None,
        };
        ended?;
        Ok(Stop {
            status,
            log_failed: self.sink.log_failed,
            summary: self.sink.session.summary().clone(),
        })
    }

    /// Waits for a command that goes on; SIGTERM is for it.
    async fn outlast(&mut self, child: &mut Child) -> Result<ExitStatus> {
        loop {
            tokio::select! {
                status = child.wait() => return status.context("the command is lost"),
                _ = self.signals.interrupt.recv() => {}
                _ = self.signals.terminate.recv() => pass_on(child),
            }
        }
    }

    /// Follows the ring buffer; returns why it stopped.
    async fn follow(&mut self, plan: &Plan, mut child: Option<&mut Child>) -> Result<&'static str> {
        let warnings = plan
            .common
            .verbose
            .then(|| self.tracer.take_warnings())
            .transpose();
        let mut warnings = warnings.context("warnings of the programs cannot be shown")?;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = plan.common.duration.map(|d| self.began + d);
        let ring = self
            .source
            .poll_fd()
            .context("the ring buffer cannot be polled")?;
        // SAFETY: the descriptor is owned by the registration and stays open as long.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .context("the ring buffer cannot be polled")?;
        loop {
            tokio::select! {
                biased;
                () = wait(child.as_deref_mut()) => return Ok("command"),
                // The command gets the terminal's signals itself, and ends the run by ending.
                _ = self.signals.interrupt.recv() => if child.is_none() { return Ok("interrupted"); },
                _ = self.signals.terminate.recv() => match child.as_deref_mut() {
                    None => return Ok("terminated"),
                    Some(child) => pass_on(child),
                },
                _ = ticks.tick() => {
                    let counters = || self.tracer.counters();
                    self.source.tick(&counters, &mut |event| self.sink.take(event))?;
                    self.tracer.mend();
                    if let Some(observer) = &self.observer {
                        observer.borrow_mut().tick();
                    }
                    if let Some(warnings) = &mut warnings {
                        self.sink.status.clear();
                        warnings.flush();
                    }
                    self.sink.flush()?;
                    self.draw();
                    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        return Ok("duration");
                    }
                }
                ready = ring.readable() => {
                    self.source.drain(&mut |event| self.sink.take(event))?;
                    if self.source.accounted_ago_ns() >= MISSES_NS {
                        let missed = || self.tracer.missed_parties();
                        self.source.account(&missed, &mut |event| self.sink.take(event))?;
                    }
                    self.sink.show()?;
                    ready.context("the ring buffer cannot be polled")?.clear_ready();
                }
            }
            if self.sink.full() {
                return Ok("count");
            }
            if self.sink.closed && child.is_none() {
                return Ok("output closed");
            }
        }
    }

    fn draw(&mut self) {
        let (tracer, summary, began) = (&self.tracer, self.sink.session.summary(), self.began);
        self.sink.status.draw(|| {
            let cost = tracer.cost();
            let live = report::Live {
                elapsed_ns: u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX),
                lost: losses(&tracer.counters()).values().sum(),
                cost: Some(Cost {
                    ns: cost.values().map(|(ns, _)| ns).sum(),
                    runs: cost.values().map(|(_, runs)| runs).sum(),
                }),
            };
            report::footer(summary, &live)
        });
    }

    /// Detaches, takes what is left, and closes the accounts.
    fn end(&mut self, why: &str) -> Result<()> {
        let cost = self.tracer.cost();
        let mut counters = self.tracer.counters();
        self.tracer.detach();
        counters.extend(self.tracer.counters());
        let total = || counters.clone();
        self.source
            .finish(&total, &mut |event| self.sink.take(event))?;
        self.source.tally.account(&mut counters);
        let end = End {
            ts_ns: boot_ns(),
            why: why.to_owned(),
            losses: losses(&counters),
            counters,
            cost,
            kernel_printed: self.kernel_log.printed(),
            clock: Some(system::clock()),
        };
        self.sink.take(Event::End(Box::new(end)))?;
        self.sink.close()
    }
}

impl Sink {
    fn take(&mut self, event: Event) -> Result<()> {
        if self.full() && !matches!(event, Event::Loss(_) | Event::Mark(_) | Event::End(_)) {
            return Ok(());
        }
        match event {
            Event::Failure(_) => {
                self.beyond = self.enough();
                self.taken += u64::from(!self.beyond);
                if self.beyond {
                    return Ok(());
                }
            }
            Event::Refusal(_) | Event::Dirtied(_) | Event::Cached(_) | Event::Outcome(_)
                if self.beyond =>
            {
                return Ok(());
            }
            _ => {}
        }
        if let Some(log) = &mut self.log
            && let Err(e) = log.append(&event)
        {
            self.complain(&e);
        }
        self.session.event(event, &mut self.text)
    }

    /// With those that are not judged yet `--count` failures are there; one that turns out to be none
    /// makes room for another.
    fn enough(&self) -> bool {
        let withdrawn = self.session.summary().withdrawn;
        let failures = self.taken.saturating_sub(withdrawn);
        self.stop_after.is_some_and(|count| failures >= count)
    }

    /// `--count` failures were judged: what else was in the ring buffer is beyond the run.
    fn full(&self) -> bool {
        let failures = self.session.summary().failures.total();
        self.stop_after.is_some_and(|count| failures >= count)
    }

    /// Says once that the log is lost; tracing goes on.
    fn complain(&mut self, error: &dyn std::fmt::Display) {
        self.log_failed = true;
        self.status.clear();
        eprintln!("iomap-trace: {error}");
    }

    /// Writes the rows that have come up.
    fn show(&mut self) -> Result<()> {
        self.show_on(self.rows)
    }

    fn show_on(&mut self, rows: Rows) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.status.clear();
        let written = match rows {
            Rows::Stdout => write_all(std::io::stdout().lock(), &self.text),
            Rows::Stderr => write_all(std::io::stderr().lock(), &self.text),
        };
        self.text.clear();
        match written {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other.context("output cannot be written"),
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.show()?;
        if let Some(log) = &mut self.log
            && let Err(e) = log.flush()
        {
            self.complain(&e);
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some(log) = &mut self.log
            && let Err(e) = log.finish()
        {
            self.complain(&e);
        }
        self.show()?;
        self.session.finish(&mut self.text)?;
        self.show_on(self.summary)
    }
}

fn write_all(mut out: impl Write, text: &[u8]) -> std::io::Result<()> {
    out.write_all(text)?;
    out.flush()
}

fn spawn(plan: &Plan) -> Result<Option<Child>> {
    let Some((program, arguments)) = plan.command.split_first() else {
        return Ok(None);
    };
    let child = Command::new(program)
        .args(arguments)
        .spawn()
        .with_context(|| {
            let program = program.to_string_lossy();
            format!("`{program}` (check its name and the PATH) cannot be run")
        })?;
    Ok(Some(child))
}

/// Ends when the command ends; never without one.
async fn wait(child: Option<&mut Child>) {
    match child {
        // A failure shows again when the status is asked for.
        Some(child) => drop(child.wait().await),
        None => std::future::pending().await,
    }
}

fn pass_on(child: &Child) {
    let pid = child
        .id()
        .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}
