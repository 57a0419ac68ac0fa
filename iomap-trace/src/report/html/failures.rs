//! All failures, as the timeline shows them.

use super::bins::{Bins, Coarser, FEWEST, Key};
use super::data::{Data, Point};
use super::names::Names;
use crate::correlate::{Cause, Confidence, Judged, Verdict};
use crate::event::{Clock, Event, Failure, OutcomeKind, Phase, Text};
use crate::report::cell;
use crate::report::tally::FileId;

/// Failures that are kept one by one: as JSON about 60 bytes each. Of more, all are counted in bins.
const POINTS: usize = 20_000;
/// Columns of a path, a command name.
const LONGEST: usize = 512;

/// A task: command name and process.
type Task = (Text, u32);

/// A file's name, and its host where there may be several.
#[derive(Clone, Debug)]
pub(super) struct FileName {
    pub name: String,
    pub host: Option<Text>,
}

/// A writer, and the other party with what it did.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PairKey {
    pub host: Option<Text>,
    pub writer: Task,
    pub party: Option<(Task, Text)>,
}

/// Gathers all failures of a log for the page's timeline, in memory that does not grow with the log:
/// up to 20,000 one by one, more in at most 40,000 bins of time, file, tasks, cause and phase.
#[derive(Debug)]
pub struct Failures {
    pub(super) files: Names<FileId, FileName>,
    pub(super) pairs: Names<PairKey, Option<PairKey>>,
    pub(super) points: Vec<Point>,
    pub(super) bins: Option<Bins>,
    pub(super) total: u64,
    pub(super) runs: u64,
    clock: Clock,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            files: Names::new(FileName {
                name: "(further files)".to_owned(),
                host: None,
            }),
            pairs: Names::new(None),
            points: Vec::new(),
            bins: None,
            total: 0,
            runs: 0,
            clock: Clock::default(),
        }
    }
}

impl Failures {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an event, before the verdicts that follow from it.
    pub fn event(&mut self, event: &Event) {
        if let Event::Start(start) = event {
            self.runs += 1;
            self.clock = start.clock;
        }
    }

    /// Takes a verdict; `host` is the present one, where there may be several.
    pub fn judged(&mut self, Judged { failure, verdict }: &Judged, host: Option<&Text>) {
        if verdict.withdrawn.is_some() {
            return;
        }
        self.total += 1;
        let file = self.file(failure, host);
        let pair = self.pair(failure, verdict, host);
        let point = Point {
            us: wall_us(self.clock, failure.ts_ns),
            took_us: failure.duration_ns / 1_000,
            file,
            pair,
            cause: verdict.cause,
            phase: failure.phase,
            outcome: verdict.outcome,
            confidence: verdict.confidence,
            pos: failure.pos,
            len: failure.len,
            id: failure.id,
            run: self.runs,
        };
        match &mut self.bins {
            Some(bins) => bins.add(point.us, key(&point)),
            None => self.points.push(point),
        }
        if self.points.len() > POINTS {
            let mut bins = Bins::new();
            for point in self.points.drain(..) {
                bins.add(point.us, key(&point));
            }
            self.points.shrink_to_fit();
            self.bins = Some(bins);
        }
        self.bound();
    }

    /// Makes the bins coarser until there are few enough.
    fn bound(&mut self) {
        let Some(bins) = &mut self.bins else {
            return;
        };
        while let Some(coarser) = bins.too_many(self.files.len().max(self.pairs.len())) {
            match coarser {
                Coarser::Time => bins.widen(),
                Coarser::Names => {
                    let fewer = |names: usize| (names / 2).max(FEWEST);
                    let files = self.files.keep(fewer(self.files.len()));
                    let pairs = self.pairs.keep(fewer(self.pairs.len()));
                    bins.rename(&files, &pairs);
                }
            }
        }
    }

    fn file(&mut self, failure: &Failure, host: Option<&Text>) -> u32 {
        let id = FileId {
            dev: failure.dev,
            root: failure.root,
            ino: failure.ino,
            host: host.cloned(),
        };
        let number = self.files.add(id, || FileName {
            name: identity(failure),
            host: host.cloned(),
        });
        // The name may come with a later failure only.
        if let (Some(path), Some(entry)) = (&failure.path, self.files.entry_mut(number))
            && !entry.value.name.starts_with('/')
        {
            let escaped = failure.flags.iter().any(|flag| flag == "path-escaped");
            let path = cell::fit_start(&cell::clean(path, !escaped), LONGEST);
            entry.value.name = match path.starts_with('/') {
                true => path,
                false => format!("{path} ({})", identity(failure)),
            };
        }
        number
    }

    fn pair(&mut self, failure: &Failure, verdict: &Verdict, host: Option<&Text>) -> u32 {
        let key = PairKey {
            host: host.cloned(),
            writer: (failure.comm.clone(), failure.pid),
            party: verdict
                .party
                .as_ref()
                .map(|party| ((party.comm.clone(), party.pid), party.did.clone())),
        };
        self.pairs.add(key.clone(), || Some(key))
    }

    /// What the page's script reads.
    pub fn data(&self) -> Data {
        Data::of(self)
    }
}

/// What a file is where no path is known.
fn identity(failure: &Failure) -> String {
    let root = match failure.root {
        Some(root) => format!(", subvolume {root}"),
        None => String::new(),
    };
    format!("inode {}{root} on {}", failure.ino, failure.dev)
}

fn key(point: &Point) -> Key {
    Key {
        slot: 0,
        file: point.file,
        pair: point.pair,
        cause: point.cause,
        phase: point.phase,
    }
}

/// Microseconds since 1970: the one time that logs of several machines share.
fn wall_us(clock: Clock, ts_ns: u64) -> i64 {
    let ns = i128::from(clock.wall_ns) + i128::from(ts_ns) - i128::from(clock.boot_ns);
    // Three numbers of 64 bits, a thousandth of their sum: it fits.
    i64::try_from(ns.div_euclid(1_000)).unwrap_or(i64::MAX)
}

/// All causes, in the order of their numbers in the page.
pub(super) const CAUSES: [Cause; 10] = [
    Cause::Redirtied,
    Cause::OrderedIo,
    Cause::ExtentLock,
    Cause::Writeback,
    Cause::Journal,
    Cause::Buffers,
    Cause::Launder,
    Cause::Reappeared,
    Cause::WritebackError,
    Cause::Unknown,
];
/// Phases, and what the page calls them.
pub(super) const PHASES: [(Phase, &str); 3] = [
    (Phase::Pre, "before submission"),
    (Phase::Map, "while mapped"),
    (Phase::Post, "after completion"),
];
/// Outcomes, and what the page calls them.
pub(super) const OUTCOMES: [(OutcomeKind, &str); 4] = [
    (OutcomeKind::BufferedFallback, "went buffered"),
    (OutcomeKind::StaleCache, "page cache may be stale"),
    (OutcomeKind::Error, "returned an error"),
    (OutcomeKind::Unknown, "not known"),
];
/// Confidences, and what the page calls them.
pub(super) const CONFIDENCES: [(Confidence, &str); 3] = [
    (Confidence::Exact, "exact"),
    (Confidence::Window, "times overlap"),
    (Confidence::None, "nothing is claimed"),
];
