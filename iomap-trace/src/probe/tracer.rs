//! Loads and attaches the programs, hook by hook.

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use aya::programs::{Program, ProgramError, RawTracePoint};
use aya::sys::{Stats, enable_stats};
use rustix::thread::{MembarrierCommand, membarrier};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::choice::Choice;
use super::counters;
use super::filters::Filters;
use super::hooks::{ESSENTIAL, HOOKS, Hook};
use super::object;
use super::settings::{self, Resolved};
use super::trial::{Trials, root_cause};
use crate::error::{ExitKind, Fail};
use crate::event::{HookReport, HookState};
use crate::kernel::Kernel;

/// How to trace.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What to keep.
    pub filters: Filters,
    /// Plan.
    pub choice: Choice,
    /// Collect kernel stacks of failures.
    pub stacks: bool,
    /// Show the programs' own warnings.
    pub verbose: bool,
}

/// The attached programs. Dropping it detaches them.
pub struct Tracer {
    ebpf: Ebpf,
    /// Every hook, with its probe or the reason why it has none.
    pub hooks: Vec<HookReport>,
    /// Keeps the kernel's run-time statistics on.
    stats: Option<OwnedFd>,
}

impl Tracer {
    /// Attaches what this kernel takes.
    ///
    /// # Errors
    /// When privileges or type information are missing, or the essential hook has no probe.
    pub fn attach(kernel: &Kernel, options: &Options) -> Result<Self> {
        kernel.privileges.check()?;
        kernel.require_types()?;
        let tracer = Self::try_attach(kernel, options)?;
        let essential = tracer.hooks.iter().find(|h| h.hook == ESSENTIAL);
        match essential {
            Some(hook) if hook.state == HookState::Attached => Ok(tracer),
            other => {
                let why = other
                    .and_then(|h| h.reason.as_deref())
                    .unwrap_or("it is not in the table");
                Err(Fail::error(
                    ExitKind::NoProbe,
                    format!(
                        "this kernel offers no usable probe for failed invalidations: {why}; `iomap-trace doctor` tells more"
                    ),
                ))
            }
        }
    }

    /// As [`Tracer::attach`], but a missing hook is only reported.
    pub(super) fn try_attach(kernel: &Kernel, options: &Options) -> Result<Self> {
        raise_memlock();
        let resolved = settings::resolve(kernel, &options.filters, options.stacks);
        let mut ebpf = object::open(&resolved, options.verbose)?;
        // Before anything runs, so that cost and counters begin together.
        let stats = enable_stats(Stats::RunTime).ok();
        let mut trials = Trials::default();
        let mut hooks: Vec<_> = HOOKS
            .iter()
            .map(|hook| {
                attach_hook(
                    &mut ebpf,
                    hook,
                    kernel,
                    &resolved,
                    options.choice,
                    &mut trials,
                )
            })
            .collect();
        hooks.reverse();
        if !is_attached(&hooks, "dio")
            && let Some(hook) = hooks.iter_mut().find(|h| h.hook == "stale-warn")
        {
            hook.reason = Some("no tracepoint for it, nor for dio: no post failure is seen".into());
        }
        Ok(Self { ebpf, hooks, stats })
    }

    /// Name of the plan that the hooks follow.
    pub fn plan(&self) -> &'static str {
        PLAN
    }

    /// Takes the ring buffer out.
    ///
    /// # Errors
    /// When it was taken before.
    pub fn take_events(&mut self) -> Result<RingBuf<MapData>> {
        let map = self
            .ebpf
            .take_map("EVENTS")
            .context("the object has no ring buffer left")?;
        Ok(RingBuf::try_from(map)?)
    }

    /// The programs' own warnings, through the `log` crate.
    ///
    /// # Errors
    /// When they were asked for before.
    pub fn take_warnings(&mut self) -> Result<aya_log::EbpfLogger<&'static dyn log::Log>> {
        Ok(aya_log::EbpfLogger::init(&mut self.ebpf)?)
    }

    /// Detaches and unloads every program. The counters stay.
    pub fn detach(&mut self) {
        for (_, program) in self.ebpf.programs_mut() {
            // One that was never loaded cannot be unloaded; the trials are gone already.
            if let Program::RawTracePoint(program) = program {
                let _ = program.unload();
            }
        }
        // Detaching does not wait for a program that runs right now; a grace period of RCU does.
        // Without it (a seccomp filter may forbid it) a last record could be missed.
        let _ = membarrier(MembarrierCommand::Global);
    }

    /// Counters by name, those of missed runs among them.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = counters::read(&self.ebpf);
        for (name, program) in self.ebpf.programs() {
            if let Some(missed) = program
                .fd()
                .ok()
                .and_then(|fd| missed_runs(fd.as_fd().as_raw_fd()))
            {
                counters.insert(format!("{name}.missed"), missed);
            }
        }
        counters
    }

    /// Run time in nanoseconds and number of runs, by program; empty when it is not measured.
    pub fn cost(&self) -> BTreeMap<String, (u64, u64)> {
        if self.stats.is_none() {
            return BTreeMap::new();
        }
        self.ebpf
            .programs()
            .filter_map(|(name, program)| {
                let info = program.info().ok()?;
                let ns = u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
                Some((name.to_owned(), (ns, info.run_count())))
            })
            .collect()
    }
}

