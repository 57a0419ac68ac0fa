//! The command line: one file per subcommand.

mod accounts;
mod attach;
mod audit;
mod bounds;
mod bundle;
mod child;
mod common;
pub mod compare;
mod confine;
pub mod doctor;
mod exec;
mod live;
mod metrics;
pub mod model;
mod output;
mod plan;
mod record;
pub mod report;
pub mod repro;
mod run;
mod say;
mod scope;
mod service;
mod signals;
mod sink;
mod standby;
mod status;
mod trace;
mod upkeep;
mod verbose;

use clap::Parser;
use std::process::ExitCode;

use crate::error::Fail;

/// Says why page-cache invalidation fails under direct I/O, and who the other party was.
///
/// Without a command it traces: a row for each failure as it happens, a summary at the end.
#[derive(Debug, Parser)]
#[command(
    name = "iomap-trace",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Exit codes: 0 done; 1 error; 2 usage; 3 failures were found and --fail-on asked \
                  for it; 4 not enough privileges; 5 this kernel offers no usable probe."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    trace: trace::Args,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show each failure as it happens, and a summary at the end
    Trace(trace::Args),
    /// Write the event log, without a table
    Record(record::Args),
    /// Trace while a command runs, and pass its exit status on
    Exec(exec::Args),
    /// Trace while a test runs, and report failures per child command
    Audit(audit::Args),
    /// Give the same verdicts from event logs
    Report(report::Args),
    /// Pack a bug report: log, reports, doctor, kernel messages
    Bundle(bundle::Args),
    /// Show what this kernel offers, which probe each hook gets, and why
    Doctor(doctor::Args),
    /// Make direct writes collide, and tell what was done
    Repro(repro::Args),
    /// Play how a direct write and another party collide, as a text timeline
    Model(model::Args),
    /// Run the kernel beside the reference policies, and judge both by the data
    Compare(compare::Args),
}

/// The command line as data, for the man pages and the shells' completions.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command line and returns its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => trace::run(&cli.trace),
        Some(Command::Trace(args)) => trace::run(&args),
        Some(Command::Record(args)) => record::run(&args),
        Some(Command::Exec(args)) => exec::run(&args),
        Some(Command::Audit(args)) => audit::run(&args),
        Some(Command::Report(args)) => report::run(&args),
        Some(Command::Bundle(args)) => bundle::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Repro(args)) => repro::run(&args),
        Some(Command::Model(args)) => model::run(&args),
        Some(Command::Compare(args)) => compare::run(&args),
    };
    result.unwrap_or_else(|error| {
        say::say(say::Level::Error, format!("{error:#}"));
        Fail::code(&error).into()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
