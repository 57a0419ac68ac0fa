//! Gathers the records of each failure, and hands it to the judge when its evidence is complete.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::event::{Event, Failure, Holder, Outcome, Phase, Refusal, Start, Touched};

use super::Verdict;
use super::case::{Case, GRACE_NS, InodeKey, inode_of};
use super::judge::Judge;

/// How long an ended holder is kept for failures that had begun before.
const KEEP_NS: u64 = 30_000_000_000;
/// At most this many holders are kept of one inode.
const KEEP_HOLDERS: usize = 1024;

/// A failure and what the engine says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The failure.
    pub failure: Failure,
    /// The verdict.
    pub verdict: Verdict,
}

/// The engine. Its memory is what is open: cases that wait, and holders of the last seconds.
#[derive(Debug)]
pub struct Engine {
    judge: Judge,
    /// Failures whose records have not all come.
    gathering: BTreeMap<u64, Case>,
    /// Failures that wait, by the moment at which they no longer do, and by inode.
    waiting: BTreeMap<Turn, Case>,
    waiting_of: HashMap<InodeKey, BTreeSet<Turn>>,
    turns: u64,
    /// Holders of the last seconds, for failures to come.
    holders: HashMap<InodeKey, VecDeque<Holder>>,
    /// Failures of the last seconds that explain a change of `wb_err`, by inode.
    explained: HashMap<InodeKey, Vec<Explained>>,
    /// Up to this moment every record has come.
    complete_ns: u64,
}

/// Deadline, and the order in which they came.
type Turn = (u64, u64);

/// A record that follows a failure.
#[derive(Debug)]
enum Record {
    Refusal(Refusal),
    Dirtied(Touched),
    Cached(Touched),
    Outcome(Outcome),
}

/// A post failure that was seen by more than `wb_err`.
#[derive(Debug)]
struct Explained {
    id: u64,
    wb_err: u32,
    ts_ns: u64,
}

impl Engine {
    /// An engine for the run that `start` describes.
    pub fn new(start: &Start) -> Self {
        Self {
            judge: Judge::new(start),
            gathering: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waiting_of: HashMap::new(),
            turns: 0,
            holders: HashMap::new(),
            explained: HashMap::new(),
            complete_ns: 0,
        }
    }

    /// Takes one event; verdicts that became certain are appended to `out`.
    pub fn push(&mut self, event: Event, out: &mut Vec<Judged>) {
        let (id, record) = match event {
            Event::Failure(failure) => {
                // Of a number that comes again, the first is judged with what there is of it.
                let id = failure.id;
                if let Some(before) = self.gathering.insert(id, Case::new(*failure)) {
                    self.weigh(before, out);
                }
                return;
            }
            Event::Holder(holder) => return self.keep(*holder, out),
            Event::Mark(mark) => {
                self.complete_ns = self.complete_ns.max(mark.ts_ns);
                return self.advance(mark.ts_ns, out);
            }
            Event::Start(_) | Event::Loss(_) | Event::End(_) => return,
            Event::Refusal(record) => (record.failure, Record::Refusal(record)),
            Event::Dirtied(record) => (record.failure, Record::Dirtied(record)),
            Event::Cached(record) => (record.failure, Record::Cached(record)),
            Event::Outcome(record) => (record.failure, Record::Outcome(record)),
        };
        let Some(case) = self.gathering.get_mut(&id) else {
            return;
        };
        match record {
            Record::Refusal(record) => case.refusals.push(record),
            Record::Dirtied(record) => case.dirtied.push(record),
            Record::Cached(record) => case.cached.push(record),
            Record::Outcome(record) => case.outcome = Some(record),
        }
        if case.whole()
            && let Some(case) = self.gathering.remove(&id)
        {
            self.weigh(case, out);
        }
    }

    /// Ends the run: everything still open is judged with what is known.
    pub fn finish(&mut self, out: &mut Vec<Judged>) {
        self.advance(u64::MAX, out);
    }

