//! Fuzzes perf-fuzz/src/file.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::file(data));
