//! A failure's records as the steps of a timeline.

use super::super::cell;
use super::super::dossier::Example;
use super::names::Names;
use super::{Row, Timeline};
use crate::correlate::Cause;
use crate::event::{Holder, HolderKind, How, OutcomeKind, Phase, Refusal, Touched};
use crate::workload::tally::errno_name;

/// Refusals that are shown one by one.
const REFUSALS: usize = 3;

/// The columns.
#[derive(Clone, Copy)]
enum Party {
    Writer,
    Writeback,
    Ordered,
    Locker,
    Dirtier,
    Reader,
}

const NAMES: [&str; 6] = [
    "direct write",
    "writeback",
    "ordered I/O",
    "lock holder",
    "dirtier",
    "reader",
];

/// Writes the rows of one failure.
struct Steps<'a> {
    example: &'a Example,
    names: Names,
    rows: Vec<Row>,
    mapped: bool,
}

/// The timeline of a failure. Its parties are those that did something.
pub fn timeline(example: &Example) -> Timeline {
    let mut steps = Steps {
        example,
        names: Names::of(&example.origin, &example.failure.fs),
        rows: Vec::new(),
        mapped: false,
    };
    steps.begin();
    steps.touched();
    for holder in &example.holders {
        steps.holder(holder, true);
    }
    for holder in &example.beside {
        steps.holder(holder, false);
    }
    steps.refusals();
    steps.failed();
    let Steps {
        mut rows, mapped, ..
    } = steps;
    rows.sort_by_key(|row| row.ns);
    let name = |column: usize| match rows.iter().any(|row| row.column == column) {
        true if column == Party::Dirtier as usize && mapped => "mmap store",
        true => NAMES[column],
        false => "",
    };
    let parties = (0..NAMES.len())
        .map(|column| name(column).to_owned())
        .collect();
    Timeline { parties, rows }
}

