//! Trace events for the Perfetto UI: a track for each task and for each file, slices for direct
//! writes, failures, locks and those who touched the page cache, and flows from whoever was in the
//! way to the failure.
//!
//! The format is the JSON of Chromium's "Trace Event Format", which Perfetto reads. Slices of a
//! track have to lie within each other or apart, so a track has as many lanes as it needs. Nothing
//! is kept but what the next verdicts may need: the trace is written as the log is read.

mod lanes;
mod record;
#[cfg(test)]
mod tests;
mod tracks;
mod write;

use foldhash::fast::RandomState;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};

use self::record::Args;
use self::tracks::{Place, Slice, Track, Tracks};
use self::write::Writer;
use super::cell;
use super::dossier::{Recent, Records};
use super::summary::Summary;
use super::timeline::{date, range};
use crate::correlate::Judged;
use crate::event::{Clock, Event, Failure, Holder, HolderKind, Start, Text, Touched};

/// Slices of which the place is known for flows.
const PLACES: usize = 4096;
/// What has no length gets one, in nanoseconds, so that it can be seen.
const INSTANT_NS: u64 = 1_000;

/// What a flow can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// A holder, by number.
    Holder(u64),
    /// A task that touched pages: its thread, and when.
    Touch(u32, u64),
}

/// Writes a trace while a log is read.
#[derive(Debug, Default)]
pub struct Trace {
    writer: Writer,
    tracks: Tracks,
    recent: Recent,
    places: HashMap<Source, Place, RandomState>,
    order: VecDeque<Source>,
    /// Pages are counted in this.
    page_size: u64,
    /// The clock of the first run: times count from the day before.
    origin: Option<Clock>,
    kernels: Vec<String>,
    flows: u64,
}

impl Trace {
    /// The next run is one of this host, where there may be several: its tracks say so.
    pub fn host(&mut self, host: Option<&Text>) {
        self.tracks.name(host.map(Text::as_str));
    }

