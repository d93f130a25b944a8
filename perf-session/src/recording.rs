//! The facts about a recording, out of its features, that build-ids need.

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};
use perf_format::feature::ClockReference;
use perf_format::{BuildId, Endian, Feature};

/// The facts about a recording: what it says of where and when it was made. All that its features say is in
/// [`SessionReader::preamble`](crate::SessionReader::preamble).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recording {
    /// The name of the machine that it was made on (`uname -n`).
    pub hostname: Option<BString>,
    /// The release of the kernel that it was made on (`uname -r`).
    pub release: Option<BString>,
    /// The architecture of the machine that it was made on (`uname -m`): [`Arch::parse`](perf_format::Arch::parse) reads
    /// it.
    pub arch: Option<BString>,
    /// The address of its kernel's reference symbol (`_text` or `_stext`), which is another in each boot; `None` where the
    /// recorder might not read it.
    pub kernel_reference: Option<u64>,
    /// The build-id of its kernel, where the recording carries it.
    pub kernel_id: Option<BuildId>,
    /// Its kernel's modules, and the addresses where they were loaded; 0 where the recorder might not read those.
    pub modules: BTreeMap<BString, u64>,
    /// The clock of its times (`perf_event_attr.clockid`); `None` for perf's own.
    pub clockid: Option<i32>,
    /// What its clock and the wall clock showed at one moment (the feature `CLOCK_DATA`).
    pub clock_data: Option<ClockReference>,
    /// Its times, as far as they are known.
    pub times: Times,
    /// Whether it has AUX data: a hardware trace (Intel PT, ETM, SPE), which is not decoded here.
    pub has_aux_data: bool,
}

/// The first and the last time in a recording, in ns of its clock. Records of what was there before the recording began,
/// which perf makes up, have the time 0 and do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Times {
    /// The earliest that is known.
    pub first: Option<u64>,
    /// The latest that is known.
    pub last: Option<u64>,
}

impl Times {
    /// Takes in a time.
    #[doc(hidden)]
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
            Feature::CLOCK_DATA => self.clock_data = ClockReference::parse(data, endian).ok(),
            // Whoever decodes the trace takes this index of it out.
            Feature::AUXTRACE => self.has_aux_data = true,
            _ => {}
        }
    }
}

/// A feature that is one text: a length, and the text up to a NUL.
fn text(data: &[u8], endian: Endian) -> Option<&[u8]> {
    let len = usize::try_from(endian.u32_at(data, 0)?).ok()?;
    let text = data.get(4..)?.get(..len)?;
    text.get(..text.find_byte(0).unwrap_or(text.len()))
}
