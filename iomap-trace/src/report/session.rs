//! One run after the other: the way events take, live and in replay.

use anyhow::Result;
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

use super::cell;
use super::dossier::Collector;
use super::hosts::Hosts;
use super::html::{Failures, html};
use super::json;
use super::markdown::markdown;
use super::observer::Observer;
use super::parts::{Joined, Parts};
use super::perfetto::Trace;
use super::summary::Summary;
use super::summary_text::summary_text;
use super::table::Table;
use super::timeline;
use crate::correlate::{Engine, Judged};
use crate::event::{End, Event};

/// What a session writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A row for each failure, and the summary as text.
    Table {
        /// Columns of a line.
        width: usize,
    },
    /// Every record, every verdict, and the summary, one JSON object a line.
    Json,
    /// The interleaving of the clearest failure of each kind, as text for a mail.
    Timeline {
        /// Of the failures of this number instead.
        failure: Option<u64>,
    },
    /// A bug report in Markdown.
    Markdown,
    /// The same as one HTML file, with a timeline of all failures.
    Html,
    /// Trace events for the Perfetto UI.
    Perfetto,
    /// Nothing but the summary as text.
    Summary {
        /// Columns of a line.
        width: usize,
    },
}

/// Takes events in the order of the log, judges them, and writes the results.
///
/// The live tracer and the replay of a log use it alike, so that both give the same bytes.
#[derive(Debug)]
pub struct Session {
    format: Format,
    table: Table,
    engine: Option<Engine>,
    /// Gathers what the long formats say; the others need none.
    collector: Option<Box<Collector>>,
    /// The page's timeline.
    failures: Option<Box<Failures>>,
    /// Writes trace events as they come.
    trace: Option<Box<Trace>>,
    summary: Summary,
    /// The sums of each host, when logs of several are expected.
    hosts: Hosts,
    parts: Parts,
    /// Sees the same events and verdicts.
    observer: Option<Rc<RefCell<dyn Observer>>>,
    /// Emptied after each event; kept for its memory.
    judged: Vec<Judged>,
}

impl Session {
    /// A session that writes in `format`.
    pub fn new(format: Format) -> Self {
        let width = match format {
            Format::Table { width } | Format::Summary { width } => width,
            Format::Json
            | Format::Timeline { .. }
            | Format::Markdown
            | Format::Html
            | Format::Perfetto => super::DEFAULT_WIDTH,
        };
        let collector = match format {
            Format::Timeline { failure: Some(id) } => Some(Collector::of_failure(id)),
            Format::Timeline { failure: None } | Format::Markdown | Format::Html => {
                Some(Collector::new())
            }
            Format::Table { .. } | Format::Json | Format::Summary { .. } | Format::Perfetto => None,
        };
        let failures = (format == Format::Html).then(Box::default);
        let trace = (format == Format::Perfetto).then(Box::default);
        Self {
            format,
            table: Table::new(width),
            engine: None,
            collector: collector.map(Box::new),
            failures,
            trace,
            summary: Summary::default(),
            hosts: Hosts::default(),
            parts: Parts::default(),
            observer: None,
            judged: Vec::new(),
        }
    }

    /// What follows was recorded on another host, perhaps: its sums are kept apart if its boot is
    /// another, and it is called `name` then.
    pub fn host(&mut self, name: &str) {
        self.hosts.next(name);
    }

    /// Shows everything to `observer` as well, each event before its verdicts.
    pub fn observe(&mut self, observer: Rc<RefCell<dyn Observer>>) {
        self.observer = Some(observer);
    }

