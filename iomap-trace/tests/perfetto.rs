//! Traces of recorded logs for the Perfetto UI.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use iomap_trace::report::{Format, replay};
use serde_json::Value;
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
