//! Fuzzes perf-fuzz/src/inject.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::inject(data));
