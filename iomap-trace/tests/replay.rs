//! Logs from end to end: recorded, cut, killed, on a full disk, and reported.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

#[path = "replay/events.rs"]
mod events;
#[path = "replay/recorded.rs"]
mod recorded;

use clap::Parser;
use events::{failure, run, run_of_fexit, start};
use iomap_trace::cli::report;
use iomap_trace::event::{Event, Phase};
use iomap_trace::log::{Ending, Reader, Writer};
use iomap_trace::report::{Format, replay};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TABLE: Format = Format::Table { width: 80 };

/// Keeps a log of `events`, in many frames.
fn record(path: &Path, events: &[Event]) {
    let mut writer = Writer::create(path).unwrap();
    for (n, event) in events.iter().enumerate() {
        writer.append(event).unwrap();
        if n % 9 == 8 {
            writer.flush().unwrap();
        }
    }
    writer.finish().unwrap();
}

/// Standard output, standard error and the result of a report.
fn report_of(logs: &[PathBuf], format: Format) -> (String, String, anyhow::Result<()>) {
    let (mut out, mut status) = (Vec::new(), Vec::new());
    let result = replay(logs, format, &mut out, &mut status);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(status), result)
}

/// The arguments of `report`, as the command line has them.
#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    report: report::Args,
}

fn cli(args: &[&str]) -> anyhow::Result<()> {
    let cli = Cli::try_parse_from([&["report"], args].concat())?;
    report::run(&cli.report).map(drop)
}

#[test]
fn a_report_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["run.jsonl", "run.jsonl.zst"] {
        let log = dir.path().join(name);
        record(&log, &run());
        let (out, status, result) = report_of(&[log], TABLE);
        result.unwrap();
        assert_eq!(status, "");
        insta::assert_snapshot!("a_report_of_a_run", out);
    }
}

#[test]
fn a_report_of_a_run_that_saw_functions() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.jsonl");
    record(&log, &run_of_fexit());
    let (out, _, result) = report_of(std::slice::from_ref(&log), TABLE);
    result.unwrap();
    insta::assert_snapshot!(out);
    let (out, _, result) = report_of(&[log], Format::Json);
    result.unwrap();
    let records = out.lines().map(|l| serde_json::from_str(l).unwrap());
    let verdicts: Vec<Value> = records.filter(|r: &Value| r["type"] == "verdict").collect();
    let said = |v: &Value| {
        let of = |key: &str| v[key].as_str().unwrap_or("-").to_owned();
        let own = v["self_inflicted"].as_bool().unwrap();
        (
            v["failure"].as_u64().unwrap(),
            of("cause"),
            of("confidence"),
            own,
            of("witness"),
        )
    };
    let mut verdicts: Vec<_> = verdicts.iter().map(said).collect();
    verdicts.sort();
    let expected = [
        (1, "ordered-io", "exact", true, "-"),
        (2, "extent-lock", "exact", false, "-"),
        (3, "unknown", "none", false, "-"),
        (4, "redirtied", "exact", false, "-"),
        (5, "redirtied", "exact", false, "result"),
        (6, "unknown", "none", false, "warned"),
    ];
    let expected = expected.map(|(id, cause, sure, own, witness)| {
        (
            id,
            cause.to_owned(),
            sure.to_owned(),
            own,
            witness.to_owned(),
        )
    });
    assert_eq!(verdicts, expected);
}

