//! A bug report in Markdown: what maintainers ask for, in the order in which they ask.
//!
//! Paths, command names and all else that comes from the log stands in code spans and code blocks,
//! in which nothing of it can become markup: see [`text`].

mod changes;
mod environment;
mod evidence;
mod files;
mod finding;
#[cfg(test)]
mod hostile;
mod hosts;
mod limits;
mod text;
mod totals;

use super::dossier::Dossier;

/// The report.
pub fn markdown(dossier: &Dossier<'_>) -> String {
    let mut out = String::from("# Failed page-cache invalidation under direct I/O\n");
    if dossier.runs.kept.is_empty() {
        out.push_str("\nThe log holds no run.\n");
        return out;
    }
    finding::section(&mut out, dossier);
    hosts::section(&mut out, dossier);
    environment::section(&mut out, dossier);
    totals::section(&mut out, dossier);
    evidence::section(&mut out, dossier);
    limits::section(&mut out, dossier);
    changes::section(&mut out, dossier);
    out
}
