//! `cargo xtask bench --start`: how long it takes from starting the tracer to its first row, beside
//! bpftrace, and how much memory that needs.

mod rounds;
pub mod run;
mod text;

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::demo::images::{Mounted, TempDir, own_mounts};
use crate::toolchain::Toolchain;
use crate::{signal, util};

/// The file system on which failures are made, and the arguments of its mkfs.
const FILESYSTEM: (&str, &[&str]) = ("xfs", &["-q", "-f"]);

/// Arguments of `bench --start`.
#[derive(clap::Args)]
pub struct Starts {
    /// How long it takes to the first row, and nothing else
    #[arg(long, conflicts_with = "overhead")]
    start: bool,
    /// Starts of each kind
    #[arg(long, value_name = "N", default_value_t = 11, requires = "start",
        value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
    /// An iomap-trace that is built already
    #[arg(long, value_name = "FILE", requires = "start")]
    started: Option<PathBuf>,
}

impl Starts {
    /// Whether this bench was asked for.
    pub const fn wanted(&self) -> bool {
        self.start
    }
}

/// Measures, and prints Markdown.
///
/// # Errors
/// When this is not root, or something cannot be built or run.
pub fn run(args: &Starts) -> Result<ExitCode> {
    ensure!(
        util::is_root(),
        "only root can mount filesystems and trace: run it as root"
    );
    signal::remember_interrupts();
    let program = match &args.started {
        Some(program) => program.clone(),
        None => Toolchain::pinned()?.program()?,
    };
    own_mounts()?;
    let dir = TempDir::new_in(&std::env::temp_dir())?;
    let (kind, options) = FILESYSTEM;
    let mounted = Mounted::new(kind, options, dir.path())?;
    let script = dir.path().join("first.bt");
    std::fs::write(&script, include_str!("first.bt"))
        .with_context(|| format!("cannot write {}", script.display()))?;
    let figures = rounds::measure(&program, &script, mounted.path(), args.starts)?;
    print!("{}", text::of(&figures, kind));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[derive(clap::Parser)]
    struct Bench {
        #[command(flatten)]
        _args: crate::bench::Args,
    }

    #[test]
    fn the_options_of_the_benches_go_together() {
        Bench::command().debug_assert();
    }
}
