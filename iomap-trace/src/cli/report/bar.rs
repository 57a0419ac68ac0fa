//! The progress bar of a replay.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::cli::status::StatusLine;
use crate::report::Progress;

/// Work that takes less has no bar.
const AFTER: Duration = Duration::from_millis(500);

/// From one drawing to the next.
const EVERY: Duration = Duration::from_millis(500);

/// A line on standard error that says how far the work is: on a terminal only, and below whatever
/// is written to the same terminal.
pub(super) struct Bar {
    line: RefCell<StatusLine>,
    began: Instant,
    /// When it is to be drawn again, since `began`.
    next: Cell<Duration>,
    /// The report itself goes to the terminal.
    rows_above: bool,
}

impl Bar {
    /// Nothing is drawn yet.
    pub(super) fn new(rows_above: bool) -> Self {
        Self {
            line: RefCell::new(StatusLine::new(true)),
            began: Instant::now(),
            next: Cell::new(AFTER),
            rows_above,
        }
    }

    /// Draws the bar if it is time. Rows that wait in `out` are written before, so that the bar
    /// stands on a line of its own.
    pub(super) fn show(&self, progress: Progress, out: &mut dyn Write) -> io::Result<()> {
        let elapsed = self.began.elapsed();
        if elapsed < self.next.get() {
            return Ok(());
        }
        self.next.set(elapsed + EVERY);
        if self.rows_above {
            out.flush()?;
        }
        self.line.borrow_mut().draw(|| progress.text(elapsed));
        Ok(())
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.line.borrow_mut().clear();
    }

    /// `out`, with the bar taken away before something is written, if that is to be seen `on` the
    /// terminal.
    pub(super) fn above<W>(&self, out: W, on: bool) -> Above<'_, W> {
        Above {
            out,
            bar: on.then_some(self),
        }
    }
}

/// See [`Bar::above`].
pub(super) struct Above<'a, W> {
    out: W,
    bar: Option<&'a Bar>,
}

impl<W: Write> Write for Above<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(bar) = self.bar {
            bar.clear();
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
