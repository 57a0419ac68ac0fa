//! The figures as tables of less than 80 columns.

use std::fmt::Write;

use super::figures::{ENGINE_RATE, Figures, Join, RATIO, REPORT_BYTES, REPORT_RATE};
use super::rivals::Rival;

/// Size of a report for which memory and speed have a target.
const LARGE: u64 = 10_000_000;

/// Everything that was found.
pub fn text(figures: &Figures) -> String {
    let mut text = String::new();
    // A `String` takes whatever is written.
    let _ = engine(&mut text, figures);
    let _ = stages(&mut text, figures);
    let _ = reports(&mut text, figures);
    for join in &figures.joins {
        let _ = joins(&mut text, join, figures);
    }
    text
}

fn engine(text: &mut String, figures: &Figures) -> std::fmt::Result {
    if figures.engine.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "The engine alone, one core: million events/s by what is open at once"
    )?;
    let opens = figures.engine.iter().flat_map(|shape| &shape.points);
    let mut opens: Vec<u64> = opens.map(|(open, _)| *open).collect();
    opens.sort_unstable();
    opens.dedup();
    write!(text, "{:<13}", "shape")?;
    for open in &opens {
        write!(text, "{open:>7}")?;
    }
    writeln!(text, "  grows   +ns/2x  5 M/s, log n")?;
    for shape in &figures.engine {
        write!(text, "{:<13}", shape.shape)?;
        for open in &opens {
            match shape.points.iter().find(|(known, _)| known == open) {
                Some((_, ns)) => write!(text, "{:>7.2}", 1e3 / ns)?,
                None => write!(text, "{:>7}", "-")?,
            }
        }
        let slowest = shape.points.iter().map(|(_, ns)| *ns).fold(0.0, f64::max);
        let fast = met(slowest > 0.0 && 1e9 / slowest >= ENGINE_RATE);
        match shape.fit {
            Some(fit) => writeln!(
                text,
                "  n^{:<5.2} {:>8.1}  {fast}, {}",
                fit.exponent,
                fit.per_doubling_ns,
                fit.verdict()
            )?,
            None => writeln!(text, "  {:<7} {:>8}  {fast}", "-", "-")?,
        }
    }
    writeln!(text)
}

fn met(yes: bool) -> &'static str {
    if yes { "met" } else { "MISSED" }
}

fn stages(text: &mut String, figures: &Figures) -> std::fmt::Result {
    if figures.stages.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "Where the time goes: stages of a report on a mixed log, one after the other"
    )?;
    writeln!(
        text,
        "{:<16}{:>10}{:>12}",
        "stage", "ns/event", "M events/s"
    )?;
    let ns = |name: &str| figures.stages.iter().find(|stage| stage.name == name);
    for stage in &figures.stages {
        writeln!(
            text,
            "{:<16}{:>10.0}{:>12.2}",
            stage.name,
            stage.ns,
            1e3 / stage.ns
        )?;
    }
    if let (Some(unpack), Some(parse), Some(engine), Some(summary), Some(table), Some(json)) = (
        ns("decompress"),
        ns("parse"),
        ns("engine"),
        ns("engine+summary"),
        ns("engine+table"),
        ns("engine+json"),
    ) {
        let beyond = |all: f64, part: f64| (all - part).max(0.0);
        let parts = [
            ("decompress", unpack.ns),
            ("parse", parse.ns),
            ("engine", engine.ns),
            ("sums", beyond(summary.ns, engine.ns)),
            ("rows", beyond(table.ns, summary.ns)),
        ];
        let all: f64 = parts.iter().map(|(_, ns)| ns).sum();
        let share = |(name, ns): &(&str, f64)| format!("{name} {:.0} %", 100.0 * ns / all);
        let shares: Vec<String> = parts.iter().map(share).collect();
        writeln!(text, "table: {}", shares.join(", "))?;
        writeln!(
            text,
            "json instead of rows: {:.0} ns/event more than the sums",
            beyond(json.ns, summary.ns)
        )?;
    }
    writeln!(text)
}

fn reports(text: &mut String, figures: &Figures) -> std::fmt::Result {
    if figures.reports.is_empty() {
        return Ok(());
    }
    writeln!(text, "iomap-trace report, the whole process")?;
    writeln!(
        text,
        "{:<13}{:>7}{:>6}{:>6}{:>8}{:>8}{:>7}{:>7}  target",
        "shape", "events", "from", "to", "seconds", "CPU s", "Mev/s", "MiB"
    )?;
    for report in &figures.reports {
        for way in &report.ways {
            let run = way.run;
            let target = if report.events >= LARGE {
                let memory = run.peak_bytes < REPORT_BYTES;
                format!("{}, {}", met(way.rate >= REPORT_RATE), met(memory))
            } else {
                String::new()
            };
            let line = format!(
                "{:<13}{:>7}{:>6}{:>6}{:>8.3}{:>8.3}{:>7.2}{:>7.1}  {target}",
                report.shape,
                short(report.events),
                way.from,
                way.format,
                run.seconds,
                run.cpu_seconds,
                way.rate / 1e6,
                run.peak_bytes as f64 / f64::from(1 << 20),
            );
            writeln!(text, "{}", line.trim_end())?;
        }
    }
    writeln!(
        text,
        "targets at 10 M events: 1 Mev/s; peak memory below 64 MiB plus what is open\n"
    )?;
    writeln!(text, "Bytes of an event on disk")?;
    writeln!(
        text,
        "{:<13}{:>7}{:>9}{:>9}",
        "shape", "events", "plain", "zstd"
    )?;
    for report in &figures.reports {
        writeln!(
            text,
            "{:<13}{:>7}{:>9.1}{:>9.1}",
            report.shape,
            short(report.events),
            report.plain_bytes,
            report.zstd_bytes
        )?;
    }
    writeln!(text)
}

