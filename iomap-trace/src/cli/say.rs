//! What the tracer tells its user on standard error; with priorities where that is the journal.

use std::fmt::Display;
use std::io::Write;
use std::sync::OnceLock;

/// Priorities of `syslog(3)`, as the journal reads them at the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error = 3,
    /// Something is not as it was asked for.
    Warning = 4,
    /// Something happened that one may look for later.
    Notice = 5,
    /// What is going on.
    Info = 6,
}

/// Writes a line, or several. The journal knows by itself who writes.
pub fn say(level: Level, what: impl Display) {
    write(&line(in_journal(), level, &format!("iomap-trace: {what}")));
}

/// The same, as a part of what was said before.
pub fn also(level: Level, what: impl Display) {
    write(&line(in_journal(), level, &format!("  {what}")));
}

fn write(text: &str) {
    // Where nobody can be told, there is nobody to tell that.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn line(journal: bool, level: Level, text: &str) -> String {
    if !journal {
        return format!("{text}\n");
    }
    let text = text.strip_prefix("iomap-trace: ").unwrap_or(text);
    let priority = level as u8;
    let lines = text.lines().map(|line| format!("<{priority}>{line}\n"));
    lines.collect()
}

/// Whether standard error is the journal's: systemd names it in `$JOURNAL_STREAM`.
pub fn in_journal() -> bool {
    static IN_JOURNAL: OnceLock<bool> = OnceLock::new();
    *IN_JOURNAL.get_or_init(|| {
        let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
            return false;
        };
        let named = |file: rustix::fs::Stat| format!("{}:{}", file.st_dev, file.st_ino);
        rustix::fs::fstat(std::io::stderr()).is_ok_and(|file| stream == *named(file))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_gets_priorities_and_no_name() {
        let text = "iomap-trace: one\n  two";
        assert_eq!(line(true, Level::Warning, text), "<4>one\n<4>  two\n");
        assert_eq!(line(false, Level::Warning, text), format!("{text}\n"));
    }
}
