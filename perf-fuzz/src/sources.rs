//! Where build-ids come from in here, and what is asked for: never from files. The one place that speaks of
//! chains, of plans and of where ids go.

use perf_format::BuildId;
use perf_inject::{DsoSelection, IdsTo, OffCpuOptions, Plan};
use perf_session::Recording;
use perf_session::build_id::{BuildIdSource, Chain, FoundId, NoBuildId, NoFiles, Origin, Recorded};
use perf_session::dso::Dso;

/// Knows an id for every name: the name itself, folded into 20 bytes.
#[derive(Debug)]
struct Named;

impl BuildIdSource for Named {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        let mut bytes = [0x5a_u8; BuildId::MAX];
        for (at, byte) in dso.name.iter().enumerate() {
            let place = &mut bytes[at % BuildId::MAX];
            *place = place.rotate_left(3) ^ byte;
        }
        Ok(BuildId::new(&bytes).ok().map(|id| FoundId::from(Origin::File, id)))
    }
}

/// The chain of a pipeline, with names in the place of this machine's files.
#[must_use]
pub fn sources() -> Chain {
    Chain(vec![Box::new(Recorded), Box::new(NoFiles), Box::new(Named)])
}

/// `--decompress`.
pub const PLAIN_RECORDS: Plan = Plan { decompress: true, ..Plan::NOTHING };

/// `--off-cpu`.
pub const OFF_CPU: Plan =
    Plan { off_cpu: Some(OffCpuOptions { min_sleep: 0, open_sleeps: false }), ..Plan::NOTHING };

/// `--off-cpu --min-sleep=5ns --open-sleeps`.
pub const OPEN_SLEEPS: Plan =
    Plan { off_cpu: Some(OffCpuOptions { min_sleep: 5, open_sleeps: true }), ..Plan::NOTHING };

/// `--sched-stat`.
pub const SCHED_STAT: Plan = Plan { sched_stat: true, ..Plan::NOTHING };

/// `-b`.
pub const HIT: Plan = Plan { build_ids: Some(DsoSelection::Hit), ..Plan::NOTHING };

/// `--jit` or `--perf-map`.
pub const JIT: Plan = Plan { jit: true, ..Plan::NOTHING };

/// `-b --jit`.
pub const JIT_AND_HIT: Plan = Plan { jit: true, ..HIT };

/// `-b` while the recording is being made.
pub const LIVE: Plan = Plan { live: true, ..HIT };

/// `--buildid-all`.
pub const MAPPED: Plan = Plan { build_ids: Some(DsoSelection::Mapped), ..Plan::NOTHING };

/// `-b --buildid-to=header,events`.
pub const BOTH: Plan = Plan { ids_to: Some(IdsTo { header: true, events: true, mmap2: false }), ..HIT };

/// `-b --decompress`.
pub const DECOMPRESS: Plan = Plan { decompress: true, ..HIT };

const MMAP2: Option<IdsTo> = Some(IdsTo { header: false, events: false, mmap2: true });

/// `-B`.
pub const LAZY_MAPS: Plan = Plan { drop_unused_maps: true, ids_to: MMAP2, ..HIT };

/// `--mmap2-buildid-all`.
pub const ALL_MAPS: Plan = Plan { ids_to: MMAP2, ..MAPPED };
