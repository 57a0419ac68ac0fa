//! Reports of any log: nothing of it can become markup.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::event::strategies::{event, start};
use crate::event::{Event, Phase, Refusal};
use crate::report::{Format, Session};

/// Titles of this report; of the third level some begin with a number or a cause.
const TITLES: [&str; 14] = [
    "# Failed page-cache invalidation",
    "## Finding",
    "## Environment",
    "### Run ",
    "## Failures",
    "## Files",
    "## Writers and other parties",
    "## How long locks were held",
    "## Interleavings",
    "## Stacks",
    "## What was not visible",
    "## Losses and cost",
    "## Changes of the kernel",
    "## What can be done now",
];

fn report(events: Vec<Event>) -> String {
    let mut session = Session::new(Format::Markdown);
    let mut out = Vec::new();
    for event in events {
        session.event(event, &mut out).unwrap();
    }
    session.finish(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Lines outside of code blocks, code spans taken out; none when a block or a span is open.
fn prose(report: &str) -> Option<Vec<String>> {
    let mut fence: Option<String> = None;
    let mut lines = Vec::new();
    for line in report.lines() {
        if let Some(open) = &fence {
            if line == open {
                fence = None;
            }
            continue;
        }
        if line.starts_with("```") {
            fence = Some(line.trim_end_matches("text").to_owned());
            continue;
        }
        let parts: Vec<&str> = line.split('`').collect();
        if parts.len().is_multiple_of(2) {
            return None;
        }
        lines.push(parts.into_iter().step_by(2).collect());
    }
    fence.is_none().then_some(lines)
}

/// No more than the sane fields of a failure, so that there is something to report.
fn plausible(mut events: Vec<Event>) -> Vec<Event> {
    let mut more = Vec::new();
    for (id, event) in (1..).zip(&mut events) {
        if let Event::Failure(failure) = event {
            failure.id = id;
            failure.phase = Phase::Pre;
            failure.refusals = 1;
            (failure.dirtied, failure.cached) = (0, 0);
            more.push(Event::Refusal(Refusal {
                failure: id,
                ts_ns: failure.ts_ns,
                entered_ns: None,
                index: 1,
                pages: 1,
                folio_flags: vec!["`|dirty\n# x".into()],
                buffers: None,
            }));
        }
    }
    events.extend(more);
    events
}

proptest! {
    #[test]
    fn nothing_of_a_log_becomes_markup(
        start in start(), events in vec(event().prop_filter("no run", |event| {
            !matches!(event, Event::Start(_))
        }), 0..12),
    ) {
        let mut all = vec![Event::Start(Box::new(start))];
        all.extend(plausible(events));
        let report = report(all);
        let lines = prose(&report);
        prop_assert!(lines.is_some(), "something is open:\n{report}");
        let mut cells = None;
        for line in lines.unwrap_or_default() {
            // All rows of a table have the cells that its head has.
            let bars = line.starts_with('|').then(|| line.matches('|').count());
            if let (Some(bars), Some(cells)) = (bars, cells) {
                prop_assert_eq!(bars, cells, "{}", line);
            }
            cells = bars;
            prop_assert!(line.is_ascii(), "{line}");
            prop_assert!(!line.contains(['<', '>', '\r']), "{line}");
            let heading = line.starts_with('#');
            let known = TITLES.iter().any(|title| line.starts_with(title))
                || line == "## Reproducing"
                || line.starts_with("### ") && line.contains(": failure ");
            prop_assert!(!heading || known, "{line}");
        }
    }
}
