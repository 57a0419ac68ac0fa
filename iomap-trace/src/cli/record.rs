//! `iomap-trace record`

use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

use super::common::Common;
use super::plan::{LogTo, Plan, Rows};
use super::run;
use crate::report::audit::FailOn;
use crate::report::{self, Format};

/// Arguments of `record`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// Event log to write; zstd when the name ends in .zst
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs `record`.
pub fn run(args: &Args) -> Result<ExitCode> {
    run::run(&Plan {
        common: args.common.clone(),
        format: Format::Summary {
            width: report::DEFAULT_WIDTH,
        },
        rows: Rows::Stderr,
        summary: Rows::Stderr,
        log: Some(LogTo::Path(args.output.clone())),
        command: Vec::new(),
        fail_on: FailOn::Never,
    })
}
