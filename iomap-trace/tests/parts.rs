//! Logs in parts: each is a whole log, and together they say what one log says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use iomap_trace::event::{End, Event, Start};
use iomap_trace::log::{Ending, Reader, Rotation, RunLog, Turn};
use iomap_trace::report::{Format, replay};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PARTS: Rotation = Rotation {
    size: Some(1 << 20),
    time: None,
    keep: None,
};

/// Recorded logs.
fn fixtures() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> = paths
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.ends_with(".jsonl.zst") && !name.contains(".live.")
        })
        .collect();
    logs.sort();
    assert!(logs.len() > 3, "{logs:?}");
    logs
}

fn events(log: &Path) -> Vec<Event> {
    let mut reader = Reader::open(log).unwrap();
    let events = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(reader.ending(), Ending::Complete, "{}", log.display());
    events
}

fn report(logs: &[PathBuf]) -> Vec<Value> {
    let (mut out, mut status) = (Vec::new(), Vec::new());
    replay(logs, Format::Json, &mut out, &mut status).unwrap();
    assert_eq!(String::from_utf8(status).unwrap(), "");
    let lines = out.split(|byte| *byte == b'\n').filter(|l| !l.is_empty());
    lines.map(|l| serde_json::from_slice(l).unwrap()).collect()
}

fn verdicts(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|r| r["type"] == "verdict").collect()
}

/// The sums at some moment of the run, as the tracer would have them.
fn sums(total: &End, nth: u64, of: u64) -> End {
    let some = |sums: &BTreeMap<String, u64>| {
        let some = sums.iter().map(|(k, n)| (k.clone(), n * nth / of));
        some.collect::<BTreeMap<_, _>>()
    };
    let cost = total.cost.iter();
    End {
        ts_ns: total.ts_ns - (of - nth),
        why: "rotated".to_owned(),
        counters: some(&total.counters),
        losses: some(&total.losses),
        cost: cost
            .map(|(k, (ns, runs))| (k.clone(), (ns * nth / of, runs * nth / of)))
            .collect(),
        kernel_printed: total.kernel_printed.map(|n| n * nth / of),
        clock: None,
        process: None,
    }
}

/// Whether a log may be cut before this record: those of a failure stay together.
fn begins_a_group(event: &Event) -> bool {
    matches!(
        event,
        Event::Failure(_) | Event::Holder(_) | Event::Mark(_) | Event::Loss(_)
    )
}

/// Writes a run in `parts` parts; returns their paths in order.
fn write(dir: &TempDir, name: &str, events: &[Event], parts: u64) -> Vec<PathBuf> {
    let path = dir.path().join(name);
    let mut log = RunLog::create(&path, None, PARTS).unwrap();
    let Some(Event::End(total)) = events.last() else {
        panic!("the log has no end");
    };
    let mut done = 1;
    for (at, event) in events.iter().enumerate() {
        let due = events.len() as u64 * done / parts;
        if done < parts && at as u64 >= due && begins_a_group(event) {
            let later = |start: &mut Start| start.clock.boot_ns += 1;
            log.turn(Turn::Rotate, &sums(total, done, parts), &later)
                .unwrap();
            done += 1;
        }
        log.append(event).unwrap();
    }
    log.finish().unwrap();
    assert_eq!(done, parts);
    let mut paths: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|found| *found != path)
        .collect();
    paths.sort();
    paths.push(path);
    assert_eq!(paths.len() as u64, parts);
    paths
}

fn without_sums_of_parts(summary: &Value) -> Value {
    let mut summary = summary.clone();
    let fields = summary.as_object_mut().unwrap();
    // The wall clock's part in it: parts begin later than the run.
    fields.remove("duration_ns");
    summary
}

#[test]
fn parts_together_say_what_one_log_says() {
    for log in fixtures() {
        let events = events(&log);
        let whole = report(std::slice::from_ref(&log));
        for parts in [2, 5] {
            let dir = tempfile::tempdir().unwrap();
            let paths = write(&dir, "log.jsonl.zst", &events, parts);
            let joined = report(&paths);
            let name = format!("{} in {parts} parts", log.display());
            assert!(verdicts(&whole) == verdicts(&joined), "{name}");
            assert_eq!(
                without_sums_of_parts(whole.last().unwrap()),
                without_sums_of_parts(joined.last().unwrap()),
                "{name}"
            );
            // Nothing comes twice.
            let count =
                |records: &[Value]| records.iter().filter(|r| r["type"] == "holder").count();
            assert_eq!(count(&whole), count(&joined), "{name}");
        }
    }
}

