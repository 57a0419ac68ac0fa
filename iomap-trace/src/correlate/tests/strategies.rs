//! Runs for property tests: failures with their records, holders, and streams that are legal.
//!
//! Times, offsets, tasks and inodes come from few values, so that they collide often.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::event::strategies::{event, failure, outcome_kind, phase};
use crate::event::*;

/// Grace period of the engine, restated: two seconds.
pub(super) const GRACE_NS: u64 = 2_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// A failure with the records that belong to it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub failure: Failure,
    pub refusals: Vec<Refusal>,
    pub dirtied: Vec<Touched>,
    pub cached: Vec<Touched>,
    pub outcome: Outcome,
}

impl Told {
    /// The records in the order of the log.
    pub fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Failure(Box::new(self.failure.clone()))];
        events.extend(self.refusals.iter().cloned().map(Event::Refusal));
        events.extend(self.dirtied.iter().cloned().map(Event::Dirtied));
        events.extend(self.cached.iter().cloned().map(Event::Cached));
        events.push(Event::Outcome(self.outcome.clone()));
        events
    }

    /// The failure announces as many records as there are.
    fn counted(mut self) -> Self {
        self.failure.refusals = self.refusals.len() as u32;
        self.failure.dirtied = self.dirtied.len() as u32;
        self.failure.cached = self.cached.len() as u32;
        self
    }
}

/// Everything of a run, without an order.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub start: Start,
    pub told: Vec<Told>,
    pub holders: Vec<Holder>,
    pub losses: Vec<Loss>,
}

/// Where a run takes place: its times begin here, and its pages.
#[derive(Clone, Copy, Debug)]
struct Place {
    ns: u64,
    page: u64,
    /// All failures are of phase post, on one inode, and most saw `wb_err` change.
    crowded: bool,
}

fn place() -> impl Strategy<Value = Place> {
    let ns = select(vec![100 * SECOND, u64::MAX - 200 * SECOND]);
    let page = select(vec![0, 256, (5 << 30) / 4096, u64::MAX / 4096 - 40]);
    let crowded = prop::bool::weighted(0.2);
    (ns, page, crowded).prop_map(|(ns, page, crowded)| Place { ns, page, crowded })
}

/// A moment within seconds: around the grace period, around the margin of 20 microseconds, or next
/// to another moment.
fn instant() -> impl Strategy<Value = u64> {
    let coarse = prop_oneof![3 => Just(0_u64), 1 => 0_u64..6];
    (coarse, 0_u64..7, 0_u64..3)
        .prop_map(|(coarse, fine, finest)| coarse * 700_000_000 + fine * 7_000 + finest)
}

/// Three groups of moments, a minute apart, so that the engine forgets between them.
fn group() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(0_u64), 1 => Just(60 * SECOND), 1 => Just(120 * SECOND)]
}

fn moment() -> impl Strategy<Value = u64> {
    (group(), instant()).prop_map(|(group, instant)| group + instant)
}

/// Device, inode number, subvolume and filesystem: three share a number, two a subvolume.
fn inode() -> impl Strategy<Value = (Dev, u64, Option<u64>, &'static str)> {
    let dev = |major, minor| Dev { major, minor };
    prop_oneof![
        4 => Just((dev(0, 35), 258, Some(5), "btrfs")),
        1 => Just((dev(0, 35), 258, Some(256), "btrfs")),
        1 => Just((dev(0, 35), 259, Some(5), "btrfs")),
        1 => Just((dev(0, 36), 258, Some(5), "btrfs")),
        1 => Just((dev(8, 1), 258, None, "ext4")),
        1 => Just((dev(8, 2), 258, None, "xfs")),
    ]
}

/// `wb_err`: none, EIO unseen, seen, and those of later errors.
fn wb_err() -> impl Strategy<Value = u32> {
    select(vec![0, 5, 5 | 1 << 12, 5 | 1 << 13, 5 | 3 << 12])
}

/// A subset of these words.
fn some_of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<Text>> {
    subsequence(words, 0..=words.len())
        .prop_map(|words| words.into_iter().map(Text::from).collect())
}

/// State of a folio: clean most often, since that is the hard case.
fn folio_flags() -> impl Strategy<Value = Vec<Text>> {
    let flags = |words: &[&str]| words.iter().map(|w| Text::from(*w)).collect::<Vec<_>>();
    prop_oneof![
        4 => Just(flags(&["uptodate", "private"])),
        3 => Just(flags(&["dirty", "uptodate"])),
        1 => some_of(&["dirty", "writeback", "uptodate"]),
    ]
}

