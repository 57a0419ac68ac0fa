//! `iomap-trace doctor`: what this kernel offers, and which probe each hook gets.

use anyhow::Result;
use std::io::Write;
use std::process::ExitCode;

use crate::error::{ExitKind, Fail};
use crate::event::{HookReport, HookState};
use crate::kernel::{Kernel, Roots};

mod json;
mod table;

/// The hook without which nothing can be told.
const NEEDED: &str = "invalidate";

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

/// What `doctor` prints.
struct Findings<'a> {
    kernel: &'a Kernel,
    plan: String,
    hooks: Vec<HookReport>,
    notes: Vec<String>,
}

/// Runs `doctor`: prints what could be found, then fails if tracing is not possible.
pub fn run(args: &Args) -> Result<ExitCode> {
    let kernel = Kernel::probe(&Roots::default());
    let (plan, hooks) = crate::probe::survey(&kernel);
    let findings = Findings {
        plan,
        hooks,
        notes: kernel.notes(),
        kernel: &kernel,
    };
    let text = match args.json {
        true => json::render(&findings)?,
        false => table::render(&findings),
    };
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read us has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    kernel.privileges.check()?;
    kernel.require_types()?;
    usable(&findings.hooks)?;
    Ok(ExitCode::SUCCESS)
}

/// Fails when the hook that everything else hangs on has no probe.
fn usable(hooks: &[HookReport]) -> Result<()> {
    let invalidate = hooks.iter().find(|h| h.hook == NEEDED);
    let why = match invalidate {
        Some(hook) if hook.state == HookState::Attached => return Ok(()),
        Some(hook) => hook.reason.as_deref().unwrap_or("no reason is known"),
        None => "it was not looked for",
    };
    let message = format!("no probe for failed invalidations on this kernel ({why})");
    Err(Fail::error(ExitKind::NoProbe, message))
}
