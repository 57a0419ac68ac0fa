//! Build, test and demonstration tasks: `cargo xtask --help`.

mod artifact;
mod bench;
mod bpf;
mod demo;
mod dist;
mod fuzz;
mod private_apt;
mod setup;
mod signal;
mod soak;
mod test;
mod toolchain;
mod util;
mod vm;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Build, test and demonstration tasks of iomap-trace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure the engine and whole reports, beside DuckDB and plain Python
    Bench(bench::Args),
    /// Build the BPF object and its manifest into iomap-trace/bpf
    Bpf(bpf::Args),
    /// Install what the tests and the demonstration need from the system's packages
    Setup,
    /// Abuse the program for minutes, then look for what it lost, left behind or got wrong
    Soak(soak::Args),
    /// Run everything that the project tests
    Test(test::Args),
    /// Show real failures on ext4, xfs, btrfs and the current directory's filesystem
    Demo(demo::Args),
    /// Make what is handed out: a static program, packages, man pages, completions, checksums
    Dist(dist::Args),
    /// Look for inputs that break the readers of logs and of the kernel's text, and the engine
    Fuzz(fuzz::Args),
    /// Make failures for `bench --rate`
    #[command(hide = true)]
    Load(bench::rate::load::Args),
    /// Fetch other kernels, and run a command or a test on one in a virtual machine
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Bench(args) => bench::run(&args),
        Task::Bpf(args) => bpf::run(&args),
        Task::Setup => setup::run(),
        Task::Soak(args) => soak::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Load(args) => bench::rate::load::process(&args),
        Task::Vm(args) => vm::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
