//! Changes of the kernel that bear on this, what can be done now, and how to see it again.

use std::fmt::Write as _;

use super::text::{code, count, heading, table};
use crate::correlate::Cause;
use crate::event::{How, OutcomeKind};
use crate::report::dossier::{Dossier, Fixed, Kind};

pub(super) fn section(out: &mut String, dossier: &Dossier<'_>) {
    if dossier.summary.failures.total() == 0 {
        return;
    }
    if !dossier.fixes.is_empty() {
        heading(out, "Changes of the kernel that concern these filesystems");
        fixes(out, dossier);
    }
    heading(out, "What can be done now");
    for advice in &dossier.advice {
        let about = match (advice.cause, advice.outcome) {
            (Some(cause), _) => cause.name(),
            (None, Some(OutcomeKind::StaleCache)) => "**page cache may be stale**",
            (None, _) => "went buffered",
        };
        let _ = writeln!(
            out,
            "- {about} ({}): {}",
            count(advice.failures, "failure"),
            advice.text
        );
    }
    heading(out, "Reproducing");
    reproduce(out, dossier);
}

fn fixes(out: &mut String, dossier: &Dossier<'_>) {
    let rows: Vec<[String; 5]> = dossier
        .fixes
        .iter()
        .map(|fix| {
            let several = fix.kernels.len() > 1;
            let kernels = fix.kernels.iter().map(|(release, fixed, why)| {
                let state = match fixed {
                    Fixed::Yes => "yes",
                    Fixed::No => "**no**",
                    Fixed::NotNeeded => "not needed",
                    Fixed::Unknown => "not known",
                };
                match several {
                    true => format!("{}: {state}, {why}", code(release, true)),
                    false => format!("{state}: {why}"),
                }
            });
            let bears_on: Vec<&str> = fix.bears_on.iter().map(|cause| cause.name()).collect();
            [
                fix.commit
                    .map_or_else(|| "-".to_owned(), |commit| format!("`{commit}`")),
                fix.version.to_owned(),
                format!("{}: {}", fix.title, fix.changes),
                if bears_on.is_empty() {
                    "-".to_owned()
                } else {
                    bears_on.join(", ")
                },
                kernels.collect::<Vec<_>>().join("; "),
            ]
        })
        .collect();
    table(
        out,
        ["commit", "since", "change", "bears on", "in this kernel"],
        &rows,
    );
}

/// The command that was traced, and the reproducer that does the like.
fn reproduce(out: &mut String, dossier: &Dossier<'_>) {
    for run in dossier.runs.kept.iter().take(3) {
        let _ = writeln!(
            out,
            "- traced with: {}",
            code(&run.start.command.join(" "), true)
        );
    }
    let (failures, writes) = (
        dossier.summary.failures.total(),
        dossier.summary.direct_writes,
    );
    match writes {
        0 => out.push_str("- hit rate: the direct writes were not counted by this plan\n"),
        _ => {
            let _ = writeln!(
                out,
                "- hit rate: {failures} of {}",
                count(writes, "direct write")
            );
        }
    }
    if let Some(kind) = dossier.kinds.iter().max_by_key(|kind| kind.failures) {
        let _ = writeln!(
            out,
            "- the like of it, with known truth and a check of the data, on a scratch directory of \
             the same filesystem: `iomap-trace exec --stacks -o log.jsonl.zst -- iomap-trace repro {} \
             --dir DIR`",
            reproducer(dossier, kind)
        );
    }
}

fn reproducer(dossier: &Dossier<'_>, kind: &Kind) -> &'static str {
    let mut examples = dossier.examples.iter();
    let example = examples
        .find(|example| (example.verdict.cause, example.failure.phase) == (kind.cause, kind.phase));
    let asynchronous = example.is_some_and(|example| example.failure.completed_by.is_some());
    match kind.cause {
        Cause::ExtentLock => "lockers",
        _ if asynchronous => "aio",
        _ if kind.how.contains_key(&How::Mmap) => "mmap",
        Cause::Reappeared if !kind.how.contains_key(&How::Buffered) => "lockers",
        _ => "buffered",
    }
}
