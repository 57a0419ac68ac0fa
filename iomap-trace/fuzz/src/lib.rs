//! What is fuzzed: one function for each target. It panics when something is wrong with an input.
//!
//! The fuzzer calls these functions, and so does an ordinary test (`tests/fuzz.rs`), with every seed
//! and with every input that once made one of them panic.

mod engine;
mod events;
mod kallsyms;
mod log_reader;
mod losses;
mod tracefs_format;

pub use engine::engine;
pub use kallsyms::kallsyms;
pub use log_reader::log_reader;
pub use tracefs_format::tracefs_format;
