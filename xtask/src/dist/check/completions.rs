//! The completions: scripts that their shells accept, and that complete.

use crate::util;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Sources the script and completes `iomap-trace rep`.
const COMPLETE: &str = r#"
source "$0"
how=$(complete -p iomap-trace)
function=${how#*-F }
COMP_WORDS=(iomap-trace rep) COMP_CWORD=1
${function%% *} iomap-trace rep iomap-trace
echo "${COMPREPLY[@]}"
"#;

/// Checks the scripts, and gives the shells that are not installed.
///
/// # Errors
/// When a shell does not take its script, or bash completes nothing.
pub fn check(directory: &Path) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for (shell, script) in [
        ("bash", "iomap-trace"),
        ("zsh", "_iomap-trace"),
        ("fish", "iomap-trace.fish"),
    ] {
        let script = directory.join(script);
        ensure!(script.is_file(), "there is no {}", script.display());
        if util::which(shell).is_none() {
            missing.push(shell);
            continue;
        }
        util::output(Command::new(shell).arg("-n").arg(&script))
            .with_context(|| format!("{shell} does not take its completions"))?;
        if shell == "bash" {
            let found = util::output(Command::new(shell).args(["-c", COMPLETE]).arg(&script))?;
            ensure!(found == "report repro", "bash completes `rep` to {found:?}");
        }
    }
    Ok(missing)
}
