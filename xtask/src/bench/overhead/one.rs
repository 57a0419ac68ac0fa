//! One processor for a workload and for what the kernel does for it.
//!
//! A loop device writes in a worker of the kernel. On which processor that worker runs, and how long
//! it takes to wake up there, makes half of what such a write takes on an idle machine, by chance.

use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// On which processors the kernel's workers run that belong to none (Documentation/core-api/workqueue.rst).
const WORKERS: &str = "/sys/devices/virtual/workqueue/cpumask";
/// The first processor, as a mask.
const FIRST: &str = "1";

/// Has the workers of the first processor; they are given back with this value.
pub struct OneCpu {
    before: String,
}

impl OneCpu {
    /// Lets the workers run on the first processor alone.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn take() -> Result<Self> {
        let told = std::fs::read_to_string(WORKERS);
        let before = told.with_context(|| format!("cannot read {WORKERS}"))?;
        std::fs::write(WORKERS, FIRST).with_context(|| format!("cannot write {WORKERS}"))?;
        Ok(Self { before })
    }

    /// A command that runs there as well.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("taskset");
        command.arg(FIRST).arg(program);
        command
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(WORKERS, self.before.trim()) {
            let before = self.before.trim();
            eprintln!("{WORKERS} stays at {FIRST}, and was {before}: {error}");
        }
    }
}
