//! The clearest failure of each kind: facts, interleaving, stacks.

use std::fmt::Write as _;

use super::text::{block, code, heading, task};
use crate::correlate::{Verdict, Witness};
use crate::event::{Holder, HolderKind, Phase, Text};
use crate::report::cell;
use crate::report::dossier::{Dossier, Example};
use crate::report::timeline::{errno_text, one, range, run_of, whose};

/// Examples that are shown: there are thirty kinds at most, and seldom more than four.
const EXAMPLES: usize = 8;
/// Frames of a stack.
const FRAMES: usize = 64;

pub(super) fn section(out: &mut String, dossier: &Dossier<'_>) {
    if dossier.examples.is_empty() {
        return;
    }
    heading(out, "Interleavings");
    out.push_str(
        "The clearest failure of each kind. Times are microseconds since the write began; `!!` marks \
         a refusal. Moments, ranges, folios and parties were recorded. What follows from the \
         kernel's code alone: the call of `filemap_write_and_wait_range()`, the filesystem's function \
         that refuses, what `__iomap_dio_rw()` makes of the failure, and the mark in `wb_err`.\n",
    );
    for example in dossier.examples.iter().take(EXAMPLES) {
        let _ = writeln!(
            out,
            "\n### {} {}: failure {}{}\n",
            example.verdict.cause.name(),
            side(example.failure.phase),
            example.failure.id,
            run_of(dossier, example),
        );
        block(out, &one(example, &whose(dossier, example)));
        out.push('\n');
        facts(out, example);
    }
    let rest = dossier.examples.len().saturating_sub(EXAMPLES);
    if rest > 0 {
        let _ = writeln!(
            out,
            "\nand {rest} more kinds: `--format timeline` shows them."
        );
    }
    heading(out, "Stacks");
    stacks(out, dossier);
}

fn side(phase: Phase) -> &'static str {
    match phase {
        Phase::Pre => "before submission",
        Phase::Map => "while mapped",
        Phase::Post => "after completion",
    }
}

fn facts(out: &mut String, example: &Example) {
    let (failure, records) = (&example.failure, &example.records);
    let escaped = failure.flags.iter().any(|flag| flag == "path-escaped");
    let path = failure.path.as_deref().map(|path| code(path, !escaped));
    let root = failure
        .root
        .map_or_else(String::new, |root| format!(", subvolume {root}"));
    let _ = writeln!(
        out,
        "- file: {}, inode {}{root} on {} ({}), {} bytes long; bytes {} to {} ({})",
        path.unwrap_or_else(|| "path not known".to_owned()),
        failure.ino,
        failure.dev,
        code(&failure.fs, true),
        failure.size,
        failure.pos,
        failure.pos.saturating_add(failure.len),
        range(failure.pos, failure.len),
    );
    let completed = match failure.completed_by {
        Some(tid) => format!("; thread {tid} completed it"),
        None => String::new(),
    };
    let _ = writeln!(
        out,
        "- writer: {}, thread {}, cgroup {}{completed}",
        task(&failure.comm, failure.pid),
        failure.tid,
        failure.cgroup
    );
    let returned = match (failure.phase, failure.errno) {
        (Phase::Map, _) => "no invalidation failed".to_owned(),
        (_, Some(errno)) => format!("invalidation returned {}", errno_text(errno)),
        (_, None) => "what the invalidation returned was not seen".to_owned(),
    };
    let marked = match failure.phase {
        Phase::Post if failure.wb_err_begin == failure.wb_err_now => {
            ", which may be before the kernel marks it"
        }
        _ => "",
    };
    let _ = writeln!(
        out,
        "- {}: {returned}; `wb_err` {:#x} when the write began, {:#x} when the failure was seen{marked}",
        side(failure.phase),
        failure.wb_err_begin,
        failure.wb_err_now
    );
    let folios = records.refusals.iter().map(|refusal| {
        let mut flags: Vec<&str> = refusal.folio_flags.iter().map(Text::as_str).collect();
        if let Some(buffers) = &refusal.buffers {
            flags.extend(buffers.state.iter().map(Text::as_str));
        }
        format!("{} {}", refusal.index, code(&flags.join(" "), true))
    });
    let folios: Vec<String> = folios.take(4).collect();
    if !folios.is_empty() {
        let more = match (failure.refusals as usize).saturating_sub(folios.len()) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let _ = writeln!(
            out,
            "- folios (index and flags): {}{more}",
            folios.join("; ")
        );
    }
    for holder in &example.holders {
        self::holder(out, holder, example);
    }
    verdict(out, &example.verdict);
    if !example.verdict.evidence_missing.is_empty() {
        let hooks: Vec<String> = example
            .verdict
            .evidence_missing
            .iter()
            .map(|hook| code(hook, true))
            .collect();
        let _ = writeln!(out, "- not seen: {}", hooks.join(", "));
    }
}

