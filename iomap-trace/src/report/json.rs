//! NDJSON: the log's records as they come, verdicts among them, the summary last.

use serde::Serialize;
use std::io::{self, Write};

/// Writes a record, a verdict or a summary as one line, exactly as the log has it.
pub(super) fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
