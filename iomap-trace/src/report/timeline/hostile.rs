//! Timelines of any record: whatever a log says, its lines stay short and its text stays text.

use proptest::collection::vec;
use proptest::prelude::*;

use super::one;
use crate::correlate::{Cause, Confidence, Party, Verdict};
use crate::event::strategies::{failure, holder, name, outcome_kind, refusal, touched};
use crate::event::{Clock, Failure, KernelInfo};
use crate::report::cell;
use crate::report::dossier::{Example, Origin, Records};

const CAUSES: [Cause; 10] = [
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

prop_compose! {
    fn verdict()(
        failure: u64, cause in prop::sample::select(&CAUSES[..]), comm in name(), did in name(),
        pid: u32, tid: u32, since_ns: u64, held_ns: Option<u64>, named: bool,
        self_inflicted: bool, outcome in outcome_kind(), reason in prop::option::of(name()),
        sure in 0..3_usize, holders in vec(any::<u64>(), 0..3),
    ) -> Verdict {
        let party = Party {
            pid, tid, comm: comm.into(), did: did.into(), how: None, since_ns, held_ns,
        };
        Verdict {
            failure,
            cause,
            confidence: [Confidence::Exact, Confidence::Window, Confidence::None][sure],
            party: named.then_some(party),
            cached_by: None,
            holders,
            also: Vec::new(),
            self_inflicted,
            witness: None,
            outcome,
            withdrawn: None,
            reason: reason.map(Into::into),
            evidence_missing: Vec::new(),
        }
    }
}

prop_compose! {
    fn example()(
        failure in failure(), refusals in vec(refusal(), 0..6), dirtied in vec(touched(), 0..4),
        cached in vec(touched(), 0..4), holders in vec(holder(), 0..3), beside in vec(holder(), 0..3),
        verdict in verdict(), release in name(), boot_ns: u64, wall_ns: u64, page_size: u64,
        btrfs: bool,
    ) -> Example {
        let failure: Failure = failure;
        let fs = if btrfs { "btrfs".into() } else { failure.fs.clone() };
        Example {
            origin: Origin {
                run: 1,
                host: None,
                kernel: KernelInfo { release, ..KernelInfo::default() },
                clock: Clock { boot_ns, wall_ns },
                page_size,
                symbols: Default::default(),
            },
            failure: Box::new(Failure { fs, ..failure }),
            records: Records { refusals, dirtied, cached, outcome: None, left_out: 3 },
            holders,
            beside,
            verdict,
        }
    }
}

proptest! {
    #[test]
    fn lines_stay_under_eighty_columns(example in example()) {
        for line in one(&example, " of run 1 on a host").lines() {
            prop_assert!(cell::width(line) < 80, "{}: {line}", cell::width(line));
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        }
    }
}
