//! `bundle` of given logs: what is in it, that nothing else is touched, and that no name is left.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use iomap_trace::event::{Event, Text};
use iomap_trace::log::{Reader, Writer};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Stands in every name, and nowhere else.
const MARK: &str = "zqacme";
const CGROUP: u64 = 987_654_321_012;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn bundle(args: &[&str], files: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_iomap-trace"))
        .arg("bundle")
        .args(args)
        .args(files)
        .output()
        .unwrap()
}

/// The files of a bundle, logs decompressed.
fn unpacked(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = std::fs::File::open(path).unwrap();
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    let mut tar = tar::Archive::new(zstd::Decoder::new(file).unwrap());
    let mut files = BTreeMap::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().into_owned();
        let name = name.strip_prefix("iomap-trace-bundle").unwrap().to_owned();
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if name.extension().is_some_and(|end| end == "zst") {
            bytes = zstd::decode_all(&bytes[..]).unwrap();
        }
        files.insert(name.to_str().unwrap().to_owned(), bytes);
    }
    files
}

/// A recorded log with names that can be looked for.
fn named(from: &Path, to: &Path) {
    let comm = |text: &mut Text, n: usize| *text = format!("{MARK}-{}", n % 10).into();
    let mut writer = Writer::create(to).unwrap();
    for (n, event) in Reader::open(from).unwrap().enumerate() {
        let mut event = event.unwrap();
        match &mut event {
            Event::Start(start) => {
                start.boot_id = format!("{MARK}-boot-{}", to.display());
                start.hostname = Some(format!("{MARK}-host"));
                start.command = [
                    "/opt/MARK/iomap-trace",
                    "exec",
                    "--comm=MARK",
                    "--",
                    "MARK",
                    "--MARK",
                ]
                .map(|arg| arg.replace("MARK", MARK))
                .to_vec();
                for mount in &mut start.mounts {
                    mount.at = format!("/srv/{MARK}");
                    mount.options.push_str(&format!(",subvol=/{MARK}"));
                }
            }
            Event::Failure(failure) => {
                comm(&mut failure.comm, n);
                failure.cgroup = CGROUP;
                failure.path = Some(format!("/srv/{MARK}/{MARK} {}\u{1b}[2J.db", n % 3));
            }
            Event::Dirtied(touched) | Event::Cached(touched) => comm(&mut touched.comm, n),
            Event::Holder(holder) => comm(&mut holder.comm, n),
            _ => {}
        }
        writer.append(&event).unwrap();
    }
    writer.finish().unwrap();
}

/// A text as it can stand in a file: as it is, and as it is escaped or encoded somewhere. In lower
/// case, as what is searched.
fn forms(original: &str) -> Vec<String> {
    let each = |form: fn(u8) -> String| original.bytes().map(form).collect::<String>();
    let mut forms = vec![
        original.to_owned(),
        each(|byte| format!("{byte:02x}")),
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("\\u{byte:04x}")),
        each(|byte| format!("\\x{byte:02x}")),
        each(|byte| format!("&#{byte};")),
        each(|byte| format!("&#x{byte:x};")),
        original.chars().rev().collect(),
    ];
    // Base64, at each of the three places at which it can begin in a group; the first and the last
    // digits are those of what stands beside it.
    for before in 0..3 {
        let text = [&b"   "[..before], original.as_bytes()].concat();
        let digits = BASE64_STANDARD_NO_PAD.encode(text);
        let from = [0, 2, 3][before];
        forms.push(digits[from..digits.len() - 2].to_owned());
    }
    forms.iter().map(|form| form.to_lowercase()).collect()
}

/// The forms are those of the encoders.
#[test]
fn encoded_forms_are_found() {
    let text = |text: &str| text.to_lowercase();
    let found = |text: &str| forms(MARK).iter().any(|form| text.contains(form));
    for beside in ["", "/", "/x", "/xy", "/xyz"] {
        let path = format!("{beside}{MARK}{beside}");
        assert!(
            found(&text(&BASE64_STANDARD_NO_PAD.encode(&path))),
            "{path}"
        );
    }
    assert!(found(&text(&format!("x{MARK}y"))) && !found("nothing"));
}

