//! Loads and attaches the programs, hook by hook.

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use aya::programs::Program;
use iomap_trace_ebpf::Counter;
use rustix::thread::{MembarrierCommand, membarrier};
use std::cell::RefCell;
use std::collections::BTreeMap;

use super::ahead::Ahead;
use super::attach::Attacher;
use super::choice::{Choice, Plan};
use super::cost::Cost;
use super::counters;
use super::filters::Filters;
use super::functions::{self, Functions};
use super::hooks::{DIO, ESSENTIAL, HOOKS, STALE_WARN, detached_at, hook_of, spared};
use super::object::Opener;
use super::program::unload_program;
use super::settings;
use super::spares::{self, Spares};
use super::stages::Stages;
use super::standby::{Roused, Standby};
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
    /// Attach what does not tell of failures when there is one.
    pub standby: bool,
}

/// The attached programs. Dropping it detaches them.
pub struct Tracer {
    ebpf: Ebpf,
    /// Every hook, with its probe or the reason why it has none.
    pub hooks: Vec<HookReport>,
    plan: Plan,
    /// Where the time of attaching went.
    pub stages: Stages,
    functions: Functions,
    spares: Spares,
    standby: Standby,
    cost: Cost,
    gone: Gone,
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
        let mut stages = Stages::begin();
        raise_memlock();
        // Before anything runs, so that cost and counters begin together.
        let cost = Cost::begin();
        let plans = options.choice.plans();
        let functions = match &kernel.types {
            Ok(types) if plans.contains(&Plan::Fexit) => {
                let names = functions::targets(HOOKS).chain(spares::targets());
                Functions::find(types, names.chain([trial::SYMBOL]))
            }
            _ => Functions::default(),
        };
        let btf = functions.btf().ok();
        stages.over("function ids");
        let mut passed: Vec<(Plan, String)> = Vec::new();
        let mut last = None;
        let mut opener = Opener::new(options.verbose);
        // That of a plan which was refused: the next one is tried with it.
        let mut another = None;
        for &plan in plans {
            let mut resolved = settings::resolve(kernel, options, plan);
            stages.over("symbols");
            let (mut ebpf, own) = match another.take() {
                Some(ebpf) => (ebpf, false),
                None => (opener.open(&mut resolved)?, true),
            };
            stages.over("maps");
            let trial = trial::plan(&mut ebpf, plan, btf.as_ref(), &kernel.privileges);
            stages.over("trial");
            if let Err(why) = &trial
                && plans.len() > 1
            {
                passed.push((plan, why.clone()));
                another = Some(ebpf);
                continue;
            }
            if !own {
                // First: the maps of both take much memory.
                drop(ebpf);
                ebpf = opener.open(&mut resolved)?;
                stages.over("maps");
            }
            stages.read_by(opener.reads());
            let attacher = Attacher {
                kernel,
                resolved: &resolved,
                plan,
                btf: btf.as_ref(),
                refused: trial.as_ref().err().map(String::as_str),
                passed: &passed,
                ahead: RefCell::default(),
                standby: options.standby.then(RefCell::default),
            };
            let ahead = Ahead::load(&attacher, &mut ebpf, HOOKS);
            attacher.ahead.replace(ahead);
            stages.over("verifier");
            let attach = |hook| attacher.attach(&mut ebpf, hook);
            let mut hooks: Vec<_> = HOOKS.iter().map(attach).collect();
            let mut ahead = attacher.ahead.take();
            ahead.unload_rest(&mut ebpf);
            stages.loaded(ahead.took());
            stages.over("attaching");
            hooks.reverse();
            say_what_hangs_on_dio(&mut hooks);
            let essential = hooks.iter().find(|h| h.hook == ESSENTIAL).cloned();
            let standby = attacher.standby.map(RefCell::into_inner);
            last = Some((ebpf, hooks, plan, standby.unwrap_or_default()));
            match essential {
                Some(hook) if hook.state == HookState::Skipped => {
                    passed.push((plan, hook.reason.unwrap_or_default()));
                }
                _ => break,
            }
        }
        let (mut ebpf, hooks, plan, standby) = last.context("no plan was possible")?;
        if options.standby {
            standby.settle(&mut ebpf)?;
        }
        Ok(Self {
            ebpf,
            hooks,
            plan,
            stages,
            functions,
            spares: Spares::default(),
            standby,
            cost,
            gone: Gone::default(),
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

    /// Stands in for programs that are missed, and measures what all of them cost; to be called
    /// several times a second.
    pub fn mend(&mut self) {
        let idle = !self.standby.is_empty();
        // What waits cannot be missed.
        if !idle {
            self.spares.mend(&mut self.ebpf, &self.functions);
        }
        let ebpf = &self.ebpf;
        self.cost.tick(idle, || figures(ebpf));
    }

    /// Measures what the programs cost all the time; false where it cannot be measured.
    pub fn measure_always(&mut self) -> bool {
        self.cost.keep_on()
    }

    /// The hooks that wait for the first failure.
    pub fn waiting(&self) -> Vec<&'static str> {
        self.standby.hooks()
    }

    /// How many failures were seen, or may have been, and could not be told.
    pub fn failures_lost(&self) -> u64 {
        let lost = [Counter::FailureLost, Counter::UnwatchedLost];
        lost.map(|counter| counters::of(&self.ebpf, counter))
            .iter()
            .sum()
    }

    /// Whether there are kprobes among the programs.
    pub fn has_kprobes(&self) -> bool {
        let mut programs = self.ebpf.programs();
        programs.any(|(_, program)| matches!(program, Program::KProbe(p) if p.fd().is_ok()))
    }

    /// Attaches what waits.
    pub fn rouse(&mut self) -> Roused {
        let roused = self.standby.rouse(&mut self.ebpf);
        for (hook, _) in &roused.failed {
            self.shed(hook);
        }
        roused
    }

    /// Detaches the programs of a hook for the rest of the run. Their counters stay, and what they
    /// cost.
    pub fn shed(&mut self, hook: &str) {
        let counters = self.counters();
        let cost = self.cost();
        self.standby.drop_hook(hook);
        for (name, program) in in_order(&mut self.ebpf) {
            if !hook_of(spared(name)).contains(&hook) || program.fd().is_err() {
                continue;
            }
            let missed = format!("{name}.missed");
            if let Some(n) = counters.get(&missed) {
                self.gone.counters.insert(missed, *n);
            }
            if let Some(cost) = cost.get(name) {
                self.gone.cost.insert(name.to_owned(), *cost);
            }
            unload_program(program);
        }
    }

    /// Detaches and unloads every program. The counters stay.
    pub fn detach(&mut self) {
        for (_, program) in in_order(&mut self.ebpf) {
            unload_program(program);
        }
        // Detaching does not wait for a program that runs right now; a grace period of RCU does.
        // Without it (a seccomp filter may forbid it) a last record could be missed.
        let _ = membarrier(MembarrierCommand::Global);
    }

    /// Counters by name, those of missed runs among them.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let mut counters = counters::read(&self.ebpf);
        let waits = |name: &str| self.standby.keeps_back(name);
        counters.extend(self.spares.missed(&self.ebpf, waits));
        counters.extend(self.gone.counters.clone());
        counters
    }

