//! What the format asks for: slices that nest, flows that begin and end in slices, names.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use crate::event::Event;
use crate::event::strategies::{event, start};
use crate::report::{Format, Session};

fn trace(events: Vec<Event>) -> Value {
    let mut session = Session::new(Format::Perfetto);
    let mut out = Vec::new();
    for event in events {
        session.event(event, &mut out).unwrap();
    }
    session.finish(&mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

type Thread = (u64, u64);

/// Holds a trace against the rules of the format. The slices, and the flows' ends.
fn valid(trace: &Value) -> (usize, usize) {
    let mut slices: BTreeMap<Thread, Vec<(f64, f64)>> = BTreeMap::new();
    let mut named: BTreeSet<Thread> = BTreeSet::new();
    let mut processes: BTreeSet<u64> = BTreeSet::new();
    let mut flows: BTreeMap<u64, Vec<(String, Thread, f64)>> = BTreeMap::new();
    for event in trace["traceEvents"].as_array().unwrap() {
        let number = |key: &str| event[key].as_u64().unwrap();
        let time = |key: &str| event[key].as_f64().unwrap();
        let pid = number("pid");
        assert!(u32::try_from(pid).is_ok());
        let thread = || (pid, number("tid"));
        match (
            event["ph"].as_str().unwrap(),
            event["name"].as_str().unwrap(),
        ) {
            ("M", "process_name") => assert!(processes.insert(pid), "one name: {event}"),
            ("M", "process_sort_index") => assert!(processes.contains(&pid)),
            // A better name may come later.
            ("M", "thread_name") => drop(named.insert(thread())),
            ("X", _) => {
                assert!(named.contains(&thread()), "named before: {event}");
                assert!(time("ts") >= 0.0 && time("dur") > 0.0, "{event}");
                slices
                    .entry(thread())
                    .or_default()
                    .push((time("ts"), time("ts") + time("dur")));
            }
            (ph @ ("s" | "f"), _) => {
                let ends = flows.entry(number("id")).or_default();
                ends.push((ph.to_owned(), thread(), time("ts")));
            }
            _ => panic!("unknown: {event}"),
        }
    }
    for slices in slices.values_mut() {
        // Stable, as the reader sorts.
        slices.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut open: Vec<f64> = Vec::new();
        for (begin, end) in slices {
            // A nanosecond of doubles beyond 2^43 microseconds.
            open.retain(|until| *until > *begin + 0.0005);
            assert!(
                open.last().is_none_or(|until| *end <= *until + 0.0005),
                "{begin} {end} {open:?}"
            );
            open.push(*end);
        }
    }
    for ends in flows.values() {
        let [(s, from, left), (f, to, reached)] = &ends[..] else {
            panic!("a flow has two ends: {ends:?}");
        };
        assert_eq!((s.as_str(), f.as_str()), ("s", "f"));
        for (thread, at) in [(from, left), (to, reached)] {
            let within = |slice: &(f64, f64)| slice.0 <= *at && *at < slice.1;
            assert!(slices[thread].iter().any(within), "{at} is in no slice");
        }
    }
    (slices.values().map(Vec::len).sum(), flows.len())
}

fn recorded(name: &str) -> Vec<Event> {
    let path = format!(
        "{}/tests/fixtures/{name}.jsonl.zst",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn traces_of_recorded_logs_are_valid() {
    let mut all = Vec::new();
    for name in [
        "5.10-btrfs-buffered-fexit",
        "6.12-ext4-aio-fexit",
        "7.2-btrfs-lockers-fexit",
    ] {
        let trace = trace(recorded(name));
        let (slices, flows) = valid(&trace);
        assert!(
            slices > 20 && flows > 0,
            "{name}: {slices} slices, {flows} flows"
        );
        assert_eq!(trace["otherData"]["slices-left-out"], 0, "{name}");
        all.extend(recorded(name));
    }
    // Of three machines as one.
    let trace = trace(all);
    valid(&trace);
    let text = trace.to_string();
    assert!(text.contains("(machine 3)"));
}

#[test]
fn what_has_no_room_is_said() {
    let mut log = recorded("5.10-btrfs-buffered-fexit");
    let holder = log.iter().find_map(|event| match event {
        Event::Holder(holder) => Some(holder.clone()),
        _ => None,
    });
    // Each begins before the one that ended before it, and none lies within another.
    log.extend((0..80).map(|n| {
        let mut holder = holder.clone().unwrap();
        holder.id += 1_000 + n;
        holder.start_ns += n;
        holder.locked_ns = Some(holder.start_ns);
        holder.end_ns += 1_000_000 + n;
        holder.unlocked_ns = Some(holder.end_ns);
        Event::Holder(holder)
    }));
    let trace = trace(log);
    valid(&trace);
    let left_out = trace["otherData"]["slices-left-out"].as_u64().unwrap();
    assert!(left_out > 0);
    let said = trace
        .to_string()
        .contains(&format!("{left_out} slices are not shown"));
    assert!(said);
}

#[test]
fn a_trace_of_nothing_is_one() {
    assert_eq!(valid(&trace(Vec::new())), (0, 0));
}

proptest! {
    #[test]
    fn any_log_gives_a_valid_trace(
        start in start(), events in vec(event().prop_filter("no run", |event| {
            !matches!(event, Event::Start(_))
        }), 0..24),
    ) {
        let mut all = vec![Event::Start(Box::new(start))];
        all.extend(events);
        let trace = trace(all);
        // Times of any 64 bits are no longer exact: only what is not about them is looked at.
        for event in trace["traceEvents"].as_array().unwrap() {
            let name = event["name"].as_str().unwrap();
            prop_assert!(!name.contains(|c: char| c.is_control() || c == '\u{202e}'), "{}", name);
        }
    }
}
