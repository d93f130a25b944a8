//! Fuzzes perf-fuzz/src/jit.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::jit(data));
