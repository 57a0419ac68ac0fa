//! Gathers the records of each failure, and hands it to the judge when its evidence is complete.
//!
//! What costs: an event of a failure a look into a small table; a failure that has come in full the
//! folios that it enters into the index (see [`super::index`]) and a place in the queue; a holder
//! the same, and a place in the queue again for the cases that it bears on; a mark those whose turn
//! has come, and what is forgotten. Nothing goes through all inodes, cases or holders.

use foldhash::fast::RandomState;
use std::collections::HashMap;

use crate::event::{Event, Failure, Holder, Phase, Start};

use super::Verdict;
use super::case::{Case, InodeKey, Records};
use super::evidence::Evidence;
use super::folio::{Look, asks_who_held, bytes};
use super::index::{At, Question, Waiter};
use super::judge::Judge;
use super::losses::Losses;
use super::queue::{Queue, Turn};
use super::seen::Seen;
use super::store::Store;
use super::witnesses::Witnesses;

/// Memory of so many decided cases is kept for others.
const SPARE: usize = 1024;

/// A case is fetched from memory while so many others are looked at.
const AHEAD: usize = 8;

/// A failure and what the engine says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The failure.
    pub failure: Box<Failure>,
    /// The verdict.
    pub verdict: Verdict,
}

/// What was open when a run ended. The verdicts concerned say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Failures of which not all records had come.
    pub partial: u64,
    /// Other failures of which holders may not have ended, or a better witness not have come.
    pub waiting: u64,
}

/// The engine: the records of a run in, verdicts out.
///
/// Records may come in any order, as long as those of a failure follow it, and a
/// [mark](Event::Mark) comes no earlier than the records before its time. A record that comes twice
/// counts once: a failure or a holder is known by its number, whatever else it says the second time,
/// any other record by being equal.
///
/// A case is decided at the first mark that is not before its failure (and the look at its folios), once nothing later can
/// change it: so what was lost up to then is known. Until then it is looked at again at the mark
/// that follows a lock which bears on it, and at the end of its grace period.
///
/// Losses come as [records](Event::Loss). Logs that only tell of them at their [end](Event::End) do
/// so too late for the verdicts, which were written before and stay as they are.
///
/// Its memory is what is open: cases that wait, and holders of the last seconds.
#[derive(Debug)]
pub struct Engine {
    judge: Judge,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Memory of cases that are decided.
    spare: Vec<Records>,
    /// The failure of the last record, if not all of its records have come: they follow each other.
    last: Option<(u64, u32)>,
    /// The others of which that is so, by number.
    gathering: HashMap<u64, u32, RandomState>,
    /// Failures that came since the last mark, and their turn.
    arrived: Vec<(u64, u32)>,
    /// Whose turn it is when. What is no longer true of the slot is passed over.
    queue: Queue,
    turns: u64,
    store: Store,
    losses: Losses,
    witnesses: Witnesses,
    failures_seen: Seen,
    holders_seen: Seen,
    /// Up to this moment every record has come.
    complete_ns: u64,
    /// Emptied after each use.
    told: Vec<u32>,
    come: Vec<Turn>,
}

/// A place for a case.
#[derive(Debug, Default)]
struct Slot {
    case: Option<Case>,
    /// Tells the cases of a place apart, and orders those of one moment.
    turn: u64,
    /// When it is looked at.
    due: u64,
    /// When all of it had been seen (see [`Case::seen`]), once it is in the index.
    seen: u64,
    /// Its inode, and its place among the cases of that, if it waits for locks.
    place: Option<(At, u32)>,
}

impl Engine {
    /// An engine for the run that `start` describes.
    pub fn new(start: &Start) -> Self {
        Self {
            judge: Judge::new(start),
            slots: Vec::new(),
            free: Vec::new(),
            spare: Vec::new(),
            gathering: HashMap::default(),
            last: None,
            arrived: Vec::new(),
            queue: Queue::default(),
            turns: 0,
            store: Store::default(),
            losses: Losses::default(),
            witnesses: Witnesses::default(),
            failures_seen: Seen::default(),
            holders_seen: Seen::default(),
            complete_ns: 0,
            told: Vec::new(),
            come: Vec::new(),
        }
    }

    /// Takes one event; verdicts that became certain are appended to `out`.
    pub fn push(&mut self, event: Event, out: &mut Vec<Judged>) {
        match event {
            Event::Failure(failure) => self.open(failure),
            Event::Refusal(record) => self.record(record.failure, |case| case.refused(&record)),
            Event::Dirtied(record) => self.record(record.failure, |case| case.dirtied(record)),
            Event::Cached(record) => self.record(record.failure, |case| case.cached(record)),
            Event::Outcome(record) => self.record(record.failure, |case| {
                case.outcome.get_or_insert(record);
            }),
            Event::Holder(holder) => self.keep(holder),
            Event::Loss(loss) => self.losses.add(loss),
            // One of an earlier time says nothing new.
            Event::Mark(mark) if mark.ts_ns < self.complete_ns => {}
            Event::Mark(mark) => {
                self.complete_ns = mark.ts_ns;
                self.advance(out);
            }
            Event::Start(_) | Event::File(_) | Event::End(_) => {}
        }
    }

