//! Which failures make a run fail.

use crate::report::Counts;

/// Which failures make a run fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// None.
    #[default]
    Never,
    /// Those that may leave the page cache stale (phase post).
    Stale,
    /// Every failed invalidation.
    Any,
}

impl FailOn {
    /// Whether a run with these failures fails.
    pub const fn met(self, failures: Counts) -> bool {
        match self {
            Self::Never => false,
            Self::Stale => failures.post > 0,
            Self::Any => failures.total() > 0,
        }
    }

    /// Name as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Stale => "stale",
            Self::Any => "any",
        }
    }
}
