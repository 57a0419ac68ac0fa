//! The summary for people, and the line that a live table ends in.

use std::fmt::Write as _;
use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Padding, Style};

use super::cell;
use super::hosts_text::hosts_text;
use super::summary::{Cost, StillOpen, Summary};
use super::tally::{Entry, FileId};
use crate::correlate::Cause;

/// Rows of the lists by file and by pair.
const TOP: usize = 10;

/// The present state of a live run, which no record has yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// Nanoseconds since the run began.
    pub elapsed_ns: u64,
    /// Records lost so far.
    pub lost: u64,
    /// Run time of the programs so far, when it is measured.
    pub cost: Option<Cost>,
    /// CPU time of the process in the last second, in percent of one CPU, and its memory in bytes,
    /// once a second is over.
    pub process: Option<(f64, u64)>,
    /// Records lost in the last second.
    pub lost_now: u64,
}

/// One line with totals, losses and the tool's own cost, at most 80 columns wide.
pub fn footer(summary: &Summary, live: &Live) -> String {
    let failures = summary.failures;
    let mut line = format!(
        "{}: pre {}, map {}, post {}; lost {}",
        cell::duration(live.elapsed_ns),
        failures.pre,
        failures.map,
        failures.post,
        live.lost
    );
    if live.lost_now > 0 {
        // Writing to a String cannot fail.
        let _ = write!(line, " ({}/s)", live.lost_now);
    }
    if let Some(cost) = live.cost.filter(|cost| cost.runs > 0) {
        let _ = write!(line, "; cost {}", cell::duration(cost.ns));
        if let Some(each) = cost.ns.checked_div(cost.runs) {
            let _ = write!(line, " ({} a run)", cell::duration(each));
        }
    }
    if let Some((percent, rss_bytes)) = live.process {
        let memory = cell::mebibytes(rss_bytes);
        let _ = write!(line, "; cpu {percent:.1}%, {memory}");
    }
    cell::fit_end(&line, super::DEFAULT_WIDTH)
}

/// The summary as text, its lines at most `width` columns wide, 80 at least.
pub fn summary_text(summary: &Summary, width: usize) -> String {
    let width = width.max(super::DEFAULT_WIDTH);
    let mut text = hosts_text(summary, width);
    let total = summary.failures.total();
    let time = cell::duration(summary.duration_ns);
    if total == 0 {
        push(
            &mut text,
            width,
            &format!("No failed invalidation in {time}."),
        );
    } else {
        let title = format!("{}, in {time}", count(total, "failed invalidation"));
        push(&mut text, width, &title);
        text.push('\n');
        by_phase(&mut text, summary);
        by_cause(&mut text, summary);
        by_file(&mut text, summary, width);
        by_pair(&mut text, summary, width);
        self_inflicted(&mut text, summary, width);
        stale(&mut text, summary, width);
        unflushed(&mut text, summary, width);
        kernel(&mut text, summary, width);
    }
    accounts(&mut text, summary, width);
    text
}

fn by_phase(text: &mut String, summary: &Summary) {
    let failures = summary.failures;
    let rows = [
        (
            "pre",
            failures.pre,
            "through the page cache instead: not direct, but harmless",
        ),
        (
            "map",
            failures.map,
            "the same way, found by btrfs while it mapped the range",
        ),
        (
            "post",
            failures.post,
            "to disk, but the page cache may be stale",
        ),
    ];
    let rows = rows
        .iter()
        .map(|(phase, count, what)| [phase.to_string(), count.to_string(), what.to_string()]);
    list(text, ["phase", "failures", "the write went"], &[1], rows);
}

fn by_cause(text: &mut String, summary: &Summary) {
    let mut causes: Vec<_> = summary.causes.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let rows = causes.into_iter().map(|(cause, count)| {
        [
            cause.name().to_owned(),
            count.to_string(),
            meaning(*cause).to_owned(),
        ]
    });
    list(text, ["cause", "failures", "the folio"], &[1], rows);
}

fn meaning(cause: Cause) -> &'static str {
    match cause {
        Cause::Redirtied => "was dirtied again after it had been written back",
        Cause::OrderedIo => "was held by the completion of a btrfs ordered extent",
        Cause::ExtentLock => "was held by a lock on its range in the extent tree",
        Cause::Writeback => "was under writeback",
        Cause::Journal => "was held by the journal",
        Cause::Buffers => "had a busy buffer head",
        Cause::Launder => "could not be laundered",
        Cause::Reappeared => "was in the page cache again",
        Cause::WritebackError => "could not be written back: no invalidation was tried",
        Cause::Unknown => "was kept for a reason that was not seen",
    }
}

fn by_file(text: &mut String, summary: &Summary, width: usize) {
    let number = digits(summary).max(4);
    let room = width - 3 * (number + 2);
    let rows = summary.files.ranked();
    let rest = rows.len().saturating_sub(TOP);
    let rows = rows.into_iter().take(TOP).map(|(file, entry)| {
        let counts = entry.counts;
        [
            cell::fit_start(&file_name(file, entry), room),
            counts.pre.to_string(),
            counts.map.to_string(),
            counts.post.to_string(),
        ]
    });
    list(text, ["file", "pre", "map", "post"], &[1, 2, 3], rows);
    more(text, rest, "file", summary.files.others().total());
}

