//! `iomap-trace repro`

use anyhow::Result;
use std::process::ExitCode;

/// Arguments of `repro`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs `repro`.
pub fn run(_args: &Args) -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
