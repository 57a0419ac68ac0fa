//! What the kernel said: its warnings of stale page cache, and lines of the filesystems.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::names::Names;

/// Lines that are kept, the last ones.
const LINES: usize = 5000;

/// The first line of `dio_warn_stale_pagecache()` (mm/filemap.c; before 6.5 fs/iomap/direct-io.c), and
/// the second, which names file and process.
const WARNING: &str = "Page cache invalidation failure on direct I/O.";
const WARNED: &str = "File: ";

/// First words of lines that filesystems and the block layer print.
const SPEAKERS: &[&str] = &["btrfs", "xfs", "ext4", "ext4-fs", "jbd2", "buffer", "i/o"];

/// The kernel's log, as far as it concerns the page cache and filesystems.
///
/// # Errors
/// When it cannot be read, with the reason.
pub fn messages(names: Option<&mut Names>) -> Result<String, String> {
    let records = read().map_err(|e| format!("/dev/kmsg cannot be read: {e}"))?;
    Ok(relevant(&records, names))
}

/// Every record: `priority,sequence,microseconds,flags;message`, then lines of their own that begin
/// with a space (Documentation/ABI/testing/dev-kmsg).
fn read() -> std::io::Result<Vec<String>> {
    let mut file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")?;
    let mut records = Vec::new();
    let mut record = [0; 8192];
    loop {
        match file.read(&mut record) {
            Ok(0) => return Ok(records),
            Ok(len) => records.push(String::from_utf8_lossy(&record[..len]).into_owned()),
            // Overwritten before it was read; the next read goes on after it.
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(records),
            Err(e) => return Err(e),
        }
    }
}

fn relevant(records: &[String], mut names: Option<&mut Names>) -> String {
    let mut lines = Vec::new();
    let mut unsaid: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        let Some((head, message)) = record.split_once(';') else {
            continue;
        };
        let message = message.lines().next().unwrap_or_default();
        let first = message.split([' ', ':', '(']).next().unwrap_or_default();
        let speaker = SPEAKERS
            .iter()
            .find(|name| first.eq_ignore_ascii_case(name));
        let warning = message.contains(WARNING);
        let warned = message.starts_with(WARNED) && message.contains(" Comm: ");
        if speaker.is_none() && !warning && !warned {
            continue;
        }
        let us: u64 = head
            .split(',')
            .nth(2)
            .and_then(|us| us.parse().ok())
            .unwrap_or_default();
        let text = match (&mut names, speaker) {
            (None, _) => message.to_owned(),
            (Some(names), None) if warned => redact_warned(message, names),
            (Some(_), None) => WARNING.to_owned(),
            // It may hold labels, devices and paths at any place.
            (Some(_), Some(speaker)) => {
                *unsaid.entry(speaker).or_default() += 1;
                continue;
            }
        };
        lines.push(format!(
            "[{:5}.{:06}] {text}",
            us / 1_000_000,
            us % 1_000_000
        ));
    }
    let cut = lines.len().saturating_sub(LINES);
    let mut out = String::new();
    if cut > 0 {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "({cut} earlier lines were left out)");
    }
    for line in &lines[cut..] {
        out.push_str(line);
        out.push('\n');
    }
    for (speaker, count) in unsaid {
        let _ = writeln!(out, "(text of {count} lines of {speaker} was left out)");
    }
    out
}

/// `File: /path PID: 123 Comm: name`: a path may hold anything, so the end is looked for first.
fn redact_warned(message: &str, names: &mut Names) -> String {
    let parts = || {
        let rest = message.strip_prefix(WARNED)?;
        let (rest, comm) = rest.rsplit_once(" Comm: ")?;
        let (path, pid) = rest.rsplit_once(" PID: ")?;
        Some((path, pid.parse::<u32>().ok()?, comm))
    };
    match parts() {
        Some((path, pid, comm)) => {
            let (path, comm) = (names.path(path), names.comm(comm));
            format!("{WARNED}{path} PID: {pid} Comm: {comm}")
        }
        None => format!("{WARNED}(text left out)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<String> {
        [
            "6,1,1500000,-;Linux version 6.12 (builder@acme)\n",
            "2,2,2000001,-;Page cache invalidation failure on direct I/O.  Possible data corruption \
             due to collision with buffered I/O!\n",
            "2,3,2000002,-;File: /srv/acme PID: 1 Comm: x PID: 77 Comm: acmed\n",
            "4,4,3000000,-;BTRFS info (device sda1): label acme\n SUBSYSTEM=block\n",
            "4,5,3000000,-;XFS (acme): Mounting V5 Filesystem\n",
            "no record",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn only_what_concerns_filesystems() {
        let text = relevant(&records(), None);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.starts_with("[    2.000001] Page cache"), "{text}");
        assert!(!text.contains("Linux version") && !text.contains("SUBSYSTEM"));
    }

    #[test]
    fn names_go() {
        let mut names = Names::default();
        let text = relevant(&records(), Some(&mut names));
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(!text.contains("acme") && !text.contains("sda1"), "{text}");
        assert!(text.contains(" PID: 77 Comm: c-"), "{text}");
    }
}
