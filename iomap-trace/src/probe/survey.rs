//! What `doctor` shows of the hooks: they are attached for a moment, and the answers kept.

use super::hooks::HOOKS;
use super::tracer::{Options, Tracer};
use crate::event::{HookReport, HookState};
use crate::kernel::Kernel;

/// Name of the plan, and every hook with its probe or the reason why it has none.
pub fn survey(kernel: &Kernel) -> (String, Vec<HookReport>) {
    let tried = kernel.privileges.check().and_then(|()| {
        kernel.require_types()?;
        Tracer::try_attach(kernel, &Options::default())
    });
    match tried {
        Ok(tracer) => (tracer.plan().to_owned(), tracer.hooks),
        Err(why) => ("none".to_owned(), untried(&format!("not tried: {why:#}"))),
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
