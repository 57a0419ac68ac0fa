//! The comparison of the kernel with the reference: a table, and what it means.

use std::fmt::Write as _;

use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Padding, Style};

use super::cell;
use super::compare_words as words;
use crate::reference::compare::{ColumnReport, Comparison};

/// Not to be known, of this column.
const UNKNOWN: &str = "?";
/// Not to be asked, of this column.
const NONE: &str = "-";

/// The table: names of the columns, and rows with a name each.
#[derive(Debug, Default)]
struct Grid {
    head: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

/// The comparison for people, in lines of at most `width` columns, 80 at least.
pub fn compare_text(comparison: &Comparison, width: usize) -> String {
    let width = width.max(super::DEFAULT_WIDTH);
    let mut text = format!("{}\n\n", cell::wrap(&words::title(comparison), width));
    table(&mut text, &grid(comparison));
    if let Some(outlook) = outlook(comparison) {
        text.push_str("\nThe kernel's failures before submission, by another policy:\n\n");
        table(&mut text, &outlook);
    }
    for paragraph in words::paragraphs(comparison) {
        let _ = write!(text, "\n{}\n", cell::wrap(&paragraph, width));
    }
    let broken = words::violations(comparison);
    if !broken.is_empty() {
        text.push_str("\nINVARIANTS BROKEN\n");
    }
    for line in broken {
        let _ = writeln!(text, "{}", cell::wrap(&line, width));
    }
    text
}

/// The comparison as a section of a Markdown report.
pub fn section(comparison: &Comparison) -> String {
    let mut text = format!(
        "## The kernel beside the reference\n\n{}\n\n",
        words::title(comparison)
    );
    markdown(&mut text, &grid(comparison));
    if let Some(outlook) = outlook(comparison) {
        text.push_str("\nThe kernel's failures before submission, by another policy:\n\n");
        markdown(&mut text, &outlook);
    }
    for paragraph in words::paragraphs(comparison) {
        let _ = write!(text, "\n{paragraph}\n");
    }
    let broken = words::violations(comparison);
    if !broken.is_empty() {
        text.push_str("\n### Invariants broken\n\n");
    }
    for line in broken {
        let _ = writeln!(text, "- {line}");
    }
    text
}

fn grid(comparison: &Comparison) -> Grid {
    let columns = &comparison.columns;
    let mut grid = Grid {
        head: columns.iter().map(|c| c.column.name().to_owned()).collect(),
        rows: Vec::new(),
    };
    let mut row = |name: &str, of: &dyn Fn(&ColumnReport) -> String| {
        let cells = columns.iter().map(of).collect();
        grid.rows.push((name.to_owned(), cells));
    };
    row("direct writes", &|c| c.direct.writes.to_string());
    row("page in the way: pre", &|c| known(pre(c)));
    let map = |c: &ColumnReport| c.traced.as_ref().map(|t| t.map);
    if columns.iter().filter_map(map).sum::<u64>() > 0 {
        row("  while mapping", &|c| only(c, map(c)));
    }
    row("  post", &|c| known(post(c)));
    for cause in causes(comparison) {
        row(&format!("cause {cause}"), &|c| {
            let traced = c.traced.as_ref();
            only(
                c,
                traced.map(|t| t.causes.get(&cause).copied().unwrap_or(0)),
            )
        });
    }
    if columns.iter().any(|c| c.traced.is_some()) {
        row("self-inflicted", &|c| {
            only(c, c.traced.as_ref().map(|t| t.self_inflicted))
        });
    }
    row("written buffered", &|c| known(buffered(c)));
    row("errors to the caller", &|c| {
        c.direct.errors.values().sum::<u64>().to_string()
    });
    row("stale ranges (data)", &|c| c.data.stale.ranges.to_string());
    row("stale reads (data)", &|c| {
        c.data.stale_reads.ranges.to_string()
    });
    row("lost writes (data)", &|c| c.data.lost.ranges.to_string());
    if columns.iter().any(|c| c.data.neighbour.ranges > 0) {
        row("  beside a store", &|c| c.data.neighbour.ranges.to_string());
    }
    row("fsync errors", &|c| {
        c.others.fsync_errors.values().sum::<u64>().to_string()
    });
    row("MiB/s", &|c| format!("{:.1}", c.direct.mib_per_s));
    row("latency p50", &|c| cell::duration(c.direct.latency.p50_ns));
    row("        p99", &|c| cell::duration(c.direct.latency.p99_ns));
    row("        max", &|c| cell::duration(c.direct.latency.max_ns));
    grid
}

fn pre(column: &ColumnReport) -> Option<u64> {
    let traced = || Some(column.traced.as_ref()?.pre);
    column.direct.pre.or_else(traced)
}

fn post(column: &ColumnReport) -> Option<u64> {
    let traced = || Some(column.traced.as_ref()?.post);
    column.direct.post.or_else(traced)
}

/// Writes that went through the page cache: all of them where none reached the direct path.
pub(super) fn buffered(column: &ColumnReport) -> Option<u64> {
    let traced = || {
        let traced = column.traced.as_ref()?;
        match traced.direct_writes {
            Some(0) => Some(column.direct.writes),
            _ => Some(
                traced
                    .outcomes
                    .get("buffered-fallback")
                    .copied()
                    .unwrap_or(0),
            ),
        }
    };
    column.direct.buffered.or_else(traced)
}

fn known(number: Option<u64>) -> String {
    number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string())
}

/// What only the kernel's column can have.
fn only(column: &ColumnReport, number: Option<u64>) -> String {
    match column.direct.pre {
        Some(_) => NONE.to_owned(),
        None => known(number),
    }
}

/// Every cause that was seen, the most frequent first.
fn causes(comparison: &Comparison) -> Vec<String> {
    let traced = comparison.columns.iter().filter_map(|c| c.traced.as_ref());
    let mut causes: Vec<_> = traced.flat_map(|traced| &traced.causes).collect();
    causes.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    causes.into_iter().map(|(cause, _)| cause.clone()).collect()
}

fn outlook(comparison: &Comparison) -> Option<Grid> {
    let traced = comparison.columns.iter().find_map(|c| c.traced.as_ref())?;
    if traced.outlook.is_empty() {
        return None;
    }
    let head = ["written buffered", "stale risk", "error to the caller"];
    let rows = traced.outlook.iter().map(|(policy, outlook)| {
        let cells = [outlook.buffered, outlook.stale_risk, outlook.errors];
        (policy.clone(), cells.map(|cell| cell.to_string()).to_vec())
    });
    Some(Grid {
        head: head.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    })
}

fn table(text: &mut String, grid: &Grid) {
    let mut builder = Builder::default();
    builder.push_record(std::iter::once("").chain(grid.head.iter().map(String::as_str)));
    for (name, cells) in &grid.rows {
        builder.push_record(std::iter::once(name).chain(cells));
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    table.modify(Columns::new(1..), Alignment::right());
    for line in table.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn markdown(text: &mut String, grid: &Grid) {
    let _ = writeln!(text, "| | {} |", grid.head.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(grid.head.len()));
    for (name, cells) in &grid.rows {
        let _ = writeln!(text, "| {} | {} |", name.trim(), cells.join(" | "));
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
