//! `cargo xtask fuzz kallsyms`
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| iomap_trace_fuzz::kallsyms(input));
