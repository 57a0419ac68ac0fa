//! Attaches one hook: the first of its ways that this kernel takes.

use aya::programs::ProgramError;
use aya::{Btf, Ebpf};
use std::cell::RefCell;

use super::ahead::{Ahead, Taken};
use super::choice::Plan;
use super::hook::{self, Attach, Hook, Kind, Part, Way};
use super::program::{Link, attach_to, hold_back, load, unload, unload_program};
use super::settings::Resolved;
use super::standby::{Standby, WAITS};
use super::trial::{kprobe_denied, root_cause};
use crate::event::{HookReport, HookState, Rejected};
use crate::kernel::Kernel;

/// What attaching needs to know.
pub struct Attacher<'a> {
    pub kernel: &'a Kernel,
    pub resolved: &'a Resolved,
    pub plan: Plan,
    /// Types of vmlinux; only fentry and fexit ask for them.
    pub btf: Option<&'a Btf>,
    /// Why the kernel does not take the plan's probes, when the user wants this plan all the same.
    pub refused: Option<&'a str>,
    /// Better plans that were not possible, with the reason.
    pub passed: &'a [(Plan, String)],
    /// Programs that are loaded already, or were refused.
    pub ahead: RefCell<Ahead>,
    /// Programs that wait, when there is to be a standby.
    pub standby: Option<RefCell<Standby>>,
}

/// A probe that was attached: its kind, and what it is at.
type Probe = (Kind, String);

