//! The trace's JSON, one event a line.

use serde::Serialize;
use std::io::{self, Write};

use super::record::Args;
use super::tracks::{Place, Slice};
use crate::report::summary::Summary;

/// An event of the Trace Event Format. Times are microseconds, with nanoseconds behind the point.
#[derive(Default, Serialize)]
struct TraceEvent<'a, A> {
    ph: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cat: &'static str,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// A flow ends in the slice that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<A>,
}

/// Process of the note on what is missing: above all real ones.
const NOTE: u32 = super::tracks::PIDS + 1;

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct SortIndex {
    sort_index: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct OtherData<'a> {
    tool: &'static str,
    version: &'static str,
    kernels: &'a [String],
    /// What 0 means.
    zero: &'a str,
    failures: u64,
    /// Slices that had no room.
    slices_left_out: u64,
}

/// Writes events as they come.
#[derive(Debug, Default)]
pub(super) struct Writer {
    begun: bool,
    /// Slices that had no room, or no time on this axis.
    pub left_out: u64,
    /// From the first slice to the end of the last.
    span: Option<(u64, u64)>,
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}

impl Writer {
    fn event<A: Serialize>(
        &mut self,
        event: &TraceEvent<'_, A>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        out.write_all(match self.begun {
            true => b",\n",
            false => b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n",
        })?;
        self.begun = true;
        Ok(serde_json::to_writer(out, event)?)
    }

    fn metadata<A: Serialize>(
        &mut self,
        name: &'static str,
        pid: u32,
        tid: Option<u32>,
        args: A,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let event = TraceEvent {
            ph: "M",
            name,
            cat: "",
            pid,
            tid,
            ts: None,
            dur: None,
            id: None,
            bp: None,
            args: Some(args),
        };
        self.event(&event, out)
    }

    /// Names a process, and says where it stands among others.
    pub fn process(
        &mut self,
        pid: u32,
        name: &str,
        sort_index: Option<i32>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.metadata("process_name", pid, None, Name { name }, out)?;
        match sort_index {
            Some(sort_index) => {
                let index = SortIndex { sort_index };
                self.metadata("process_sort_index", pid, None, index, out)
            }
            None => Ok(()),
        }
    }

    /// Names a thread.
    pub fn thread(
        &mut self,
        pid: u32,
        tid: u32,
        name: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.metadata("thread_name", pid, Some(tid), Name { name }, out)
    }

    /// A slice.
    pub fn slice(
        &mut self,
        place: Place,
        slice: &Slice,
        (begin, end): (u64, u64),
        args: &Args,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let (first, last) = self.span.unwrap_or((begin, end));
        self.span = Some((first.min(begin), last.max(end)));
        let event = TraceEvent {
            ph: "X",
            name: &slice.name,
            cat: slice.category,
            pid: place.pid,
            tid: Some(place.tid),
            ts: Some(us(begin)),
            dur: Some(us(end - begin)),
            id: None,
            bp: None,
            args: Some(args),
        };
        self.event(&event, out)
    }

    /// An arrow from one slice to another.
    pub fn flow(
        &mut self,
        id: u64,
        (from, left): (Place, u64),
        (to, reached): (Place, u64),
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let event = |ph, bp, place: Place, at| TraceEvent::<()> {
            ph,
            name: "in the way of",
            cat: "flow",
            pid: place.pid,
            tid: Some(place.tid),
            ts: Some(us(at)),
            dur: None,
            id: Some(id),
            bp,
            args: None,
        };
        self.event(&event("s", None, from, left), out)?;
        self.event(&event("f", Some("e"), to, reached), out)
    }

    /// One more slice, over everything, for those that are missing.
    fn say_left_out(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some((begin, end)) = self.span.filter(|_| self.left_out > 0) else {
            return Ok(());
        };
        let name = format!(
            "{} slices are not shown: too many at the same time on one track",
            self.left_out
        );
        self.process(NOTE, "iomap-trace", Some(-2), out)?;
        self.thread(NOTE, NOTE, "note", out)?;
        let event = TraceEvent::<()> {
            ph: "X",
            name: &name,
            cat: "note",
            pid: NOTE,
            tid: Some(NOTE),
            ts: Some(us(begin)),
            dur: Some(us(end - begin)),
            id: None,
            bp: None,
            args: None,
        };
        self.event(&event, out)
    }

    /// What is said of the whole, and the end of it.
    pub fn finish(
        &mut self,
        zero: &str,
        kernels: &[String],
        summary: &Summary,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.say_left_out(out)?;
        if !self.begun {
            out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        }
        let about = OtherData {
            tool: "iomap-trace",
            version: env!("CARGO_PKG_VERSION"),
            kernels,
            zero,
            failures: summary.failures.total(),
            slices_left_out: self.left_out,
        };
        out.write_all(b"\n],\"otherData\":")?;
        serde_json::to_writer(&mut *out, &about)?;
        out.write_all(b"}\n")
    }
}
