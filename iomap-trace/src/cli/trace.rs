//! `iomap-trace [trace]`

use anyhow::Result;
use std::process::ExitCode;

use super::common::Common;
use super::plan::{Plan, Role, Rows};
use super::run;
use super::upkeep::Upkeep;
use crate::report::audit::FailOn;
use crate::report::{self, Format};

/// Arguments of `trace`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    upkeep: Upkeep,
    /// What to write to standard output
    #[arg(long, value_enum, default_value_t)]
    format: Kind,
}

/// Formats of the live commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A row for each failure, and a summary
    #[default]
    Table,
    /// Every record and verdict, and a summary, as NDJSON
    Json,
}

impl Kind {
    /// The session's format, as wide as the terminal.
    pub fn format(self) -> Format {
        match self {
            Self::Table => Format::Table {
                width: report::terminal_width(),
            },
            Self::Json => Format::Json,
        }
    }
}

/// Runs `trace`.
pub fn run(args: &Args) -> Result<ExitCode> {
    run::run(&Plan {
        common: args.common.clone(),
        format: args.format.format(),
        rows: Rows::Stdout,
        summary: Rows::Stdout,
        log: None,
        command: Vec::new(),
        fail_on: FailOn::Never,
        role: Role::Command,
        upkeep: args.upkeep.clone(),
    })
}