fn file_name(file: &FileId, entry: &Entry) -> String {
    let name = name_of(file, entry);
    match &file.host {
        Some(host) => format!("{}:{name}", cell::clean(host, true)),
        None => name,
    }
}

fn name_of(file: &FileId, entry: &Entry) -> String {
    match (&entry.path, file.root) {
        (Some(path), _) => cell::clean(path, !entry.path_escaped),
        (None, None) => format!("{}:{}", file.dev, file.ino),
        (None, Some(root)) => format!("{}:{} (subvolume {root})", file.dev, file.ino),
    }
}

fn by_pair(text: &mut String, summary: &Summary, width: usize) {
    if summary.pairs.is_empty() {
        return;
    }
    let rows = summary.pairs.ranked();
    let rest = rows.len().saturating_sub(TOP);
    let did_room = width - 48 - digits(summary).max(8);
    let rows = rows.into_iter().take(TOP).map(|(pair, entry)| {
        let writer = match &pair.host {
            Some(host) => {
                let task = cell::task(&pair.comm, pair.pid, 14);
                let host = cell::clean(host, true);
                format!("{}:{task}", cell::fit_start(&host, 20 - cell::width(&task)))
            }
            None => cell::task(&pair.comm, pair.pid, 21),
        };
        [
            writer,
            cell::task(&pair.party_comm, pair.party_pid, 21),
            cell::fit_end(&cell::clean(&pair.did, false), did_room),
            entry.counts.total().to_string(),
        ]
    });
    list(
        text,
        ["writer", "other party", "which", "failures"],
        &[3],
        rows,
    );
    more(text, rest, "pair", summary.pairs.others().total());
}

fn self_inflicted(text: &mut String, summary: &Summary, width: usize) {
    let own = summary.self_inflicted;
    if own > 0 {
        let verb = if own == 1 { "was" } else { "were" };
        push(
            text,
            width,
            &format!(
                "{} {verb} self-inflicted: the writer was the other party itself, or the ordered \
                 extent completed a write-back that its own write had forced.",
                count(own, "failure")
            ),
        );
        text.push('\n');
    }
}

/// A write-back that fails is no collision, and what follows it is not harmless.
fn unflushed(text: &mut String, summary: &Summary, width: usize) {
    let failed = summary.causes.get(&Cause::WritebackError);
    if let Some(failed) = failed.copied().filter(|failed| *failed > 0) {
        let writes = count(failed, "write");
        push(
            text,
            width,
            &format!(
                "{writes} met a write-back that had failed. Such a write goes through the page \
                 cache, and the error of its own write-back may be told to another writer of the \
                 file: what was acknowledged may not be on disk. Only fsync tells."
            ),
        );
        text.push('\n');
    }
}

fn stale(text: &mut String, summary: &Summary, width: usize) {
    let post = summary.failures.post;
    if post == 0 {
        return;
    }
    let mut files: Vec<_> = summary.files.ranked();
    files.retain(|(_, entry)| entry.counts.post > 0);
    let verb = if post == 1 { "write" } else { "writes" };
    push(
        text,
        width,
        &format!(
            "{post} {verb} may have left stale data in the page cache: buffered and mapped readers may \
         see old contents, and the next fsync of these files returns EIO:"
        ),
    );
    for (file, entry) in files.iter().take(TOP) {
        let _ = writeln!(
            text,
            "  {}",
            cell::fit_start(&file_name(file, entry), width - 2)
        );
    }
    more(text, files.len().saturating_sub(TOP), "file", 0);
    if files.len() <= TOP {
        text.push('\n');
    }
}

fn kernel(text: &mut String, summary: &Summary, width: usize) {
    let would = summary.kernel_would_have_printed;
    let mut line = format!(
        "The kernel's own message, ten a day at most, would have shown {would} of the {}.",
        count(summary.failures.post, "post failure")
    );
    match summary.kernel_printed {
        Some(printed) if printed < would => {
            let _ = write!(
                line,
                " It did print {printed}: its ten may have been spent before."
            );
        }
        Some(printed) => {
            let _ = write!(line, " It did print {printed}.");
        }
        None => {}
    }
    push(text, width, &line);
}

/// Whether a loss can be that of a failure, and not only of its evidence.
fn counts_failures(loss: &str) -> bool {
    const FAILURES: &[&str] = &[
        "failure.",
        "failure ",
        "record.",
        "complete.",
        "begin.",
        "dio.",
        "dio_",
        "invalidate_fail.",
    ];
    loss.contains("unaccounted") || FAILURES.iter().any(|name| loss.starts_with(name))
}

