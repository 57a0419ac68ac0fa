//! The typed events: what capture makes of BPF records, what the log holds, what correlate reads.
//!
//! Every type round-trips through JSON without loss: a replayed log is the live run.

mod decode;
mod dev;
mod filesystem;
mod flags;
mod start;
#[cfg(test)]
pub(crate) mod strategies;
mod types;

pub use decode::{DecodeError, Decoded, decode};
pub use dev::Dev;
pub use filesystem::{FileRecord, Filesystem};
pub use flags::FlagNames;
pub use start::{
    Clock, End, Facts, HookReport, HookState, KernelInfo, Mount, Part, ProcessCost, ProgramReport,
    Rejected, Start,
};
pub use types::{
    Buffers, Event, Failure, Holder, HolderKind, How, Loss, Mark, Outcome, OutcomeKind, Phase,
    Refusal, Touched, Worker, shed_counter, shed_hook, standby_counter,
};

/// Version of the event log's schema.
pub const SCHEMA: u32 = 1;

/// A text that is mostly short: a command name, a flag. Up to 24 bytes need no allocation.
pub type Text = compact_str::CompactString;
