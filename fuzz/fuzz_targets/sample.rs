//! Fuzzes perf-fuzz/src/sample.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::sample(data));
