//! Whether two plans tell the same of a run.

use super::super::files::Run;
use super::super::log::{Case, Log};
use std::collections::BTreeMap;

/// How two plans differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Failures that both have.
    pub same: u64,
    /// Failures that both are sure of, and agree.
    pub both_exact: u64,
    /// Failures that only one of them has.
    pub only_one: Vec<String>,
    /// How many of them the first one lacks, and how many the second one.
    pub lacking: (u64, u64),
    /// Failures that both are sure of, and do not agree.
    pub contradictions: Vec<String>,
}

impl Agreement {
    /// Failures that one of them has and the other one has not, if what that one missed does not
    /// account for them.
    pub fn unaccounted(&self, a: &Log, b: &Log) -> &[String] {
        if self.lacking.0 <= a.missed() && self.lacking.1 <= b.missed() {
            return &[];
        }
        &self.only_one
    }
}

/// What makes a failure the same: phase, thread, first byte and length.
type Key<'a> = (&'a str, u32, u64, u64);

/// Compares the failures of a run, of the phases that both plans see.
pub fn compare(a: &Log, b: &Log, run: &Run, phases: &[&str]) -> Agreement {
    let (a_by, b_by) = (by_key(a, run, phases), by_key(b, run, phases));
    let mut agreement = Agreement::default();
    let none = Vec::new();
    for (key, a_cases) in &a_by {
        let b_cases = b_by.get(key).unwrap_or(&none);
        if a_cases.len() != b_cases.len() {
            let (a_has, b_has) = (a_cases.len() as u64, b_cases.len() as u64);
            agreement.lacking.0 += b_has.saturating_sub(a_has);
            agreement.lacking.1 += a_has.saturating_sub(b_has);
            agreement.only_one.push(format!(
                "{key:?}: {} in {}, {} in {}",
                a_cases.len(),
                a.start.plan,
                b_cases.len(),
                b.start.plan
            ));
        }
        for (a_case, b_case) in pairs(a_cases, b_cases) {
            agreement.same += 1;
            if a_case.exact() && b_case.exact() {
                agreement.both_exact += 1;
                let said = [said(a_case), said(b_case)];
                if !agree((a, a_case), (b, b_case)) {
                    agreement.contradictions.push(format!(
                        "{key:?}: {:?} is failure {} of {}, {:?} is {} of {}",
                        said[0],
                        a_case.failure.id,
                        a.start.plan,
                        said[1],
                        b_case.failure.id,
                        b.start.plan
                    ));
                }
            }
        }
    }
    for (key, cases) in b_by.iter().filter(|(key, _)| !a_by.contains_key(*key)) {
        let (number, plan) = (cases.len(), &b.start.plan);
        agreement.lacking.0 += number as u64;
        agreement
            .only_one
            .push(format!("{key:?}: {number} in {plan} only"));
    }
    agreement
}

/// How far apart two plans see the end of a write at most, nanoseconds.
const APART_NS: u64 = 100_000_000;

/// Failures after completion of which `guess` is sure, although `sure`, which sees results, has
/// none there.
pub fn invented(sure: &Log, guess: &Log, run: &Run) -> Vec<String> {
    let real = by_key(sure, run, &["post"]);
    let mut invented = Vec::new();
    for (key, cases) in by_key(guess, run, &["post"]) {
        let real = real.get(&key).map_or(&[][..], Vec::as_slice);
        for case in cases.into_iter().filter(|case| case.exact()) {
            let ts_ns = case.failure.ts_ns;
            let mut near = real.iter().map(|real| real.failure.ts_ns.abs_diff(ts_ns));
            if !near.any(|apart| apart < APART_NS) {
                let (id, plan) = (case.failure.id, &guess.start.plan);
                invented.push(format!("{key:?}: failure {id} of {plan} was none"));
            }
        }
    }
    invented
}

/// Whether the verdicts can both be right. Several folios of a range can be refused, each for a
/// reason of its own, and one look is later than the other: what one of them says of the failure,
/// the other must have seen at least of one of its folios.
fn agree(a: (&Log, &Case), b: (&Log, &Case)) -> bool {
    let cause = |a: &Case, b: &Case| {
        let (a, b) = (&a.verdict, &b.verdict);
        a.cause == b.cause || b.also.contains(&a.cause)
    };
    let party = |a: &Case, (b_log, b): (&Log, &Case)| {
        let holders = b.verdict.holders.iter();
        let mut holders = holders.filter_map(|id| b_log.holders.get(id));
        a.verdict.party.as_ref().is_none_or(|party| {
            b.touched.contains(&party.tid) || holders.any(|holder| holder.tid == party.tid)
        })
    };
    (cause(a.1, b.1) || cause(b.1, a.1))
        && (said(a.1) == said(b.1) || party(a.1, b) || party(b.1, a))
}

/// Cause and party.
fn said(case: &Case) -> (&str, Option<u32>) {
    let party = case.verdict.party.as_ref().map(|party| party.tid);
    (&case.verdict.cause, party)
}

