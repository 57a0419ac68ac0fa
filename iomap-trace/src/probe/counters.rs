//! Counters of the programs, summed over the CPUs, and what of them is loss.

use aya::Ebpf;
use aya::maps::PerCpuArray;
use iomap_trace_ebpf::COUNTER_NAMES;
use std::collections::BTreeMap;

/// Reads the counters by name.
pub fn read(ebpf: &Ebpf) -> BTreeMap<String, u64> {
    let Some(counters) = ebpf
        .map("COUNTERS")
        .and_then(|map| PerCpuArray::<_, u64>::try_from(map).ok())
    else {
        return BTreeMap::new();
    };
    COUNTER_NAMES
        .iter()
        .zip(0..)
        .filter_map(|(name, at)| {
            let values = counters.get(&at, 0).ok()?;
            Some(((*name).to_owned(), values.iter().sum()))
        })
        .collect()
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
