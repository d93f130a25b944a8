//! A feature's value, read: one enumeration over all that are known here. What each family holds is in its own file.

use std::fmt;

use bstr::{BStr, BString};

use super::pmu::{HybridPmu, PmuCaps, PmuMapping};
use super::read::{FeatureParts, Part};
use super::recording::{ClockReference, Compression, EventGroup, SampleTimes};
use super::topology::{
    CpuCache, CpuCounts, CpuTopology, ElfMachine, MemoryTopology, NumaNode, SeparateLines,
};
use super::{Feature, event_names};
use crate::codec::{FieldError, Problem};
use crate::{Attr, Error, EventInfo, Preamble};

/// What a feature says. It is displayed in the words of `perf report --header-only -I`, without the `# ` before its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeatureValue {
    /// The machine's name, `uname -n`.
    Hostname(BString),
    /// The kernel's release, `uname -r`.
    OsRelease(BString),
    /// perf's version.
    Version(BString),
    /// The architecture, `uname -m`.
    Arch(BString),
    /// The CPU's name.
    CpuDesc(BString),
    /// The CPU's id; its form is the architecture's.
    CpuId(BString),
    /// How many CPUs there are.
    Cpus(CpuCounts),
    /// The machine's memory, in KiB.
    TotalMem(u64),
    /// The command line of the recording.
    CommandLine(Vec<BString>),
    /// The events with all of their ids, as EVENT_DESC has them; [`Preamble::event_infos`] is what one wants to know.
    Events(Vec<EventInfo>),
    /// Which CPUs share what.
    CpuTopology(CpuTopology),
    /// Which CPUs share memory.
    NumaTopology(Vec<NumaNode>),
    /// Samples have branch stacks.
    BranchStack,
    /// The PMUs' types and names.
    PmuMappings(Vec<PmuMapping>),
    /// The groups of events.
    Groups(Vec<EventGroup>),
    /// The recording is of `perf stat`.
    Stat,
    /// The CPUs' caches.
    Caches(Vec<CpuCache>),
    /// The first and the last sample's time.
    SampleTime(SampleTimes),
    /// The memory's blocks.
    MemoryTopology(MemoryTopology),
    /// The resolution of the recording's clock, in ns.
    ClockResolution(u64),
    /// Wall clock and recording's clock at one moment.
    ClockData(ClockReference),
    /// The version of the directory that the recording is in; 1 has a file a thread or CPU.
    DirFormat(u64),
    /// How records are compressed.
    Compressed(Compression),
    /// What PMUs can do: CPU_PMU_CAPS has the one of `cpu`, PMU_CAPS those of hybrid machines and all others.
    PmuCaps(Vec<PmuCaps>),
    /// The CPUs of hybrid PMUs.
    HybridTopology(Vec<HybridPmu>),
    /// The ELF machine.
    ElfMachine(ElfMachine),
    /// Bytes of a cache line.
    CacheLineSize(u32),
    /// A feature that has no type here, and its bytes.
    Bytes(Feature, Vec<u8>),
}

impl FeatureValue {
    /// The text of a feature that is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&BStr> {
        match self {
            Self::Hostname(text)
            | Self::OsRelease(text)
            | Self::Version(text)
            | Self::Arch(text)
            | Self::CpuDesc(text)
            | Self::CpuId(text) => Some(text.as_ref()),
            _ => None,
        }
    }
}

impl Preamble {
    /// What a feature says; `None` where the recording does not have it. The features themselves, as they were recorded, are
    /// in [`features`](Self::features). TRACING_DATA and BUILD_ID are bytes here: [`tracing_data`](Self::tracing_data) and
    /// [`build_ids`](Self::build_ids) read them.
    ///
    /// # Errors
    /// In the `Some`: [`Error::Structure`] where the feature's bytes cannot be such a feature.
    #[must_use]
    pub fn feature(&self, feature: Feature) -> Option<Result<FeatureValue, Error>> {
        let data = self.features.get(&feature)?;
        let value = self.read_feature(feature, data);
        Some(value.map_err(|error| Error::structure(feature.name().unwrap_or("feature"), 0, error)))
    }

