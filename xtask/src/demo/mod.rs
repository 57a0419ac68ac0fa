//! `cargo xtask demo`: real failures on ext4, xfs, btrfs and the current directory's filesystem.

pub mod images;
mod root;
mod show;

use crate::toolchain::Toolchain;
use crate::{setup, signal, util};
use anyhow::{Context, Result, bail};
use images::{KINDS, Mounted, TempDir};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Where the logs and their reports go
    #[arg(long, default_value = "demo-out")]
    out: PathBuf,
    /// Seconds of work on each filesystem
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// The program, built already (what this task gives itself when it goes on as root)
    #[arg(long, hide = true)]
    program: Option<PathBuf>,
}

/// Builds as this user and goes on as root.
pub fn run(args: &Args) -> Result<ExitCode> {
    let program = match &args.program {
        Some(program) => program.clone(),
        None => {
            setup::run()?;
            build()?
        }
    };
    if !util::is_root() {
        return root::again(&program, &args.out, args.seconds);
    }
    signal::remember_interrupts();
    let failed = all(args, &program)?;
    if signal::interrupted() {
        bail!("interrupted; everything is cleaned up");
    }
    if !failed.is_empty() {
        bail!("the demonstration failed on {}", failed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn build() -> Result<PathBuf> {
    eprintln!("building iomap-trace");
    Toolchain::pinned()?.program()
}

/// Shows each filesystem; gives the names of those that failed.
fn all(args: &Args, program: &Path) -> Result<Vec<String>> {
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make {}", args.out.display()))?;
    root::give_back(&args.out);
    images::own_mounts()?;
    let scratch = TempDir::new_in(&std::env::temp_dir())?;
    let show = show::Show {
        program,
        out: &args.out,
        seconds: args.seconds,
    };
    let mut failed = Vec::new();
    for (kind, mkfs_args) in KINDS {
        if signal::interrupted() {
            return Ok(failed);
        }
        if util::which(&format!("mkfs.{kind}")).is_none() {
            println!("\n=== {kind}: left out, there is no mkfs.{kind}");
            continue;
        }
        let shown = Mounted::new(kind, mkfs_args, scratch.path())
            .and_then(|mounted| show.filesystem(kind, mounted.path()));
        note(kind, shown, &mut failed);
    }
    if !signal::interrupted() {
        here(&show, &mut failed);
    }
    println!(
        "\nlogs and reports are in {0}/; for the verdicts of a log:",
        args.out.display()
    );
    let log = args.out.join("ext4.jsonl.zst");
    println!("  {} report {}", program.display(), log.display());
    Ok(failed)
}

/// The current directory's filesystem, as it is.
fn here(show: &show::Show<'_>, failed: &mut Vec<String>) {
    let kind = images::kind_of(Path::new(".")).unwrap_or_else(|| "unknown".to_owned());
    // The others have no direct I/O, or hand it to another filesystem.
    if !KINDS.iter().any(|(known, _)| *known == kind) && kind != "f2fs" {
        println!("\n=== current directory: left out, {kind} does no direct I/O through iomap");
        return;
    }
    let name = format!("here-{kind}");
    let shown = std::env::current_dir()
        .context("cannot tell the current directory")
        .and_then(|cwd| TempDir::new_in(&cwd))
        .and_then(|dir| show.filesystem(&name, dir.path()));
    note(&name, shown, failed);
}

fn note(name: &str, shown: Result<()>, failed: &mut Vec<String>) {
    if let Err(error) = shown {
        eprintln!("{name}: {error:#}");
        failed.push(name.to_owned());
    }
}
