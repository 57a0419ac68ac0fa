//! A text timeline: a column for each party, a line for each thing that one of them did.
//!
//! Nothing happens at the same time twice, so a text may run over the columns to its right.

use super::DEFAULT_WIDTH;
use super::cell;

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
        let named = self.parties.iter().filter(|name| !name.is_empty()).count();
        let wide = (DEFAULT_WIDTH - TIME - 2) / named.max(1);
        // The last column keeps room for a function's name.
        let wide = wide.min((DEFAULT_WIDTH - TIME - 2 - 30) / (named.max(2) - 1));
        let starts: Vec<usize> = self
            .parties
            .iter()
            .scan(TIME + 2, |at, name| {
                let start = *at;
                *at += if name.is_empty() { 0 } else { wide };
                Some(start)
            })
            .collect();
        let mut out = format!("{:>TIME$}", "us");
        for (name, start) in self.parties.iter().zip(&starts) {
            if !name.is_empty() {
                pad(&mut out, *start);
                out.push_str(&cell::fit_end(name, DEFAULT_WIDTH - start));
            }
        }
        out.push('\n');
        let first = self.rows.first().map_or(0, |row| row.ns);
        for row in &self.rows {
            self.row(row, first, &starts, &mut out);
        }
        out
    }

    fn row(&self, row: &Row, first: u64, starts: &[usize], out: &mut String) {
        let start = starts.get(row.column).copied().unwrap_or(TIME + 2);
        let mark = if row.marked { "!! " } else { "" };
        let text = cell::clean(&format!("{mark}{}", row.text), false);
        let text = cell::wrap(&text, DEFAULT_WIDTH - start);
        let since = row.ns.saturating_sub(first);
        for (number, text) in text.lines().enumerate() {
            let mut line = if number == 0 {
                let us = format!("{}.{}", since / 1_000, since / 100 % 10);
                format!("{us:>TIME$}")
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