#[test]
fn a_bundle_has_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("b.tar.zst");
    let log = fixture("5.10-btrfs-lockers-fexit.jsonl.zst");
    let second = fixture("6.1-xfs-mmap-fexit.jsonl.zst");
    let made = bundle(&["-o"], &[&out, &log, &second]);
    assert!(made.status.success(), "{made:?}");
    let files = unpacked(&out);
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    let wanted = [
        "README.txt",
        "doctor.json",
        "log-1.jsonl.zst",
        "log-2.jsonl.zst",
        "mounts.json",
        "report.html",
        "report.jsonl",
        "report.md",
        "report.txt",
        "timeline.txt",
    ];
    assert_eq!(names, wanted);
    let original = zstd::decode_all(std::fs::File::open(&log).unwrap()).unwrap();
    assert!(files["log-1.jsonl.zst"] == original, "the log is as it was");
    let list = String::from_utf8_lossy(&files["README.txt"]);
    assert!(
        list.contains("log-1: 5.10-btrfs-lockers-fexit.jsonl.zst"),
        "{list}"
    );
    assert!(
        list.contains("kernel.txt: no log is of the present boot"),
        "{list}"
    );
    let summary = files["report.jsonl"]
        .split(|b| *b == b'\n')
        .rev()
        .nth(1)
        .unwrap();
    let summary: serde_json::Value = serde_json::from_slice(summary).unwrap();
    assert_eq!(summary["runs"], 2);
    // Hosts are called after their logs, not after what the logs were copied to.
    for name in ["5.10-btrfs-lockers-fexit", "6.1-xfs-mmap-fexit"] {
        for report in ["report.txt", "report.md", "report.html"] {
            let text = String::from_utf8_lossy(&files[report]);
            assert!(text.contains(name), "{name} is not in {report}");
        }
    }
    assert!(page(&files)["failures"].as_u64().unwrap() > 0);
    let mounts: serde_json::Value = serde_json::from_slice(&files["mounts.json"]).unwrap();
    assert!(!mounts.as_array().unwrap().is_empty());
    serde_json::from_slice::<serde_json::Value>(&files["doctor.json"]).unwrap();
}

#[test]
fn no_name_is_left() {
    let dir = tempfile::tempdir().unwrap();
    for (n, name) in [
        "5.10-btrfs-lockers-fexit.jsonl.zst",
        "6.12-ext4-aio-fexit.jsonl.zst",
        "7.3-btrfs-mmap-fexit.jsonl.zst",
    ]
    .iter()
    .enumerate()
    {
        let log = dir.path().join(format!("{MARK}-{n}.jsonl.zst"));
        named(&fixture(name), &log);
        let out = dir.path().join(format!("{n}.tar.zst"));
        // Two hosts, which are called after their logs.
        let logs = match n {
            1 => vec![dir.path().join(format!("{MARK}-0.jsonl.zst")), log],
            _ => vec![log],
        };
        let files: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
        let made = bundle(&["--redact", "-o"], &[&[&*out], &files[..]].concat());
        assert!(made.status.success(), "{made:?}");
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let originals = [MARK, hostname.trim(), boot_id.trim(), &CGROUP.to_string()];
        let files = unpacked(&out);
        assert!(files.contains_key("report.html"));
        for (file, bytes) in &files {
            let text = String::from_utf8_lossy(bytes).to_lowercase();
            for original in originals {
                // A host called `db` is in every text.
                if original.len() >= 6 {
                    for form in forms(original) {
                        assert!(!text.contains(&form), "{original} is in {file} as {form}");
                    }
                }
            }
        }
        // What a page's script sees.
        let data = page(&files);
        assert!(!data.to_string().contains(MARK));
        let shown = data["files"][1]["name"].as_str().unwrap();
        assert!(shown.starts_with("/p-"), "{shown}");
        assert!(
            data["tasks"]
                .as_array()
                .unwrap()
                .iter()
                .any(|task| { task.as_str().unwrap().starts_with("c-") })
        );
        let report = |name: &str| String::from_utf8_lossy(&files[name]).into_owned();
        assert!(
            report("report.txt").contains("c-"),
            "{}",
            report("report.txt")
        );
        // What is counted is the same.
        let summary = |logs: &[PathBuf]| {
            let report = Command::new(env!("CARGO_BIN_EXE_iomap-trace"))
                .args(["report", "--format", "json"])
                .args(logs)
                .output()
                .unwrap();
            last(&report.stdout)
        };
        let (before, after) = (summary(&logs), last(&files["report.jsonl"]));
        for sums in ["failures", "causes", "outcomes", "self_inflicted", "losses"] {
            assert_eq!(before[sums], after[sums], "{sums}");
        }
        let count =
            |summary: &serde_json::Value, list: &str| summary[list].as_array().unwrap().len();
        assert_eq!(count(&before, "files"), count(&after, "files"));
    }
}

