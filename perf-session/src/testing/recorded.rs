//! Recordings that were made here and now, and such whose origin nobody asks for.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::Recording;
use crate::evidence::{ClockReading, Clocks, Evidence, EvidenceConfig, Nanos, Produced, Span, ThisMachine};

/// Clocks that show one time, counted from the epoch: a recording's times are then those of the wall. That of boots is the
/// system's own, by which the kernel dates processes.
#[derive(Debug, Clone, Copy)]
pub struct StoppedClocks(pub Nanos);

impl Clocks for StoppedClocks {
    fn read(&self, _: bool) -> ClockReading {
        let Self(now) = *self;
        let (realtime, monotonic, monotonic_raw, tai) = (now, now, now, now);
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let boottime = Nanos::from(since_boot.tv_sec) * 1_000_000_000 + Nanos::from(since_boot.tv_nsec);
        ClockReading { realtime, monotonic, monotonic_raw, boottime, tai, perf: Some(Span::at(now)), took: 0 }
    }
}

/// Evidence that trusts this machine whatever was recorded: for tests of what is in files.
#[must_use]
pub fn trusting() -> Evidence {
    Evidence::new(EvidenceConfig { allow_changed: true, ..EvidenceConfig::default() })
}

/// What proves that a recording was made on this machine in this boot, and the recording: it was going on at that time.
#[must_use]
pub fn recorded_here(at: SystemTime) -> (EvidenceConfig, Recording) {
    let now = nanos(at);
    let machine = ThisMachine { references: Vec::new(), ..ThisMachine::this() };
    let mut recording = Recording {
        hostname: Some(machine.hostname.clone()),
        release: Some(machine.release.clone()),
        arch: Some(machine.arch.clone()),
        ..Recording::default()
    };
    recording.times.note(wall_time(at));
    let config = EvidenceConfig {
        produced: Produced::Live { since: now },
        clocks: Some(Rc::new(StoppedClocks(now))),
        machine: Some(machine),
        ..EvidenceConfig::default()
    };
    (config, recording)
}

/// A time of a recording whose clock counts from the epoch.
#[must_use]
pub fn wall_time(at: SystemTime) -> u64 {
    u64::try_from(nanos(at)).unwrap_or(u64::MAX)
}

fn nanos(at: SystemTime) -> Nanos {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX)
}
