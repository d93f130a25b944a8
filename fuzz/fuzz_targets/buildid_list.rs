//! Fuzzes perf-fuzz/src/buildid_list.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::buildid_list(data));
