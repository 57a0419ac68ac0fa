//! Bytes of the ring buffer to typed records.

/// placeholder
pub struct Decoded;
/// placeholder
pub struct DecodeError;
/// placeholder
pub fn decode() {}
