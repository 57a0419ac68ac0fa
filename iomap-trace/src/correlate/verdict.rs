//! What the engine says of one failure.

use serde::{Deserialize, Serialize};

use crate::event::{How, OutcomeKind, Text};

/// Why the folio could not be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Dirtied again after it had been written back.
    Redirtied,
    /// Completion of a btrfs ordered extent held the range.
    OrderedIo,
    /// Another task held the range in the extent io tree.
    ExtentLock,
    /// Under writeback.
    Writeback,
    /// Held by the journal.
    Journal,
    /// A buffer head was busy.
    Buffers,
    /// The filesystem could not launder it.
    Launder,
    /// btrfs found it again while mapping the range, and wrote buffered without an event.
    Reappeared,
    /// No invalidation was tried: the write-back before it failed.
    WritebackError,
    /// Not known; the verdict's reason says why.
    Unknown,
}

impl Cause {
    /// Name as in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redirtied => "redirtied",
            Self::OrderedIo => "ordered-io",
            Self::ExtentLock => "extent-lock",
            Self::Writeback => "writeback",
            Self::Journal => "journal",
            Self::Buffers => "buffers",
            Self::Launder => "launder",
            Self::Reappeared => "reappeared",
            Self::WritebackError => "writeback-error",
            Self::Unknown => "unknown",
        }
    }
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Cause and party were seen to hold at the failure itself.
    Exact,
    /// They overlap in time; the moment of refusal was not seen.
    Window,
    /// Nothing is claimed.
    None,
}

/// What shows that a post failure took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// A folio was still cached after the kernel's second invalidation, and `wb_err` changed.
    Both,
    /// A folio was still cached; `wb_err` held an unseen EIO already and could not change.
    Folio,
    /// `wb_err` changed to EIO without a real write-back error; no folio was left to look at.
    WbErr,
    /// The invalidation itself returned an error.
    Result,
    /// The kernel went to its warning of a stale page cache; what the invalidation returned was not
    /// seen.
    Warned,
}

/// The other party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Command name.
    pub comm: Text,
    /// What it did: `dirtied`, `cached`, `completed ordered I/O`, or the function that locked.
    pub did: Text,
    /// Through what, for a party that touched the page cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<How>,
    /// When it began, nanoseconds since boot.
    pub since_ns: u64,
    /// For how long it held the range, when it is known to have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ns: Option<u64>,
}

/// A failure with its cause. In JSON it carries `"type":"verdict"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "verdict")]
pub struct Verdict {
    /// Number of the failure.
    pub failure: u64,
    /// Cause.
    pub cause: Cause,
    /// How sure.
    pub confidence: Confidence,
    /// The other party, when one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<Party>,
    /// Post failures: whoever brought the folio into the page cache during the write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_by: Option<Party>,
    /// Ids of the holders that were in the way.
    pub holders: Vec<u64>,
    /// Causes of further refused folios of the same failure, where they differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Cause>,
    /// The other party is the writer itself. Ordered I/O: it completed a write-back that this very
    /// write had forced.
    pub self_inflicted: bool,
    /// Post failures: what shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// Outcome.
    pub outcome: OutcomeKind,
    /// Set when this turned out to be no failure, with the reason: it is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Text>,
    /// Why the cause is unknown, the confidence not `exact`, or the other party not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// Hooks whose evidence was not available, or incomplete.
    pub evidence_missing: Vec<Text>,
}
