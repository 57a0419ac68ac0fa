//! Sets a live run up, and ends it: what `trace`, `record` and `exec` share.

use anyhow::{Context, Result, ensure};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::rc::Rc;

use super::live::{Live, Stop};
use super::plan::Plan;
use super::scope;
use super::signals::Signals;
use super::verbose;
use crate::capture::{Converter, Source};
use crate::error::ExitKind;
use crate::event::{HookReport, HookState, SCHEMA, Start};
use crate::kernel::{Kernel, Roots, mountinfo, system};
use crate::log::Writer;
use crate::probe::Tracer;

/// Runs it to its end.
pub fn run(plan: &Plan) -> Result<ExitCode> {
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
    let log = plan.log.as_deref().map(create).transpose()?;
    announce(&tracer, plan);
    let start = start(&kernel, &tracer);
    let converter = Converter::new(Rc::clone(&kernel), options.stacks);
    let source = Source::new(tracer.take_events()?, converter, options.filters.clone());
    let live = Live::new(tracer, source, signals, log, plan);
    let stop = runtime.block_on(live.run(start, plan))?;
    Ok(exit_code(&stop))
}

fn create(path: &Path) -> Result<Writer> {
    ensure!(
        path != Path::new("-"),
        "an event log goes to a file: name one, or use `trace --format json` for standard output"
    );
    Writer::create(path)
}

fn exit_code(stop: &Stop) -> ExitCode {
    match stop {
        Stop {
            status: Some(status),
            ..
        } => child_code(*status),
        Stop {
            log_failed: true, ..
        } => ExitCode::from(ExitKind::Error as u8),
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
        page_size: kernel.page_size,
        boot_id: kernel.boot_id.clone(),
        clock: system::clock(),
        mounts: kernel.mounts.clone(),
        plan: tracer.plan().to_owned(),
        hooks: tracer.hooks.clone(),
        programs: tracer.programs(),
        facts: kernel.facts,
        layout: kernel.layout.named(),
    }
}
