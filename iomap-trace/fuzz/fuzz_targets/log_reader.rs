//! `cargo xtask fuzz log_reader`
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| iomap_trace_fuzz::log_reader(input));
