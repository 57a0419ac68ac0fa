//! `bundle` of what is recorded meanwhile.

use crate::harness::{Fs, Image, Log, Repro, run};
use std::io::Read;

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_bundle_recorded_now_has_no_names() {
    let image = Image::new(Fs::Xfs);
    let (mnt, out) = (image.mnt(), image.beside("bundle.tar.zst"));
    let repro = Repro::start(&[&"mmap", &"--dir", &mnt, &"--seconds", &"30"]);
    let dev = image.dev();
    run(&[
        &"bundle",
        &"--redact",
        &"--dev",
        &dev,
        &"--duration",
        &"2",
        &"-o",
        &out,
    ])
    .expect(0);
    let truth = repro.stop();
    let file = truth.path().rsplit('/').next().unwrap().to_owned();
    let directory = mnt.parent().unwrap().file_name().unwrap();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let originals = [
        &file,
        directory.to_str().unwrap(),
        "repro-mmap",
        boot_id.trim(),
    ];
    let zstd = zstd::Decoder::new(std::fs::File::open(&out).unwrap()).unwrap();
    let mut tar = tar::Archive::new(zstd);
    let mut names = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if name.ends_with(".zst") {
            bytes = zstd::decode_all(&bytes[..]).unwrap();
        }
        let text = String::from_utf8_lossy(&bytes);
        for original in originals {
            assert!(!text.contains(original), "{original} is in {name}");
        }
        if name.ends_with("/report.jsonl") {
            let log = Log::parse(&bytes);
            let hostname = log.records[0]["hostname"].as_str().unwrap();
            assert!(hostname.starts_with("h-"), "{hostname}");
            assert!(log.found().len() > 10, "{}", log.summary());
            let mut others = log.found();
            others.retain(|found| found.number("ino") != truth.ino());
            assert!(others.is_empty(), "numbers stay: {others:?}");
        }
        names.push(name);
    }
    for name in ["kernel.txt", "doctor.json", "mounts.json", "README.txt"] {
        assert!(names.iter().any(|n| n.ends_with(name)), "{name}: {names:?}");
    }
}
