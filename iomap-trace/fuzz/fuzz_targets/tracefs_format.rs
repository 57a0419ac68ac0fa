//! `cargo xtask fuzz tracefs_format`
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| iomap_trace_fuzz::tracefs_format(input));
