//! Fuzzes perf-fuzz/src/off_cpu.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::off_cpu(data));
