//! The collector: what it keeps, and how little.

use super::*;
use crate::correlate::{Engine, Judged};
use crate::event::{
    Event, Failure, Holder, HolderKind, KernelInfo, Mark, Outcome, OutcomeKind, Refusal, Start,
};

/// A run on btrfs of `release`.
fn start(release: &str, ordered_blocks: Option<bool>) -> Event {
    let json = serde_json::json!({
        "schema": 1, "version": "0.1.0", "command": ["iomap-trace"],
        "kernel": KernelInfo { release: release.to_owned(), ..KernelInfo::default() },
        "page_size": 4096, "boot_id": "b", "clock": {"boot_ns": 0, "wall_ns": 0}, "mounts": [],
        "plan": "fexit", "hooks": [], "facts": {"ordered_blocks_release": ordered_blocks},
        "layout": {},
    });
    let start: Start = serde_json::from_value(json).unwrap();
    Event::Start(Box::new(start))
}

/// A failure of `duration_ns` whose folio the ordered extent of the same number held.
fn failure(id: u64, duration_ns: u64) -> Vec<Event> {
    let ts_ns = id * 1_000_000_000;
    let pos = 4096 * id;
    let json = serde_json::json!({
        "id": id, "ts_ns": ts_ns, "duration_ns": duration_ns, "phase": "pre", "pid": 1, "tid": 1,
        "comm": "w", "cgroup": 0, "dev": "0:1", "ino": 257, "root": 5, "fs": "btrfs", "pos": pos,
        "len": 4096, "size": 1 << 30, "errno": -16, "wb_err_begin": 0, "wb_err_now": 0,
        "refusals": 1, "dirtied": 0, "cached": 0, "flags": [],
    });
    let failure: Failure = serde_json::from_value(json).unwrap();
    let refusal = Refusal {
        failure: id,
        ts_ns: ts_ns - 10_000,
        entered_ns: Some(ts_ns - 20_000),
        index: id,
        pages: 1,
        folio_flags: vec!["uptodate".into()],
        buffers: None,
    };
    let json = serde_json::json!({
        "id": id, "kind": "ordered-io", "dev": "0:1", "ino": 257, "root": 5, "pos": pos,
        "len": 4096, "start_ns": ts_ns - 60_000, "locked_ns": ts_ns - 50_000,
        "unlocked_ns": ts_ns + 50_000, "end_ns": ts_ns + 60_000, "pid": 7, "tid": 7,
        "comm": "kworker", "ordered_flags": ["io-done"],
    });
    let holder: Holder = serde_json::from_value(json).unwrap();
    vec![
        Event::Failure(Box::new(failure)),
        Event::Refusal(refusal),
        Event::Outcome(Outcome {
            failure: id,
            outcome: OutcomeKind::BufferedFallback,
            ret: None,
        }),
        Event::Holder(Box::new(holder)),
        Event::Mark(Mark {
            ts_ns: ts_ns + 100_000_000,
        }),
    ]
}

/// What the collector makes of events, and the sums beside it.
fn collect(mut collector: Collector, events: Vec<Event>) -> (Collector, Summary) {
    let mut summary = Summary::default();
    let mut engine: Option<Engine> = None;
    let mut judged = Vec::new();
    let mut take = |judged: &mut Vec<Judged>, collector: &mut Collector| {
        for judged in judged.drain(..) {
            summary.judged(&judged);
            collector.judged(&judged);
        }
    };
    for event in events {
        if let Event::Start(start) = &event {
            if let Some(mut engine) = engine.replace(Engine::new(start)) {
                engine.finish(&mut judged);
            }
            take(&mut judged, &mut collector);
        }
        collector.event(&event);
        engine.as_mut().unwrap().push(event, &mut judged);
        take(&mut judged, &mut collector);
    }
    engine.unwrap().finish(&mut judged);
    take(&mut judged, &mut collector);
    (collector, summary)
}

fn run(durations: &[u64]) -> Vec<Event> {
    let failures = (1..)
        .zip(durations)
        .flat_map(|(id, duration)| failure(id, *duration));
    std::iter::once(start("6.1.0", Some(true)))
        .chain(failures)
        .collect()
}

