//! The command line: one file per subcommand.

pub mod doctor;
pub mod report;
pub mod repro;

use std::process::ExitCode;

/// Runs the command line and returns its exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
