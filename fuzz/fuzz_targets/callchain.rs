//! Fuzzes perf-fuzz/src/callchain.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::callchain(data));
