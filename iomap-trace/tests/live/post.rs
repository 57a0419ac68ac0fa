//! Failures after completion, where the kernel's tracepoint stays silent.

use crate::harness::{FAIL, Fs, Image, KernelTrace, Log, Truth, skip, traced};

/// The mark of the failure is set just before the probe runs: a task that is preempted in between
/// shows it late.
const PROBE_LATE_NS: u64 = 10_000_000;

fn run(fs: Fs, mode: &str, more: &str) -> (Log, Truth) {
    let image = Image::new(fs);
    let kernel = KernelTrace::start(image.dev(), &[FAIL]);
    let mnt = image.mnt();
    // `--seed 1` is the default and changes nothing: it stands where nothing is to be added.
    let more = if more.is_empty() { "--seed=1" } else { more };
    let (run, truth) = traced(
        &[&"--format", &"json"],
        &[&mode, &"--dir", &mnt, &"--seconds", &"3", &more],
    );
    assert_eq!(kernel.stop(), [], "the tracepoint was to stay silent");
    let log = run.log();
    log.assert_no_losses();
    (log, truth)
}

fn post_failures_explain_every_eio(fs: Fs, mode: &str) -> Log {
    let (log, truth) = run(fs, mode, "");
    let post = log.phase("post");
    let windows = truth.eio_windows();
    eprintln!(
        "{fs:?} {mode}: {} post failures, {} EIO",
        post.len(),
        windows.len()
    );
    assert_eq!(log.summary()["failures"]["pre"], 0);
    assert_eq!(log.summary()["failures"]["post"], post.len());
    assert!(!post.is_empty() && !windows.is_empty(), "nothing collided");
    for [since, until] in &windows {
        assert!(
            post.iter()
                .any(|f| (*since..=until + PROBE_LATE_NS).contains(&f.number("ts_ns"))),
            "fsync returned EIO between {since} and {until}, but there is no failure"
        );
    }
    for found in &post {
        assert_eq!(found.number("pid"), truth.pid(), "{}", found.failure);
        assert_eq!(found.text("path"), Some(truth.path()), "{}", found.failure);
        assert_eq!(found.verdict["outcome"], "stale-cache");
        assert!(found.verdict["witness"].is_string(), "{}", found.verdict);
    }
    log
}

fn control_has_none(fs: Fs, mode: &str) {
    let (log, truth) = run(fs, mode, "--control");
    assert_eq!(truth.eio_windows().len(), 0, "the control run collided");
    assert!(truth.tids("buffered-writer").len() == 2 && log.summary()["direct_writes"] != 0);
    let found: Vec<_> = log.found();
    assert!(found.is_empty(), "nothing collided, yet: {found:?}");
    assert_eq!(
        log.summary()["failures"],
        serde_json::json!({"pre": 0, "map": 0, "post": 0})
    );
}

fn both(fs: Fs, mode: &str) {
    post_failures_explain_every_eio(fs, mode);
    control_has_none(fs, mode);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn aio_on_ext4() {
    both(Fs::Ext4, "aio");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn aio_on_xfs() {
    both(Fs::Xfs, "aio");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn io_uring_on_ext4_and_xfs() {
    if let Err(e) = io_uring::IoUring::new(1) {
        return skip(&format!("io_uring is not available: {e}"));
    }
    let log = post_failures_explain_every_eio(Fs::Ext4, "uring");
    for found in log.phase("post") {
        // The process is repro's (asserted above) although a worker wrote.
        if found.text("worker") == Some("io-uring") {
            assert!(
                found.text("comm").unwrap().starts_with("iou-wrk-"),
                "{}",
                found.failure
            );
        }
    }
    control_has_none(Fs::Ext4, "uring");
    both(Fs::Xfs, "uring");
}
