//! The figures as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::load::Kind;
use super::rounds::{Figures, Trial, highest};
use super::run::{Run, Traced, Tracer};
use crate::bench::machine::{date, machine};
use crate::bench::overhead::figures::Spread;

/// Failures a second that are to be recorded without a loss.
const WANTED: f64 = 100_000.0;

/// The tables.
pub fn of(figures: &Figures) -> String {
    let rounds = figures
        .loads
        .first()
        .map_or(0, |(_, _, runs)| runs[0].len());
    let mut text = format!(
        "### Many failures\n\n{}. {}. Filesystems on zram. Median of {rounds} runs in turns, and \
         the quartiles. The kernel's count is that of `iomap:iomap_dio_invalidate_fail`, in all \
         runs; it is switched on without the tracer, too. CPU is that of the tracer's process; \
         what its programs take is in the rate.\n\n\
         | | failures/s | kernel | recorded | lost | CPU, us a failure | peak, MiB |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        date(),
        machine()
    );
    for (kind, _, runs) in &figures.loads {
        for (tracer, runs) in Tracer::ALL.iter().zip(runs) {
            let row = row(runs);
            let _ = writeln!(text, "| {}: {} | {row} |", kind.name(), tracer.name());
        }
    }
    text.push('\n');
    for (kind, trials, runs) in &figures.loads {
        text.push_str(&reached(*kind, trials, runs.iter().flatten()));
    }
    let differ = figures.wrong.len();
    let _ = match differ {
        0 => writeln!(text, "In every run the counts agree with the kernel's."),
        _ => writeln!(
            text,
            "The counts DIFFER, and no loss is told, in {differ} runs:"
        ),
    };
    for wrong in &figures.wrong {
        let _ = writeln!(text, "- {wrong}");
    }
    text
}

/// The cells of some runs of the same kind.
fn row(runs: &[Run]) -> String {
    let kernel: u64 = runs.iter().map(|run| run.kernel).sum();
    let rate = cell(runs.iter().map(Run::rate), 0);
    let traced: Vec<(&Run, &Traced)> = runs
        .iter()
        .filter_map(|run| Some((run, run.traced.as_ref()?)))
        .collect();
    if traced.is_empty() {
        return format!("{rate} | {kernel} | | | | ");
    }
    let recorded: u64 = traced.iter().map(|(_, traced)| traced.recorded).sum();
    let cpu = traced.iter().map(|(run, traced)| us_each(run, traced));
    let peak = traced.iter().map(|(_, traced)| mib(traced));
    format!(
        "{rate} | {kernel} | {recorded} | {} | {} | {}",
        lost(&traced),
        cell(cpu, 2),
        cell(peak, 1)
    )
}

fn us_each(run: &Run, traced: &Traced) -> f64 {
    traced.cpu_seconds * 1e6 / run.kernel.max(1) as f64
}

fn mib(traced: &Traced) -> f64 {
    traced.peak_bytes as f64 / f64::from(1 << 20)
}

/// What all runs have lost, by kind.
fn lost(traced: &[(&Run, &Traced)]) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in traced.iter().flat_map(|(_, traced)| &traced.lost) {
        *sums.entry(name).or_default() += count;
    }
    match sums.is_empty() {
        true => "0".to_owned(),
        false => {
            let kinds: Vec<_> = sums.iter().map(|(name, n)| format!("{name} {n}")).collect();
            kinds.join(", ")
        }
    }
}

/// Median and quartiles.
fn cell(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let Some(spread) = Spread::of(values.collect()) else {
        return "–".to_owned();
    };
    let Spread { low, median, high } = spread;
    format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
}

/// Whether the machine makes as many failures as it should, and what was tried.
fn reached<'a>(kind: Kind, trials: &[Trial], runs: impl Iterator<Item = &'a Run>) -> String {
    let mut text = format!("{}: ", kind.name());
    let best = runs.map(Run::rate).fold(0.0, f64::max);
    let best = best.max(highest(trials).map_or(0.0, |trial| trial.rate));
    let _ = match best >= WANTED {
        true => write!(
            text,
            "this machine reaches {WANTED:.0}/s, {best:.0}/s at most"
        ),
        false => write!(
            text,
            "this machine does not reach {WANTED:.0}/s, {best:.0}/s is the most it made"
        ),
    };
    if let Some(highest) = highest(trials) {
        let _ = write!(
            text,
            ". Measured with {} and {} writing, the fastest of",
            highest.filesystem, highest.writers
        );
    }
    let tried: Vec<_> = trials
        .iter()
        .map(|t| format!(" {} {}: {:.0}/s", t.filesystem, t.writers, t.rate))
        .collect();
    let _ = writeln!(text, "{}.\n", tried.join(","));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kernel: u64, lost: &[(&str, u64)]) -> Run {
        Run {
            kernel,
            seconds: 2.0,
            traced: Some(Traced {
                recorded: kernel - lost.iter().map(|(_, n)| n).sum::<u64>(),
                lost: lost.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect(),
                cpu_seconds: 1.0,
                peak_bytes: 20 << 20,
                wrong: None,
            }),
        }
    }

    fn without(kernel: u64) -> Run {
        Run {
            traced: None,
            ..one(kernel, &[])
        }
    }

    #[test]
    fn rows_hold_medians_and_sums() {
        let runs = [one(100_000, &[]), one(300_000, &[("failure.lost", 3)])];
        assert_eq!(
            row(&runs),
            "50000 (50000 to 50000) | 400000 | 399997 | failure.lost 3 | \
             3.33 (3.33 to 3.33) | 20.0 (20.0 to 20.0)"
        );
        assert_eq!(row(&[without(10)]), "5 (5 to 5) | 10 | | | | ");
        assert_eq!(row(&[]), "– | 0 | | | | ");
    }

    #[test]
    fn what_is_not_reached_is_said() {
        let trials = [Trial {
            filesystem: "xfs",
            writers: 2,
            rate: 90_000.0,
        }];
        let text = reached(Kind::Stays, &trials, [without(182_000)].iter());
        assert!(
            text.contains("does not reach 100000/s, 91000/s is the most"),
            "{text}"
        );
        assert!(text.contains("with xfs and 2 writing, the fastest of xfs 2: 90000/s."));
        let text = reached(Kind::Stays, &trials, [without(300_000)].iter());
        assert!(
            text.contains("reaches 100000/s, 150000/s at most"),
            "{text}"
        );
    }

    #[test]
    fn counts_that_differ_are_named() {
        let mut figures = Figures {
            loads: vec![(
                Kind::Stays,
                Vec::new(),
                [vec![without(9)], vec![one(9, &[])], vec![]],
            )],
            wrong: Vec::new(),
        };
        let text = of(&figures);
        assert!(text.contains("In every run the counts agree"), "{text}");
        assert!(
            text.contains("| page that cannot be written back: `record` | "),
            "{text}"
        );
        figures
            .wrong
            .push("record: 251:0 kernel 9 recorded 8".to_owned());
        let text = of(&figures);
        assert!(
            text.contains("DIFFER, and no loss is told, in 1 runs:\n"),
            "{text}"
        );
        assert!(
            text.contains("- record: 251:0 kernel 9 recorded 8\n"),
            "{text}"
        );
    }
}
