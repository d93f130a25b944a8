//! MMAP2: a map with its protection, and with the inode or the build-id that identifies its file.

use bstr::BStr;

use crate::BuildId;
use crate::codec::{Codec, Decoder, Encoder, Problem, layout};
use crate::record::{Misc, Mmap, RawRecord, RecordType};
use crate::visit::{FieldData, FieldKind, FieldVisitor, VisitField, VisitFields as _};

layout! {
    /// `PERF_RECORD_MMAP2`, `struct perf_record_mmap2`.
    pub struct Mmap2<'a> {
        /// Process (thread group).
        pub pid: u32 as Pid,
        /// Thread.
        pub tid: u32 as Tid,
        /// First address.
        pub start: u64 as Address,
        /// Length in bytes.
        pub len: u64 as Hex,
        /// Offset in the file, in bytes.
        pub pgoff: u64 as Hex,
        /// Device and inode, or a build-id.
        pub file: MapFile,
        /// `PROT_*` bits.
        pub prot: u32 as Prot,
        /// `MAP_*` bits.
        pub flags: u32 as MapFlags,
        /// The file's path, or a name in brackets.
        pub filename: &'a BStr,
    }
}

layout! {
    /// The device and inode of a mapped file, which identify it among the files of its name.
    #[derive(Hash)]
    pub fixed struct Inode {
        /// Device, major number.
        pub maj: u32 as Inode,
        /// Device, minor number.
        pub min: u32 as Inode,
        /// Inode number.
        pub ino: u64 as Inode,
        /// Inode generation.
        pub ino_generation: u64 as Inode,
    }
}

impl<'a> Mmap2<'a> {
    /// `PROT_READ` of mmap(2).
    pub const PROT_READ: u32 = 1;
    /// `PROT_EXEC` of mmap(2).
    pub const PROT_EXEC: u32 = 4;
    /// `MAP_SHARED` of mmap(2): what is written to it is in every process that has it.
    pub const MAP_SHARED: u32 = 1;
    /// `MAP_PRIVATE` of mmap(2): what is written to it stays with the process.
    pub const MAP_PRIVATE: u32 = 2;
    /// `MAP_HUGETLB` of mmap(2): memory of huge pages, which is of no file.
    pub const MAP_HUGETLB: u32 = 0x4_0000;

    /// An MMAP record as MMAP2: its file is unknown, and it is executable unless it is marked as data.
    #[must_use]
    pub fn of_mmap(misc: Misc, map: &Mmap<'a>) -> Self {
        let Mmap { pid, tid, start, len, pgoff, filename } = *map;
        let prot = if misc.has(Misc::MMAP_DATA) { Self::PROT_READ } else { Self::PROT_EXEC };
        let file = MapFile::Inode(Inode::default());
        Self { pid, tid, start, len, pgoff, file, prot, flags: 0, filename }
    }

    /// The map of an MMAP or MMAP2 record.
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::Error::Malformed) where it cannot be one.
    pub fn of_record(record: &RawRecord<'a>) -> Result<Self, crate::Error> {
        match record.record_type() {
            RecordType::MMAP => Ok(Self::of_mmap(record.misc(), &record.parse_as()?)),
            _ => record.parse_as(),
        }
    }
}

/// The union in `struct perf_record_mmap2` that misc bit 14 (`PERF_RECORD_MISC_MMAP_BUILD_ID`) decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapFile {
    /// The file, by its inode.
    Inode(Inode),
    /// The build-id of the file; `None` where the record has room for an id, but a size of 0, or zeros.
    BuildId(Option<BuildId>),
}

impl Codec<'_> for MapFile {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
        if !d.misc.has(Misc::MMAP_BUILD_ID) {
            return d.get().map(Self::Inode);
        }
        let [size, ..] = d.array::<4>()?;
        let bytes = d.array::<{ BuildId::MAX }>()?;
        let id = bytes.get(..usize::from(size).min(BuildId::MAX));
        Ok(Self::BuildId(id.and_then(|id| BuildId::new(id).ok())))
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.misc = e.misc.with(Misc::MMAP_BUILD_ID, matches!(self, Self::BuildId(_)));
        match self {
            Self::Inode(inode) => e.put(inode),
            Self::BuildId(id) => {
                e.bytes(&[id.map_or(0, |id| id.size()), 0, 0, 0]);
                e.bytes(&id.map_or([0; BuildId::MAX], |id| id.padded()));
            }
        }
    }
}

impl VisitField for MapFile {
    fn visit_as(&self, _: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        match self {
            Self::Inode(inode) => inode.visit(v),
            Self::BuildId(id) => {
                let bytes = id.as_ref().map_or(&[][..], |id| id.as_bytes());
                v.field("build_id", kind, FieldData::Bytes(bytes));
            }
        }
    }
}
