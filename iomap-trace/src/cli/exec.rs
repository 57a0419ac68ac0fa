//! `iomap-trace exec`

use anyhow::Result;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use super::common::Common;
use super::plan::{LogTo, Plan, Role, Rows};
use super::run;
use super::trace::Kind;
use super::upkeep::Upkeep;
use crate::log::{Owner, Rotation};
use crate::report::audit::FailOn;
use crate::report::{self, Format};

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Traces the command, its descendants, and everyone else on files that they
write or dirty.
Rows go to standard output, the summary to standard error (with JSON both are
NDJSON on standard output). The exit status is the command's, or 128 plus the
number of the signal that ended it; 1 when it cannot be run. With --fail-on it
is 3 when such failures were found and the command succeeded: a status of its
own other than 0 wins. When the tracer cannot start, the command is not run,
and the status is 1, 4 or 5.")]
pub struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    upkeep: Upkeep,
    /// Event log to write; zstd when the name ends in .zst
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Give the log to this user
    #[arg(long, value_name = "NAME", requires = "output")]
    user: Option<String>,
    /// Also show each failure on standard output
    #[arg(long, value_enum)]
    format: Option<Kind>,
    /// Exit with 3 when such failures were found and the command succeeded
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    fail_on: FailOn,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs `exec`.
pub fn run(args: &Args) -> Result<ExitCode> {
    let format = match args.format {
        Some(kind) => kind.format(),
        None => Format::Summary {
            width: report::DEFAULT_WIDTH,
        },
    };
    let owner = args.user.as_deref().map(Owner::named).transpose()?;
    let log = args.output.clone().map(|path| LogTo::Kept {
        path,
        rotation: Rotation::default(),
        owner,
    });
    run::run(&Plan {
        common: args.common.clone(),
        format,
        rows: Rows::Stdout,
        summary: if format == Format::Json {
            Rows::Stdout
        } else {
            Rows::Stderr
        },
        log,
        command: args.command.clone(),
        fail_on: args.fail_on,
        role: Role::Command,
        upkeep: args.upkeep.clone(),
    })
}
