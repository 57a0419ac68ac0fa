//! Audits as text, JUnit XML and JSON, hostile names among them.

use quick_xml::events::Event;
use quick_xml::{Reader, XmlVersion};

use super::*;
use crate::correlate::{Cause, Confidence, Party, Verdict};
use crate::event::{Dev, Failure, How, OutcomeKind, Phase};
use crate::report::cell;

fn owner(origin: Origin, pid: u32) -> Owner {
    Owner {
        origin,
        pid,
        started: 1,
    }
}

fn judged(id: u64, phase: Phase, cause: Cause, pid: u32, comm: &str, path: &str) -> Judged {
    let failure = Failure {
        id,
        ts_ns: 5_000_000_000 + id * 1000,
        duration_ns: 0,
        phase,
        pid,
        tid: pid,
        comm: comm.into(),
        worker: None,
        completed_by: None,
        cgroup: 1,
        dev: Dev {
            major: 0,
            minor: 35,
        },
        ino: 257,
        root: None,
        fs: "xfs".into(),
        path: (!path.is_empty()).then(|| path.to_owned()),
        pos: id << 20,
        len: 16 << 10,
        size: 1 << 30,
        errno: None,
        wb_err_begin: 0,
        wb_err_now: 0,
        wb_error_ns: None,
        refusals: 0,
        dirtied: 0,
        cached: 0,
        flags: Vec::new(),
        stack: Vec::new(),
    };
    let party = (cause == Cause::Redirtied).then(|| Party {
        pid: 4242,
        tid: 4243,
        comm: comm.into(),
        did: "dirtied".into(),
        how: Some(How::Mmap),
        since_ns: failure.ts_ns - 20_000,
        held_ns: None,
    });
    let verdict = Verdict {
        failure: id,
        cause,
        confidence: Confidence::Exact,
        party,
        cached_by: None,
        holders: Vec::new(),
        also: Vec::new(),
        self_inflicted: false,
        witness: None,
        outcome: match phase {
            Phase::Post => OutcomeKind::StaleCache,
            _ => OutcomeKind::BufferedFallback,
        },
        withdrawn: None,
        reason: None,
        evidence_missing: Vec::new(),
    };
    Judged {
        failure: Box::new(failure),
        verdict,
    }
}

/// Ends tags and attributes, hides text, is not allowed in XML.
const HOSTILE: &str = "a]]></failure>\"'&amp;<b\u{1b}[2J\n\0\u{202e}\u{ffff}\u{fffe}\\";

fn example(hostile: bool) -> (Audit, Summary) {
    let mut audit = Audit::default();
    let mut summary = Summary::default();
    let name = |plain: &'static str| if hostile { HOSTILE } else { plain };
    let quiet = owner(Origin::Child, 4000);
    audit.seen(quiet, name("tests/generic/001"));
    let child = owner(Origin::Child, 4100);
    audit.seen(child.clone(), "bash");
    audit.seen(
        child.clone(),
        name("bash tests/generic/647 -s xfs --with arguments that do not end in time"),
    );
    let path = name("/mnt/scratch/file");
    let mut add = |owner: &Owner, process: &str, judged: &Judged| {
        summary.judged(judged);
        audit.judged(owner.clone(), process, judged);
    };
    for id in 1..=3 {
        let judged = judged(id, Phase::Pre, Cause::Redirtied, 4200, name("fsx"), path);
        add(&child, name("ltp/fsx -Z /mnt/scratch/file"), &judged);
    }
    let stale = judged(4, Phase::Post, Cause::Unknown, 4200, name("fsx"), path);
    add(&child, name("ltp/fsx -Z /mnt/scratch/file"), &stale);
    let outside = owner(Origin::Outside, 99);
    let other = judged(5, Phase::Map, Cause::Reappeared, 99, name("postgres"), "");
    add(&outside, name("postgres"), &other);
    let mut none = judged(6, Phase::Post, Cause::Unknown, 4000, "none", path);
    none.verdict.withdrawn = Some("a write-back error".into());
    add(&owner(Origin::Gone, 98), "none", &none);
    (audit, summary)
}

