//! `cargo xtask bench --overhead`: what the tracer costs those who write.
//!
//! In guests whose clock counts instructions it is told exactly; on this machine, as the throughput
//! with and without it in runs that take turns.

pub mod figures;
mod guests;
mod native;
mod one;
mod run;
mod text;

use anyhow::Result;
use std::process::ExitCode;

use self::native::{Mode, Place};
use crate::signal;
use crate::toolchain::Toolchain;

/// Arguments of `bench --overhead`.
#[derive(clap::Args)]
pub struct Options {
    /// What the tracer costs those who write, and nothing else
    #[arg(long)]
    overhead: bool,
    /// Kernels whose instructions are counted
    #[arg(long, value_delimiter = ',', value_name = "LIST", default_values = ["6.1", "6.12", "7.3"], requires = "overhead")]
    kernels: Vec<String>,
    /// Filesystems; btrfs and xfs in guests, and all on this machine, where not said otherwise
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        requires = "overhead"
    )]
    filesystems: Vec<String>,
    /// Only these configurations of the guests: a plan, or one after `standby-`; `bpftrace`
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        requires = "overhead"
    )]
    configs: Vec<String>,
    /// Rounds of 512 writes of each kind
    #[arg(long, value_name = "N", default_value_t = 2, requires = "overhead")]
    rounds: u32,
    /// Pairs of runs on this machine, with and without the tracer
    #[arg(long, value_name = "N", default_value_t = 9, requires = "overhead")]
    pairs: usize,
    /// What is compared with no tracer on this machine
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_enum,
        default_values_t = [Mode::Full, Mode::Standby, Mode::Control], requires = "overhead")]
    modes: Vec<Mode>,
    /// Only these workloads on this machine, by their names in `guest/load.rs`
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "LIST",
        requires = "overhead"
    )]
    workloads: Vec<String>,
    /// Where they run on this machine
    #[arg(long, value_delimiter = ',', value_name = "LIST", value_enum,
        default_values_t = [Place::OneCpu, Place::Memory, Place::Disk], requires = "overhead")]
    places: Vec<Place>,
    /// No guests
    #[arg(long, requires = "overhead")]
    no_guests: bool,
    /// Nothing on this machine
    #[arg(long, requires = "overhead")]
    no_native: bool,
    /// Leave bpftrace out of the guests
    #[arg(long, requires = "overhead")]
    no_bpftrace: bool,
    /// A static iomap-trace that is built already
    #[arg(long, value_name = "FILE", requires = "overhead")]
    program: Option<std::path::PathBuf>,
}

impl Options {
    /// Whether this bench was asked for.
    pub const fn wanted(&self) -> bool {
        self.overhead
    }
}

/// Measures, and prints Markdown.
///
/// # Errors
/// When something cannot be built or run.
pub fn run(args: &Options) -> Result<ExitCode> {
    signal::remember_interrupts();
    let toolchain = Toolchain::pinned()?;
    let programs = guests::Programs::build(&toolchain, args.program.as_deref())?;
    if !args.no_guests {
        for kernel in &args.kernels {
            let figures = guests::measure(args, kernel, &programs, &toolchain)?;
            print!("{}", text::of_guest(&figures));
        }
    }
    if !args.no_native {
        let figures = native::measure(args, &programs)?;
        print!("{}", text::of_machine(&figures));
    }
    Ok(ExitCode::SUCCESS)
}
