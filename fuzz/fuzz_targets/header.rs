//! Fuzzes perf-fuzz/src/header.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::header(data));
