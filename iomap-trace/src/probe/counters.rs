//! Counters of the programs, summed over the CPUs, and what of them is loss.

use aya::Ebpf;
use aya::maps::PerCpuArray;
use iomap_trace_ebpf::{COUNTER_NAMES, Counter};
use std::collections::BTreeMap;

/// Reads the counters by name.
pub fn read(ebpf: &Ebpf) -> BTreeMap<String, u64> {
    let values = COUNTER_NAMES.iter().zip(0..);
    values
        .filter_map(|(name, at)| Some(((*name).to_owned(), sum(ebpf, at)?)))
        .collect()
}

/// Reads one of them.
pub fn of(ebpf: &Ebpf, counter: Counter) -> u64 {
    sum(ebpf, counter as u32).unwrap_or(0)
}

fn sum(ebpf: &Ebpf, at: u32) -> Option<u64> {
    let counters = PerCpuArray::<_, u64>::try_from(ebpf.map("COUNTERS")?).ok()?;
    Some(counters.get(&at, 0).ok()?.iter().sum())
}

/// Whether a counter means lost evidence.
pub fn is_loss(name: &str) -> bool {
    [".lost", ".map-full", ".missed"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// The counters that mean lost evidence, where they are not zero.
pub fn losses(counters: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    counters
        .iter()
        .filter(|(name, n)| **n > 0 && is_loss(name))
        .map(|(k, v)| (k.clone(), *v))
        .collect()
}
