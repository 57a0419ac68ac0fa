//! The kernel's own account: its events in a private tracefs instance.

use super::tool;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const TRACEFS: &str = "/sys/kernel/tracing";
/// For each CPU, in KiB: room for some 300,000 events.
const BUFFER_KB: &str = "32768";

/// An event to watch: its name, and a filter besides the device.
pub type Watch = (&'static str, &'static str);

/// The invalidation before a direct write failed.
pub const FAIL: Watch = ("iomap_dio_invalidate_fail", "");
/// A direct write or read ended.
pub const COMPLETE: Watch = ("iomap_dio_complete", "");

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    pub event: String,
    pub tid: u64,
    pub ts_ns: u64,
    pub ino: u64,
    pub pos: u64,
    /// Only of a failure.
    pub len: u64,
}

/// Events of one filesystem from now on.
#[derive(Debug)]
pub struct KernelTrace {
    instance: PathBuf,
}

impl KernelTrace {
    /// Watches `events` on the super block `dev` (`major:minor`).
    pub fn start(dev: &str, events: &[Watch]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let tracefs = Path::new(TRACEFS);
        if !tracefs.join("instances").exists() {
            tool("mount", &[&"-t", &"tracefs", &"nodev", &TRACEFS]);
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("iomap-trace-live-{}-{number}", std::process::id());
        let instance = tracefs.join("instances").join(name);
        std::fs::create_dir(&instance).expect("a tracefs instance can be made");
        let trace = Self { instance };
        trace.set("trace_clock", "boot");
        trace.set("buffer_size_kb", BUFFER_KB);
        for (event, more) in events {
            let mut filter = format!("dev == {}", kernel_dev(dev));
            if !more.is_empty() {
                filter = format!("{filter} && {more}");
            }
            trace.set(&format!("events/iomap/{event}/filter"), &filter);
            trace.set(&format!("events/iomap/{event}/enable"), "1");
        }
        trace
    }

    fn set(&self, name: &str, value: &str) {
        std::fs::write(self.instance.join(name), value)
            .unwrap_or_else(|e| panic!("tracefs: {name} cannot be set to {value}: {e}"));
    }

    /// All events, in the order of their times. None may be missing.
    pub fn stop(self) -> Vec<Hit> {
        self.set("tracing_on", "0");
        let text = std::fs::read(self.instance.join("trace")).unwrap();
        let mut hits: Vec<_> = text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty() && line[0] != b'#')
            .map(|line| hit(&String::from_utf8_lossy(line)))
            .collect();
        hits.sort_by_key(|hit| hit.ts_ns);
        let entries = self.sum("entries:");
        assert_eq!(hits.len() as u64, entries, "the trace is whole");
        for lost in ["overrun:", "commit overrun:", "dropped events:"] {
            assert_eq!(self.sum(lost), 0, "the kernel's own trace lost events");
        }
        hits
    }

    /// A number of `per_cpu/cpuN/stats`, over all CPUs.
    fn sum(&self, key: &str) -> u64 {
        let cpus = std::fs::read_dir(self.instance.join("per_cpu")).unwrap();
        cpus.map(|cpu| {
            let stats = std::fs::read_to_string(cpu.unwrap().path().join("stats")).unwrap();
            let line = stats.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap().trim().parse::<u64>().unwrap()
        })
        .sum()
    }
}

impl Drop for KernelTrace {
    fn drop(&mut self) {
        for _ in 0..20 {
            if std::fs::remove_dir(&self.instance).is_ok() {
                return;
            }
            super::sleep_ms(50);
        }
    }
}

/// The kernel's `dev_t`.
fn kernel_dev(dev: &str) -> u32 {
    let (major, minor) = dev.split_once(':').unwrap();
    major.parse::<u32>().unwrap() << 20 | minor.parse::<u32>().unwrap()
}

/// `comm-tid [cpu] flags seconds: event: dev 7:0 ino 0xc … offset 0x0 length 0x4000`.
fn hit(line: &str) -> Hit {
    let parse = || {
        let (head, tail) = line.split_once(": iomap_dio_")?;
        let (task, rest) = head.rsplit_once('[')?;
        let tid = task.trim_end().rsplit_once('-')?.1.parse().ok()?;
        let (seconds, micros) = rest.split_whitespace().last()?.split_once('.')?;
        let micros_ns = micros.parse::<u64>().ok()? * 1000;
        let words: Vec<_> = tail.split_whitespace().collect();
        let number = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            u64::from_str_radix(words.get(at + 1)?.strip_prefix("0x")?, 16).ok()
        };
        Some(Hit {
            event: format!("iomap_dio_{}", words.first()?.trim_end_matches(':')),
            tid,
            ts_ns: seconds.parse::<u64>().ok()? * 1_000_000_000 + micros_ns,
            ino: number("ino")?,
            pos: number("offset")?,
            len: number("length").unwrap_or(0),
        })
    };
    parse().unwrap_or_else(|| panic!("not an event of iomap: {line}"))
}