#[test]
fn json_is_the_log_with_verdicts_and_the_summary_last() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.jsonl");
    record(&log, &run());
    let (out, _, result) = report_of(std::slice::from_ref(&log), Format::Json);
    result.unwrap();
    let records: Vec<Value> = out
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let (verdicts, rest): (Vec<_>, Vec<_>) = out
        .lines()
        .partition(|line| line.starts_with(r#"{"type":"verdict","failure":"#));
    assert_eq!(verdicts.len(), 15);
    let (summary, rest) = rest.split_last().unwrap();
    assert_eq!(rest.join("\n") + "\n", fs::read_to_string(&log).unwrap());
    let summary: Value = serde_json::from_str(summary).unwrap();
    assert_eq!(
        summary["failures"],
        serde_json::json!({"pre": 12, "map": 0, "post": 3})
    );
    assert_eq!(summary["kernel_would_have_printed"], 3);
    assert_eq!(records.last().unwrap()["type"], "summary");

    // That output is a log as well.
    let again = dir.path().join("again.jsonl");
    fs::write(&again, &out).unwrap();
    assert_eq!(report_of(&[again], Format::Json).0, out);
}

#[test]
fn a_cut_log_says_so_and_gives_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.jsonl");
    record(&log, &run());
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 20]).unwrap();
    let (out, status, result) = report_of(std::slice::from_ref(&log), TABLE);
    result.unwrap();
    assert!(out.contains("15 failed invalidations"), "{out}");
    assert!(
        out.contains("1 run without an end: what was lost there is not known."),
        "{out}"
    );
    assert_eq!(status.lines().count(), 1);
    assert!(
        status.contains("the log's tail is missing (its last "),
        "{status}"
    );
}

#[test]
fn damage_in_the_middle_is_an_error_after_what_could_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.jsonl");
    record(&log, &run());
    let mut lines: Vec<_> = fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    lines[9] = lines[9][..30].to_owned();
    fs::write(&log, lines.join("\n")).unwrap();
    let (out, _, result) = report_of(&[log], TABLE);
    let error = result.unwrap_err().to_string();
    assert!(
        error.ends_with("line 10 is damaged: the events before it are valid"),
        "{error}"
    );
    assert!(out.contains("2 failed invalidations"), "{out}");
}

#[test]
fn several_logs_have_one_summary() {
    let dir = tempfile::tempdir().unwrap();
    let logs = ["a.jsonl", "b.jsonl.zst"].map(|name| dir.path().join(name));
    for log in &logs {
        record(log, &run());
    }
    let (out, _, result) = report_of(&logs, TABLE);
    result.unwrap();
    assert_eq!(out.matches("time (UTC)").count(), 1);
    assert_eq!(out.matches("<- mapper/200 dirtied").count(), 30);
    assert!(out.contains("30 failed invalidations, in 40s"), "{out}");
}

#[test]
fn the_command_line_of_report() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.jsonl");
    let log = log.to_str().unwrap();
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    record(Path::new(log), &run());

    cli(&[log, "-o", out]).unwrap();
    assert_eq!(
        fs::read_to_string(out).unwrap(),
        report_of(&[log.into()], TABLE).0
    );
    cli(&[log, "--format", "json", "--output", out]).unwrap();
    assert_eq!(
        fs::read_to_string(out).unwrap(),
        report_of(&[log.into()], Format::Json).0
    );

    let before = fs::read(log).unwrap();
    let error = cli(&[log, "-o", log]).unwrap_err().to_string();
    assert!(
        error.ends_with("is also a log to read: choose another file with -o"),
        "{error}"
    );
    assert_eq!(fs::read(log).unwrap(), before);

    let error = format!("{:#}", cli(&[log, "-o", "/dev/full"]).unwrap_err());
    assert!(
        error.starts_with("the report cannot be written: No space left"),
        "{error}"
    );
    let error = cli(&["/etc/hostname", "-o", out]).unwrap_err().to_string();
    assert!(error.contains("/etc/hostname"), "{error}");
    assert!(!error.contains('\n'), "{error}");
    assert!(cli(&[]).is_err());
    assert!(cli(&[log, "--format", "xml"]).is_err());
}

/// Runs in a child of the next test: records for ever, and tells after each flush how much.
#[test]
#[ignore = "a part of `a_killed_recorder_loses_only_the_last_flush`"]
fn recorder() {
    let mut writer = Writer::create(Path::new(&std::env::var("LOG").unwrap())).unwrap();
    writer.append(&start()).unwrap();
    for id in 1.. {
        for event in failure(id, Phase::Pre) {
            writer.append(&event).unwrap();
        }
        if id % 50 == 0 {
            writer.flush().unwrap();
            eprintln!("flushed {}", writer.records());
        }
    }
}

