//! One directed interleaving for each culprit.

use super::super::Policy;
use super::kernel::Kernel;
use super::locker::Under;
use super::scenario::{File, Role, Scenario};
use super::schedule::Cue;
use super::tree::Span;
use super::world::{Fs, PAGE, Place, Shape};
use super::writer::Write;
use crate::correlate::Cause;
use crate::event::Dev;

/// Pages of the directed write.
const PAGES: u64 = 4;
const RANGE: Span = Span {
    start: 0,
    end: PAGES * PAGE,
};

/// Who stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Culprit {
    /// Completion of the ordered extent that the write's own flush made (btrfs)
    OrderedIo,
    /// Completion of an ordered extent that the flusher made (btrfs)
    OrderedIoOther,
    /// Another lock of the extent io tree: FIEMAP (btrfs)
    ExtentLock,
    /// A store through a mapping, after the flush (xfs)
    Redirtied,
    /// A buffered write, after an asynchronous direct write completed (xfs)
    RedirtiedBuffered,
    /// A folio under writeback: tested for, and not known to happen
    Writeback,
    /// The journal holds the folio's buffers (ext4)
    Journal,
    /// Somebody has a reference on a buffer head (ext4)
    Buffers,
    /// The filesystem cannot launder a folio that was dirtied again (fuse)
    Launder,
    /// A read brings a folio back before the range is mapped (btrfs)
    Reappeared,
    /// The flush fails; nothing is invalidated (ext4)
    WritebackError,
}

impl Culprit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::OrderedIo,
        Self::OrderedIoOther,
        Self::ExtentLock,
        Self::Redirtied,
        Self::RedirtiedBuffered,
        Self::Writeback,
        Self::Journal,
        Self::Buffers,
        Self::Launder,
        Self::Reappeared,
        Self::WritebackError,
    ];

    /// Name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderedIo => "ordered-io",
            Self::OrderedIoOther => "ordered-io-other",
            Self::ExtentLock => "extent-lock",
            Self::Redirtied => "redirtied",
            Self::RedirtiedBuffered => "redirtied-buffered",
            Self::Writeback => "writeback",
            Self::Journal => "journal",
            Self::Buffers => "buffers",
            Self::Launder => "launder",
            Self::Reappeared => "reappeared",
            Self::WritebackError => "writeback-error",
        }
    }

    /// What it is, in a sentence.
    pub const fn story(self) -> &'static str {
        match self {
            Self::OrderedIo => {
                "The write's own flush made an ordered extent. Its completion runs on a workqueue \
                 and holds the range locked after writeback has ended."
            }
            Self::OrderedIoOther => {
                "The flusher made an ordered extent before. Its completion holds the range locked."
            }
            Self::ExtentLock => "FIEMAP holds the range locked while it looks at its extents.",
            Self::Redirtied => "After the flush a store through a mapping dirties a folio again.",
            Self::RedirtiedBuffered => {
                "An asynchronous write is on disk and shuts nobody out any more: a buffered write \
                 dirties the range before it is invalidated again."
            }
            Self::Writeback => {
                "A folio is under writeback when its release is asked for. The kernel tests for \
                 it; no filesystem in it is known to begin writeback beneath the folio lock."
            }
            Self::Journal => "The journal has not let go of the folio's buffers.",
            Self::Buffers => "Somebody has a reference on one of the folio's buffer heads.",
            Self::Launder => {
                "After the flush a folio is dirtied again, and the filesystem fails to launder it."
            }
            Self::Reappeared => {
                "The range was invalidated, and a read brings a folio back before btrfs maps it."
            }
            Self::WritebackError => {
                "The flush before the write fails. Nothing is invalidated, and nobody collided."
            }
        }
    }

    /// What an engine should call it.
    pub const fn cause(self) -> Cause {
        match self {
            Self::OrderedIo | Self::OrderedIoOther => Cause::OrderedIo,
            Self::ExtentLock => Cause::ExtentLock,
            Self::Redirtied | Self::RedirtiedBuffered => Cause::Redirtied,
            Self::Writeback => Cause::Writeback,
            Self::Journal => Cause::Journal,
            Self::Buffers => Cause::Buffers,
            Self::Launder => Cause::Launder,
            Self::Reappeared => Cause::Reappeared,
            Self::WritebackError => Cause::WritebackError,
        }
    }

    const fn fs(self) -> Fs {
        match self {
            Self::Redirtied | Self::RedirtiedBuffered => Fs::Xfs,
            Self::Writeback | Self::Journal | Self::Buffers | Self::WritebackError => Fs::Ext4,
            Self::Launder => Fs::Fuse,
            _ => Fs::Btrfs,
        }
    }

    /// A kernel that has both the culprit and the policy.
    const fn kernel(self, policy: Policy) -> Kernel {
        match (self, policy) {
            (_, Policy::Warn | Policy::Fallback) => Kernel::V5_8,
            (Self::WritebackError, Policy::Enotblk) => Kernel::V6_12,
            // Only here a folio without private data is seen to be refused.
            (Self::Redirtied | Self::RedirtiedBuffered, _) => Kernel::V6_18,
            _ => Kernel::V6_1,
        }
    }

    /// Whether the write fails to invalidate, or falls back, with this policy.
    pub const fn fails(self, policy: Policy) -> bool {
        match self {
            // A path that goes on does not look again.
            Self::Reappeared => !matches!(policy, Policy::Warn),
            // Others return the error, and no tracepoint fires.
            Self::WritebackError => matches!(policy, Policy::Enotblk),
            _ => true,
        }
    }
}

