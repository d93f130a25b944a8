//! Maps of processes that a test has started.

use std::fs;
use std::time::{Duration, Instant};

use perf_format::record::Inode;

use crate::dso::MappedBy;

/// A process that never gets there would let the test wait for ever; this long is for ever.
const FOR_EVER: Duration = Duration::from_secs(300);

/// The executable map of a file with this in its name, and the file's inode. Between fork and exec, and
/// before a program is loaded, it is not there yet: it is waited for.
#[must_use]
pub fn wait_for_map(pid: i32, name: &str) -> (MappedBy, Inode) {
    let begun = Instant::now();
    loop {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
        if let Some(line) = maps.lines().find(|line| line.contains(name) && line.contains(" r-xp ")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (start, end) = words[0].split_once('-').expect("a range");
            let hex = |text: &str| u64::from_str_radix(text, 16).expect("hex");
            let (start, end, pgoff) = (hex(start), hex(end), hex(words[2]));
            let mapped = MappedBy { pid, start, end, pgoff, is_exec: true, root: None };
            let (maj, min) = words[3].split_once(':').expect("a device");
            let [maj, min] = [maj, min].map(|number| u32::from_str_radix(number, 16).expect("hex"));
            let ino = words[4].parse().expect("a number");
            return (mapped, Inode { maj, min, ino, ino_generation: 0 });
        }
        assert!(begun.elapsed() < FOR_EVER, "waited for ever for a map of {name}");
        std::thread::yield_now();
    }
}
