//! Who and which file, where that is hard.

use crate::harness::{Fs, Image, Log, Repro, Tracer, boot_ns, sleep_ms, traced};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

const MS: u64 = 1_000_000;

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_writer_is_a_thread() {
    let image = Image::new(Fs::Xfs);
    let (run, truth) = traced(
        &[&"--format", &"json"],
        &[
            &"mmap",
            &"--dir",
            &image.mnt(),
            &"--seconds",
            &"1",
            &"--direct-threads",
            &"3",
        ],
    );
    let log = run.log();
    let mut seen = std::collections::BTreeSet::new();
    for found in log.found() {
        assert_eq!(found.number("pid"), truth.pid());
        assert_ne!(found.number("tid"), found.number("pid"));
        assert_eq!(found.text("comm"), Some("repro-direct"));
        assert!(found.failure["worker"].is_null());
        seen.insert(found.number("tid"));
    }
    assert_eq!(
        seen,
        truth.tids("direct-writer"),
        "all three collide within a second"
    );
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn offsets_beyond_4_gib_are_whole() {
    let image = Image::new(Fs::Xfs);
    let (run, truth) = traced(
        &[&"--format", &"json"],
        &[
            &"mmap",
            &"--dir",
            &image.mnt(),
            &"--seconds",
            &"1",
            &"--offset",
            &"5G",
        ],
    );
    let log = run.log();
    assert!(log.found().len() > 10);
    let (pos, len) = (
        truth.0["range"]["pos"].as_u64().unwrap(),
        truth.0["range"]["len"].as_u64().unwrap(),
    );
    assert_eq!(pos, 5 << 30);
    for found in log.found() {
        assert!(
            found.number("pos") >= pos && found.number("pos") + found.number("len") <= pos + len
        );
        assert_eq!(found.number("len"), 16 << 10);
        assert_eq!(found.number("size"), pos + len);
    }
    for refusal in log.of("refusal") {
        let first = refusal["index"].as_u64().unwrap() * 4096;
        assert!(
            first + refusal["pages"].as_u64().unwrap() * 4096 > pos,
            "{refusal}"
        );
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn names_of_any_bytes_are_kept() {
    let image = Image::new(Fs::Ext4);
    let names: [&[u8]; 5] = [
        b"two words",
        b"new\nline\ttab",
        "na\u{ef}ve \u{540d}\u{524d}".as_bytes(),
        b"not \xff\xfe UTF-8",
        b"back\\slash (deleted)",
    ];
    let json = Tracer::start(&[&"trace", &"--format", &"json", &"--dev", &image.dev()]);
    let truths = names.map(|name| {
        let name = OsStr::from_bytes(name);
        Repro::start(&[
            &"mmap",
            &"--dir",
            &image.mnt(),
            &"--seconds",
            &"0.6",
            &"--name",
            &name,
        ])
        .wait()
    });
    let log = json.stop().log();
    for (truth, name) in truths.iter().zip(names) {
        let found: Vec<_> = log
            .found()
            .into_iter()
            .filter(|f| f.number("pid") == truth.pid())
            .collect();
        assert!(found.len() > 5, "{} failures on {name:?}", found.len());
        for found in found {
            assert_eq!(found.text("path"), Some(truth.path()), "{}", found.failure);
            assert_eq!(
                found.has("path-escaped"),
                truth.0["file"]["path_escaped"] == true
            );
            assert!(!found.has("unlinked"), "{}", found.failure);
        }
    }
    assert!(
        truths[1].path().ends_with("/new\nline\ttab"),
        "{}",
        truths[1].path()
    );
    assert!(
        truths[3].path().ends_with(r"/not \xff\xfe UTF-8"),
        "{}",
        truths[3].path()
    );
}

/// In the table such names can neither break rows nor reach the terminal.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_table_keeps_rows_whole_whatever_the_name() {
    let image = Image::new(Fs::Ext4);
    let name = OsStr::from_bytes(b"a\nb\x1b[31m\xff");
    let (run, _) = traced(
        &[&"--format", &"table"],
        &[
            &"mmap",
            &"--dir",
            &image.mnt(),
            &"--seconds",
            &"0.7",
            &"--name",
            &name,
        ],
    );
    let rows = run.text();
    let mut lines = rows.lines();
    assert!(lines.next().unwrap().starts_with("time (UTC)"), "{rows}");
    let mut count = 0;
    for line in lines {
        assert!(
            line.starts_with(|c: char| c.is_ascii_digit() || c == ' '),
            "a torn row: {line:?}"
        );
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        assert!(line.chars().count() <= 80, "longer than 80 columns: {line}");
        count += 1;
    }
    assert!(count > 10, "{rows}");
    assert!(!run.stderr.contains('\x1b'), "{:?}", run.stderr);
}

/// Failures between two moments.
fn between<'a>(log: &'a Log, from: u64, to: u64) -> Vec<crate::harness::Found<'a>> {
    let mut found = log.found();
    found.retain(|f| (from..to).contains(&f.number("ts_ns")));
    assert!(found.len() > 5, "{} failures in that time", found.len());
    found
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_file_is_renamed_and_unlinked_meanwhile() {
    let image = Image::new(Fs::Xfs);
    let (old, new) = (image.mnt().join("old"), image.mnt().join("new"));
    let tracer = Tracer::start(&[&"trace", &"--format", &"json", &"--dev", &image.dev()]);
    let began = boot_ns();
    let repro = Repro::start(&[
        &"mmap",
        &"--dir",
        &image.mnt(),
        &"--seconds",
        &"4",
        &"--name",
        &"old",
    ]);
    sleep_ms(1300);
    let before = boot_ns();
    std::fs::rename(&old, &new).unwrap();
    let renamed = boot_ns();
    sleep_ms(1000);
    std::fs::remove_file(&new).unwrap();
    let unlinked = boot_ns();
    let truth = repro.wait();
    let log = tracer.stop().log();
    assert!(log.found().iter().all(|f| f.number("ino") == truth.ino()));
    // A path is looked up when the record is read, a tenth of a second later at most when nothing
    // else keeps the tracer.
    for found in between(&log, began, before - 500 * MS) {
        assert_eq!(found.text("path"), old.to_str(), "{}", found.failure);
    }
    // A path that was read a moment ago is not read again.
    for found in between(&log, renamed + 50 * MS, unlinked - 500 * MS) {
        assert_eq!(found.text("path"), new.to_str(), "{}", found.failure);
        assert!(!found.has("unlinked"));
    }
    for found in between(&log, unlinked + 50 * MS, u64::MAX) {
        assert_eq!(found.text("path"), new.to_str(), "{}", found.failure);
        assert!(found.has("unlinked"), "{}", found.failure);
    }
}

/// The tracer reads the last failures after the writer's death: what it learned before still holds.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_path_once_known_outlives_the_writer() {
    let image = Image::new(Fs::Ext4);
    let tracer = Tracer::start(&[&"trace", &"--format", &"json", &"--dev", &image.dev()]);
    let repro = Repro::start(&[
        &"mmap",
        &"--dir",
        &image.mnt(),
        &"--seconds",
        &"60",
        &"--name",
        &"f",
    ]);
    sleep_ms(700);
    tracer.signal(libc::SIGSTOP);
    sleep_ms(200);
    repro.kill();
    tracer.signal(libc::SIGCONT);
    let log = tracer.stop().log();
    let found = log.found();
    let unnamed = found.iter().filter(|f| f.text("path").is_none()).count();
    assert_eq!(
        unnamed,
        0,
        "of {} failures, on a file whose path was known",
        found.len()
    );
    assert!(found.len() > 20);
}
