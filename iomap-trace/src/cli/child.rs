//! The command that is traced.

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use super::plan::Plan;

/// Starts the command, if there is one.
///
/// # Errors
/// When it cannot be run.
pub fn spawn(plan: &Plan) -> Result<Option<Child>> {
    let Some((program, arguments)) = plan.command.split_first() else {
        return Ok(None);
    };
    let child = Command::new(program)
        .args(arguments)
        .spawn()
        .with_context(|| {
            let program = program.to_string_lossy();
            format!("`{program}` (check its name and the PATH) cannot be run")
        })?;
    Ok(Some(child))
}

/// Ends when the command ends; never without one.
pub async fn wait(child: Option<&mut Child>) {
    match child {
        // A failure shows again when the status is asked for.
        Some(child) => drop(child.wait().await),
        None => std::future::pending().await,
    }
}

/// Tells the command to end.
pub fn pass_on(child: &Child) {
    let pid = child
        .id()
        .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}
