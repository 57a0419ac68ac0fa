//! All files that are distributed beside the program, in one directory.

use super::release::{PACKAGE, Release};
use super::third_party;
use crate::toolchain::Toolchain;
use crate::util;
use crate::vm::build::TARGET;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Documents of the repository beside those in iomap-trace/docs, and their names in the packages.
const DOCUMENTS: &[(&str, &str)] = &[
    ("README.md", "README.md"),
    ("CHANGELOG.md", "changelog"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-GPL-2.0", "LICENSE-GPL-2.0"),
];

/// The directory: below the target directory, in the place that cargo-deb and cargo-generate-rpm
/// take for `target/release/stage`.
pub fn directory() -> PathBuf {
    util::target_dir().join(TARGET).join("release/stage")
}

/// Makes all files anew: the program, `man8`, `completions`, `doc`, and Debian's changelog.
///
/// # Errors
/// When the man pages cannot be built, or a file cannot be written.
pub fn make(toolchain: &Toolchain, release: &Release, program: &Path) -> Result<PathBuf> {
    let stage = directory();
    match fs::remove_dir_all(&stage) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", stage.display()));
        }
        _ => {}
    }
    let doc = stage.join("doc");
    fs::create_dir_all(&doc).with_context(|| format!("cannot make {}", stage.display()))?;
    copy(program, &stage.join(PACKAGE))?;
    manual(toolchain, release, &stage)?;
    for (from, to) in DOCUMENTS {
        copy(&util::workspace().join(from), &doc.join(to))?;
    }
    for page in super::files_in(&util::workspace().join("iomap-trace/docs"))? {
        copy(&page, &doc.join(page.file_name().unwrap_or_default()))?;
    }
    write(&doc.join("THIRD-PARTY"), &third_party::licences(release)?)?;
    for name in [
        "changelog",
        "THIRD-PARTY",
        "LICENSE-GPL-2.0",
        "LICENSE-APACHE",
    ] {
        gzip(&doc.join(name))?;
    }
    let debian = stage.join("changelog.Debian");
    write(&debian, &changelog(release)?)?;
    gzip(&debian)?;
    Ok(stage)
}

/// Man pages and completions come from the library's command line; this build is the tests' one.
fn manual(toolchain: &Toolchain, release: &Release, stage: &Path) -> Result<()> {
    let mut run = toolchain.cargo();
    run.args([
        "run",
        "--quiet",
        "--locked",
        "--package",
        PACKAGE,
        "--example",
        "manual",
        "--",
    ]);
    run.arg(stage).arg(release.date("+%F")?);
    util::run(&mut run)?;
    for page in super::files_in(&stage.join("man8"))? {
        gzip(&page)?;
    }
    Ok(())
}

/// Debian's form; what has changed stands in the project's own changelog.
fn changelog(release: &Release) -> Result<String> {
    Ok(format!(
        "{PACKAGE} ({}-1) unstable; urgency=medium\n\n  * Built from the sources of this version; \
         what is new: changelog.gz.\n\n -- The {PACKAGE} authors <{PACKAGE}@localhost>  {}\n",
        release.version,
        release.date("+%a, %d %b %Y %H:%M:%S +0000")?
    ))
}

/// Packs a file, without its name and time in it.
fn gzip(file: &Path) -> Result<()> {
    util::run(
        Command::new("gzip")
            .args(["--best", "--no-name", "--force"])
            .arg(file),
    )
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
