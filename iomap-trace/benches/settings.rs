//! What the benches have in common.

use criterion::Criterion;
use std::time::Duration;

/// How many events a bench is to generate: what `IOMAP_TRACE_BENCH_EVENTS` says, or `usual`.
pub fn events(usual: u64) -> u64 {
    let asked = std::env::var("IOMAP_TRACE_BENCH_EVENTS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Few samples, each of a great many events.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}
