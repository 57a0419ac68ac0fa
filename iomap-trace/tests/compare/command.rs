//! `iomap-trace compare`, as it is called.

use crate::harness::{Arg, Finished, Fs, Image, Tracer, bin, run};
use serde_json::Value;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

fn compare(image: &Image, args: &[Arg<'_>]) -> Finished {
    let mnt = image.mnt();
    let mut all: Vec<Arg<'_>> = vec![&"compare", &"--dir", &mnt];
    all.extend(args);
    run(&all)
}

fn json(finished: &Finished) -> Value {
    serde_json::from_slice(&finished.stdout).unwrap()
}

fn column<'a>(comparison: &'a Value, name: &str) -> &'a Value {
    let columns = comparison["columns"].as_array().unwrap();
    columns.iter().find(|c| c["column"] == name).unwrap()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_kernel_is_traced_and_named_by_its_policy() {
    let image = Image::new(Fs::Xfs);
    let args: [Arg<'_>; 8] = [
        &"--json",
        &"--seconds",
        &"3",
        &"--mmap-writers",
        &"2",
        &"--file-size",
        &"512K",
        &"--policies=kernel,enotblk",
    ];
    let comparison = json(&compare(&image, &args).expect(0));
    let traced = &column(&comparison, "kernel")["traced"];
    let number = |name: &str| traced[name].as_u64().unwrap();
    assert!(number("pre") > 0, "{traced}");
    assert!(traced["lost"].is_u64(), "losses are told: {traced}");
    assert_eq!(traced["outlook"]["warn"]["stale_risk"], traced["pre"]);
    assert_eq!(traced["outlook"]["strict"]["errors"], traced["pre"]);
    let alike = traced["behaves_as"].as_array().unwrap();
    assert!(alike.contains(&"enotblk".into()), "{traced}");
    assert!(!alike.contains(&"warn".into()), "{traced}");
    let reference = &column(&comparison, "enotblk")["direct"];
    assert!(reference["writes"].as_u64().unwrap() > 0);
    assert!(reference["latency"]["p99_ns"].as_u64() >= reference["latency"]["p50_ns"].as_u64());
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn without_privileges_the_kernel_is_a_question_mark() {
    let image = Image::new(Fs::Ext4);
    // Nothing but what the files take: no BPF, no perf events, and no way to get them back.
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--bounding-set", "-all", "--inh-caps", "-all"]);
    setpriv.arg(bin()).args(["compare", "--ops", "20", "--dir"]);
    let output = setpriv.arg(image.mnt()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let row = text.lines().find(|l| l.starts_with("page in the way"));
    let cells: Vec<_> = row.unwrap().split_whitespace().collect();
    assert_eq!(cells[5], "?", "{text}");
    assert!(text.contains("kernel: not traced: "), "{text}");
    assert!(text.lines().all(|l| l.chars().count() <= 80), "{text}");
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_schedule_is_kept_and_replayed() {
    let image = Image::new(Fs::Xfs);
    let kept = image.beside("kept.json");
    let first: [Arg<'_>; 8] = [
        &"--json",
        &"--no-trace",
        &"--serial",
        &"--ops=30",
        &"--seed=9",
        &"--policies=kernel,generic",
        &"--save-schedule",
        &kept,
    ];
    let first = json(&compare(&image, &first).expect(0));
    let again: [Arg<'_>; 5] = [
        &"--json",
        &"--no-trace",
        &"--policies=kernel,generic",
        &"--schedule",
        &kept,
    ];
    let again = json(&compare(&image, &again).expect(0));
    for name in ["seed", "file_size", "serial", "threads"] {
        assert_eq!(first[name], again[name], "{name}");
    }
    for name in ["kernel", "generic"] {
        let results = |of| column(of, name)["results"].clone();
        assert_eq!(results(&first), results(&again));
        assert!(results(&first).as_array().unwrap().len() > 30);
    }
    let left: Vec<_> = std::fs::read_dir(image.mnt()).unwrap().collect();
    assert!(left.is_empty(), "files stay behind: {left:?}");
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_is_no_schedule_is_one_line() {
    let image = Image::new(Fs::Ext4);
    let bad = image.beside("bad.json");
    for (text, said) in [
        ("", "EOF while parsing"),
        ("{\"schema\":7}", "schema 7 is not known"),
        ("{\"schema\":1}", "missing field"),
    ] {
        std::fs::write(&bad, text).unwrap();
        let finished = compare(&image, &[&"--schedule", &bad]).expect(1);
        let stderr = finished.stderr.trim_end();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(
            stderr.contains(said) && stderr.contains("bad.json"),
            "{stderr}"
        );
    }
    compare(&image, &[&"--block", &"100"]).expect(2);
}

/// Somebody else writes to the file: what is on disk then is nobody's, and the command must say so.
#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_broken_invariant_is_an_error_with_a_schedule_to_replay() {
    let image = Image::new(Fs::Ext4);
    let kept = image.beside("failing.json");
    let mnt = image.mnt();
    let args: [Arg<'_>; 12] = [
        &"compare",
        &"--dir",
        &mnt,
        &"--no-trace",
        &"--policies=kernel",
        &"--ops=400",
        &"--mmap-writers=0",
        &"--buffered-readers=0",
        &"--buffered-writers=1",
        &"--direct-writers=1",
        &"--save-failing",
        &kept,
    ];
    let spoiled = Tracer::spawn(&args, &[]);
    let file = mnt.join(format!("iomap-trace-compare-{}-kernel.dat", spoiled.pid()));
    let ended = AtomicBool::new(false);
    let finished = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                if let Ok(file) = OpenOptions::new().write(true).open(&file) {
                    // It may be gone, or not yet as long.
                    let _ = file.write_all_at(&[0; 4096], 65536);
                }
            }
        });
        let finished = spoiled.wait();
        ended.store(true, Ordering::Relaxed);
        finished
    });
    let finished = finished.expect(1);
    let text = finished.text();
    assert!(text.contains("INVARIANTS BROKEN"), "{text}");
    assert!(text.contains("kernel: foreign ("), "{text}");
    assert!(text.contains("nobody's write"), "{text}");
    let replay = format!("--schedule {} --policies kernel", kept.display());
    assert!(finished.stderr.contains(&replay), "{}", finished.stderr);
    let smaller = std::fs::read_to_string(&kept).unwrap();
    assert!(smaller.lines().count() < 700, "it was not made smaller");
    // Left alone, it holds.
    let again: [Arg<'_>; 4] = [&"--no-trace", &"--policies=kernel", &"--schedule", &kept];
    assert_eq!(compare(&image, &again).status.code(), Some(0));
}
