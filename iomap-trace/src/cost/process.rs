//! CPU time and memory of this process.

use crate::clock::process_cpu_ns;
use crate::event::ProcessCost;

/// What this process has used up to now; memory is 0 where /proc cannot be read.
pub fn process() -> ProcessCost {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ProcessCost {
        cpu_ns: process_cpu_ns(),
        rss_bytes: bytes(&status, "VmRSS:"),
        peak_rss_bytes: bytes(&status, "VmHWM:"),
        bpf_measured_ns: None,
    }
}

/// A size of `/proc/PID/status`, which is in KiB.
fn bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let size = line.and_then(|line| line.trim().strip_suffix("kB"));
    let size = size.and_then(|size| size.trim().parse::<u64>().ok());
    size.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_in_kibibytes() {
        let status = "Name:\tx\nVmHWM:\t   15104 kB\nVmRSS:\t    9984 kB\n";
        assert_eq!(bytes(status, "VmHWM:"), 15104 << 10);
        assert_eq!(bytes(status, "VmRSS:"), 9984 << 10);
        assert_eq!(bytes("", "VmRSS:"), 0);
    }

    #[test]
    fn this_process_uses_some() {
        let cost = process();
        assert!(cost.cpu_ns > 0 && cost.rss_bytes > 1 << 20, "{cost:?}");
        assert!(cost.peak_rss_bytes >= cost.rss_bytes, "{cost:?}");
    }
}
