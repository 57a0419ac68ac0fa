//! `repro lockers` on btrfs: FIEMAP is in the way, on every kernel but 6.12, and is named.

use super::super::files::Run;
use super::super::log::{Case, Log};

/// At least so many failures in ten seconds, of a guest on a machine that does other things, too.
const FAILURES: usize = 20;

/// Whether FIEMAP must be found in a run. On 6.12, for a reason of its own, it is not in the way.
pub fn is_expected(run: &Run, series: &str) -> bool {
    run.workload == "lockers" && run.fs == "btrfs" && series != "6.12"
}

/// What is wrong with such a run.
pub fn wrong(log: &Log, run: &Run) -> Option<String> {
    let cases = log.on(&run.fs, run.ino);
    let named = cases.iter().filter(|case| by_fiemap(log, case)).count();
    let most = named * 2 > cases.len() || cases.len() < FAILURES;
    (!most).then(|| {
        let all = cases.len();
        format!("of {all} failures FIEMAP is named for {named}: most are expected")
    })
}

/// Whether there were too few failures to show anything.
pub fn scarce(log: &Log, run: &Run) -> Option<String> {
    let number = log.on(&run.fs, run.ino).len();
    (number < FAILURES).then(|| format!("{number} failures only: nothing was shown"))
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
        assert!(scarce(&log, &run).unwrap().starts_with("11 failures"));
        log.cases.resize(21, case(vec![], "x"));
        assert_eq!((wrong(&log, &run), scarce(&log, &run)), (None, None));
        log.cases.resize(23, case(vec![], "x"));
        assert!(wrong(&log, &run).is_some());
        log.cases.resize(40, case(vec![], "extent_fiemap"));
        assert_eq!(wrong(&log, &run), None);
        assert!(is_expected(&run, "7.3") && !is_expected(&run, "6.12"));
    }
}
