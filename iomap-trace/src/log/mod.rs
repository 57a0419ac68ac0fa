//! The event log: NDJSON, optionally in zstd frames, written so that a killed recorder loses only
//! the tail, and read so that a missing tail costs only what was in it.

mod batch;
mod batches;
mod cutter;
mod ending;
mod error;
mod fixup;
mod frames;
mod line;
mod owner;
mod parts;
mod pipeline;
mod place;
mod reader;
mod recent;
mod rotation;
mod run_log;
mod scan;
mod settling;
mod share;
mod sink;
#[cfg(test)]
mod tests;
mod writer;

pub use ending::Ending;
pub use error::LogError;
pub use owner::Owner;
pub use place::Place;
pub use reader::Reader;
pub use rotation::{Due, Rotation, size, time};
pub use run_log::{RunLog, Turn};
pub use sink::Sink;
pub use writer::Writer;

/// First bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
