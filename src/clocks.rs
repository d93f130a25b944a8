//! This machine's clocks, perf's own among them.

use std::cell::OnceCell;

use perf_event::events::Software;
use perf_event::{Builder, SampleFlag};
use perf_session::evidence::{ClockReading, Clocks, Nanos, Span};
use rustix::thread;
use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime, clock_gettime_dynamic};

/// The clocks of the system.
#[derive(Debug, Default)]
pub(crate) struct SystemClocks {
    /// How much the monotonic clock is ahead of perf's, which is measured once.
    ahead: OnceCell<Option<Span>>,
}

impl Clocks for SystemClocks {
    fn read(&self, with_perf: bool) -> ClockReading {
        let measured = || *self.ahead.get_or_init(monotonic_ahead_of_perf);
        let ahead = if with_perf { measured() } else { self.ahead.get().copied().flatten() };
        let monotonic = read(ClockId::Monotonic);
        let realtime = read(ClockId::Realtime);
        let boottime = read(ClockId::Boottime);
        ClockReading {
            realtime,
            monotonic,
            monotonic_raw: read(ClockId::MonotonicRaw),
            boottime,
            tai: clock_gettime_dynamic(DynamicClockId::Tai).map_or(realtime, nanos),
            perf: ahead.map(|ahead| Span { from: monotonic - ahead.to, to: monotonic - ahead.from }),
            took: read(ClockId::Monotonic) - monotonic,
        }
    }
}

fn read(clock: ClockId) -> Nanos {
    nanos(clock_gettime(clock))
}

fn nanos(time: Timespec) -> Nanos {
    Nanos::from(time.tv_sec) * 1_000_000_000 + Nanos::from(time.tv_nsec)
}

/// Measures perf's clock: the kernel dates a record of a change between two readings of the monotonic clock. The change
/// is that this thread gets the name that it has. `None` where perf may not be used.
fn monotonic_ahead_of_perf() -> Option<Span> {
    let mut event = Builder::new(Software::DUMMY);
    event.sample(SampleFlag::TIME).sample_id_all(true).comm(true).enabled(true).exclude_kernel(true);
    let mut records = event.build().ok()?.sampled(1).ok()?;
    let name = thread::name().ok()?;
    let before = read(ClockId::Monotonic);
    thread::set_name(&name).ok()?;
    let after = read(ClockId::Monotonic);
    // The time is the trailer's only field, and so the last word.
    let record = records.next_record()?.to_vec();
    let time = Nanos::from(u64::from_ne_bytes(*record.last_chunk()?));
    Some(Span { from: before - time, to: after - time })
}
