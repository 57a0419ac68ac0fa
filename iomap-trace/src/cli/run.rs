//! Sets a live run up, and ends it: what the commands that trace share.

use anyhow::{Context, Result, ensure};
use std::cell::RefCell;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::rc::Rc;

use super::attach::{self, Attached};
use super::bounds;
use super::live::{Live, Stop};
use super::metrics::Metrics;
use super::plan::{LogTo, Plan, Role};
use super::say::{self, Level, also, say};
use super::scope;
use super::signals::Signals;
use super::verbose;
use crate::cost::memory;
use crate::error::ExitKind;
use crate::event::{HookReport, HookState, Rejected};
use crate::kernel::{Privileges, Roots, mountinfo};
use crate::log::{Rotation, RunLog};
use crate::report::Observer;
use crate::report::audit::FailOn;

/// Runs it to its end.
pub fn run(plan: &Plan) -> Result<ExitCode> {
    let stop = follow(plan, None)?;
    Ok(exit_code(&stop, plan.fail_on))
}

/// Runs it to its end, and shows everything to `observer`.
pub fn follow(plan: &Plan, observer: Option<Rc<RefCell<dyn Observer>>>) -> Result<Stop> {
    // The command would inherit it.
    if plan.command.is_empty() {
        memory::stay_small();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be set up")?;
    let signals = {
        let _context = runtime.enter();
        Signals::listen(plan.role == Role::Service)?
    };
    let roots = Roots::default();
    bounds::check(plan, &Privileges::read(&roots))?;
    // Without mountinfo nothing is known of filesystems, and nothing refused.
    let mounts = mountinfo::read(&roots).unwrap_or_default();
    scope::check(&plan.common, &mounts)?;
    scope::warn(&plan.common, &mounts);
    let mut options = plan.common.options(&mounts)?;
    if !plan.command.is_empty() {
        // Orphans of the command stay our descendants.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .context("the command's processes cannot be followed")?;
        options.filters.descendants_of = Some(std::process::id());
    }
    options.standby = plan.upkeep.standby.is_some();
    if options.verbose {
        verbose::show();
    }
    let metrics = {
        let _context = runtime.enter();
        plan.upkeep.metrics.map(Metrics::listen).transpose()?
    };
    let attached = attach::attach(&options)?;
    memory::give_back();
    let log = plan.log.as_ref().map(open_log).transpose()?;
    announce(&attached, plan);
    let mut live = Live::new(attached, options, signals, log, plan);
    live.measure()?;
    if let Some(metrics) = metrics {
        live = live.serving(metrics);
    }
    if let Some(observer) = observer {
        live = live.observed(observer);
    }
    runtime.block_on(live.run(plan))
}

fn open_log(to: &LogTo) -> Result<RunLog> {
    let (path, rotation, owner) = match to {
        LogTo::Path(path) => (path, Rotation::default(), None),
        LogTo::Kept {
            path,
            rotation,
            owner,
        } => (path, *rotation, *owner),
        LogTo::File(file) => {
            let file = file.try_clone().context("the event log cannot be opened")?;
            return RunLog::of_file(file);
        }
    };
    ensure!(
        path != Path::new("-"),
        "an event log goes to a file: name one, or use `trace --format json` for standard output"
    );
    RunLog::create(path, owner, rotation)
}

/// Exit code of a run: the command's own status if it failed, then what `--fail-on` asks for, then
/// whether the log is whole.
pub fn exit_code(stop: &Stop, fail_on: FailOn) -> ExitCode {
    match stop.status {
        Some(status) if !status.success() => child_code(status),
        _ if fail_on.met(stop.summary.failures) => ExitCode::from(ExitKind::Found as u8),
        None if stop.log_failed => ExitCode::from(ExitKind::Error as u8),
        _ => ExitCode::SUCCESS,
    }
}

fn child_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Tells on standard error what is traced, and what is not.
fn announce(attached: &Attached, plan: &Plan) {
    let Attached { tracer, start, .. } = attached;
    let with_state = |state| tracer.hooks.iter().filter(move |h| h.state == state);
    let names: Vec<_> = with_state(HookState::Attached)
        .map(|h| h.hook.as_str())
        .collect();
    let by_hand = plan.command.is_empty() && plan.common.duration.is_none();
    let how_to_stop = match by_hand && !say::in_journal() {
        true => "; Ctrl-C ends",
        false => "",
    };
    say(Level::Info, format!("plan {}{how_to_stop}", tracer.plan()));
    let waiting = tracer.waiting();
    also(Level::Info, format!("hooks: {}", names.join(" ")));
    if !waiting.is_empty() {
        let waiting = waiting.join(" ");
        also(
            Level::Info,
            format!("in standby: at the first failure {waiting} are attached"),
        );
    }
    for hook in with_state(HookState::Skipped) {
        let why = hook.reason.as_deref().unwrap_or("no reason known");
        also(Level::Notice, format!("without {}: {why}", hook.hook));
    }
    for hook in with_state(HookState::Attached) {
        let denied = hook
            .rejected
            .iter()
            .find(|r| r.why.contains("CAP_SYS_ADMIN"));
        if let (Some(Rejected { why, .. }), Some(reason)) = (denied, &hook.reason) {
            also(Level::Notice, format!("{}: {reason}: {why}", hook.hook));
        }
    }
    for limit in &start.limits {
        also(Level::Notice, limit);
    }
    if plan.common.verbose {
        tracer.hooks.iter().for_each(tell);
    }
}

fn tell(hook: &HookReport) {
    if let (Some(via), Some(symbol)) = (&hook.via, &hook.symbol) {
        also(Level::Info, format!("{}: {via} {symbol}", hook.hook));
    }
    for rejected in &hook.rejected {
        let Rejected { via, why } = rejected;
        also(Level::Info, format!("{}: no {via}: {why}", hook.hook));
    }
}
