//! The audit for people, 80 columns wide.

use std::fmt::Write as _;

use super::case::{Case, Finding, Origin};
use super::{Audited, FailOn};
use crate::report::cell;
use crate::report::table::phase_name;

const WIDTH: usize = crate::report::DEFAULT_WIDTH;

/// Findings of a child command that are shown.
const SHOWN: usize = 10;

/// Child commands with failures that are shown.
const CASES: usize = 100;

/// A table of the child commands that met failures, each with what it met. Lines are at most 80
/// columns wide.
pub fn audit_text(audited: &Audited<'_>) -> String {
    let mut text = String::new();
    let failing: Vec<_> = audited
        .children
        .iter()
        .filter(|case| case.failures.total() > 0)
        .collect();
    let commands = audited
        .children
        .iter()
        .filter(|case| case.owner.origin == Origin::Child)
        .count();
    let found = match failing.len() {
        0 => "no failed invalidation".to_owned(),
        1 => "failed invalidations in 1 line below".to_owned(),
        n => format!("failed invalidations in {n} lines below"),
    };
    let seen = match commands {
        1 => "1 child command was seen".to_owned(),
        n => format!("{n} child commands were seen"),
    };
    let title = format!("Audit: {found}; {seen}.");
    paragraph(&mut text, &title);
    if !failing.is_empty() {
        text.push('\n');
        let _ = writeln!(text, "    pre    map   post  command");
        for case in failing.iter().take(CASES) {
            push_case(&mut text, case, audited.fail_on);
        }
        let more = failing.len().saturating_sub(CASES);
        if more > 0 {
            let _ = writeln!(text, "and {more} more");
        }
        text.push('\n');
    }
    paragraph(&mut text, &verdict(audited));
    text
}

fn verdict(audited: &Audited<'_>) -> String {
    let kind = match audited.fail_on {
        FailOn::Never => return "Nothing was asked to fail (--fail-on never).".to_owned(),
        FailOn::Stale => "writes that may have left stale data in the page cache",
        FailOn::Any => "failed invalidations",
    };
    let result = if audited.failed { "FAILED" } else { "passed" };
    let found = if audited.failed { "there were" } else { "no" };
    format!(
        "{result}: {found} {kind} (--fail-on {}).",
        audited.fail_on.name()
    )
}

fn push_case(text: &mut String, case: &Case, fail_on: FailOn) {
    let failures = case.failures;
    let mark = if fail_on.met(failures) { '!' } else { ' ' };
    let prefix = format!(
        "{mark}{:>6} {:>6} {:>6}  {}",
        failures.pre,
        failures.map,
        failures.post,
        origin(case)
    );
    let room = WIDTH.saturating_sub(cell::width(&prefix));
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{prefix}{}", cell::fit_end(&case.title(), room));
    for finding in case.findings.iter().take(SHOWN) {
        push_finding(text, finding);
    }
    let shown: u64 = case.findings.iter().take(SHOWN).map(|f| f.count).sum();
    let more = failures.total().saturating_sub(shown);
    if more > 0 {
        let _ = writeln!(text, "          and {more} more");
    }
}

/// What stands before the command line.
pub(super) fn origin(case: &Case) -> String {
    let pid = case.owner.pid;
    match case.owner.origin {
        Origin::Command => format!("[{pid}, the command itself] "),
        Origin::Child => format!("[{pid}] "),
        Origin::Orphan => format!("[{pid}, its parent had ended] "),
        Origin::Outside => format!("[{pid}, not of the command] "),
        Origin::Gone => format!("[{pid}, had ended: by name only] "),
        Origin::Rest => String::new(),
    }
}

fn push_finding(text: &mut String, finding: &Finding) {
    let head = head(finding, 24);
    let room = WIDTH.saturating_sub(11 + cell::width(&head));
    let _ = writeln!(
        text,
        "          {head} {}",
        cell::fit_start(&finding.file(), room)
    );
    let words = words(finding);
    if !words.is_empty() {
        for (n, line) in cell::wrap(&format!("<- {words}"), WIDTH - 15)
            .lines()
            .enumerate()
        {
            let indent = if n == 0 { 12 } else { 15 };
            let _ = writeln!(text, "{:indent$}{line}", "");
        }
    }
}

/// A finding in one line but for the file, the task at most `columns` wide.
pub(super) fn head(finding: &Finding, columns: usize) -> String {
    format!(
        "{}x {} {} {} {}+{}",
        finding.count,
        phase_name(finding.phase),
        finding.cause.name(),
        cell::task(&finding.comm, finding.pid, columns),
        cell::size(finding.pos),
        cell::size(finding.len),
    )
}

/// The other party.
pub(super) fn words(finding: &Finding) -> String {
    cell::clean(&finding.party, false)
}

fn paragraph(text: &mut String, words: &str) {
    text.push_str(&cell::wrap(words, WIDTH));
    text.push('\n');
}
