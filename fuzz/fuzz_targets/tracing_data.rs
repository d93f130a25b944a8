//! Fuzzes perf-fuzz/src/tracing_data.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::tracing_data(data));