/// State of buffer heads, with `checked`, which only means something beside them.
fn buffers() -> impl Strategy<Value = Option<(bool, Buffers)>> {
    let state = some_of(&["uptodate", "jbd", "dirty", "lock"]);
    let buffers = (any::<bool>(), state, 0_u32..2)
        .prop_map(|(checked, state, busy)| (checked, Buffers { state, busy }));
    prop_oneof![3 => Just(None), 1 => buffers.prop_map(Some)]
}

/// Who touched a folio, and when.
type Touch = (u64, u32, How);

fn touch() -> impl Strategy<Value = Option<Touch>> {
    let how = select(vec![How::Mmap, How::Buffered, How::Read, How::Unknown]);
    option::of((moment(), select(vec![11, 21, 22]), how))
}

/// How long before the failure a release was refused, and how long before that it was asked for.
type Refused = Option<(u64, u64)>;

fn refused() -> impl Strategy<Value = Refused> {
    let before = select(vec![0_u64, 1, 7_000, 7_001, 21_000]);
    let long = select(vec![0_u64, 1, 3_000, 7_000, 14_000]);
    option::of((before, long))
}

/// One folio: its pages, its state, who dirtied it, who cached it, when it was refused.
type Folio = (
    u32,
    Vec<Text>,
    Option<(bool, Buffers)>,
    Option<Touch>,
    Option<Touch>,
    Refused,
);

fn folio() -> impl Strategy<Value = Folio> {
    let pages = prop_oneof![3 => Just(1), 1 => select(vec![2, 4, 16])];
    let state = (folio_flags(), buffers());
    (pages, state, touch(), touch(), refused()).prop_map(
        |(pages, (flags, buffers), dirtied, cached, refused)| {
            (pages, flags, buffers, dirtied, cached, refused)
        },
    )
}

prop_compose! {
    fn told(place: Place)(
        // No write takes longer than ended holders are kept.
        (group, begin, end) in (group(), instant(), instant()),
        unseen in prop::bool::weighted(0.15),
        phase in phase(),
        tid in select(vec![11, 12]),
        completed_by in option::weighted(0.2, Just(77)),
        (dev, ino, root, fs) in inode(),
        (page, skew, len) in (0_u64..16, select(vec![0_u64, 0, 1, 512, 4095]), 0_u64..32768),
        (wb_err_begin, wb_err_now) in (wb_err(), wb_err()),
        wb_error_ns in option::weighted(0.2, moment()),
        flags in prop_oneof![
            3 => Just(vec![]),
            1 => Just(vec![Text::const_new("return-unseen")]),
            1 => some_of(&["walk", "walk-cut", "eio-before", "return-unseen"]),
        ],
        errno in option::weighted(0.4, select(vec![-16, -16, -28, 0])),
        // Some kernels only let walk the page cache, on some all is seen.
        sight in 0_u8..3,
        folios in btree_map(0_u64..16, folio(), 0..=6),
        (outcome, ret) in (outcome_kind(), any::<Option<i64>>()),
    ) -> Told {
        let (begin, end) = (group + begin.min(end), group + begin.max(end));
        let (phase, (dev, ino, root, fs)) = if place.crowded {
            (Phase::Post, (Dev { major: 0, minor: 35 }, 258, Some(5), "btrfs"))
        } else {
            (phase, (dev, ino, root, fs))
        };
        let few = if place.crowded { end as usize % 3 } else { 6 };
        let wb_err_begin = if place.crowded { 0 } else { wb_err_begin };
        let failure = Failure {
            id: 0,
            ts_ns: place.ns + end,
            duration_ns: if unseen { 0 } else { end - begin },
            phase, pid: 10, tid, comm: "writer".into(), worker: None, completed_by,
            cgroup: 1, dev, ino, root, fs: fs.into(), path: None,
            pos: (place.page + page) * 4096 + skew, len, size: 1 << 23, errno,
            wb_err_begin, wb_err_now, wb_error_ns: wb_error_ns.map(|ns| place.ns + ns),
            refusals: 0, dirtied: 0, cached: 0, flags, stack: vec![],
        };
        let outcome = Outcome { failure: 0, outcome, ret };
        let mut told = Told { failure, refusals: vec![], dirtied: vec![], cached: vec![], outcome };
        for (page, (pages, mut folio_flags, buffers, dirtied, cached, refused))
            in folios.into_iter().take(few)
        {
            let refused = refused.filter(|_| sight > 0).or((sight > 1).then_some((0, 7_000)));
            let before = refused.map_or(0, |(before, _)| before);
            let index = place.page + page;
            let touched = |(ns, tid, how)| Touched {
                failure: 0, index, ts_ns: place.ns + ns, pid: 20, tid, comm: "toucher".into(), how,
            };
            told.dirtied.extend(dirtied.map(touched));
            told.cached.extend(cached.map(touched));
            if let Some((true, _)) = buffers {
                folio_flags.push("checked".into());
            }
            told.refusals.push(Refusal {
                failure: 0,
                ts_ns: place.ns + end - before,
                entered_ns: refused.map(|(_, long)| place.ns + end - before - long),
                index, pages, folio_flags,
                buffers: buffers.map(|(_, buffers)| buffers),
            });
        }
        told.counted()
    }
}