fn by_key<'a>(log: &'a Log, run: &Run, phases: &[&str]) -> BTreeMap<Key<'a>, Vec<&'a Case>> {
    let mut by: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in log.on(&run.fs, run.ino) {
        let f = &case.failure;
        if phases.contains(&&*f.phase) {
            let key = (&*f.phase, f.tid, f.pos, f.len);
            by.entry(key).or_default().push(case);
        }
    }
    for cases in by.values_mut() {
        cases.sort_by_key(|case| case.failure.ts_ns);
    }
    by
}

/// A thread does one write after the other: the nearest in time are the same, in their order.
fn pairs<'a>(a: &[&'a Case], b: &[&'a Case]) -> Vec<(&'a Case, &'a Case)> {
    if a.len() == b.len() {
        return a.iter().copied().zip(b.iter().copied()).collect();
    }
    let (few, many, swapped) = match a.len() < b.len() {
        true => (a, b, false),
        false => (b, a, true),
    };
    let nearest = few.iter().filter_map(|one| {
        let distance = |other: &&&Case| other.failure.ts_ns.abs_diff(one.failure.ts_ns);
        let other = many.iter().min_by_key(distance)?;
        Some(match swapped {
            true => (*other, *one),
            false => (*one, *other),
        })
    });
    nearest.collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::log::{End, Failure, Party, Start, Verdict};
    use super::*;

    fn case(ts_ns: u64, phase: &str, cause: &str, party: u32) -> Case {
        Case {
            failure: Failure {
                ts_ns,
                phase: phase.to_owned(),
                tid: 3,
                fs: "xfs".to_owned(),
                ..Failure::default()
            },
            verdict: Verdict {
                cause: cause.to_owned(),
                confidence: "exact".to_owned(),
                party: Some(Party {
                    tid: party,
                    did: String::new(),
                }),
                ..Verdict::default()
            },
            ..Case::default()
        }
    }

    fn log(plan: &str, cases: Vec<Case>) -> Log {
        Log {
            start: Start {
                plan: plan.to_owned(),
                ..Start::default()
            },
            cases,
            ..Log::default()
        }
    }

    #[test]
    fn plans_agree_on_what_both_see() {
        let run = Run {
            fs: "xfs".to_owned(),
            ..Run::default()
        };
        let a = log(
            "a",
            vec![case(10, "pre", "redirtied", 4), case(20, "post", "x", 4)],
        );
        let mut b = log("b", vec![case(11, "pre", "redirtied", 4)]);
        let agreement = compare(&a, &b, &run, &["pre"]);
        assert_eq!((agreement.same, agreement.both_exact), (1, 1));
        assert!(agreement.only_one.is_empty() && agreement.contradictions.is_empty());
        b.cases[0].verdict.party = a.cases[1]
            .verdict
            .party
            .clone()
            .map(|party| Party { tid: 5, ..party });
        assert_eq!(compare(&a, &b, &run, &["pre"]).contradictions.len(), 1);
        b.cases[0].touched = vec![4];
        assert!(compare(&a, &b, &run, &["pre"]).contradictions.is_empty());
        b.cases[0].verdict.cause = "extent-lock".to_owned();
        assert_eq!(compare(&a, &b, &run, &["pre"]).contradictions.len(), 1);
        b.cases[0].verdict.also = vec!["redirtied".to_owned()];
        assert!(compare(&a, &b, &run, &["pre"]).contradictions.is_empty());
        b.cases[0].verdict.also.clear();
        b.cases[0].verdict.confidence = "window".to_owned();
        assert!(compare(&a, &b, &run, &["pre"]).contradictions.is_empty());
        assert_eq!(compare(&a, &b, &run, &["pre", "post"]).only_one.len(), 1);
        let agreement = compare(&b, &a, &run, &["pre", "post"]);
        assert_eq!((agreement.only_one.len(), agreement.lacking), (1, (1, 0)));
        assert_eq!(agreement.unaccounted(&b, &a).len(), 1);
        b.end = Some(End {
            counters: [("dio_complete.missed".to_owned(), 1)].into(),
            ..End::default()
        });
        assert!(agreement.unaccounted(&b, &a).is_empty());
    }

    #[test]
    fn a_guess_must_be_right_when_it_is_sure() {
        let run = Run {
            fs: "xfs".to_owned(),
            ..Run::default()
        };
        let sure = log("a", vec![case(10, "post", "redirtied", 4)]);
        let mut guess = log("b", vec![case(20, "post", "redirtied", 4)]);
        assert!(invented(&sure, &guess, &run).is_empty());
        guess.cases[0].failure.ts_ns += APART_NS;
        assert_eq!(invented(&sure, &guess, &run).len(), 1);
        guess.cases[0].verdict.confidence = "window".to_owned();
        assert!(invented(&sure, &guess, &run).is_empty());
    }

    #[test]
    fn of_unequal_numbers_the_nearest_are_compared() {
        let a = [case(10, "pre", "x", 1), case(500, "pre", "y", 2)];
        let b = [case(499, "pre", "y", 2)];
        let (a, b): (Vec<_>, Vec<_>) = (a.iter().collect(), b.iter().collect());
        assert_eq!(pairs(&a, &b)[0].0.failure.ts_ns, 500);
        assert_eq!(pairs(&b, &a)[0].1.failure.ts_ns, 500);
    }
}
