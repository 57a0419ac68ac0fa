//! The memory of a process over time.

use anyhow::{Context, Result};
use std::fs;

/// Sizes are in KiB, as `/proc/PID/status` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Resident, all together: what follows, but the pages of the ring buffer once. They are mapped
    /// twice in a row, and `VmRSS` counts them twice.
    pub rss: u64,
    /// Heap and stacks.
    pub anon: u64,
    /// Files: the program's text, the libraries, and the ring buffer, which is the kernel's.
    pub file: u64,
    /// Memory that is shared without a file.
    pub shmem: u64,
    /// Open descriptors.
    pub fds: u64,
}

/// The present state of a process.
///
/// # Errors
/// When it has ended.
pub fn sample(pid: u32) -> Result<Sample> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let fds = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    let sample = parse(&status).context("no memory in /proc/PID/status")?;
    let again = again(&smaps);
    Ok(Sample {
        fds,
        rss: sample.rss.saturating_sub(again),
        file: sample.file.saturating_sub(again),
        ..sample
    })
}

/// What of BPF maps is mapped a second time: nobody else maps them, so it is what their proportional
/// share lacks.
fn again(smaps: &str) -> u64 {
    let mut again = 0;
    let mut map = false;
    let mut resident = 0;
    for line in smaps.lines() {
        match line.split_once(':') {
            Some(("Rss", rest)) => resident = kib(rest).unwrap_or(0),
            Some(("Pss", rest)) if map => again += resident.saturating_sub(kib(rest).unwrap_or(0)),
            // A mapping begins with its addresses, everything else with a name and a colon.
            _ if is_head(line) => map = line.ends_with(":bpf-map"),
            _ => {}
        }
    }
    again
}

fn kib(rest: &str) -> Option<u64> {
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn is_head(line: &str) -> bool {
    !line.split(' ').next().is_some_and(|w| w.ends_with(':'))
}

fn parse(status: &str) -> Option<Sample> {
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        kib(line)
    };
    Some(Sample {
        rss: of("VmRSS:")?,
        anon: of("RssAnon:")?,
        file: of("RssFile:")?,
        shmem: of("RssShmem:")?,
        fds: 0,
    })
}

/// What a run of samples amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// The sample with the most resident memory.
    pub most: Sample,
    /// Medians of resident memory in the first half and in the second, KiB.
    pub halves: (u64, u64),
    /// The same of descriptors.
    pub fds: (u64, u64),
}

/// The course of at least two samples.
pub fn course(samples: &[Sample]) -> Option<Course> {
    let (first, second) = samples.split_at(samples.len() / 2);
    let both = |of: fn(&Sample) -> u64| Some((median(first, of)?, median(second, of)?));
    Some(Course {
        most: *samples.iter().max_by_key(|sample| sample.rss)?,
        halves: both(|sample| sample.rss)?,
        fds: both(|sample| sample.fds)?,
    })
}

fn median(samples: &[Sample], of: fn(&Sample) -> u64) -> Option<u64> {
    let mut values: Vec<_> = samples.iter().map(of).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// The mappings of a process with at least a MiB resident, a line each.
pub fn largest(pid: u32) -> String {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    mappings(&smaps, 1024)
}

fn mappings(smaps: &str, least: u64) -> String {
    let mut text = String::new();
    let mut head = "";
    for line in smaps.lines() {
        match line.strip_prefix("Rss:").and_then(kib) {
            Some(kib) if kib >= least => text.push_str(&format!("  {kib:>8} kB  {head}\n")),
            None if is_head(line) => head = line,
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rss: u64, fds: u64) -> Sample {
        Sample {
            rss,
            fds,
            ..Sample::default()
        }
    }

    #[test]
    fn a_status_is_read() {
        let status = "Name:\tx\nVmRSS:\t   30 kB\nRssAnon:\t 10 kB\nRssFile:\t 15 kB\n\
            RssShmem:\t 5 kB\n";
        let sample = parse(status).unwrap();
        assert_eq!(
            (sample.rss, sample.anon, sample.file, sample.shmem),
            (30, 10, 15, 5)
        );
        // Of a kernel thread, or of a process that has ended.
        assert_eq!(parse("Name:\tx\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn halves_are_compared_by_their_medians() {
        let samples = [
            of(10, 3),
            of(99, 3),
            of(10, 3),
            of(12, 4),
            of(12, 4),
            of(12, 4),
        ];
        let course = course(&samples).unwrap();
        assert_eq!(course.most, of(99, 3));
        assert_eq!((course.halves, course.fds), ((10, 12), (3, 4)));
        assert_eq!(super::course(&samples[..1]), None);
    }

    #[test]
    fn the_ring_buffer_counts_once() {
        let smaps = "1-2 r--s 00001000 00:10 1038    anon_inode:bpf-map\nSize:  8196 kB\n\
            Rss:   8196 kB\nPss:   4100 kB\nPss_Dirty: 0 kB\n\
            3-4 r-xp 0 00:00 0   /bin/x\nRss:   100 kB\nPss:   50 kB\n";
        assert_eq!(again(smaps), 4096);
    }

    #[test]
    fn large_mappings_are_named() {
        let smaps = "1-2 r--p 0 00:00 0   /bin/x\nSize:  9 kB\nRss:   2048 kB\nPss: 1 kB\n\
            3-4 rw-p 0 00:00 0\nRss:   4 kB\n";
        assert_eq!(
            mappings(smaps, 1024),
            "      2048 kB  1-2 r--p 0 00:00 0   /bin/x\n"
        );
    }
}
