//! What a tracer in standby must have done: seen every failure, and known the parties soon after the
//! first one.

use super::super::files::Run;
use super::super::log::{Case, Log};
use super::causes::Causes;

/// So long after the first failure all hooks are attached, also in a guest on a busy machine, and
/// what they did not see has gone.
const ATTACHED_NS: u64 = 1_500_000_000;

/// What is wrong with what the tracer said on its standard error.
pub fn roused(said: &str, log: &Log) -> Option<String> {
    let told = said.contains("a failure: attached");
    if told == log.cases.is_empty() {
        let failures = log.cases.len();
        return Some(format!(
            "{failures} failures, and the other hooks attached: {told}"
        ));
    }
    let without = said.lines().find(|line| line.contains("could be attached"));
    without.map(|line| line.trim().to_owned())
}

/// Nothing is shown where nothing failed.
pub fn scarce(log: &Log) -> Option<String> {
    log.cases.is_empty().then(|| "it saw no failure".to_owned())
}

/// What is wrong when at least `known` of a hundred later failures must have a cause.
pub fn unnamed(log: &Log, run: &Run, known: u64) -> Vec<String> {
    let first_ns = log.cases.iter().map(|case| case.failure.ts_ns).min();
    let from_ns = first_ns.map_or(0, |ts_ns| ts_ns + ATTACHED_NS);
    let later = |case: &&Case| case.failure.ts_ns > from_ns;
    let cases: Vec<_> = log.on(&run.fs, run.ino).into_iter().filter(later).collect();
    Causes::new(&cases).wrong(known)
}

#[cfg(test)]
mod tests {
    use super::super::super::log::Failure;
    use super::*;

    fn log(failures: &[(u64, &str)]) -> Log {
        let mut log = Log::default();
        for (ts_ns, cause) in failures {
            let mut case = Case {
                failure: Failure {
                    ts_ns: *ts_ns,
                    fs: "xfs".to_owned(),
                    ..Failure::default()
                },
                ..Case::default()
            };
            case.verdict.cause = (*cause).to_owned();
            log.cases.push(case);
        }
        log
    }

    #[test]
    fn the_first_failure_need_not_be_known() {
        let run = Run {
            fs: "xfs".to_owned(),
            ..Run::default()
        };
        let good = log(&[(7, "unknown"), (2_000_000_000, "redirtied")]);
        assert_eq!(unnamed(&good, &run, 98), Vec::<String>::new());
        let bad = log(&[(7, "redirtied"), (2_000_000_000, "unknown")]);
        assert_eq!(unnamed(&bad, &run, 98).len(), 1);
        assert_eq!(unnamed(&log(&[]), &run, 98), Vec::<String>::new());
    }

    #[test]
    fn hooks_are_attached_when_something_failed_and_only_then() {
        let (some, none) = (log(&[(7, "redirtied")]), log(&[]));
        let said = "iomap-trace: a failure: attached dirty within 1.0 ms\n";
        assert_eq!(roused(said, &some), None);
        assert!(roused("", &some).is_some() && roused(said, &none).is_some());
        assert!(roused("", &none).is_none() && scarce(&none).is_some());
        let bad = format!("{said}  without dio, which could be attached at the start: x\n");
        assert!(roused(&bad, &some).unwrap().starts_with("without dio"));
    }
}
