//! The features that describe the recording itself: its groups of events, its times and clocks, its compression.

use std::fmt;

use bstr::BString;

use super::read::{FeatureParts, Part};
use super::topology::version;
use crate::{Endian, Error};

/// A group of GROUP_DESC: events that are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventGroup {
    /// The group's name, where it was given one.
    pub name: BString,
    /// The place of its leader among the events of the recording, from 0.
    pub leader: u32,
    /// How many events it has; they follow its leader.
    pub len: u32,
    /// The names of the events, as far as the recording has such.
    pub members: Vec<BString>,
}

impl EventGroup {
    /// The groups of events that have these names.
    pub(super) fn read(parts: &mut FeatureParts<'_>, events: &[BString]) -> Part<Self> {
        let name = parts.text("name of a group")?;
        let (leader, len) = (parts.word("leader of a group")?, parts.word("members of a group")?);
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let members = events.iter().skip(number(leader)).take(number(len)).cloned().collect();
        // perf writes this where there is none.
        let name = if name == "{anon_group}" { BString::default() } else { name };
        Ok(Self { name, leader, len, members })
    }
}

impl fmt::Display for EventGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group: {}{{", self.name)?;
        for (index, member) in self.members.iter().enumerate() {
            write!(f, "{}{member}", if index == 0 { "" } else { "," })?;
        }
        f.write_str("}")
    }
}

/// SAMPLE_TIME: when the first and the last sample were taken, in ns of the recording's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SampleTimes {
    /// The first sample's time.
    pub first: u64,
    /// The last sample's time.
    pub last: u64,
}

impl SampleTimes {
    pub(super) fn read(parts: &mut FeatureParts<'_>) -> Part<Self> {
        Ok(Self { first: parts.word("first time")?, last: parts.word("last time")? })
    }
}

impl fmt::Display for SampleTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (which, time) in [("first", self.first), ("last", self.last)] {
            writeln!(
                f,
                "time of {which} sample : {}.{:06}",
                time / 1_000_000_000,
                time % 1_000_000_000 / 1000
            )?;
        }
        let ns = self.last.saturating_sub(self.first);
        // Rounded to the nearest of three digits.
        let us = ns / 1000 + u64::from(ns % 1000 >= 500);
        let ms = format!("{}.{:03}", us / 1000, us % 1000);
        write!(f, "sample duration : {ms:>10} ms")
    }
}

/// CLOCK_DATA: one moment on the wall clock and on the recording's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClockReference {
    /// The recording's clock, `CLOCK_*`.
    pub clockid: u32,
    /// The moment in ns since 1970.
    pub wall: u64,
    /// The moment in ns of the recording's clock.
    pub clock: u64,
}

impl ClockReference {
    /// Reads the bytes of CLOCK_DATA: of a HEADER_FEATURE record, or of [`Preamble::features`](crate::Preamble::features).
    ///
    /// # Errors
    /// [`Error::Structure`] where they are of no known version, or too few.
    pub fn parse(data: &[u8], endian: Endian) -> Result<Self, Error> {
        Self::read(&mut FeatureParts::new(data, endian))
            .map_err(|error| Error::structure("CLOCK_DATA", 0, error))
    }

    pub(super) fn read(parts: &mut FeatureParts<'_>) -> Part<Self> {
        version("version", parts.word::<u32>("version")?.into())?;
        Ok(Self {
            clockid: parts.word("clock")?,
            wall: parts.word("wall clock")?,
            clock: parts.word("recording's clock")?,
        })
    }

    /// The clock's name as perf's option `--clockid` has it.
    #[must_use]
    pub fn clock_name(&self) -> Option<&'static str> {
        match self.clockid {
            0 => Some("realtime"),
            1 => Some("monotonic"),
            4 => Some("monotonic_raw"),
            7 => Some("boottime"),
            11 => Some("tai"),
            _ => None,
        }
    }
}

/// As perf prints it, but for the date, which depends on where one reads it.
impl fmt::Display for ClockReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.clock_name().unwrap_or("(not found)");
        let split = |ns: u64| (ns / 1_000_000_000, ns % 1_000_000_000);
        let ((wall, wall_ns), (clock, clock_ns)) = (split(self.wall), split(self.clock));
        writeln!(f, "clockid: {name} ({})", self.clockid)?;
        write!(f, "reference time: {wall}.{:06} (TOD) = {clock}.{clock_ns:09} ({name})", wall_ns / 1000)
    }
}

/// COMPRESSED: how records are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compression {
    /// The format; 1 is zstd, the only one so far.
    pub kind: u32,
    /// The level of compression.
    pub level: u32,
    /// How many times smaller the records became.
    pub ratio: u32,
    /// Bytes of the buffers that were compressed at once.
    pub mmap_len: u32,
}

impl Compression {
    pub(super) fn read(parts: &mut FeatureParts<'_>) -> Part<Self> {
        // perf writes 0 and reads any.
        let _version: u32 = parts.word("version")?;
        Ok(Self {
            kind: parts.word("type")?,
            level: parts.word("level")?,
            ratio: parts.word("ratio")?,
            mmap_len: parts.word("size of the buffers")?,
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == 1 { "Zstd" } else { "Unknown" };
        write!(f, "compressed : {kind}, level = {}, ratio = {}", self.level, self.ratio)
    }
}
