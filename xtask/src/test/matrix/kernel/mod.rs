//! What the kernel's own trace recorded while a workload ran: the judge's witness.

mod format;
pub mod locks;
pub mod own;
mod ring;

use anyhow::{Context, Result, ensure};
use format::Format;
use std::fs;
use std::path::Path;

/// The events that the guest records.
const EVENTS: &[&str] = &[
    "iomap_dio_invalidate_fail",
    "stale",
    "refused",
    "btrfs_set_extent_bit",
    "btrfs_clear_extent_bit",
    "btrfs_work_sched",
    "btrfs_all_work_done",
];

/// A range of a btrfs file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Inode number.
    pub ino: u64,
    /// First byte.
    pub start: u64,
    /// Byte behind the last one.
    pub end: u64,
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A direct write could not invalidate its range before it began.
    Fail {
        /// Device number as in the kernel.
        dev: u64,
        /// Inode number.
        ino: u64,
        /// First byte.
        pos: u64,
        /// Number of bytes.
        len: u64,
    },
    /// `dio_warn_stale_pagecache` was called.
    Stale,
    /// `invalidate_inode_pages2_range` failed.
    Refused,
    /// The range is to be locked.
    Lock(Range),
    /// The range is about to be unlocked.
    Unlock(Range),
    /// A worker begins with an ordered extent.
    Begin(u64),
    /// A worker has done this.
    Done(u64),
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, nanoseconds since boot.
    pub ts_ns: u64,
    /// Thread.
    pub tid: u32,
    /// What.
    pub what: What,
}

/// Reads the trace `name` (`mmap.btrfs`) in `dir`, sorted by time.
///
/// # Errors
/// When events were lost, or it cannot be read.
pub fn read(dir: &Path, name: &str) -> Result<Vec<Seen>> {
    let mut formats = Vec::new();
    for event in EVENTS {
        // Not all of them are recorded everywhere.
        if let Ok(text) = fs::read_to_string(dir.join(format!("format.{event}"))) {
            let format = Format::parse(&text).with_context(|| (*event).to_owned())?;
            formats.push((*event, format));
        }
    }
    let stats = fs::read_to_string(dir.join(format!("trace.{name}.stats")))
        .context("the kernel's own trace is missing")?;
    ensure!(lost(&stats) == 0, "the kernel's own trace lost events");
    let mut all = Vec::new();
    for cpu in 0.. {
        let Ok(pages) = fs::read(dir.join(format!("trace.{name}.cpu{cpu}"))) else {
            break;
        };
        for entry in ring::entries(&pages)? {
            let id = entry.bytes.get(..2).map_or(0, |b| b[0].into());
            let id: u16 = id | entry.bytes.get(1).map_or(0, |b| u16::from(*b) << 8);
            if let Some((event, format)) = formats.iter().find(|(_, format)| format.id == id) {
                all.push(seen(event, format, entry.ts_ns, entry.bytes)?);
            }
        }
    }
    all.sort_by_key(|seen| seen.ts_ns);
    Ok(all)
}

fn seen(event: &str, format: &Format, ts_ns: u64, bytes: &[u8]) -> Result<Seen> {
    let value = |name| format.value(bytes, name);
    let range = || -> Result<Range> {
        let (start, len) = (value("start")?, value("len")?);
        Ok(Range {
            ino: value("ino")?,
            start,
            end: start.saturating_add(len),
        })
    };
    let what = match event {
        "iomap_dio_invalidate_fail" => What::Fail {
            dev: value("dev")?,
            ino: value("ino")?,
            pos: value("offset")?,
            len: value("length")?,
        },
        "stale" => What::Stale,
        "refused" => What::Refused,
        "btrfs_set_extent_bit" => What::Lock(range()?),
        "btrfs_clear_extent_bit" => What::Unlock(range()?),
        "btrfs_work_sched" => What::Begin(value("work")?),
        _ => What::Done(value("wtag")?),
    };
    Ok(Seen {
        ts_ns,
        tid: u32::try_from(value("common_pid")?)?,
        what,
    })
}

/// The number of events for which the trace had no room, from the `stats` of all CPUs.
fn lost(stats: &str) -> u64 {
    let lines = stats.lines().filter_map(|line| line.split_once(':'));
    let lost = lines
        .filter(|(key, _)| ["overrun", "commit overrun", "dropped events"].contains(&key.trim()));
    lost.filter_map(|(_, number)| number.trim().parse::<u64>().ok())
        .sum()
}

/// An attempt of thread `tid` to lock, or an unlock, in file 7.
#[cfg(test)]
fn event(ts_ns: u64, tid: u32, lock: bool, start: u64, end: u64) -> Seen {
    let range = Range { ino: 7, start, end };
    let what = if lock {
        What::Lock(range)
    } else {
        What::Unlock(range)
    };
    Seen { ts_ns, tid, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_events_are_counted_on_all_cpus() {
        let stats = "entries: 9\noverrun: 4\ncommit overrun: 0\nbytes: 96\n\
            dropped events: 2\nread events: 7\noverrun: 1\n";
        assert_eq!(lost(stats), 7);
    }
}