/// The data of the page, in which names are escaped.
fn page(files: &BTreeMap<String, Vec<u8>>) -> serde_json::Value {
    let page = String::from_utf8_lossy(&files["report.html"]);
    let (_, rest) = page.split_once("id=\"failures\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

fn last(ndjson: &[u8]) -> serde_json::Value {
    let line = ndjson.split(|b| *b == b'\n').rev().nth(1).unwrap();
    serde_json::from_slice(line).unwrap()
}

#[test]
fn nothing_is_overwritten_and_nothing_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let log = fixture("6.1-xfs-mmap-fexit.jsonl.zst");
    let taken = dir.path().join("taken");
    std::fs::write(&taken, "mine").unwrap();
    let (link, dangling) = (dir.path().join("link"), dir.path().join("dangling"));
    symlink(&taken, &link).unwrap();
    symlink(dir.path().join("nowhere"), &dangling).unwrap();
    let no_log = dir.path().join("no-log");
    std::fs::write(&no_log, "text\n").unwrap();
    let refused = |out: &Path, log: &Path| {
        let made = bundle(&["-o"], &[out, log]);
        assert_eq!(made.status.code(), Some(1), "{made:?}");
        let said = String::from_utf8(made.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    for out in [&taken, &link, &dangling] {
        refused(out, &log);
    }
    refused(&dir.path().join("new"), &no_log);
    refused(&dir.path().join("new"), &dir.path().join("missing"));
    refused(&dir.path().join("no/such/directory"), &log);
    assert_eq!(std::fs::read_to_string(&taken).unwrap(), "mine");
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 4, "nothing new");
}

#[test]
fn options_of_a_recording_are_not_for_a_log() {
    let log = fixture("6.1-xfs-mmap-fexit.jsonl.zst");
    for options in [["--duration", "1"], ["--pid", "1"], ["--probes", "fexit"]] {
        let args = [&options[..], &["-o", "/nonexistent/b"]].concat();
        assert_eq!(bundle(&args, &[&log]).status.code(), Some(2));
    }
}

#[test]
fn a_damaged_log_is_packed_up_to_its_damage() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(fixture("6.1-xfs-mmap-fexit.jsonl.zst")).unwrap();
    let mut text = zstd::decode_all(&bytes[..]).unwrap();
    let middle = text.len() / 2;
    text[middle..middle + 200].fill(b'#');
    let (log, out) = (dir.path().join("damaged.jsonl"), dir.path().join("b"));
    std::fs::write(&log, &text).unwrap();
    let made = bundle(&["-o"], &[&out, &log]);
    assert!(made.status.success(), "{made:?}");
    let files = unpacked(&out);
    assert!(text.starts_with(&files["log-1.jsonl.zst"][..1000]));
    let list = String::from_utf8_lossy(&files["README.txt"]);
    assert!(
        list.contains("the rest of log-1.jsonl.zst, which is damaged"),
        "{list}"
    );
}
