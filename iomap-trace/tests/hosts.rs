//! Logs of several hosts in one report.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use iomap_trace::event::Event;
use iomap_trace::log::{Reader, Writer};
use iomap_trace::report::{Format, replay};
use serde_json::Value;
use std::path::{Path, PathBuf};

const LOGS: [&str; 3] = [
    "5.10-btrfs-mmap-fexit.jsonl.zst",
    "6.1-xfs-mmap-fexit.jsonl.zst",
    "7.3-btrfs-lockers-fexit.jsonl.zst",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn report(logs: &[PathBuf], format: Format) -> String {
    let mut out = Vec::new();
    replay(logs, format, &mut out, &mut Vec::new()).unwrap();
    String::from_utf8(out).unwrap()
}

fn summary(logs: &[PathBuf]) -> Value {
    let out = report(logs, Format::Json);
    serde_json::from_str(out.lines().last().unwrap()).unwrap()
}

#[test]
fn a_column_for_each_host() {
    let logs = LOGS.map(fixture);
    insta::assert_snapshot!(report(&logs, Format::Summary { width: 80 }));
}

#[test]
fn many_hosts_fit_into_80_columns_and_rows_say_whose_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let logs: Vec<_> = (0..9)
        .map(|n| {
            let log = dir
                .path()
                .join(format!("a-rather-long-host-name-{n}\u{1b}[2J.jsonl"));
            other_boot(&fixture(LOGS[n % 3]), &log, &format!("boot{n}"));
            log
        })
        .collect();
    let text = report(&logs, Format::Table { width: 80 });
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for n in 0..9 {
        let name = format!("a-rather-long-host-name-{n}\\u{{1b}}[2J:");
        assert_eq!(
            text.lines().filter(|line| **line == name).count(),
            1,
            "{text}"
        );
    }
    assert_eq!(text.matches("all hosts").count(), 3);
    assert!(!text.replace('\n', "").contains(char::is_control));
}

#[test]
fn the_sums_of_hosts_are_the_sum() {
    let logs = LOGS.map(fixture);
    let all = summary(&logs);
    let hosts = all["hosts"].as_array().unwrap();
    assert_eq!(hosts.len(), 3);
    for (log, host) in logs.iter().zip(hosts) {
        let alone = summary(std::slice::from_ref(log));
        assert!(alone.get("hosts").is_none());
        for sums in [
            "failures",
            "causes",
            "outcomes",
            "direct_writes",
            "duration_ns",
            "losses",
            "kernel_printed",
            "kernel_would_have_printed",
            "self_inflicted",
        ] {
            assert_eq!(alone[sums], host[sums], "{sums} of {}", log.display());
        }
        let name = log.file_name().unwrap().to_str().unwrap();
        assert_eq!(host["host"], name.strip_suffix(".jsonl.zst").unwrap());
    }
    for phase in ["pre", "map", "post"] {
        let of = |sums: &Value| sums["failures"][phase].as_u64().unwrap();
        assert_eq!(of(&all), hosts.iter().map(of).sum::<u64>());
    }
}

/// The same file and the same processes on two machines are different ones.
#[test]
fn equal_numbers_on_two_hosts_are_two_files() {
    let dir = tempfile::tempdir().unwrap();
    let copies = ["a/log.jsonl", "b/log.jsonl"].map(|name| dir.path().join(name));
    for (n, copy) in copies.iter().enumerate() {
        std::fs::create_dir(copy.parent().unwrap()).unwrap();
        other_boot(&fixture(LOGS[0]), copy, &format!("{n}2345678-9abc"));
    }
    let (one, two) = (summary(&copies[..1]), summary(&copies));
    let len = |summary: &Value, list: &str| summary[list].as_array().unwrap().len();
    for list in ["files", "pairs"] {
        assert!(len(&one, list) > 0);
        assert_eq!(len(&two, list), 2 * len(&one, list), "{list}");
    }
    let hosts: Vec<_> = two["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| &h["host"])
        .collect();
    assert_eq!(hosts, ["log", "log (12345678)"]);
    // The logs of one boot are those of one host.
    let same = summary(&[copies[0].clone(), copies[0].clone()]);
    assert!(same.get("hosts").is_none());
    assert_eq!(len(&same, "files"), len(&one, "files"));
    assert!(same["files"][0].get("host").is_none());
}

/// Two logs with equal names of all files and tasks: every format says which host a failure is of.
#[test]
fn long_reports_name_the_host_of_each_failure() {
    let dir = tempfile::tempdir().unwrap();
    let logs = ["db1", "db2"].map(|name| dir.path().join(format!("{name}.jsonl.zst")));
    for (n, log) in logs.iter().enumerate() {
        other_boot(&fixture(LOGS[0]), log, &format!("boot-{n}"));
    }
    for format in [
        Format::Timeline { failure: None },
        Format::Timeline { failure: Some(1) },
    ] {
        let text = report(&logs, format);
        let heads: Vec<_> = text.lines().filter(|l| l.starts_with("Failure ")).collect();
        assert!(!heads.is_empty());
        for head in heads {
            assert!(head.contains(" on host db"), "{head}");
        }
    }
    let asked = report(&logs, Format::Timeline { failure: Some(1) });
    assert!(
        asked.contains("Failure 1 of run 1 on host db1, "),
        "{asked}"
    );
    assert!(
        asked.contains("Failure 1 of run 2 on host db2, "),
        "{asked}"
    );
    for format in [Format::Markdown, Format::Html] {
        let text = report(&logs, format);
        let code = match format {
            Format::Html => ["<code>db1</code>", "<code>db2</code>"],
            _ => ["`db1`", "`db2`"],
        };
        for host in code {
            // A run, files, writers; and a row of the hosts.
            let said = text.matches(&format!(" on {host}")).count();
            assert!(said >= 3, "{said} times {host}: {text}");
        }
        assert!(text.contains("Hosts"), "{text}");
        assert!(text.contains(" on host db1, "), "{text}");
    }
    let trace: Value = serde_json::from_str(&report(&logs, Format::Perfetto)).unwrap();
    let processes = trace["traceEvents"].as_array().unwrap().iter();
    let processes: Vec<_> = processes
        .filter(|event| event["name"] == "process_name")
        .map(|event| event["args"]["name"].as_str().unwrap())
        .collect();
    for host in ["db1", "db2"] {
        assert!(
            processes.contains(&format!("files on {host}").as_str()),
            "{processes:?}"
        );
    }
    let named = |name: &&str| name.ends_with(" on db1") || name.ends_with(" on db2");
    assert!(processes.iter().all(named), "{processes:?}");
}

/// The parts of one host's log are no hosts.
#[test]
fn one_host_has_no_name() {
    let logs = [fixture(LOGS[0]), fixture(LOGS[0])];
    for format in [
        Format::Timeline { failure: Some(1) },
        Format::Markdown,
        Format::Html,
    ] {
        let text = report(&logs, format);
        assert!(
            !text.contains(" on host ") && !text.contains("# Hosts") && !text.contains(">Hosts<"),
            "{text}"
        );
        assert!(
            text.contains("Failure 1 of run 2, ")
                || format == Format::Markdown
                || format == Format::Html
        );
    }
}

fn other_boot(from: &Path, to: &Path, boot_id: &str) {
    let mut writer = Writer::create(to).unwrap();
    for event in Reader::open(from).unwrap() {
        let mut event = event.unwrap();
        if let Event::Start(start) = &mut event {
            boot_id.clone_into(&mut start.boot_id);
        }
        writer.append(&event).unwrap();
    }
    writer.finish().unwrap();
}
