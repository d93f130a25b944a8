//! Where the data of a sampled memory access came from, as `perf mem record` asks.

use std::fmt;

use bitflags::bitflags;

use crate::codec::{Codec, Decoder, Encoder, Problem};

/// `union perf_mem_data_src`: a word of bit-fields. Its declaration has them at the same bits of the word in either byte
/// order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DataSource(pub u64);

bitflags! {
    /// `PERF_MEM_OP_*`: what the instruction did.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct MemOp: u8 {
        /// It is not known.
        const NA = 1;
        /// It loaded.
        const LOAD = 2;
        /// It stored.
        const STORE = 4;
        /// It prefetched.
        const PREFETCH = 8;
        /// The instruction itself was read.
        const EXEC = 16;
    }

    /// `PERF_MEM_LVL_*`: where the data was, and whether it was found there. [`DataSource::level`] says it in a newer way, which
    /// newer kernels fill, too.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct MemLevels: u16 {
        /// It is not known.
        const NA = 1;
        /// It was found there.
        const HIT = 2;
        /// It was not.
        const MISS = 4;
        /// The first cache.
        const L1 = 8;
        /// The line fill buffer.
        const LFB = 0x10;
        /// The second cache.
        const L2 = 0x20;
        /// The third cache.
        const L3 = 0x40;
        /// The node's own memory.
        const LOCAL_RAM = 0x80;
        /// Memory one hop away.
        const REMOTE_RAM_1 = 0x100;
        /// Memory two hops away.
        const REMOTE_RAM_2 = 0x200;
        /// A cache one hop away.
        const REMOTE_CACHE_1 = 0x400;
        /// A cache two hops away.
        const REMOTE_CACHE_2 = 0x800;
        /// Memory of a device.
        const IO = 0x1000;
        /// Memory that is not cached.
        const UNCACHED = 0x2000;
    }

    /// `PERF_MEM_SNOOP_*`, and from bit 5 on `PERF_MEM_SNOOPX_*`: whether other caches were asked.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct MemSnoop: u8 {
        /// It is not known.
        const NA = 1;
        /// They were not.
        const NONE = 2;
        /// One had the data.
        const HIT = 4;
        /// None had it.
        const MISS = 8;
        /// One had changed it.
        const HIT_MODIFIED = 16;
        /// It was forwarded.
        const FORWARD = 1 << 5;
        /// A peer gave it.
        const PEER = 1 << 6;
    }

    /// `PERF_MEM_LOCK_*`: whether the access was locked.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct MemLock: u8 {
        /// It is not known.
        const NA = 1;
        /// It was locked.
        const LOCKED = 2;
    }

    /// `PERF_MEM_TLB_*`: how the address was translated.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct MemTlb: u8 {
        /// It is not known.
        const NA = 1;
        /// It was found.
        const HIT = 2;
        /// It was not.
        const MISS = 4;
        /// In the first TLB.
        const L1 = 8;
        /// In the second.
        const L2 = 16;
        /// By the hardware, in the page table.
        const WALKER = 32;
        /// By the system.
        const OS = 64;
    }

    /// `PERF_MEM_BLK_*`: what the access had to wait for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct MemBlocked: u8 {
        /// It is not known.
        const NA = 1;
        /// The data could not be forwarded.
        const DATA = 2;
        /// There was a conflict of addresses.
        const ADDRESS = 4;
    }
}

/// `PERF_MEM_LVLNUM_*`: where the data was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemLevel {
    /// The cache nearest to the core (`L0`).
    L0,
    /// The first cache.
    L1,
    /// The second cache.
    L2,
    /// The third cache.
    L3,
    /// The fourth cache.
    L4,
    /// The buffer of what the second cache missed.
    L2MissBuffer,
    /// A cache at the memory's side.
    MemorySideCache,
    /// Memory that is not cached.
    Uncached,
    /// Memory behind CXL.
    Cxl,
    /// Memory of a device.
    Io,
    /// Some cache.
    AnyCache,
    /// The line fill buffer.
    LineFillBuffer,
    /// Memory.
    Ram,
    /// Persistent memory.
    Pmem,
}

impl DataSource {
    fn field(self, shift: u32, bits: u32) -> u8 {
        u8::try_from(self.0 >> shift & ((1 << bits) - 1)).unwrap_or_default()
    }

    /// What the instruction did.
    #[must_use]
    pub fn op(self) -> MemOp {
        MemOp::from_bits_retain(self.field(0, 5))
    }