    fn read_feature(&self, feature: Feature, data: &[u8]) -> Part<FeatureValue> {
        use FeatureValue as V;
        let mut parts = FeatureParts::new(data, self.endian);
        let p = &mut parts;
        Ok(match feature {
            Feature::HOSTNAME => V::Hostname(p.text("text")?),
            Feature::OSRELEASE => V::OsRelease(p.text("text")?),
            Feature::VERSION => V::Version(p.text("text")?),
            Feature::ARCH => V::Arch(p.text("text")?),
            Feature::CPUDESC => V::CpuDesc(p.text("text")?),
            Feature::CPUID => V::CpuId(p.text("text")?),
            Feature::NRCPUS => V::Cpus(CpuCounts::read(p)?),
            Feature::TOTAL_MEM => V::TotalMem(p.word("number")?),
            Feature::CMDLINE => V::CommandLine(p.texts("count of arguments")?),
            Feature::EVENT_DESC => V::Events(self.described_events(data)?),
            Feature::CPU_TOPOLOGY => V::CpuTopology(CpuTopology::read(p, self.available_cpus()?)?),
            Feature::NUMA_TOPOLOGY => V::NumaTopology(p.list("count of nodes", NumaNode::read)?),
            Feature::BRANCH_STACK => V::BranchStack,
            Feature::PMU_MAPPINGS => V::PmuMappings(p.list("count of PMUs", PmuMapping::read)?),
            Feature::GROUP_DESC => {
                let names = self.event_infos().unwrap_or_default().into_iter().map(|event| event.name);
                let names: Vec<_> = names.collect();
                V::Groups(p.list("count of groups", |parts| EventGroup::read(parts, &names))?)
            }
            Feature::STAT => V::Stat,
            Feature::CACHE => V::Caches(CpuCache::read_all(p)?),
            Feature::SAMPLE_TIME => V::SampleTime(SampleTimes::read(p)?),
            Feature::MEM_TOPOLOGY => V::MemoryTopology(MemoryTopology::read(p)?),
            Feature::CLOCKID => V::ClockResolution(p.word("number")?),
            Feature::CLOCK_DATA => V::ClockData(ClockReference::read(p)?),
            Feature::DIR_FORMAT => V::DirFormat(p.word("number")?),
            Feature::COMPRESSED => V::Compressed(Compression::read(p)?),
            Feature::CPU_PMU_CAPS => V::PmuCaps(vec![PmuCaps::read_of_cpu(p)?]),
            Feature::PMU_CAPS => V::PmuCaps(p.list("count of PMUs", PmuCaps::read)?),
            Feature::HYBRID_TOPOLOGY => V::HybridTopology(p.list("count of PMUs", HybridPmu::read)?),
            Feature::E_MACHINE => V::ElfMachine(ElfMachine::read(p)?),
            Feature::CLN_SIZE => V::CacheLineSize(p.word("size")?),
            other => V::Bytes(other, data.to_vec()),
        })
    }

    fn described_events(&self, data: &[u8]) -> Part<Vec<EventInfo>> {
        let mut parts = FeatureParts::new(data, self.endian);
        let (count, _): (u32, u32) = (parts.word("count of events")?, parts.word("size of an attr")?);
        let events = event_names(data, self.endian);
        if events.len() as u64 != u64::from(count) {
            return Err(FieldError { field: "count of events", problem: Problem::Count(count.into()) });
        }
        let event = |event: super::EventName<'_>| {
            let attr = Attr::parse(event.attr, self.endian)
                .map_err(|_| FieldError { field: "attr", problem: Problem::Unexpected })?;
            Ok(EventInfo { attr, ids: event.ids.iter().collect(), name: event.name.to_owned() })
        };
        events.into_iter().map(event).collect()
    }

    /// The CPUs that CPU_TOPOLOGY has something for.
    fn available_cpus(&self) -> Part<u32> {
        let counts = self.features.get(&Feature::NRCPUS).map(Vec::as_slice).unwrap_or_default();
        CpuCounts::read(&mut FeatureParts::new(counts, self.endian)).map(|counts| counts.available)
    }
}

