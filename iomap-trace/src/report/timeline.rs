//! A text timeline: a column for each party, a line for each thing that one of them did.
//!
//! Nothing happens at the same time twice, so a text may run over the columns to its right.

#[cfg(test)]
mod hostile;
mod names;
mod sentence;
mod steps;
mod text;

use super::DEFAULT_WIDTH;
use super::cell;

pub use sentence::sentence;
pub use steps::timeline as interleaving;
pub(super) use steps::{errno_text, range};
pub(super) use text::{date, run_of};
pub use text::{nothing, one, timelines, whose};

/// Columns of the time.
const TIME: usize = 9;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Row {
    /// When, nanoseconds since boot.
    pub ns: u64,
    /// Number of the party's column.
    pub column: usize,
    /// What, in words.
    pub text: String,
    /// It is marked: the moment of a refusal.
    pub marked: bool,
}

/// A timeline.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The parties; those without a name have no column.
    pub parties: Vec<String>,
    /// What happened, oldest first.
    pub rows: Vec<Row>,
}

impl Timeline {
    /// As text of at most [`DEFAULT_WIDTH`] columns, times in microseconds since the first row.
    pub fn text(&self) -> String {
        let first = self.rows.first().map_or(0, |row| row.ns);
        self.text_since(first, DEFAULT_WIDTH)
    }

    /// As text of at most `width` columns, 60 at least, times in microseconds since `origin_ns`.
    pub fn text_since(&self, origin_ns: u64, width: usize) -> String {
        let width = width.max(60);
        let room = width - TIME - 2;
        let named = self.parties.iter().filter(|name| !name.is_empty()).count();
        // The last column keeps room for a function's name.
        let wide = (room / named.max(1)).min((room - (width - 50)) / (named.max(2) - 1));
        let starts: Vec<usize> = self
            .parties
            .iter()
            .scan(TIME + 2, |at, name| {
                let start = *at;
                *at += if name.is_empty() { 0 } else { wide };
                Some(start)
            })
            .collect();
        let mut out = self.head(&starts, wide, width);
        for row in &self.rows {
            self.row(row, origin_ns, &starts, width, &mut out);
        }
        out
    }

    /// The names of the columns; on two lines in turn where a column is too narrow for its name.
    fn head(&self, starts: &[usize], wide: usize, width: usize) -> String {
        let names: Vec<_> = self
            .parties
            .iter()
            .zip(starts)
            .filter(|(name, _)| !name.is_empty())
            .collect();
        let before_last = names.len().saturating_sub(1);
        let narrow = names
            .iter()
            .take(before_last)
            .any(|(name, _)| cell::width(name) >= wide);
        let lines = if narrow { 2 } else { 1 };
        let mut out = String::new();
        for line in 0..lines {
            let time = if line + 1 == lines { "us" } else { "" };
            let mut head = format!("{time:>TIME$}");
            for (_, (name, start)) in names.iter().enumerate().filter(|(n, _)| n % lines == line) {
                pad(&mut head, **start);
                let room = (width - **start).min((wide * lines).max(wide + 1));
                let last = **start + wide * lines > width;
                let room = if last { width - **start } else { room - 1 };
                head.push_str(&cell::fit_end(name, room));
            }
            out.push_str(head.trim_end());
            out.push('\n');
        }
        out
    }

    fn row(&self, row: &Row, origin: u64, starts: &[usize], width: usize, out: &mut String) {
        let start = starts.get(row.column).copied().unwrap_or(TIME + 2);
        let mark = if row.marked { "!! " } else { "" };
        let text = cell::clean(&format!("{mark}{}", row.text), false);
        let text = cell::wrap(&text, width - start);
        for (number, text) in text.lines().enumerate() {
            let mut line = if number == 0 {
                format!("{:>TIME$}", clock(row.ns, origin))
            } else {
                " ".repeat(TIME)
            };
            let lines = starts.iter().zip(&self.parties).enumerate();
            let before = lines.clone().filter(|(n, _)| *n < row.column);
            for (_, (at, _)) in before.filter(|(_, (_, name))| !name.is_empty()) {
                pad(&mut line, *at);
                line.push('|');
            }
            pad(&mut line, start);
            line.push_str(text);
            let after =
                lines.filter(|(n, (at, name))| *n > row.column && **at > start && !name.is_empty());
            for (_, (at, _)) in after {
                // Not where the text is.
                if cell::width(&line) < *at {
                    pad(&mut line, *at);
                    line.push('|');
                }
            }
            out.push_str(&line);
            out.push('\n');
        }
    }
}

/// Microseconds from `origin` to `ns`, negative before it, in at most [`TIME`] columns: where that
/// is too narrow, seconds.
fn clock(ns: u64, origin: u64) -> String {
    let sign = if ns < origin { "-" } else { "" };
    let since = ns.abs_diff(origin);
    let us = format!("{sign}{}.{}", since / 1_000, since / 100 % 10);
    if us.len() <= TIME {
        return us;
    }
    let seconds = since / 1_000_000_000;
    let exact = format!("{sign}{seconds}.{:03}s", since / 1_000_000 % 1_000);
    match exact.len() <= TIME {
        true => exact,
        false => format!("{sign}{:.0e}s", seconds as f64),
    }
}

/// `text` as lines of at most `columns`, broken at spaces.
pub fn wrapped(text: &str, columns: usize) -> String {
    cell::wrap(text, columns)
}

/// Spaces up to `column`.
fn pad(line: &mut String, column: usize) {
    let missing = column.saturating_sub(cell::width(line));
    line.extend(std::iter::repeat_n(' ', missing));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let row = |column, text: &str, ns| Row {
            ns,
            column,
            text: text.to_owned(),
            marked: column == 1,
        };
        let parties = [
            "direct writer",
            "writeback",
            "",
            "a party with quite a name",
        ];
        let timeline = Timeline {
            parties: parties.map(str::to_owned).to_vec(),
            rows: (0..4)
                .map(|n| row(n, &"word ".repeat(30), 1_000_000_000 * n as u64))
                .chain([row(3, &"x".repeat(200), u64::MAX), row(9, "late\n", 0)])
                .collect(),
        };
        let text = timeline.text();
        assert!(text.lines().all(|line| cell::width(line) <= DEFAULT_WIDTH));
        assert!(text.contains("!! word"));
        assert!(!text.contains("late\n\n"));
    }
}
