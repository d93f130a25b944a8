//! Fuzzes perf-fuzz/src/compressed.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::compressed(data));