    /// Takes an event. A run goes from its `start` to its `end`; another may follow. Parts of a
    /// run's log are one run.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn event(&mut self, event: Event, out: &mut dyn Write) -> Result<()> {
        match self.parts.take(event) {
            Joined::Event(event) => self.next(event, out),
            Joined::Repeated => Ok(()),
            Joined::Rotated(end) => {
                self.hosts
                    .each(&mut self.summary, |summary| summary.end(&end));
                self.line(&Event::End(end), out)
            }
            Joined::Resumed(start) => {
                self.table.set_clock(start.clock);
                self.hosts.each(&mut self.summary, Summary::resume);
                self.line(&Event::Start(start), out)
            }
        }
    }

    fn line(&self, event: &Event, out: &mut dyn Write) -> Result<()> {
        match self.format {
            Format::Json => Ok(json::line(out, event)?),
            _ => Ok(()),
        }
    }

    fn next(&mut self, event: Event, out: &mut dyn Write) -> Result<()> {
        if let Event::Start(start) = &event {
            self.close(out)?;
            self.hosts.start(start, &mut self.summary);
            self.table.set_clock(start.clock);
            self.engine = Some(Engine::new(start));
            let host = self.summary.host.as_ref();
            if let Some(collector) = &mut self.collector {
                collector.host(host);
            }
            if let Some(trace) = &mut self.trace {
                trace.host(host);
            }
        }
        self.line(&event, out)?;
        if let Event::End(end) = event {
            return self.end(&end, out);
        }
        self.show(&event, out)?;
        // What a log holds between the end of a run and the start of another belongs to none.
        if let Some(engine) = &mut self.engine {
            engine.push(event, &mut self.judged);
            self.write_judged(out)?;
        }
        Ok(())
    }

    /// A run ends in order, perhaps with the last of several parts.
    fn end(&mut self, end: &End, out: &mut dyn Write) -> Result<()> {
        let total = self.parts.total(end.clone());
        self.show(&Event::End(Box::new(total)), out)?;
        if self.engine.is_some() {
            self.end_engine(out)?;
            self.hosts
                .each(&mut self.summary, |summary| summary.end(end));
        }
        Ok(())
    }

    /// Shows an event to everyone who looks at more than verdicts.
    fn show(&mut self, event: &Event, out: &mut dyn Write) -> Result<()> {
        if let Some(collector) = &mut self.collector {
            collector.event(event);
        }
        if let Some(failures) = &mut self.failures {
            failures.event(event);
        }
        if let Some(trace) = &mut self.trace {
            trace.event(event, out)?;
        }
        if let Some(observer) = &self.observer {
            observer.borrow_mut().event(event);
        }
        Ok(())
    }

    /// Ends the run, also where its next part might have followed.
    fn close(&mut self, out: &mut dyn Write) -> Result<()> {
        if let Some(end) = self.parts.close() {
            self.show(&Event::End(end), out)?;
        }
        self.end_engine(out)
    }

    /// Ends a run, if one is open: what is undecided is judged with what is known. An `end` event
    /// does it by itself; this is for a run, or a log, that stops without one.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn end_run(&mut self, out: &mut dyn Write) -> Result<()> {
        // After the end of a part the next one may follow.
        match self.parts.between() {
            true => Ok(()),
            false => self.close(out),
        }
    }

    fn end_engine(&mut self, out: &mut dyn Write) -> Result<()> {
        if let Some(mut engine) = self.engine.take() {
            let open = engine.finish(&mut self.judged);
            self.hosts
                .each(&mut self.summary, |summary| summary.left_open(open));
            self.write_judged(out)?;
        }
        Ok(())
    }

    /// Ends the run, if one is open, and writes the summary.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn finish(&mut self, out: &mut dyn Write) -> Result<()> {
        self.close(out)?;
        self.hosts.finish(&mut self.summary);
        match self.format {
            Format::Json => json::line(out, &self.summary)?,
            Format::Table { width } => {
                if self.summary.failures.total() > 0 {
                    writeln!(out)?;
                }
                out.write_all(summary_text(&self.summary, width).as_bytes())?;
            }
            Format::Timeline { failure } => {
                let dossier = self.collector.as_ref().map(|c| c.dossier(&self.summary));
                let text = match dossier.filter(|dossier| !dossier.examples.is_empty()) {
                    Some(dossier) => timeline::timelines(&dossier),
                    None => timeline::nothing(&self.summary, failure),
                };
                out.write_all(text.as_bytes())?;
            }
            Format::Markdown => {
                if let Some(collector) = &self.collector {
                    let dossier = collector.dossier(&self.summary);
                    out.write_all(markdown(&dossier).as_bytes())?;
                }
            }
            Format::Html => {
                if let (Some(collector), Some(failures)) = (&self.collector, &self.failures) {
                    let dossier = collector.dossier(&self.summary);
                    out.write_all(html(&dossier, failures).as_bytes())?;
                }
            }
            Format::Perfetto => {
                if let Some(trace) = &mut self.trace {
                    trace.finish(&self.summary, out)?;
                }
            }
            Format::Summary { width } => {
                out.write_all(summary_text(&self.summary, width).as_bytes())?;
            }
        }
        Ok(out.flush()?)
    }

    /// The sums up to now.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    fn write_judged(&mut self, out: &mut dyn Write) -> Result<()> {
        for judged in self.judged.drain(..) {
            self.hosts
                .each(&mut self.summary, |summary| summary.judged(&judged));
            if let Some(collector) = &mut self.collector {
                collector.judged(&judged);
            }
            if let Some(failures) = &mut self.failures {
                failures.judged(&judged, self.summary.host.as_ref());
            }
            if let Some(trace) = &mut self.trace {
                trace.judged(&judged, out)?;
            }
            if let Some(observer) = &self.observer {
                observer.borrow_mut().judged(&judged);
            }
            match self.format {
                Format::Table { .. } => {
                    if let Some(host) = self.hosts.announce() {
                        writeln!(out, "{}:", cell::clean(host, true))?;
                    }
                    self.table.row(&judged, out)?;
                }
                Format::Json => json::line(out, &judged.verdict)?,
                Format::Timeline { .. }
                | Format::Markdown
                | Format::Html
                | Format::Perfetto
                | Format::Summary { .. } => {}
            }
        }
        Ok(())
    }
}
