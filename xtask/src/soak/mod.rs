//! `cargo xtask soak`: the program under abuse for minutes, and afterwards nothing is left of it.
//!
//! Workloads run at full speed on three filesystems. One recorder runs all the time; others are
//! started and killed at random, and one writes to a disk that runs full. At the end the kernel's
//! own counts, the logs, the memory of the long-lived recorder and what the system holds are checked.

mod bpf;
pub mod counts;
mod cramped;
mod guest;
pub mod kernel;
mod leaks;
mod load;
pub mod logs;
mod memory;
pub mod process;
mod rng;
mod steady;

use crate::demo::images::{self, KINDS, Mounted, TempDir};
use crate::toolchain::Toolchain;
use crate::{signal, util};
use anyhow::{Context, Result, bail};
use process::Program;
use rng::Rng;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// Arguments of `cargo xtask soak`.
#[derive(clap::Args)]
pub struct Args {
    /// Minutes of abuse
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Seed of everything that happens at random [default: of the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// The program, built already [default: built now]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Builds as this user and goes on as root.
pub fn run(args: &Args) -> Result<ExitCode> {
    let program = match &args.program {
        Some(program) => std::path::absolute(program)?,
        None => Toolchain::pinned()?.program()?,
    };
    if !util::is_root() {
        let mut again = Command::new(util::which("sudo").context("a soak needs root")?);
        again.arg("--").arg(std::env::current_exe()?).arg("soak");
        again.args(["--minutes", &args.minutes.to_string()]);
        if let Some(seed) = args.seed {
            again.args(["--seed", &seed.to_string()]);
        }
        util::run(again.arg("--program").arg(program))?;
        return Ok(ExitCode::SUCCESS);
    }
    let seed = args.seed.unwrap_or_else(rng::from_clock);
    let time = Duration::try_from_secs_f64(args.minutes * 60.0).context("--minutes is no time")?;
    soak(&program, time, seed)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs it, prints what was seen, and fails when anything is not as it should be.
///
/// # Errors
/// What is wrong, all of it in one line each on standard error before.
pub fn soak(program: &Path, time: Duration, seed: u64) -> Result<()> {
    println!("soak: {} s, seed {seed}", time.as_secs());
    signal::remember_interrupts();
    process::adopt_orphans()?;
    images::own_mounts()?;
    let before = leaks::Held::now()?;
    let mut wrong = Wrong::default();
    {
        let scratch = TempDir::new_in(&std::env::temp_dir())?;
        abuse(program, time, seed, scratch.path(), &mut wrong)?;
    }
    before.check(&mut wrong)?;
    match wrong.0.len() {
        0 => println!("soak: nothing is wrong"),
        n => bail!(
            "the soak found {n} faults (seed {seed}), first: {}",
            wrong.0[0].lines().next().unwrap_or_default()
        ),
    }
    Ok(())
}

/// What is not as it should be.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn add(&mut self, what: String) {
        eprintln!("WRONG: {what}");
        self.0.push(what);
    }

    fn unless(&mut self, good: bool, what: impl FnOnce() -> String) {
        if !good {
            self.add(what());
        }
    }
}

/// What the actors share.
struct Stage<'a> {
    program: Program,
    scratch: &'a Path,
    /// A filesystem each: its name and where it is mounted.
    mounts: Vec<(&'static str, Mounted)>,
}

fn abuse(
    program: &Path,
    time: Duration,
    seed: u64,
    scratch: &Path,
    wrong: &mut Wrong,
) -> Result<()> {
    let mut mounts = Vec::new();
    for (kind, mkfs) in KINDS {
        mounts.push((*kind, Mounted::new(kind, mkfs, scratch)?));
    }
    let stage = Stage {
        program: Program::new(program, scratch)?,
        scratch,
        mounts,
    };
    // The recorder ends after the kernel's count does, and begins before it: what it sees besides
    // is outside of the count's time, and there is no workload then.
    let mut steady = steady::Steady::start(&stage)?;
    let count = kernel::Counts::start(&stage)?;
    let mut rng = Rng::new(seed);
    let mut load = load::Load::start(&stage, rng.fork())?;
    let mut cramped = cramped::Cramped::start(&stage, rng.fork())?;
    let mut guests = guest::Guests::new(&stage, rng.fork());
    let until = Instant::now() + time;
    let mut second = Instant::now();
    while Instant::now() < until && !signal::interrupted() {
        load.tend(&stage)?;
        guests.tend(wrong)?;
        cramped.tend(wrong)?;
        if second.elapsed() >= Duration::from_secs(1) {
            second = Instant::now();
            steady.sample(wrong)?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("soak: the abuse is over, now everything is checked");
    guests.end(wrong)?;
    load.end(wrong)?;
    cramped.end(wrong)?;
    leaks::outlive_orphans(steady.pid(), wrong);
    let kernel = count.stop()?;
    steady.end(&kernel, wrong)?;
    stage.program.check_temporary(wrong)?;
    if signal::interrupted() {
        bail!("interrupted; everything is cleaned up");
    }
    Ok(())
}
