//! `cargo xtask dist`: one static program, packages, man pages, completions and checksums, the same
//! bytes from the same commit, toolchain and C library.

pub mod check;
pub mod flags;
mod packages;
mod release;
mod stage;
mod third_party;
mod tools;

use crate::test::Outcome;
use crate::toolchain::Toolchain;
use crate::util;
use crate::vm::build::{self, TARGET, What};
use anyhow::{Context, Result, bail, ensure};
use packages::Packages;
use release::Release;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `cargo xtask dist`.
#[derive(clap::Args)]
pub struct Args {
    /// Where the files go [default: target/dist]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also check all files, and install, use and remove the packages (as root)
    #[arg(long)]
    check: bool,
}

/// A distribution that was made here.
struct Dist {
    release: Release,
    stage: PathBuf,
    packages: Packages,
}

/// Makes the distribution, and prints its files with their sizes in bytes.
pub fn run(args: &Args) -> Result<ExitCode> {
    let out = match &args.out {
        Some(out) => std::path::absolute(out)?,
        None => util::target_dir().join("dist"),
    };
    let toolchain = Toolchain::pinned()?;
    let dist = make(&toolchain, &out)?;
    for file in dist
        .packages
        .files()
        .into_iter()
        .chain([&*dist.packages.sums])
    {
        println!("{:>9} {}", file.metadata()?.len(), file.display());
    }
    if args.check {
        match check::check(&dist, &toolchain)? {
            Outcome::Failed(why) | Outcome::Skipped(why) => bail!("not all is checked: {why}"),
            Outcome::Passed => eprintln!("dist: all is as it should be"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn make(toolchain: &Toolchain, out: &Path) -> Result<Dist> {
    ensure!(
        cfg!(all(target_arch = "x86_64", target_os = "linux")),
        "distributions are made on x86-64 Linux, for x86-64 Linux"
    );
    let release = Release::of_workspace(toolchain, TARGET)?;
    let program = build::executable(toolchain, What::Program)?;
    let stage = stage::make(toolchain, &release, &program)?;
    let packages = Packages::at(out, &release);
    packages.make(toolchain, &release, &stage)?;
    Ok(Dist {
        release,
        stage,
        packages,
    })
}

/// The files in a directory, sorted.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(cannot)? {
        files.push(entry.with_context(cannot)?.path());
    }
    files.sort();
    Ok(files)
}
