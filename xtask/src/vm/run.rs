//! `cargo xtask vm run`: one command or test on one kernel.

use super::build::{self, What};
use super::disks::{self, FILESYSTEMS};
use super::initramfs::{self, Contents};
use super::kernel::Kernel;
use super::machine::{self, Clock, Machine};
use super::tools::Tools;
use super::watch::{End, Limits};
use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result};
use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// A guest boots in six seconds on an idle machine.
const BOOT: Duration = Duration::from_secs(120);
/// A guest says each second that it lives; a loaded host lets it starve for a while.
const SILENCE: Duration = Duration::from_secs(60);

/// What is run, and on what.
pub struct Job<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// A name for it in the names of files.
    pub label: &'a str,
    /// Names of modules beside the usual ones.
    pub modules: &'a [String],
    /// `iomap-trace`, static, if it is built already.
    pub program: Option<&'a Path>,
    /// Programs beside it, by path.
    pub programs: &'a [PathBuf],
    /// More words for the kernel's command line.
    pub append: &'a str,
    /// Whose time the guest's is.
    pub clock: Clock,
    /// The command and its arguments; `None` for a shell.
    pub command: Option<&'a [String]>,
    /// How long the command may take.
    pub timeout: Option<Duration>,
    /// Where the console, the output and the files that the command left in `/out` go.
    pub out: &'a Path,
}

/// How a job ended, and on which attempt.
pub struct Done {
    /// How it ended.
    pub end: End,
    /// How often the guest hung before.
    pub hung: u32,
}

/// Builds the program, boots and runs the job. A guest that hangs is booted again once: under
/// emulation 5.10 does that now and then, whatever it runs.
///
/// # Errors
/// When the guest cannot be made, or this program is interrupted.
pub fn run(job: &Job<'_>, toolchain: &Toolchain, tools: &Tools) -> Result<Done> {
    let program = match job.program {
        Some(path) => path.to_path_buf(),
        None => build::executable(toolchain, What::Program)?,
    };
    let mut programs = vec![("iomap-trace".to_owned(), program)];
    for path in job.programs {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        programs.push((name.into_owned(), path.clone()));
    }
    let mut hung = 0;
    loop {
        let end = attempt(job, &programs, tools)?;
        match &end {
            End::Hung(why) if hung == 0 => {
                eprintln!("vm: the guest hangs ({why}): booting it again, once");
                hung += 1;
            }
            _ => return Ok(Done { end, hung }),
        }
    }
}

fn attempt(job: &Job<'_>, programs: &[(String, PathBuf)], tools: &Tools) -> Result<End> {
    for file in machine::files(job.out) {
        let _ = fs::remove_file(file);
    }
    let _ = fs::remove_dir_all(job.out.join(FILES));
    fs::create_dir_all(job.out).with_context(|| format!("cannot make {}", job.out.display()))?;
    let scratch = Scratch::new()?;
    let disks = disks::make(&scratch.0, &job.kernel.name, tools)?;
    let contents = Contents {
        kernel: job.kernel,
        modules: job.modules,
        programs,
        filesystems: FILESYSTEMS,
        command: job.command,
    };
    let initramfs = scratch.0.join("initramfs");
    fs::write(&initramfs, initramfs::pack(&contents, tools)?)?;
    let machine = Machine {
        image: &job.kernel.image,
        initramfs: &initramfs,
        disks: &disks,
        append: job.append,
        clock: job.clock,
        files: job.out,
        limits: Limits {
            boot: BOOT,
            silence: SILENCE,
            command: job.timeout,
        },
    };
    let _only = only_one()?;
    eprintln!("vm: booting {} ({})", job.kernel.name, job.kernel.version);
    if job.command.is_none() {
        machine.shell(tools)?;
        return Ok(End::Exited(0));
    }
    let end = machine.run(tools)?;
    if let End::Exited(_) = end {
        disks::take(&disks, &job.out.join(FILES))?;
    }
    Ok(end)
}

/// Where the files of `/out` go, beside the console and the output.
pub const FILES: &str = "files";

/// Two guests at once slow each other down until they seem to hang: waits for the other one.
fn only_one() -> Result<fs::File> {
    let path = util::cache_dir()?.join("vm.lock");
    let file =
        fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("vm: another virtual machine runs; waiting for its end");
        // A signal interrupts the wait.
        file.lock()
            .context("gave up waiting for the other virtual machine")?;
    }
    Ok(file)
}

/// Hands on what the command printed, says how it ended, and gives the exit status for it.
///
/// # Errors
/// When standard output cannot be written.
pub fn report(done: &Done, job: &Job<'_>) -> Result<ExitCode> {
    if let Ok(stdout) = fs::read(job.out.join("stdout")) {
        std::io::stdout().write_all(&stdout)?;
    }
    let (code, line) = verdict(&done.end);
    let again = match done.hung {
        0 => "",
        _ => " (on the second boot, the first one hung)",
    };
    let out = job.out.display();
    eprintln!("vm: {}: {line}{again}; files are in {out}", job.label);
    Ok(ExitCode::from(code))
}

/// The exit status that tells this end from the others, and a line about it.
fn verdict(end: &End) -> (u8, String) {
    match end {
        End::Exited(status) => (*status, format!("the command ended with {status}")),
        End::TimedOut => (124, "the command ran out of time".to_owned()),
        End::Failed(why) => (125, why.clone()),
        End::Crashed(line) => (122, format!("the kernel crashed: {line}")),
        End::Hung(why) => (123, format!("the guest hung: {why}")),
    }
}

/// A directory that goes away with its content.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("iomap-trace-vm-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}