    /// Takes an event, before the verdicts that follow from it.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn event(&mut self, event: &Event, out: &mut dyn Write) -> io::Result<()> {
        match event {
            Event::Start(start) => self.start(start),
            Event::Failure(failure) => self.recent.failure(failure.id),
            Event::Refusal(record) => self.recent.refusal(record),
            Event::Dirtied(record) => self.recent.dirtied(record),
            Event::Cached(record) => self.recent.cached(record),
            Event::Outcome(record) => self.recent.outcome(record),
            Event::Holder(holder) => self.holder(holder, out)?,
            Event::File(_) | Event::End(_) | Event::Loss(_) | Event::Mark(_) => {}
        }
        Ok(())
    }

    fn start(&mut self, start: &Start) {
        self.origin.get_or_insert(start.clock);
        self.tracks.start(start);
        self.page_size = start.page_size;
        // Numbers begin anew.
        self.recent = Recent::default();
        self.places.clear();
        self.order.clear();
        let kernel = cell::clean(&start.kernel.release, true);
        if self.kernels.len() < 16 && !self.kernels.contains(&kernel) {
            self.kernels.push(kernel);
        }
    }

    fn holder(&mut self, holder: &Holder, out: &mut dyn Write) -> io::Result<()> {
        let bytes = range(holder.pos, holder.len);
        let function = holder.function.as_deref().map(|f| cell::clean(f, true));
        let name = match (holder.kind, &function) {
            (HolderKind::OrderedIo, _) => format!("ordered I/O completes {bytes}"),
            (HolderKind::ExtentLock, Some(function)) => format!("{function}() {bytes}"),
            (HolderKind::ExtentLock, None) => format!("extent lock {bytes}"),
        };
        let args = Args::of_holder(holder);
        let task = Track::task(&self.tracks, holder.pid, holder.tid, &holder.comm);
        let file = Track::file(&self.tracks, holder.dev, holder.root, holder.ino);
        let (start, end) = (
            holder.start_ns,
            holder.end_ns.max(holder.unlocked_ns.unwrap_or(0)),
        );
        let slice = |name: &str, begin, end| Slice {
            name: name.to_owned(),
            category: "holder",
            begin,
            end,
        };
        let whole = slice(&name, start, end);
        let mut place = self.slice(&task, &whole, None, &args, out)?;
        if let (Some(locked), Some(unlocked)) = (holder.locked_ns, holder.unlocked_ns) {
            // A flow comes from the lock, where it is not all of it.
            if (locked, unlocked) != (start, end) {
                let lock = slice(&format!("locked {bytes}"), locked, unlocked);
                place = self.slice(&task, &lock, place, &args, out)?.or(place);
            }
            let by = cell::task(&holder.comm, holder.pid, 40);
            let lock = slice(&format!("{name} by {by}"), locked, unlocked);
            self.slice(&file, &lock, None, &args, out)?;
        }
        if let Some(place) = place {
            self.remember(Source::Holder(holder.id), place);
        }
        self.recent.holder(holder);
        Ok(())
    }

    /// Takes a verdict; one that was withdrawn is none.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn judged(&mut self, judged: &Judged, out: &mut dyn Write) -> io::Result<()> {
        let Judged { failure, verdict } = judged;
        let records = self.recent.take(failure.id).unwrap_or_default();
        if verdict.withdrawn.is_some() {
            return Ok(());
        }
        let args = Args::of_failure(judged);
        let task = Track::task(&self.tracks, failure.pid, failure.tid, &failure.comm);
        let mut file = Track::file(&self.tracks, failure.dev, failure.root, failure.ino);
        file.name = args.file.clone().or(file.name);
        let write = Slice {
            name: format!("direct write {}", range(failure.pos, failure.len)),
            category: "write",
            begin: failure.ts_ns.saturating_sub(failure.duration_ns),
            end: failure.ts_ns,
        };
        let fails = fails(judged, &records);
        // The verdict is said once, on the task's failure.
        let brief = Args {
            failure: args.failure,
            ..Args::default()
        };
        let mut to = None;
        for (track, args) in [(&file, &brief), (&task, &args)] {
            let mut outer = None;
            if failure.duration_ns > 0 {
                outer = self.slice(track, &write, None, &brief, out)?;
            }
            to = self.slice(track, &fails, outer, args, out)?;
        }
        // The task's track was the last.
        let mut sources: Vec<Source> = verdict
            .holders
            .iter()
            .map(|id| Source::Holder(*id))
            .collect();
        for (touched, dirtied) in touches(&records) {
            let source = self.touched(&touched, dirtied, &file, out)?;
            let party = verdict.party.iter().chain(&verdict.cached_by);
            if party
                .map(|party| party.tid)
                .any(|tid| tid == touched[0].tid)
            {
                sources.extend(source);
            }
        }
        let Some(to) = to else {
            return Ok(());
        };
        for source in sources {
            if let Some(from) = self.places.get(&source).copied() {
                self.flows += 1;
                self.flow(from, to, failure, out)?;
            }
        }
        Ok(())
    }

    /// One slice for all pages that a task touched in one way.
    fn touched(
        &mut self,
        touched: &[&Touched],
        dirtied: bool,
        file: &Track,
        out: &mut dyn Write,
    ) -> io::Result<Option<Source>> {
        let first = touched.iter().map(|t| t.ts_ns).min().unwrap_or(0);
        let last = touched.iter().map(|t| t.ts_ns).max().unwrap_or(0);
        let source = Source::Touch(touched[0].tid, first);
        // Several failures can name the same.
        if self.places.contains_key(&source) {
            return Ok(Some(source));
        }
        let does = if dirtied { "dirties" } else { "caches" };
        let from = touched.iter().map(|t| t.index).min().unwrap_or(0);
        let pages = touched.len() as u64;
        let bytes = range(
            from.saturating_mul(self.page_size),
            pages.saturating_mul(self.page_size),
        );
        let mut slice = Slice {
            name: format!("{does} {bytes}"),
            category: "page-cache",
            begin: first,
            end: last.saturating_add(INSTANT_NS),
        };
        let args = Args::of_touched(touched[0], file.name.clone());
        let task = Track::task(
            &self.tracks,
            touched[0].pid,
            touched[0].tid,
            &touched[0].comm,
        );
        let place = self.slice(&task, &slice, None, &args, out)?;
        slice.name = format!(
            "{} {}",
            cell::task(&touched[0].comm, touched[0].pid, 40),
            slice.name
        );
        self.slice(file, &slice, None, &args, out)?;
        Ok(place.map(|place| {
            self.remember(source, place);
            source
        }))
    }

    /// Writes a slice in a lane of `track`, that of `within` or behind it.
    fn slice(
        &mut self,
        track: &Track,
        slice: &Slice,
        within: Option<Place>,
        args: &Args,
        out: &mut dyn Write,
    ) -> io::Result<Option<Place>> {
        let Some((begin, end)) = self.times(slice) else {
            self.writer.left_out += 1;
            return Ok(None);
        };
        let (clock, writer) = (begin..end, &mut self.writer);
        let Some(place) = self.tracks.place(track, clock, within, writer, out)? else {
            self.writer.left_out += 1;
            return Ok(None);
        };
        self.writer.slice(place, slice, (begin, end), args, out)?;
        Ok(Some(place))
    }

    /// Begin and end in nanoseconds since the origin, the end later than the begin.
    fn times(&self, slice: &Slice) -> Option<(u64, u64)> {
        let begin = self.since_origin(slice.begin)?;
        let end = self.since_origin(slice.end)?;
        Some((begin, end.max(begin.saturating_add(1))))
    }

    /// A day before the first run began is 0: the same axis for runs of several machines, without
    /// negative numbers, and small enough for numbers of JSON to be exact.
    fn since_origin(&self, ts_ns: u64) -> Option<u64> {
        const DAY: i128 = 86_400_000_000_000;
        let origin = self.origin?;
        let clock = self.tracks.clock;
        let wall = i128::from(clock.wall_ns) + i128::from(ts_ns) - i128::from(clock.boot_ns);
        let since = wall - i128::from(origin.wall_ns) + DAY;
        // Beyond 104 days a double has no more nanoseconds, and beyond this nothing is meant.
        u64::try_from(since).ok().filter(|ns| *ns < u64::MAX / 4)
    }

    fn flow(
        &mut self,
        from: Place,
        to: Place,
        failure: &Failure,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        // It leaves the other slice when the failure was seen, if that was still there.
        let at = self.since_origin(failure.ts_ns).unwrap_or(from.begin);
        let at = at.clamp(from.begin, from.end.saturating_sub(1).max(from.begin));
        self.writer.flow(
            self.flows,
            (from, at.min(to.begin.max(from.begin))),
            (to, to.begin),
            out,
        )
    }

    fn remember(&mut self, source: Source, place: Place) {
        if self.order.len() >= PLACES
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
        if self.places.insert(source, place).is_none() {
            self.order.push_back(source);
        }
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn finish(&mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        let origin = match self.origin {
            Some(clock) => format!("{} UTC less one day", date(clock, clock.boot_ns)),
            None => "no run".to_owned(),
        };
        self.writer.finish(&origin, &self.kernels, summary, out)
    }
}

