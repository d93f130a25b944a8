//! Fuzzes perf-fuzz/src/framing.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::framing(data));
