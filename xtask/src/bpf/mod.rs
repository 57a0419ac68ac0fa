//! `cargo xtask bpf`: the BPF object, built so that the same sources give the same bytes anywhere.

mod build;
mod fingerprint;
#[cfg(test)]
mod fingerprint_tests;
mod linker;
mod manifest;
mod rust_src;

pub use build::{PACKAGE, cargo_for_bpf};

use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result, ensure};
use fingerprint::{DIR, MANIFEST, OBJECT};
use manifest::Manifest;
use std::fs;
use std::process::ExitCode;

/// Arguments of `cargo xtask bpf`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing: build again and compare with the committed object and manifest
    #[arg(long)]
    check: bool,
}

/// Builds the object; writes it and its manifest, or compares them with the committed ones.
pub fn run(args: &Args) -> Result<ExitCode> {
    let toolchain = Toolchain::pinned()?;
    if args.check {
        check_committed(&toolchain)?;
        println!("{OBJECT} is what its sources give");
    } else {
        write(&toolchain)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write(toolchain: &Toolchain) -> Result<()> {
    let root = util::workspace();
    let object = build::object(toolchain)?;
    let manifest = Manifest::new(&root, toolchain, &object)?;
    let dir = root.join(DIR);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for (file, bytes) in [
        (OBJECT, &object[..]),
        (MANIFEST, manifest.to_json()?.as_bytes()),
    ] {
        fs::write(root.join(file), bytes).with_context(|| format!("cannot write {file}"))?;
    }
    println!("{OBJECT}: {} bytes, {}", object.len(), manifest.rustc);
    Ok(())
}

/// Builds the object again and compares it and its manifest with the committed ones; says on
/// standard error what differs.
///
/// # Errors
/// When anything differs, or the object cannot be built.
pub fn check_committed(toolchain: &Toolchain) -> Result<()> {
    let root = util::workspace();
    let object = build::object(toolchain)?;
    let manifest = Manifest::new(&root, toolchain, &object)?;
    let mut differences = Vec::new();
    match fs::read(root.join(OBJECT)) {
        Ok(committed) if committed == object => {}
        Ok(committed) => differences.push(format!(
            "{OBJECT}: has {} bytes, the build gives {} other ones",
            committed.len(),
            object.len()
        )),
        Err(error) => differences.push(format!("{OBJECT}: {error}")),
    }
    match Manifest::read(&root) {
        Ok(committed) => differences.extend(committed.differences(&manifest)),
        Err(error) => differences.push(format!("{error:#}")),
    }
    for difference in &differences {
        eprintln!("{difference}");
    }
    ensure!(
        differences.is_empty(),
        "{DIR} is not what its sources give: run `cargo xtask bpf` and commit it"
    );
    Ok(())
}