/// The failure itself, from the moment at which the first folio was asked for.
fn fails(Judged { failure, verdict }: &Judged, records: &Records) -> Slice {
    let write = failure.ts_ns.saturating_sub(failure.duration_ns);
    let entered = records.refusals.iter().filter_map(|r| r.entered_ns).min();
    let begin = entered.unwrap_or_else(|| failure.ts_ns.saturating_sub(INSTANT_NS));
    let begin = match failure.duration_ns {
        0 => begin,
        _ => begin.max(write),
    };
    Slice {
        name: format!("invalidation fails: {}", verdict.cause.name()),
        category: "failure",
        begin: begin.min(failure.ts_ns),
        end: failure.ts_ns,
    }
}

/// Who touched the folios: the records of each task and way, and whether it dirtied them.
fn touches(records: &Records) -> Vec<(Vec<&Touched>, bool)> {
    let mut groups: Vec<(Vec<&Touched>, bool)> = Vec::new();
    let dirtied = records.dirtied.iter().map(|touched| (touched, true));
    let cached = records.cached.iter().map(|touched| (touched, false));
    for (touched, dirtied) in dirtied.chain(cached) {
        let same = |(group, kind): &&mut (Vec<&Touched>, bool)| {
            *kind == dirtied
                && (group[0].tid, group[0].how) == (touched.tid, touched.how)
                && group
                    .iter()
                    .any(|t| t.ts_ns.abs_diff(touched.ts_ns) < 100 * INSTANT_NS)
        };
        match groups.iter_mut().find(same) {
            Some((group, _)) => group.push(touched),
            None => groups.push((vec![touched], dirtied)),
        }
    }
    groups
}
