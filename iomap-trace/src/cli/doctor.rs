//! `iomap-trace doctor`: what this kernel offers, and which probe each hook gets.

use anyhow::Result;
use std::io::Write;
use std::process::ExitCode;

use crate::error::{ExitKind, Fail};
use crate::event::{HookReport, HookState, ProgramReport};
use crate::kernel::{Kernel, Roots};
use crate::probe::Choice;

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
    /// Which plan to try
    #[arg(long, value_enum, default_value_t, value_name = "PLAN")]
    probes: Choice,
}

/// What `doctor` prints.
struct Findings<'a> {
    kernel: &'a Kernel,
    plan: String,
    hooks: Vec<HookReport>,
    programs: Vec<ProgramReport>,
    notes: Vec<String>,
}

/// What `doctor --json` prints of `kernel`.
///
/// # Errors
/// When there is no memory for it.
pub(super) fn json(kernel: &Kernel) -> Result<String> {
    json::render(&findings(kernel, Choice::Auto))
}

fn findings(kernel: &Kernel, choice: Choice) -> Findings<'_> {
    let survey = crate::probe::survey(kernel, choice);
    Findings {
        plan: survey.plan,
        hooks: survey.hooks,
        programs: survey.programs,
        notes: kernel.notes(),
        kernel,
    }
}

/// Runs `doctor`: prints what could be found, then fails if tracing is not possible.
pub fn run(args: &Args) -> Result<ExitCode> {
    let kernel = Kernel::probe(&Roots::default());
    let findings = findings(&kernel, args.probes);
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