/// Failures that a longer run could have said more of.
fn left_open(text: &mut String, open: StillOpen, width: usize) {
    let mut parts = Vec::new();
    if open.partial > 0 {
        parts.push(format!("not all records of {} had come", open.partial));
    }
    if open.waiting > 0 {
        parts.push(format!("{} waited for holders to end", open.waiting));
    }
    if !parts.is_empty() {
        let all = count(open.partial.saturating_add(open.waiting), "failure");
        let line = format!("Open at the end: {all}; {}.", parts.join(", "));
        push(text, width, &line);
    }
}

/// What the numbers rest on: losses, missing evidence, the tool's own cost.
fn accounts(text: &mut String, summary: &Summary, width: usize) {
    let losses = &summary.losses;
    if losses.total > 0 {
        let probes: Vec<_> = losses
            .by_probe
            .iter()
            .filter(|(_, lost)| **lost > 0)
            .map(|(probe, lost)| format!("{} {lost}", cell::clean(probe, false)))
            .collect();
        push(
            text,
            width,
            &format!(
                "{} lost, so {}: {}.",
                count(losses.total, "record"),
                if probes.iter().any(|probe| counts_failures(probe)) {
                    "the numbers may be too low"
                } else {
                    "causes may be missing, but no failure"
                },
                probes.join(", ")
            ),
        );
    } else if summary.unended == 0 {
        push(text, width, "No record was lost.");
    }
    if summary.unended > 0 {
        push(
            text,
            width,
            &format!(
                "{} without an end: what was lost there is not known.",
                count(summary.unended, "run")
            ),
        );
    }
    if !summary.shed.is_empty() {
        let hooks: Vec<_> = summary.shed.keys().map(|h| cell::clean(h, false)).collect();
        let line = format!(
            "To keep to --max-overhead the run went on without {}.",
            hooks.join(", ")
        );
        push(text, width, &line);
    }
    left_open(text, summary.open, width);
    if summary.withdrawn > 0 {
        push(
            text,
            width,
            &format!(
                "{} turned out to be none and {} not counted.",
                count(summary.withdrawn, "suspected failure"),
                if summary.withdrawn == 1 { "is" } else { "are" }
            ),
        );
    }
    if !summary.evidence_missing.is_empty() {
        let hooks: Vec<_> = summary
            .evidence_missing
            .iter()
            .map(|(hook, verdicts)| format!("{} ({verdicts})", cell::clean(hook, false)))
            .collect();
        push(
            text,
            width,
            &format!(
                "Verdicts that a hook without a probe could have made surer: {}.",
                hooks.join(", ")
            ),
        );
    }
    let cost = summary.cost.total;
    if cost.runs > 0 {
        let process = summary.cost.process.unwrap_or_default();
        let mut line = String::new();
        if let Some(first) = process.bpf_measured_ns {
            let _ = write!(line, "In the first {}, ", cell::duration(first));
        }
        let _ = write!(
            line,
            "{} probes ran {} times for {} in all, {} each",
            if line.is_empty() { "The" } else { "the" },
            cost.runs,
            cell::duration(cost.ns),
            cell::duration(cost.ns / cost.runs)
        );
        if process.bpf_measured_ns.is_some() {
            line.push_str("; it was not measured after that");
        } else if let Some(each) = cost.ns.checked_div(summary.direct_writes) {
            let _ = write!(
                line,
                "; shared over {}, failed or not, that is {} for each",
                count(summary.direct_writes, "direct write"),
                cell::duration(each)
            );
        }
        line.push('.');
        push(text, width, &line);
    } else if summary.cost.by_program.is_empty() && summary.unended == 0 {
        push(
            text,
            width,
            "What the probes cost was not measured: that needs CAP_SYS_ADMIN.",
        );
    }
    if let Some(process) = summary.cost.process {
        push(
            text,
            width,
            &format!(
                "The tracer itself took {} of CPU time, and {} of memory at most.",
                cell::duration(process.cpu_ns),
                cell::mebibytes(process.peak_rss_bytes)
            ),
        );
    }
}

/// Digits of the largest count.
fn digits(summary: &Summary) -> usize {
    summary.failures.total().to_string().len()
}

/// `1 file`, `2 files`.
fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn more(text: &mut String, rest: usize, what: &str, failures_of_others: u64) {
    if failures_of_others > 0 {
        let _ = writeln!(text, "and many more {what}s\n");
    } else if rest > 0 {
        let _ = writeln!(text, "and {} more\n", count(rest as u64, what));
    }
}

/// A paragraph, broken at spaces.
fn push(text: &mut String, width: usize, paragraph: &str) {
    text.push_str(&cell::wrap(paragraph, width));
    text.push('\n');
}

/// A table with a header, and an empty line after it. `numbers`: columns aligned to the right.
fn list<const N: usize>(
    text: &mut String,
    header: [&str; N],
    numbers: &[usize],
    rows: impl Iterator<Item = [String; N]>,
) {
    let mut builder = Builder::new();
    builder.push_record(header);
    for row in rows {
        builder.push_record(row);
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    for column in numbers {
        table.modify(Columns::one(*column), Alignment::right());
    }
    for line in table.to_string().lines() {
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push('\n');
}
