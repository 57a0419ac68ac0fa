//! The figures as Markdown.

use std::fmt::Write as _;

use super::figures::Counts;
use super::{guests, native};
use crate::bench::machine::{date, machine};

/// The workloads, as `load` calls them, and what is said of them.
const WORKLOADS: &[(&str, &str)] = &[
    ("direct-none", "direct write, nothing cached"),
    ("direct-clean", "direct write, clean pages cached"),
    ("direct-dirty", "direct write, dirty pages cached"),
    ("direct-refused", "direct write, dirtied again meanwhile"),
    (
        "watched-buffered",
        "buffered write, file also written directly",
    ),
    (
        "watched-mmap",
        "store in a mapping, file also written directly",
    ),
    ("buffered", "buffered write, other files"),
    ("mmap", "store in a mapping, other files"),
];

/// Plans, each beside its floor.
const PLANS: [&str; 3] = ["fexit", "kprobe", "tracepoint"];
/// What they are called in standby.
const STANDBY: &str = "standby-";

/// What a guest has counted.
pub fn of_guest(figures: &guests::Figures) -> String {
    let mut text = format!(
        "### Instructions added to a write, Linux {}\n\n{}. Guest with one CPU whose clock counts \
         instructions (QEMU, `-icount`); writes of 16 KiB, stores of a byte into each page of 4 KiB. \
         *n* (*m*): the tracer adds *n*, empty programs at the same places add *m*.\n\n",
        figures.kernel,
        date()
    );
    text.push_str(&table(figures, ""));
    text.push_str("\nIn standby, where nothing fails:\n\n");
    text.push_str(&table(figures, STANDBY));
    text.push('\n');
    let plans = PLANS.map(|plan| [plan.to_owned(), format!("{STANDBY}{plan}")]);
    for filesystem in &figures.filesystems {
        let seen = plans.as_flattened().iter().map(|plan| {
            let failures = figures.counts.failures(filesystem, plan);
            let failures = failures.map_or("–".to_owned(), |n| n.to_string());
            format!("{plan} {failures}")
        });
        let seen: Vec<_> = seen.collect();
        let seen = seen.join(", ");
        let _ = writeln!(text, "Failures seen on {filesystem}: {seen}.  ");
    }
    text.push('\n');
    text
}

/// The rows of the workloads, with the plans that have `prefix` before their names.
fn table(figures: &guests::Figures, prefix: &str) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "| | without | {} | bpftrace script |",
        PLANS.join(" | ")
    );
    let _ = writeln!(
        text,
        "| --- | ---: |{} ---: |",
        " ---: |".repeat(PLANS.len())
    );
    let counts = &figures.counts;
    for filesystem in &figures.filesystems {
        for (workload, what) in WORKLOADS {
            let Some(plain) = counts.plain(filesystem, workload) else {
                continue;
            };
            let cells =
                PLANS.map(|plan| cell(counts, filesystem, &format!("{prefix}{plan}"), workload));
            if !prefix.is_empty() && cells.iter().all(|cell| cell == NONE) {
                continue;
            }
            let script = counts.added(filesystem, "bpftrace", workload);
            let script = script.map_or(NONE.to_owned(), signed);
            let cells = cells.join(" | ");
            let _ = writeln!(
                text,
                "| {filesystem}: {what} | {plain:.0} | {cells} | {script} |"
            );
        }
    }
    text
}

/// A cell without a figure.
const NONE: &str = "–";

/// What the tracer adds, and what empty programs do.
fn cell(counts: &Counts, filesystem: &str, plan: &str, workload: &str) -> String {
    let added = counts.added(filesystem, plan, workload);
    let floor = counts.added(filesystem, &format!("floor-{plan}"), workload);
    match (added, floor) {
        (Some(added), Some(floor)) => format!("{} ({floor:.0})", signed(added)),
        (Some(added), None) => signed(added),
        _ => NONE.to_owned(),
    }
}

fn signed(value: f64) -> String {
    format!("{value:+.0}")
}

/// What this machine has told.
pub fn of_machine(figures: &native::Figures) -> String {
    let mut text = format!(
        "### Throughput with the tracer, by that without\n\n{}, {}. Median of {} pairs of runs that \
         take turns, and the quartiles; filesystems in images on loop devices: in memory, where no \
         device hides what the programs take (on one processor nothing waits for a wake-up, either), \
         and past the page cache on the disk of this machine. *No tracer*: neither run had one, so \
         that is chance.\n\n",
        date(),
        machine(),
        figures.pairs
    );
    let columns = figures.ratios.iter();
    let columns = columns.map(|(mode, at, _)| format!("{}, {}", mode.name(), at.name()));
    let columns: Vec<_> = columns.collect();
    let _ = writeln!(text, "| | {} |", columns.join(" | "));
    let _ = writeln!(text, "| --- |{}", " ---: |".repeat(columns.len()));
    let rows = figures
        .ratios
        .first()
        .into_iter()
        .flat_map(|(.., r)| r.keys());
    for row in rows {
        let (filesystem, workload) = row;
        let known = WORKLOADS.iter().find(|(name, _)| name == workload);
        let what = known.map_or(workload.as_str(), |(_, what)| what);
        let _ = write!(text, "| {filesystem}: {what} |");
        for (.., ratios) in &figures.ratios {
            let _ = match ratios.get(row) {
                Some(s) => write!(text, " {:.3} ({:.3} to {:.3}) |", s.median, s.low, s.high),
                None => write!(text, " – |"),
            };
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::overhead::figures::Spread;

    #[test]
    fn a_machine_gets_a_column_for_each_place() {
        let spread = |value| Spread::of(vec![value]).unwrap();
        let at = ("xfs".to_owned(), "direct-none".to_owned());
        let ratios = |value| [(at.clone(), spread(value))].into();
        let text = of_machine(&native::Figures {
            pairs: 1,
            ratios: vec![
                (native::Mode::Full, native::Place::Memory, ratios(0.9)),
                (native::Mode::Standby, native::Place::Disk, ratios(1.0)),
            ],
        });
        assert!(
            text.contains("| | all hooks, images in memory | standby, images on the disk |\n| --- | ---: | ---: |\n")
        );
        let row = "| xfs: direct write, nothing cached | 0.900 (0.900 to 0.900) | 1.000 (1.000 to 1.000) |";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn a_guest_gets_a_row_for_each_workload_that_was_run() {
        let told = "btrfs none direct-none 10 1000\nbtrfs fexit direct-none 10 1500\n\
            btrfs standby-fexit direct-none 10 1100\nbtrfs floor-standby-fexit direct-none 10 1100\n\
            btrfs floor-fexit direct-none 10 1200\nbtrfs failures fexit 3 0\n";
        let text = of_guest(&guests::Figures {
            kernel: "6.1.1".to_owned(),
            filesystems: vec!["btrfs".to_owned()],
            counts: Counts::read(told).unwrap(),
        });
        let row = "| btrfs: direct write, nothing cached | 100 | +50 (20) | – | – | – |";
        assert!(text.contains(row), "{text}");
        let row = "| btrfs: direct write, nothing cached | 100 | +10 (10) | – | – | – |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("Failures seen on btrfs: fexit 3, standby-fexit –, kprobe –"));
        assert!(!text.contains("clean pages"), "{text}");
    }
}
