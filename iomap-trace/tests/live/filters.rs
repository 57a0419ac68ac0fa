//! Filters and limits: each keeps what matches, all of it, and nothing else.

use crate::harness::{
    Arg, FAIL, Found, Fs, Hit, Image, KernelTrace, Log, Repro, Tracer, run, sleep_ms, tool,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Two reproducers at once, on files of two directories of one filesystem.
struct Two {
    one: Repro,
    other: Repro,
    file: PathBuf,
    dir: PathBuf,
    image: Image,
}

impl Two {
    fn new() -> Self {
        let image = Image::new(Fs::Xfs);
        let (dir, elsewhere) = (
            image.mnt().join("one dir"),
            image.mnt().join("one dir and more"),
        );
        std::fs::create_dir(&dir).unwrap();
        std::fs::create_dir(&elsewhere).unwrap();
        let start = |dir: &Path| {
            let args: &[Arg<'_>] = &[
                &"mmap",
                &"--dir",
                &dir,
                &"--name",
                &"f",
                &"--seconds",
                &"60",
            ];
            Repro::start(args)
        };
        Self {
            one: start(&dir),
            other: start(&elsewhere),
            file: dir.join("f"),
            dir,
            image,
        }
    }

    /// Traces both for a second.
    fn trace(&self, filter: &[Arg<'_>]) -> Log {
        let mut args: Vec<Arg<'_>> = vec![&"trace", &"--format", &"json", &"--duration", &"0.7"];
        args.extend(filter);
        let log = run(&args).expect(0).log();
        log.assert_no_losses();
        log
    }

    /// Only failures of the first one are kept.
    fn keeps_one(&self, filter: &[Arg<'_>]) -> Sequences {
        let log = self.trace(filter);
        let found = log.found();
        assert!(found.len() > 5, "{} failures", found.len());
        for found in &found {
            assert_eq!(
                found.number("pid"),
                u64::from(self.one.pid()),
                "{}",
                found.failure
            );
            assert_eq!(found.text("path"), self.file.to_str());
        }
        sequences(&log.phase("pre"))
    }
}

/// Positions by thread, in their order.
type Sequences = BTreeMap<u64, Vec<u64>>;

fn sequences(found: &[Found<'_>]) -> Sequences {
    let mut sequences = Sequences::new();
    for found in found {
        sequences
            .entry(found.number("tid"))
            .or_default()
            .push(found.number("pos"));
    }
    sequences
}

/// What a filter kept of a thread is what the kernel saw of it in that time, without a gap.
fn without_gaps(kept: &Sequences, hits: &[Hit]) {
    for (tid, kept) in kept {
        let kernels: Vec<u64> = hits
            .iter()
            .filter(|h| h.tid == *tid)
            .map(|h| h.pos)
            .collect();
        assert!(
            kernels.windows(kept.len()).any(|window| window == kept),
            "failures of thread {tid} are missing"
        );
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn process_file_and_directory() {
    let two = Two::new();
    let kernel = KernelTrace::start(two.image.dev(), &[FAIL]);
    let pid = two.one.pid().to_string();
    let ino =
        std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&two.file).unwrap()).to_string();
    let kept = [
        two.keeps_one(&[&"--pid", &pid]),
        two.keeps_one(&[&"--path", &two.file]),
        two.keeps_one(&[&"--path", &two.dir]),
        two.keeps_one(&[&"--ino", &ino, &"--dev", &two.image.dev()]),
    ];
    let everything = two.trace(&[&"--dev", &two.image.dev()]);
    // All that is set must match.
    let other = two.other.pid().to_string();
    let nothing = two.trace(&[&"--pid", &other, &"--path", &two.file]);
    let hits = kernel.stop();
    for kept in &kept {
        without_gaps(kept, &hits);
    }
    assert!(nothing.found().is_empty());
    let mut pids: Vec<_> = everything.found().iter().map(|f| f.number("pid")).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 2, "without a filter both are seen");
    drop((two.one.stop(), two.other.stop()));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn command_name_and_device() {
    let (mmap, aio) = (Image::new(Fs::Ext4), Image::new(Fs::Xfs));
    let args = |mode: &'static str, dir: PathBuf| {
        Repro::start(&[&mode, &"--dir", &dir, &"--seconds", &"60"])
    };
    let repros = [args("mmap", mmap.mnt()), args("aio", aio.mnt())];
    let trace = |filter: [Arg<'_>; 2]| {
        let mut args: Vec<Arg<'_>> = vec![&"trace", &"--format", &"json", &"--duration", &"1"];
        args.extend(filter);
        let log = run(&args).expect(0).log();
        log.assert_no_losses();
        assert!(log.found().len() > 2, "{} failures", log.found().len());
        log
    };
    for found in trace([&"--comm", &"repro-direct"]).found() {
        assert_eq!(
            found.number("pid"),
            u64::from(repros[0].pid()),
            "{}",
            found.failure
        );
    }
    for found in trace([&"--comm", &"repro-aio"]).found() {
        assert_eq!(
            found.number("pid"),
            u64::from(repros[1].pid()),
            "{}",
            found.failure
        );
        assert_eq!(found.text("comm"), Some("repro-aio"));
    }
    for (image, repro) in [(&mmap, &repros[0]), (&aio, &repros[1])] {
        for found in trace([&"--dev", &image.dev()]).found() {
            assert_eq!(found.text("dev"), Some(image.dev()));
            assert_eq!(found.number("pid"), u64::from(repro.pid()));
        }
    }
    repros.into_iter().for_each(|repro| drop(repro.stop()));
}

/// A cgroup that goes with this value.
struct Cgroup(PathBuf);

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn control_group() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let hierarchy = mounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        (fields.get(2) == Some(&"cgroup2")).then(|| PathBuf::from(fields[1]))
    });
    let Some(hierarchy) = hierarchy else {
        return crate::harness::skip("no cgroup v2 hierarchy is mounted");
    };
    let group = Cgroup(hierarchy.join(format!("iomap-trace-live-{}", std::process::id())));
    if let Err(e) = std::fs::create_dir(&group.0) {
        return crate::harness::skip(&format!("no cgroup can be made: {e}"));
    }
    let two = Two::new();
    std::fs::write(group.0.join("cgroup.procs"), two.one.pid().to_string()).unwrap();
    // Writes that began before it moved are over then.
    sleep_ms(100);
    let id = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&group.0).unwrap());
    two.keeps_one(&[&"--cgroup", &group.0]);
    two.keeps_one(&[&"--cgroup", &id.to_string()]);
    let all = two.trace(&[&"--dev", &two.image.dev()]);
    for found in all.found() {
        let inside = found.number("pid") == u64::from(two.one.pid());
        assert_eq!(found.number("cgroup") == id, inside, "{}", found.failure);
    }
    drop((two.one.stop(), two.other.stop()));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn duration_and_count_end_the_run() {
    let image = Image::new(Fs::Ext4);
    let began = Instant::now();
    let log = run(&[&"trace", &"--format", &"json", &"--duration", &"1"])
        .expect(0)
        .log();
    // Attaching takes a moment, a cold or busy machine a longer one.
    assert!(
        (1.0..6.0).contains(&began.elapsed().as_secs_f64()),
        "{:?}",
        began.elapsed()
    );
    let lasted = Duration::from_nanos(log.summary()["duration_ns"].as_u64().unwrap());
    assert!((0.9..1.6).contains(&lasted.as_secs_f64()), "{lasted:?}");
    assert_eq!(log.of("end").next().unwrap()["why"], "duration");

    let tracer = Tracer::start(&[
        &"trace",
        &"--format",
        &"json",
        &"--count",
        &"7",
        &"--dev",
        &image.dev(),
    ]);
    let repro = Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"60"]);
    let log = tracer.wait().expect(0).log();
    drop(repro.stop());
    assert_eq!(log.of("end").next().unwrap()["why"], "count");
    assert_eq!(log.found().len(), 7, "stops after this many failures");
}

/// Other bytes than UTF-8 in a directory's name do not matter.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_directory_of_any_name() {
    let image = Image::new(Fs::Ext4);
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"d\xff\\ir");
    let dir = image.mnt().join(name);
    std::fs::create_dir(&dir).unwrap();
    let tracer = Tracer::start(&[&"trace", &"--format", &"json", &"--path", &dir]);
    let truth = Repro::start(&[&"mmap", &"--dir", &dir, &"--seconds", &"0.7"]).wait();
    let log = tracer.stop().log();
    assert!(log.found().len() > 5, "{} failures", log.found().len());
    assert!(
        log.found()
            .iter()
            .all(|f| f.text("path") == Some(truth.path()))
    );
    // The filter is a directory, not the beginning of a name.
    tool("rmdir", &[&dir]);
}
