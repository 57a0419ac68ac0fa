//! `audit` and `exec --fail-on`: whose failures, and with which exit status.

use crate::harness::{Arg, Fs, Image, bin, run};
use quick_xml::events::Event;
use serde_json::Value;
use std::path::Path;

/// A child that collides, then one that does the same without direct writes.
const SCRIPT: &str = r#"
    "$0" repro mmap --dir "$1" --seconds 1 --seed 1 >/dev/null
    "$0" repro mmap --dir "$1" --seconds 1 --seed 1 --control >/dev/null
    exit "$2""#;

/// What the test case elements of a JUnit file say: name, and whether it failed.
fn test_cases(xml: &Path) -> Vec<(String, bool)> {
    let mut reader = quick_xml::Reader::from_file(xml).unwrap();
    let mut cases: Vec<(String, bool)> = Vec::new();
    let mut buffer = Vec::new();
    loop {
        match reader.read_event_into(&mut buffer).unwrap() {
            Event::Eof => return cases,
            Event::Start(tag) | Event::Empty(tag) => match tag.name().as_ref() {
                "testcase" => {
                    let name = tag.try_get_attribute("name").unwrap().unwrap();
                    let name = name.value.into_owned();
                    cases.push((name, false));
                }
                "failure" => cases.last_mut().unwrap().1 = true,
                _ => {}
            },
            _ => {}
        }
        buffer.clear();
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn failures_are_charged_to_the_child_that_met_them() {
    let image = Image::new(Fs::Xfs);
    let (bin, junit, log) = (bin(), image.beside("j.xml"), image.beside("log.jsonl.zst"));
    let mnt = image.mnt();
    let audit = |fail_on: &str, status: &str, code: i32| {
        let args: [Arg<'_>; 16] = [
            &"audit",
            &"--json",
            &"--junit",
            &junit,
            &"-o",
            &log,
            &"--fail-on",
            &fail_on,
            &"--",
            &"sh",
            &"-c",
            &SCRIPT,
            &bin,
            &mnt,
            &status,
            &"unused",
        ];
        let finished = run(&args).expect(code);
        serde_json::from_slice::<Value>(&finished.stdout).unwrap()
    };
    let found = audit("any", "0", 3);
    assert_eq!(found["type"], "audit");
    assert_eq!(found["failed"], true);
    assert_eq!(found["ended"]["exit"], 0);
    let children = found["children"].as_array().unwrap();
    let total = |child: &Value| -> u64 {
        let failures = child["failures"].as_object().unwrap().values();
        failures.map(|count| count.as_u64().unwrap()).sum()
    };
    let of = |control: bool| {
        let mut of = children.iter().filter(|child| {
            let command = child["command"].as_str().unwrap();
            command.contains("repro mmap") && command.contains("--control") == control
        });
        let child = of
            .next()
            .unwrap_or_else(|| panic!("no such child: {found}"));
        assert!(of.next().is_none(), "{found}");
        assert_eq!(child["origin"], "child");
        child
    };
    let all: u64 = children.iter().map(total).sum();
    assert!(all > 10, "{all} failures");
    assert_eq!(total(of(false)), all, "{found}");
    assert_eq!(total(of(true)), 0, "{found}");
    let finding = &of(false)["findings"][0];
    assert_eq!(finding["pid"], of(false)["pid"]);
    let path = finding["path"].as_str().unwrap();
    assert!(path.starts_with(mnt.to_str().unwrap()), "{path}");
    let cases = test_cases(&junit);
    let failed = |control: bool| {
        let of = |name: &str| name.contains("repro mmap") && name.contains("--control") == control;
        let case = cases.iter().find(|(name, _)| of(name));
        case.unwrap_or_else(|| panic!("{cases:?}")).1
    };
    assert!(failed(false) && !failed(true), "{cases:?}");
    run(&[&"report", &log]).expect(0);
    // A status of the command's own wins.
    audit("any", "7", 7);
    audit("never", "0", 0);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn exec_fails_on_what_it_is_asked_to() {
    let image = Image::new(Fs::Xfs);
    let (bin, mnt) = (bin(), image.mnt());
    let exec = |options: &[Arg<'_>], status: &str, control: bool| {
        let script = r#""$0" repro mmap --dir "$1" --seconds 1 $3 >/dev/null; exit "$2""#;
        let control = if control { "--control" } else { "" };
        let mut args: Vec<Arg<'_>> = vec![&"exec"];
        args.extend(options);
        let command: [Arg<'_>; 8] = [&"--", &"sh", &"-c", &script, &bin, &mnt, &status, &control];
        args.extend(command);
        run(&args)
    };
    exec(&[&"--fail-on", &"any"], "0", false).expect(3);
    exec(&[&"--fail-on", &"any"], "9", false).expect(9);
    exec(&[&"--fail-on", &"any"], "0", true).expect(0);
    exec(&[], "0", false).expect(0);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_audit_for_people_and_a_report_that_cannot_be_written() {
    let finished = run(&[&"audit", &"--", &"sh", &"-c", &"echo out; sleep 0.3; true"]).expect(0);
    assert_eq!(finished.stdout, b"out\n");
    for line in [
        "Audit: no failed invalidation; 1 child command was seen.",
        "No record was lost.",
    ] {
        assert!(finished.stderr.contains(line), "{}", finished.stderr);
    }
    let finished = run(&[&"audit", &"--junit", &"/proc/no/such", &"--", &"false"]).expect(1);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
}
