//! Verdicts in, text out: the live table, NDJSON, the summary, and the long reports.

pub mod audit;
mod budget;
mod cell;
mod compare;
mod compare_words;
mod detail;
pub mod dossier;
mod hosts;
mod hosts_text;
mod html;
mod json;
mod markdown;
pub mod metrics;
mod observer;
mod parts;
mod perfetto;
mod progress;
mod replay;
#[cfg(test)]
mod replay_tests;
mod session;
mod summary;
mod summary_text;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod timeline;

pub use budget::WarningBudget;
pub use compare::{compare_text, section};
pub use hosts::Host;
pub use html::{Data, Failures, File as DataFile, Pair as DataPair, html};
pub use markdown::markdown;
pub use observer::Observer;
pub use perfetto::Trace;
pub use progress::Progress;
pub use replay::{Watch, replay, replay_named, replay_watched};
pub use session::{Format, Session};
pub use summary::{Cost, Costs, Losses, StillOpen, Summary};
pub use summary_text::{Live, footer, summary_text};
pub use table::Table;
pub use tally::{Counts, Entry, FileId, Pair, Tally};
pub use timeline::{
    Row, Timeline, interleaving, nothing, one, sentence, timelines, whose, wrapped,
};

/// Columns of a report that goes elsewhere than to a terminal.
pub const DEFAULT_WIDTH: usize = 80;

/// Columns of the terminal at standard output, [`DEFAULT_WIDTH`] if it is none or narrower.
pub fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .map_or(DEFAULT_WIDTH, |size| usize::from(size.ws_col))
        .max(DEFAULT_WIDTH)
}
