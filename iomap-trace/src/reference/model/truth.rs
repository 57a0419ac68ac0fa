//! What was true of a failure.

use serde::Serialize;

use super::super::Policy;
use super::kernel::Kernel;
use crate::correlate::Cause;
use crate::event::{OutcomeKind, Phase};

/// Why one folio was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Index of the folio in pages.
    pub index: u64,
    /// Number of pages.
    pub pages: u64,
    /// Cause.
    pub cause: Cause,
    /// The other party's thread, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<u32>,
    /// Its command name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub comm: &'static str,
    /// Ids of the holder records of this hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<u64>,
    /// The write stood in its own way.
    pub self_inflicted: bool,
}

/// The truth of one `failure` record. In JSON it carries `"type":"truth"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "truth")]
pub struct Truth {
    /// Number of the failure.
    pub failure: u64,
    /// Phase.
    pub phase: Phase,
    /// Policy of the write path.
    pub policy: Policy,
    /// Kernel whose behaviour was played.
    pub kernel: Kernel,
    /// Every reason of every folio; none when nothing failed and the record is only a suspicion.
    pub reasons: Vec<Reason>,
    /// What became of the write.
    pub outcome: OutcomeKind,
    /// What the write returned in the end: bytes, or a negative errno.
    pub ret: i64,
    /// When the write ended, a clean folio of its range held older data than the disk.
    pub stale: bool,
}
