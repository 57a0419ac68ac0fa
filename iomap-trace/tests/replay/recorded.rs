//! Logs that were recorded on every kernel of the matrix, beside what the live run printed.
//!
//! `cargo xtask vm fixtures` makes them again, all or those of some kernels, and checks that live
//! and replay were the same when they were made. The tests here hold that for every later version:
//! a replay prints what the live run printed, byte for byte.

use super::{TABLE, report_of};
use iomap_trace::event::{Event, Start};
use iomap_trace::log::{Ending, Reader};
use iomap_trace::report::{Format, Live, Session, footer};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The kernels of the matrix.
const KERNELS: [&str; 5] = ["5.10", "6.1", "6.12", "7.2", "7.3"];

/// Fixtures whose live text is of an older version, with the change that made it so. Verdicts may
/// be changed on purpose where no virtual machine is at hand: such a fixture is named here until it
/// is recorded again, and its replay must still judge the same failures. Best left empty.
const OUTDATED: &[(&str, &str)] = &[];

/// All of them together, in bytes.
const MOST_BYTES: u64 = 1 << 20;

struct Fixture {
    /// `KERNEL-FILESYSTEM-WORKLOAD-PLAN`.
    name: String,
    log: PathBuf,
    /// What the live run printed.
    live: String,
    format: Format,
}

impl Fixture {
    fn kernel(&self) -> &str {
        self.name.split('-').next().unwrap()
    }

    fn replay(&self, format: Format) -> String {
        let (out, status, result) = report_of(std::slice::from_ref(&self.log), format);
        result.unwrap();
        assert_eq!(status, "", "{}", self.name);
        out
    }

    fn events(&self) -> Vec<Event> {
        let mut reader = Reader::open(&self.log).unwrap();
        let events = reader.by_ref().map(Result::unwrap).collect();
        assert_eq!(reader.ending(), Ending::Complete, "{}", self.name);
        assert_eq!(reader.unknown(), 0, "{}", self.name);
        events
    }

