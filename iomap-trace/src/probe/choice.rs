//! The plans, and which of them the user asked for.

use iomap_trace_ebpf::{PLAN_FEXIT, PLAN_KPROBE, PLAN_TRACEPOINT};
use std::fmt;

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// The best plan that this kernel takes.
    #[default]
    Auto,
    /// fexit on functions of vmlinux, raw tracepoints beside them.
    Fexit,
    /// kprobes and kretprobes, raw tracepoints beside them.
    Kprobe,
    /// Tracepoints alone.
    Tracepoint,
}

impl Choice {
    /// The plans to try, best first.
    pub const fn plans(self) -> &'static [Plan] {
        match self {
            Self::Auto => &[Plan::Fexit, Plan::Kprobe, Plan::Tracepoint],
            Self::Fexit => &[Plan::Fexit],
            Self::Kprobe => &[Plan::Kprobe],
            Self::Tracepoint => &[Plan::Tracepoint],
        }
    }
}

/// How functions are seen. One plan for a whole run: the programs are told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plan {
    /// By fentry and fexit.
    Fexit,
    /// By kprobes and kretprobes.
    Kprobe,
    /// Not at all.
    Tracepoint,
}

impl Plan {
    /// Each of them.
    pub const ALL: &[Self] = &[Self::Fexit, Self::Kprobe, Self::Tracepoint];

    /// Name as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }

    /// As the programs know it.
    pub const fn setting(self) -> u32 {
        match self {
            Self::Fexit => PLAN_FEXIT,
            Self::Kprobe => PLAN_KPROBE,
            Self::Tracepoint => PLAN_TRACEPOINT,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
