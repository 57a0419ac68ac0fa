//! Loads and attaches the programs, hook by hook.

use anyhow::{Context, Result};
use aya::maps::{MapData, RingBuf};
use aya::sys::{Stats, enable_stats};
use aya::{Btf, Ebpf};
use rustix::thread::{MembarrierCommand, membarrier};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::attach::{Attacher, unload_program};
use super::choice::{Choice, Plan};
use super::counters;
use super::filters::Filters;
use super::hooks::{DIO, ESSENTIAL, HOOKS, STALE_WARN};
use super::object;
use super::settings;
use super::spares::Spares;
use super::trial;
use crate::error::{ExitKind, Fail};
use crate::event::{HookReport, HookState, ProgramReport};
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
    plan: Plan,
    spares: Spares,
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
                        "this kernel offers no usable probe for failed invalidations (plan {}): \
                         {why}; `iomap-trace doctor` tells more",
                        tracer.plan()
                    ),
                ))
            }
        }
    }

    /// As [`Tracer::attach`], but a missing hook is only reported. Of several plans the first that
    /// has the essential hook is taken, else the last one.
    pub(super) fn try_attach(kernel: &Kernel, options: &Options) -> Result<Self> {
        raise_memlock();
        // Before anything runs, so that cost and counters begin together.
        let stats = enable_stats(Stats::RunTime).ok();
        let plans = options.choice.plans();
        let btf = plans
            .contains(&Plan::Fexit)
            .then(|| Btf::from_sys_fs().ok())
            .flatten();
        let mut passed: Vec<(Plan, String)> = Vec::new();
        let mut last = None;
        for &plan in plans {
            let resolved = settings::resolve(kernel, options, plan);
            let mut ebpf = object::open(&resolved, options.verbose)?;
            let trial = trial::plan(&mut ebpf, plan, btf.as_ref());
            if let Err(why) = &trial
                && plans.len() > 1
            {
                passed.push((plan, why.clone()));
                continue;
            }
            let attacher = Attacher {
                kernel,
                resolved: &resolved,
                plan,
                btf: btf.as_ref(),
                refused: trial.as_ref().err().map(String::as_str),
                passed: &passed,
            };
            let attach = |hook| attacher.attach(&mut ebpf, hook);
            let mut hooks: Vec<_> = HOOKS.iter().map(attach).collect();
            hooks.reverse();
            say_what_hangs_on_dio(&mut hooks);
            let essential = hooks.iter().find(|h| h.hook == ESSENTIAL).cloned();
            last = Some((ebpf, hooks, plan));
            match essential {
                Some(hook) if hook.state == HookState::Skipped => {
                    passed.push((plan, hook.reason.unwrap_or_default()));
                }
                _ => break,
            }
        }
        let (ebpf, hooks, plan) = last.context("no plan was possible")?;
        Ok(Self {
            ebpf,
            hooks,
            plan,
            spares: Spares::default(),
            stats,
        })
    }

    /// Name of the plan that the hooks follow.
    pub fn plan(&self) -> &'static str {
        self.plan.name()
    }

    /// The programs that are loaded.
    pub fn programs(&self) -> Vec<ProgramReport> {
        let loaded = self.ebpf.programs().filter_map(|(name, program)| {
            let info = program.info().ok()?;
            Some(ProgramReport {
                name: name.to_owned(),
                instructions: info.size_translated().unwrap_or(0) / INSTRUCTION_BYTES,
                verified: info.verified_instruction_count().filter(|n| *n > 0),
            })
        });
        let mut programs: Vec<_> = loaded.collect();
        programs.sort_by(|a, b| a.name.cmp(&b.name));
        programs
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

    /// Stands in for programs that are missed; to be called now and then.
    pub fn mend(&mut self) {
        self.spares.mend(&mut self.ebpf);
    }

    /// Detaches and unloads every program. The counters stay.
    pub fn detach(&mut self) {
        for (_, program) in self.ebpf.programs_mut() {
            unload_program(program);
        }
        // Detaching does not wait for a program that runs right now; a grace period of RCU does.
        // Without it (a seccomp filter may forbid it) a last record could be missed.
        let _ = membarrier(MembarrierCommand::Global);
    }

    /// Counters by name, those of missed runs among them.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = counters::read(&self.ebpf);
        counters.extend(self.spares.missed(&self.ebpf));
        counters
    }

    /// Misses of the programs that tell who held or touched what, by `NAME.missed`; empty as long
    /// as none was seen.
    pub fn missed_parties(&self) -> BTreeMap<String, u64> {
        self.spares.missed_parties(&self.ebpf)
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

/// Bytes of one BPF instruction.
const INSTRUCTION_BYTES: u32 = 8;

/// Where direct writes are not followed, no post failure can be inferred either.
fn say_what_hangs_on_dio(hooks: &mut [HookReport]) {
    let skipped =
        |hook: &HookReport, name: &str| hook.hook == name && hook.state == HookState::Skipped;
    if hooks.iter().any(|hook| skipped(hook, DIO))
        && let Some(hook) = hooks.iter_mut().find(|hook| skipped(hook, STALE_WARN))
    {
        hook.reason = Some("no tracepoint for it, nor for dio: no post failure is seen".into());
    }
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
