//! What filesystems and files are like, as maintainers ask for it.

use crate::harness::{Finished, Fs, Image, Truth, run, tool, traced};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use tempfile::TempDir;

/// Collides on a file of `image` for a second.
fn collide(image: &Image, more: &[&str]) -> (Finished, Truth) {
    let mnt = image.mnt();
    let mut repro: Vec<crate::harness::Arg<'_>> = vec![&"mmap", &"--dir", &mnt, &"--seconds", &"1"];
    for arg in more {
        repro.push(arg);
    }
    traced(&[&"--format", &"json"], &repro)
}

fn words(list: &Value) -> BTreeSet<&str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

/// The entry of the image among the filesystems of the first record.
fn filesystem<'a>(records: &'a [Value], image: &Image) -> &'a Value {
    let start = &records[0];
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(start["hostname"], hostname.trim());
    let mut all = start["filesystems"].as_array().unwrap().iter();
    all.find(|f| f["dev"] == image.dev()).unwrap()
}

/// The only description of the reproducer's file.
fn file<'a>(records: &'a [Value], truth: &Truth) -> &'a Value {
    let mut files = records.iter().filter(|r| r["type"] == "file");
    let file = files.next().expect("the file is described");
    assert!(files.next().is_none(), "once");
    assert_eq!(file["ino"], truth.ino(), "{file}");
    assert!(file["missing"].is_null(), "{file}");
    assert!(file["size"].as_u64().unwrap() > 0, "{file}");
    let at = records.iter().position(|r| r == file).unwrap();
    assert_eq!(
        records[..at]
            .iter()
            .filter(|r| r["type"] == "failure")
            .count(),
        1,
        "behind the first failure"
    );
    file
}

/// The report of what was recorded.
fn markdown(finished: &Finished) -> String {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.jsonl");
    std::fs::write(&log, &finished.stdout).unwrap();
    let report = run(&[&"report", &log, &"--format", &"markdown"]).expect(0);
    String::from_utf8(report.stdout).unwrap()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn ext4_as_dumpe2fs_has_it() {
    let image = Image::new(Fs::Ext4);
    let (run, truth) = collide(&image, &[]);
    let log = run.log();
    let found = filesystem(&log.records, &image);
    assert_eq!(found["data_mode"], "ordered", "{found}");
    let dump = tool("dumpe2fs", &[&"-h", &image.beside("image")]);
    let line = dump
        .lines()
        .find_map(|l| l.strip_prefix("Filesystem features:"));
    // The file of the image is behind its loop device by what is not written back.
    let expected: BTreeSet<&str> = line.unwrap().split_whitespace().collect();
    let mut features = words(&found["features"]);
    for transient in ["needs_recovery", "orphan_present"] {
        features.remove(transient);
    }
    let expected: BTreeSet<&str> = expected
        .into_iter()
        .filter(|f| !["needs_recovery", "orphan_present"].contains(f))
        .collect();
    assert_eq!(features, expected, "{found}");
    assert!(words(&file(&log.records, &truth)["flags"]).contains("extents"));
    let text = markdown(&run);
    assert!(
        text.contains("`data=ordered`") && text.contains("`extents`"),
        "{text}"
    );
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn ext4_with_another_data_mode_says_so() {
    let dir = TempDir::with_prefix("iomap-trace-live-").unwrap();
    let mount = ["-o", "data=writeback"];
    let image = Image::in_dir(dir, Fs::Ext4, 512 << 20, &["-b", "1024"], &mount);
    let (run, _) = collide(&image, &[]);
    let log = run.log();
    let found = filesystem(&log.records, &image);
    assert_eq!(found["data_mode"], "writeback", "{found}");
    // The kernel has the super block in one of the page's four blocks: newer ones give it alone.
    let known = words(&found["features"]).contains("extent");
    assert!(known || found["missing"]["features"].is_string(), "{found}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn xfs_as_xfs_info_has_it() {
    let image = Image::new(Fs::Xfs);
    let (run, truth) = collide(&image, &[]);
    let log = run.log();
    let found = filesystem(&log.records, &image);
    let features = words(&found["features"]);
    let info = tool("xfs_info", &[&image.mnt()]);
    for feature in [
        "crc", "finobt", "sparse", "rmapbt", "reflink", "bigtime", "ftype",
    ] {
        let on = info.contains(&format!("{feature}=1"));
        assert_eq!(features.contains(feature), on, "{feature}: {found}\n{info}");
    }
    assert!(
        info.contains(&format!("sectsz={}", found["sector_size"])),
        "{info}"
    );
    file(&log.records, &truth);
    let text = markdown(&run);
    assert!(
        text.contains(" crc ") && text.contains("inode flags"),
        "{text}"
    );
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn btrfs_tells_a_nocow_file_from_another() {
    let dir = TempDir::with_prefix("iomap-trace-live-").unwrap();
    // Without checksums files that are not nocow are written direct by every kernel.
    let mount = ["-o", "nodatasum"];
    let image = Image::in_dir(dir, Fs::Btrfs, 512 << 20, &[], &mount);
    let (run, truth) = collide(&image, &[]);
    let log = run.log();
    let found = filesystem(&log.records, &image);
    assert_eq!(words(&found["data_profiles"]), ["single"].into(), "{found}");
    assert_eq!(words(&found["metadata_profiles"]), ["single"].into());
    assert!(found["checksum"].as_str().unwrap().starts_with("crc32c"));
    assert!(found["node_size"].as_u64().unwrap() >= found["sector_size"].as_u64().unwrap());
    assert!(words(&found["features"]).contains("no_holes"), "{found}");
    assert!(words(&file(&log.records, &truth)["flags"]).contains("nocow"));
    let text = markdown(&run);
    for part in [
        "nocow, no checksums",
        "`single` (metadata `single`)",
        "btrfs files here are nocow",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let (run, truth) = collide(&image, &["--cow", "--name", "cow"]);
    let log = run.log();
    let file = file(&log.records, &truth);
    assert!(!words(&file["flags"]).contains("nocow"), "{file}");
    let text = markdown(&run);
    let part = "checksums not known: mounted with `nodatasum`";
    assert!(text.contains(part), "{text}");
}

/// A file is asked through the descriptor of its writer: whoever watches the file sees no open.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn nobody_sees_the_tracer_open_a_file() {
    let image = Image::new(Fs::Xfs);
    let path = image.mnt().join("watched");
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    let writer = crate::harness::direct_writer(&path);
    let dirtier = crate::harness::dirtier(&path);
    crate::harness::sleep_ms(200);
    let watch = watch(&path);
    let log = run(&[
        &"trace",
        &"--format",
        &"json",
        &"--duration",
        &"1",
        &"--dev",
        &image.dev(),
    ])
    .expect(0)
    .log();
    drop((writer, dirtier));
    assert!(log.of("file").count() == 1, "{}", log.summary());
    let mut events = [0; 4096];
    let read = rustix::io::read(&watch, &mut events[..]);
    assert_eq!(read, Err(rustix::io::Errno::AGAIN), "somebody opened it");
}

/// Tells of whoever opens `path`.
fn watch(path: &Path) -> rustix::fd::OwnedFd {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    add_watch(&watch, path, WatchFlags::OPEN).unwrap();
    watch
}