prop_compose! {
    fn holder(place: Place)(
        kind in select(vec![HolderKind::OrderedIo, HolderKind::ExtentLock]),
        (dev, ino, root, _) in inode(),
        (page, skew) in (0_u64..20, select(vec![0_u64, 0, 0, 1, 4095])),
        len in prop_oneof![Just(0_u64), Just(1), (1_u64..9).prop_map(|pages| pages * 4096), 1_u64..32768],
        mut times in vec(moment(), 4),
        (locked, unlocked) in (prop::bool::weighted(0.9), prop::bool::weighted(0.9)),
        tid in select(vec![11, 12, 31, 32]),
        function in option::of(Just("extent_fiemap".into())),
        unlocked_by in option::weighted(0.2, Just(77)),
        (created_ns, created_by) in (option::of(moment()), option::of(select(vec![11, 12, 31]))),
    ) -> Holder {
        times.sort_unstable();
        // No work goes on for longer than ended holders are kept.
        times[3] = times[3].min(times[2] + 10 * SECOND);
        Holder {
            id: 0, kind, dev, ino, root,
            pos: (place.page + page) * 4096 + skew,
            len,
            start_ns: place.ns + times[0],
            locked_ns: locked.then_some(place.ns + times[1]),
            unlocked_ns: unlocked.then_some(place.ns + times[2]),
            end_ns: place.ns + times[3],
            pid: 30, tid, comm: "holder".into(), unlocked_by,
            created_ns: created_ns.map(|ns| place.ns + ns), created_by, function, ordered_flags: vec![], stack: vec![],
        }
    }
}

/// Hooks that can lose something, with one that nobody knows.
const LOSERS: [&str; 11] = [
    "invalidate",
    "release",
    "ordered",
    "extent-lock",
    "dirty",
    "cached",
    "dio",
    "writeback-error",
    "stale-warn",
    "ring",
    "later",
];

prop_compose! {
    fn loss(place: Place)(
        hook in select(LOSERS.to_vec()),
        since in moment(),
        long in select(vec![0, 1, 7_000, 60_000_000, SECOND]),
        early in select(vec![0, 0, 40_000_000, 60_000_000]),
    ) -> Loss {
        let since_ns = place.ns + since - early;
        Loss {
            hook: hook.into(),
            counter: "x.lost".into(),
            count: 1,
            since_ns,
            ts_ns: since_ns + long,
        }
    }
}

prop_compose! {
    fn start()(
        ordered_blocks_release in select(vec![None, Some(true), Some(true), Some(false)]),
        writeback_error_fires in select(vec![None, Some(true), Some(false)]),
        skipped in some_of(&["release", "ordered", "extent-lock", "dirty", "stale-warn"]),
        plan in select(vec!["tracepoint", "fexit", "kprobe"]),
    ) -> Start {
        let mut start = Start { plan: plan.into(), ..super::start(false) };
        start.facts = Facts { ordered_blocks_release, writeback_error_fires };
        let one = start.hooks.remove(0);
        start.hooks.extend(skipped.into_iter().map(|hook| HookReport { hook: hook.into(), ..one.clone() }));
        start.hooks.push(HookReport { hook: "cached".into(), state: HookState::Attached, ..one });
        start
    }
}

/// A run in which every record is as the kernel side would write it.
pub(super) fn run() -> impl Strategy<Value = Run> {
    let records = place().prop_flat_map(|place| {
        let losses = prop_oneof![1 => Just(vec![]), 1 => vec(loss(place), 1..3)];
        (vec(told(place), 1..5), vec(holder(place), 0..6), losses)
    });
    (start(), records).prop_map(|(start, (mut told, mut holders, losses))| {
        for (id, told) in (1..).zip(&mut told) {
            told.failure.id = id;
            told.outcome.failure = id;
            told.refusals.iter_mut().for_each(|r| r.failure = id);
            let touched = told.dirtied.iter_mut().chain(&mut told.cached);
            touched.for_each(|t| t.failure = id);
        }
        for (id, holder) in (1..).zip(&mut holders) {
            holder.id = id;
        }
        Run {
            start,
            told,
            holders,
            losses,
        }
    })
}

/// Seeds of an order: which record comes next, and after which records a mark of which moment.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub picks: Vec<prop::sample::Index>,
    pub marks: Vec<Option<u64>>,
    /// After which records another one that has come comes again.
    pub again: Vec<Option<prop::sample::Index>>,
}

