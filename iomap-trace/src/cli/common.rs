//! Options of every command that traces.

use anyhow::Result;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::repro::seconds;
use crate::event::Dev;
use crate::kernel::mountinfo::MountLine;
use crate::probe::{Choice, Filters, Options};

/// Filters, limits and probes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    /// Only failures of writers in this process
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Only failures of writers with this command name
    #[arg(long, value_name = "NAME")]
    comm: Option<String>,
    /// Only failures on this device
    #[arg(long, value_name = "MAJOR:MINOR", conflicts_with = "path")]
    dev: Option<Dev>,
    /// Only failures on this file, or below this directory
    #[arg(long, value_name = "PATH", conflicts_with = "ino")]
    path: Option<PathBuf>,
    /// Only failures on this inode number
    #[arg(long, value_name = "INO")]
    ino: Option<u64>,
    /// Only failures of writers in this cgroup v2 (id or directory)
    #[arg(long, value_name = "CGROUP")]
    cgroup: Option<String>,
    /// Stop after this time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Stop once this many failures were seen
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Force a plan
    #[arg(long, value_enum, default_value_t)]
    probes: Choice,
    /// Keep kernel stacks of failures and lock holders
    #[arg(long)]
    stacks: bool,
    /// Tell of every hook, and show warnings of the BPF programs
    #[arg(short, long)]
    pub verbose: bool,
}

impl Common {
    /// Path to narrow to.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Process to narrow to.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Device to narrow to.
    pub fn dev(&self) -> Option<Dev> {
        self.dev
    }

    /// Options for the probes.
    ///
    /// # Errors
    /// When the path or the cgroup cannot be resolved.
    pub fn options(&self, mounts: &[MountLine]) -> Result<Options> {
        let mut filters = Filters {
            pid: self.pid,
            dev: self.dev,
            ino: self.ino,
            ..Filters::default()
        };
        if let Some(comm) = &self.comm {
            filters.set_comm(comm)?;
        }
        if let Some(path) = &self.path {
            filters.set_path(path, mounts)?;
        }
        if let Some(cgroup) = &self.cgroup {
            filters.set_cgroup(cgroup)?;
        }
        Ok(Options {
            filters,
            choice: self.probes,
            stacks: self.stacks,
            verbose: self.verbose,
            standby: false,
        })
    }
}
