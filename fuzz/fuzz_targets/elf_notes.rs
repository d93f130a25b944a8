//! Fuzzes perf-fuzz/src/elf_notes.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perf_fuzz::elf_notes(data));
