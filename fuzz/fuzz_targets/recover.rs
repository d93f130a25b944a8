//! Fuzzes perf-fuzz/src/recover.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::recover(data));