    fn start(&self) -> Start {
        match self.events().swap_remove(0) {
            Event::Start(start) => *start,
            other => panic!("{}: {other:?}", self.name),
        }
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Every fixture, by name; no file is left over.
fn fixtures() -> Vec<Fixture> {
    let names = fs::read_dir(directory()).unwrap();
    let mut names: BTreeSet<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut fixtures = Vec::new();
    for log in names.clone() {
        let Some(name) = log.strip_suffix(".jsonl.zst") else {
            continue;
        };
        let kinds = [("json", Format::Json), ("table", TABLE)];
        let mut lives = kinds.iter().filter_map(|(kind, format)| {
            let live = format!("{name}.live.{kind}.zst");
            names.remove(&live).then_some((live, *format))
        });
        let (live, format) = lives
            .next()
            .unwrap_or_else(|| panic!("{name} has no live text"));
        assert_eq!(lives.next(), None, "{name} has two live texts");
        drop(lives);
        names.remove(&log);
        let bytes = zstd::decode_all(fs::File::open(directory().join(live)).unwrap()).unwrap();
        fixtures.push(Fixture {
            name: name.to_owned(),
            log: directory().join(&log),
            live: String::from_utf8(bytes).unwrap(),
            format,
        });
    }
    assert_eq!(names, BTreeSet::new(), "files that belong to no fixture");
    fixtures
}

fn lines<'a>(text: &'a str, kinds: &'a [&str]) -> impl Iterator<Item = &'a str> {
    text.lines().filter(|line| {
        let kind = line.strip_prefix(r#"{"type":""#);
        kind.is_some_and(|kind| kinds.iter().any(|wanted| kind.starts_with(wanted)))
    })
}

const DERIVED: &[&str] = &["verdict", "summary"];

#[test]
fn a_replay_prints_what_the_live_run_printed() {
    let fixtures = fixtures();
    let names: BTreeSet<_> = fixtures.iter().map(|f| f.name.as_str()).collect();
    for (name, _) in OUTDATED {
        assert!(
            names.contains(name),
            "{name} is not there: nothing is outdated"
        );
    }
    let mut wrong = Vec::new();
    for fixture in &fixtures {
        let replay = fixture.replay(fixture.format);
        let outdated = OUTDATED.iter().find(|(name, _)| *name == fixture.name);
        match (outdated, replay == fixture.live) {
            (None, true) => {}
            (None, false) => wrong.push(difference(fixture, &replay)),
            (Some(_), true) => wrong.push(format!(
                "{}: its replay is what the live run printed: it is not OUTDATED",
                fixture.name
            )),
            (Some((name, why)), false) => {
                eprintln!("{name}: the live text is older than the verdicts: {why}");
                same_failures(fixture);
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n\nIf the verdicts were changed on purpose, record the logs again: `cargo xtask vm \
         fixtures`. Where that cannot be done, name the fixture in OUTDATED, with the reason.",
        wrong.join("\n")
    );
}

fn difference(fixture: &Fixture, replay: &str) -> String {
    let mut lines = fixture.live.lines().zip(replay.lines()).enumerate();
    let first = lines.find(|(_, (live, replay))| live != replay);
    let what = first.map_or_else(
        || format!("{} and {} bytes", fixture.live.len(), replay.len()),
        |(at, (live, replay))| format!("line {}:\n  live   {live}\n  replay {replay}", at + 1),
    );
    format!("{}: {what}", fixture.name)
}

/// Of an outdated fixture: whatever is said of them, the failures are those of the log.
fn same_failures(fixture: &Fixture) {
    let replay = fixture.replay(Format::Json);
    let mut judged: Vec<u64> = lines(&replay, &["verdict"])
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["failure"].as_u64())
        .map(Option::unwrap)
        .collect();
    judged.sort_unstable();
    let events = fixture.events();
    let failures = events.iter().filter_map(|event| match event {
        Event::Failure(failure) => Some(failure.id),
        _ => None,
    });
    assert_eq!(judged, failures.collect::<Vec<_>>(), "{}", fixture.name);
}

#[test]
fn every_kernel_plan_and_format_is_recorded() {
    let fixtures = fixtures();
    let mut filesystems: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut plans: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut formats: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
    for fixture in &fixtures {
        let (name, kernel) = (&fixture.name, fixture.kernel());
        let start = fixture.start();
        assert!(
            start.kernel.release.starts_with(&format!("{kernel}.")),
            "{name}"
        );
        assert!(
            name.ends_with(&format!("-{}", start.plan)),
            "{name}: {}",
            start.plan
        );
        let verdicts = fixture.replay(Format::Json);
        let verdicts = lines(&verdicts, &["verdict"]).count();
        assert!((4..=100).contains(&verdicts), "{name}: {verdicts} failures");
        let fs = name.split('-').nth(1).unwrap();
        filesystems.entry(kernel).or_default().insert(fs);
        plans.entry(kernel).or_default().insert(start.plan);
        let json = fixture.format == Format::Json;
        formats.entry(kernel).or_default().insert(json);
    }
    assert!(filesystems.keys().eq(KERNELS.iter()), "{filesystems:?}");
    for kernel in KERNELS {
        assert!(filesystems[kernel].contains("btrfs"), "{kernel}");
        assert!(filesystems[kernel].len() > 1, "{kernel}: only btrfs");
        assert_eq!(formats[kernel].len(), 2, "{kernel}: not both formats");
    }
    let all = ["fexit", "kprobe", "tracepoint"].map(str::to_owned);
    assert!(
        plans
            .values()
            .any(|plans| *plans == BTreeSet::from(all.clone())),
        "{plans:?}"
    );
    let files = fs::read_dir(directory()).unwrap();
    let bytes: u64 = files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
}

/// They were made in guests that know nothing of the machine below.
#[test]
fn no_log_names_the_machine_that_recorded_it() {
    for fixture in fixtures() {
        for event in fixture.events() {
            match event {
                Event::Start(start) => {
                    assert_eq!(start.command[0], "iomap-trace", "{}", fixture.name);
                    for mount in start.mounts {
                        assert!(mount.at.starts_with("/mnt/"), "{}: {mount:?}", fixture.name);
                    }
                }
                Event::Failure(failure) => {
                    let path = failure.path.unwrap_or_default();
                    let guest = path.is_empty() || path.starts_with("/mnt/");
                    assert!(guest, "{}: {path}", fixture.name);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_log_is_the_same_compressed_plain_and_as_it_was_reported() {
    let dir = tempfile::tempdir().unwrap();
    for fixture in fixtures() {
        let json = fixture.replay(Format::Json);
        let packed = fs::read(&fixture.log).unwrap();
        let records = String::from_utf8(zstd::decode_all(&*packed).unwrap()).unwrap();
        let kept: Vec<_> = json
            .lines()
            .filter(|line| lines(line, DERIVED).next().is_none())
            .collect();
        assert!(records.lines().eq(kept), "{}", fixture.name);
        for text in [&records, &json] {
            let log = dir.path().join("log.jsonl");
            fs::write(&log, text).unwrap();
            assert!(
                report_of(&[log], Format::Json).0 == json,
                "{}",
                fixture.name
            );
        }
    }
}

/// The fixture of a kernel that has most to show: lock holders, or else (6.12) mappings.
fn shown(kernel: &str) -> Fixture {
    let mut fixtures = fixtures();
    let named = |what: &str| {
        let prefix = format!("{kernel}-btrfs-{what}-");
        fixtures.iter().position(|f| f.name.starts_with(&prefix))
    };
    let found = named("lockers").or_else(|| named("mmap"));
    fixtures.swap_remove(found.unwrap_or_else(|| panic!("{kernel} has nothing to show")))
}

/// One fixture of each kernel in every format of a report.
#[test]
fn reports_of_every_kernel() {
    for kernel in KERNELS {
        let fixture = shown(kernel);
        let json = fixture.replay(Format::Json);
        let derived: Vec<_> = lines(&json, DERIVED).collect();
        let mut session = Session::new(Format::Json);
        for event in fixture.events() {
            session.event(event, &mut std::io::sink()).unwrap();
        }
        let live = Live {
            elapsed_ns: 4_200_000_000,
            lost: 0,
            ..Live::default()
        };
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_description(fixture.name.clone());
        settings.bind(|| {
            insta::assert_snapshot!(format!("{kernel}.table"), fixture.replay(TABLE));
            insta::assert_snapshot!(
                format!("{kernel}.wide"),
                fixture.replay(Format::Table { width: 140 })
            );
            insta::assert_snapshot!(format!("{kernel}.json"), derived.join("\n"));
            insta::assert_snapshot!(format!("{kernel}.footer"), footer(session.summary(), &live));
        });
    }
}
