//! Where events go: the log first, then the session and the terminal.

use anyhow::{Context, Result};
use std::io::{ErrorKind, Write};

use super::attach;
use super::plan::{Plan, Rows};
use super::say::{Level, say};
use super::status::StatusLine;
use crate::cost::Second;
use crate::event::{End, Event};
use crate::log::{RunLog, Turn};
use crate::report::{Format, Session};

/// Where events go: the log first, then the session.
pub(super) struct Sink {
    pub(super) session: Session,
    pub(super) log: Option<RunLog>,
    pub(super) log_failed: bool,
    /// Whoever reads the rows has seen enough of them.
    pub(super) closed: bool,
    stop_after: Option<u64>,
    /// Failures that the session was given; some of them are judged later.
    taken: u64,
    /// The last failure was one too many: so are the records that follow it.
    beyond: bool,
    json: bool,
    rows: Rows,
    summary: Rows,
    /// What the session wrote and the terminal has not got yet.
    text: Vec<u8>,
    pub(super) status: StatusLine,
}

impl Sink {
    pub(super) fn new(log: Option<RunLog>, plan: &Plan) -> Self {
        Self {
            session: Session::new(plan.format),
            log,
            log_failed: false,
            closed: false,
            stop_after: plan.common.count,
            taken: 0,
            beyond: false,
            json: plan.format == Format::Json,
            rows: plan.rows,
            summary: plan.summary,
            text: Vec::new(),
            status: StatusLine::new(plan.format != Format::Json),
        }
    }

    pub(super) fn take(&mut self, event: Event) -> Result<()> {
        if self.full() && !matches!(event, Event::Loss(_) | Event::Mark(_) | Event::End(_)) {
            return Ok(());
        }
        match event {
            Event::Failure(_) => {
                self.beyond = self.enough();
                self.taken += u64::from(!self.beyond);
                if self.beyond {
                    return Ok(());
                }
            }
            Event::Refusal(_) | Event::Dirtied(_) | Event::Cached(_) | Event::Outcome(_)
                if self.beyond =>
            {
                return Ok(());
            }
            _ => {}
        }
        if let Some(log) = &mut self.log
            && let Err(e) = log.append(&event)
        {
            self.complain(&e);
        }
        self.session.event(event, &mut self.text)
    }

    /// Whether what the run costs is shown while it goes on.
    pub(super) fn shows_cost(&self) -> bool {
        self.json || self.status.on_terminal()
    }

    /// Writes what a second has cost, where standard output is JSON. The log has only the sums.
    pub(super) fn cost(&mut self, second: &Second) -> Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.text, second)?;
            self.text.push(b'\n');
        }
        Ok(())
    }

    /// With those that are not judged yet `--count` failures are there; one that turns out to be none
    /// makes room for another.
    pub(super) fn enough(&self) -> bool {
        let withdrawn = self.session.summary().withdrawn;
        let failures = self.taken.saturating_sub(withdrawn);
        self.stop_after.is_some_and(|count| failures >= count)
    }

    /// `--count` failures were judged: what else was in the ring buffer is beyond the run.
    pub(super) fn full(&self) -> bool {
        let failures = self.session.summary().failures.total();
        self.stop_after.is_some_and(|count| failures >= count)
    }

    /// Every failure that came was judged.
    pub(super) fn quiet(&self) -> bool {
        let summary = self.session.summary();
        self.taken <= summary.failures.total() + summary.withdrawn
    }

    /// Says once that the log is lost; tracing goes on.
    pub(super) fn complain(&mut self, error: &dyn std::fmt::Display) {
        self.log_failed = true;
        self.say(Level::Error, error);
    }

    pub(super) fn say(&mut self, level: Level, what: impl std::fmt::Display) {
        self.status.clear();
        say(level, what);
    }

    /// Lets the log go on in another file.
    pub(super) fn turn(&mut self, turn: Turn, end: &End) {
        if let Some(log) = &mut self.log
            && let Err(e) = log.turn(turn, end, &attach::refresh)
        {
            self.complain(&e);
        }
        self.tell_news();
    }

    /// Says what happened to the log's files.
    pub(super) fn tell_news(&mut self) {
        for line in self.log.as_mut().map(RunLog::news).unwrap_or_default() {
            self.say(Level::Notice, line);
        }
    }

    /// Writes the rows that have come up.
    pub(super) fn show(&mut self) -> Result<()> {
        self.show_on(self.rows)
    }

    pub(super) fn show_on(&mut self, rows: Rows) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.status.clear();
        let written = match rows {
            Rows::Stdout => write_all(std::io::stdout().lock(), &self.text),
            Rows::Stderr => write_all(std::io::stderr().lock(), &self.text),
        };
        self.text.clear();
        match written {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other.context("output cannot be written"),
        }
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.show()?;
        if let Some(log) = &mut self.log
            && let Err(e) = log.flush()
        {
            self.complain(&e);
        }
        self.tell_news();
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<()> {
        if let Some(log) = &mut self.log
            && let Err(e) = log.finish()
        {
            self.complain(&e);
        }
        self.show()?;
        self.session.finish(&mut self.text)?;
        self.show_on(self.summary)
    }
}

fn write_all(mut out: impl Write, text: &[u8]) -> std::io::Result<()> {
    out.write_all(text)?;
    out.flush()
}