impl fmt::Display for FeatureValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = |values: &mut dyn Iterator<Item = &dyn fmt::Display>| {
            let mut lines = SeparateLines::new(f);
            for value in values {
                lines.line(value)?;
            }
            Ok(())
        };
        match self {
            Self::NumaTopology(nodes) => return lines(&mut nodes.iter().map(|node| node as _)),
            Self::Groups(groups) => return lines(&mut groups.iter().map(|group| group as _)),
            Self::PmuCaps(pmus) => return lines(&mut pmus.iter().map(|pmu| pmu as _)),
            Self::Caches(caches) => {
                let head: &dyn fmt::Display = &"CPU cache info:";
                return lines(&mut std::iter::once(head).chain(caches.iter().map(|cache| cache as _)));
            }
            Self::HybridTopology(pmus) => {
                let head: &dyn fmt::Display = &"hybrid cpu system:";
                return lines(&mut std::iter::once(head).chain(pmus.iter().map(|pmu| pmu as _)));
            }
            _ => {}
        }
        match self {
            Self::Hostname(text) => write!(f, "hostname : {text}"),
            Self::OsRelease(text) => write!(f, "os release : {text}"),
            Self::Version(text) => write!(f, "perf version : {text}"),
            Self::Arch(text) => write!(f, "arch : {text}"),
            Self::CpuDesc(text) => write!(f, "cpudesc : {text}"),
            Self::CpuId(text) => write!(f, "cpuid : {text}"),
            Self::Cpus(counts) => counts.fmt(f),
            Self::TotalMem(size) => write!(f, "total memory : {size} kB"),
            Self::CommandLine(args) => {
                f.write_str("cmdline : ")?;
                args.iter().try_for_each(|arg| write!(f, "{} ", arg.to_string().replace('\'', "\\'")))
            }
            Self::Events(events) => described(events, f),
            Self::CpuTopology(topology) => topology.fmt(f),
            Self::BranchStack => f.write_str("contains samples with branch stack"),
            Self::PmuMappings(pmus) if pmus.is_empty() => f.write_str("pmu mappings: not available"),
            Self::PmuMappings(pmus) => pmus.iter().enumerate().try_for_each(|(index, pmu)| {
                write!(f, "{}{pmu}", if index == 0 { "pmu mappings: " } else { ", " })
            }),
            Self::Stat => f.write_str("contains stat data"),
            Self::SampleTime(times) => times.fmt(f),
            Self::MemoryTopology(topology) => topology.fmt(f),
            Self::ClockResolution(ns) => write!(f, "clockid frequency: {} MHz", ns.saturating_mul(1000)),
            Self::ClockData(clock) => clock.fmt(f),
            Self::DirFormat(version) => write!(f, "directory data version : {version}"),
            Self::Compressed(compression) => compression.fmt(f),
            Self::ElfMachine(machine) => machine.fmt(f),
            Self::CacheLineSize(size) => write!(f, "cacheline size: {size}"),
            Self::Bytes(Feature::AUXTRACE, _) => {
                f.write_str("contains AUX area data (e.g. instruction trace)")
            }
            Self::Bytes(feature, bytes) => write!(f, "{feature}: {} bytes", bytes.len()),
            _ => Ok(()),
        }
    }
}

/// An event a line, up to the config: perf goes on with the rest of the attr.
fn described(events: &[EventInfo], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut lines = SeparateLines::new(f);
    events.iter().try_for_each(|EventInfo { attr, ids, name }| {
        let ids: Vec<_> = ids.iter().map(|id| format!(" {id}")).collect();
        let ids = if ids.is_empty() { String::new() } else { format!(", id = {{{} }}", ids.join(",")) };
        let fields = &attr.fields;
        let config =
            if fields.config == 0 { String::new() } else { format!(", config = {:#x}", fields.config) };
        let (kind, size) = (fields.kind, fields.size);
        lines.line(format_args!("event : name = {name}, {ids}, type = {kind}, size = {size}{config}"))
    })
}
