//! The live table: rows are printed as they come, so the columns are fixed beforehand.

use std::io::{self, Write};

use super::cell;
use super::detail::detail;
use crate::correlate::{Confidence, Judged};
use crate::event::{Clock, OutcomeKind, Phase};

/// From this width on the other party has a column of its own; below it has a line of its own.
const WIDE: usize = 150;

const TIME: usize = 12;
const RANGE: usize = 9;
const PHASE: usize = 5;

/// The column before which the other party's stands.
const PARTY: usize = 6;

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

    /// Writes a line of cells, each no wider than its column; more if the party needs them. Rows
    /// come by the million, so the layout is done here and not by a table that measures its cells.
    fn line(&self, cells: &[String; 7], party: &str, out: &mut dyn Write) -> io::Result<()> {
        let widths = [
            TIME,
            self.process,
            self.file,
            RANGE,
            PHASE,
            self.cause,
            self.outcome,
        ];
        let party = if self.party > 0 { party } else { "" };
        let party = cell::wrap(party, self.party);
        let mut party = party.lines();
        let mut line = String::with_capacity(2 * self.width);
        for (n, (text, width)) in cells.iter().zip(widths).enumerate() {
            if n == PARTY && self.party > 0 {
                push_cell(&mut line, party.next().unwrap_or_default(), self.party);
            }
            push_cell(&mut line, text, width);
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        let before = widths[..PARTY].iter().map(|width| width + 1).sum();
        for more in party {
            line.extend(std::iter::repeat_n(' ', before));
            line.push_str(more.trim_end());
            line.push('\n');
        }
        out.write_all(line.as_bytes())
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

/// `text` and as many spaces as fill its column, and one.
fn push_cell(line: &mut String, text: &str, width: usize) {
    line.push_str(text);
    let spaces = (width + 1).saturating_sub(cell::width(text));
    line.extend(std::iter::repeat_n(' ', spaces));
}
