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
mod pipeline;
mod reader;
mod scan;
mod sink;
#[cfg(test)]
mod tests;
mod writer;

pub use ending::Ending;
pub use error::LogError;
pub use reader::Reader;
pub use sink::Sink;
pub use writer::Writer;

/// First bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
