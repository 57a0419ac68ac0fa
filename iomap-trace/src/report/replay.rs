//! The same verdicts from logs.

use anyhow::{Context, Result};
use std::io::Write;
use std::path::PathBuf;

use super::session::{Format, Session};
use crate::log::Reader;

const CANNOT_WRITE: &str = "the report cannot be written";

/// Reads `logs` one after the other (`-` is standard input), judges each by itself, and writes
/// rows or records and one summary of all to `out`. What is missing from a log, but does not keep
/// it from being read, is said on `status`, a line each.
///
/// # Errors
/// When a log cannot be read, is none, or is damaged: then what could be read up to there has been
/// written, with its summary. When `out` cannot be written.
pub fn replay(
    logs: &[PathBuf],
    format: Format,
    out: &mut dyn Write,
    status: &mut dyn Write,
) -> Result<()> {
    let mut session = Session::new(format);
    let read = logs.iter().try_for_each(|log| {
        let mut reader = Reader::open(log)?;
        replay_one(&mut reader, &mut session, out, status)
    });
    if session.summary().runs > 0 {
        session.finish(out).context(CANNOT_WRITE)?;
    }
    read
}

fn replay_one(
    reader: &mut Reader,
    session: &mut Session,
    out: &mut dyn Write,
    status: &mut dyn Write,
) -> Result<()> {
    for event in reader.by_ref() {
        session.event(event?, out).context(CANNOT_WRITE)?;
    }
    session.end_run(out).context(CANNOT_WRITE)?;
    // Nothing can be done about a standard error that is closed.
    if let Some(warning) = reader.ending().warning(reader.name()) {
        let _ = writeln!(status, "{warning}");
    }
    if reader.unknown() > 0 {
        let _ = writeln!(
            status,
            "{}: {} records of kinds that this version does not know were left out",
            reader.name(),
            reader.unknown()
        );
    }
    Ok(())
}
