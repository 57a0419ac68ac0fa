//! Where a run makes no sense because of the namespace it would be in.

use anyhow::Result;

use super::plan::Plan;
use crate::error::{ExitKind, Fail};
use crate::kernel::Privileges;

/// Refuses to follow a command by a number that the kernel does not know it by.
///
/// # Errors
/// In a PID namespace that is not the first one, when there is a command to follow.
pub fn check(plan: &Plan, privileges: &Privileges) -> Result<()> {
    if privileges.pid_namespace && !plan.command.is_empty() {
        return Err(Fail::error(
            ExitKind::Error,
            "this is a PID namespace of its own, in which processes have other numbers than in \
             the kernel's records, so a command cannot be followed: run iomap-trace on the host, \
             or the container with the host's namespace (docker run --pid=host)",
        ));
    }
    Ok(())
}