#[test]
fn a_killed_recorder_loses_only_the_last_flush() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["killed.jsonl", "killed.jsonl.zst"] {
        let log = dir.path().join(name);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "recorder", "--ignored", "--nocapture"])
            .env("LOG", &log)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut flushed = 0;
        for line in told.by_ref().map(Result::unwrap).take(60) {
            flushed = line.strip_prefix("flushed ").unwrap().parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in told.map(Result::unwrap) {
            flushed = line
                .strip_prefix("flushed ")
                .map_or(flushed, |n| n.parse().unwrap());
        }
        let mut reader = Reader::open(&log).unwrap();
        let read = reader.by_ref().map(Result::unwrap).count();
        assert!(read >= flushed, "{read} records of {flushed}");
        assert!(read <= flushed + 200, "{read} records of {flushed}");
        assert_ne!(reader.ending(), Ending::Complete);
        let (out, status, result) = report_of(&[log], TABLE);
        result.unwrap();
        assert!(status.contains("the log's tail is missing"), "{status}");
        assert!(out.contains("1 run without an end"), "{out}");
    }
}

/// A small filesystem of its own, if this is root.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn new(at: &Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", size, "iomap-trace-test"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_log_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let Some(tmpfs) = Tmpfs::new(dir.path(), "size=64k") else {
        // Not root. The unit tests do it with a disk of their own.
        let _ = writeln!(std::io::stderr(), "cannot mount a tmpfs: not tested here");
        return;
    };
    for name in ["x.jsonl", "x.jsonl.zst"] {
        let log = dir.path().join(name);
        let mut writer = Writer::create(&log).unwrap();
        writer.append(&start()).unwrap();
        let mut errors = Vec::new();
        for id in 1..=8000 {
            for event in failure(id, Phase::Pre) {
                errors.extend(writer.append(&event).err());
            }
            if id % 20 == 0 {
                errors.extend(writer.flush().err());
            }
        }
        errors.extend(writer.finish().err());
        assert_eq!(errors.len(), 1, "{name}");
        let error = errors[0].to_string();
        assert!(
            error.contains("no space left on device: recording stopped after "),
            "{error}"
        );
        assert_eq!(writer.records() + writer.dropped(), 1 + 4 * 8000);
        let mut reader = Reader::open(&log).unwrap();
        let read = reader.by_ref().map(Result::unwrap).count();
        assert_eq!(
            (read as u64, reader.ending()),
            (writer.records(), Ending::NoEnd)
        );
        fs::remove_file(&log).unwrap();
    }
    drop(tmpfs);
}

/// Exit code, standard output and standard error of the program.
fn program(args: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_iomap-trace"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input closes it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_program_s_exit_codes_and_streams() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.jsonl");
    record(&log, &run());
    let bytes = fs::read(&log).unwrap();
    let log = log.to_str().unwrap();

    let (code, out, err) = program(&["report", log], b"");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out, report_of(&[log.into()], TABLE).0);

    // From standard input, cut: data on one stream, the warning on the other.
    let (code, out, err) = program(&["report", "-", "--format=json"], &bytes[..bytes.len() - 9]);
    assert_eq!(code, Some(0));
    assert!(
        out.ends_with("}\n") && out.contains(r#""unended":1"#),
        "{out}"
    );
    assert!(
        err.contains("standard input: the log's tail is missing"),
        "{err}"
    );

    for (args, input, words) in [
        (
            ["report", "-"],
            &b"no log\n"[..],
            "standard input is not an iomap-trace event log",
        ),
        (
            ["report", "/no/such/log"],
            b"",
            "/no/such/log cannot be read: no such file or directory",
        ),
        (
            ["report", "-"],
            &bytes[..30],
            "standard input: the log is cut inside its first record",
        ),
    ] {
        let (code, out, err) = program(&args, input);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.contains(words), "{err}");
    }
    assert_eq!(program(&["report"], b"").0, Some(2));
    assert_eq!(program(&["report", log, "--format", "xml"], b"").0, Some(2));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("run.jsonl");
    let mut events = run();
    let end = events.pop().unwrap();
    events.extend((16..3000).flat_map(|id| failure(id, Phase::Pre)));
    events.push(end);
    record(&log, &events);
    let mut child = Command::new(env!("CARGO_BIN_EXE_iomap-trace"))
        .args(["report", log.to_str().unwrap(), "--format=json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert!(first.starts_with(r#"{"type":"start""#), "{first}");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}