impl Attacher<'_> {
    /// Attaches a hook, or says why not.
    pub fn attach(&self, ebpf: &mut Ebpf, hook: &Hook) -> HookReport {
        let mut rejected = self.better(hook);
        let mut reason = None;
        for way in hook.ways.iter().filter(|w| w.plans.contains(&self.plan)) {
            let tried = match self.impossible(hook, way) {
                Some(why) => Err(why),
                None => self.attach_way(ebpf, hook.name, way),
            };
            match tried {
                Ok(attached) => {
                    let mut report = report(hook, way, &attached, rejected);
                    if self.waits(hook.name) {
                        let limit = report.reason.take();
                        let limit = limit.map_or(String::new(), |limit| format!("; {limit}"));
                        report.reason = Some(format!("{WAITS}{limit}"));
                    }
                    return report;
                }
                Err(why) => {
                    if let Some(before) = reason.replace(why) {
                        rejected.push(Rejected {
                            via: self.plan.name().to_owned(),
                            why: before,
                        });
                    }
                }
            }
        }
        HookReport {
            hook: hook.name.to_owned(),
            state: HookState::Skipped,
            via: None,
            symbol: None,
            reason: Some(reason.unwrap_or_else(|| hook.without.to_owned())),
            rejected,
        }
    }

    /// Ways of better plans that this run does without.
    fn better(&self, hook: &Hook) -> Vec<Rejected> {
        let has_way = |plan: &Plan| {
            let own = |way: &&Way| way.plans.contains(plan) && !way.plans.contains(&self.plan);
            hook.ways.iter().any(|way| own(&way))
        };
        self.passed
            .iter()
            .filter(|(plan, _)| has_way(plan))
            .map(|(plan, why)| Rejected {
                via: plan.name().to_owned(),
                why: why.clone(),
            })
            .collect()
    }

    /// What is missing for a way, if anything is.
    pub(super) fn impossible(&self, hook: &Hook, way: &Way) -> Option<String> {
        if let Some(fs) = hook.filesystem
            && self.kernel.has_filesystem(fs) == Some(false)
        {
            return Some(format!("{fs} is not loaded"));
        }
        if let Some(why) = self.refused
            && !way.plans.contains(&Plan::Tracepoint)
        {
            return Some(why.to_owned());
        }
        for part in way.parts.iter().filter(|part| !part.optional) {
            if let Some(why) = self.no_tracepoint(part) {
                return Some(why);
            }
        }
        for slot in way.needs {
            if let Some(why) = self.kernel.layout.why_missing(slot) {
                return Some(format!("a struct member is not known: {why}"));
            }
        }
        way.wants
            .iter()
            .find_map(|want| self.resolved.why_unknown(*want).map(str::to_owned))
    }

    /// None of the tracepoints is there, and nothing else shows this part.
    fn no_tracepoint(&self, part: &Part) -> Option<String> {
        let attaches = || part.choices.iter().flat_map(|choice| *choice);
        let absent = |attach: &Attach| self.tracepoint_absent(attach);
        let possible = |choice: &&[Attach]| !choice.iter().any(absent);
        if part.choices.iter().any(possible) {
            return None;
        }
        let mut names: Vec<_> = attaches().filter(|a| absent(a)).map(|a| a.target).collect();
        names.dedup();
        Some(format!(
            "this kernel has no tracepoint {}",
            names.join(" or ")
        ))
    }

    /// It wants a tracepoint that this kernel does not have.
    pub(super) fn tracepoint_absent(&self, attach: &Attach) -> bool {
        attach.kind == Kind::RawTp && self.kernel.tracepoint_exists(attach.target) == Some(false)
    }

    /// Whether programs of this hook wait.
    fn waits(&self, hook: &str) -> bool {
        let standby = self.standby.as_ref().map(RefCell::borrow);
        standby.is_some_and(|standby| standby.hooks().contains(&hook))
    }

    fn attach_way(
        &self,
        ebpf: &mut Ebpf,
        hook: &'static str,
        way: &Way,
    ) -> Result<Vec<Probe>, String> {
        let mut all = Vec::new();
        for part in way.parts {
            match self.attach_part(ebpf, hook, part) {
                Ok(attached) => all.extend(attached),
                Err(_) if part.optional => {}
                Err(why) => {
                    // Half a hook is none.
                    if let Some(standby) = &self.standby {
                        standby.borrow_mut().drop_hook(hook);
                    }
                    for attach in way.attaches().rev() {
                        self.give_up(ebpf, attach.program);
                    }
                    return Err(why);
                }
            }
        }
        Ok(all)
    }

    fn attach_part(
        &self,
        ebpf: &mut Ebpf,
        hook: &'static str,
        part: &Part,
    ) -> Result<Vec<Probe>, String> {
        let mut reasons: Vec<String> = Vec::new();
        for choice in part.choices {
            match self.attach_choice(ebpf, choice) {
                Ok(attached) => {
                    let (probes, links): (Vec<Probe>, Vec<Link>) = attached.into_iter().unzip();
                    if let Some(standby) = &self.standby
                        && self.may_wait(ebpf, part)
                    {
                        let mut standby = standby.borrow_mut();
                        for ((attach, (_, target)), link) in choice.iter().zip(&probes).zip(links) {
                            if let Some(program) = ebpf.program_mut(attach.program) {
                                hold_back(program, target, link, self.btf);
                            }
                            standby.holds(hook, attach.program, target.clone());
                        }
                    }
                    return Ok(probes);
                }
                Err(why) => reasons.push(why),
            }
            // The last one first: what ends a write is not to go before what begins one.
            for attach in choice.iter().rev() {
                self.give_up(ebpf, attach.program);
            }
        }
        // A refusal says more than the absence of a function that another kernel has.
        let refuses = |why: &&String| why.contains("verifier") || why.contains("CAP_SYS_ADMIN");
        let telling = reasons.iter().find(refuses);
        Err(telling.or(reasons.last()).cloned().unwrap_or_default())
    }

    fn attach_choice(
        &self,
        ebpf: &mut Ebpf,
        choice: &[Attach],
    ) -> Result<Vec<(Probe, Link)>, String> {
        let attached = choice.iter().map(|attach| {
            let (target, link) = self.attach_one(ebpf, attach)?;
            Ok(((attach.kind, target), link))
        });
        attached.collect()
    }

    /// Whether this part can wait; attaches what stands in for it.
    fn may_wait(&self, ebpf: &mut Ebpf, part: &Part) -> bool {
        let stand_ins = match part.standby {
            hook::Standby::Waits => return true,
            hook::Standby::Stays => return false,
            hook::Standby::StoodInFor(stand_ins) => stand_ins,
        };
        let attached = self.attach_choice(ebpf, stand_ins);
        if attached.is_err() {
            stand_ins.iter().for_each(|s| unload(ebpf, s.program));
        } else if let Some(standby) = &self.standby {
            standby.borrow_mut().has(stand_ins);
        }
        attached.is_ok()
    }

    /// Unloads a program of a choice that was not possible; one that nobody has taken yet may be
    /// wanted by the next one, and is not attached.
    fn give_up(&self, ebpf: &mut Ebpf, program: &str) {
        if !self.ahead.borrow().has(program) {
            unload(ebpf, program);
        }
    }

    /// Loads and attaches a program; returns the name of what it is attached to, and the link.
    fn attach_one(&self, ebpf: &mut Ebpf, attach: &Attach) -> Result<(String, Link), String> {
        let program = ebpf
            .program_mut(attach.program)
            .ok_or("the object lacks its program")?;
        let target = self.target(attach)?;
        let loaded = match self.ahead.borrow_mut().take(attach.program, &target) {
            Taken::Done(result) => result,
            Taken::ForAnother => {
                unload_program(program);
                load(program, &target, self.btf)
            }
            Taken::Nothing => load(program, &target, self.btf),
        };
        let attached = loaded.and_then(|()| attach_to(program, &target));
        let link = attached.map_err(|e| match e {
            ProgramError::LoadError { .. } => {
                format!("the verifier refuses {}: {}", attach.program, refusal(e))
            }
            e => {
                let denied = match attach.kind {
                    Kind::Kprobe | Kind::Kretprobe => kprobe_denied(&e, &self.kernel.privileges),
                    _ => None,
                };
                let why = denied.unwrap_or_else(|| root_cause(e));
                format!("{} {target}: {why}", attach.kind.name())
            }
        })?;
        Ok((target, link))
    }

    /// What a program goes to, as this kernel spells it.
    pub(super) fn target(&self, attach: &Attach) -> Result<String, String> {
        match attach.kind {
            Kind::RawTp => Ok(attach.target.to_owned()),
            _ => self.function(attach.target),
        }
    }

    /// The function's symbol with the suffix that the compiler gave it.
    fn function(&self, name: &str) -> Result<String, String> {
        match self.kernel.symbols() {
            Ok(symbols) if !symbols.is_empty() => symbols
                .function_with_suffix(name)
                .map(|symbol| symbol.name.to_owned()),
            // Without symbols trying tells.
            _ => Ok(name.to_owned()),
        }
    }
}

