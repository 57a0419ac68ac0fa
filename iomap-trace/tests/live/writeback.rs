//! The kernel's tracepoint also fires when nothing collided: when the flush before a direct write
//! fails.

use crate::harness::{Busy, Direct, FAIL, Fs, Image, KernelTrace, Mounted, Tracer, sleep_ms};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::TempDir;

/// Writes zeros until nothing fits any more.
fn fill_up(path: &Path) {
    let mut file = File::create_new(path).unwrap();
    let zeros = vec![0; 64 << 10];
    while file.write_all(&zeros).is_ok() {}
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_failed_flush_is_not_a_collision() {
    let outer = TempDir::with_prefix("iomap-trace-live-").unwrap();
    let _tmpfs = Mounted::new(
        outer.path(),
        &["-t", "tmpfs", "-o", "size=24m"],
        Path::new("tmpfs"),
    );
    let dir = TempDir::new_in(outer.path()).unwrap();
    // A journal would notice the failing device, and the filesystem would turn read-only.
    let mkfs = ["-O", "^has_journal", "-E", "lazy_itable_init=1"];
    let image = Image::in_dir(dir, Fs::Ext4, 256 << 20, &mkfs, &["-o", "errors=continue"]);
    let path = image.mnt().join("file");
    // Space in the filesystem, but none yet on the device below, which takes no more from now on.
    let file = File::create_new(&path).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 1 << 20).unwrap();
    file.sync_all().unwrap();
    fill_up(&outer.path().join("ballast"));

    let kernel = KernelTrace::start(image.dev(), &[FAIL]);
    let tracer = Tracer::start(&[&"trace", &"--format", &"json", &"--dev", &image.dev()]);
    // One thread: whatever fails, nobody else touched the file.
    let direct = Direct::open(&path);
    let writer = Busy::new("live-full", move |number| {
        // Both may fail, which is what this is about.
        let _ = file.write_all_at(direct.block(), Direct::pos(number));
        let _ = direct.write(number);
    });
    sleep_ms(1000);
    let tid = writer.tid;
    drop(writer);
    let log = tracer.stop().log();
    let hits = kernel.stop();
    let pre = log.phase("pre");
    eprintln!("full device: {} events", hits.len());
    assert!(hits.len() > 20, "the flush failed {} times", hits.len());
    assert_eq!(pre.len(), hits.len());
    for found in log.found() {
        assert_eq!(
            found.cause(),
            "writeback-error",
            "{} {}",
            found.failure,
            found.verdict
        );
        assert!(found.verdict["party"].is_null(), "{}", found.verdict);
        assert_eq!(found.number("tid"), tid);
        assert_eq!(found.text("path"), path.to_str());
    }
    log.assert_no_losses();
}
