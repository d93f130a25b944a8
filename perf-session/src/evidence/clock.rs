//! When it was: a record's time on the wall clock, which files are dated by, with the uncertainty that is left.

use std::fmt;

use crate::recording::Recording;

/// Nanoseconds since the epoch, or since a clock's zero. Wide, so that no sum of times overflows.
pub type Nanos = i128;

/// How far a clock may run off another, as a fraction: the kernel steers its clocks by at most 500 ppm.
const STEERED_BY: Nanos = 2_000;

/// How much later than perf's clock the monotonic one may have begun at boot, in ns, where that is not measured.
const BEGAN_WITHIN: Nanos = 1_000_000_000;

/// The `clockid_t` of the clocks that events may have (`perf_event_attr.clockid`).
const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;
const CLOCK_MONOTONIC_RAW: i32 = 4;
const CLOCK_BOOTTIME: i32 = 7;
const CLOCK_TAI: i32 = 11;

/// A span of time in which something happened, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Not before, in ns.
    pub from: Nanos,
    /// Not after, in ns.
    pub to: Nanos,
}

impl Span {
    /// A moment that is known.
    #[must_use]
    pub fn at(moment: Nanos) -> Self {
        Self { from: moment, to: moment }
    }

    /// The span that is wider by a number of ns at either end.
    #[must_use]
    pub(crate) fn wider(self, by: Nanos) -> Self {
        Self { from: self.from.saturating_sub(by), to: self.to.saturating_add(by) }
    }

    /// How long it is, in ns.
    #[must_use]
    pub fn width(self) -> Nanos {
        self.to.saturating_sub(self.from)
    }
}

/// What the clocks of this machine show at one moment, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// `CLOCK_REALTIME`, since the epoch.
    pub realtime: Nanos,
    /// `CLOCK_MONOTONIC`.
    pub monotonic: Nanos,
    /// `CLOCK_MONOTONIC_RAW`.
    pub monotonic_raw: Nanos,
    /// `CLOCK_BOOTTIME`.
    pub boottime: Nanos,
    /// `CLOCK_TAI`.
    pub tai: Nanos,
    /// The clock that perf's events have if none is chosen (`sched_clock`), if it can be read.
    pub perf: Option<Span>,
    /// How long reading them took.
    pub took: Nanos,
}

/// The clocks of this machine. This crate reads none: the caller implements it.
pub trait Clocks: fmt::Debug {
    /// Reads the clocks. perf's own ([`ClockReading::perf`]) may be left out unless `with_perf`: to measure it may take
    /// 10 ms where perf is not in use at the moment.
    fn read(&self, with_perf: bool) -> ClockReading;
}

/// When the recording was written, as far as its input shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Produced {
    /// Nothing is known.
    #[default]
    Unknown,
    /// It is being written, to a pipe that was opened then (ns since the epoch).
    Live {
        /// When reading began.
        since: Nanos,
    },
    /// It is a file.
    File {
        /// When the file was made, where the file system has that.
        made: Option<Nanos>,
        /// When it was last written.
        until: Nanos,
    },
}

/// Turns a recording's times into those of the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock<'r> {
    /// The recording.
    pub recording: &'r Recording,
    /// What this machine's clocks show now, if that is known.
    pub now: Option<ClockReading>,
    /// When the recording was written.
    pub produced: Produced,
}

