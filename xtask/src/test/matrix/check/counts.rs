//! What the kernel counted against what a log has.

use super::super::files::Run;
use super::super::kernel::{Seen, What};
use super::super::log::Log;
use std::collections::BTreeMap;

/// What the kernel's own trace counted during a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Failures before submission, by thread, first byte and length. Where no tracepoint tells of
    /// them, only the thread is known.
    pub pre: BTreeMap<(u32, u64, u64), u64>,
    /// Failures after completion, by the thread that saw them.
    pub post: BTreeMap<u32, u64>,
}

impl Counted {
    /// Counts the events of a run on a file of the device `dev`.
    pub fn new(events: &[Seen], run: &Run, dev: u64) -> Self {
        let mut counted = Self::default();
        let generic = run.is_generic();
        for seen in events {
            let key = match seen.what {
                What::Fail {
                    dev: d,
                    ino,
                    pos,
                    len,
                } if d == dev && ino == run.ino => (seen.tid, pos, len),
                What::Refused if generic && run.tids.contains(&seen.tid) => (seen.tid, 0, 0),
                What::Stale if run.tids.contains(&seen.tid) => {
                    *counted.post.entry(seen.tid).or_default() += 1;
                    continue;
                }
                _ => continue,
            };
            *counted.pre.entry(key).or_default() += 1;
        }
        if generic {
            // Results of both invalidations: those of the second one have been told of.
            for ((tid, ..), number) in &mut counted.pre {
                *number -= (*number).min(counted.post.get(tid).copied().unwrap_or(0));
            }
            counted.pre.retain(|_, number| *number > 0);
        }
        counted
    }

    /// Failures before submission.
    pub fn pre(&self) -> u64 {
        self.pre.values().sum()
    }

    /// Failures after completion.
    pub fn post(&self) -> u64 {
        self.post.values().sum()
    }
}

/// What is wrong with a log's account of a run; `sees_post` says that the plan sees failures after
/// completion.
pub fn compare(counted: &Counted, log: &Log, run: &Run, sees_post: bool) -> Vec<String> {
    let (mut pre, mut post) = (BTreeMap::new(), BTreeMap::new());
    for case in log.on(&run.fs, run.ino) {
        let failure = &case.failure;
        let key = match run.is_generic() {
            true => (failure.tid, 0, 0),
            false => (failure.tid, failure.pos, failure.len),
        };
        match &*failure.phase {
            "pre" => *pre.entry(key).or_default() += 1,
            "post" => {
                let by = failure.completed_by.unwrap_or(failure.tid);
                *post.entry(by).or_default() += 1;
            }
            _ => {}
        }
    }
    let mut wrong = Vec::new();
    // A plan without functions sees nothing on filesystems without iomap.
    if !run.is_generic() || sees_post {
        wrong.extend(differ("pre", &counted.pre, &pre, log.lost()));
    }
    if sees_post {
        wrong.extend(differ("post", &counted.post, &post, log.lost()));
    }
    wrong
}

/// How the counts differ, if what was lost does not account for it: that none was invented it never
/// does.
fn differ<K: Ord + std::fmt::Debug>(
    phase: &str,
    kernel: &BTreeMap<K, u64>,
    log: &BTreeMap<K, u64>,
    lost: u64,
) -> Option<String> {
    let only = |a: &BTreeMap<K, u64>, b: &BTreeMap<K, u64>| -> (u64, String) {
        let more = a.iter().map(|(key, number)| {
            let other = b.get(key).copied().unwrap_or(0);
            (key, number.saturating_sub(other))
        });
        let more: Vec<_> = more.filter(|(_, more)| *more > 0).collect();
        let examples: Vec<_> = more.iter().take(3).map(|(k, _)| format!("{k:?}")).collect();
        (more.iter().map(|(_, more)| more).sum(), examples.join(" "))
    };
    let (missing, missing_at) = only(kernel, log);
    let (invented, invented_at) = only(log, kernel);
    if invented == 0 && missing <= lost {
        return None;
    }
    let sum = |counts: &BTreeMap<K, u64>| counts.values().sum::<u64>();
    Some(format!(
        "{phase}: the kernel counted {}, the log has {} and says that {lost} were lost: \
         {missing} missing {missing_at}, {invented} too many {invented_at}",
        sum(kernel),
        sum(log)
    ))
}

#[cfg(test)]
mod tests {
    use super::super::super::log::{Case, End, Failure};
    use super::*;

    fn run(fs: &str) -> Run {
        Run {
            fs: fs.to_owned(),
            ino: 7,
            tids: vec![3],
            ..Run::default()
        }
    }

    fn seen(tid: u32, what: What) -> Seen {
        Seen {
            ts_ns: 1,
            tid,
            what,
        }
    }

    fn log(failures: &[(&str, u64)], lost: u64) -> Log {
        let cases = failures.iter().map(|(phase, pos)| Case {
            failure: Failure {
                phase: (*phase).to_owned(),
                tid: 3,
                ino: 7,
                fs: "xfs".to_owned(),
                pos: *pos,
                len: 8,
                ..Failure::default()
            },
            ..Case::default()
        });
        Log {
            cases: cases.collect(),
            end: Some(End {
                counters: [("failure.lost".to_owned(), lost)].into(),
                losses: BTreeMap::new(),
            }),
            ..Log::default()
        }
    }

    const FAIL: What = What::Fail {
        dev: 9,
        ino: 7,
        pos: 16,
        len: 8,
    };

    #[test]
    fn every_failure_is_accounted_for() {
        let other_file = What::Fail {
            dev: 9,
            ino: 8,
            pos: 0,
            len: 8,
        };
        let events = [
            seen(3, FAIL),
            seen(3, other_file),
            seen(3, What::Stale),
            seen(4, What::Stale),
        ];
        let counted = Counted::new(&events, &run("xfs"), 9);
        assert_eq!((counted.pre(), counted.post()), (1, 1));
        let right = log(&[("pre", 16), ("map", 0), ("post", 0)], 0);
        assert!(compare(&counted, &right, &run("xfs"), true).is_empty());
        let no_post = log(&[("pre", 16)], 0);
        assert!(compare(&counted, &no_post, &run("xfs"), false).is_empty());
        assert_eq!(compare(&counted, &no_post, &run("xfs"), true).len(), 1);
        let lost = log(&[("pre", 16)], 1);
        assert!(compare(&counted, &lost, &run("xfs"), true).is_empty());
        let misplaced = log(&[("pre", 16), ("pre", 32)], 1);
        assert_eq!(compare(&counted, &misplaced, &run("xfs"), true).len(), 1);
        let unaccounted = log(&[("pre", 16), ("pre", 32)], 0);
        assert_eq!(compare(&counted, &unaccounted, &run("xfs"), true).len(), 2);
        let elsewhere = log(&[("pre", 32), ("post", 0)], 1);
        let said = compare(&counted, &elsewhere, &run("xfs"), true);
        assert_eq!(
            said,
            [
                "pre: the kernel counted 1, the log has 1 and says that 1 were lost: \
              1 missing (3, 16, 8), 1 too many (3, 32, 8)"
            ]
        );
    }

    #[test]
    fn without_a_tracepoint_results_are_counted() {
        let events = [What::Refused, What::Refused, What::Stale].map(|what| seen(3, what));
        let counted = Counted::new(&events, &run("vfat"), 9);
        assert_eq!((counted.pre(), counted.post()), (1, 1));
        assert_eq!(Counted::new(&events, &run("xfs"), 9).pre(), 0);
    }
}
