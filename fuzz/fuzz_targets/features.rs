//! Fuzzes perf-fuzz/src/features.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::features(data));