fn report(
    hook: &Hook,
    way: &Way,
    attached: &[(Kind, String)],
    rejected: Vec<Rejected>,
) -> HookReport {
    let mut kinds: Vec<Kind> = attached.iter().map(|(kind, _)| *kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    let mut symbols: Vec<&str> = Vec::new();
    for (_, symbol) in attached {
        if !symbols.contains(&symbol.as_str()) {
            symbols.push(symbol);
        }
    }
    HookReport {
        hook: hook.name.to_owned(),
        state: HookState::Attached,
        via: Some(kinds.join("+")),
        symbol: Some(symbols.join(" ")),
        reason: way.limit.map(str::to_owned),
        rejected,
    }
}

/// How the lines begin that the verifier ends its log with, whatever came of it.
const STATISTICS: &[&str] = &["processed ", "stack depth ", "verification time "];

/// Last lines of the verifier's log hold the reason.
fn refusal(error: ProgramError) -> String {
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = &error
    {
        let log = verifier_log.to_string();
        let last = log.lines().rev().find(|line| {
            !line.trim().is_empty() && !STATISTICS.iter().any(|s| line.starts_with(s))
        });
        return last.map_or_else(
            || io_error.to_string(),
            |line| format!("{io_error}: {}", line.trim()),
        );
    }
    root_cause(error)
}