/// What the sentence of the verdict leaves out.
fn verdict(out: &mut String, verdict: &Verdict) {
    if let Some(witness) = verdict.witness {
        let witness = match witness {
            Witness::Both => "a folio that was still cached, and a change of `wb_err`",
            Witness::Folio => "a folio that was still cached",
            Witness::WbErr => "a change of `wb_err`",
            Witness::Result => "the invalidation's result",
            Witness::Warned => "the kernel's way to its warning",
        };
        let _ = writeln!(out, "- shown by: {witness}");
    }
    if let Some(cacher) = &verdict.cached_by {
        let task = task(&cacher.comm, cacher.pid);
        let _ = writeln!(
            out,
            "- brought into the page cache during the write by {task}"
        );
    }
    if !verdict.also.is_empty() {
        let causes: Vec<&str> = verdict.also.iter().map(|cause| cause.name()).collect();
        let _ = writeln!(out, "- other folios of it: {}", causes.join(", "));
    }
}

/// Who locked the range, and whether that I/O was finished or in flight.
fn holder(out: &mut String, holder: &Holder, example: &Example) {
    let flags: Vec<&str> = holder.ordered_flags.iter().map(Text::as_str).collect();
    let what = match (holder.kind, &holder.function) {
        (HolderKind::OrderedIo, _) if flags.contains(&"io-done") => {
            "completion of an ordered extent; its I/O was finished, its metadata was not".to_owned()
        }
        (HolderKind::OrderedIo, _) => "completion of an ordered extent".to_owned(),
        (HolderKind::ExtentLock, Some(function)) => {
            format!("lock taken in {}", code(function, true))
        }
        (HolderKind::ExtentLock, None) => "lock; its caller was not named".to_owned(),
    };
    let held = match (holder.locked_ns, holder.unlocked_ns) {
        (Some(locked), Some(unlocked)) => {
            let after = unlocked.saturating_sub(example.failure.ts_ns);
            format!(
                "held for {}, {} of it after the failure",
                cell::duration(unlocked.saturating_sub(locked)),
                cell::duration(after.min(unlocked.saturating_sub(locked)))
            )
        }
        _ => "never locked".to_owned(),
    };
    let flags = match flags.is_empty() {
        true => String::new(),
        false => format!("; flags {}", code(&flags.join(" "), true)),
    };
    let _ = writeln!(
        out,
        "- holder {}: {}, {what}; {}; {held}{flags}",
        holder.id,
        task(&holder.comm, holder.pid),
        range(holder.pos, holder.len),
    );
}

fn stacks(out: &mut String, dossier: &Dossier<'_>) {
    let mut any = false;
    for example in dossier.examples.iter().take(EXAMPLES) {
        let id = format!("{}{}", example.failure.id, run_of(dossier, example));
        let refuser = std::iter::once((
            format!("Failure {id}, the refused write:"),
            &example.failure.stack,
        ));
        let holders = example.holders.iter().map(|holder| {
            (
                format!("Failure {id}, holder {}:", holder.id),
                &holder.stack,
            )
        });
        for (title, stack) in refuser
            .chain(holders)
            .filter(|(_, stack)| !stack.is_empty())
        {
            any = true;
            let mut frames: Vec<String> = stack
                .iter()
                .take(FRAMES)
                .map(|frame| cell::fit_end(&cell::clean(frame, true), 100))
                .collect();
            if stack.len() > FRAMES {
                frames.push(format!("and {} more", stack.len() - FRAMES));
            }
            let _ = writeln!(out, "{title}\n");
            block(out, &frames.join("\n"));
            out.push('\n');
        }
    }
    if !any {
        out.push_str(
            "Not recorded: `iomap-trace record --stacks` keeps those of the refused write and of the \
             lock's holder.\n",
        );
    }
}
