//! Fuzzes perf-fuzz/src/jit_image.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::jit_image(data));
