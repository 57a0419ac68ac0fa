//! The common records, read in the order in which the writer writes their fields.
//!
//! A deserialiser finds out for each key which field it is, and for each value where it ends; most
//! of the time of a report would go there. Whoever knows the order compares the next key with the
//! one that must come. Whatever is not exactly so is left to serde: what is read here is the same.

use crate::event::{
    Buffers, Dev, Event, Failure, Holder, HolderKind, How, Mark, Outcome, OutcomeKind, Phase,
    Refusal, Text, Touched, Worker,
};

/// Reads a record of a common type, without spaces and with its fields in the writer's order.
pub(super) fn event(line: &[u8]) -> Option<Event> {
    let mut scan = Scan(line.strip_prefix(br#"{"type":""#)?);
    let scan = &mut scan;
    let event = match scan.0.first()? {
        b'r' => scan.refusal().map(Event::Refusal),
        b'c' => scan.touched(r#"cached","failure":"#).map(Event::Cached),
        b'd' => scan.touched(r#"dirtied","failure":"#).map(Event::Dirtied),
        b'o' => scan.outcome().map(Event::Outcome),
        b'h' => scan.holder().map(|holder| Event::Holder(Box::new(holder))),
        b'f' => scan
            .failure()
            .map(|failure| Event::Failure(Box::new(failure))),
        b'm' => scan.mark().map(Event::Mark),
        _ => None,
    }?;
    (scan.0 == b"}").then_some(event)
}

/// What is left of a line.
struct Scan<'a>(&'a [u8]);

impl<'a> Scan<'a> {
    /// What must come next.
    fn skip(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text.as_bytes())?;
        Some(())
    }

    /// Whether it comes next.
    fn skips(&mut self, text: &str) -> bool {
        self.skip(text).is_some()
    }

    /// A number without sign, as JSON has it.
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        let mut len = 0;
        while let Some(digit) = self.0.get(len).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
            len += 1;
        }
        let whole = len == 1 || len > 1 && self.0[0] != b'0';
        self.0 = &self.0[len..];
        // What follows a number ends a field, or the record.
        (whole && matches!(self.0.first()?, b',' | b'}')).then_some(value)
    }

    fn number32(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn signed(&mut self) -> Option<i64> {
        if self.skips("-") {
            let value = self.number().filter(|value| *value > 0)?;
            return i64::try_from(value).ok().map(|value| -value);
        }
        i64::try_from(self.number()?).ok()
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        self.skip("\"")?;
        let plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
        let len = self.0.iter().take_while(|byte| plain(byte)).count();
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        self.skip("\"")?;
        std::str::from_utf8(text).ok()
    }

    fn text(&mut self) -> Option<Text> {
        self.string().map(Text::from)
    }

    /// A list of strings without escapes.
    fn list<T: From<&'a str>>(&mut self) -> Option<Vec<T>> {
        self.skip("[")?;
        let mut list = Vec::new();
        if self.skips("]") {
            return Some(list);
        }
        // Flags come by the half dozen.
        list.reserve(6);
        loop {
            list.push(self.string()?.into());
            if !self.skips(",") {
                self.skip("]")?;
                return Some(list);
            }
        }
    }

    fn dev(&mut self) -> Option<Dev> {
        self.string()?.parse().ok()
    }

    /// A field that may be left out.
    fn maybe<T>(&mut self, key: &str, value: impl Fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.skips(key) {
            return value(self).map(Some);
        }
        Some(None)
    }

    /// A list that is left out when it is empty.
    fn maybe_list<T: From<&'a str>>(&mut self, key: &str) -> Option<Vec<T>> {
        Some(self.maybe(key, Self::list)?.unwrap_or_default())
    }

    fn field(&mut self, key: &str) -> Option<u64> {
        self.skip(key)?;
        self.number()
    }

    fn field32(&mut self, key: &str) -> Option<u32> {
        self.skip(key)?;
        self.number32()
    }

    fn mark(&mut self) -> Option<Mark> {
        let ts_ns = self.field(r#"mark","ts_ns":"#)?;
        Some(Mark { ts_ns })
    }

    fn refusal(&mut self) -> Option<Refusal> {
        Some(Refusal {
            failure: self.field(r#"refusal","failure":"#)?,
            ts_ns: self.field(r#","ts_ns":"#)?,
            entered_ns: self.maybe(r#","entered_ns":"#, Self::number)?,
            index: self.field(r#","index":"#)?,
            pages: self.field32(r#","pages":"#)?,
            folio_flags: {
                self.skip(r#","folio_flags":"#)?;
                self.list()?
            },
            buffers: self.maybe(r#","buffers":{"state":"#, |scan| {
                let state = scan.list()?;
                let busy = scan.field32(r#","busy":"#)?;
                scan.skip("}")?;
                Some(Buffers { state, busy })
            })?,
        })
    }

    fn touched(&mut self, begin: &str) -> Option<Touched> {
        Some(Touched {
            failure: self.field(begin)?,
            index: self.field(r#","index":"#)?,
            ts_ns: self.field(r#","ts_ns":"#)?,
            pid: self.field32(r#","pid":"#)?,
            tid: self.field32(r#","tid":"#)?,
            comm: {
                self.skip(r#","comm":"#)?;
                self.text()?
            },
            how: {
                self.skip(r#","how":"#)?;
                match self.string()? {
                    "mmap" => How::Mmap,
                    "buffered" => How::Buffered,
                    "read" => How::Read,
                    "io-uring" => How::IoUring,
                    "kernel" => How::Kernel,
                    "unknown" => How::Unknown,
                    _ => return None,
                }
            },
        })
    }

    fn outcome(&mut self) -> Option<Outcome> {
        Some(Outcome {
            failure: self.field(r#"outcome","failure":"#)?,
            outcome: {
                self.skip(r#","outcome":"#)?;
                match self.string()? {
                    "buffered-fallback" => OutcomeKind::BufferedFallback,
                    "stale-cache" => OutcomeKind::StaleCache,
                    "error" => OutcomeKind::Error,
                    "unknown" => OutcomeKind::Unknown,
                    _ => return None,
                }
            },
            ret: self.maybe(r#","ret":"#, Self::signed)?,
        })
    }

    fn holder(&mut self) -> Option<Holder> {
        Some(Holder {
            id: self.field(r#"holder","id":"#)?,
            kind: {
                self.skip(r#","kind":"#)?;
                match self.string()? {
                    "ordered-io" => HolderKind::OrderedIo,
                    "extent-lock" => HolderKind::ExtentLock,
                    _ => return None,
                }
            },
            dev: {
                self.skip(r#","dev":"#)?;
                self.dev()?
            },
            ino: self.field(r#","ino":"#)?,
            root: self.maybe(r#","root":"#, Self::number)?,
            pos: self.field(r#","pos":"#)?,
            len: self.field(r#","len":"#)?,
            start_ns: self.field(r#","start_ns":"#)?,
            locked_ns: self.maybe(r#","locked_ns":"#, Self::number)?,
            unlocked_ns: self.maybe(r#","unlocked_ns":"#, Self::number)?,
            end_ns: self.field(r#","end_ns":"#)?,
            pid: self.field32(r#","pid":"#)?,
            tid: self.field32(r#","tid":"#)?,
            comm: {
                self.skip(r#","comm":"#)?;
                self.text()?
            },
            unlocked_by: self.maybe(r#","unlocked_by":"#, Self::number32)?,
            created_ns: self.maybe(r#","created_ns":"#, Self::number)?,
            created_by: self.maybe(r#","created_by":"#, Self::number32)?,
            function: self.maybe(r#","function":"#, Self::text)?,
            ordered_flags: self.maybe_list(r#","ordered_flags":"#)?,
            stack: self.maybe_list(r#","stack":"#)?,
        })
    }

    fn failure(&mut self) -> Option<Failure> {
        Some(Failure {
            id: self.field(r#"failure","id":"#)?,
            ts_ns: self.field(r#","ts_ns":"#)?,
            duration_ns: self.field(r#","duration_ns":"#)?,
            phase: {
                self.skip(r#","phase":"#)?;
                match self.string()? {
                    "pre" => Phase::Pre,
                    "map" => Phase::Map,
                    "post" => Phase::Post,
                    _ => return None,
                }
            },
            pid: self.field32(r#","pid":"#)?,
            tid: self.field32(r#","tid":"#)?,
            comm: {
                self.skip(r#","comm":"#)?;
                self.text()?
            },
            worker: self.maybe(r#","worker":"#, |scan| match scan.string()? {
                "kernel" => Some(Worker::Kernel),
                "io-uring" => Some(Worker::IoUring),
                _ => None,
            })?,
            completed_by: self.maybe(r#","completed_by":"#, Self::number32)?,
            cgroup: self.field(r#","cgroup":"#)?,
            dev: {
                self.skip(r#","dev":"#)?;
                self.dev()?
            },
            ino: self.field(r#","ino":"#)?,
            root: self.maybe(r#","root":"#, Self::number)?,
            fs: {
                self.skip(r#","fs":"#)?;
                self.text()?
            },
            path: self.maybe(r#","path":"#, |scan| scan.string().map(str::to_owned))?,
            pos: self.field(r#","pos":"#)?,
            len: self.field(r#","len":"#)?,
            size: self.field(r#","size":"#)?,
            errno: self.maybe(r#","errno":"#, |scan| i32::try_from(scan.signed()?).ok())?,
            wb_err_begin: self.field32(r#","wb_err_begin":"#)?,
            wb_err_now: self.field32(r#","wb_err_now":"#)?,
            wb_error_ns: self.maybe(r#","wb_error_ns":"#, Self::number)?,
            refusals: self.field32(r#","refusals":"#)?,
            dirtied: self.field32(r#","dirtied":"#)?,
            cached: self.field32(r#","cached":"#)?,
            flags: {
                self.skip(r#","flags":"#)?;
                self.list()?
            },
            stack: self.maybe_list(r#","stack":"#)?,
        })
    }
}
