//! The input that is made up and not recorded: one process that maps 100,000 files, with samples in all of them.

use perf_format::attr::SampleType;
use perf_format::testing::{At, StreamBuilder, attr};
use perf_format::{CpuMode, Endian};

const MAPS: u64 = 100_000;
const SAMPLES_A_MAP: u64 = 10;
const MAPS_A_ROUND: u64 = 500;

/// The maps are of a thousand files, none of which is there.
const FILES: u64 = 1000;

const PID: u32 = 4242;
const PAGE: u64 = 0x1000;

/// The stream. It is the same whenever it is made.
pub(super) fn mmaps() -> Vec<u8> {
    let sample_type = SampleType::IP | SampleType::TID | SampleType::TIME | SampleType::PERIOD;
    let mut stream = StreamBuilder::new(Endian::NATIVE).attr(&attr(sample_type), &[1]);
    let mut random = Random(1);
    for map in 0..MAPS {
        let at = |step: u64| At::new(PID, 1_000_000_000 + map * 10_000 + step * 100);
        let file = format!("/usr/lib/made-up/{}.so", map % FILES);
        stream = stream.mmap2(at(0), address(map), PAGE, &file);
        for sample in 0..SAMPLES_A_MAP {
            let ip = address(random.below(map + 1)) + random.below(PAGE);
            stream = stream.sample(CpuMode::User, at(1 + sample), ip, &[]);
        }
        if map % MAPS_A_ROUND == MAPS_A_ROUND - 1 {
            stream = stream.finished_round();
        }
    }
    stream.bytes()
}

/// Every other page, so that no two maps touch.
fn address(map: u64) -> u64 {
    0x7f00_0000_0000 + 2 * PAGE * map
}

/// Numbers without order, but always the same (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
