//! The figures of the matrix, for people: as text, and as Markdown for the documents.

use super::check::causes::{Causes, Share, listed};
use super::files::PLANS;
use super::judge::{Cell, Report, Row, largest};
use crate::vm::FILESYSTEMS;
use std::fmt::Write;

/// Where there is nothing to show.
const NONE: &str = "–";

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

/// All of it as Markdown: a summary, for the README; what each plan saw, for docs/kernels.md; and the
/// sizes of the programs.
pub fn markdown(reports: &[Report]) -> String {
    let mut out = summary(reports);
    let _ = writeln!(
        out,
        "\n| kernel | filesystem | workload | pre, post by the kernel | `{}` |\n\
         | --- | --- | --- | --- |{}",
        PLANS.join("` | `"),
        " --- |".repeat(PLANS.len())
    );
    for report in reports {
        for row in report.rows.iter().filter(|row| failed(row)) {
            let plan = |plan: &&str| cell(row, plan).map_or_else(|| NONE.to_owned(), shown);
            let plans: Vec<_> = PLANS.iter().map(plan).collect();
            let _ = writeln!(
                out,
                "| {} | {} | {} | {}, {} | {} |",
                report.kernel,
                row.fs,
                row.workload,
                row.counted.pre(),
                row.counted.post(),
                plans.join(" | ")
            );
        }
    }
    out.push_str("\n| program | instructions | verified |\n| --- | --- | --- |\n");
    for (name, size) in largest(reports) {
        let _ = writeln!(out, "| {name} | {} | {} |", size.translated, size.verified);
    }
    out
}

/// By kernel and filesystem what the plan `fexit` saw of all workloads.
fn summary(reports: &[Report]) -> String {
    let mut out = format!(
        "| kernel | {} |\n| --- |{}\n",
        FILESYSTEMS.join(" | "),
        " --- |".repeat(FILESYSTEMS.len())
    );
    for report in reports {
        let _ = write!(out, "| {} |", report.kernel);
        for fs in FILESYSTEMS {
            let rows = report.rows.iter().filter(|row| row.fs == *fs);
            let cells: Vec<_> = rows.filter_map(|row| cell(row, "fexit")).collect();
            let sum = |of: fn(&Causes) -> u64| cells.iter().map(|cell| of(&cell.causes)).sum();
            let all: u64 = sum(|causes| causes.all);
            if all == 0 {
                let _ = write!(out, " {NONE} |");
                continue;
            }
            let _ = write!(
                out,
                " {} + {}",
                sum(|causes| causes.phase("pre")),
                sum(|causes| causes.phase("post"))
            );
            match sum(|causes| causes.phase("map")) {
                0 => {}
                map => drop(write!(out, " (+ {map} at mapping)")),
            }
            let _ = write!(out, "; {} |", Share(sum(|causes| causes.exact), all));
        }
        out.push('\n');
    }
    out
}

fn cell<'a>(row: &'a Row, plan: &str) -> Option<&'a Cell> {
    row.plans.iter().find(|cell| cell.plan == plan)
}

/// Whether there was a failure, for the kernel or a plan.
fn failed(row: &Row) -> bool {
    let counted = row.counted.pre() + row.counted.post();
    counted > 0 || row.plans.iter().any(|cell| cell.causes.all > 0)
}

/// A plan's account in a cell of a table.
fn shown(cell: &Cell) -> String {
    let causes = &cell.causes;
    if causes.all == 0 {
        return "0".to_owned();
    }
    let map = match causes.phase("map") {
        0 => String::new(),
        map => format!(", {map} map"),
    };
    format!(
        "{}{map}, {}; {}, {}",
        causes.phase("pre"),
        causes.phase("post"),
        Share(causes.known(), causes.all),
        Share(causes.exact, causes.all)
    )
}

#[cfg(test)]
mod tests {
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
    fn markdown_has_a_line_for_each_row_with_failures() {
        let mut report = report();
        report.rows.push(Row {
            workload: "mmap".to_owned(),
            fs: "xfs".to_owned(),
            ..Row::default()
        });
        let text = markdown(&[report]);
        let summary = "| 6.12 | 40 + 0; 97.5 % | – | – | – |\n";
        assert!(text.contains(summary), "{text}");
        let row = "| 6.12 | btrfs | buffered | 40, 0 | 40, 0; 100 %, 97.5 % | – | – |\n";
        assert!(text.contains(row) && !text.contains("mmap"), "{text}");
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
