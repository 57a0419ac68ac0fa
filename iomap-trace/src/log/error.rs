//! Why recording stopped.

use std::fmt;
use std::io;

/// The event log cannot be written any further. Reported once; tracing can go on.
#[derive(Debug)]
pub struct LogError {
    /// Name of the log.
    pub log: String,
    /// Records that are in the log.
    pub kept: u64,
    /// Why the next ones could not be written.
    pub why: io::Error,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remedy = match self.why.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => "free some space, or choose another file with -o",
            Some(libc::EPIPE) => "keep its reader running, or choose a file with -o",
            _ => "choose another file with -o",
        };
        write!(
            f,
            "event log {}: {}: recording stopped after {} records, tracing goes on; {remedy}",
            self.log,
            reason(&self.why),
            self.kept,
        )
    }
}

impl std::error::Error for LogError {}

/// The log called `name` cannot be created.
pub(super) fn cannot_create(name: &str, error: &io::Error) -> anyhow::Error {
    let why = match error.raw_os_error() {
        Some(libc::ELOOP) => {
            "it is a symbolic link, which is not followed: name the file itself".to_owned()
        }
        Some(libc::EMLINK) => {
            "the file has another name as well (a hard link), and would be emptied: choose another \
             file with -o"
                .to_owned()
        }
        _ => format!("{}: choose another file with -o", reason(error)),
    };
    anyhow::anyhow!("event log {name} cannot be created: {why}")
}

/// The words of an I/O error without its number, beginning in lower case.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        // A word in capitals such as `I/O` stays.
        Some(first)
            if !chars
                .as_str()
                .starts_with(|c: char| c.is_uppercase() || c == '/') =>
        {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_why_and_what_to_do() {
        let error = LogError {
            log: "/x".into(),
            kept: 12,
            why: io::Error::from_raw_os_error(libc::ENOSPC),
        };
        assert_eq!(
            error.to_string(),
            "event log /x: no space left on device: recording stopped after 12 records, \
             tracing goes on; free some space, or choose another file with -o"
        );
    }

    #[test]
    fn reasons_read_as_words() {
        let text = |errno| reason(&io::Error::from_raw_os_error(errno));
        assert_eq!(text(libc::EIO), "input/output error");
        assert_eq!(text(libc::EACCES), "permission denied");
    }
}