const PLAN: &str = "tracepoint";

fn is_attached(hooks: &[HookReport], name: &str) -> bool {
    hooks
        .iter()
        .any(|h| h.hook == name && h.state == HookState::Attached)
}

/// Before 5.11 maps count against this limit. Later it does not matter, and raising it may be
/// forbidden: a failure is none.
fn raise_memlock() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(
        Resource::Memlock,
        Rlimit {
            current: None,
            maximum: None,
        },
    );
}

/// Runs that the kernel skipped because the program was running already (`recursion_misses`).
fn missed_runs(fd: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
}

fn attach_hook(
    ebpf: &mut Ebpf,
    hook: &Hook,
    kernel: &Kernel,
    resolved: &Resolved,
    choice: Choice,
    trials: &mut Trials,
) -> HookReport {
    let rejected = trials.reject(ebpf, hook.better);
    let skipped = |reason: String| HookReport {
        hook: hook.name.to_owned(),
        state: HookState::Skipped,
        via: None,
        symbol: None,
        reason: Some(reason),
        rejected: rejected.clone(),
    };
    if !matches!(choice, Choice::Auto | Choice::Tracepoint) {
        return skipped(format!(
            "this version has no {choice} program for it yet, and `--probes {choice}` allows no other"
        ));
    }
    if let Some(why) = impossible(hook, kernel, resolved) {
        return skipped(why);
    }
    let attached = attach_all(ebpf, hook);
    if attached.is_err() {
        // Half a hook is none.
        for attach in hook.raw_tp {
            if let Some(Program::RawTracePoint(program)) = ebpf.program_mut(attach.program) {
                let _ = program.unload();
            }
        }
    }
    match attached {
        Ok(symbols) => HookReport {
            hook: hook.name.to_owned(),
            state: HookState::Attached,
            via: Some("raw_tp".to_owned()),
            symbol: Some(symbols.join(" ")),
            reason: hook.limit.map(str::to_owned),
            rejected,
        },
        Err(why) => skipped(why),
    }
}

/// What is missing for a hook, if anything is.
fn impossible(hook: &Hook, kernel: &Kernel, resolved: &Resolved) -> Option<String> {
    if hook.raw_tp.is_empty() {
        return Some(hook.limit.unwrap_or("no tracepoint shows it").to_owned());
    }
    if let Some(fs) = hook.filesystem
        && kernel.has_filesystem(fs) == Some(false)
    {
        return Some(format!("{fs} is not loaded"));
    }
    let absent = |name: &&str| kernel.tracepoint_exists(name) == Some(false);
    for attach in hook.raw_tp {
        if attach.tracepoints.iter().all(absent) {
            return Some(format!(
                "this kernel has no tracepoint {}",
                attach.tracepoints.join(" or ")
            ));
        }
    }
    for slot in hook.needs {
        if let Some(why) = kernel.layout.why_missing(slot) {
            return Some(format!("a struct member is not known: {why}"));
        }
    }
    hook.wants
        .iter()
        .find_map(|want| resolved.why_unknown(*want).map(str::to_owned))
}

fn attach_all(ebpf: &mut Ebpf, hook: &Hook) -> Result<Vec<&'static str>, String> {
    let mut symbols = Vec::new();
    for attach in hook.raw_tp {
        let program = ebpf
            .program_mut(attach.program)
            .ok_or("the object lacks its program")?;
        let program: &mut RawTracePoint = program.try_into().map_err(root_cause)?;
        program
            .load()
            .map_err(|e| format!("the verifier refuses it: {}", refusal(e)))?;
        let mut why = String::new();
        let found = attach
            .tracepoints
            .iter()
            .find(|name| match program.attach(name) {
                Ok(_) => true,
                Err(e) => {
                    why = format!("tracepoint {name}: {}", root_cause(e));
                    false
                }
            });
        symbols.push(*found.ok_or(why)?);
    }
    Ok(symbols)
}

/// Last lines of the verifier's log hold the reason.
fn refusal(error: ProgramError) -> String {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = &error
    {
        let log = verifier_log.to_string();
        let last = log
            .lines()
            .rev()
            .find(|l| !l.trim().is_empty() && !l.starts_with("processed"));
        return last.map_or_else(
            || io_error.to_string(),
            |line| format!("{io_error}: {}", line.trim()),
        );
    }
    root_cause(error)
}
