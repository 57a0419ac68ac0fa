//! The line at the bottom of a live table.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// A line on standard error that is drawn over and over, on a terminal only.
pub struct StatusLine {
    shown: bool,
    last: Option<Instant>,
    terminal: bool,
    /// Standard error was a terminal at the start.
    had_terminal: bool,
}

impl StatusLine {
    /// Nothing is drawn yet.
    pub fn new(wanted: bool) -> Self {
        Self {
            shown: false,
            last: None,
            terminal: wanted && std::io::stderr().is_terminal(),
            had_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Whether it is drawn.
    pub fn on_terminal(&self) -> bool {
        self.terminal
    }

    /// The terminal that was there at the start has been hung up.
    pub fn gone(&self) -> bool {
        self.had_terminal && !std::io::stderr().is_terminal()
    }

    /// Takes the line away, so that rows can be written.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            self.write("\r\x1b[K");
            // It is drawn again below the rows.
            self.last = None;
        }
    }

    /// Draws what `line` gives, at most once a second.
    pub fn draw(&mut self, line: impl FnOnce() -> String) {
        if self.terminal && self.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            self.write(&format!("\r{}\x1b[K", line()));
            self.shown = true;
            self.last = Some(Instant::now());
        }
    }

    fn write(&self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        // A status line that cannot be written is no reason to stop.
        let _ = stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush());
    }
}
