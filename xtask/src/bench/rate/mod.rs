//! `cargo xtask bench --rate`: as many failures a second as this machine can make, with and without
//! the tracer, and whether any of them is missing.

pub mod load;
mod rounds;
mod run;
mod text;
mod zram;

use anyhow::{Result, bail, ensure};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::demo::images::{Mounted, TempDir, own_mounts};
use crate::soak::process::Program;
use crate::toolchain::Toolchain;
use crate::{signal, util};
use zram::Disk;

/// Room for what the tracer writes in one run; in memory, so that no disk holds it up.
const OUTPUT: &str = "4G";

/// Arguments of `bench --rate`.
#[derive(clap::Args)]
pub struct Rates {
    /// How many failures a second are recorded, and nothing else
    #[arg(long, conflicts_with_all = ["overhead", "start"])]
    rate: bool,
    /// Runs of each kind
    #[arg(long, value_name = "N", default_value_t = 5, requires = "rate",
        value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// An iomap-trace that is built already
    #[arg(long, value_name = "FILE", requires = "rate")]
    rated: Option<PathBuf>,
}

impl Rates {
    /// Whether this bench was asked for.
    pub const fn wanted(&self) -> bool {
        self.rate
    }
}

/// Measures, and prints Markdown.
///
/// # Errors
/// When this is not root, something cannot be built or run, or a run recorded other failures than
/// the kernel counted, beyond what it said was lost.
pub fn run(args: &Rates) -> Result<ExitCode> {
    ensure!(
        util::is_root(),
        "only root can mount filesystems and trace: run it as root"
    );
    signal::remember_interrupts();
    let program = match &args.rated {
        Some(program) => std::path::absolute(program)?,
        None => Toolchain::pinned()?.program()?,
    };
    own_mounts()?;
    let dir = TempDir::new_in(&std::env::temp_dir())?;
    let output = Mounted::memory("output", OUTPUT, dir.path())?;
    let disks = [
        Disk::new("xfs", &["-q", "-f"], dir.path())?,
        Disk::new("ext4", &["-q", "-F"], dir.path())?,
    ];
    let program = Program::new(&program, output.path())?;
    let figures = rounds::measure(&program, output.path(), &disks, args.runs)?;
    print!("{}", text::of(&figures));
    match &figures.wrong[..] {
        [] => Ok(ExitCode::SUCCESS),
        [first, ..] => bail!("the counts differ, and the loss is not told: {first}"),
    }
}
