//! `--jit` and `--perf-map` on made-up recordings in both byte orders, from files, pipes and compressed records: what a
//! reader of the output sees, and what is written.

#[path = "jit/clocks.rs"]
mod clocks;
mod common;
#[path = "jit/dumps.rs"]
mod dumps;
#[path = "jit/images.rs"]
mod images;
#[path = "jit/live.rs"]
mod live;
#[path = "jit/lives.rs"]
mod lives;
#[path = "jit/made.rs"]
mod made;
#[path = "jit/names.rs"]
mod names;
#[path = "jit/off_cpu.rs"]
mod off_cpu;
#[path = "jit/perf_maps.rs"]
mod perf_maps;
#[path = "jit/reader.rs"]
mod reader;
#[path = "jit/untrusted.rs"]
mod untrusted;
