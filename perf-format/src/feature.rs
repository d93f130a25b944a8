//! Features: the sections behind a file's records that describe the machine and the recording.

use std::fmt;

mod build_id_table;
mod event_desc;
mod in_pipe;
mod pmu;
mod read;
mod recording;
mod topology;
mod value;

pub use build_id_table::{build_id_table, push_build_id};
pub use event_desc::{EventName, change_attrs, event_names, push_event_name};
pub use in_pipe::PipeRefusal;
pub(crate) use in_pipe::{Described, check};
pub use pmu::{HybridPmu, PmuCaps, PmuMapping};
pub use recording::{ClockReference, Compression, EventGroup, SampleTimes};
pub use topology::{
    CpuCache, CpuCounts, CpuPlace, CpuTopology, ElfMachine, MemoryNode, MemoryTopology, NumaNode,
};
pub use value::FeatureValue;

/// The number of a feature, `HEADER_*` in perf. Unknown ones are carried.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Feature(pub u32);

impl Feature {
    /// `HEADER_LAST_FEATURE` of perf 5.13 to 6.18: a HEADER_FEATURE record with this number and no payload marks the end
    /// of the features. Later perfs have more features, and take the first number above those that came for the mark.
    pub const LAST: Self = Self(32);

    /// Whether the feature describes the file that it is in and not the recording: where sections stand in it, or facts
    /// for which a pipe has records of their own.
    #[must_use]
    pub fn is_of_the_file(self) -> bool {
        let of_the_file = [Self::TRACING_DATA, Self::BUILD_ID, Self::AUXTRACE, Self::DIR_FORMAT];
        of_the_file.contains(&self)
    }

    /// Whether the feature has no bytes, and says all by being there.
    #[must_use]
    pub fn is_flag(self) -> bool {
        [Self::BRANCH_STACK, Self::STAT].contains(&self)
    }
}

macro_rules! features {
    ($($number:literal $name:ident $what:literal;)*) => {
        impl Feature {
            $(#[doc = concat!("`HEADER_", stringify!($name), "`: ", $what, ".")]
            pub const $name: Self = Self($number);)*

            /// The name without its `HEADER_`, if the feature is known here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

features! {
    1 TRACING_DATA "what tracepoints look like";
    2 BUILD_ID "the build-ids of the DSOs";
    3 HOSTNAME "the machine's name";
    4 OSRELEASE "the kernel's release";
    5 VERSION "perf's version";
    6 ARCH "the architecture";
    7 NRCPUS "how many CPUs there are";
    8 CPUDESC "the CPU's name";
    9 CPUID "the CPU's id";
    10 TOTAL_MEM "the machine's memory in KiB";
    11 CMDLINE "the command line of the recording";
    12 EVENT_DESC "the events' attrs, ids and names";
    13 CPU_TOPOLOGY "which CPUs share a core";
    14 NUMA_TOPOLOGY "which CPUs share memory";
    15 BRANCH_STACK "samples have branch stacks";
    16 PMU_MAPPINGS "the PMUs' types and names";
    17 GROUP_DESC "the groups of events";
    18 AUXTRACE "an index of the hardware trace";
    19 STAT "the recording is of perf stat";
    20 CACHE "the CPU's caches";
    21 SAMPLE_TIME "the first and the last sample's time";
    22 MEM_TOPOLOGY "the memory's blocks";
    23 CLOCKID "the clock's resolution";
    24 DIR_FORMAT "the recording is a directory";
    25 BPF_PROG_INFO "the BPF programs";
    26 BPF_BTF "their types";
    27 COMPRESSED "how records are compressed";
    28 CPU_PMU_CAPS "what the CPU's PMU can do";
    29 CLOCK_DATA "wall clock and recording clock at one moment";
    30 HYBRID_TOPOLOGY "the CPUs of hybrid PMUs";
    31 PMU_CAPS "what the PMUs can do";
    32 CPU_DOMAIN_INFO "the scheduling domains";
    33 E_MACHINE "the ELF machine";
    34 CLN_SIZE "the size of a cache line";
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("unknown ({})", self.0)),
        }
    }
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
