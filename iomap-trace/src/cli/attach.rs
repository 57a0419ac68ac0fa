//! Attaches the programs, once or again.

use anyhow::Result;

use super::say::{Level, also, say};
use crate::capture::{Converter, Source};
use crate::event::{HookState, SCHEMA, Start};
use crate::kernel::{Kernel, Roots, details, mountinfo, mounts, system};
use crate::probe::{Options, Stages, Tracer};

/// The filesystem whose hooks come with a module.
const MODULE: &str = "btrfs";

/// Attached programs, and their events.
pub struct Attached {
    pub tracer: Tracer,
    pub source: Source,
    pub start: Start,
    /// Hooks were skipped because the filesystem was not loaded.
    pub module_missing: bool,
}

/// Attaches what this kernel takes now.
///
/// # Errors
/// Those of [`Tracer::attach`].
pub fn attach(options: &Options) -> Result<Attached> {
    // First: it may be loaded while this is at work, and then nothing of it is known here.
    let absent = !module_came();
    let mut stages = Stages::begin();
    let kernel = Kernel::probe(&Roots::default());
    stages.over("types");
    let mut tracer = Tracer::attach(&kernel, options)?;
    if options.verbose {
        stages.add(&tracer.stages);
        tell(&stages);
    }
    let start = start(&kernel, &tracer);
    let flags = kernel.flags.clone();
    let converter = Converter::new(kernel.into_names(), flags, options.stacks);
    let mut source = Source::new(tracer.take_events()?, converter, options.filters.clone());
    source.waits(&tracer.waiting());
    let skipped = |hook: &crate::event::HookReport| hook.state == HookState::Skipped;
    Ok(Attached {
        module_missing: absent && tracer.hooks.iter().any(skipped),
        tracer,
        source,
        start,
    })
}

/// Says where the time went.
fn tell(stages: &Stages) {
    say(Level::Info, stages.line());
    if let Some(programs) = stages.programs() {
        also(Level::Info, programs);
    }
}

/// Whether the filesystem has been loaded by now.
pub fn module_came() -> bool {
    let filesystems = Roots::default().proc_text("filesystems");
    let names = |list: &String| {
        list.lines()
            .any(|l| l.split('\t').next_back() == Some(MODULE))
    };
    filesystems.is_some_and(|list| names(&list))
}

/// Brings what changes in a long run up to date: clocks, mounts.
pub fn refresh(start: &mut Start) {
    start.clock = system::clock();
    let roots = Roots::default();
    if let Ok(lines) = mountinfo::read(&roots) {
        start.mounts = mounts::disks(&lines);
        start.filesystems = details::read(&lines, &roots);
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
        limits: kernel.privileges.limits(),
        part: None,
    }
}