    /// Where the data was, in the old way: a set of bits.
    #[must_use]
    pub fn levels(self) -> MemLevels {
        MemLevels::from_bits_retain(u16::try_from(self.0 >> 5 & 0x3fff).unwrap_or_default())
    }

    /// Where the data was, in the new way; `None` where it is not known.
    #[must_use]
    pub fn level(self) -> Option<MemLevel> {
        Some(match self.field(33, 4) {
            1 => MemLevel::L1,
            2 => MemLevel::L2,
            3 => MemLevel::L3,
            4 => MemLevel::L4,
            5 => MemLevel::L2MissBuffer,
            6 => MemLevel::MemorySideCache,
            7 => MemLevel::L0,
            8 => MemLevel::Uncached,
            9 => MemLevel::Cxl,
            10 => MemLevel::Io,
            11 => MemLevel::AnyCache,
            12 => MemLevel::LineFillBuffer,
            13 => MemLevel::Ram,
            14 => MemLevel::Pmem,
            _ => return None,
        })
    }

    /// Whether other caches were asked.
    #[must_use]
    pub fn snoop(self) -> MemSnoop {
        MemSnoop::from_bits_retain(self.field(19, 5) | self.field(38, 2) << 5)
    }

    /// Whether the access was locked.
    #[must_use]
    pub fn lock(self) -> MemLock {
        MemLock::from_bits_retain(self.field(24, 2))
    }

    /// How the address was translated.
    #[must_use]
    pub fn tlb(self) -> MemTlb {
        MemTlb::from_bits_retain(self.field(26, 7))
    }

    /// Whether [`level`](Self::level) is one of another part of the machine.
    #[must_use]
    pub fn is_remote(self) -> bool {
        self.field(37, 1) != 0
    }

    /// What the access had to wait for.
    #[must_use]
    pub fn blocked(self) -> MemBlocked {
        MemBlocked::from_bits_retain(self.field(40, 3))
    }

    /// How far away a remote level is, `PERF_MEM_HOPS_*` less one: 0 is another core of the node, 1 another node of the socket,
    /// 2 another socket of the board, 3 another board. `None` where it is not known.
    #[must_use]
    pub fn hops(self) -> Option<u8> {
        self.field(43, 3).checked_sub(1)
    }

    /// The region of memory, `PERF_MEM_REGION_*` (Linux 7.0); 0 where it is not known.
    #[must_use]
    pub fn region(self) -> u8 {
        self.field(46, 5)
    }
}

impl Codec<'_> for DataSource {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
        d.get().map(Self)
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.put(&self.0);
    }
}

impl fmt::Debug for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSource")
            .field("op", &self.op())
            .field("levels", &self.levels())
            .field("level", &self.level())
            .field("snoop", &self.snoop())
            .field("lock", &self.lock())
            .field("tlb", &self.tlb())
            .field("is_remote", &self.is_remote())
            .field("blocked", &self.blocked())
            .field("hops", &self.hops())
            .field("region", &self.region())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endian;
    use crate::misc::Misc;

    #[test]
    fn every_field_is_found_in_either_byte_order() {
        // A locked load that hit the third cache of another node, which had changed it; a walk of the page table.
        let word: u64 = 2 | 0x42 << 5 | 0x10 << 19 | 2 << 24 | 0x22 << 26 | 3 << 33 | 1 << 37 | 2 << 38;
        let word = word | 4 << 40 | 2 << 43 | 0x0f << 46;
        for endian in [Endian::Little, Endian::Big] {
            let bytes = endian.put_u64(word);
            let source: DataSource = Decoder::new(&bytes, 0, endian, Misc::default()).get().unwrap();
            assert_eq!(source.op(), MemOp::LOAD);
            assert_eq!(source.levels(), MemLevels::HIT | MemLevels::L3);
            assert_eq!(source.level(), Some(MemLevel::L3));
            assert_eq!(source.snoop(), MemSnoop::HIT_MODIFIED | MemSnoop::PEER);
            assert_eq!(source.lock(), MemLock::LOCKED);
            assert_eq!(source.tlb(), MemTlb::HIT | MemTlb::WALKER);
            assert!(source.is_remote());
            assert_eq!(source.blocked(), MemBlocked::ADDRESS);
            assert_eq!((source.hops(), source.region()), (Some(1), 15));
        }
    }

    #[test]
    fn what_is_not_known_is_none() {
        assert_eq!((DataSource(0).level(), DataSource(0).hops()), (None, None));
        assert_eq!(DataSource(15 << 33).level(), None);
    }
}
