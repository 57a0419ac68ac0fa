//! Changes of the kernel that bear on failed invalidations, and whether a kernel has them.
//!
//! What is said of a kernel was read in the sources or in the modules of that very release, or the
//! log shows it; a version alone does not tell what a distribution has added.

use serde::Serialize;

use super::kinds::Kind;
use super::runs::Runs;
use super::version::Version;
use crate::correlate::Cause;
use crate::event::Start;

/// Whether a kernel has a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fixed {
    /// It has.
    Yes,
    /// It has not.
    No,
    /// What it mends came later than this kernel.
    NotNeeded,
    /// That cannot be known from its version.
    Unknown,
}

/// A change of the kernel, and the kernels of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// Commit, where it is known.
    pub commit: Option<&'static str>,
    /// First release.
    pub version: &'static str,
    /// What it is called.
    pub title: &'static str,
    /// What it changes.
    pub changes: &'static str,
    /// Causes in this log that it bears on.
    pub bears_on: Vec<Cause>,
    /// Each kernel of the log: its release, whether it has the change, and how that is known.
    pub kernels: Vec<(String, Fixed, String)>,
}

/// What a release of a stable series was seen to have.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// The change was in this one.
    In(u32, u32, u32),
    /// It was not.
    NotIn(u32, u32, u32),
}

/// A change.
struct Change {
    commit: Option<&'static str>,
    version: &'static str,
    since: (u32, u32),
    /// Replaced by another one from this release on.
    until: Option<(u32, u32)>,
    /// It mends what came with this release.
    mends: Option<(u32, u32)>,
    title: &'static str,
    changes: &'static str,
    /// Filesystem; all on iomap if absent.
    fs: Option<&'static str>,
    causes: &'static [Cause],
    seen: &'static [Seen],
    /// What the log itself shows.
    fact: Option<fn(&Start) -> Option<bool>>,
}

/// "btrfs: always fallback to buffered write if the inode requires checksum".
pub(super) const CHECKSUM_FALLBACK: &str = "968f19c5b1b7";

const CHANGES: &[Change] = &[
    Change {
        commit: Some("60263d5889e6"),
        version: "5.9",
        since: (5, 9),
        until: None,
        mends: None,
        title: "iomap: fall back to buffered writes for invalidation failures",
        changes: "a failure before submission makes the write buffered, where it went to disk beside \
                  the page cache before",
        fs: None,
        causes: &[],
        seen: &[],
        fact: None,
    },
    Change {
        commit: None,
        version: "6.5",
        since: (6, 5),
        until: None,
        mends: None,
        title: "iomap uses kiocb_invalidate_pages()",
        changes: "a failed flush before the write also makes it buffered, and fires \
                  iomap_dio_invalidate_fail though nothing collided",
        fs: None,
        causes: &[Cause::WritebackError],
        seen: &[Seen::NotIn(5, 10, 223), Seen::NotIn(6, 1, 176)],
        fact: Some(|start| start.facts.writeback_error_fires),
    },
    Change {
        commit: Some("32c523c578e8"),
        version: "6.15",
        since: (6, 15),
        until: None,
        mends: None,
        title: "btrfs: allow folios to be released while ordered extent is finishing \
                (EXTENT_FINISHING_ORDERED)",
        changes: "the completion of ordered I/O no longer keeps a folio from being released: the \
                  cause ordered-io is gone",
        fs: Some("btrfs"),
        causes: &[Cause::OrderedIo],
        seen: &[
            Seen::NotIn(5, 10, 223),
            Seen::NotIn(6, 1, 176),
            Seen::NotIn(6, 12, 107),
        ],
        fact: Some(|start| start.facts.ordered_blocks_release.map(|blocks| !blocks)),
    },
    Change {
        commit: Some(CHECKSUM_FALLBACK),
        version: "6.15",
        since: (6, 15),
        until: Some((7, 3)),
        mends: None,
        title: "btrfs: always fallback to buffered write if the inode requires checksum",
        changes: "writes to files with checksums are always buffered: they cannot fail here, and are \
                  never direct; files without (nocow, nodatasum) still are",
        fs: Some("btrfs"),
        causes: &[
            Cause::OrderedIo,
            Cause::ExtentLock,
            Cause::Redirtied,
            Cause::Reappeared,
        ],
        seen: &[
            Seen::NotIn(5, 10, 223),
            Seen::NotIn(6, 1, 176),
            Seen::In(6, 12, 107),
        ],
        fact: None,
    },
    Change {
        commit: Some("7c2830f00c3e"),
        version: "6.19",
        since: (6, 19),
        until: Some((7, 3)),
        mends: None,
        title: "btrfs: fallback to buffered IO if the data profile has duplication",
        changes: "writes to filesystems with two copies of data (DUP, RAID1, ...) are always buffered",
        fs: Some("btrfs"),
        causes: &[
            Cause::OrderedIo,
            Cause::ExtentLock,
            Cause::Redirtied,
            Cause::Reappeared,
        ],
        seen: &[
            Seen::NotIn(5, 10, 223),
            Seen::NotIn(6, 1, 176),
            Seen::In(6, 12, 107),
            Seen::NotIn(6, 18, 15),
            Seen::In(6, 18, 44),
        ],
        fact: None,
    },
    Change {
        commit: None,
        version: "7.3",
        since: (7, 3),
        until: None,
        mends: None,
        title: "btrfs: use IOMAP_DIO_BOUNCE flag instead of falling back to buffered IO",
        changes: "files with checksums are written direct again, through a copy: they can fail here \
                  again",
        fs: Some("btrfs"),
        causes: &[Cause::ExtentLock, Cause::Redirtied, Cause::Reappeared],
        seen: &[
            Seen::NotIn(5, 10, 223),
            Seen::NotIn(6, 1, 176),
            Seen::NotIn(6, 12, 107),
            Seen::NotIn(7, 2, 12),
        ],
        fact: None,
    },
    Change {
        commit: Some("ac325fc2aad5"),
        version: "6.12",
        since: (6, 12),
        until: None,
        mends: None,
        title: "btrfs: do not hold the extent lock for entire read (EXTENT_DIO_LOCKED)",
        changes: "a direct or buffered read in flight no longer keeps a folio from being released",
        fs: Some("btrfs"),
        causes: &[Cause::ExtentLock],
        seen: &[Seen::NotIn(5, 10, 223), Seen::NotIn(6, 1, 176)],
        fact: None,
    },
    Change {
        commit: Some("acc18e1c1d8c"),
        version: "6.14",
        since: (6, 14),
        until: None,
        mends: Some((6, 12)),
        title: "btrfs: fix stale page cache after race between readahead and direct IO write",
        changes: "readahead beside a direct write leaves no stale page behind; it was sent to the stable \
                  series 6.12 in February 2025",
        fs: Some("btrfs"),
        causes: &[Cause::OrderedIo, Cause::ExtentLock, Cause::Reappeared],
        seen: &[],
        fact: None,
    },
    Change {
        commit: None,
        version: "5.12",
        since: (5, 12),
        until: None,
        mends: None,
        title: "btrfs: shared inode lock for direct writes within the file",
        changes: "a buffered write can no longer run beside a direct one (before, the inode was not \
                  locked)",
        fs: Some("btrfs"),
        causes: &[Cause::Redirtied, Cause::Reappeared],
        seen: &[Seen::NotIn(5, 10, 223)],
        fact: None,
    },
    Change {
        commit: None,
        version: "7.2",
        since: (7, 2),
        until: None,
        mends: None,
        title: "btrfs tries once more after a direct write of no byte",
        changes: "a write that could not be direct is tried a second time before it goes buffered: \
                  two failures for one write",
        fs: Some("btrfs"),
        causes: &[Cause::ExtentLock, Cause::Redirtied, Cause::Reappeared],
        seen: &[
            Seen::NotIn(5, 10, 223),
            Seen::NotIn(6, 1, 176),
            Seen::NotIn(6, 12, 107),
            Seen::NotIn(7, 1, 13),
        ],
        fact: None,
    },
];

