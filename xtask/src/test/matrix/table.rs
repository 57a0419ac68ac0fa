//! The figures of the matrix, for people: as text, and as Markdown for the README.

use super::check::causes::{Share, listed};
use super::judge::{Cell, Report, Row, largest};
use std::fmt::Write;

/// The rows of a kernel.
pub fn text(report: &Report) -> String {
    let mut out = format!("{} ({})\n", report.kernel, report.release);
    let _ = writeln!(
        out,
        "{:<13}{:<6}{:<11}{:>6}{:>5}{:>6}{:>7}{:>7}{:>6}{:>5}{:>5}",
        "workload", "fs", "seen by", "pre", "map", "post", "known", "exact", "pair", "two", "held"
    );
    for row in &report.rows {
        let kernel = (row.counted.pre(), row.counted.post());
        let (workload, fs) = (&row.workload, &row.fs);
        let _ = writeln!(
            out,
            "{workload:<13}{fs:<6}{:<11}{:>6}{:>5}{:>6}",
            "the kernel", kernel.0, "", kernel.1
        );
        for cell in &row.plans {
            let causes = &cell.causes;
            let _ = writeln!(
                out,
                "{:<19}{:<11}{:>6}{:>5}{:>6}{:>7}{:>7}{:>6}{:>5}{:>5}",
                "",
                cell.plan,
                causes.phase("pre"),
                causes.phase("map"),
                causes.phase("post"),
                Share(causes.known(), causes.all).to_string(),
                Share(causes.exact, causes.all).to_string(),
                cell.joined.pairs,
                cell.joined.shared,
                cell.joined.held
            );
        }
        reasons(&mut out, row);
    }
    for note in &report.notes {
        let _ = writeln!(out, "note: {note}");
    }
    for fault in report.all() {
        let _ = writeln!(out, "WRONG: {fault}");
    }
    out
}

/// The causes, and what stands in the way of more.
fn reasons(out: &mut String, row: &Row) {
    for cell in &row.plans {
        let causes = &cell.causes;
        for (what, counts) in [
            ("causes", &causes.causes),
            ("unknown", &causes.unknown),
            ("window", &causes.window),
            ("flags", &causes.flags),
        ] {
            if !counts.is_empty() {
                let _ = writeln!(out, "      {} {what}: {}", cell.plan, listed(counts));
            }
        }
    }
}

/// The largest sizes of the programs on all kernels.
pub fn sizes(reports: &[Report]) -> String {
    let mut out = String::from("program                  instructions  verified\n");
    for (name, size) in largest(reports) {
        let _ = writeln!(
            out,
            "{name:<24}{:>13}{:>10}",
            size.translated, size.verified
        );
    }
    out
}

/// All of it as Markdown tables.
pub fn markdown(reports: &[Report]) -> String {
    let mut out = String::from(
        "| kernel | filesystem | workload | failures (kernel) | fexit | kprobe | tracepoint |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for report in reports {
        for row in &report.rows {
            let plan = |name: &str| {
                let cell = row.plans.iter().find(|cell| cell.plan == name);
                cell.map_or_else(|| "-".to_owned(), shown)
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} pre, {} post | {} | {} | {} |",
                report.kernel,
                row.fs,
                row.workload,
                row.counted.pre(),
                row.counted.post(),
                plan("fexit"),
                plan("kprobe"),
                plan("tracepoint")
            );
        }
    }
    out.push_str("\n| program | instructions | verified |\n| --- | --- | --- |\n");
    for (name, size) in largest(reports) {
        let _ = writeln!(out, "| {name} | {} | {} |", size.translated, size.verified);
    }
    out
}

/// A plan's account in a cell of a table.
fn shown(cell: &Cell) -> String {
    let causes = &cell.causes;
    if causes.all == 0 {
        return "0".to_owned();
    }
    let phases = ["pre", "map", "post"];
    let phases = phases.map(|phase| (phase, causes.phase(phase)));
    let phases = phases.iter().filter(|(_, number)| *number > 0);
    let phases: Vec<_> = phases.map(|(phase, n)| format!("{n} {phase}")).collect();
    format!(
        "{}; cause {}, exact {}",
        phases.join(", "),
        Share(causes.known(), causes.all),
        Share(causes.exact, causes.all)
    )
}

#[cfg(test)]
mod tests {
    use super::super::check::causes::Causes;
    use super::super::check::counts::Counted;
    use super::super::check::join::Joined;
    use super::super::check::programs::Size;
    use super::*;

    fn report() -> Report {
        let causes = Causes {
            phases: [("pre".to_owned(), 40)].into(),
            causes: [("ordered-io".to_owned(), 40)].into(),
            exact: 39,
            all: 40,
            ..Causes::default()
        };
        let cell = Cell {
            plan: "fexit",
            causes,
            joined: Joined::default(),
        };
        let size = Size {
            translated: 321,
            verified: 660,
        };
        Report {
            kernel: "6.12".to_owned(),
            rows: vec![Row {
                workload: "buffered".to_owned(),
                fs: "btrfs".to_owned(),
                counted: Counted {
                    pre: [((1, 0, 0), 40)].into(),
                    ..Counted::default()
                },
                plans: vec![cell],
            }],
            sizes: [("page_dirtied".to_owned(), size)].into(),
            ..Report::default()
        }
    }

    #[test]
    fn markdown_has_a_line_for_each_row() {
        let text = markdown(&[report()]);
        let row = "| 6.12 | btrfs | buffered | 40 pre, 0 post | 40 pre; cause 100 %, exact 97.5 % | - | - |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| page_dirtied | 321 | 660 |"), "{text}");
    }

    #[test]
    fn text_fits_80_columns() {
        let text = text(&report());
        let table = text.lines().filter(|line| !line.starts_with("      "));
        assert!(
            table.clone().all(|line| line.chars().count() < 80),
            "{text}"
        );
        assert!(text.contains("fexit causes: 40 ordered-io"), "{text}");
        assert!(sizes(&[report()]).contains("page_dirtied"));
    }
}