const fn cue(party: usize, until: &'static str) -> Cue {
    Cue { party, until }
}

impl Scenario {
    /// The interleaving in which `culprit` stands in the way of one direct write of four pages.
    /// `seed` chooses how long everything takes.
    pub fn directed(culprit: Culprit, policy: Policy, seed: u64) -> Self {
        let fs = culprit.fs();
        let place = Place {
            dev: Dev {
                major: 0,
                minor: 35,
            },
            ino: 258,
            root: if matches!(fs, Fs::Btrfs) {
                Some(5)
            } else {
                None
            },
            first_page: 256,
            pages: PAGES,
        };
        let mut file = File::new(fs, place);
        let queued = culprit == Culprit::RedirtiedBuffered;
        let write = Write {
            span: RANGE,
            queued,
        };
        file.roles = vec![Role::Direct(0, vec![write])];
        file.cached = (0..PAGES).map(|page| (page, false)).collect();
        let lock = |under| Role::Locker(under, vec![RANGE]);
        match culprit {
            Culprit::OrderedIo => {
                file.cached.iter_mut().for_each(|(_, dirty)| *dirty = true);
                file.roles.push(Role::Worker(0));
                file.script = vec![cue(0, "flushed"), cue(1, "locked"), cue(0, "walked")];
            }
            Culprit::OrderedIoOther => {
                file.cached.iter_mut().for_each(|(_, dirty)| *dirty = true);
                file.roles.extend([Role::Worker(0), Role::Flusher(1)]);
                file.script = vec![cue(2, "done"), cue(1, "locked"), cue(0, "walked")];
            }
            Culprit::ExtentLock => {
                file.roles.extend([Role::Worker(0), lock(Under::Nothing)]);
                file.script = vec![cue(2, "locked"), cue(0, "walked")];
            }
            Culprit::Redirtied | Culprit::Launder => {
                file.roles.push(Role::Dirtier(vec![1]));
                file.launder_error = true;
                file.script = vec![cue(0, "flushed"), cue(1, "dirtied"), cue(0, "walked")];
            }
            Culprit::RedirtiedBuffered => {
                file.roles.push(lock(Under::Write));
                file.script = vec![cue(0, "queued"), cue(1, "unlocked"), cue(0, "done")];
            }
            Culprit::Writeback => {
                file.careless_writeback = true;
                file.script = vec![cue(0, "walked")];
            }
            Culprit::Journal | Culprit::Buffers => {
                let journal = culprit == Culprit::Journal;
                file.roles.push(Role::Buffered(journal, vec![1]));
                file.script = vec![cue(0, "flushed"), cue(1, "taken"), cue(0, "walked")];
            }
            Culprit::Reappeared => {
                file.roles
                    .extend([Role::Worker(0), Role::Locker(Under::Read, vec![RANGE])]);
                file.script = vec![cue(0, "walked"), cue(2, "unlocked"), cue(0, "done")];
            }
            Culprit::WritebackError => {
                file.cached.iter_mut().for_each(|(_, dirty)| *dirty = true);
                file.io_error = true;
                file.script = vec![cue(0, "done")];
            }
        }
        Self {
            seed,
            kernel: culprit.kernel(policy),
            policy,
            shape: Shape::Returns,
            files: vec![file],
        }
    }
}
