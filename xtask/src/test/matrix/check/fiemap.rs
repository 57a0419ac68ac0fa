//! `repro lockers` on btrfs: FIEMAP is in the way, on every kernel but 6.12, and is named.

use super::super::files::Run;
use super::super::log::{Case, Log};

/// At least so many failures in ten seconds, of a guest on a machine that does other things, too.
const FAILURES: usize = 20;

/// What is wrong with a run, if this is one where FIEMAP must be found.
pub fn wrong(log: &Log, run: &Run, series: &str) -> Option<String> {
    // There, for a reason of its own, it does not happen.
    if run.workload != "lockers" || run.fs != "btrfs" || series == "6.12" {
        return None;
    }
    let cases = log.on(&run.fs, run.ino);
    let named = cases.iter().filter(|case| by_fiemap(log, case)).count();
    let enough = cases.len() >= FAILURES && named * 2 > cases.len();
    (!enough).then(|| {
        format!(
            "of {} failures FIEMAP is named for {named}: at least {FAILURES} are expected, \
             and it for most of them",
            cases.len()
        )
    })
}

fn by_fiemap(log: &Log, case: &Case) -> bool {
    let named = |function: &str| function.contains("fiemap");
    let holders = case.verdict.holders.iter();
    let mut holders = holders.filter_map(|id| log.holders.get(id)?.function.as_deref());
    case.verdict.party.as_ref().is_some_and(|p| named(&p.did)) || holders.any(named)
}

#[cfg(test)]
mod tests {
    use super::super::super::log::{Failure, Holder, Party, Verdict};
    use super::*;

    #[test]
    fn fiemap_is_named_for_most() {
        let run = Run {
            workload: "lockers".to_owned(),
            fs: "btrfs".to_owned(),
            ..Run::default()
        };
        let holder = Holder {
            id: 1,
            function: Some("extent_fiemap".to_owned()),
            ..Holder::default()
        };
        let case = |holders: Vec<u64>, did: &str| Case {
            failure: Failure {
                fs: "btrfs".to_owned(),
                ..Failure::default()
            },
            verdict: Verdict {
                holders,
                party: Some(Party {
                    tid: 1,
                    did: did.to_owned(),
                }),
                ..Verdict::default()
            },
            ..Case::default()
        };
        let mut log = Log {
            holders: [(1, holder)].into(),
            cases: vec![case(vec![1], ""); 11],
            ..Log::default()
        };
        assert!(wrong(&log, &run, "7.3").unwrap().starts_with("of 11"));
        log.cases.resize(21, case(vec![], "x"));
        assert_eq!(wrong(&log, &run, "7.3"), None);
        log.cases.resize(23, case(vec![], "x"));
        assert!(wrong(&log, &run, "7.3").is_some());
        log.cases.resize(40, case(vec![], "extent_fiemap"));
        assert_eq!(wrong(&log, &run, "7.3"), None);
        log.cases.clear();
        assert_eq!(wrong(&log, &run, "6.12"), None);
    }
}
