//! What `doctor` shows of the hooks: they are attached for a moment, and the answers kept.

use super::choice::Choice;
use super::hooks::HOOKS;
use super::tracer::{Options, Tracer};
use crate::event::{HookReport, HookState, ProgramReport};
use crate::kernel::Kernel;

/// What a run on this kernel would have.
pub struct Survey {
    /// Name of the plan.
    pub plan: String,
    /// Every hook, with its probe or the reason why it has none.
    pub hooks: Vec<HookReport>,
    /// The programs that were loaded.
    pub programs: Vec<ProgramReport>,
}

/// Attaches everything for a moment.
pub fn survey(kernel: &Kernel, choice: Choice) -> Survey {
    let tried = kernel.privileges.check().and_then(|()| {
        kernel.require_types()?;
        let options = Options {
            choice,
            ..Options::default()
        };
        Tracer::try_attach(kernel, &options)
    });
    match tried {
        Ok(tracer) => Survey {
            plan: tracer.plan().to_owned(),
            programs: tracer.programs(),
            hooks: tracer.hooks,
        },
        Err(why) => Survey {
            plan: "none".to_owned(),
            hooks: untried(&format!("not tried: {why:#}")),
            programs: Vec::new(),
        },
    }
}

fn untried(why: &str) -> Vec<HookReport> {
    let skipped = HOOKS.iter().rev().map(|hook| HookReport {
        hook: hook.name.to_owned(),
        state: HookState::Skipped,
        via: None,
        symbol: None,
        reason: Some(why.to_owned()),
        rejected: Vec::new(),
    });
    skipped.collect()
}