impl Steps<'_> {
    fn row(&mut self, ns: u64, party: Party, text: String) {
        self.rows.push(Row {
            ns,
            column: party as usize,
            text,
            marked: false,
        });
    }

    fn begin(&mut self) {
        let failure = &self.example.failure;
        let range = range(failure.pos, failure.len);
        if failure.duration_ns > 0 {
            let text = format!("{} {range} begins", self.names.write);
            self.row(self.example.begin_ns(), Party::Writer, text);
            let text = "filemap_write_and_wait_range()";
            self.row(self.example.begin_ns(), Party::Writer, text.to_owned());
        }
    }

    /// Who dirtied the folios, and who cached them: a row for each task.
    fn touched(&mut self) {
        let records = &self.example.records;
        for group in groups(&records.dirtied) {
            let how = group[0].how;
            self.mapped |= how == How::Mmap;
            let text = format!(
                "{} {} by {}{}",
                self.names.dirty,
                self.folios(&group),
                cell::task(&group[0].comm, group[0].pid, 24),
                through(how)
            );
            self.row(last(&group), Party::Dirtier, text);
        }
        let begin = self.example.begin_ns();
        for group in groups(&records.cached) {
            // Who dirtied a folio has often cached it as well: that says nothing more, unless it
            // came back during the write.
            let known = records.dirtied.iter().any(|t| t.tid == group[0].tid);
            let party = match group[0].how {
                How::Read => Party::Reader,
                _ if known && last(&group) < begin => continue,
                _ => Party::Dirtier,
            };
            let text = format!(
                "{} caches {}{}",
                cell::task(&group[0].comm, group[0].pid, 24),
                self.folios(&group),
                through(group[0].how)
            );
            self.row(last(&group), party, text);
        }
    }

    /// The bytes of the folios of some records. Of a large folio the records have the first page.
    fn folios(&self, group: &[&Touched]) -> String {
        let page = self.example.origin.page_size;
        let refusals = &self.example.records.refusals;
        let pages = |index| {
            let here = refusals.iter().find(|refusal| refusal.index == index);
            here.map_or(1, |refusal| u64::from(refusal.pages).max(1))
        };
        let indices = || group.iter().map(|touched| touched.index);
        let first = indices().min().unwrap_or(0);
        let end = indices()
            .map(|index| index.saturating_add(pages(index)))
            .max()
            .unwrap_or(0);
        let span = end.saturating_sub(first);
        let bytes = range(first.saturating_mul(page), span.saturating_mul(page));
        match indices().fold(0, |sum: u64, index| sum.saturating_add(pages(index))) {
            all if all >= span => bytes,
            _ => format!("{} folios of {bytes}", group.len()),
        }
    }

    fn holder(&mut self, holder: &Holder, named: bool) {
        let failure = &self.example.failure;
        let range = range(holder.pos, holder.len);
        let ordered = holder.kind == HolderKind::OrderedIo;
        let writes_back = holder
            .function
            .as_ref()
            .is_some_and(|function| WRITEBACK.contains(&function.as_str()));
        let party = match (ordered, writes_back) {
            (true, _) => Party::Ordered,
            (false, true) => Party::Writeback,
            (false, false) if holder.tid == failure.tid => Party::Writer,
            (false, false) => Party::Locker,
        };
        let task = cell::task(&holder.comm, holder.pid, 24);
        if ordered {
            self.ordered(holder, &range, &task);
        }
        let who = match (&holder.function, party) {
            (_, Party::Ordered) => self.names.lock.to_owned(),
            (Some(function), Party::Writer) => format!("{}()", cell::clean(function, true)),
            (Some(function), _) => format!("{}() of {task}", cell::clean(function, true)),
            (None, Party::Writer) => self.names.lock.to_owned(),
            (None, _) => format!("{} of {task}", self.names.lock),
        };
        if let Some(locked) = holder.locked_ns {
            self.row(locked, party, format!("{who} [+lock {range}]"));
        }
        if let Some(unlocked) = holder.unlocked_ns {
            let by = match holder.unlocked_by {
                Some(tid) => format!(" by thread {tid}"),
                None => String::new(),
            };
            let held = unlocked.saturating_sub(holder.locked_ns.unwrap_or(unlocked));
            let held = match named {
                true => format!(" after {}", cell::duration(held)),
                false => String::new(),
            };
            self.row(unlocked, party, format!("[-lock {range}]{by}{held}"));
        }
        if ordered {
            self.row(holder.end_ns, party, "ordered extent done".to_owned());
        }
    }

    /// An ordered extent is made, its I/O ends, its completion begins.
    fn ordered(&mut self, holder: &Holder, range: &str, task: &str) {
        let failure = &self.example.failure;
        let flagged = |name: &str| holder.ordered_flags.iter().any(|flag| flag == name);
        let direct = flagged("direct");
        let party = match direct {
            true => Party::Ordered,
            false => Party::Writeback,
        };
        if let Some(created) = holder.created_ns {
            let own = holder.created_by == Some(failure.tid) && created >= self.example.begin_ns();
            let by = match holder.created_by {
                _ if own && direct => " by the direct write itself".to_owned(),
                _ if own => " by the write's own flush".to_owned(),
                Some(tid) => format!(" by thread {tid}"),
                None => String::new(),
            };
            let text = format!("btrfs_ordered_extent_add: {range}{by}");
            self.row(created, party, text);
        }
        let done = match (flagged("io-done"), direct) {
            (true, false) => format!("ended by now: {range} (io-done)"),
            (true, true) => format!("direct I/O ended by now: {range}"),
            (false, _) => format!("{range} is not flagged io-done"),
        };
        self.row(holder.start_ns, party, done);
        let text = format!("{} {range}, in {task}", self.names.finish);
        self.row(holder.start_ns, Party::Ordered, text);
    }

    fn refusals(&mut self) {
        let refusals = &self.example.records.refusals;
        let mut order: Vec<&Refusal> = refusals.iter().collect();
        order.sort_by_key(|refusal| (refusal.ts_ns, refusal.index));
        let announced = self.example.failure.refusals as usize;
        let shown = if announced <= REFUSALS + 1 {
            REFUSALS + 1
        } else {
            REFUSALS
        };
        for (number, refusal) in order.iter().take(shown).enumerate() {
            if number == 0
                && let Some(entered) = refusal.entered_ns
            {
                let folio = self.folio(refusal);
                let text = format!("invalidate_inode_pages2_range() meets folio {folio}");
                self.row(entered, Party::Writer, text);
            }
            self.refusal(refusal);
        }
        if announced > shown {
            let last = order.last().map_or(self.example.failure.ts_ns, |r| r.ts_ns);
            let text = format!("and {} more folios", announced - shown);
            self.row(last, Party::Writer, text);
        }
    }

    fn refusal(&mut self, refusal: &Refusal) {
        let folio = self.folio(refusal);
        let dirty = refusal.folio_flags.iter().any(|flag| flag == "dirty");
        let writeback = refusal.folio_flags.iter().any(|flag| flag == "writeback");
        let state = match (dirty, writeback) {
            (true, true) => "dirty, under writeback",
            (true, false) => "dirty",
            (false, true) => "under writeback",
            (false, false) => "clean, not under writeback",
        };
        let text = match (refusal.entered_ns, dirty) {
            (None, _) => format!("folio {folio} is still cached: {state}"),
            // Filesystems of iomap and buffer heads may let a folio go that the caller then finds dirty.
            (Some(_), true) if self.example.failure.fs != "btrfs" => {
                format!(
                    "{} or {} keeps {folio}: {state}",
                    self.names.release, self.names.keep
                )
            }
            (Some(_), _) => format!("{} refuses {folio}: {state}", self.names.release),
        };
        self.rows.push(Row {
            ns: refusal.ts_ns,
            column: Party::Writer as usize,
            text,
            marked: true,
        });
    }

    fn folio(&self, refusal: &Refusal) -> String {
        let page = self.example.origin.page_size;
        let len = u64::from(refusal.pages).saturating_mul(page);
        range(refusal.index.saturating_mul(page), len)
    }

    fn failed(&mut self) {
        let failure = &self.example.failure;
        let names = &self.names;
        let result = failure
            .errno
            .map_or_else(String::new, |errno| format!(" = {}", errno_text(errno)));
        let invalidate = format!("invalidate_inode_pages2_range(){result}");
        let completed = match failure.completed_by {
            Some(tid) => format!(" in thread {tid}"),
            None => String::new(),
        };
        let complete = format!("{}{completed}", names.complete);
        let (marked, text) = match failure.phase {
            // The flush comes first, and no folio was asked for.
            _ if self.example.verdict.cause == Cause::WritebackError => {
                (true, "filemap_write_and_wait_range() fails".to_owned())
            }
            Phase::Pre => (self.example.records.refusals.is_empty(), invalidate),
            Phase::Map => (
                true,
                format!("{} finds a folio in the range again", names.map),
            ),
            Phase::Post => (true, format!("{complete}: {invalidate}")),
        };
        let call = match failure.phase {
            Phase::Pre => format!("{} = {}: ", names.write, names.fallback),
            Phase::Map => "-ENOTBLK: ".to_owned(),
            Phase::Post => "wb_err := -EIO; ".to_owned(),
        };
        let so = match self.example.verdict.outcome {
            OutcomeKind::BufferedFallback => "goes buffered, through the page cache",
            OutcomeKind::StaleCache => "on disk, but the page cache may be stale",
            OutcomeKind::Error => "returns an error",
            OutcomeKind::Unknown => "what becomes of it was not seen",
        };
        self.rows.push(Row {
            ns: failure.ts_ns,
            column: Party::Writer as usize,
            text,
            marked,
        });
        self.row(failure.ts_ns, Party::Writer, format!("{call}{so}"));
    }
}

