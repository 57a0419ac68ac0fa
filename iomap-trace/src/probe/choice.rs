//! Which plan the user asked for.

use std::fmt;

/// Plans, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// The best that this kernel takes, for each hook.
    #[default]
    Auto,
    /// fexit on functions of vmlinux, raw tracepoints beside them.
    Fexit,
    /// kprobes and kretprobes, raw tracepoints beside them.
    Kprobe,
    /// Tracepoints alone.
    Tracepoint,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        })
    }
}
