//! The runs that the events came from: machine, kernel, mounts, probes, losses.

use serde::Serialize;

use crate::event::{End, Start, Text};

/// Runs of which the facts are kept.
const RUNS: usize = 16;
/// Mounts that are kept of a run: a host of containers has thousands.
const MOUNTS: usize = 256;

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Host, where a report may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Text>,
    /// Its first record, without layout and programs.
    pub start: Start,
    /// Mounts beyond those in `start`.
    pub mounts_left_out: u64,
    /// Its last record; absent when the log was cut.
    pub end: Option<End>,
}

/// The runs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Runs {
    /// The first sixteen.
    pub kept: Vec<Run>,
    /// How many more there were.
    pub left_out: u64,
}

impl Runs {
    /// A run begins.
    pub(super) fn start(&mut self, start: &Start, host: Option<&Text>) {
        if self.kept.len() == RUNS {
            self.left_out += 1;
            return;
        }
        let mut mounts = start.mounts.clone();
        mounts.truncate(MOUNTS);
        self.kept.push(Run {
            host: host.cloned(),
            mounts_left_out: (start.mounts.len() - mounts.len()) as u64,
            start: Start {
                mounts,
                hooks: start.hooks.clone(),
                programs: Vec::new(),
                layout: Default::default(),
                version: start.version.clone(),
                command: start.command.clone(),
                kernel: start.kernel.clone(),
                boot_id: start.boot_id.clone(),
                hostname: start.hostname.clone(),
                filesystems: start.filesystems.clone(),
                plan: start.plan.clone(),
                limits: start.limits.clone(),
                ..*start
            },
            end: None,
        });
    }

    /// The present run ended in order.
    pub(super) fn end(&mut self, end: &End) {
        if self.left_out == 0
            && let Some(run) = self.kept.last_mut()
        {
            run.end = Some(end.clone());
        }
    }
}
