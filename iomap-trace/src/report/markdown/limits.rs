//! What was not visible, what was lost, what it cost.

use std::fmt::Write as _;

use super::text::{code, count, heading, table};
use crate::report::cell;
use crate::report::dossier::{Dossier, NOT_RECORDED};

pub(super) fn section(out: &mut String, dossier: &Dossier<'_>) {
    heading(out, "What was not visible, and why");
    let rows: Vec<[String; 5]> = dossier
        .unseen
        .iter()
        .map(|unseen| {
            let rejected: Vec<String> = unseen
                .rejected
                .iter()
                .map(|(via, why)| code(&format!("{via}: {why}"), true))
                .collect();
            let via = match (&unseen.via, unseen.skipped) {
                (_, true) => "nothing".to_owned(),
                (Some(via), false) => code(via, true),
                (None, false) => "its probe".to_owned(),
            };
            [
                code(&unseen.hook, true),
                via,
                code(&unseen.why, true),
                if rejected.is_empty() {
                    "-".to_owned()
                } else {
                    rejected.join("; ")
                },
                unseen.verdicts.to_string(),
            ]
        })
        .collect();
    if rows.is_empty() {
        out.push_str("Every hook had its best probe, and no verdict lacked evidence.\n");
    } else {
        let head = [
            "hook",
            "seen through",
            "why not more",
            "better probes refused",
            "verdicts it would have made surer",
        ];
        table(out, head, &rows);
    }
    out.push_str("\nNo version of this log records:\n\n");
    for (what, how) in NOT_RECORDED {
        let _ = writeln!(out, "- {what}: {how}");
    }
    heading(out, "Losses and cost");
    losses(out, dossier);
}

fn losses(out: &mut String, dossier: &Dossier<'_>) {
    let summary = dossier.summary;
    let losses: Vec<[String; 2]> = summary
        .losses
        .by_probe
        .iter()
        .filter(|(_, lost)| **lost > 0)
        .map(|(probe, lost)| [code(probe, true), lost.to_string()])
        .collect();
    if !losses.is_empty() {
        table(out, ["lost", "records"], &losses);
        out.push_str("\nVerdicts on whose evidence a loss bears are not called exact.\n");
    } else if summary.unended == 0 {
        out.push_str("No record was lost.\n");
    }
    if !summary.shed.is_empty() {
        let hooks: Vec<_> = summary.shed.keys().map(|hook| code(hook, true)).collect();
        let _ = writeln!(
            out,
            "\nTo keep to `--max-overhead` the run went on without {}.",
            hooks.join(", ")
        );
    }
    if summary.unended > 0 {
        let _ = writeln!(
            out,
            "\n{} without an end: what was lost there is not known.",
            count(summary.unended, "run")
        );
    }
    let open = summary.open;
    if !open.is_empty() {
        let _ = writeln!(
            out,
            "\nOpen when their run ended: {}, of {} not all records had come.",
            count(open.partial.saturating_add(open.waiting), "failure"),
            open.partial
        );
    }
    if summary.withdrawn > 0 {
        let _ = writeln!(
            out,
            "\n{} turned out to be none, and {} not counted.",
            count(summary.withdrawn, "suspected failure"),
            if summary.withdrawn == 1 { "is" } else { "are" }
        );
    }
    let cost = summary.cost.total;
    let process = summary.cost.process.unwrap_or_default();
    match cost.ns.checked_div(cost.runs) {
        Some(each) => {
            let _ = writeln!(
                out,
                "\n{} probes ran {} times for {}, {} each.",
                match process.bpf_measured_ns {
                    Some(first) => format!(
                        "In the first {}, the only time measured, the",
                        cell::duration(first)
                    ),
                    None => "The".to_owned(),
                },
                cost.runs,
                cell::duration(cost.ns),
                cell::duration(each)
            );
        }
        None => out.push_str("\nWhat the probes cost was not measured.\n"),
    }
    if summary.cost.process.is_some() {
        let _ = writeln!(
            out,
            "\nThe tracer itself took {} of CPU time, and {} of memory at most.",
            cell::duration(process.cpu_ns),
            cell::mebibytes(process.peak_rss_bytes)
        );
    }
}