fn audited<'a>(audit: &'a Audit, summary: &'a Summary, fail_on: FailOn) -> Audited<'a> {
    Audited {
        command: "./check -g \"quick\"",
        ended: Some(Ended::Exit(0)),
        kernel: "6.12.1",
        failed: fail_on.met(summary.failures),
        children: audit.cases(),
        summary,
        fail_on,
    }
}

#[test]
fn text_in_80_columns() {
    let (audit, summary) = example(false);
    let text = audit_text(&audited(&audit, &summary, FailOn::Stale));
    insta::assert_snapshot!(text);
}

#[test]
fn xml_of_an_audit() {
    let (audit, summary) = example(false);
    let xml = junit(&audited(&audit, &summary, FailOn::Stale)).unwrap();
    insta::assert_snapshot!(String::from_utf8(xml).unwrap());
}

#[test]
fn nothing_found() {
    let (audit, summary) = (Audit::default(), Summary::default());
    let text = audit_text(&audited(&audit, &summary, FailOn::Any));
    insta::assert_snapshot!(text, @r"
    Audit: no failed invalidation; 0 child commands were seen.
    passed: no failed invalidations (--fail-on any).
    ");
}

#[test]
fn hostile_names_stay_text() {
    let (audit, summary) = example(true);
    for fail_on in [FailOn::Never, FailOn::Stale, FailOn::Any] {
        let audited = audited(&audit, &summary, fail_on);
        let text = audit_text(&audited);
        assert!(text.lines().all(|line| cell::width(line) <= 80), "{text}");
        assert!(!text.replace('\n', "").contains(char::is_control), "{text}");
        let xml = junit(&audited).unwrap();
        let shape = elements(&String::from_utf8(xml).unwrap());
        let failures = shape.iter().filter(|name| *name == "failure").count();
        let wanted = match fail_on {
            FailOn::Never => 0,
            FailOn::Stale => 1,
            FailOn::Any => 2,
        };
        assert_eq!(failures, wanted);
        assert_eq!(shape.iter().filter(|name| *name == "testcase").count(), 3);
        let line = serde_json::to_string(&audited).unwrap();
        assert!(!line.contains('\n'));
    }
}

/// Names of all elements of a well-formed document whose characters XML 1.0 allows.
fn elements(xml: &str) -> Vec<String> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(allowed), "{xml}");
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_comments = true;
    let mut names = Vec::new();
    let mut depth = 0;
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => break,
            Event::Start(tag) => {
                depth += 1;
                names.push(tag.name().as_ref().to_owned());
                attributes(&tag);
            }
            Event::Empty(tag) => {
                names.push(tag.name().as_ref().to_owned());
                attributes(&tag);
            }
            Event::End(_) => depth -= 1,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
    names
}

fn attributes(tag: &quick_xml::events::BytesStart<'_>) {
    for attribute in tag.attributes() {
        attribute
            .unwrap()
            .normalized_value(XmlVersion::Explicit1_0)
            .unwrap();
    }
}

#[test]
fn too_many_children_are_counted_together() {
    let mut audit = Audit::default();
    for pid in 1..=CASES as u32 + 7 {
        let judged = judged(u64::from(pid), Phase::Pre, Cause::Unknown, pid, "a", "/f");
        audit.judged(owner(Origin::Child, pid), "a", &judged);
    }
    assert_eq!(audit.cases().len(), CASES + 1);
    assert_eq!(audit.cases()[CASES].failures.pre, 7);
    assert_eq!(audit.cases()[CASES].owner, Owner::rest());
}

#[test]
fn what_fails_a_run() {
    let counts = |pre, map, post| crate::report::Counts { pre, map, post };
    assert!(!FailOn::Never.met(counts(1, 1, 1)));
    assert!(!FailOn::Stale.met(counts(1, 1, 0)) && FailOn::Stale.met(counts(0, 0, 1)));
    assert!(!FailOn::Any.met(counts(0, 0, 0)) && FailOn::Any.met(counts(0, 1, 0)));
}
