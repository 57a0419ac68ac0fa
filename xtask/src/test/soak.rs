//! The step that abuses the program.

use super::{Outcome, live};
use crate::toolchain::Toolchain;
use crate::util::{self, Stream};
use anyhow::{Context, Result};
use std::process::Command;

/// Minutes of every run: time for some forty tracers, and for a disk to run full several times.
const MINUTES: &str = "1.25";
/// The same with `--long`.
const LONG_MINUTES: &str = "10";

/// Builds the program and soaks it, in a process of its own: that takes leave of the mounts here.
pub fn run(toolchain: &Toolchain, long: bool) -> Outcome {
    attempt(toolchain, long).unwrap_or_else(|error| Err(error).into())
}

fn attempt(toolchain: &Toolchain, long: bool) -> Result<Outcome> {
    let Some(as_root) = live::as_root() else {
        return Ok(Outcome::Skipped("needs root".into()));
    };
    let program = toolchain.program()?;
    let me = std::env::current_exe().context("cannot find this program")?;
    let mut words = as_root.iter().copied().chain(["env"]);
    let mut command = Command::new(words.next().unwrap_or("env"));
    command.args(words).arg(me);
    command.args([
        "soak",
        "--minutes",
        if long { LONG_MINUTES } else { MINUTES },
    ]);
    command.arg("--program").arg(program);
    let (done, said) = util::run_heard(&mut command, Stream::Error)?;
    let why = said.lines().rfind(|line| line.starts_with("error: "));
    Ok(match (done, why) {
        (Err(_), Some(why)) => Outcome::Failed(why.to_owned()),
        (done, _) => done.into(),
    })
}
