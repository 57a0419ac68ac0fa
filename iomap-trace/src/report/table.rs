//! The live table: rows are printed as they come, so the columns are fixed beforehand.

use std::io::{self, Write};
use tabled::builder::Builder;
use tabled::settings::{Padding, Style, Width};

use super::cell;
use super::detail::detail;
use crate::correlate::{Confidence, Judged};
use crate::event::{Clock, OutcomeKind, Phase};

/// From this width on the other party has a column of its own; below it has a line of its own.
const WIDE: usize = 150;

const TIME: usize = 12;
const RANGE: usize = 9;
const PHASE: usize = 5;

/// A table of failures, `width` columns wide.
#[derive(Debug)]
pub struct Table {
    width: usize,
    process: usize,
    file: usize,
    cause: usize,
    outcome: usize,
    /// 0: on a line of its own.
    party: usize,
    clock: Clock,
    headed: bool,
}

impl Table {
    /// A table for lines of `width` columns, 80 at least.
    pub fn new(width: usize) -> Self {
        let width = width.max(super::DEFAULT_WIDTH);
        let mut table = Self {
            width,
            process: 14,
            file: 14,
            cause: 12,
            outcome: 8,
            party: 0,
            clock: Clock::default(),
            headed: false,
        };
        let mut left = width - super::DEFAULT_WIDTH;
        for (column, wanted) in [
            (&mut table.cause, "writeback-error?".len()),
            (&mut table.outcome, "buffered-fallback".len()),
            (&mut table.process, 22),
        ] {
            let more = left.min(wanted - *column);
            *column += more;
            left -= more;
        }
        if width >= WIDE {
            table.party = left * 2 / 3;
            left -= table.party + 1;
        }
        table.file += left;
        table
    }

    /// Sets the clocks by which times are shown.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Writes the row of a failure, before the first one the header. A withdrawn one has none.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn row(&mut self, judged: &Judged, out: &mut dyn Write) -> io::Result<()> {
        let Judged { failure, verdict } = judged;
        if verdict.withdrawn.is_some() {
            return Ok(());
        }
        if !self.headed {
            self.headed = true;
            let names = [
                "time (UTC)",
                "process",
                "file",
                "range",
                "phase",
                "cause",
                "outcome",
            ];
            self.line(&names.map(str::to_owned), "other party", out)?;
        }
        let sure = match verdict.confidence {
            Confidence::Window => "?",
            Confidence::Exact | Confidence::None => "",
        };
        let file = match &failure.path {
            Some(path) => {
                let escaped = failure.flags.iter().any(|flag| flag == "path-escaped");
                cell::clean(path, !escaped)
            }
            None => format!("{}:{}", failure.dev, failure.ino),
        };
        let cells = [
            cell::time_of_day(self.clock, failure.ts_ns),
            cell::task(&failure.comm, failure.pid, self.process),
            cell::fit_start(&file, self.file),
            format!("{}+{}", cell::size(failure.pos), cell::size(failure.len)),
            phase_name(failure.phase).to_owned(),
            cell::fit_end(&format!("{}{sure}", verdict.cause.name()), self.cause),
            self.outcome_name(verdict.outcome).to_owned(),
        ];
        let party = detail(judged);
        if self.party > 0 || party.is_empty() {
            return self.line(&cells, &party, out);
        }
        self.line(&cells, "", out)?;
        let party = cell::wrap(&format!("<- {party}"), self.width - TIME - 4);
        for (n, line) in party.lines().enumerate() {
            let indent = if n == 0 { TIME + 1 } else { TIME + 4 };
            writeln!(out, "{:indent$}{line}", "")?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String; 7], party: &str, out: &mut dyn Write) -> io::Result<()> {
        let mut widths = vec![
            TIME,
            self.process,
            self.file,
            RANGE,
            PHASE,
            self.cause,
            self.outcome,
        ];
        let mut cells = cells.to_vec();
        if self.party > 0 {
            widths.insert(6, self.party);
            cells.insert(6, cell::wrap(party, self.party));
        }
        let mut builder = Builder::with_capacity(1, cells.len());
        builder.push_record(cells);
        let mut row = builder.build();
        row.with(Style::empty()).with(Padding::new(0, 1, 0, 0));
        row.with(Width::list(widths.into_iter().map(|width| width + 1)));
        write_trimmed(&row.to_string(), out)
    }

    fn outcome_name(&self, outcome: OutcomeKind) -> &'static str {
        let short = self.outcome < "buffered-fallback".len();
        match outcome {
            OutcomeKind::BufferedFallback if short => "buffered",
            OutcomeKind::StaleCache if short => "stale",
            OutcomeKind::BufferedFallback => "buffered-fallback",
            OutcomeKind::StaleCache => "stale-cache",
            OutcomeKind::Error => "error",
            OutcomeKind::Unknown => "unknown",
        }
    }
}

/// Name as in the log.
pub(super) const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pre => "pre",
        Phase::Map => "map",
        Phase::Post => "post",
    }
}

/// Writes lines without the spaces at their ends.
pub(super) fn write_trimmed(text: &str, out: &mut dyn Write) -> io::Result<()> {
    for line in text.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
