//! Fuzzes perf-fuzz/src/dump.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::dump(data));
