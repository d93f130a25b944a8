//! Fuzzes perf-fuzz/src/record.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::record(data));
