//! What an event counts: the type and config of its attr as enumerations, and the names that perf has for them.

use std::fmt::{self, Write as _};

use crate::Attr;
use crate::attr::AttrFlags;

/// What an event counts, `enum perf_type_id` with the config that belongs to it. Displayed as perf names it:
/// `cycles`, `L1-dcache-load-misses`, `mem:0x1000:rw`, `raw 0x1a8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventType {
    /// `PERF_TYPE_HARDWARE`: what most CPUs can count.
    Hardware {
        /// The event.
        event: HardwareEvent,
        /// The type of the PMU that counts it, where the machine has several; otherwise 0.
        pmu: u32,
    },
    /// `PERF_TYPE_SOFTWARE`: what the kernel counts.
    Software(SoftwareEvent),
    /// `PERF_TYPE_TRACEPOINT`.
    Tracepoint {
        /// The id in the tracepoint's format, [`EventFormat::id`](crate::EventFormat).
        id: u64,
    },
    /// `PERF_TYPE_HW_CACHE`: what CPUs count of their caches.
    Cache {
        /// The cache.
        cache: Cache,
        /// What was done with it.
        op: CacheOp,
        /// How that went.
        result: CacheResult,
        /// The type of the PMU that counts it, where the machine has several; otherwise 0.
        pmu: u32,
    },
    /// `PERF_TYPE_RAW`: a number that the CPU's manual explains.
    Raw {
        /// The number.
        config: u64,
    },
    /// `PERF_TYPE_BREAKPOINT`: accesses to memory.
    Breakpoint {
        /// The address, `bp_addr`.
        address: u64,
        /// How many bytes from there on, `bp_len`.
        len: u64,
        /// The accesses that count, `HW_BREAKPOINT_*`: 1 reads, 2 writes, 4 execution.
        access: u32,
    },
    /// A PMU that has its type from the kernel that recorded, under `/sys/bus/event_source/devices`; the PMU_MAPPINGS
    /// feature has its name. Caches that are not known here are such a type, too.
    Pmu {
        /// The type.
        pmu: u32,
        /// The event, in the PMU's own terms.
        config: u64,
    },
}

/// An enumeration of the kernel's with the names that perf has for its values.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $name:ident { $($variant:ident = $value:literal $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`.")] $variant,)*
            /// A value not known here.
            Other(u64),
        }

        impl $name {
            /// The value in an attr's config.
            #[must_use]
            pub fn from_value(value: u64) -> Self {
                match value {
                    $($value => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// perf's name, if the value is known here.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => Some($text),)*
                    Self::Other(_) => None,
                }
            }
        }
    };
}

named! {
    /// `enum perf_hw_id`.
    pub enum HardwareEvent {
        Cycles = 0 "cycles",
        Instructions = 1 "instructions",
        CacheReferences = 2 "cache-references",
        CacheMisses = 3 "cache-misses",
        Branches = 4 "branches",
        BranchMisses = 5 "branch-misses",
        BusCycles = 6 "bus-cycles",
        StalledCyclesFrontend = 7 "stalled-cycles-frontend",
        StalledCyclesBackend = 8 "stalled-cycles-backend",
        RefCycles = 9 "ref-cycles",
    }
}

named! {
    /// `enum perf_sw_ids`.
    pub enum SoftwareEvent {
        CpuClock = 0 "cpu-clock",
        TaskClock = 1 "task-clock",
        PageFaults = 2 "page-faults",
        ContextSwitches = 3 "context-switches",
        CpuMigrations = 4 "cpu-migrations",
        MinorFaults = 5 "minor-faults",
        MajorFaults = 6 "major-faults",
        AlignmentFaults = 7 "alignment-faults",
        EmulationFaults = 8 "emulation-faults",
        Dummy = 9 "dummy",
        BpfOutput = 10 "bpf-output",
        CgroupSwitches = 11 "cgroup-switches",
    }
}

named! {
    /// `enum perf_hw_cache_id`.
    pub enum Cache {
        L1Data = 0 "L1-dcache",
        L1Instruction = 1 "L1-icache",
        LastLevel = 2 "LLC",
        DataTlb = 3 "dTLB",
        InstructionTlb = 4 "iTLB",
        BranchUnit = 5 "branch",
        Node = 6 "node",
    }
}

named! {
    /// `enum perf_hw_cache_op_id`.
    pub enum CacheOp {
        Load = 0 "load",
        Store = 1 "store",
        Prefetch = 2 "prefetch",
    }
}

named! {
    /// `enum perf_hw_cache_op_result_id`.
    pub enum CacheResult {
        Access = 0 "refs",
        Miss = 1 "misses",
    }
}

impl EventType {
    /// What an attr counts.
    #[must_use]
    pub fn of(attr: &Attr) -> Self {
        let fields = &attr.fields;
        let config = fields.config;
        // PERF_HW_EVENT_MASK: above the event stands the PMU.
        let (event, pmu) = (config & 0xffff_ffff, high(config));
        let byte = |shift: u32| event >> shift & 0xff;
        let (cache, op, result) =
            (Cache::from_value(byte(0)), CacheOp::from_value(byte(8)), CacheResult::from_value(byte(16)));
        let is_cache =
            event >> 24 == 0 && cache.name().is_some() && op.name().is_some() && result.name().is_some();
        match fields.kind {
            0 => Self::Hardware { event: HardwareEvent::from_value(event), pmu },
            1 => Self::Software(SoftwareEvent::from_value(config)),
            2 => Self::Tracepoint { id: config },
            3 if is_cache => Self::Cache { cache, op, result, pmu },
            4 => Self::Raw { config },
            5 => Self::Breakpoint { address: fields.config1, len: fields.config2, access: fields.bp_type },
            pmu => Self::Pmu { pmu, config },
        }
    }
}

