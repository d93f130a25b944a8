//! Fuzzes perf-fuzz/src/unbundle.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::unbundle(data));
