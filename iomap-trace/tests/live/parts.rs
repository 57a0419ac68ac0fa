//! Logs in parts while they are written, two tracers at once, and a disk that is full.

use crate::harness::{
    Arg, FAIL, Fs, Image, KernelTrace, Mounted, Repro, Tracer, run, sleep_ms, wait_until,
};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The parts of a log in their order, the one that is written last.
fn parts(log: &Path) -> Vec<PathBuf> {
    let stem = log.file_name().unwrap().to_str().unwrap();
    let stem = stem.split('.').next().unwrap();
    let mut parts: Vec<_> = std::fs::read_dir(log.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            path != log && name.starts_with(&format!("{stem}.0"))
        })
        .collect();
    parts.sort();
    parts.push(log.to_owned());
    parts
}

/// Reports on logs, which must be whole.
fn report(logs: &[PathBuf]) -> crate::harness::Log {
    let mut args: Vec<Arg<'_>> = vec![&"report", &"--format", &"json"];
    args.extend(logs.iter().map(|log| log as Arg<'_>));
    let finished = run(&args).expect(0);
    assert_eq!(finished.stderr, "", "every part is whole");
    finished.log()
}

/// One tracer makes parts, another beside it does not: both count as the kernel does.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn parts_and_a_second_tracer_count_what_the_kernel_counts() {
    let image = Image::new(Fs::Ext4);
    let (rotated, whole) = (image.beside("rotated.jsonl"), image.beside("whole.jsonl"));
    let dev = image.dev();
    let first = Tracer::start(&[
        &"record",
        &"-o",
        &rotated,
        &"--dev",
        &dev,
        &"--rotate-size",
        &"64K",
        &"--user",
        &"nobody",
    ]);
    let second = Tracer::start(&[&"record", &"-o", &whole, &"--dev", &dev]);
    let kernel = KernelTrace::start(dev, &[FAIL]);
    drop(Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"3"]).wait());
    let hits = kernel.stop().len();
    let (first, second) = (first.stop(), second.stop());
    let parts = parts(&rotated);
    eprintln!("{hits} failures, {} parts", parts.len());
    assert!(hits > 100 && parts.len() > 3);
    let (joined, single) = (report(&parts), report(&[whole]));
    for log in [&joined, &single] {
        assert_eq!(log.phase("pre").len(), hits);
        assert_eq!(log.summary()["runs"], 1);
        log.assert_no_losses();
    }
    // As the tracers themselves said at their end.
    for (said, log) in [(&first.stderr, &joined), (&second.stderr, &single)] {
        let total = log.summary()["failures"]["pre"].as_u64().unwrap();
        let words: Vec<_> = said.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "pre").unwrap();
        assert_eq!(words[at + 1].replace(',', ""), total.to_string(), "{said}");
    }
    let nobody = 65534;
    for part in &parts {
        let status = std::fs::metadata(part).unwrap();
        let (owner, mode) = (status.uid(), status.mode() & 0o777);
        assert_eq!((owner, mode), (nobody, 0o600), "{}", part.display());
        // Each is a log of its own.
        assert_eq!(report(std::slice::from_ref(part)).summary()["unended"], 0);
    }
}

/// logrotate renames the log and sends SIGHUP.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn sighup_opens_the_log_anew() {
    let image = Image::new(Fs::Ext4);
    let (log, old) = (image.beside("log.jsonl"), image.beside("log.jsonl.1"));
    let kernel = KernelTrace::start(image.dev(), &[FAIL]);
    let record = Tracer::start(&[&"record", &"-o", &log, &"--dev", &image.dev()]);
    let repro = Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"30"]);
    sleep_ms(700);
    record.signal(libc::SIGHUP);
    wait_until("the answer", || {
        record.stderr().contains("has not been renamed")
    });
    std::fs::rename(&log, &old).unwrap();
    record.signal(libc::SIGHUP);
    wait_until("the new log", || {
        record.stderr().contains("was opened anew")
    });
    sleep_ms(700);
    drop(repro.stop());
    record.signal(libc::SIGTERM);
    record.wait().expect(0);
    let hits = kernel.stop().len();
    let joined = report(&[old.clone(), log.clone()]);
    assert_eq!(joined.phase("pre").len(), hits);
    assert_eq!(joined.summary()["runs"], 1);
    joined.assert_no_losses();
    let each: Vec<_> = [old, log]
        .map(|log| report(&[log]).phase("pre").len())
        .into();
    assert!(each.iter().all(|n| *n > 0), "{each:?}");
    assert_eq!(each.iter().sum::<usize>(), hits);
}

/// With `--keep`, a full disk costs the oldest part; without a part to spare writing stops, and goes
/// on in another part when there is room.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_full_disk_takes_the_oldest_part() {
    let image = Image::new(Fs::Ext4);
    let small = image.beside("small");
    std::fs::create_dir(&small).unwrap();
    let _small = Mounted::new(
        &small,
        &["-t", "tmpfs", "-o", "size=600k"],
        Path::new("tmpfs"),
    );
    let log = small.join("log.jsonl");
    let record = Tracer::start(&[
        &"record",
        &"-o",
        &log,
        &"--dev",
        &image.dev(),
        &"--rotate-size",
        &"64K",
        &"--keep",
        &"99",
    ]);
    drop(Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"3"]).wait());
    let finished = record.stop();
    let said = &finished.stderr;
    assert!(
        said.contains("its oldest part log.000001.jsonl was removed"),
        "{said}"
    );
    assert!(!said.contains("recording stopped"), "{said}");
    let left = parts(&log);
    eprintln!("{} parts are left", left.len());
    assert!(!left[0].ends_with("log.000001.jsonl"));
    let joined = report(&left);
    assert_eq!(joined.summary()["runs"], 1);
    assert!(!joined.phase("pre").is_empty());
}
