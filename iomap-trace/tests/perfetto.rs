//! Traces of recorded logs for the Perfetto UI.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use iomap_trace::report::{Format, replay};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    directory.join(format!("{name}.jsonl.zst"))
}

fn trace_of(logs: &[PathBuf]) -> String {
    let (mut out, mut status) = (Vec::new(), Vec::new());
    replay(logs, Format::Perfetto, &mut out, &mut status).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn traces_of_recorded_logs() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("perfetto/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        for name in [
            "5.10-btrfs-buffered-fexit",
            "6.12-ext4-aio-fexit",
            "7.2-btrfs-lockers-fexit",
        ] {
            let version = concat!("\"version\":\"", env!("CARGO_PKG_VERSION"), "\"");
            let trace = trace_of(&[fixture(name)]);
            assert!(trace.contains(version));
            insta::assert_snapshot!(name, trace.replace(version, "\"version\":\"\""));
        }
    });
}

/// The seed's case: an arrow leads from the worker that completes the ordered extent to the failure.
#[test]
fn a_flow_leads_from_the_holder_to_the_failure() {
    let trace: Value =
        serde_json::from_str(&trace_of(&[fixture("5.10-btrfs-buffered-fexit")])).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let at = |event: &Value, name: &str| {
        let (ts, tid) = (event["ts"].as_f64().unwrap(), &event["tid"]);
        events.iter().any(|slice| {
            let begin = slice["ts"].as_f64().unwrap_or(f64::MAX);
            slice["ph"] == "X"
                && slice["tid"] == *tid
                && begin <= ts
                && ts < begin + slice["dur"].as_f64().unwrap()
                && slice["name"].as_str().unwrap().starts_with(name)
        })
    };
    let found = events
        .iter()
        .filter(|event| event["ph"] == "s")
        .any(|from| {
            let to = events
                .iter()
                .find(|to| to["ph"] == "f" && to["id"] == from["id"])
                .unwrap();
            at(from, "ordered I/O completes ") && at(to, "invalidation fails: ordered-io")
        });
    assert!(found);
    let named = |name: &str| events.iter().any(|event| event["args"]["name"] == name);
    assert!(named(
        "/mnt/btrfs/iomap-trace-repro-295.dat (inode 260, subvolume 5 on 0:25)"
    ));
    assert!(named("repro-direct/296") && named("files"));
}

/// A log's records, with the verdicts among them.
fn records_of(log: &Path) -> Vec<Value> {
    let mut out = Vec::new();
    replay(&[log.to_owned()], Format::Json, &mut out, &mut Vec::new()).unwrap();
    let lines = out.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// Each task and each inode of a log has one track, further lanes of it apart, and each failure an
/// arrow from every holder that its verdict names.
#[test]
fn each_task_and_inode_has_a_track_and_each_holder_an_arrow() {
    for name in [
        "5.10-btrfs-mmap-fexit",
        "6.1-btrfs-lockers-fexit",
        "6.12-ext4-aio-fexit",
        "7.2-btrfs-lockers-fexit",
        "7.3-btrfs-mmap-fexit",
    ] {
        let records = records_of(&fixture(name));
        let trace: Value = serde_json::from_str(&trace_of(&[fixture(name)])).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let of = |ph: &'static str| events.iter().filter(move |event| event["ph"] == ph);
        let kind = |kind: &'static str| records.iter().filter(move |record| record["type"] == kind);

        let titles: BTreeSet<&str> = of("M")
            .filter(|event| event["name"] == "thread_name")
            .map(|event| event["args"]["name"].as_str().unwrap())
            .collect();
        // A file without a title that says its path was renamed when that was known.
        let failures = kind("failure").chain(kind("holder").filter(|h| !h["locked_ns"].is_null()));
        let inodes: BTreeSet<String> = failures.map(inode).collect();
        assert!(!inodes.is_empty());
        for inode in &inodes {
            let tracks: BTreeSet<_> = of("M")
                .filter(|event| {
                    let title = event["args"]["name"].as_str().unwrap_or_default();
                    event["name"] == "thread_name"
                        && (title == inode || title.ends_with(&format!(" ({inode})")))
                })
                .map(|event| event["tid"].as_u64())
                .collect();
            assert_eq!(tracks.len(), 1, "{name}: {inode}: {titles:?}");
        }
        let tasks = kind("failure").chain(kind("holder")).chain(kind("dirtied"));
        for tid in tasks.map(|task| task["tid"].as_u64().unwrap()) {
            let ends = format!("/{tid}");
            let tracks = titles.iter().filter(|title| title.ends_with(&ends)).count();
            assert_eq!(tracks, 1, "{name}: thread {tid}: {titles:?}");
        }

        let slice = |at: &Value, args: &str| {
            let ts = at["ts"].as_f64().unwrap();
            let within = |slice: &&Value| {
                let begin = slice["ts"].as_f64().unwrap();
                slice["tid"] == at["tid"]
                    && begin <= ts
                    && ts < begin + slice["dur"].as_f64().unwrap()
                    && !slice["args"][args].is_null()
            };
            of("X")
                .filter(within)
                .map(|slice| slice["args"][args].as_u64().unwrap())
                .collect::<BTreeSet<u64>>()
        };
        let ends = |id: &Value| of("f").find(|end| end["id"] == *id).unwrap();
        let arrows: Vec<_> = of("s")
            .map(|from| (slice(from, "holder"), slice(ends(&from["id"]), "failure")))
            .collect();
        let mut wanted = 0;
        for verdict in kind("verdict").filter(|verdict| verdict["withdrawn"].is_null()) {
            let id = verdict["failure"].as_u64().unwrap();
            for holder in verdict["holders"].as_array().unwrap() {
                let holder = holder.as_u64().unwrap();
                wanted += 1;
                let found = arrows
                    .iter()
                    .any(|(from, to)| from.contains(&holder) && to.contains(&id));
                assert!(found, "{name}: holder {holder} of failure {id}: {arrows:?}");
            }
        }
        assert!(
            wanted > 0 || name.contains("ext4") || name.starts_with("7.3"),
            "{name}"
        );
    }
}

fn inode(record: &Value) -> String {
    let root = match record["root"].as_u64() {
        Some(root) => format!(", subvolume {root}"),
        None => String::new(),
    };
    let dev = record["dev"].as_str().unwrap();
    format!("inode {}{root} on {dev}", record["ino"])
}
