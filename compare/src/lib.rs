//! What is read of each sample, whichever library reads it: the programs print it, and their sums must be the same.

use perf_format::Sample;

/// The samples of a recording, added up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sum {
    samples: u64,
    words: u64,
}

impl Sum {
    /// Adds a sample that perf-format has read.
    pub fn add_sample(&mut self, sample: &Sample<'_>) {
        let tid = sample.tid;
        let fields = [
            sample.ip,
            sample.time,
            tid.map(|tid| tid.pid.into()),
            tid.map(|tid| tid.tid.into()),
            sample.period,
        ];
        self.add(fields, sample.callchain.iter().flat_map(|chain| chain.iter()));
    }

    /// Adds a sample: its address, time, process and thread, period, and the addresses of its call chain.
    pub fn add(&mut self, fields: [Option<u64>; 5], chain: impl Iterator<Item = u64>) {
        self.samples += 1;
        let all = fields.into_iter().map(Option::unwrap_or_default).chain(chain);
        self.words = all.fold(self.words, u64::wrapping_add);
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} samples, sum {:#x}", self.samples, self.words)
    }
}