impl Change {
    fn bears_on(&self, kinds: &[Kind]) -> Vec<Cause> {
        let here = |kind: &&Kind| self.fs.is_none_or(|fs| kind.filesystems.contains_key(fs));
        let mut causes: Vec<Cause> = kinds.iter().filter(here).map(|kind| kind.cause).collect();
        causes.retain(|cause| self.causes.contains(cause));
        causes.sort_unstable();
        causes.dedup();
        causes
    }

    fn state(&self, start: &Start) -> (Fixed, String) {
        let shown = self.fact.and_then(|fact| fact(start));
        if let Some(has) = shown {
            let state = if has { Fixed::Yes } else { Fixed::No };
            return (state, "seen in the running kernel".to_owned());
        }
        let Some(version) = Version::of(&start.kernel) else {
            return (Fixed::Unknown, "its version cannot be read".to_owned());
        };
        if let Some((major, minor)) = self.until.filter(|(a, b)| version.reaches(*a, *b)) {
            return (Fixed::No, format!("replaced in {major}.{minor}"));
        }
        if version.reaches(self.since.0, self.since.1) {
            return (Fixed::Yes, format!("upstream since {}", self.version));
        }
        if let Some((major, minor)) = self.mends.filter(|(a, b)| !version.reaches(*a, *b)) {
            let why = format!("what it mends came with {major}.{minor}");
            return (Fixed::NotNeeded, why);
        }
        self.backported(version)
    }

    /// An older series: as far as its releases were looked at.
    fn backported(&self, version: Version) -> (Fixed, String) {
        let series = (version.major, version.minor);
        for seen in self.seen {
            match (*seen, version.stable) {
                (Seen::In(a, b, first), Some(stable)) if (a, b) == series && first <= stable => {
                    return (Fixed::Yes, format!("backported: {a}.{b}.{first} has it"));
                }
                (Seen::NotIn(a, b, last), Some(stable)) if (a, b) == series && stable <= last => {
                    return (Fixed::No, format!("{a}.{b}.{last} has it not"));
                }
                _ => {}
            }
        }
        let why = format!(
            "upstream since {}; a backport cannot be known from the version",
            self.version
        );
        (Fixed::Unknown, why)
    }
}

/// The changes that concern the filesystems of these failures, and what the kernels have of them.
pub fn fixes(runs: &Runs, kinds: &[Kind]) -> Vec<Fix> {
    let concerned = |change: &&Change| {
        let mut filesystems = kinds.iter().flat_map(|kind| kind.filesystems.keys());
        filesystems.any(|fs| change.fs.is_none_or(|wanted| fs == wanted))
    };
    let mut kernels: Vec<&Start> = runs.kept.iter().map(|run| &run.start).collect();
    kernels.sort_by_key(|start| (&start.kernel.release, &start.kernel.build));
    kernels.dedup_by_key(|start| (&start.kernel.release, &start.kernel.build));
    let changes = CHANGES.iter().filter(concerned).map(|change| Fix {
        commit: change.commit,
        version: change.version,
        title: change.title,
        changes: change.changes,
        bears_on: change.bears_on(kinds),
        kernels: kernels
            .iter()
            .map(|start| {
                let (state, why) = change.state(start);
                (start.kernel.release.clone(), state, why)
            })
            .collect(),
    });
    let mut fixes: Vec<Fix> = changes.collect();
    // What bears on what was seen comes first.
    fixes.sort_by_key(|fix| fix.bears_on.is_empty());
    fixes
}
