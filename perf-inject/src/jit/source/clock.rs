//! Converts the times of a dump to those of the recording.

use perf_format::jitdump::Header;
use perf_format::record::TimeConv;
use perf_session::Session;

/// `CLOCK_MONOTONIC`, as an attr's `clockid` has it.
const CLOCK_MONOTONIC: i32 = 1;

/// How long after a dump was begun its first record comes at the latest, if both times are of one clock, in ns.
const SOON: u64 = 60_000_000_000;

/// How a dump's times become the recording's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Clock {
    /// Both have the same clock.
    #[default]
    Same,
    /// The recording's times are later by so many ns.
    Later(i64),
    /// The dump's times are the processor's.
    Processor(TimeConv),
}

impl Clock {
    /// The clock of a dump whose mapping was recorded at `mapped_at` ns, and whose first record is of `first`; where
    /// the recording has another clock and the clock may be guessed, the difference is taken from these two.
    pub(super) fn of(
        header: &Header,
        first: Option<u64>,
        conversion: Option<&TimeConv>,
        session: &Session,
        mapped_at: Option<u64>,
        guess: bool,
    ) -> Result<Self, &'static str> {
        if header.arch_timestamp {
            let conversion = conversion.filter(|conversion| conversion.time_mult != 0);
            let why = "its times are the processor's, and the recording has no TIME_CONV record to convert them to ns";
            return conversion.map(|conversion| Self::Processor(conversion.clone())).ok_or(why);
        }
        let events = session.evlist.evsels();
        if !events.is_empty() && events.iter().all(|event| event.attr.clockid() == Some(CLOCK_MONOTONIC)) {
            return Ok(Self::Same);
        }
        if !guess {
            return Err("it was recorded with another clock than the dump has: record with -k 1, or let \
                        --jit-clock=auto estimate by how much they differ");
        }
        let mapped_at = mapped_at.filter(|time| *time != 0);
        let mapped_at = mapped_at.ok_or("its mapping has no time from which to estimate the clock")?;
        // Node and CPython write the time of day into the header. The first record is a little later than the mapping.
        let begun = match first {
            Some(first) if first.wrapping_sub(header.timestamp) > SOON => first,
            _ => header.timestamp,
        };
        Ok(Self::Later(mapped_at.wrapping_sub(begun).cast_signed()))
    }

    /// A time of the dump, in ns of the recording.
    pub(super) fn time(&self, timestamp: u64) -> u64 {
        match self {
            Self::Same => timestamp,
            Self::Later(by) => timestamp.saturating_add_signed(*by),
            Self::Processor(conversion) => nanoseconds(conversion, timestamp),
        }
    }
}

/// A processor's counter in ns, as `struct perf_event_mmap_page` describes it.
fn nanoseconds(conversion: &TimeConv, mut cycles: u64) -> u64 {
    let TimeConv { time_shift, time_mult, time_zero, wrap } = conversion;
    if let Some(wrap) = wrap
        && wrap.cap_user_time_short != 0
    {
        cycles = wrap.time_cycles.wrapping_add(cycles.wrapping_sub(wrap.time_cycles) & wrap.time_mask);
    }
    let product = u128::from(cycles) * u128::from(*time_mult);
    let shifted = product >> (*time_shift).min(127);
    time_zero.wrapping_add(u64::try_from(shifted & u128::from(u64::MAX)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use perf_format::record::TimeConvWrap;

    use super::*;

    #[test]
    fn cycles_become_ns() {
        // 2.5 GHz: 0.4 ns a cycle.
        let conversion = TimeConv { time_shift: 32, time_mult: 1_717_986_918, time_zero: 1000, wrap: None };
        assert_eq!(nanoseconds(&conversion, 2_500_000_000), 1_000_000_999);
        let wrap = TimeConvWrap {
            time_cycles: 1 << 40,
            time_mask: u64::from(u32::MAX),
            cap_user_time_zero: 1,
            cap_user_time_short: 1,
            unused: [0; 6],
        };
        // A counter of 32 bits that went round once more.
        let short = TimeConv { time_shift: 0, time_mult: 1, time_zero: 0, wrap: Some(wrap) };
        assert_eq!(nanoseconds(&short, 5), (1 << 40) + 5);
    }
}