#[test]
fn the_clearest_is_the_shortest_whose_begin_was_seen() {
    let (collector, summary) = collect(Collector::new(), run(&[0, 900_000, 300_000, 500_000]));
    let dossier = collector.dossier(&summary);
    assert_eq!(dossier.kinds.len(), 1, "{:?}", dossier.kinds);
    assert_eq!((dossier.kinds[0].failures, dossier.kinds[0].exact), (4, 4));
    assert_eq!(dossier.kinds[0].errnos[&-16], 4);
    let [example] = dossier.examples[..] else {
        panic!("{:?}", dossier.examples)
    };
    assert_eq!(example.failure.id, 3);
    assert_eq!(example.records.refusals.len(), 1);
    let ids: Vec<u64> = example.holders.iter().map(|holder| holder.id).collect();
    assert_eq!(ids, example.verdict.holders);
    assert_eq!(dossier.holds[0].held.count, 4);
    assert_eq!(dossier.too_early.unwrap().max_ns, 50_000);
    assert!(
        serde_json::to_string(&dossier)
            .unwrap()
            .contains("\"kinds\":[{")
    );
}

#[test]
fn a_failure_that_is_asked_for_is_found_once_in_each_log() {
    let mut events = run(&[1000, 2000]);
    events.extend(run(&[1000, 2000]));
    let (collector, summary) = collect(Collector::of_failure(2), events);
    let dossier = collector.dossier(&summary);
    let found: Vec<_> = dossier
        .examples
        .iter()
        .map(|e| (e.origin.run, e.failure.id))
        .collect();
    assert_eq!(found, [(1, 2), (2, 2)]);
    assert!(dossier.asked);
}

#[test]
fn what_is_kept_does_not_grow_with_the_log() {
    let mut recent = Recent::default();
    let Some(Event::Holder(holder)) = failure(1, 0).into_iter().nth(3) else {
        panic!("no holder")
    };
    assert_eq!(holder.kind, HolderKind::OrderedIo);
    for id in 1..20_000 {
        recent.failure(id);
        recent.holder(&Holder {
            id,
            ..(*holder).clone()
        });
        if id % 3 == 0 {
            recent.take(id);
        }
    }
    let (failures, order, holders) = recent.sizes();
    assert!(
        failures <= 1024 && order <= 4 * 1024 && holders <= 4096,
        "{failures} {order} {holders}"
    );
    assert_eq!(recent.named(&[1, 19_999]).len(), 1);
    assert!(recent.take(1).is_none() && recent.take(19_999).is_some());
}

#[test]
fn changes_of_the_kernel_are_known_from_the_log_or_not_at_all() {
    let cases = [
        ("5.10.223-x", "968f19c5b1b7", Some(true), Fixed::No),
        ("6.12.107", "968f19c5b1b7", Some(true), Fixed::Yes),
        ("6.12.20", "968f19c5b1b7", Some(true), Fixed::Unknown),
        (
            "6.8.0-31-generic",
            "968f19c5b1b7",
            Some(true),
            Fixed::Unknown,
        ),
        ("7.3.4", "968f19c5b1b7", Some(false), Fixed::No),
        // The running kernel says more than its version.
        ("6.12.107", "32c523c578e8", Some(false), Fixed::Yes),
        ("6.16.1", "32c523c578e8", Some(true), Fixed::No),
        ("6.16.1", "32c523c578e8", None, Fixed::Yes),
        ("6.8.0", "32c523c578e8", None, Fixed::Unknown),
        ("?", "32c523c578e8", None, Fixed::Unknown),
    ];
    for (release, commit, blocks, expected) in cases {
        let mut events = vec![start(release, blocks)];
        events.extend(failure(1, 1000));
        let (collector, summary) = collect(Collector::new(), events);
        let fixes = collector.dossier(&summary).fixes;
        let fix = fixes.iter().find(|fix| fix.commit == Some(commit)).unwrap();
        assert_eq!(fix.kernels[0].1, expected, "{release} {commit} {fix:?}");
    }
}

#[test]
fn a_run_without_failures_has_little_to_say() {
    let (collector, summary) = collect(Collector::new(), vec![start("6.1.0", Some(true))]);
    let dossier = collector.dossier(&summary);
    assert!(dossier.kinds.is_empty() && dossier.examples.is_empty());
    assert!(dossier.fixes.is_empty() && dossier.advice.is_empty());
    assert_eq!(dossier.runs.kept.len(), 1);
}
