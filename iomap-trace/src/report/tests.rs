//! Rows and summaries, looked at as a whole.

use proptest::prelude::*;
use std::collections::BTreeMap;

use super::*;
use crate::correlate::{Cause, Confidence, Judged, Party, Verdict, Witness};
use crate::event::{
    Clock, Dev, End, Event, Facts, Failure, How, KernelInfo, OutcomeKind, Phase, ProcessCost,
    SCHEMA, Start, strategies,
};

const SECOND: u64 = 1_000_000_000;

/// 2026-11-23 00:00:00 UTC at boot time 100 s.
fn start() -> Start {
    Start {
        schema: SCHEMA,
        version: "0.1.0".into(),
        command: vec!["iomap-trace".into()],
        kernel: KernelInfo::default(),
        hostname: None,
        page_size: 4096,
        boot_id: "a".into(),
        clock: Clock {
            boot_ns: 100 * SECOND,
            wall_ns: 1_795_392_000 * SECOND,
        },
        mounts: vec![],
        filesystems: Vec::new(),
        plan: "tracepoint".into(),
        hooks: vec![],
        programs: Vec::new(),
        facts: Facts::default(),
        layout: BTreeMap::new(),
        limits: Vec::new(),
        part: None,
    }
}

fn failure(id: u64, phase: Phase) -> Failure {
    Failure {
        id,
        ts_ns: 100 * SECOND + id * 1_234_567_890,
        duration_ns: 0,
        phase,
        pid: 4711,
        tid: 4712,
        comm: "fio".into(),
        worker: None,
        completed_by: None,
        cgroup: 1,
        dev: Dev {
            major: 0,
            minor: 35,
        },
        ino: 257,
        root: Some(5),
        fs: "btrfs".into(),
        path: Some("/mnt/data/db/table.ibd".into()),
        pos: id << 20,
        len: 16 << 10,
        size: 1 << 30,
        errno: Some(-16),
        wb_err_begin: 0,
        wb_err_now: 0,
        wb_error_ns: None,
        refusals: 1,
        dirtied: 0,
        cached: 0,
        flags: vec![],
        stack: vec![],
    }
}

fn verdict(failure: u64, cause: Cause) -> Verdict {
    Verdict {
        failure,
        cause,
        confidence: Confidence::Exact,
        party: None,
        cached_by: None,
        holders: vec![],
        also: vec![],
        self_inflicted: false,
        witness: None,
        outcome: OutcomeKind::BufferedFallback,
        withdrawn: None,
        reason: None,
        evidence_missing: vec![],
    }
}

fn party(comm: &str, did: &str, how: Option<How>, since_ns: u64, held_ns: Option<u64>) -> Party {
    Party {
        pid: 815,
        tid: 816,
        comm: comm.into(),
        did: did.into(),
        how,
        since_ns,
        held_ns,
    }
}

/// One of every cause, phase and confidence.
fn judged() -> Vec<Judged> {
    let mut all = Vec::new();
    let mut add = |phase, cause, change: &dyn Fn(&mut Failure, &mut Verdict)| {
        let id = all.len() as u64 + 1;
        let (mut failure, mut verdict) = (failure(id, phase), verdict(id, cause));
        change(&mut failure, &mut verdict);
        let failure = Box::new(failure);
        all.push(Judged { failure, verdict });
    };
    add(Phase::Pre, Cause::Redirtied, &|f, v| {
        v.party = Some(party(
            "mmapper",
            "dirtied",
            Some(How::Mmap),
            f.ts_ns - 1_250_000,
            None,
        ));
    });
    add(Phase::Pre, Cause::OrderedIo, &|f, v| {
        f.pos = (5 << 40) + 123;
        v.party = Some(party(
            "kworker/u8:3",
            "completed ordered I/O",
            None,
            f.ts_ns - 9,
            Some(3_100_000),
        ));
        v.self_inflicted = true;
        v.holders = vec![31];
    });
    add(Phase::Pre, Cause::ExtentLock, &|f, v| {
        f.comm = "a-name-of-fifte".into();
        v.confidence = Confidence::Window;
        v.party = Some(party(
            "filefrag",
            "locked in extent_fiemap",
            None,
            f.ts_ns - 9,
            None,
        ));
        v.reason = Some("the moment of refusal was not seen".into());
    });
    add(Phase::Post, Cause::Redirtied, &|f, v| {
        v.party = Some(party(
            "cp",
            "dirtied",
            Some(How::Buffered),
            f.ts_ns + 700,
            None,
        ));
        v.outcome = OutcomeKind::StaleCache;
        v.witness = Some(Witness::Both);
        v.cached_by = Some(Party {
            pid: 900,
            tid: 901,
            ..party("cat", "cached", Some(How::Read), f.ts_ns - 90_000, None)
        });
        v.also = vec![Cause::Writeback, Cause::Journal];
    });
    add(Phase::Post, Cause::Unknown, &|f, v| {
        f.path = None;
        v.confidence = Confidence::None;
        v.outcome = OutcomeKind::StaleCache;
        v.witness = Some(Witness::WbErr);
        v.reason = Some(
            "no folio was left in the page cache when the write completed, so nothing \
                         tells what state it had"
                .into(),
        );
    });
    add(Phase::Map, Cause::Reappeared, &|f, v| {
        f.errno = None;
        v.party = Some(party("cat", "cached", Some(How::Read), 0, None));
        v.evidence_missing = vec!["dirty".into()];
    });
    add(Phase::Pre, Cause::WritebackError, &|f, v| {
        (f.dev, f.ino, f.root) = (Dev { major: 8, minor: 1 }, 99, None);
        f.path = Some("/srv/日本語のとても長いファイル名.dat".into());
        v.outcome = OutcomeKind::Error;
    });
    for cause in [
        Cause::Writeback,
        Cause::Journal,
        Cause::Buffers,
        Cause::Launder,
    ] {
        add(Phase::Pre, cause, &|_, v| v.outcome = OutcomeKind::Unknown);
    }
    add(Phase::Post, Cause::Launder, &|_, v| {
        v.outcome = OutcomeKind::StaleCache;
        v.witness = Some(Witness::Result);
    });
    add(Phase::Post, Cause::Unknown, &|_, v| {
        v.confidence = Confidence::None;
        v.outcome = OutcomeKind::StaleCache;
        v.witness = Some(Witness::Warned);
        v.reason = Some("the return of the invalidation was not seen".into());
    });
    add(Phase::Post, Cause::Unknown, &|_, v| {
        v.withdrawn = Some("the write-back failed, and nothing collided".into());
    });
    all
}