fn high(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or_default()
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Hardware { event, .. } => f.write_str(event.name().unwrap_or("unknown-hardware")),
            Self::Software(event) => f.write_str(event.name().unwrap_or("unknown-software")),
            Self::Tracepoint { id } => write!(f, "unknown tracepoint id={id:#x}"),
            Self::Cache { cache, op, result, .. } => {
                let [cache, op, refs] =
                    [cache.name(), op.name(), result.name()].map(Option::unwrap_or_default);
                match (result, op) {
                    (CacheResult::Access, "prefetch") => write!(f, "{cache}-prefetches"),
                    (CacheResult::Access, _) => write!(f, "{cache}-{op}s"),
                    _ => write!(f, "{cache}-{op}-{refs}"),
                }
            }
            Self::Raw { config } => write!(f, "raw {config:#x}"),
            Self::Breakpoint { address, access, .. } => {
                write!(f, "mem:{address:#x}:")?;
                [(1, 'r'), (2, 'w'), (4, 'x')]
                    .into_iter()
                    .filter(|(bit, _)| access & bit != 0)
                    .try_for_each(|(_, letter)| f.write_char(letter))
            }
            Self::Pmu { pmu, config } => write!(f, "unknown event PMU={pmu} config={config:#x}"),
        }
    }
}

impl Attr {
    /// What the event counts.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        EventType::of(self)
    }

    /// The name that perf makes up for an event which has none: its [`EventType`], and behind a colon the modes that it
    /// counts where these are not all (`cycles:u`), a `p` for each degree of precision, and a `G` for guests alone.
    #[must_use]
    pub fn made_up_name(&self) -> String {
        let mut name = self.event_type().to_string();
        if matches!(self.event_type(), EventType::Tracepoint { .. } | EventType::Pmu { .. }) {
            return name;
        }
        let has = |flag| self.has(flag);
        let modes =
            [(AttrFlags::EXCLUDE_KERNEL, 'k'), (AttrFlags::EXCLUDE_USER, 'u'), (AttrFlags::EXCLUDE_HV, 'h')];
        let mut modifiers = String::new();
        if modes.iter().any(|(excluded, _)| has(*excluded)) {
            modifiers.extend(modes.iter().filter(|(excluded, _)| !has(*excluded)).map(|(_, mode)| mode));
        }
        let precise =
            usize::from(has(AttrFlags::PRECISE_IP_LOW)) + 2 * usize::from(has(AttrFlags::PRECISE_IP_HIGH));
        modifiers.extend(std::iter::repeat_n('p', precise));
        // Without guests is how perf records by itself.
        if has(AttrFlags::EXCLUDE_HOST) && !has(AttrFlags::EXCLUDE_GUEST) {
            modifiers.push('G');
        }
        if !modifiers.is_empty() {
            name.push(':');
            name.push_str(&modifiers);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::AttrFields;

    fn attr(kind: u32, config: u64, flags: AttrFlags) -> Attr {
        Attr { fields: AttrFields { kind, config, flags, ..AttrFields::default() }, tail: Vec::new() }
    }

    #[test]
    fn events_are_named_as_perf_names_them() {
        let name = |kind, config| attr(kind, config, AttrFlags::default()).made_up_name();
        assert_eq!(name(0, 0), "cycles");
        assert_eq!(name(0, 0x8_0000_0001), "instructions");
        assert_eq!(name(0, 99), "unknown-hardware");
        assert_eq!(name(1, 0), "cpu-clock");
        assert_eq!(name(1, u64::MAX), "unknown-software");
        assert_eq!(name(2, 0x13a), "unknown tracepoint id=0x13a");
        assert_eq!(name(3, 0x10000), "L1-dcache-load-misses");
        assert_eq!(name(3, 0x00102), "LLC-stores");
        assert_eq!(name(3, 0x00203), "dTLB-prefetches");
        assert_eq!(name(3, 0x10203), "dTLB-prefetch-misses");
        assert_eq!(name(3, 0x90000), "unknown event PMU=3 config=0x90000");
        assert_eq!(name(4, 0x1a8), "raw 0x1a8");
        assert_eq!(name(10, 0x300), "unknown event PMU=10 config=0x300");
        let fields = AttrFields { kind: 5, config1: 0x1000, bp_type: 3, ..AttrFields::default() };
        assert_eq!(Attr { fields, tail: Vec::new() }.made_up_name(), "mem:0x1000:rw");
    }

    #[test]
    fn a_name_says_which_modes_are_counted_and_how_precisely() {
        let name = |flags| attr(0, 0, flags).made_up_name();
        let user = AttrFlags::EXCLUDE_KERNEL | AttrFlags::EXCLUDE_HV;
        assert_eq!(name(user), "cycles:u");
        assert_eq!(name(user | AttrFlags::PRECISE_IP_HIGH), "cycles:upp");
        assert_eq!(name(AttrFlags::EXCLUDE_USER | AttrFlags::PRECISE_IP_LOW), "cycles:khp");
        assert_eq!(name(AttrFlags::EXCLUDE_GUEST), "cycles");
        assert_eq!(name(AttrFlags::EXCLUDE_HOST), "cycles:G");
    }
}
