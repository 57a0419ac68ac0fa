//! `iomap-trace audit`

use anyhow::{Context, Result};
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::rc::Rc;

use super::common::Common;
use super::live::Stop;
use super::output;
use super::plan::{LogTo, Plan, Role, Rows};
use super::run;
use super::upkeep::Upkeep;
use crate::audit::Watcher;
use crate::report::audit::{Audited, Ended, FailOn, audit_text, junit};
use crate::report::{self, Format, Observer};

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For test suites: traces as exec does, and charges each failure to the child of
CMD that met it, or below which it was met. A suite that runs each test in a
process of its own gets one line, and one JUnit test case, per test. Children
that ended within a tenth of a second may be missing where they met no failure.

The report goes to standard error, with --json as one object to standard
output. Exit status: the command's if it is not 0 (128 plus the number of the
signal that ended it); 3 when failures of the kind that --fail-on names were
found; else 0. When the tracer cannot start, the command is not run, and the
status is 1, 4 or 5.")]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// Event log to write as well; zstd when the name ends in .zst
    #[arg(short, long, value_name = "LOG")]
    output: Option<PathBuf>,
    /// JUnit XML to write: a test case for each child command
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Which failures fail a child command and the run
    #[arg(long, value_enum, default_value_t = FailOn::Stale, value_name = "WHICH")]
    fail_on: FailOn,
    /// Print one JSON object to standard output
    #[arg(long)]
    json: bool,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs `audit`.
///
/// # Errors
/// When the tracer cannot start, the command cannot be run, or a report cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut file = args
        .junit
        .as_deref()
        .map(|path| Ok::<_, anyhow::Error>((path, create(path)?)))
        .transpose()?;
    let watcher = Rc::new(RefCell::new(Watcher::default()));
    let observer: Rc<RefCell<dyn Observer>> = Rc::<RefCell<Watcher>>::clone(&watcher);
    let stop = run::follow(&plan(args), Some(observer))?;
    let watcher = watcher.borrow();
    let command: Vec<_> = args
        .command
        .iter()
        .map(|arg| arg.to_string_lossy())
        .collect();
    let command = command.join(" ");
    let audited = audited(&watcher, &command, &stop, args.fail_on);
    if let Some((path, file)) = &mut file {
        let xml = junit(&audited).context("the JUnit report cannot be made")?;
        file.write_all(&xml)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if args.json {
        let mut line = serde_json::to_vec(&audited)?;
        line.push(b'\n');
        write(std::io::stdout().lock(), &line)?;
    } else {
        write(
            std::io::stderr().lock(),
            format!("\n{}", audit_text(&audited)).as_bytes(),
        )?;
    }
    Ok(run::exit_code(&stop, args.fail_on))
}

fn plan(args: &Args) -> Plan {
    Plan {
        common: args.common.clone(),
        format: Format::Summary {
            width: report::DEFAULT_WIDTH,
        },
        rows: Rows::Stderr,
        summary: Rows::Stderr,
        log: args.output.clone().map(LogTo::Path),
        command: args.command.clone(),
        fail_on: args.fail_on,
        role: Role::Command,
        upkeep: Upkeep::default(),
    }
}

fn audited<'a>(
    watcher: &'a Watcher,
    command: &'a str,
    stop: &'a Stop,
    fail_on: FailOn,
) -> Audited<'a> {
    Audited {
        command,
        ended: stop.status.and_then(ended),
        kernel: watcher.kernel(),
        failed: fail_on.met(stop.summary.failures),
        children: watcher.audit().cases(),
        summary: &stop.summary,
        fail_on,
    }
}

fn ended(status: ExitStatus) -> Option<Ended> {
    let exit = status.code().map(Ended::Exit);
    exit.or_else(|| status.signal().map(Ended::Signal))
}

/// Before the run: a report that cannot be written is not to be found out after hours of tests.
fn create(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .with_context(|| {
            format!(
                "{} cannot be created (a symbolic link is not followed): choose another file with \
                 --junit",
                path.display()
            )
        })
}

fn write(out: impl Write, text: &[u8]) -> Result<()> {
    output::write_all(out, text).context("the report cannot be written")
}