fn hostile() -> Judged {
    let mut judged = judged().swap_remove(0);
    judged.failure.comm = "e\x1b[2Jv\nil".into();
    judged.failure.path = Some("/tmp/\x1b]0;owned\x07/\u{202e}gnp.exe\nroot: ok\\n".into());
    if let Some(party) = &mut judged.verdict.party {
        party.comm = "\r\t\u{200b}x\u{9b}1m".into();
    }
    judged
}

fn rows(judged: &[Judged], width: usize) -> String {
    let mut table = Table::new(width);
    table.set_clock(start().clock);
    let mut out = Vec::new();
    for judged in judged {
        table.row(judged, &mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

fn summary(judged: &[Judged]) -> Summary {
    let mut summary = Summary::default();
    summary.start(&start());
    judged.iter().for_each(|judged| summary.judged(judged));
    summary
}

fn end() -> End {
    End {
        ts_ns: 115 * SECOND,
        why: "interrupted".into(),
        counters: BTreeMap::from([("dio.writes".into(), 5000)]),
        losses: BTreeMap::from([("failure".into(), 0), ("holder".into(), 0)]),
        cost: BTreeMap::from([
            ("invalidate".into(), (120_000, 12)),
            ("dirty".into(), (5_000_000, 20_000)),
        ]),
        kernel_printed: Some(1),
        clock: None,
        process: None,
    }
}

fn assert_fits(text: &str, width: usize) {
    for line in text.lines() {
        assert!(
            cell::width(line) <= width,
            "{} columns: {line}",
            cell::width(line)
        );
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn rows_in_80_columns() {
    let text = rows(&judged(), 80);
    assert_fits(&text, 80);
    insta::assert_snapshot!(text);
    assert_eq!(rows(&judged(), 20), text, "never narrower");
}

#[test]
fn rows_in_a_wide_terminal() {
    let text = rows(&judged(), 170);
    assert_fits(&text, 170);
    insta::assert_snapshot!(text);
}

#[test]
fn rows_in_between_show_more() {
    let text = rows(&judged()[..3], 110);
    assert_fits(&text, 110);
    insta::assert_snapshot!(text);
}

#[test]
fn hostile_names_cannot_reach_the_terminal() {
    let judged = [hostile()];
    let text = rows(&judged, 160) + "\n" + &summary_text(&summary(&judged), 120);
    assert_fits(&text, 160);
    insta::assert_snapshot!(text);
}

#[test]
fn a_summary_says_what_it_means() {
    let mut summary = summary(&judged());
    summary.end(&end());
    let text = summary_text(&summary, 80);
    assert_fits(&text, 80);
    insta::assert_snapshot!(text);
    insta::assert_snapshot!(
        "a_summary_as_json",
        serde_json::to_string_pretty(&summary).unwrap()
    );
    // One line, the type first.
    let line = serde_json::to_string(&summary).unwrap();
    assert!(
        line.starts_with(r#"{"type":"summary","failures":{"pre":8,"map":1,"post":4},"causes":{"#)
    );
}

#[test]
fn nothing_found_is_said_as_such() {
    let mut summary = summary(&[]);
    summary.end(&end());
    insta::assert_snapshot!(summary_text(&summary, 80));
}

#[test]
fn losses_and_missing_ends_are_said() {
    let mut summary = summary(&judged()[..1]);
    summary.end(&End {
        losses: BTreeMap::from([("failure".into(), 2), ("holder".into(), 10)]),
        ..end()
    });
    summary.start(&start());
    let text = summary_text(&summary, 80);
    assert!(
        text.contains("12 records lost, so the numbers may be too low: failure 2, holder 10."),
        "{text}"
    );
    assert!(
        text.contains("1 run without an end: what was lost there is not known."),
        "{text}"
    );
    assert_fits(&text, 80);
}

#[test]
fn what_was_open_at_the_end_is_said() {
    let events = [
        Event::Start(Box::new(start())),
        Event::Failure(Box::new(failure(1, Phase::Pre))),
        Event::End(Box::new(end())),
    ];
    let said = |format| {
        let (mut session, mut out) = (Session::new(format), Vec::new());
        for event in events.clone() {
            session.event(event, &mut out).unwrap();
        }
        session.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let text = said(Format::Summary { width: 80 });
    let line = "Open at the end: 1 failure; not all records of 1 had come.";
    assert!(text.lines().any(|l| l == line), "{text}");
    let json = said(Format::Json);
    assert!(
        json.contains(r#""open":{"partial":1,"waiting":0}"#),
        "{json}"
    );
    let nothing = serde_json::to_string(&Summary::default()).unwrap();
    assert!(!nothing.contains(r#""open""#));
}

#[test]
fn the_warning_budget_is_the_machine_s() {
    let posts: Vec<_> = (1..=8)
        .map(|id| Judged {
            failure: Box::new(failure(id, Phase::Post)),
            verdict: verdict(id, Cause::Unknown),
        })
        .collect();
    let mut summary = summary(&posts);
    // A second log of the same boot has what is left of it.
    summary.start(&start());
    posts.iter().for_each(|judged| summary.judged(judged));
    assert_eq!(summary.kernel_would_have_printed, 10);
    // Another boot has its own.
    summary.start(&Start {
        boot_id: "b".into(),
        ..start()
    });
    posts.iter().for_each(|judged| summary.judged(judged));
    assert_eq!(summary.kernel_would_have_printed, 18);
}

#[test]
fn a_summary_tells_what_the_process_took_and_what_was_shed() {
    let mut summary = Summary::default();
    summary.start(&start());
    let mut end = End {
        process: Some(ProcessCost {
            cpu_ns: 1_500_000_000,
            rss_bytes: 9 << 20,
            peak_rss_bytes: 11 << 20,
            bpf_measured_ns: Some(1_000_000_000),
        }),
        ..end()
    };
    end.losses.insert("cached.shed".to_owned(), 1);
    let lost: u64 = end.losses.values().sum();
    summary.end(&end);
    assert_eq!(
        summary.losses.total,
        lost - 1,
        "a shed hook is no lost record"
    );
    let text = summary_text(&summary, 80);
    for line in [
        "To keep to --max-overhead the run went on without cached.",
        "In the first 1.0s, the probes ran",
        "The tracer itself took 1.5s of CPU time, and 11.0 MiB of memory at most.",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("cached.shed"), "{text}");
}

#[test]
fn the_footer_fits_a_line() {
    let summary = summary(&judged());
    let live = Live {
        elapsed_ns: 12 * SECOND,
        lost: 0,
        cost: Some(Cost {
            ns: 5_120_000,
            runs: 20_012,
        }),
        ..Live::default()
    };
    assert_eq!(
        footer(&summary, &live),
        "12s: pre 8, map 1, post 4; lost 0; cost 5.1ms (255ns a run)"
    );
    assert_fits(
        &footer(
            &summary,
            &Live {
                elapsed_ns: u64::MAX,
                lost: u64::MAX,
                cost: Some(Cost {
                    ns: u64::MAX,
                    runs: 1,
                }),
                process: Some((f64::MAX, u64::MAX)),
                lost_now: u64::MAX,
            },
        ),
        80,
    );
    let live = Live {
        process: Some((0.44, 11_450_000)),
        lost: 12,
        lost_now: 3,
        ..live
    };
    assert_eq!(
        footer(&summary, &live),
        "12s: pre 8, map 1, post 4; lost 12 (3/s); cost 5.1ms (255ns a run); cpu 0.4%, 1…"
    );
}

prop_compose! {
    fn any_judged()(
        failure in strategies::failure(),
        cause in prop::sample::select(vec![Cause::Redirtied, Cause::WritebackError, Cause::Unknown]),
        confidence in prop::sample::select(vec![Confidence::Exact, Confidence::Window]),
        (comm, did, reason) in (strategies::name(), strategies::name(), prop::option::of(strategies::name())),
        (pid, since_ns, held_ns) in any::<(u32, u64, Option<u64>)>(),
        outcome in strategies::outcome_kind(),
    ) -> Judged {
        let mut verdict = verdict(failure.id, cause);
        verdict.confidence = confidence;
        verdict.outcome = outcome;
        verdict.reason = reason.map(Into::into);
        verdict.party = Some(Party { pid, ..party(&comm, &did, None, since_ns, held_ns) });
        let failure = Box::new(failure);
        Judged { failure, verdict }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_the_lines_fit(judged in prop::collection::vec(any_judged(), 1..4), width in 80..220_usize) {
        let text = rows(&judged, width);
        for line in text.lines().chain(summary_text(&summary(&judged), width).lines()) {
            prop_assert!(cell::width(line) <= width, "{} of {width}: {line:?}", cell::width(line));
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
        }
    }
}
