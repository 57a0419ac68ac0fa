//! A failure as text for a mail: what it is, the interleaving, the verdict.

use std::fmt::Write as _;

use super::super::DEFAULT_WIDTH;
use super::super::cell;
use super::super::dossier::{Dossier, Example};
use super::super::summary::Summary;
use super::sentence::sentence;
use super::steps::range;
use super::steps::timeline;
use crate::correlate::Judged;
use crate::event::{Clock, Failure, OutcomeKind, Phase};

/// Lines of this width survive a few rounds of quoting.
const WIDTH: usize = DEFAULT_WIDTH - 1;
/// Columns of a host's name.
const HOST: usize = 64;

/// Every example of the dossier, with what it stands for, under 80 columns.
pub fn timelines(dossier: &Dossier<'_>) -> String {
    let mut out = String::new();
    for (number, example) in dossier.examples.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let kind = dossier.kinds.iter().find(|kind| {
            (kind.cause, kind.phase) == (example.verdict.cause, example.failure.phase)
        });
        let failures = kind.map_or(0, |kind| kind.failures);
        if failures > 1 {
            let text = format!("One of {failures} of its kind, the clearest:");
            let text = if dossier.asked { "" } else { &text };
            push(&mut out, text);
        }
        out.push_str(&one(example, &whose(dossier, example)));
    }
    out
}

/// Nothing to show: why.
pub fn nothing(summary: &Summary, asked: Option<u64>) -> String {
    let total = summary.failures.total();
    match asked {
        Some(id) if total > 0 => {
            format!("There is no failure {id}: the log has {total}.\n")
        }
        _ => "No failed invalidation.\n".to_owned(),
    }
}

/// ` of run 2 on host db1`, as far as a dossier has several.
pub fn whose(dossier: &Dossier<'_>, example: &Example) -> String {
    let host = match &example.origin.host {
        Some(host) if dossier.several_hosts() => {
            format!(" on host {}", cell::fit_end(&cell::clean(host, true), HOST))
        }
        _ => String::new(),
    };
    format!("{}{host}", run_of(dossier, example))
}

/// ` of run 2`, if a dossier has several.
pub(in crate::report) fn run_of(dossier: &Dossier<'_>, example: &Example) -> String {
    match dossier.several_runs() {
        true => format!(" of run {}", example.origin.run),
        false => String::new(),
    }
}

/// One failure; `whose`: what stands behind its number, as text without control characters.
pub fn one(example: &Example, whose: &str) -> String {
    let mut out = String::new();
    let failure = &example.failure;
    let root = match failure.root {
        Some(root) => format!(", subvolume {root}"),
        None => String::new(),
    };
    push(
        &mut out,
        &format!(
            "Failure {}{whose}, {} UTC, Linux {} {}.",
            failure.id,
            date(example.origin.clock, failure.ts_ns),
            cell::clean(&example.origin.kernel.release, false),
            cell::clean(&example.origin.kernel.arch, false),
        ),
    );
    push(
        &mut out,
        &format!(
            "{} writes {} (bytes {} to {}) of inode {}{root} on {} ({}):",
            cell::task(&failure.comm, failure.pid, 30),
            range(failure.pos, failure.len),
            failure.pos,
            failure.pos.saturating_add(failure.len),
            failure.ino,
            failure.dev,
            cell::fit_end(&cell::clean(&failure.fs, false), 16),
        ),
    );
    let _ = writeln!(out, "  {}", cell::fit_start(&path(failure), WIDTH - 2));
    out.push('\n');
    out.push_str(&timeline(example).text_since(example.begin_ns(), WIDTH));
    out.push('\n');
    let judged = Judged {
        failure: example.failure.clone(),
        verdict: example.verdict.clone(),
    };
    let text = format!("Verdict: {}", sentence(&judged));
    push(&mut out, &text);
    for note in notes(example) {
        push(&mut out, &note);
    }
    out
}

/// What the timeline cannot show.
fn notes(example: &Example) -> Vec<String> {
    let (failure, records) = (&example.failure, &example.records);
    let mut notes = Vec::new();
    if let Some(why) = &example.verdict.withdrawn {
        let why = cell::clean(why, false);
        notes.push(format!(
            "It turned out to be no failure, and is not counted: {why}."
        ));
    }
    if failure.duration_ns == 0 {
        notes.push("The begin of the write was not seen: times are since the failure.".to_owned());
    }
    if records
        .refusals
        .iter()
        .all(|refusal| refusal.entered_ns.is_none())
        && failure.phase != Phase::Map
    {
        notes.push(
            "The moment of refusal was not seen: the page cache was looked at afterwards."
                .to_owned(),
        );
    }
    let ret = records.outcome.as_ref().and_then(|outcome| outcome.ret);
    // A write that came to its second invalidation has written something: 0 says that its result was
    // not recorded.
    let ret = ret.filter(|ret| *ret != 0 || failure.phase != Phase::Post);
    match (example.verdict.outcome, ret) {
        (_, Some(ret)) => notes.push(format!("The direct part of the write returned {ret}.")),
        (OutcomeKind::Unknown, None) => {
            notes.push("What the write returned was not seen.".to_owned());
        }
        _ => {}
    }
    let missing = example
        .verdict
        .holders
        .len()
        .saturating_sub(example.holders.len());
    if missing > 0 {
        notes.push(format!(
            "{missing} holders of this verdict were no longer at hand."
        ));
    }
    if records.left_out > 0 {
        notes.push(format!(
            "{} more records of this failure are not shown.",
            records.left_out
        ));
    }
    notes
}

/// The file's path, or that it is not known.
fn path(failure: &Failure) -> String {
    let escaped = failure.flags.iter().any(|flag| flag == "path-escaped");
    match &failure.path {
        Some(path) => cell::clean(path, !escaped),
        None => "(its path is not known)".to_owned(),
    }
}

/// A paragraph.
fn push(out: &mut String, text: &str) {
    if !text.is_empty() {
        out.push_str(&cell::wrap(text, WIDTH));
        out.push('\n');
    }
}

/// `2026-11-23 15:22:42.446`: the wall clock at a moment since boot.
pub(in crate::report) fn date(clock: Clock, ts_ns: u64) -> String {
    const DAY: i128 = 86_400_000_000_000;
    let wall = i128::from(clock.wall_ns) + i128::from(ts_ns) - i128::from(clock.boot_ns);
    // Days since 0000-03-01, by which leap days come last (Hinnant, "chrono-compatible low-level
    // date algorithms").
    let days = wall.div_euclid(DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (year + era * 400, month + 3),
        _ => (year + era * 400 + 1, month - 9),
    };
    format!(
        "{year:04}-{month:02}-{day:02} {}",
        cell::time_of_day(clock, ts_ns)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        let at = |seconds: u64| {
            let clock = Clock {
                boot_ns: 0,
                wall_ns: seconds * 1_000_000_000,
            };
            date(clock, 0)
        };
        // `date -u -d @SECONDS`
        assert_eq!(at(0), "1970-01-01 00:00:00.000");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59.000");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00.000");
        assert_eq!(at(1_795_447_361), "2026-11-23 15:22:41.000");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00.000");
    }
}