    /// Offers a holder to the failures that wait, and keeps it for those to come.
    fn keep(&mut self, holder: Holder, out: &mut Vec<Judged>) {
        let inode = inode_of(&holder);
        let turns: Vec<Turn> = self
            .waiting_of
            .get(&inode)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        for turn in turns {
            let Some(case) = self.waiting.get_mut(&turn) else {
                continue;
            };
            if !case.offer(&holder, self.judge.page_size()) {
                continue;
            }
            let until = self.judge.until(case);
            if until != turn.0
                && let Some(case) = self.take(turn)
            {
                self.wait_or_conclude(case, until, out);
            }
        }
        let held = self.holders.entry(inode).or_default();
        if held.len() == KEEP_HOLDERS {
            held.pop_front();
        }
        held.push_back(holder);
    }

    /// Decides at once what nothing later can change.
    fn weigh(&mut self, mut case: Case, out: &mut Vec<Judged>) {
        let inode = case.inode();
        let post = case.failure.phase == Phase::Post;
        if post && !case.lonely() && case.changed_wb_err() {
            self.explained.entry(inode).or_default().push(Explained {
                id: case.failure.id,
                wb_err: case.failure.wb_err_now,
                ts_ns: case.failure.ts_ns,
            });
        }
        for holder in self.holders.get(&inode).into_iter().flatten() {
            case.offer(holder, self.judge.page_size());
        }
        let until = self.judge.until(&case);
        self.wait_or_conclude(case, until, out);
    }

    fn wait_or_conclude(&mut self, case: Case, until: u64, out: &mut Vec<Judged>) {
        if until == 0 {
            return self.conclude(case, out);
        }
        self.turns += 1;
        let turn = (until, self.turns);
        self.waiting_of
            .entry(case.inode())
            .or_default()
            .insert(turn);
        self.waiting.insert(turn, case);
    }

    /// Takes a failure that waits.
    fn take(&mut self, turn: Turn) -> Option<Case> {
        let case = self.waiting.remove(&turn)?;
        if let Entry::Occupied(mut turns) = self.waiting_of.entry(case.inode()) {
            turns.get_mut().remove(&turn);
            if turns.get().is_empty() {
                turns.remove();
            }
        }
        Some(case)
    }

    fn conclude(&mut self, mut case: Case, out: &mut Vec<Judged>) {
        case.complete_ns = self.complete_ns;
        let mut verdict = self.judge.decide(&case);
        if case.lonely()
            && let Some(id) = self.explained_by(&case)
        {
            verdict.withdrawn = Some(format!("failure {id} set wb_err"));
        }
        out.push(Judged {
            failure: case.failure,
            verdict,
        });
    }

    /// The failure that set the `wb_err` which this one only saw.
    fn explained_by(&self, case: &Case) -> Option<u64> {
        let seen = self.explained.get(&case.inode())?;
        seen.iter()
            .filter(|e| case.sees_wb_err(e.wb_err))
            .map(|e| (e.ts_ns.abs_diff(case.failure.ts_ns), e.id))
            .filter(|(apart, _)| *apart <= GRACE_NS)
            .min()
            .map(|(_, id)| id)
    }

    fn advance(&mut self, mark_ns: u64, out: &mut Vec<Judged>) {
        // Records of a failure follow it directly: those that have not come are lost.
        let late = |case: &&Case| case.failure.ts_ns.saturating_add(GRACE_NS) <= mark_ns;
        let ids: Vec<u64> = self
            .gathering
            .values()
            .filter(late)
            .map(|c| c.failure.id)
            .collect();
        for id in ids {
            if let Some(case) = self.gathering.remove(&id) {
                self.weigh(case, out);
            }
        }
        while let Some((&turn, _)) = self.waiting.first_key_value()
            && turn.0 <= mark_ns
        {
            if let Some(case) = self.take(turn) {
                self.conclude(case, out);
            }
        }
        let old = mark_ns.saturating_sub(KEEP_NS);
        self.holders.retain(|_, held| {
            held.retain(|holder| holder.end_ns >= old);
            !held.is_empty()
        });
        self.explained.retain(|_, seen| {
            seen.retain(|e| e.ts_ns >= old);
            !seen.is_empty()
        });
    }
}
