//! btrfs repeats inode numbers: two subvolumes hold the same one, and one of them is innocent.

use crate::harness::{
    Arg, COMPLETE, Direct, FAIL, Fs, Image, KernelTrace, Repro, Tracer, direct_writer, tool,
};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file that btrfs writes in place, with nothing cached.
fn nocow_file(path: &Path) -> u64 {
    let file = File::create_new(path).unwrap();
    let flags = ioctl_getflags(&file).unwrap();
    ioctl_setflags(&file, flags | IFlags::NOCOW).unwrap();
    let direct = Direct::open(path);
    for number in 0..16 {
        direct.write(number).unwrap();
    }
    file.sync_all().unwrap();
    file.metadata().unwrap().ino()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_innocent_subvolume_is_not_blamed() {
    let image = Image::new(Fs::Btrfs);
    let (guilty, innocent) = (image.mnt().join("guilty"), image.mnt().join("innocent"));
    for subvolume in [&innocent, &guilty] {
        tool("btrfs", &[&"subvolume", &"create", subvolume]);
    }
    let root = tool("btrfs", &[&"inspect-internal", &"rootid", &guilty]);
    let root: u64 = root.trim().parse().unwrap();
    let file = innocent.join("file");
    let ino = nocow_file(&file);

    let kernel = KernelTrace::start(image.dev(), &[FAIL, COMPLETE]);
    let everything = Tracer::start(&[&"trace", &"--format", &"json", &"--dev", &image.dev()]);
    // The same inode number of the other subvolume: by file, and by the device that stat gives.
    let stat_dev = std::fs::metadata(&innocent).unwrap().dev();
    let stat_dev = format!("{}:{}", libc::major(stat_dev), libc::minor(stat_dev));
    let by_file = Tracer::start(&[&"trace", &"--format", &"json", &"--path", &file]);
    let by_dev = Tracer::start(&[&"trace", &"--format", &"json", &"--dev", &stat_dev]);
    let writer = direct_writer(&file);
    let args: &[Arg<'_>] = &[
        &"mmap",
        &"--dir",
        &guilty,
        &"--name",
        &"file",
        &"--seconds",
        &"3",
    ];
    let truth = Repro::start(args).wait();
    let (writes, innocent_tid) = (writer.done(), writer.tid);
    drop(writer);
    let log = everything.stop().log();
    let nothing = [by_file.stop().log(), by_dev.stop().log()];
    let hits = kernel.stop();

    assert_eq!(
        truth.ino(),
        ino,
        "both subvolumes hold the same inode number"
    );
    let direct = hits
        .iter()
        .filter(|h| h.tid == innocent_tid && h.event == COMPLETE.0)
        .count();
    assert!(
        direct > 50 && writes > 50,
        "the innocent wrote {writes}, {direct} of them direct"
    );
    let found = log.found();
    assert!(found.len() > 50, "{} failures", found.len());
    for found in &found {
        assert_eq!(found.number("root"), root, "{}", found.failure);
        assert_eq!(found.number("ino"), ino);
        assert_eq!(found.text("path"), Some(truth.path()), "{}", found.failure);
        assert_eq!(found.number("pid"), truth.pid());
        assert_eq!(found.text("dev"), Some(image.dev()));
    }
    let fails = hits.iter().filter(|h| h.event == FAIL.0).count();
    assert_eq!(log.phase("pre").len(), fails);
    for holder in log.of("holder") {
        assert_eq!(
            holder["root"], root,
            "no failure wanted this holder: {holder}"
        );
    }
    for log in nothing {
        assert!(
            log.found().is_empty(),
            "the innocent file has failures: {:?}",
            log.found()
        );
    }
}
