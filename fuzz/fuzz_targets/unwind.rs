//! Fuzzes perf-fuzz/src/unwind.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::unwind(data));
