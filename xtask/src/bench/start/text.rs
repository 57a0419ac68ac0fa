//! The figures as Markdown.

use std::fmt::Write as _;

use super::rounds::Figures;
use super::run::Start;
use crate::bench::machine::{date, machine};

/// A row: what it is about, and its figure of a start.
type Row = (&'static str, fn(&Start) -> Option<f64>);

/// Rows without work.
const QUIET: [Row; 2] = [
    ("quiet: until attached, ms", |s| Some(s.ready_ms)),
    ("quiet: peak memory, MiB", peak),
];

/// Rows beside work that leaves them the processors.
const YIELDING: [Row; 2] = [
    ("beside work at nice 19: until attached, ms", |s| {
        Some(s.ready_ms)
    }),
    ("beside work at nice 19: until the first row, ms", |s| {
        s.row_ms
    }),
];

/// Rows beside work.
const BUSY: [Row; 4] = [
    ("beside work: until attached, ms", |s| Some(s.ready_ms)),
    ("beside work: from then to the first row, ms", |s| {
        Some(s.row_ms? - s.ready_ms)
    }),
    ("beside work: until the first row, ms", |s| s.row_ms),
    ("beside work: peak memory, MiB", peak),
];

#[expect(
    clippy::unnecessary_wraps,
    reason = "a figure that every start has stands among those that some lack"
)]
fn peak(start: &Start) -> Option<f64> {
    Some(start.peak_bytes as f64 / f64::from(1 << 20))
}

/// The table.
pub fn of(figures: &Figures, filesystem: &str) -> String {
    let starts = figures.busy[0].len();
    let bpftrace = figures.bpftrace.as_deref().unwrap_or("bpftrace (not here)");
    let mut text = format!(
        "### From start to the first row\n\n{}. {}. Median of {starts} starts in turns (least to \
         most), from `exec`. Work: `iomap-trace repro mmap` on {filesystem}, which keeps the \
         processors busy and fails all the time.\n\n\
         | | iomap-trace | {bpftrace}, one tracepoint |\n| --- | ---: | ---: |\n",
        date(),
        machine()
    );
    let parts = [
        (&QUIET[..], &figures.quiet),
        (&YIELDING[..], &figures.yielding),
        (&BUSY[..], &figures.busy),
    ];
    for (rows, starts) in parts {
        for (what, figure) in rows {
            let [ours, theirs] = [&starts[0], &starts[1]].map(|starts| cell(starts, *figure));
            let _ = writeln!(text, "| {what} | {ours} | {theirs} |");
        }
    }
    text.push('\n');
    text
}

fn cell(starts: &[Start], figure: fn(&Start) -> Option<f64>) -> String {
    let mut values: Vec<f64> = starts.iter().filter_map(figure).collect();
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2), values.last()) {
        (Some(least), Some(median), Some(most)) => {
            format!("{median:.0} ({least:.0} to {most:.0})")
        }
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(ready_ms: f64) -> Start {
        Start {
            ready_ms,
            row_ms: Some(ready_ms + 50.0),
            peak_bytes: 20 << 20,
        }
    }

    #[test]
    fn cells_hold_the_median_and_the_range() {
        let starts = [300.0, 100.0, 200.0].map(start);
        assert_eq!(cell(&starts, QUIET[0].1), "200 (100 to 300)");
        assert_eq!(cell(&starts, BUSY[1].1), "50 (50 to 50)");
        assert_eq!(cell(&starts, QUIET[1].1), "20 (20 to 20)");
        assert_eq!(cell(&[], QUIET[0].1), "–");
    }

    #[test]
    fn a_machine_without_bpftrace_is_said_to_have_none() {
        let figures = Figures {
            busy: [vec![start(1.0)], Vec::new()],
            quiet: [vec![start(1.0)], Vec::new()],
            ..Figures::default()
        };
        let text = of(&figures, "xfs");
        assert!(
            text.contains("bpftrace (not here)") && text.contains("| – |"),
            "{text}"
        );
    }
}
