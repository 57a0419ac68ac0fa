//! The page as a whole, its data, and its bounds.

use proptest::prelude::*;
use std::io::sink;

use super::bins::BINS;
use super::*;
use crate::correlate::{Cause, Confidence, Judged, Party, Verdict};
use crate::event::strategies::start;
use crate::event::{Clock, Dev, Event, Failure, OutcomeKind, Phase};
use crate::report::{Format, Session, cell};

fn judged(id: u64, ts_ns: u64, ino: u64, comm: &str, path: Option<&str>) -> Judged {
    let failure = Failure {
        id,
        ts_ns,
        duration_ns: 5_000,
        phase: if id.is_multiple_of(7) {
            Phase::Post
        } else {
            Phase::Pre
        },
        pid: ino as u32,
        tid: 1,
        comm: comm.into(),
        worker: None,
        completed_by: None,
        cgroup: 1,
        dev: Dev {
            major: 0,
            minor: 35,
        },
        ino,
        root: None,
        fs: "xfs".into(),
        path: path.map(str::to_owned),
        pos: u64::MAX,
        len: 4096,
        size: 0,
        errno: Some(-16),
        wb_err_begin: 0,
        wb_err_now: 0,
        wb_error_ns: None,
        refusals: 0,
        dirtied: 0,
        cached: 0,
        flags: Vec::new(),
        stack: Vec::new(),
    };
    let verdict = Verdict {
        failure: id,
        cause: if id.is_multiple_of(3) {
            Cause::Journal
        } else {
            Cause::Redirtied
        },
        confidence: Confidence::Exact,
        party: Some(Party {
            pid: 2,
            tid: 2,
            comm: comm.into(),
            did: comm.into(),
            how: None,
            since_ns: 0,
            held_ns: None,
        }),
        cached_by: None,
        holders: Vec::new(),
        also: Vec::new(),
        self_inflicted: false,
        witness: None,
        outcome: OutcomeKind::BufferedFallback,
        withdrawn: None,
        reason: None,
        evidence_missing: Vec::new(),
    };
    Judged {
        failure: Box::new(failure),
        verdict,
    }
}

#[test]
fn few_failures_are_shown_one_by_one_in_order() {
    let mut failures = Failures::new();
    failures.judged(&judged(2, 9_000_000, 7, "b", None), None);
    failures.judged(&judged(1, 4_000_000, 7, "a", Some("/x")), None);
    let mut withdrawn = judged(3, 1, 7, "c", None);
    withdrawn.verdict.withdrawn = Some("no".into());
    failures.judged(&withdrawn, None);
    let data = failures.data();
    assert_eq!((data.failures, data.width_us, data.bins.len()), (2, 0, 0));
    assert_eq!(data.base_us, 4_000);
    let when: Vec<_> = data.points.iter().map(|row| (row.0, row.10)).collect();
    assert_eq!(when, [(0, 1), (5_000, 2)]);
    assert_eq!(data.points[0].8, u64::MAX.to_string());
    assert_eq!(
        (data.files[1].name.as_str(), data.files[1].failures),
        ("/x", 2)
    );
    assert_eq!(data.tasks, ["b/7", "b/2", "a/7", "a/2"]);
}

/// Whatever a log of many failures is like: each is counted, and the page stays small.
#[test]
fn many_failures_are_counted_in_few_bins() {
    const MANY: u64 = 120_000;
    type Shape = fn(u64) -> (u64, u64);
    let shapes: [(&str, Shape); 4] = [
        ("all at once", |_| (7, 1)),
        ("each elsewhere", |n| (n * 1_000_003, n)),
        ("long ago and now", |n| {
            (n * 977 % 7 * 1_000_000_000_000_000, n % 5_000)
        }),
        ("everywhere at once", |n| (n * 31 % 1_000_000, n % 60_000)),
    ];
    for (what, shape) in shapes {
        let mut failures = Failures::new();
        for n in 0..MANY {
            let (ts_ns, ino) = shape(n);
            failures.judged(
                &judged(n, ts_ns, ino, "fio", Some("/a/rather/long/path/of/a/file")),
                None,
            );
        }
        let data = failures.data();
        assert!(data.points.is_empty() && data.width_us > 0, "{what}");
        assert!(data.bins.len() <= BINS, "{what}: {}", data.bins.len());
        assert_eq!(
            data.bins.iter().map(|bin| bin.5).sum::<u64>(),
            MANY,
            "{what}"
        );
        assert_eq!(
            data.files.iter().map(|f| f.failures).sum::<u64>(),
            MANY,
            "{what}"
        );
        let in_files = data
            .bins
            .iter()
            .all(|bin| (bin.1 as usize) < data.files.len());
        let in_pairs = data
            .bins
            .iter()
            .all(|bin| (bin.2 as usize) < data.pairs.len());
        assert!(in_files && in_pairs, "{what}");
        assert!(data.bins.is_sorted_by_key(|bin| bin.0), "{what}");
        assert!(embed::json(&data).len() < 2 << 20, "{what}");
    }
}

