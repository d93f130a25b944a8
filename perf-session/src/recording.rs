//! The facts about a recording, out of its features, that build-ids need.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};
use perf_format::{BuildId, Endian, Feature};

/// The facts about a recording: what it says of where and when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recording {
    /// The name of the machine that it was made on (`uname -n`).
    pub hostname: Option<BString>,
    /// The release of the kernel that it was made on (`uname -r`).
    pub release: Option<BString>,
    /// The machine that it was made on (`uname -m`).
    pub arch: Option<BString>,
    /// Where its kernel's reference symbol was; `None` where that was hidden.
    pub kernel_reference: Option<u64>,
    /// The build-id of its kernel, where the recording carries it.
    pub kernel_id: Option<BuildId>,
    /// Its kernel's modules, and where they were; 0 where that was hidden.
    pub modules: BTreeMap<BString, u64>,
    /// The clock of its times (`perf_event_attr.clockid`); `None` for perf's own.
    pub clockid: Option<i32>,
    /// The wall clock at a moment of its clock.
    pub clock_data: Option<ClockData>,
    /// Its times, as far as they are known.
    pub times: Times,
    /// Whether it has AUX data: a hardware trace (Intel PT, ETM, SPE), which is not decoded here.
    pub has_aux_data: bool,
}

/// The wall clock at a moment of the recording's clock (the feature `CLOCK_DATA`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockData {
    /// The recording's clock (`clockid_t`).
    pub clockid: i32,
    /// The wall clock, in ns since the epoch.
    pub tod_ns: u64,
    /// The recording's clock at that moment, in ns.
    pub clockid_ns: u64,
}

/// Times in a recording, in ns of its clock; those of records that were made up for what was before it are 0 and do not
/// count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// The earliest that is known.
    pub first: Option<u64>,
    /// The latest that is known.
    pub last: Option<u64>,
}

impl Times {
    /// Takes in a time.
    pub fn note(&mut self, time: u64) {
        if time != 0 {
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = Some(self.last.map_or(time, |last| last.max(time)));
        }
    }
}

impl Recording {
    /// Takes in a feature.
    pub(crate) fn feature(&mut self, feature: Feature, data: &[u8], endian: Endian) {
        match feature {
            Feature::HOSTNAME => self.hostname = text(data, endian).map(BString::from),
            Feature::OSRELEASE => self.release = text(data, endian).map(BString::from),
            Feature::ARCH => self.arch = text(data, endian).map(BString::from),
            Feature::SAMPLE_TIME => {
                [0, 8]
                    .iter()
                    .filter_map(|at| endian.u64_at(data, *at))
                    .for_each(|time| self.times.note(time));
            }
            Feature::CLOCK_DATA => self.clock_data = clock_data(data, endian),
            // Whoever decodes the trace takes this index of it out.
            Feature::AUXTRACE => self.has_aux_data = true,
            _ => {}
        }
    }
}

/// The feature `CLOCK_DATA`, of the only version that there is.
fn clock_data(data: &[u8], endian: Endian) -> Option<ClockData> {
    const VERSION: u32 = 1;
    endian.u32_at(data, 0).filter(|version| *version == VERSION)?;
    Some(ClockData {
        clockid: endian.u32_at(data, 4)?.cast_signed(),
        tod_ns: endian.u64_at(data, 8)?,
        clockid_ns: endian.u64_at(data, 16)?,
    })
}

/// A feature that is one text: a length, and the text up to a NUL.
fn text(data: &[u8], endian: Endian) -> Option<&[u8]> {
    let len = usize::try_from(endian.u32_at(data, 0)?).ok()?;
    let text = data.get(4..)?.get(..len)?;
    text.get(..text.find_byte(0).unwrap_or(text.len()))
}
