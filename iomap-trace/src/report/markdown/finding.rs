//! The finding, in one paragraph.

use std::fmt::Write as _;

use super::files::checksums;
use super::text::{code, count, heading, on, task};
use crate::correlate::Cause;
use crate::report::cell;
use crate::report::dossier::{Dossier, Kind};

pub(super) fn section(out: &mut String, dossier: &Dossier<'_>) {
    heading(out, "Finding");
    let summary = dossier.summary;
    let failures = summary.failures;
    let total = failures.total();
    let kernels = kernels(dossier);
    let time = cell::duration(summary.duration_ns);
    if total == 0 {
        let _ = writeln!(
            out,
            "No invalidation of the page cache failed under direct I/O on {kernels} in {time}{}.",
            rate(dossier)
        );
        return;
    }
    let _ = write!(
        out,
        "On {kernels} the page cache stood in the way of {} in {time}{}: {} before submission or \
         while the range was mapped, {} after completion. ",
        count(total, "direct write"),
        rate(dossier),
        failures.pre + failures.map,
        failures.post,
    );
    if failures.post == 0 {
        out.push_str(
            "No data is at risk: every one of these writes went through the page cache instead, \
             unannounced. ",
        );
    } else {
        let _ = write!(
            out,
            "**{} may have left stale data in the page cache**, and the next fsync of these files \
             returns EIO. ",
            count(failures.post, "write")
        );
    }
    if let Some(chief) = dossier.kinds.iter().max_by_key(|kind| kind.failures) {
        let _ = write!(
            out,
            "The chief cause is {} ({} of {total}): {}",
            chief.cause.name(),
            dossier
                .kinds
                .iter()
                .filter(|kind| kind.cause == chief.cause)
                .map(|kind| kind.failures)
                .sum::<u64>(),
            meaning(chief.cause),
        );
        out.push_str(&own(chief));
        out.push_str(". ");
    }
    if let Some((pair, entry)) = summary.pairs.ranked().first() {
        let _ = write!(
            out,
            "Most often {} met {}, which {}{} ({}). ",
            task(&pair.comm, pair.pid),
            task(&pair.party_comm, pair.party_pid),
            code(&pair.did, true),
            on(pair.host.as_ref()),
            count(entry.counts.total(), "failure"),
        );
    }
    checksums(out, dossier);
    out.push_str(&printed(dossier));
    out.push('\n');
}

fn kernels(dossier: &Dossier<'_>) -> String {
    let mut releases: Vec<&str> = Vec::new();
    for run in &dossier.runs.kept {
        if !releases.contains(&run.start.kernel.release.as_str()) {
            releases.push(&run.start.kernel.release);
        }
    }
    let shown: Vec<String> = releases
        .iter()
        .take(3)
        .map(|r| format!("Linux {}", code(r, true)))
        .collect();
    let more = match releases.len().saturating_sub(3) {
        0 => String::new(),
        more => format!(" and {more} other kernels"),
    };
    format!("{}{more}", shown.join(", "))
}

/// How often really.
fn rate(dossier: &Dossier<'_>) -> String {
    let (failures, writes) = (
        dossier.summary.failures.total(),
        dossier.summary.direct_writes,
    );
    if writes == 0 {
        return String::new();
    }
    let hundredths = u128::from(failures) * 10_000 / u128::from(writes);
    format!(
        " ({} of all {writes} direct writes)",
        format_args!("{}.{:02} %", hundredths / 100, hundredths % 100)
    )
}

fn own(kind: &Kind) -> String {
    match kind.self_inflicted {
        0 => String::new(),
        own if own == kind.failures => ", each time by the writer's own doing".to_owned(),
        own => format!(", {own} times by the writer's own doing"),
    }
}

/// Lines of the kernel's log against true counts.
pub(super) fn printed(dossier: &Dossier<'_>) -> String {
    let summary = dossier.summary;
    let post = count(summary.failures.post, "stale write");
    match summary.kernel_printed {
        Some(printed) => format!(
            "The kernel printed {} of its own warning meanwhile, for all files; this log has {post}.",
            count(printed, "line")
        ),
        None => format!(
            "The kernel's log could not be read; its own warning, ten a day at most, would have \
             shown {} of {post}.",
            summary.kernel_would_have_printed
        ),
    }
}

/// What a cause means: the folio ...
pub(super) fn meaning(cause: Cause) -> &'static str {
    match cause {
        Cause::Redirtied => "the range was dirtied again after it had been written back",
        Cause::OrderedIo => {
            "writeback of the range had ended, but the completion of its ordered extent still held \
             it locked in the extent io tree"
        }
        Cause::ExtentLock => "another task held the range locked in the extent io tree",
        Cause::Writeback => "the folio was under writeback",
        Cause::Journal => "the journal held the folio's buffers",
        Cause::Buffers => "a buffer head of the folio was busy",
        Cause::Launder => "the filesystem could not launder the folio",
        Cause::Reappeared => {
            "a folio was in the page cache again when btrfs mapped the range, and no invalidation \
             failed"
        }
        Cause::WritebackError => "the flush before the write failed; nothing collided",
        Cause::Unknown => "what kept the folio was not seen",
    }
}
