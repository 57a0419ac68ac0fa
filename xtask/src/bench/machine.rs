//! When and where something was measured.

use crate::util;

/// The day, in UTC.
pub fn date() -> String {
    let mut date = std::process::Command::new("date");
    util::output(date.args(["-u", "+%Y-%m-%d"])).unwrap_or_else(|_| "undated".to_owned())
}

/// Processor, cores and kernel.
pub fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = release.split(['-', '+']).next().unwrap_or_default();
    format!("{}, Linux {}", processor(&cpuinfo), version.trim())
}

/// Name and number of the processors in `/proc/cpuinfo`.
fn processor(cpuinfo: &str) -> String {
    let names: Vec<_> = cpuinfo
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .collect();
    let name = names
        .last()
        .map_or("processor unknown", |(_, name)| name.trim());
    let cores = names.len();
    format!("{name}, {cores} cores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_once() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nprocessor\t: 1\n\
            model name\t: Some CPU @ 2 GHz\n";
        assert_eq!(processor(cpuinfo), "Some CPU @ 2 GHz, 2 cores");
        assert_eq!(processor(""), "processor unknown, 0 cores");
    }
}