fn joins(text: &mut String, join: &Join, figures: &Figures) -> std::fmt::Result {
    writeln!(
        text,
        "Who held what was refused: the same plain {} log of {} events",
        join.shape,
        short(join.events)
    )?;
    writeln!(
        text,
        "{:<20}{:>8}{:>8}{:>9}{:>8}{:>9}{:>8}",
        "", "pairs", "held", "seconds", "times", "join s", "times"
    )?;
    let first = join
        .rows
        .first()
        .and_then(|row| row.run)
        .map(|run| run.seconds);
    // The engine judges more than the join does; its own time is that of the stage.
    let engine = figures.stages.iter().find(|stage| stage.name == "engine");
    let engine = engine.map(|stage| stage.ns * join.events as f64 / 1e9);
    for (at, row) in join.rows.iter().enumerate() {
        let Some((run, found)) = row.run.zip(row.found) else {
            writeln!(text, "{:<20}{}", row.name, row.note)?;
            continue;
        };
        let join_seconds = if at == 0 { engine } else { row.join_seconds };
        let pairs = found
            .pairs
            .map_or_else(|| "-".to_owned(), |pairs| pairs.to_string());
        writeln!(
            text,
            "{:<20}{pairs:>8}{:>8}{:>9.2}{:>8}{:>9}{:>8}",
            row.name,
            found.failures,
            run.seconds,
            times(Some(run.seconds), first),
            join_seconds.map_or_else(|| "-".to_owned(), |s| format!("{s:.2}")),
            times(join_seconds, engine),
        )?;
    }
    let agree = if join.agree {
        "all agree"
    } else {
        "THEY DO NOT AGREE"
    };
    writeln!(
        text,
        "{agree}: failures with a holder, and the sum of their first holders"
    )?;
    for row in join.rows.iter().filter(|row| row.run.is_some()) {
        writeln!(text, "  {}: {}", row.name, row.note)?;
    }
    let duckdb = join.rows.iter().find(|row| row.name == "DuckDB");
    if let Some((ours, theirs)) = first.zip(duckdb.and_then(seconds)) {
        let ratio = theirs / ours;
        writeln!(
            text,
            "DuckDB takes {ratio:.1} times as long; the target is {RATIO}: {}",
            met(ratio >= RATIO)
        )?;
    }
    writeln!(text)
}

fn seconds(row: &Rival) -> Option<f64> {
    row.run.map(|run| run.seconds)
}

fn times(this: Option<f64>, that: Option<f64>) -> String {
    match (this, that) {
        (Some(this), Some(that)) if that > 0.0 => format!("{:.1}x", this / that),
        _ => "-".to_owned(),
    }
}

/// `1 k`, `10 M`.
fn short(events: u64) -> String {
    match events {
        0..1_000 => events.to_string(),
        1_000..1_000_000 => format!("{} k", events / 1_000),
        _ => format!("{} M", events / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::super::micro::Bench;
    use super::super::process::Run;
    use super::super::reports::{Report, Way};
    use super::super::rivals::Found;
    use super::*;

    fn figures() -> Figures {
        let bench = |group: &str, name: &str, ns| Bench {
            group: group.to_owned(),
            name: name.to_owned(),
            ns,
        };
        let run = Run {
            seconds: 12.345,
            cpu_seconds: 20.1,
            peak_bytes: 80 << 20,
        };
        let row = |name: &str, run: Option<Run>| Rival {
            name: name.to_owned(),
            note: "a note".to_owned(),
            found: run.map(|_| Found {
                pairs: Some(123_456),
                failures: 65_432,
                holders: 1,
            }),
            run,
            load_seconds: Some(1.0),
            join_seconds: Some(2.0),
        };
        let mut figures = Figures::default();
        let mut benches: Vec<Bench> = ["decompress", "parse", "engine"]
            .into_iter()
            .chain(["engine+summary", "engine+table", "engine+json"])
            .map(|name| bench("stages", name, 150.0))
            .collect();
        benches.extend(
            ["10", "100", "1000", "10000"].map(|open| bench("engine/deep-overlap", open, 190.0)),
        );
        benches.extend(
            [(10, 199.0), (100, 4e3), (1_000, 9e4)]
                .map(|(open, ns)| bench("engine/many-inodes", &open.to_string(), ns)),
        );
        figures.sort_in(benches);
        figures.reports.push(Report {
            shape: "deep-overlap".to_owned(),
            events: LARGE,
            plain_bytes: 171.2,
            zstd_bytes: 21.3,
            ways: vec![Way {
                from: "zstd",
                format: "table",
                run,
                rate: 810_000.0,
            }],
        });
        figures.joins.push(Join {
            shape: "mixed".to_owned(),
            events: 1_000_000,
            agree: true,
            rows: vec![row("iomap-trace report", Some(run)), row("DuckDB", None)],
        });
        figures
    }

    #[test]
    fn every_line_fits_a_terminal() {
        for line in text(&figures()).lines() {
            assert!(line.chars().count() < 80, "{line}");
        }
    }

    #[test]
    fn targets_are_judged() {
        let text = text(&figures());
        assert!(text.contains("met, flat"), "{text}");
        assert!(text.contains("MISSED, MISSED"), "{text}");
        assert!(text.contains("DuckDB              a note"), "{text}");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!([999, 1_000, 10_000_000].map(short), ["999", "1 k", "10 M"]);
    }
}