impl WallClock<'_> {
    /// When something of a time in the recording happened, if it was recorded in this boot.
    #[must_use]
    pub(crate) fn in_this_boot(&self, time: u64) -> Option<Span> {
        self.by_itself(time).or_else(|| {
            let now = self.now?;
            let clock = self.clock_now(&now)?;
            // How long ago it was by that clock, and by how much the wall clock may have run faster meanwhile.
            let ago = Span { from: clock.from - Nanos::from(time), to: clock.to - Nanos::from(time) };
            let drift = if self.is_steered_apart() { ago.to.abs() / STEERED_BY } else { 0 };
            let asleep = if self.stops_in_suspend() { (now.boottime - now.monotonic).max(0) } else { 0 };
            let span = Span { from: now.realtime - ago.to - asleep, to: now.realtime - ago.from };
            Some(self.at_the_latest(time, span.wider(drift + now.took)))
        })
    }

    /// When something of a time in the recording happened, whatever boot it was recorded in: `from` is as early as can
    /// be where nothing tells.
    #[must_use]
    pub(crate) fn in_any_boot(&self, time: u64) -> Span {
        let ever = Span { from: Nanos::MIN, to: Nanos::MAX };
        self.by_itself(time).unwrap_or_else(|| self.at_the_latest(time, ever))
    }

    /// When anything in the recording happened, where no time is known.
    #[must_use]
    pub(crate) fn at_all(&self) -> Span {
        let from = match self.produced {
            Produced::Live { since } => since - STARTED_WITHIN,
            Produced::File { .. } | Produced::Unknown => Nanos::MIN,
        };
        let to = match (self.produced, self.now) {
            (Produced::File { until, .. }, _) => until,
            (_, Some(now)) => now.realtime,
            (_, None) => Nanos::MAX,
        };
        Span { from, to: to.max(from) }
    }

    /// When it happened, if the recording itself tells.
    fn by_itself(&self, time: u64) -> Option<Span> {
        let time = Nanos::from(time);
        match (self.recording.clockid, self.recording.clock_data) {
            (Some(CLOCK_REALTIME), _) => Some(Span::at(time)),
            (Some(clock), Some(data)) if clock == data.clockid.cast_signed() => {
                let since = time - Nanos::from(data.clock);
                let drift = if clock == CLOCK_MONOTONIC_RAW { since.abs() / STEERED_BY } else { 0 };
                Some(Span::at(Nanos::from(data.wall) + since).wider(drift + READ_WITHIN))
            }
            _ => None,
        }
    }

    /// What the recording's clock shows now.
    fn clock_now(&self, now: &ClockReading) -> Option<Span> {
        match self.recording.clockid {
            None => {
                Some(now.perf.unwrap_or_else(|| {
                    Span::at(now.monotonic).wider(now.monotonic / STEERED_BY + BEGAN_WITHIN)
                }))
            }
            Some(CLOCK_MONOTONIC) => Some(Span::at(now.monotonic)),
            Some(CLOCK_MONOTONIC_RAW) => Some(Span::at(now.monotonic_raw)),
            Some(CLOCK_BOOTTIME) => Some(Span::at(now.boottime)),
            Some(CLOCK_TAI) => Some(Span::at(now.tai)),
            Some(_) => None,
        }
    }

    /// Whether the recording's clock is not steered as the wall clock is.
    fn is_steered_apart(&self) -> bool {
        matches!(self.recording.clockid, None | Some(CLOCK_MONOTONIC_RAW))
    }

    fn stops_in_suspend(&self) -> bool {
        matches!(self.recording.clockid, None | Some(CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW))
    }

    /// Whether the recording's clock begins anew with each boot, so that its times can tell one from another.
    #[must_use]
    pub(crate) fn begins_at_boot(&self) -> bool {
        !matches!(self.recording.clockid, Some(CLOCK_REALTIME | CLOCK_TAI))
    }

    /// Narrows a span: what was recorded last was recorded before it was written, and before now.
    fn at_the_latest(&self, time: u64, span: Span) -> Span {
        let written = match self.produced {
            Produced::File { until, .. } => Some(until + TICK),
            Produced::Live { .. } | Produced::Unknown => None,
        };
        let Some(end) = written.or(self.now.map(|now| now.realtime)) else { return span };
        let since = Nanos::from(self.recording.times.last.unwrap_or(time)) - Nanos::from(time);
        let latest = end - since + since.abs() / STEERED_BY;
        Span { from: span.from, to: span.to.min(latest).max(span.from) }
    }

    /// Whether a time of the recording tallies with when it was written, as this boot's clock has it: that it does by
    /// chance in a recording of another boot is as likely as two machines that were started within seconds.
    #[must_use]
    pub(crate) fn tallies(&self, time: u64) -> bool {
        let Some(span) = self.in_this_boot(time).filter(|_| self.begins_at_boot()) else { return false };
        match (self.produced, self.now) {
            (Produced::Live { since }, Some(now)) => {
                span.to >= since - STARTED_WITHIN && span.from <= now.realtime + READ_WITHIN
            }
            (Produced::File { made: Some(made), until }, _) => {
                span.to >= made - READ_WITHIN && span.from <= until + TICK
            }
            _ => false,
        }
    }

    /// Whether a time of the recording is later than the recording itself could be, had it been made in this boot.
    #[must_use]
    pub(crate) fn contradicts_this_boot(&self, time: u64) -> bool {
        let Some(now) = self.now.filter(|_| self.begins_at_boot()) else { return false };
        // Without the narrowing, which takes for granted what is asked here.
        let unbound = WallClock { produced: Produced::Unknown, ..*self };
        let end = match self.produced {
            Produced::File { until, .. } => until,
            Produced::Live { .. } | Produced::Unknown => now.realtime,
        };
        let span = match (self.clock_now(&now), self.by_itself(time)) {
            (_, Some(span)) => Some(span),
            (Some(_), None) => unbound.in_this_boot(time),
            (None, None) => None,
        };
        span.is_some_and(|span| span.from > end + SECOND)
    }
}

/// File systems date by the last tick of the kernel's clock, which may be 10 ms old.
pub(super) const TICK: Nanos = 10_000_000;

const SECOND: Nanos = 1_000_000_000;

/// How long it takes at the most to read two clocks one after the other, or to write what was just recorded, in ns.
const READ_WITHIN: Nanos = 1_000_000;

/// By how much perf may have started before what reads its pipe, in ns.
const STARTED_WITHIN: Nanos = 10 * SECOND;
