//! Fuzzes perf-fuzz/src/jitdump.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::jitdump(data));
