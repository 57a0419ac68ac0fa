//! Ring buffer to typed events: decoding, naming, paths, and the accounts of what was lost.

mod attributes;
mod convert;
mod files;
mod front;
mod how;
mod kmsg;
mod loss;
mod muted;
mod owners;
mod paths;
mod source;
mod stack;
mod subvolume;
mod tally;

pub use convert::Converter;
pub use kmsg::KernelLog;
pub use source::Source;