#[test]
fn a_template_is_filled_once() {
    let filled = fill("a<!--x-->b<!--y-->c", &[("x", "<!--y-->"), ("y", "Y")]);
    assert_eq!(filled, "a<!--y-->bYc");
}

#[test]
fn the_policy_has_the_hashes_of_what_is_in_the_page() {
    let page = html_of(vec![]);
    let hash_of = |open: &str, close: &str| {
        let (_, rest) = page.rsplit_once(open).unwrap();
        let (text, _) = rest.split_once(close).unwrap();
        BASE64_STANDARD.encode(Sha256::digest(text))
    };
    assert!(page.contains(&format!(
        "script-src 'sha256-{}'",
        hash_of("<script>", "</script>")
    )));
    assert!(page.contains(&format!(
        "style-src 'sha256-{}'",
        hash_of("<style>", "</style>")
    )));
    assert!(
        !SCRIPT.contains("</") && !STYLE.contains("</"),
        "nothing ends them early"
    );
}

/// What the script uses can make no markup out of text.
#[test]
fn the_script_makes_no_markup_of_text() {
    let forbidden = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "DOMParser",
        "createContextualFragment",
        "srcdoc",
        "fetch(",
        "XMLHttpRequest",
        "import(",
        "location",
        "http:",
        "https:",
    ];
    for word in forbidden {
        assert!(!SCRIPT.contains(word), "{word}");
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
}

fn html_of(events: Vec<Event>) -> String {
    let mut session = Session::new(Format::Html);
    for event in events {
        session.event(event, &mut sink()).unwrap();
    }
    let mut out = Vec::new();
    session.finish(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The page's data, and the page without it.
fn split(page: &str) -> (serde_json::Value, String) {
    let (before, rest) = page
        .split_once("<script type=\"application/json\" id=\"failures\">")
        .unwrap();
    let (data, after) = rest.split_once("</script>").unwrap();
    (
        serde_json::from_str(data).unwrap(),
        format!("{before}{after}"),
    )
}

/// Text of a page's element, as a browser has it.
fn unescaped(html: &str) -> String {
    html.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&amp;", "&")
}

fn hostile() -> impl Strategy<Value = String> {
    "(?s)(<|>|&|\"|'|`|\\||\\\\|/|--|\\]\\]|</script>|<!--|<img src=x onerror=hostile\\(\\)>|&lt;|\u{2028}|\u{202e}|\n|.){1,12}"
        .prop_filter("nothing to see", |text| !text.trim().is_empty())
}

proptest! {
    #[test]
    fn any_name_survives_as_text(
        mut start in start(), comm in hostile(), path in hostile(), ts_ns in 0_u64..1 << 60
    ) {
        start.clock = Clock { boot_ns: 0, wall_ns: 0 };
        start.plan = path.clone();
        start.kernel.release.clone_from(&comm);
        let path = format!("/{path}");
        let mut failure = judged(1, ts_ns, 7, &comm, Some(&path)).failure;
        failure.refusals = 0;
        let page = html_of(vec![Event::Start(Box::new(start)), Event::Failure(failure)]);
        let (data, rest) = split(&page);
        prop_assert_eq!(data["files"][1]["name"].as_str().unwrap(), cell::clean(&path, true));
        prop_assert_eq!(data["tasks"][0].as_str().unwrap(), cell::task(&comm, 7, 80));
        // In the report, where names are in code spans.
        let shown = cell::clean(&path, true).replace('`', "\\u{60}").replace('|', "\\u{7c}");
        prop_assert!(unescaped(&rest).contains(&shown), "{shown}");
        // Nothing of them is a tag or a comment.
        prop_assert!(!rest.contains("<img") && !rest.contains("<!--"));
        prop_assert_eq!(rest.matches("<script").count(), 1);
    }
}
