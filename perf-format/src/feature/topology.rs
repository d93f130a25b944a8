//! The features that describe the machine's parts: CPUs and their caches, memory, and what shares what.

use std::fmt;

use bstr::BString;

use super::read::{FeatureParts, Part};
use crate::codec::{FieldError, Problem};

/// NRCPUS: how many CPUs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuCounts {
    /// Those that may come online.
    pub available: u32,
    /// Those that were online.
    pub online: u32,
}

impl CpuCounts {
    pub(super) fn read(parts: &mut FeatureParts<'_>) -> Part<Self> {
        Ok(Self { available: parts.word("available CPUs")?, online: parts.word("online CPUs")? })
    }
}

impl fmt::Display for CpuCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nrcpus online : {}\nnrcpus avail : {}", self.online, self.available)
    }
}

/// CPU_TOPOLOGY: which CPUs share a socket, a die or a core. The lists are of CPUs, as `0-3,8`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuTopology {
    /// The CPUs of each socket.
    pub sockets: Vec<BString>,
    /// The CPUs of each die; none where the recorder did not know of dies (before Linux 5.3).
    pub dies: Vec<BString>,
    /// The CPUs of each core: its threads.
    pub cores: Vec<BString>,
    /// Where each CPU is, by its number; none where the recorder did not say.
    pub cpus: Vec<CpuPlace>,
}

/// Where a CPU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuPlace {
    /// The core's id in its socket; -1 where it is not known.
    pub core: i32,
    /// The die's id in its socket.
    pub die: Option<i32>,
    /// The socket's id.
    pub socket: i32,
}

impl CpuTopology {
    /// Reads the topology of so many CPUs.
    pub(super) fn read(parts: &mut FeatureParts<'_>, cpus: u32) -> Part<Self> {
        let (sockets, cores) = (parts.texts("count of sockets")?, parts.texts("count of cores")?);
        let mut topology = Self { sockets, dies: Vec::new(), cores, cpus: Vec::new() };
        if parts.is_at_end() {
            return Ok(topology);
        }
        topology.cpus = parts.times(cpus.into(), |parts| {
            Ok(CpuPlace { core: parts.word("core id")?, die: None, socket: parts.word("socket id")? })
        })?;
        if parts.is_at_end() {
            return Ok(topology);
        }
        topology.dies = parts.texts("count of dies")?;
        for cpu in &mut topology.cpus {
            cpu.die = Some(parts.word("die id")?);
        }
        Ok(topology)
    }
}

impl fmt::Display for CpuTopology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = SeparateLines::new(f);
        for (what, lists) in
            [("sockets :", &self.sockets), ("dies    :", &self.dies), ("threads :", &self.cores)]
        {
            lists.iter().try_for_each(|list| lines.line(format_args!("sibling {what} {list}")))?;
        }
        for (number, CpuPlace { core, die, socket }) in self.cpus.iter().enumerate() {
            match die {
                Some(die) => lines
                    .line(format_args!("CPU {number}: Core ID {core}, Die ID {die}, Socket ID {socket}"))?,
                None => lines.line(format_args!("CPU {number}: Core ID {core}, Socket ID {socket}"))?,
            }
        }
        Ok(())
    }
}

/// A node of NUMA_TOPOLOGY: CPUs and the memory that is near to them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NumaNode {
    /// The node's number.
    pub node: u32,
    /// Its memory, in KiB.
    pub total: u64,
    /// What of it was free when the recording ended, in KiB.
    pub free: u64,
    /// Its CPUs, as `0-3,8`.
    pub cpus: BString,
}

impl NumaNode {
    pub(super) fn read(parts: &mut FeatureParts<'_>) -> Part<Self> {
        Ok(Self {
            node: parts.word("node")?,
            total: parts.word("memory of a node")?,
            free: parts.word("free memory of a node")?,
            cpus: parts.text("CPUs of a node")?,
        })
    }
}

impl fmt::Display for NumaNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, total, free, cpus } = self;
        writeln!(f, "node{node} meminfo  : total = {total} kB, free = {free} kB")?;
        write!(f, "node{node} cpu list : {cpus}")
    }
}

/// MEM_TOPOLOGY: which blocks of memory are in which node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryTopology {
    /// Bytes of a block.
    pub block_size: u64,
    /// The nodes.
    pub nodes: Vec<MemoryNode>,
}

/// A node of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryNode {
    /// The node's number.
    pub node: u64,
    /// A bit for each block of the machine, from the lowest of the first word on: whether the node has it.
    pub blocks: Vec<u64>,
}