    /// Misses of the programs that tell who held or touched what, by `NAME.missed`; empty as long
    /// as none was seen.
    pub fn missed_parties(&self) -> BTreeMap<String, u64> {
        self.spares.missed_parties(&self.ebpf)
    }

    /// Run time in nanoseconds and number of runs, by program; empty when it is not measured. After
    /// the first second it is measured a tenth of the time (in standby a twentieth), and what it was in
    /// the rest estimated from that: the measuring itself costs as much as a small program.
    pub fn cost(&self) -> BTreeMap<String, (u64, u64)> {
        let Some(mut cost) = self.cost.sums(&figures(&self.ebpf)) else {
            return BTreeMap::new();
        };
        cost.extend(self.gone.cost.clone());
        cost
    }

    /// For how long that was measured at the start, nanoseconds, where it could not be after that.
    pub fn cost_only_first_ns(&self) -> Option<u64> {
        let first = self.cost.only_first()?;
        u64::try_from(first.as_nanos()).ok()
    }
}

/// All programs, in the order in which they are to be detached.
fn in_order(ebpf: &mut Ebpf) -> Vec<(&str, &mut Program)> {
    let mut programs: Vec<_> = ebpf.programs_mut().collect();
    programs.sort_by_key(|(name, _)| detached_at(name));
    programs
}

/// The figures of programs that were detached before the end.
#[derive(Default)]
struct Gone {
    counters: BTreeMap<String, u64>,
    cost: BTreeMap<String, (u64, u64)>,
}

/// The kernel's run-time statistics of the programs that are loaded.
fn figures(ebpf: &Ebpf) -> BTreeMap<String, (u64, u64)> {
    let loaded = ebpf.programs().filter_map(|(name, program)| {
        let info = program.info().ok()?;
        let ns = u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
        Some((name.to_owned(), (ns, info.run_count())))
    });
    loaded.collect()
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
