//! Going on as root, and giving the files back to who asked.

use crate::util;
use anyhow::{Context, Result};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Runs this task again with sudo, with the program that is built.
///
/// # Errors
/// When there is no sudo.
pub fn again(program: &Path, out: &Path, seconds: u32) -> Result<ExitCode> {
    let sudo = util::which("sudo").context("the demonstration needs root; run it as root")?;
    let me = std::env::current_exe().context("cannot find this program")?;
    eprintln!("going on as root, with sudo");
    let status = Command::new(sudo)
        .arg("--")
        .arg(me)
        .args(["demo", "--seconds", &seconds.to_string(), "--program"])
        .arg(program)
        .arg("--out")
        .arg(out)
        .status()
        .context("cannot run sudo; run this as root")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Makes the user who called sudo the owner of `path`. Failing to is no harm: it can be read.
pub fn give_back(path: &Path) {
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if let (Some(uid), Some(gid)) = (id("SUDO_UID"), id("SUDO_GID")) {
        let _ = chown(path, Some(uid), Some(gid));
    }
}