impl MemoryTopology {
    pub(super) fn read(parts: &mut FeatureParts<'_>) -> Part<Self> {
        version("version", parts.word::<u64>("version")?)?;
        let block_size = parts.word("block size")?;
        let count: u64 = parts.word("count of nodes")?;
        let nodes = parts.times(count, |parts| {
            let node = parts.word("memory node")?;
            let (_, bits): (u64, u64) = (parts.word("blocks of a node")?, parts.word("bits of a node")?);
            let blocks = parts.times(bits.div_ceil(64), |parts| parts.word("bits of a node"))?;
            Ok(MemoryNode { node, blocks })
        })?;
        Ok(Self { block_size, nodes })
    }
}

impl MemoryNode {
    /// The numbers of the node's blocks as ranges, as much of them as perf prints.
    fn ranges(&self) -> String {
        let bits = (0u64..).zip(self.blocks.iter()).flat_map(|(word, bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 != 0).map(move |bit| word * 64 + bit)
        });
        let mut bits = bits.peekable();
        let mut ranges = String::new();
        while let Some(start) = bits.next().filter(|_| ranges.len() < RANGES_AT_MOST) {
            let mut end = start;
            while bits.next_if_eq(&(end + 1)).is_some() {
                end += 1;
            }
            let comma = if ranges.is_empty() { "" } else { "," };
            ranges += &if end > start { format!("{comma}{start}-{end}") } else { format!("{comma}{start}") };
        }
        ranges.truncate(RANGES_AT_MOST);
        ranges
    }
}

/// perf's buffer for them has 100 bytes with its NUL.
const RANGES_AT_MOST: usize = 99;

impl fmt::Display for MemoryTopology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { block_size, nodes } = self;
        write!(f, "memory nodes (nr {}, block size {block_size:#x}):", nodes.len())?;
        for node in nodes {
            let count: u64 = node.blocks.iter().map(|word| u64::from(word.count_ones())).sum();
            let (mut size, mut unit) = (block_size.saturating_mul(count), 0);
            while size / 1024 > 1 && unit < 3 {
                (size, unit) = (size / 1024, unit + 1);
            }
            let unit = ["B", "K", "M", "G"].get(unit).copied().unwrap_or_default();
            write!(f, "\n {:>3} [{size}{unit}]: {}", node.node, node.ranges())?;
        }
        Ok(())
    }
}

/// A cache of a CPU, of the CACHE feature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuCache {
    /// How far from the CPU: 1 is the nearest.
    pub level: u32,
    /// Bytes of a line.
    pub line_size: u32,
    /// Sets.
    pub sets: u32,
    /// Ways of a set.
    pub ways: u32,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: BString,
    /// How large it is, as sysfs has it: `32K`.
    pub size: BString,
    /// The CPUs that share it, as `0-3,8`.
    pub cpus: BString,
}

impl CpuCache {
    pub(super) fn read_all(parts: &mut FeatureParts<'_>) -> Part<Vec<Self>> {
        version("version", parts.word::<u32>("version")?.into())?;
        parts.list("count of caches", |parts| {
            Ok(Self {
                level: parts.word("level of a cache")?,
                line_size: parts.word("line size of a cache")?,
                sets: parts.word("sets of a cache")?,
                ways: parts.word("ways of a cache")?,
                kind: parts.text("type of a cache")?,
                size: parts.text("size of a cache")?,
                cpus: parts.text("CPUs of a cache")?,
            })
        })
    }
}

impl fmt::Display for CpuCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, kind, size, cpus, .. } = self;
        write!(f, " L{level} {kind:<15} {size:>8} [{cpus}]")
    }
}

/// E_MACHINE: what ELF files of the machine say in their header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElfMachine {
    /// `e_machine`, `EM_*`.
    pub machine: u32,
    /// `e_flags`.
    pub flags: u32,
}

impl ElfMachine {
    pub(super) fn read(parts: &mut FeatureParts<'_>) -> Part<Self> {
        Ok(Self { machine: parts.word("machine")?, flags: parts.word("flags")? })
    }
}

impl fmt::Display for ElfMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e_machine : {}\n  e_flags : {}", self.machine, self.flags)
    }
}

/// Features with a version have had one so far.
pub(super) fn version(field: &'static str, version: u64) -> Part<()> {
    if version == 1 { Ok(()) } else { Err(FieldError { field, problem: Problem::Value(version) }) }
}

/// SeparateLines, each but the first with a newline before it.
pub(super) struct SeparateLines<'f, 'o> {
    f: &'f mut fmt::Formatter<'o>,
    is_first: bool,
}

impl<'f, 'o> SeparateLines<'f, 'o> {
    pub(super) fn new(f: &'f mut fmt::Formatter<'o>) -> Self {
        Self { f, is_first: true }
    }

    pub(super) fn line(&mut self, line: impl fmt::Display) -> fmt::Result {
        let newline = if std::mem::take(&mut self.is_first) { "" } else { "\n" };
        write!(self.f, "{newline}{line}")
    }
}
