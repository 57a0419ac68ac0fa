//! Logs: their replay, and what is left of them when the recorder is killed or the disk is full.

use crate::harness::{
    FAIL, Fs, Hit, Image, KernelTrace, Log, Mounted, Repro, Tracer, boot_ns, run, sleep_ms, traced,
    wait_until,
};
use std::path::Path;

const MS: u64 = 1_000_000;

/// Live and replay give the same bytes: verdicts, records and summary. Nothing may differ.
fn replays(fs: Fs, name: &str) {
    let image = Image::new(fs);
    let log = image.beside(name);
    let (live, _) = traced(
        &[&"--format", &"json", &"-o", &log],
        &[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"2"],
    );
    let replay = run(&[&"report", &"--format", &"json", &log]).expect(0);
    assert_eq!(replay.stderr, "");
    let lines = |bytes: &[u8], only: &str| -> Vec<String> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        // What each second costs is on standard output only.
        text.lines()
            .filter(|line| line.starts_with(only) && !line.starts_with(r#"{"type":"cost""#))
            .map(str::to_owned)
            .collect()
    };
    let verdicts = lines(&live.stdout, r#"{"type":"verdict""#);
    assert!(verdicts.len() > 50, "{} verdicts", verdicts.len());
    assert!(
        verdicts == lines(&replay.stdout, r#"{"type":"verdict""#),
        "verdicts differ"
    );
    let (live, replay) = (lines(&live.stdout, ""), lines(&replay.stdout, ""));
    for (live, replay) in live.iter().zip(&replay) {
        assert_eq!(live, replay);
    }
    assert_eq!(live.len(), replay.len());
    let first = std::fs::read(&log).unwrap()[0];
    assert_eq!(
        first == b'{',
        name.ends_with(".jsonl"),
        "compressed by its name"
    );
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_replay_is_byte_identical() {
    replays(Fs::Btrfs, "log.jsonl");
    replays(Fs::Xfs, "log.jsonl");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_replay_of_a_compressed_log_is_byte_identical() {
    replays(Fs::Btrfs, "log.jsonl.zst");
}

/// Runs `record`, kills it in the middle, and looks at what is left.
fn killed(name: &str) {
    let image = Image::new(Fs::Ext4);
    let log = image.beside(name);
    let kernel = KernelTrace::start(image.dev(), &[FAIL]);
    let record = Tracer::start(&[&"record", &"-o", &log, &"--dev", &image.dev()]);
    let repro = Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"30"]);
    sleep_ms(2000);
    let killed = boot_ns();
    record.signal(libc::SIGKILL);
    assert_eq!(record.wait().status.code(), None);
    drop(repro.stop());
    let hits = kernel.stop();
    let report = run(&[&"report", &"--format", &"json", &log]).expect(0);
    let kept = report.log();
    let pre = kept.phase("pre").len();
    let before = |ts_ns: u64| hits.iter().filter(|hit| hit.ts_ns <= ts_ns).count();
    let (least, most) = (before(killed - 500 * MS), before(killed + 100 * MS));
    eprintln!(
        "{name}: {pre} of {} failures kept, at least {least}",
        before(killed)
    );
    assert!(least > 50, "{least} failures are too few to tell anything");
    assert!(
        (least..=most).contains(&pre),
        "{pre} failures are not in {least}..={most}"
    );
    assert_eq!(kept.summary()["unended"], 1);
    let said: Vec<_> = report.stderr.lines().collect();
    assert_eq!(said.len(), 1, "one line says what is missing: {said:?}");
    assert!(
        said[0].contains(name) && said[0].contains("end"),
        "{said:?}"
    );
    // The table says the same, and ends as well.
    let table = run(&[&"report", &log]).expect(0);
    assert!(table.text().lines().count() > pre, "{}", table.text());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_killed_recorder_loses_the_last_flush_at_most() {
    killed("log.jsonl");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_killed_recorder_loses_the_last_compressed_frame_at_most() {
    killed("log.jsonl.zst");
}

/// Lines of standard error about the log.
fn complaints<'a>(stderr: &'a str, log: &Path) -> Vec<&'a str> {
    let name = log.to_str().unwrap();
    stderr
        .lines()
        .filter(|line| line.contains(name) || line.contains("No space"))
        .collect()
}

/// What a log on the full disk still has: readable, and a part of what the kernel counted.
fn kept_on_full_disk(log: &Path, hits: &[Hit]) {
    assert!(std::fs::metadata(log).unwrap().len() <= 64 << 10);
    let report = run(&[&"report", &"--format", &"json", &log]).expect(0);
    let kept = report.log().phase("pre").len();
    assert!(kept > 0 && kept < hits.len(), "{kept} of {}", hits.len());
    assert_eq!(report.stderr.lines().count(), 1, "{}", report.stderr);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_full_disk_is_one_line_and_tracing_goes_on() {
    let image = Image::new(Fs::Ext4);
    let small = image.beside("small");
    std::fs::create_dir(&small).unwrap();
    let _small = Mounted::new(
        &small,
        &["-t", "tmpfs", "-o", "size=64k"],
        Path::new("tmpfs"),
    );
    let log = small.join("log.jsonl");

    // `record`: one line, a whole summary, exit code 1.
    let kernel = KernelTrace::start(image.dev(), &[FAIL]);
    let record = Tracer::start(&[&"record", &"-o", &log, &"--dev", &image.dev()]);
    let repro = Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"1.5"]);
    wait_until("the line", || record.stderr().contains("recording stopped"));
    drop(repro.wait());
    record.signal(libc::SIGINT);
    let finished = record.wait().expect(1);
    let hits = kernel.stop();
    let said = complaints(&finished.stderr, &log);
    assert_eq!(said.len(), 1, "{}", finished.stderr);
    assert!(said[0].contains("no space left on device"), "{said:?}");
    let pre = finished.stderr.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("pre")).then(|| words.next().unwrap().replace(',', ""))
    });
    assert_eq!(pre, Some(hits.len().to_string()), "{}", finished.stderr);
    kept_on_full_disk(&log, &hits);
    std::fs::remove_file(&log).unwrap();

    // `exec`: its rows go on, and the exit code is the command's.
    let kernel = KernelTrace::start(image.dev(), &[FAIL]);
    let (run, _) = traced(
        &[&"--format", &"json", &"-o", &log],
        &[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"1"],
    );
    let hits = kernel.stop();
    assert_eq!(complaints(&run.stderr, &log).len(), 1, "{}", run.stderr);
    let live: Log = run.log();
    live.assert_no_losses();
    assert_eq!(live.phase("pre").len(), hits.len());
    kept_on_full_disk(&log, &hits);
}
