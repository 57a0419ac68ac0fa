//! How often, which files, which parties, for how long.

use std::fmt::Write as _;

use super::files::{attributes, files};
use super::finding::{meaning, printed};
use super::text::{code, count, heading, on, table, task};
use crate::event::{HolderKind, OutcomeKind, Phase};
use crate::report::cell;
use crate::report::dossier::{Dossier, Kind, LeftOut, Percentiles, TOP};
use crate::report::timeline::errno_text;

pub(super) fn section(out: &mut String, dossier: &Dossier<'_>) {
    if dossier.summary.failures.total() == 0 {
        return;
    }
    heading(out, "Failures");
    kinds(out, dossier);
    heading(out, "Files");
    files(out, dossier);
    left_out(out, dossier.files_left_out, "file");
    attributes(out, dossier);
    heading(out, "Writers and other parties");
    pairs(out, dossier);
    heading(out, "How long locks were held");
    holds(out, dossier);
}

fn kinds(out: &mut String, dossier: &Dossier<'_>) {
    let rows: Vec<[String; 7]> = dossier.kinds.iter().map(kind).collect();
    table(
        out,
        [
            "cause",
            "when",
            "failures",
            "exact",
            "self-inflicted",
            "invalidation returned",
            "the write",
        ],
        &rows,
    );
    out.push('\n');
    let mut causes: Vec<_> = dossier.kinds.iter().map(|kind| kind.cause).collect();
    causes.dedup();
    causes.sort_unstable();
    causes.dedup();
    for cause in causes {
        let _ = writeln!(out, "- {}: {}", cause.name(), meaning(cause));
    }
    let phases = |phase| dossier.kinds.iter().any(|kind| kind.phase == phase);
    out.push('\n');
    if phases(Phase::Pre) {
        out.push_str(
            "Before submission (submit side): the invalidation failed, nothing was sent to the \
             device, `__iomap_dio_rw()` gave `-ENOTBLK` (`generic_file_direct_write()` gives 0), and \
             the filesystem did the whole write buffered and returned what that wrote. There was \
             no mapping yet, so there are no iomap type and flags to report.\n\n",
        );
    }
    if phases(Phase::Map) {
        out.push_str(
            "While mapped (submit side): no invalidation failed; `btrfs_dio_iomap_begin()` met a \
             folio under the extent lock and gave `-ENOTBLK`; the rest of the write went buffered.\n\n",
        );
    }
    if phases(Phase::Post) {
        out.push_str(
            "After completion (completion side): the data is on the device and the write reported \
             success; the kernel marked the file's `wb_err` with `-EIO`, which the next fsync returns \
             once. Whether the data in the page cache differ is not recorded.\n\n",
        );
    }
    let _ = writeln!(out, "{}", printed(dossier));
}

fn kind(kind: &Kind) -> [String; 7] {
    let when = match kind.phase {
        Phase::Pre => "before submission",
        Phase::Map => "while mapped",
        Phase::Post => "**after completion**",
    };
    let mut returned: Vec<String> = kind
        .errnos
        .iter()
        .map(|(errno, count)| format!("{} {count}", errno_text(*errno)))
        .collect();
    let unseen = kind.failures.saturating_sub(kind.errnos.values().sum());
    match kind.phase {
        Phase::Map => returned = vec!["-".to_owned()],
        _ if unseen > 0 => returned.push(format!("not seen {unseen}")),
        _ => {}
    }
    let outcomes: Vec<String> = kind
        .outcomes
        .iter()
        .map(|(outcome, count)| format!("{} {count}", outcome_name(*outcome)))
        .collect();
    [
        kind.cause.name().to_owned(),
        when.to_owned(),
        kind.failures.to_string(),
        kind.exact.to_string(),
        kind.self_inflicted.to_string(),
        returned.join(", "),
        outcomes.join(", "),
    ]
}

fn outcome_name(outcome: OutcomeKind) -> &'static str {
    match outcome {
        OutcomeKind::BufferedFallback => "went buffered",
        OutcomeKind::StaleCache => "page cache may be stale",
        OutcomeKind::Error => "returned an error",
        OutcomeKind::Unknown => "not known",
    }
}

fn pairs(out: &mut String, dossier: &Dossier<'_>) {
    let ranked = dossier.summary.pairs.ranked();
    if ranked.is_empty() {
        out.push_str("No other party was named.\n");
        return;
    }
    let rows: Vec<[String; 4]> = ranked
        .iter()
        .take(TOP)
        .map(|(pair, entry)| {
            [
                task(&pair.comm, pair.pid) + &on(pair.host.as_ref()),
                task(&pair.party_comm, pair.party_pid),
                code(&pair.did, true),
                entry.counts.total().to_string(),
            ]
        })
        .collect();
    table(out, ["writer", "other party", "which", "failures"], &rows);
    left_out(out, dossier.pairs_left_out, "pair");
}

fn holds(out: &mut String, dossier: &Dossier<'_>) {
    if dossier.holds.is_empty() {
        out.push_str("No lock was recorded.\n");
        return;
    }
    let mut rows: Vec<[String; 7]> = Vec::new();
    for hold in dossier.holds.iter().take(TOP) {
        let kind = match hold.kind {
            HolderKind::OrderedIo => "ordered-io",
            HolderKind::ExtentLock => "extent-lock",
        };
        let function = match &hold.function {
            Some(function) => code(function, true),
            None if hold.others => "further functions".to_owned(),
            None if hold.kind == HolderKind::OrderedIo => "completion".to_owned(),
            None => "caller not named".to_owned(),
        };
        rows.push(times(kind, function, hold.held));
    }
    if let Some(too_early) = dossier.too_early {
        rows.push(times(
            "in the way",
            "held on after the failure".to_owned(),
            too_early,
        ));
    }
    table(
        out,
        ["lock", "taken in", "count", "p50", "p90", "p99", "longest"],
        &rows,
    );
    let rest = dossier.holds.len().saturating_sub(TOP);
    if rest > 0 {
        let _ = writeln!(out, "\nand {rest} more functions.");
    }
    out.push_str(
        "\nOnly locks on files with failures are recorded, and those near a failure first: this is \
         no census. Percentiles are exact to one in a hundred.\n",
    );
}

fn times(kind: &str, function: String, times: Percentiles) -> [String; 7] {
    [
        kind.to_owned(),
        function,
        times.count.to_string(),
        cell::duration(times.p50_ns),
        cell::duration(times.p90_ns),
        cell::duration(times.p99_ns),
        cell::duration(times.max_ns),
    ]
}

fn left_out(out: &mut String, left: LeftOut, what: &str) {
    if left.failures > 0 {
        let _ = writeln!(
            out,
            "\nand {}, with {}.",
            match left.rows {
                0 => format!("many more {what}s"),
                rows => count(rows, &format!("more {what}")),
            },
            count(left.failures, "failure")
        );
    }
}
