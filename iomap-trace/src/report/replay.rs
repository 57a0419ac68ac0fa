//! The same verdicts from logs.

use anyhow::{Context, Result};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::progress::Progress;
use super::session::{Format, Session};
use crate::log::Reader;

const CANNOT_WRITE: &str = "the report cannot be written";

/// Is told how far a replay is, and may flush what was written so far: that ends with a line.
pub type Watch<'a> = dyn FnMut(Progress, &mut dyn Write) -> io::Result<()> + 'a;

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
    replay_watched(logs, format, out, status, &mut |_, _| Ok(()))
}

/// Like [`replay`], of logs that are called otherwise than their paths: each has a name and a path.
///
/// # Errors
/// As [`replay`].
pub fn replay_named(
    logs: &[(String, PathBuf)],
    format: Format,
    out: &mut dyn Write,
    status: &mut dyn Write,
) -> Result<()> {
    let paths: Vec<_> = logs.iter().map(|(_, path)| path.clone()).collect();
    let open = |(name, path): &(String, PathBuf)| {
        let reader = Reader::open_as(name.clone(), path)?;
        Ok((host_name(Path::new(name)), reader))
    };
    let logs = logs.iter().map(open);
    run(logs, &paths, format, (out, status), &mut |_, _| Ok(()))
}

/// Like [`replay`], with `watch` called every thousand records or so.
///
/// # Errors
/// As [`replay`]; an error of `watch` is one of `out`.
pub fn replay_watched(
    logs: &[PathBuf],
    format: Format,
    out: &mut dyn Write,
    status: &mut dyn Write,
    watch: &mut Watch<'_>,
) -> Result<()> {
    let open = |log: &PathBuf| Ok((host_name(log), Reader::open(log)?));
    run(logs.iter().map(open), logs, format, (out, status), watch)
}

/// Replays logs, each opened when the one before has been read: the name of its host, and its reader.
fn run(
    logs: impl ExactSizeIterator<Item = Result<(String, Reader)>>,
    paths: &[PathBuf],
    format: Format,
    (out, status): (&mut dyn Write, &mut dyn Write),
    watch: &mut Watch<'_>,
) -> Result<()> {
    let several = logs.len() > 1;
    let mut replay = Replay {
        session: Session::new(format),
        progress: Progress {
            size: size_of(paths),
            ..Progress::default()
        },
        out,
        status,
        watch,
    };
    let read = logs.into_iter().try_for_each(|log| {
        let (host, reader) = log?;
        if several {
            replay.session.host(&host);
        }
        replay.log(&mut reader.ahead())
    });
    if replay.session.summary().runs > 0 {
        replay.session.finish(replay.out).context(CANNOT_WRITE)?;
    }
    read
}

struct Replay<'a> {
    session: Session,
    progress: Progress,
    out: &'a mut dyn Write,
    status: &'a mut dyn Write,
    watch: &'a mut Watch<'a>,
}

impl Replay<'_> {
    fn log(&mut self, reader: &mut Reader) -> Result<()> {
        let before = self.progress.bytes;
        while let Some(events) = reader.batch() {
            let events = events?;
            self.progress.events += events.len() as u64;
            for event in events {
                self.session.event(event, self.out).context(CANNOT_WRITE)?;
            }
            self.progress.bytes = before + reader.bytes_read();
            (self.watch)(self.progress, self.out).context(CANNOT_WRITE)?;
        }
        self.session.end_run(self.out).context(CANNOT_WRITE)?;
        // Nothing can be done about a standard error that is closed.
        if let Some(warning) = reader.ending().warning(reader.name()) {
            let _ = writeln!(self.status, "{warning}");
        }
        if reader.unknown() > 0 {
            let _ = writeln!(
                self.status,
                "{}: {} records of kinds that this version does not know were left out",
                reader.name(),
                reader.unknown()
            );
        }
        Ok(())
    }
}

/// A host by the name of its log: `db1` of `/var/log/db1.jsonl.zst`.
fn host_name(log: &Path) -> String {
    let name = log.file_name().unwrap_or(log.as_os_str()).to_string_lossy();
    let name = name.strip_suffix(".zst").unwrap_or(&name);
    let name = name.strip_suffix(".jsonl").unwrap_or(name);
    // A part of its log.
    let whole = name.rsplit_once('.').filter(|(_, number)| {
        number.len() >= 6 && number.bytes().all(|digit| digit.is_ascii_digit())
    });
    whole.map_or(name, |(name, _)| name).to_owned()
}

/// Bytes of all logs together, if all are regular files.
fn size_of(logs: &[PathBuf]) -> Option<u64> {
    logs.iter()
        .map(|log| fs::metadata(log).ok().filter(fs::Metadata::is_file))
        .map(|file| file.map(|file| file.len()))
        .sum()
}
