//! Errors that carry their documented exit code: one line that says what, why, and what to do.

use std::fmt;

/// Exit codes of the command line; 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitKind {
    /// Any other error.
    Error = 1,
    /// The command line cannot be used.
    Usage = 2,
    /// Failures were found, and `--fail-on` asked for it.
    Found = 3,
    /// Not enough privileges.
    Privileges = 4,
    /// This kernel offers no usable probe.
    NoProbe = 5,
}

/// An error with an exit code of its own.
#[derive(Debug)]
pub struct Fail {
    /// Exit code.
    pub kind: ExitKind,
    message: String,
}

impl Fail {
    /// An error that ends the program with the code of `kind`. The message says what went wrong,
    /// why, and what to do.
    pub fn error(kind: ExitKind, message: impl Into<String>) -> anyhow::Error {
        Self {
            kind,
            message: message.into(),
        }
        .into()
    }

    /// Exit code of any error.
    pub fn code(error: &anyhow::Error) -> u8 {
        error
            .downcast_ref::<Self>()
            .map_or(ExitKind::Error, |fail| fail.kind) as u8
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fail {}
