//! Everything that a long report says of one log or several: one aggregate, which every long format
//! renders.
//!
//! [`Collector`] takes the events and the verdicts as they come and keeps little of them: sums, the
//! records of failures that are not decided yet, the holders of the last moments, and the clearest
//! failure of each kind. [`Dossier`] is what it amounts to, beside the [`Summary`].

mod advice;
mod collector;
mod example;
mod files;
mod fixes;
mod holds;
mod kinds;
mod recent;
mod runs;
#[cfg(test)]
mod tests;
mod unseen;
mod version;

use serde::Serialize;

use super::summary::Summary;
use super::tally::FileId;
use crate::event::FileRecord;

pub use advice::{Advice, advice};
pub use collector::Collector;
pub use example::{Example, Origin};
pub use files::{Checksums, Files};
pub use fixes::{Fix, Fixed, fixes};
pub use holds::{Class, Hold, Percentiles};
pub use kinds::Kind;
pub(super) use recent::Recent;
pub use recent::Records;
pub use runs::{Run, Runs};
pub use unseen::{NOT_RECORDED, Unseen};
pub use version::Version;

/// Rows of a list by file or by pair.
pub const TOP: usize = 20;

/// What a list does not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Rows; of more than [`Summary`] tells apart, only those that it does.
    pub rows: u64,
    /// Failures in them, and in what was not told apart.
    pub failures: u64,
}

/// What one run or several amount to.
#[derive(Clone, Debug, Serialize)]
pub struct Dossier<'a> {
    /// The sums.
    pub summary: &'a Summary,
    /// The runs: machine, kernel, mounts, probes, losses.
    pub runs: &'a Runs,
    /// Failures by cause and phase, the stale ones first, then the most frequent.
    pub kinds: Vec<Kind>,
    /// How long locks were held.
    pub holds: Vec<Hold>,
    /// For how long after the failure the lock in its way was still held.
    pub too_early: Option<Percentiles>,
    /// The examples are those that were asked for.
    pub asked: bool,
    /// The clearest failure of each kind, in the order of [`Dossier::kinds`]; or those that were
    /// asked for.
    pub examples: Vec<&'a Example>,
    /// What was not visible, and why.
    pub unseen: Vec<Unseen>,
    /// Changes of the kernel that bear on these failures.
    pub fixes: Vec<Fix>,
    /// What the user can do now.
    pub advice: Vec<Advice>,
    /// What files are like.
    #[serde(skip)]
    pub files: &'a Files,
    /// What their flags say of btrfs' checksums.
    pub checksums: Checksums,
    /// Files beyond [`TOP`].
    pub files_left_out: LeftOut,
    /// Pairs beyond [`TOP`].
    pub pairs_left_out: LeftOut,
}

impl Dossier<'_> {
    /// What is recorded of a file that the summary names.
    pub fn file(&self, file: &FileId) -> Option<&FileRecord> {
        files::record(self.files, self.summary, file)
    }

    /// Whether there are several runs.
    pub fn several_runs(&self) -> bool {
        self.runs.kept.len() as u64 + self.runs.left_out > 1
    }

    /// Whether the runs are those of several hosts, which then have names.
    pub fn several_hosts(&self) -> bool {
        self.summary.hosts.len() > 1
    }
}