/// Any order. The moments of its marks count from the first record.
pub(super) fn order() -> impl Strategy<Value = Order> {
    let mark = option::weighted(0.3, prop_oneof![moment(), Just(500 * SECOND)]);
    let again = vec(option::weighted(0.1, any::<prop::sample::Index>()), 16);
    (vec(any::<prop::sample::Index>(), 32), vec(mark, 24), again).prop_map(
        |(picks, marks, again)| Order {
            picks,
            marks,
            again,
        },
    )
}

/// Any event, of few failures and inodes, so that records of one often meet those of another.
pub(super) fn tangled() -> impl Strategy<Value = Event> {
    let few = |id: &mut u64| *id %= 3;
    let failure = failure().prop_map(|failure| Event::Failure(Box::new(failure)));
    // Boxed: as values these strategies are too large for the stack of a test.
    let kinds = prop_oneof![3 => event().boxed(), 1 => failure.boxed()];
    (kinds, any::<bool>()).prop_map(move |(mut event, btrfs)| {
        match &mut event {
            Event::Failure(failure) => {
                few(&mut failure.id);
                few(&mut failure.ino);
                failure.root = None;
                failure.dev = Dev::default();
                (failure.refusals, failure.dirtied) = (failure.refusals % 3, failure.dirtied % 2);
                failure.cached %= 2;
                if btrfs {
                    failure.fs = "btrfs".into();
                }
            }
            Event::Refusal(record) => few(&mut record.failure),
            Event::Dirtied(record) | Event::Cached(record) => few(&mut record.failure),
            Event::Outcome(record) => few(&mut record.failure),
            Event::Holder(holder) => {
                few(&mut holder.ino);
                holder.root = None;
                holder.dev = Dev::default();
            }
            Event::Start(_) | Event::File(_) | Event::Loss(_) | Event::Mark(_) | Event::End(_) => {}
        }
        event
    })
}

impl Run {
    /// A legal stream: the records of a failure keep their order (and stay together, if `together`)
    /// and no mark is later than the time of a record behind it, as `time` has it.
    pub fn stream(
        &self,
        order: &Order,
        together: bool,
        time: impl Fn(&Event) -> u64,
    ) -> Vec<Event> {
        let mut queues: Vec<Vec<Event>> = self.told.iter().map(Told::events).collect();
        queues.push(
            self.holders
                .iter()
                .map(|h| Event::Holder(Box::new(h.clone())))
                .collect(),
        );
        let holders = queues.len() - 1;
        queues.push(self.losses.iter().cloned().map(Event::Loss).collect());
        queues.iter_mut().for_each(|q| q.reverse());
        let mut stream = Vec::new();
        for pick in order.picks.iter().cycle() {
            let open: Vec<usize> = (0..queues.len())
                .filter(|q| !queues[*q].is_empty())
                .collect();
            if open.is_empty() {
                break;
            }
            let queue = *pick.get(&open);
            let take = if together && queue < holders {
                queues[queue].len()
            } else {
                1
            };
            for _ in 0..take {
                stream.extend(queues[queue].pop());
            }
        }
        self.marked(stream, order, time)
    }

    fn marked(
        &self,
        stream: Vec<Event>,
        order: &Order,
        time: impl Fn(&Event) -> u64,
    ) -> Vec<Event> {
        let first = self.told.iter().map(|t| t.failure.ts_ns).min().unwrap_or(0);
        let mut behind = vec![u64::MAX; stream.len() + 1];
        for (at, event) in stream.iter().enumerate().rev() {
            behind[at] = behind[at + 1].min(time(event));
        }
        let mut marked = vec![Event::Start(Box::new(self.start.clone()))];
        let mut last = 0;
        for (at, event) in stream.into_iter().enumerate() {
            marked.push(event);
            if let Some(index) = order.again[at % order.again.len()] {
                let one = index.get(&marked[1..]).clone();
                marked.push(one);
            }
            if let Some(ns) = order.marks[at % order.marks.len()] {
                last = last.max(first.saturating_add(ns).min(behind[at + 1]));
                marked.push(Event::Mark(Mark { ts_ns: last }));
            }
        }
        marked
    }

    /// The time of a record as the mark's promise has it.
    pub fn time(&self, event: &Event) -> u64 {
        let id = match event {
            Event::Holder(holder) => return holder.end_ns,
            Event::Loss(loss) => return loss.ts_ns - 1,
            Event::Failure(failure) => failure.id,
            Event::Refusal(record) => record.failure,
            Event::Dirtied(record) | Event::Cached(record) => record.failure,
            Event::Outcome(record) => record.failure,
            _ => return u64::MAX,
        };
        let told = self.told.iter().find(|t| t.failure.id == id);
        told.map_or(u64::MAX, |t| t.failure.ts_ns)
    }
}
