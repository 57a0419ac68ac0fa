//! Sets a live run up, and ends it: what the commands that trace share.

use anyhow::{Context, Result, ensure};
use std::cell::RefCell;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::rc::Rc;

use super::live::{Live, Stop};
use super::plan::{LogTo, Plan};
use super::scope;
use super::signals::Signals;
use super::verbose;
use crate::capture::{Converter, Source};
use crate::error::ExitKind;
use crate::event::{HookReport, HookState, SCHEMA, Start};
use crate::kernel::{Kernel, Roots, mountinfo, system};
use crate::log::Writer;
use crate::probe::Tracer;
use crate::report::Observer;
use crate::report::audit::FailOn;

/// Runs it to its end.
pub fn run(plan: &Plan) -> Result<ExitCode> {
    let stop = follow(plan, None)?;
    Ok(exit_code(&stop, plan.fail_on))
}

/// Runs it to its end, and shows everything to `observer`.
pub fn follow(plan: &Plan, observer: Option<Rc<RefCell<dyn Observer>>>) -> Result<Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be set up")?;
    let signals = {
        let _context = runtime.enter();
        Signals::listen()?
    };
    let roots = Roots::default();
    // Without mountinfo nothing is known of filesystems, and nothing refused.
    let mounts = mountinfo::read(&roots).unwrap_or_default();
    scope::check(&plan.common, &mounts)?;
    scope::warn(&plan.common, &mounts);
    let kernel = Rc::new(Kernel::probe(&roots));
    let mut options = plan.common.options(&mounts)?;
    if !plan.command.is_empty() {
        // Orphans of the command stay our descendants.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .context("the command's processes cannot be followed")?;
        options.filters.descendants_of = Some(std::process::id());
    }
    if options.verbose {
        verbose::show();
    }
    let mut tracer = Tracer::attach(&kernel, &options)?;
    let log = plan.log.as_ref().map(open_log).transpose()?;
    announce(&tracer, plan);
    let start = start(&kernel, &tracer);
    let converter = Converter::new(Rc::clone(&kernel), options.stacks);
    let source = Source::new(tracer.take_events()?, converter, options.filters.clone());
    let mut live = Live::new(tracer, source, signals, log, plan);
    if let Some(observer) = observer {
        live = live.observed(observer);
    }
    runtime.block_on(live.run(start, plan))
}

fn open_log(to: &LogTo) -> Result<Writer> {
    let path = match to {
        LogTo::Path(path) => path,
        LogTo::File(file) => {
            let file = file.try_clone().context("the event log cannot be opened")?;
            return Writer::new(file, "event log", true);
        }
    };
    ensure!(
        path != Path::new("-"),
        "an event log goes to a file: name one, or use `trace --format json` for standard output"
    );
    Writer::create(path)
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
fn announce(tracer: &Tracer, plan: &Plan) {
    let attached = tracer
        .hooks
        .iter()
        .filter(|h| h.state == HookState::Attached);
    let names: Vec<_> = attached.map(|h| h.hook.as_str()).collect();
    let how_to_stop = if plan.command.is_empty() && plan.common.duration.is_none() {
        "; Ctrl-C ends"
    } else {
        ""
    };
    eprintln!(
        "iomap-trace: plan {}{how_to_stop}\n  hooks: {}",
        tracer.plan(),
        names.join(" ")
    );
    for hook in tracer
        .hooks
        .iter()
        .filter(|h| h.state == HookState::Skipped)
    {
        eprintln!(
            "  without {}: {}",
            hook.hook,
            hook.reason.as_deref().unwrap_or("no reason known")
        );
    }
    if plan.common.verbose {
        tracer.hooks.iter().for_each(tell);
    }
}

fn tell(hook: &HookReport) {
    if let (Some(via), Some(symbol)) = (&hook.via, &hook.symbol) {
        eprintln!("  {}: {via} {symbol}", hook.hook);
    }
    for rejected in &hook.rejected {
        eprintln!("  {}: no {}: {}", hook.hook, rejected.via, rejected.why);
    }
}

fn start(kernel: &Kernel, tracer: &Tracer) -> Start {
    Start {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: std::env::args_os()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect(),
        kernel: kernel.info.clone(),
        hostname: system::hostname(),
        page_size: kernel.page_size,
        boot_id: kernel.boot_id.clone(),
        clock: system::clock(),
        mounts: kernel.mounts.clone(),
        filesystems: kernel.filesystems.clone(),
        plan: tracer.plan().to_owned(),
        hooks: tracer.hooks.clone(),
        programs: tracer.programs(),
        facts: kernel.facts,
        layout: kernel.layout.named(),
        limits: Vec::new(),
        part: None,
    }
}
