//! Gathers the records of each failure, and hands it to the judge when its evidence is complete.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::event::{Event, Failure, Holder, Phase, Start};

use super::Verdict;
use super::case::{Case, InodeKey, inode_of};
use super::judge::Judge;

/// How long a case waits for holders that have not ended, or for a better witness.
const GRACE_NS: u64 = 2_000_000_000;
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
    /// Failures that wait, by the moment at which they no longer do.
    waiting: BTreeMap<(u64, u64), Case>,
    holders: HashMap<InodeKey, VecDeque<Holder>>,
    /// Failures of the last seconds that explain a change of `wb_err`, by inode.
    explained: HashMap<InodeKey, Vec<Explained>>,
}

/// A post failure whose folio was seen.
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
            holders: HashMap::new(),
            explained: HashMap::new(),
        }
    }

    /// Takes one event; verdicts that became certain are appended to `out`.
    pub fn push(&mut self, event: &Event, out: &mut Vec<Judged>) {
        let id = match event {
            Event::Failure(failure) => {
                self.gathering
                    .insert(failure.id, Case::new((**failure).clone()));
                return;
            }
            Event::Holder(holder) => return self.keep(holder),
            Event::Mark(mark) => return self.advance(mark.ts_ns, out),
            Event::Refusal(record) => record.failure,
            Event::Dirtied(record) | Event::Cached(record) => record.failure,
            Event::Outcome(record) => record.failure,
            Event::Start(_) | Event::End(_) => return,
        };
        let Some(case) = self.gathering.get_mut(&id) else {
            return;
        };
        match event {
            Event::Refusal(record) => case.refusals.push(record.clone()),
            Event::Dirtied(record) => case.dirtied.push(record.clone()),
            Event::Cached(record) => case.cached.push(record.clone()),
            Event::Outcome(record) => case.outcome = Some(record.clone()),
            _ => {}
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
        for (_, case) in std::mem::take(&mut self.gathering) {
            self.conclude(case, out);
        }
    }

    fn keep(&mut self, holder: &Holder) {
        let held = self.holders.entry(inode_of(holder)).or_default();
        if held.len() == KEEP_HOLDERS {
            held.pop_front();
        }
        held.push_back(holder.clone());
    }

    /// Decides at once what nothing later can change.
    fn weigh(&mut self, case: Case, out: &mut Vec<Judged>) {
        let post = case.failure.phase == Phase::Post;
        let lonely = post && case.refusals.is_empty();
        if post && !lonely && case.wb_err_changed() {
            self.explained
                .entry(case.inode())
                .or_default()
                .push(Explained {
                    id: case.failure.id,
                    wb_err: case.failure.wb_err_now,
                    ts_ns: case.failure.ts_ns,
                });
        }
        let holders = self.holders_of(&case);
        if lonely || self.judge.wants_holders(&case, &holders) {
            self.waiting.insert(
                (case.failure.ts_ns.saturating_add(GRACE_NS), case.failure.id),
                case,
            );
        } else {
            self.conclude(case, out);
        }
    }

    fn holders_of(&self, case: &Case) -> Vec<&Holder> {
        self.holders
            .get(&case.inode())
            .into_iter()
            .flatten()
            .collect()
    }

    fn conclude(&mut self, case: Case, out: &mut Vec<Judged>) {
        let mut verdict = self.judge.decide(&case, &self.holders_of(&case));
        if case.failure.phase == Phase::Post
            && case.refusals.is_empty()
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
            .find(|e| {
                case.sees_wb_err(e.wb_err) && e.ts_ns.abs_diff(case.failure.ts_ns) <= GRACE_NS
            })
            .map(|e| e.id)
    }

    fn advance(&mut self, mark_ns: u64, out: &mut Vec<Judged>) {
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0 <= mark_ns
        {
            let case = entry.remove();
            self.conclude(case, out);
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
