//! `cargo xtask vm`: other kernels, run in virtual machines.

pub mod build;
mod cpio;
mod disks;
mod fixtures;
mod initramfs;
pub mod kernel;
pub mod machine;
mod modules;
pub mod run;
mod tail;
pub mod tools;
pub mod watch;

use crate::toolchain::Toolchain;
use crate::{signal, util};
use anyhow::{Context, Result, ensure};
use build::What;
pub use disks::FILESYSTEMS;
use kernel::{Kernel, SERIES};
use machine::Clock;
use run::Job;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tools::Tools;

/// The exit status when the virtual machine could not be run, as that of `timeout` and `env`.
const NOT_RUN: u8 = 125;

/// Arguments of `cargo xtask vm`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(clap::Subcommand)]
enum Task {
    /// Fetch kernels (the newest of their Debian suites) and QEMU into the cache
    Fetch {
        /// Which ones
        #[arg(long, value_delimiter = ',', value_name = "LIST", default_values = names())]
        kernels: Vec<String>,
    },
    /// Run a command on a kernel, with empty filesystems in /mnt/{btrfs,xfs,ext4,vfat}
    ///
    /// The exit status is the command's, or 122 when the kernel crashed, 123 when the guest hung
    /// (twice), 124 when the command ran out of time, 125 when the guest could not be run.
    #[command(verbatim_doc_comment)]
    Run(RunArgs),
    /// Record the logs that iomap-trace/tests/fixtures holds, on every kernel
    Fixtures(fixtures::Args),
    /// Start a shell on a kernel; `poweroff -f` ends it, or Ctrl-A X
    Shell(GuestArgs),
}

fn names() -> Vec<&'static str> {
    SERIES.iter().map(|series| series.name).collect()
}

#[derive(clap::Args)]
struct GuestArgs {
    /// A Debian kernel (5.10, 6.1, 6.12, 7.2, 7.3), or the image of one of your own
    #[arg(long)]
    kernel: String,
    /// The modules of your own kernel: lib/modules/RELEASE, after depmod
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// A module beside the usual ones
    #[arg(long = "module", value_name = "NAME")]
    more_modules: Vec<String>,
    /// A static iomap-trace that is built already
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// A program of this system to put into the guest's /bin
    #[arg(long = "add", value_name = "FILE")]
    programs: Vec<PathBuf>,
    /// More words for the kernel's command line
    #[arg(long, default_value = "", value_name = "WORDS")]
    append: String,
    /// One CPU, whose clock counts its instructions: a nanosecond for each, and none while it waits
    #[arg(long)]
    icount: bool,
    /// Where the console, the output and the files that were left in /out go
    /// [default: vm/KERNEL in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(clap::Args)]
struct RunArgs {
    #[command(flatten)]
    guest: GuestArgs,
    /// Seconds that the command may take
    #[arg(long, default_value_t = 300, value_name = "S")]
    timeout: u64,
    /// Build iomap-trace/tests/NAME.rs for the guest and run it; the words after -- are for it
    #[arg(long, value_name = "NAME")]
    test: Option<String>,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Does what was asked.
///
/// # Errors
/// When kernels cannot be fetched. What happens to a guest is told by the exit status.
pub fn run(args: &Args) -> Result<ExitCode> {
    let done = match &args.task {
        Task::Fetch { kernels } => return fetch(kernels),
        Task::Run(args) => {
            signal::remember_interrupts();
            run_command(args)
        }
        Task::Fixtures(args) => {
            signal::remember_interrupts();
            fixtures::run(args)
        }
        Task::Shell(args) => {
            signal::remember_interrupts();
            shell(args)
        }
    };
    done.or_else(|error| {
        eprintln!("error: {error:#}");
        let interrupted = signal::interrupted();
        Ok(ExitCode::from(if interrupted { 130 } else { NOT_RUN }))
    })
}

fn fetch(kernels: &[String]) -> Result<ExitCode> {
    let tools = Tools::get()?;
    for name in kernels {
        let kernel = Kernel::debian(name, true, &tools)?;
        println!("{name}: {}", kernel.version);
    }
    Ok(ExitCode::SUCCESS)
}

fn run_command(args: &RunArgs) -> Result<ExitCode> {
    let toolchain = Toolchain::pinned()?;
    let mut programs = args.guest.programs.clone();
    let mut command = args.command.clone();
    if let Some(name) = &args.test {
        let test = build::executable(&toolchain, What::Test(name))?;
        let in_guest = test.file_name().context("the test has no name")?;
        command.insert(0, format!("/bin/{}", in_guest.to_string_lossy()));
        programs.push(test);
    }
    ensure!(
        !command.is_empty(),
        "nothing to run: give a command after --"
    );
    args.guest.with_job(&programs, |job| {
        let job = Job {
            command: Some(&command),
            timeout: Some(Duration::from_secs(args.timeout)),
            ..job
        };
        let done = run::run(&job, &toolchain, &Tools::get()?)?;
        run::report(&done, &job)
    })
}

fn shell(args: &GuestArgs) -> Result<ExitCode> {
    args.with_job(&args.programs, |job| {
        run::run(&job, &Toolchain::pinned()?, &Tools::get()?)?;
        Ok(ExitCode::SUCCESS)
    })
}

impl GuestArgs {
    /// Finds the kernel, and hands on a job for it that has no command yet.
    fn with_job<T>(
        &self,
        programs: &[PathBuf],
        then: impl FnOnce(Job<'_>) -> Result<T>,
    ) -> Result<T> {
        let own = self.modules.is_some() || self.kernel.contains('/');
        let kernel = if own {
            Kernel::own(Path::new(&self.kernel), self.modules.as_deref())?
        } else {
            Kernel::debian(&self.kernel, false, &Tools::get()?)?
        };
        let label = Path::new(&self.kernel)
            .file_name()
            .map_or_else(|| "own".into(), |name| name.to_string_lossy());
        let out = match &self.out {
            Some(dir) => dir.clone(),
            None => util::target_dir().join("vm").join(&*label),
        };
        then(Job {
            kernel: &kernel,
            label: &label,
            modules: &self.more_modules,
            program: self.program.as_deref(),
            programs,
            append: &self.append,
            clock: if self.icount {
                Clock::Instructions
            } else {
                Clock::Host
            },
            command: None,
            timeout: None,
            out: &out,
        })
    }
}
