//! `exec`: the command's status, its output, and whose failures count.

use crate::harness::{
    Arg, Busy, FAIL, Fs, Image, KernelTrace, Log, Repro, Tracer, direct_writer, dirtier, run,
};
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_exit_status_is_passed_on() {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
    ] {
        run(&[&"exec", &"--", &"sh", &"-c", &script]).expect(code);
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_command_that_is_not_there_is_one_line() {
    let finished = run(&[&"exec", &"--", &"no-such-command"]).expect(1);
    let said: Vec<_> = finished
        .stderr
        .lines()
        .filter(|l| l.contains("no-such-command"))
        .collect();
    assert_eq!(said.len(), 1, "{}", finished.stderr);
    assert!(
        said[0].contains("cannot be run: No such file or directory"),
        "{said:?}"
    );
    assert_eq!(
        finished.stderr.lines().last(),
        Some(said[0]),
        "it is the last line"
    );
    assert!(finished.stdout.is_empty());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_commands_output_is_its_own() {
    let finished = run(&[&"exec", &"--", &"printf", &r"a\000b\nc"]).expect(0);
    assert_eq!(finished.stdout, b"a\0b\nc");
    assert!(
        finished.stderr.contains("No failed invalidation"),
        "{}",
        finished.stderr
    );
}

/// Terminates `exec -- sleep 60` after a while; it must pass that on.
fn terminates_its_command(options: &[Arg<'_>], after: Duration) {
    let mut args: Vec<Arg<'_>> = vec![&"exec"];
    args.extend(options);
    let command: [Arg<'_>; 3] = [&"--", &"sleep", &"60"];
    args.extend(command);
    let tracer = Tracer::start(&args);
    let began = Instant::now();
    std::thread::sleep(after);
    tracer.signal(libc::SIGTERM);
    let finished = tracer.wait().expect(128 + 15);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(
        finished.stderr.contains("No record was lost"),
        "{}",
        finished.stderr
    );
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_terminated_exec_terminates_its_command() {
    // The command starts just after the programs are attached.
    terminates_its_command(&[], Duration::from_millis(300));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_command_that_outlives_the_tracing_is_terminated_as_well() {
    terminates_its_command(&[&"--duration", &"0.2"], Duration::from_secs(2));
}

/// The test's own process collides on `path`.
fn collide(path: &Path) -> [Busy; 2] {
    std::fs::write(path, vec![1; 1 << 20]).unwrap();
    std::fs::File::open(path).unwrap().sync_all().unwrap();
    [dirtier(path), direct_writer(path)]
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn everyone_on_the_commands_files_is_traced_and_nobody_else() {
    let image = Image::new(Fs::Xfs);
    let (shared, foreign) = (image.mnt().join("shared"), image.mnt().join("foreign"));
    let _collisions = [collide(&shared), collide(&foreign)];
    let elsewhere = Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"30"]);
    let kernel = KernelTrace::start(image.dev(), &[FAIL]);
    // A command that writes to one of the files, by a child of its own.
    let script = r#"for i in 1 2 3 4 5 6 7 8 9 10; do
        dd if=/dev/zero of="$0" bs=4k count=64 conv=notrunc status=none; sleep 0.1; done"#;
    let finished = run(&[
        &"exec",
        &"--format",
        &"json",
        &"--",
        &"sh",
        &"-c",
        &script,
        &shared,
    ])
    .expect(0);
    let hits = kernel.stop();
    let log: Log = finished.log();
    drop(elsewhere.stop());
    let found = log.found();
    assert!(found.len() > 20, "{} failures", found.len());
    for found in &found {
        assert_eq!(found.text("path"), shared.to_str(), "{}", found.failure);
        assert_eq!(
            found.number("pid"),
            u64::from(std::process::id()),
            "{}",
            found.failure
        );
    }
    let inos: std::collections::BTreeSet<_> = hits.iter().map(|hit| hit.ino).collect();
    assert_eq!(inos.len(), 3, "all three files collided meanwhile");
    log.assert_no_losses();
}

/// A command that outlives `--duration` runs on, untraced: the programs must not go on filling a ring
/// buffer that nobody reads, and what came later is not part of the run.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_duration_ends_the_tracing_not_the_command() {
    let image = Image::new(Fs::Ext4);
    let began = Instant::now();
    let (finished, truth) = crate::harness::traced(
        &[&"--format", &"json", &"--duration", &"1"],
        &[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"3"],
    );
    assert!(began.elapsed() >= Duration::from_secs(3) && truth.0["interrupted"] == false);
    let log = finished.log();
    log.assert_no_losses();
    let end = log.of("end").next().unwrap();
    assert_eq!(end["why"], "duration");
    let traced_ns = log.summary()["duration_ns"].as_u64().unwrap();
    assert!(
        (900_000_000..2_000_000_000).contains(&traced_ns),
        "{traced_ns} ns"
    );
    let start = log.of("start").next().unwrap()["clock"]["boot_ns"]
        .as_u64()
        .unwrap();
    assert!(
        log.found()
            .iter()
            .all(|f| f.number("ts_ns") <= start + 2_000_000_000)
    );
}
