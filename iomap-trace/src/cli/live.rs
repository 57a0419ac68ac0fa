//! The loop of a live run: ring buffer, timer, signals, the command.

mod again;

use anyhow::{Context, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::process::Child;
use tokio::time::MissedTickBehavior;

use self::again::Again;
use super::accounts::{self, Accounts};
use super::attach::Attached;
use super::child::{pass_on, spawn, wait};
use super::confine::{Needs, confine};
use super::metrics::{self, Metrics};
use super::plan::{Plan, Role};
use super::say::{Level, say};
use super::service::Service;
use super::signals::{self, Signals};
use super::sink::Sink;
use super::standby::Watch;
use super::upkeep::Upkeep;
use crate::capture::KernelLog;
use crate::clock::boot_ns;
use crate::cost::{Step, process};
use crate::error::{ExitKind, Fail};
use crate::event::{End, Event};
use crate::kernel::{Privileges, Roots, system};
use crate::log::{Due, RunLog, Turn};
use crate::probe::{Options, losses};
use crate::report::metrics::Present;
use crate::report::{self, Cost, Observer, Summary};

/// A record can be committed without waking the reader (aya 0.14), so look this often anyway; the
/// log is flushed at the same time.
const TICK: Duration = Duration::from_millis(100);

/// While hooks wait for the first failure there is next to nothing to look after.
const IDLE_TICK: Duration = Duration::from_millis(500);

/// While records come, they gather for this long: each would wake this process up otherwise, and its
/// writer would pay for that.
const GATHER: Duration = Duration::from_millis(2);

/// While records come, the misses of programs are read this often: a verdict is not `exact` where
/// evidence may have been missed between two readings.
const MISSES_NS: u64 = 20_000_000;

/// Said where a capability is not given up that else would be.
const KEEPS_ADMIN: &str = "CAP_SYS_ADMIN is kept: kprobes are attached later, and \
                           kernel.perf_event_paranoid is above 2";

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

/// Why the ring buffer is not followed any more.
enum Stopped {
    /// The run ends, since this happened.
    Since(&'static str),
    /// It goes on with other programs.
    For(Again),
}

/// A live run.
pub struct Live {
    attached: Attached,
    options: Options,
    service: Service,
    /// When it was last looked for modules.
    looked: Instant,
    kernel_log: KernelLog,
    began: Instant,
    signals: Signals,
    sink: Sink,
    observer: Option<Rc<RefCell<dyn Observer>>>,
    accounts: Accounts,
    standby: Option<Watch>,
    metrics: Option<Metrics>,
    upkeep: Upkeep,
}

impl Live {
    /// A run with attached programs.
    pub fn new(
        attached: Attached,
        options: Options,
        signals: Signals,
        log: Option<RunLog>,
        plan: &Plan,
    ) -> Self {
        Self {
            attached,
            options,
            service: Service::find(plan.role == Role::Service),
            looked: Instant::now(),
            kernel_log: KernelLog::open(),
            began: Instant::now(),
            signals,
            sink: Sink::new(log, plan),
            observer: None,
            accounts: Accounts::new(plan.upkeep.max_overhead),
            standby: plan.upkeep.standby.map(Watch::new),
            metrics: None,
            upkeep: plan.upkeep.clone(),
        }
    }

    /// Serves metrics as well.
    #[must_use]
    pub fn serving(mut self, metrics: Metrics) -> Self {
        self.sink.session.observe(metrics.counts());
        self.metrics = Some(metrics);
        self
    }

    /// Measures what the programs cost all the time, where somebody looks at it.
    ///
    /// # Errors
    /// When it must be known for `--max-overhead`, and cannot.
    pub fn measure(&mut self) -> Result<()> {
        let limited = self.upkeep.max_overhead.is_some();
        if !limited && self.upkeep.metrics.is_none() && !self.sink.shows_cost() {
            return Ok(());
        }
        let measured = self.attached.tracer.measure_always();
        if limited && !measured {
            return Err(Fail::error(
                ExitKind::Privileges,
                "--max-overhead needs the run time of the BPF programs, which the kernel tells only \
                 with CAP_SYS_ADMIN: run it as root, or without --max-overhead",
            ));
        }
        Ok(())
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
    pub async fn run(mut self, plan: &Plan) -> Result<Stop> {
        self.begin()?;
        let mut child = match spawn(plan) {
            Ok(child) => child,
            Err(e) => {
                // The log is closed as a whole one all the same.
                self.end("command not run")?;
                self.sink.close()?;
                return Err(e);
            }
        };
        if let (Some(observer), Some(pid)) = (&self.observer, child.as_ref().and_then(Child::id)) {
            observer.borrow_mut().started(pid);
        }
        // The command has the rights that the user has: it was started before.
        if plan.role != Role::Step {
            self.confine(child.is_some());
        }
        self.service.ready();
        let why = loop {
            match self.follow(plan, child.as_mut()).await {
                Ok(Stopped::For(again)) => {
                    say(Level::Notice, again.told());
                    self = self.again(plan, again)?;
                }
                Ok(Stopped::Since(why)) => break Ok(why),
                Err(e) => break Err(e),
            }
        };
        self.service.stopping();
        // The accounts are closed first: the command may go on for long after its time is up.
        let ended = why.and_then(|why| {
            self.end(why)?;
            self.sink.close()
        });
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

    fn begin(&mut self) -> Result<()> {
        let start = self.attached.start.clone();
        self.sink.take(Event::Start(Box::new(start)))
    }

    fn confine(&self, has_command: bool) {
        let log = self.sink.log.as_ref();
        let Attached {
            tracer,
            module_missing,
            ..
        } = &self.attached;
        let attaches_later = self.standby.is_some() || *module_missing;
        let kprobes_as_admin = attaches_later
            && tracer.has_kprobes()
            && Privileges::read(&Roots::default()).kprobes_want_admin();
        if kprobes_as_admin {
            say(Level::Notice, KEEPS_ADMIN);
        }
        let confined = confine(Needs {
            parts_in: log.and_then(RunLog::parts_in),
            gives_away: log.is_some_and(RunLog::given_away),
            has_command,
            kprobes_as_admin,
        });
        if let Err(e) = confined {
            say(
                Level::Warning,
                format!("capabilities cannot be given up: {e}: it goes on with those it has"),
            );
        }
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
    async fn follow(&mut self, plan: &Plan, mut child: Option<&mut Child>) -> Result<Stopped> {
        let warnings = plan
            .common
            .verbose
            .then(|| self.attached.tracer.take_warnings())
            .transpose();
        let mut warnings = warnings.context("warnings of the programs cannot be shown")?;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = plan.common.duration.map(|d| self.began + d);
        let ring = self
            .attached
            .source
            .poll_fd()
            .context("the ring buffer cannot be polled")?;
        // SAFETY: the descriptor is owned by the registration and stays open as long.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }
            .context("the ring buffer cannot be polled")?;
        let mut drained = Instant::now();
        // Nobody tells again of records that a drain has left.
        let mut more = false;
        loop {
            tokio::select! {
                biased;
                () = wait(child.as_deref_mut()) => return Ok(Stopped::Since("command")),
                // The command gets the terminal's signals itself, and ends the run by ending.
                _ = self.signals.interrupt.recv() => if child.is_none() {
                    return Ok(Stopped::Since("interrupted"));
                },
                _ = self.signals.terminate.recv() => match child.as_deref_mut() {
                    None => return Ok(Stopped::Since("terminated")),
                    Some(child) => pass_on(child),
                },
                () = signals::come(&mut self.signals.hangup) => {
                    if self.sink.status.gone() && child.is_none() {
                        return Ok(Stopped::Since("hung up"));
                    }
                    self.service.reloading();
                    self.turn(Turn::Reopen)?;
                    self.service.ready();
                }
                _ = ticks.tick() => {
                    let Attached { tracer, source, .. } = &mut self.attached;
                    drained = Instant::now();
                    source.tick(&|| tracer.counters(), &mut |event| self.sink.take(event))?;
                    tracer.mend();
                    if let Some(observer) = &self.observer {
                        observer.borrow_mut().tick();
                    }
                    if let Some(warnings) = &mut warnings {
                        self.sink.status.clear();
                        warnings.flush();
                    }
                    self.account()?;
                    self.sink.flush()?;
                    self.turn_if_due()?;
                    self.draw();
                    if let Some(again) = self.other_programs(plan) {
                        return Ok(Stopped::For(again));
                    }
                    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        return Ok(Stopped::Since("duration"));
                    }
                    if self.waits() {
                        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                        ticks.reset_after(left.map_or(IDLE_TICK, |left| left.min(IDLE_TICK)));
                    }
                }
                question = metrics::asked(self.metrics.as_mut()) => {
                    let present = self.present();
                    if let Some(metrics) = &self.metrics {
                        metrics.answer(question, present);
                    }
                }
                ready = readable(&ring, more) => {
                    if let Some(mut ready) = ready.context("the ring buffer cannot be polled")? {
                        // Who waits for the first failure is not to wait longer.
                        if drained.elapsed() < GATHER && !self.waits() {
                            tokio::time::sleep(GATHER).await;
                        }
                        // Before the drain: who comes after it, wakes this up again.
                        ready.clear_ready();
                    }
                    let source = &mut self.attached.source;
                    more = source.drain(&mut |event| self.sink.take(event))?;
                    drained = Instant::now();
                    if self.waits() && self.rouse() {
                        ticks.reset();
                    }
                    let Attached { tracer, source, .. } = &mut self.attached;
                    if source.accounted_ago_ns() >= MISSES_NS {
                        let missed = || tracer.missed_parties();
                        source.account(&missed, &mut |event| self.sink.take(event))?;
                    }
                    source.keep_up(&|| tracer.counters(), &mut |event| self.sink.take(event))?;
                    self.sink.show()?;
                    self.turn_if_due()?;
                }
            }
            if self.sink.full() {
                return Ok(Stopped::Since("count"));
            }
            if self.sink.closed && child.is_none() {
                return Ok(Stopped::Since("output closed"));
            }
        }
    }

    fn draw(&mut self) {
        let (tracer, summary) = (&self.attached.tracer, self.sink.session.summary());
        let (began, second) = (self.began, self.accounts.second());
        let line = || {
            let live = report::Live {
                elapsed_ns: u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX),
                lost: losses(&tracer.counters()).values().sum(),
                cost: second.map(|second| Cost {
                    ns: second.bpf_ns,
                    runs: second.bpf_runs,
                }),
                process: second.map(|second| (second.cpu_percent, second.process.rss_bytes)),
                lost_now: second.map_or(0, |second| second.lost.values().sum()),
            };
            report::footer(summary, &live)
        };
        self.service.tick(line);
        self.sink.status.draw(line);
    }

    /// Once a second: tells what that cost and lost, and keeps to the limit.
    fn account(&mut self) -> Result<()> {
        let Attached { tracer, source, .. } = &mut self.attached;
        let Some(second) = self.accounts.tick(boot_ns(), tracer) else {
            return Ok(());
        };
        self.sink.cost(second)?;
        if let Some(line) = accounts::lost(second, || losses(&tracer.counters())) {
            self.sink.say(Level::Warning, line);
        }
        let Some(verdict) = self.accounts.judge() else {
            return Ok(());
        };
        if let Step::Shed(hook) = verdict.step {
            // What comes from now on may lack what its programs would have shown; what came before
            // does not.
            source.drain(&mut |event| self.sink.take(event))?;
            source.shed(hook);
            tracer.shed(hook);
        }
        self.sink.say(Level::Warning, accounts::over(verdict));
        Ok(())
    }

    /// The present state for the metrics.
    fn present(&self) -> Present {
        let tracer = &self.attached.tracer;
        Present {
            counters: tracer.counters(),
            cost: tracer.cost(),
            process: Some(process()),
            log_bytes: self.sink.log.as_ref().map(RunLog::bytes),
            shed: self
                .accounts
                .shed()
                .iter()
                .map(|hook| (*hook).to_owned())
                .collect(),
            waiting: tracer.waiting(),
        }
    }

    fn turn_if_due(&mut self) -> Result<()> {
        let due = self.sink.log.as_mut().map(|log| log.due(boot_ns()));
        match due {
            Some(Due::Now) => self.turn(Turn::Rotate),
            Some(Due::Soon) if self.sink.quiet() => self.turn(Turn::Rotate),
            _ => Ok(()),
        }
    }

    /// Lets the log go on in another file.
    fn turn(&mut self, turn: Turn) -> Result<()> {
        let Attached { tracer, source, .. } = &mut self.attached;
        let mut counters = tracer.counters();
        // What was seen up to now belongs to the part that ends, with its losses.
        source.drain(&mut |event| self.sink.take(event))?;
        source.account(&|| counters.clone(), &mut |event| self.sink.take(event))?;
        source.tally.account_reader(&mut counters);
        let end = self.sums("rotated", counters, self.attached.tracer.cost());
        self.sink.turn(turn, &end);
        Ok(())
    }

    /// Detaches, takes what is left, and closes the accounts.
    fn end(&mut self, why: &str) -> Result<()> {
        let Attached { tracer, source, .. } = &mut self.attached;
        let cost = tracer.cost();
        let mut counters = tracer.counters();
        tracer.detach();
        counters.extend(tracer.counters());
        source.finish(&|| counters.clone(), &mut |event| self.sink.take(event))?;
        source.tally.account(&mut counters);
        let end = self.sums(why, counters, cost);
        self.sink.take(Event::End(Box::new(end)))
    }

    fn sums(
        &mut self,
        why: &str,
        counters: BTreeMap<String, u64>,
        cost: BTreeMap<String, (u64, u64)>,
    ) -> End {
        let mut losses = losses(&counters);
        self.attached.source.account_shed(&mut losses);
        End {
            ts_ns: boot_ns(),
            why: why.to_owned(),
            losses,
            counters,
            cost,
            kernel_printed: self.kernel_log.printed(),
            clock: Some(system::clock()),
            process: Some(self.accounts.process(&self.attached.tracer)),
        }
    }
}

/// Waits until the ring buffer tells of records, or not at all where there are `more`.
async fn readable(
    ring: &AsyncFd<OwnedFd>,
    more: bool,
) -> std::io::Result<Option<AsyncFdReadyGuard<'_, OwnedFd>>> {
    match more {
        true => Ok(None),
        false => ring.readable().await.map(Some),
    }
}
