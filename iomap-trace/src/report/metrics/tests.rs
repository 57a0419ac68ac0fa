//! The page of a recorded run, and that its labels are bounded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use super::*;
use crate::correlate::Judged;
use crate::event::{Dev, Event, ProcessCost, strategies};
use crate::log::Reader;
use crate::report::{Format, Observer, Session};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

fn of_log(name: &str) -> Counts {
    let log = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(format!("{name}.jsonl.zst"));
    let counts = Rc::new(RefCell::new(Counts::default()));
    let mut session = Session::new(Format::Json);
    session.observe(counts.clone());
    for event in Reader::open(&log).unwrap() {
        session.event(event.unwrap(), &mut std::io::sink()).unwrap();
    }
    session.finish(&mut std::io::sink()).unwrap();
    // The session has a share of it.
    counts.take()
}

fn present() -> Present {
    Present {
        counters: BTreeMap::new(),
        cost: BTreeMap::new(),
        process: Some(ProcessCost {
            cpu_ns: 1_250_000_000,
            rss_bytes: 12 << 20,
            peak_rss_bytes: 13 << 20,
            bpf_measured_ns: None,
        }),
        log_bytes: Some(4321),
        shed: vec!["extent-lock".to_owned()],
        waiting: vec!["dirty"],
    }
}

#[test]
fn the_page_of_a_recorded_run() {
    let counts = of_log("6.1-btrfs-lockers-fexit");
    insta::assert_snapshot!(page(&counts, present()).unwrap());
}

#[test]
fn the_page_in_the_text_format() {
    let counts = of_log("6.1-btrfs-lockers-fexit");
    let page = page(&counts, present()).unwrap();
    let text = classic(&page);
    let comments: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
    insta::assert_snapshot!(comments.join("\n"));
    let samples = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(samples(&text), samples(&page));
}

#[test]
fn sums_go_on_over_runs() {
    let counts = of_log("6.1-btrfs-lockers-fexit");
    let (program, (ns, runs)) = counts.ended.cost.iter().next().unwrap();
    let mut present = present();
    present.cost.insert(program.clone(), (1_000_000_000, 5));
    present.counters.insert("lock.lost".to_owned(), 7);
    present.counters.insert("dio.writes".to_owned(), 0);
    let page = page(&counts, present).unwrap();
    let line = format!(
        "iomap_trace_bpf_runs_total{{program=\"{program}\"}} {}",
        runs + 5
    );
    assert!(page.contains(&line), "{page}");
    let all = (*ns as f64 + 1e9) / 1e9;
    let line = format!("iomap_trace_bpf_run_seconds_total{{program=\"{program}\"}} {all}");
    assert!(page.contains(&line), "{line} {page}");
    assert!(
        page.contains("iomap_trace_lost_total{probe=\"lock.lost\"} 7"),
        "{page}"
    );
}

/// A failure with its verdict, of whatever log.
fn any_judged() -> Judged {
    let log =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/6.1-xfs-mmap-fexit.jsonl.zst");
    #[derive(Debug, Default)]
    struct First(Option<Judged>);
    impl Observer for First {
        fn event(&mut self, _: &Event) {}
        fn judged(&mut self, judged: &Judged) {
            self.0.get_or_insert_with(|| judged.clone());
        }
    }
    let first = Rc::new(RefCell::new(First::default()));
    let mut session = Session::new(Format::Json);
    session.observe(first.clone());
    for event in Reader::open(&log).unwrap() {
        session.event(event.unwrap(), &mut std::io::sink()).unwrap();
    }
    first.take().0.unwrap()
}

#[test]
fn many_devices_are_other() {
    let mut counts = Counts::default();
    let mut judged = any_judged();
    for minor in 0..DEVICES as u32 + 7 {
        judged.failure.dev = Dev { major: 8, minor };
        counts.judged(&judged);
        counts.judged(&judged);
    }
    let page = page(&counts, Present::default()).unwrap();
    let rows: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("iomap_trace_failures_total{"))
        .collect();
    assert_eq!(rows.len(), DEVICES + 1);
    let other: Vec<_> = rows
        .iter()
        .filter(|row| row.contains("device=\"other\""))
        .collect();
    assert_eq!(other.len(), 1);
    assert!(other[0].ends_with(" 14"), "{other:?}");
}

#[test]
fn hostile_names_stay_in_their_label() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..50 {
        let mut start = strategies::start().new_tree(&mut runner).unwrap().current();
        start.plan = "a\"\nb\\".to_owned();
        let mut counts = Counts::default();
        counts.event(&Event::Start(Box::new(start)));
        let page = page(&counts, present()).unwrap();
        assert!(page.contains(r#"plan="a\"\nb\\""#), "{page}");
        for line in page.lines() {
            assert!(line.starts_with("# ") || line.contains(' '), "{line:?}");
        }
    }
}
