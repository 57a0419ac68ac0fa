//! A deterministic generator of valid event logs: the same [`Spec`] gives the same events
//! everywhere, one at a time, so that a log can be far larger than memory.
//!
//! The records have the form, the proportions and the rates of logs recorded with the fexit plan on
//! btrfs, xfs and ext4. Each failure that a lock caused has exactly one holder on record whose lock
//! contains the refusal, so that every way of joining the two must count the same.

mod failure;
pub mod generator;
mod run;
mod scene;

pub use generator::Generator;

use std::fmt;
use std::str::FromStr;

/// What the failures of a log have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Failures spread over 100,000 inodes.
    ManyInodes,
    /// One inode has all of them, each on a range of its own.
    HotInode,
    /// One inode, eight ranges; most holders wait for the lock of a range that many others want,
    /// so that their intervals overlap each other and every failure.
    DeepOverlap,
    /// As recorded over days: bursts and quiet, three filesystems, every phase, some files busier
    /// than others, and something lost now and then.
    Mixed,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::ManyInodes,
        Self::HotInode,
        Self::DeepOverlap,
        Self::Mixed,
    ];

    /// Name on the command line and of the benches.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ManyInodes => "many-inodes",
            Self::HotInode => "hot-inode",
            Self::DeepOverlap => "deep-overlap",
            Self::Mixed => "mixed",
        }
    }

    /// How many holders are open at once unless one says otherwise.
    pub const fn usual_open(self) -> u64 {
        match self {
            Self::ManyInodes | Self::HotInode => 1_000,
            Self::DeepOverlap => 4_000,
            Self::Mixed => 64,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|shape| shape.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no shape: take one of {names}")
        })
    }
}

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Shape.
    pub shape: Shape,
    /// Records, with `start` and `end`: at least 2.
    pub events: u64,
    /// Holders that are open at the same moment, on average: at least 1.
    pub open: u64,
    /// Where the random choices begin.
    pub seed: u64,
}

impl Spec {
    /// The usual log of this shape.
    pub const fn usual(shape: Shape, events: u64) -> Self {
        Self {
            shape,
            events,
            open: shape.usual_open(),
            seed: 1,
        }
    }
}