    /// Ends the run: everything still open is judged with what is known. Tells how much that was.
    pub fn finish(&mut self, out: &mut Vec<Judged>) -> Open {
        let mut open = Open::default();
        let mut rest: Vec<(u64, u64, u32)> = Vec::new();
        for (at, slot) in (0..).zip(&self.slots) {
            if let Some(case) = &slot.case {
                rest.push((case.failure.ts_ns, slot.turn, at));
            }
        }
        rest.sort_unstable();
        self.gathering.extend(self.last.take());
        let mut partial: Vec<u64> = self.gathering.keys().copied().collect();
        partial.sort_unstable();
        for id in partial {
            if let Some(at) = self.gathering.remove(&id) {
                open.partial += 1;
                self.weigh(at);
            }
        }
        for (_, _, at) in rest {
            let whole = self.slots[at as usize]
                .case
                .as_ref()
                .is_some_and(Case::whole);
            let waited = self.look(at, true, out);
            open.waiting += u64::from(whole && waited);
        }
        self.queue.clear();
        self.arrived.clear();
        open
    }

    /// A failure begins.
    fn open(&mut self, failure: Box<Failure>) {
        let id = failure.id;
        if !self.failures_seen.add(id) {
            return;
        }
        let case = Case::new(failure, self.spare.pop().unwrap_or_default());
        self.turns += 1;
        let slot = Slot {
            due: case.graced(),
            seen: case.graced(),
            case: Some(case),
            turn: self.turns,
            place: None,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        self.gathering.extend(self.last.replace((id, at)));
        self.arrived.push((self.turns, at));
    }

    /// A record of failure `id`.
    fn record(&mut self, id: u64, add: impl FnOnce(&mut Case)) {
        let at = match self.last {
            Some((last, at)) if last == id => at,
            _ => {
                let Some(at) = self.gathering.remove(&id) else {
                    return;
                };
                self.gathering.extend(self.last.replace((id, at)));
                at
            }
        };
        let Some(case) = &mut self.slots[at as usize].case else {
            return;
        };
        add(case);
        if case.whole() {
            self.last = None;
            let due = self.weigh(at);
            let slot = &mut self.slots[at as usize];
            slot.due = due;
            self.queue.add((due, slot.turn, at));
        }
    }

    /// Keeps a holder, and puts it before the cases that it bears on.
    fn keep(&mut self, holder: Box<Holder>) {
        if !self.holders_seen.add(holder.id) {
            return;
        }
        let Some((inode, held)) = self.store.lock_of(holder, self.judge.run()) else {
            return;
        };
        let inode = self.store.index.inode(inode);
        if let Some((level, cases)) = self.store.index.prepare(inode, &held) {
            for at in cases {
                self.enter(at, 1 << level);
            }
        }
        let mut told = std::mem::take(&mut self.told);
        let index = &mut self.store.index;
        let cells = index.add(inode, &held, |waiter| told.push(waiter.slot));
        for at in told.drain(..) {
            let slot = &mut self.slots[at as usize];
            let Some(case) = &mut slot.case else {
                continue;
            };
            if case.take(&held) && slot.due > slot.seen {
                slot.due = slot.seen;
                self.queue.add((slot.due, slot.turn, at));
            }
        }
        self.told = told;
        self.store.keep(cells, held);
    }

    /// A case has come in full, or as far as it will: enters it into the index. When to look at it.
    fn weigh(&mut self, at: u32) -> u64 {
        let Some(case) = &self.slots[at as usize].case else {
            return u64::MAX;
        };
        let seen = case.seen();
        let post = case.failure.phase == Phase::Post;
        if post && !case.lonely() && case.changed_wb_err() {
            self.witnesses.add(case);
        }
        let graced = case.graced();
        let mut waits = case.lonely();
        self.ask(at);
        if let Some(inode) = self.asker(at) {
            let inode = self.store.index.inode(inode);
            let (levels, place) = self.store.index.join(inode, at);
            let slot = &mut self.slots[at as usize];
            (slot.place, slot.seen) = (Some((inode, place)), seen);
            waits |= self.enter(at, levels);
        }
        // As long as nobody is known who held one of its folios, somebody may come who did.
        if waits { graced } else { seen }
    }

    /// Notes the folios of a case that ask who held them.
    fn ask(&mut self, at: u32) {
        let Some(case) = &mut self.slots[at as usize].case else {
            return;
        };
        let mut questions = std::mem::take(&mut case.records.questions);
        for (folio, refusal) in (0..).zip(&case.records.refusals) {
            if let Some(times) = asks_who_held(case, refusal) {
                questions.push(Question {
                    waiter: Waiter { slot: at, folio },
                    bytes: bytes(refusal, self.judge.run().page_size),
                    times,
                });
            }
        }
        case.records.questions = questions;
    }

    /// The inode of a case with such folios.
    fn asker(&self, at: u32) -> Option<InodeKey> {
        let case = self.slots[at as usize].case.as_ref()?;
        (!case.records.questions.is_empty()).then(|| case.inode())
    }

    /// Enters these folios on these levels of the index, and takes the locks that are there.
    /// Whether there was none for one of them.
    fn enter(&mut self, at: u32, levels: u16) -> bool {
        let slot = &mut self.slots[at as usize];
        let (Some(case), Some((inode, _))) = (&mut slot.case, slot.place) else {
            return false;
        };
        let mut places = std::mem::take(&mut case.records.places);
        let mut lacks = false;
        for number in 0..case.records.questions.len() {
            let question = case.records.questions[number];
            let mut found = false;
            let mut rest = levels;
            while rest != 0 {
                let level = rest.trailing_zeros() as u8;
                rest &= rest - 1;
                let index = &mut self.store.index;
                let cut = index.enter(inode, level, question, &mut places, |held| {
                    found = true;
                    case.take(held);
                });
                case.cut |= cut;
            }
            lacks |= !found;
        }
        case.records.places = places;
        lacks
    }

    /// Everything whose turn has come.
    fn advance(&mut self, out: &mut Vec<Judged>) {
        // Records of a failure follow it directly: those that do not come in time are lost.
        for (turn, at) in self.arrived.drain(..) {
            let slot = &self.slots[at as usize];
            let gathering = slot.turn == turn && slot.case.as_ref().is_some_and(|c| !c.whole());
            if gathering {
                self.queue.add((slot.due, turn, at));
            }
        }
        let mut come = std::mem::take(&mut self.come);
        self.queue.take(self.complete_ns, &mut come);
        come.retain(|(due, turn, at)| {
            let slot = &self.slots[*at as usize];
            slot.turn == *turn && slot.due == *due && slot.case.is_some()
        });
        // All that are there are known before one is decided.
        for (_, _, at) in &come {
            let case = &self.slots[*at as usize].case;
            let Some(id) = case.as_ref().map(|case| case.failure.id) else {
                continue;
            };
            let last = self.last.take_if(|last| *last == (id, *at));
            if last.is_some() || self.gathering.get(&id) == Some(at) {
                self.gathering.remove(&id);
                self.weigh(*at);
            }
        }
        for number in 0..come.len() {
            self.fetch(&come[number..]);
            self.look(come[number].2, false, out);
        }
        come.clear();
        self.come = come;
        self.store.age(self.complete_ns);
        self.witnesses.age(self.complete_ns);
    }

    /// The cases that follow have waited for long: fetched now, they are near when it is their turn.
    fn fetch(&self, come: &[Turn]) {
        let case = |further: usize| {
            let (_, _, at) = come.get(further)?;
            self.slots[*at as usize].case.as_ref()
        };
        if let Some(case) = case(AHEAD) {
            case.fetch();
        }
        if let Some(case) = case(AHEAD / 2) {
            case.fetch_locks();
        }
    }

    /// Looks at a case, and decides it if nothing later can change it, or if the run has ended.
    /// Whether something could have.
    fn look(&mut self, at: u32, ended: bool, out: &mut Vec<Judged>) -> bool {
        let slot = &mut self.slots[at as usize];
        let Some(case) = &slot.case else {
            return false;
        };
        let look = Look {
            case,
            index: &self.store.index,
            run: self.judge.run(),
            complete_ns: self.complete_ns,
            ended,
        };
        let evidence = Evidence {
            losses: &self.losses,
            forgotten_ns: self.store.forgotten_ns,
            ended,
        };
        let (verdict, until) = self.judge.decide(look, evidence);
        if let Some(verdict) = verdict {
            self.conclude(at, verdict, out);
        } else {
            slot.due = until.max(case.seen());
            self.queue.add((slot.due, slot.turn, at));
        }
        until > self.complete_ns
    }

    fn conclude(&mut self, at: u32, mut verdict: Verdict, out: &mut Vec<Judged>) {
        let slot = &mut self.slots[at as usize];
        let place = slot.place.take();
        let Some(case) = slot.case.take() else {
            return;
        };
        self.free.push(at);
        if case.lonely()
            && let Some(id) = self.witnesses.explain(&case)
        {
            verdict.withdrawn = Some(compact_str::format_compact!("failure {id} set wb_err"));
        }
        if let Some((inode, place)) = place {
            let index = &mut self.store.index;
            let moved = index.leave(inode, place, &case.records.places, at);
            if let Some(moved) = moved {
                self.slots[moved as usize].place = Some((inode, place));
            }
        }
        if self.spare.len() < SPARE {
            self.spare.push(case.records.emptied());
        }
        out.push(Judged {
            failure: case.failure,
            verdict,
        });
    }

    /// How many holders are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.store.kept()
    }

    /// Nothing is open, and nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.case.is_none())
            && self.last.is_none()
            && self.gathering.is_empty()
            && self.queue.is_empty()
            && self.store.index.is_empty()
            && self.witnesses.is_empty()
    }
}
