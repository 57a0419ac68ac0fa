//! `iomap-trace bundle`

use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::common::Common;
use super::doctor;
use super::plan::{LogTo, Plan, Role, Rows};
use super::run;
use super::upkeep::Upkeep;
use crate::bundle::{Contents, Log, Names, Target, bundle, mounts, reopened, scratch};
use crate::kernel::{Kernel, Roots};
use crate::report::audit::FailOn;
use crate::report::{self, Format};

/// Seconds for which is recorded when no log is given.
const SECONDS: Duration = Duration::from_secs(30);

/// Options that a log which is there already has no use for.
const OF_A_RECORDING: [&str; 10] = [
    "pid", "comm", "dev", "path", "ino", "cgroup", "duration", "count", "probes", "stacks",
];

/// Arguments of `bundle`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Packs logs, or without any what happens in the next 30 seconds (--duration),
with the reports (Markdown, HTML, text, NDJSON), `doctor --json`, the kernel's
messages on filesystems, and their mounts. The file is readable by its owner
only, and never overwrites another.

--redact replaces paths, command names, arguments, and ids of cgroups and boots
by pseudonyms in every file; messages of filesystems keep no text. The release
and build of the kernel, numbers of processes, devices and inodes, times and
sizes stay: look through the bundle before you send it.")]
pub struct Args {
    /// Bundle to write, a tar archive compressed with zstd
    #[arg(short, long, value_name = "FILE.tar.zst")]
    output: PathBuf,
    /// Replace names by pseudonyms
    #[arg(long)]
    redact: bool,
    #[command(flatten)]
    common: Common,
    /// Event logs [default: record one now]
    #[arg(value_name = "LOG", conflicts_with_all = OF_A_RECORDING)]
    logs: Vec<PathBuf>,
}

/// Runs `bundle`.
///
/// # Errors
/// When the tracer cannot start, a log cannot be read, or the bundle cannot be written: then there
/// is none.
pub fn run(args: &Args) -> Result<ExitCode> {
    ensure!(
        args.logs.iter().all(|log| log != Path::new("-")),
        "a log is read more than once, so it cannot come from standard input: name a file"
    );
    let target = Target::create(&args.output)?;
    let mut names = args.redact.then(Names::default);
    let mut kernel = Kernel::probe(&Roots::default());
    let boot_id = kernel.boot_id.clone();
    if let Some(names) = &mut names {
        kernel.boot_id = names.boot(&boot_id);
        mounts(&mut kernel.mounts, names);
    }
    let doctor = doctor::json(&kernel).map_err(|e| format!("{e:#}"));
    // Open until the bundle is packed.
    let recorded = args
        .logs
        .is_empty()
        .then(|| scratch(&args.output))
        .transpose()?;
    let mut logs: Vec<_> = args.logs.iter().map(|path| given(path)).collect();
    if let Some(file) = &recorded {
        run::follow(&plan(args, LogTo::File(file.try_clone()?)), None)?;
        logs.push(Log {
            name: "recorded when this was packed".to_owned(),
            path: reopened(file),
        });
    }
    let contents = Contents {
        logs,
        doctor,
        boot_id,
        names,
    };
    bundle(contents, &target, &mut std::io::stderr())?;
    target.keep()?;
    eprintln!("iomap-trace: {} was written", args.output.display());
    Ok(ExitCode::SUCCESS)
}

fn given(path: &Path) -> Log {
    let name = path.file_name().unwrap_or(path.as_os_str());
    Log {
        name: name.to_string_lossy().into_owned(),
        path: path.to_owned(),
    }
}

fn plan(args: &Args, log: LogTo) -> Plan {
    let mut common = args.common.clone();
    common.duration = Some(common.duration.unwrap_or(SECONDS));
    Plan {
        common,
        format: Format::Summary {
            width: report::DEFAULT_WIDTH,
        },
        rows: Rows::Stderr,
        summary: Rows::Stderr,
        log: Some(log),
        command: Vec::new(),
        fail_on: FailOn::Never,
        // The bundle is packed afterwards.
        role: Role::Step,
        upkeep: Upkeep::default(),
    }
}