#[test]
fn each_part_is_a_whole_log() {
    for log in fixtures() {
        let dir = tempfile::tempdir().unwrap();
        let paths = write(&dir, "log.jsonl", &events(&log), 4);
        let mut failures = 0;
        let mut writes = 0;
        for (path, number) in paths.iter().zip(1..) {
            let events = events(path);
            let (Some(Event::Start(start)), Some(Event::End(end))) =
                (events.first(), events.last())
            else {
                panic!("{}", path.display());
            };
            assert_eq!(start.part.map_or(1, |part| part.number), number);
            assert_eq!(end.why == "rotated", number < 4);
            writes += end.counters.get("dio.writes").copied().unwrap_or(0);
            let records = report(std::slice::from_ref(path));
            let summary = records.last().unwrap();
            assert_eq!(
                (&summary["runs"], &summary["unended"]),
                (&1.into(), &0.into())
            );
            failures += verdicts(&records).len();
        }
        let whole = report(std::slice::from_ref(&log));
        assert_eq!(failures, verdicts(&whole).len(), "{}", log.display());
        assert_eq!(whole.last().unwrap()["direct_writes"], writes);
    }
}

#[test]
fn a_part_that_is_missing_is_no_continuation() {
    let log = fixtures().remove(0);
    let dir = tempfile::tempdir().unwrap();
    let mut paths = write(&dir, "log.jsonl", &events(&log), 4);
    paths.remove(1);
    let records = report(&paths);
    let summary = records.last().unwrap();
    // The first part, and what follows the gap.
    assert_eq!(
        (&summary["runs"], &summary["unended"]),
        (&2.into(), &0.into())
    );
    assert!(summary.get("hosts").is_none(), "they are of one host");
}

#[test]
fn a_log_that_is_there_becomes_a_part_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    let rotation = Rotation {
        keep: Some(2),
        ..PARTS
    };
    let events = events(&fixtures()[0]);
    for run in 1..=4_u64 {
        let mut log = RunLog::create(&path, None, rotation).unwrap();
        assert_eq!(log.news().len(), usize::from(run > 1));
        log.append(&events[0]).unwrap();
        log.append(events.last().unwrap()).unwrap();
        log.finish().unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["log.000002.jsonl", "log.000003.jsonl", "log.jsonl"]);
}

#[test]
fn a_log_that_was_renamed_is_opened_anew_and_no_other_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    let all = events(&fixtures()[0]);
    let mut log = RunLog::create(&path, None, Rotation::default()).unwrap();
    log.append(&all[0]).unwrap();
    let end = |ts_ns| End {
        ts_ns,
        why: "rotated".to_owned(),
        ..End::default()
    };
    let later = |_: &mut Start| {};
    log.turn(Turn::Reopen, &end(1), &later).unwrap();
    let news = log.news();
    assert!(news[0].contains("has not been renamed"), "{news:?}");
    // Somebody else's file has taken the name.
    fs::rename(&path, dir.path().join("log.1")).unwrap();
    fs::write(&path, "precious").unwrap();
    log.turn(Turn::Reopen, &end(2), &later).unwrap();
    let news = log.news();
    assert!(news[0].contains("it goes on in the old one"), "{news:?}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    // Now it is free.
    fs::remove_file(&path).unwrap();
    log.turn(Turn::Reopen, &end(3), &later).unwrap();
    log.append(all.last().unwrap()).unwrap();
    log.finish().unwrap();
    let paths = [dir.path().join("log.1"), path];
    for path in &paths {
        assert_eq!(events(path).len(), 2);
    }
    let records = report(&paths);
    assert_eq!(records.last().unwrap()["runs"], 1);
}

#[test]
fn links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    fs::write(&target, "precious").unwrap();
    fs::hard_link(&target, &link).unwrap();
    for rotation in [Rotation::default(), PARTS] {
        let error = RunLog::create(&link, None, rotation).err();
        if let Some(error) = &error {
            let error = error.to_string();
            assert!(error.contains("hard link"), "{error}");
        }
        // With rotation the name is put aside, and the file has its contents.
        assert_eq!(error.is_none(), rotation.size.is_some());
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let error = RunLog::create(&link, None, PARTS).err().unwrap();
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    let error = RunLog::create(Path::new("/dev/null"), None, PARTS)
        .err()
        .unwrap();
    assert!(error.to_string().contains("no regular file"), "{error}");
    RunLog::create(Path::new("/dev/null"), None, Rotation::default()).unwrap();
}