/// Functions that lock a range in order to write it back (fs/btrfs/extent_io.c, inode.c).
const WRITEBACK: [&str; 7] = [
    "find_lock_delalloc_range",
    "submit_compressed_extents",
    "cow_file_range",
    "cow_file_range_inline",
    "fallback_to_cow",
    "run_delalloc_nocow",
    "btrfs_run_delalloc_range",
];

/// Records by task and way, in order of time.
fn groups(records: &[Touched]) -> Vec<Vec<&Touched>> {
    let mut groups: Vec<Vec<&Touched>> = Vec::new();
    for record in records {
        let same =
            |group: &&mut Vec<&Touched>| (group[0].tid, group[0].how) == (record.tid, record.how);
        match groups.iter_mut().find(same) {
            Some(group) => group.push(record),
            None => groups.push(vec![record]),
        }
    }
    groups
}

fn last(group: &[&Touched]) -> u64 {
    group.iter().map(|touched| touched.ts_ns).max().unwrap_or(0)
}

fn through(how: How) -> &'static str {
    match how {
        How::Mmap => " (mmap)",
        How::Buffered => " (buffered write)",
        How::Read => " (read)",
        How::IoUring => " (io_uring)",
        How::Kernel => " (kernel thread)",
        How::Unknown => "",
    }
}

/// `448K+64K`: whole units only, so that offsets stay exact. A lock up to the last possible byte is
/// one to the end of the file.
pub(in crate::report) fn range(pos: u64, len: u64) -> String {
    if pos.saturating_add(len) > i64::MAX as u64 {
        return format!("{} to EOF", exact(pos));
    }
    format!("{}+{}", exact(pos), exact(len))
}

/// Bytes in the largest unit that divides them.
fn exact(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}G", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}M", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}K", bytes >> 10),
        _ => bytes.to_string(),
    }
}

/// `-EBUSY`, or the number.
pub(in crate::report) fn errno_text(errno: i32) -> String {
    let name = errno_name(&std::io::Error::from_raw_os_error(errno.wrapping_neg()));
    format!("-{name}")
}
