//! Samples and the `sample_id` trailer of other records: a layout that the attr's `sample_type` decides.
//!
//! [`SampleFormat`] knows where fields stand. The few fields that are read of every sample have offsets that are worked
//! out once; [`Sample`] reads and writes all fields.

use crate::attr::{Attr, AttrFlags, BranchSampleType, ReadFormat, SampleType};
use crate::codec::{Array, Decoder, FieldError};
use crate::record::{RawRecord, RecordHeader};
use crate::{Endian, Error, RecordType};

mod addresses;
mod body;
mod branch_flags;
mod context;
mod data_source;
mod fields;
mod read_values;
mod registers;
mod show;

pub use addresses::{Address, AddressKind, Addresses};
pub use body::{Sample, SampleId};
pub use branch_flags::{BranchFlags, BranchKind, BranchPrivilege, BranchSpeculation};
pub use context::{Frame, frames, frames_of};
pub use data_source::{DataSource, MemBlocked, MemLevel, MemLevels, MemLock, MemOp, MemSnoop, MemTlb};
pub use fields::{AuxData, Branch, BranchStack, Cpu, Raw, Regs, StackDump, Tid, WeightStruct};
pub use read_values::{ReadValue, ReadValues};
pub use registers::Arch;
pub use show::SampleContext;

/// How the records of an event are laid out, which its attr decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleFormat {
    /// The fields that a sample holds.
    pub sample_type: SampleType,
    /// The fields that a counter's value holds.
    pub read_format: ReadFormat,
    branch_sample_type: BranchSampleType,
    regs_user: u64,
    regs_intr: u64,
    sample_id_all: bool,
    ip: Option<usize>,
    tid: Option<usize>,
    time: Option<usize>,
    id: Option<usize>,
    after_fixed: usize,
}

/// Offsets of fields in a sample, in bytes from the record's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldOffsets {
    /// The address.
    pub ip: usize,
    /// The process, and four bytes behind it the thread.
    pub tid: usize,
    /// The time.
    pub time: usize,
    /// The number of addresses in the chain, and behind it the addresses; `None` where there are no chains.
    pub callchain: Option<usize>,
}

const FIXED: [SampleType; 9] = SampleFormat::FIXED;

/// The fields of a `sample_id`, each of eight bytes, in their order.
const TRAILER: [SampleType; 6] = [
    SampleType::TID,
    SampleType::TIME,
    SampleType::ID,
    SampleType::STREAM_ID,
    SampleType::CPU,
    SampleType::IDENTIFIER,
];

impl SampleFormat {
    /// The fields of a sample before any of variable length, each of eight bytes, in their order.
    pub const FIXED: [SampleType; 9] = [
        SampleType::IDENTIFIER,
        SampleType::IP,
        SampleType::TID,
        SampleType::TIME,
        SampleType::ADDR,
        SampleType::ID,
        SampleType::STREAM_ID,
        SampleType::CPU,
        SampleType::PERIOD,
    ];

    /// The layout of an attr's records.
    #[must_use]
    pub fn new(attr: &Attr) -> Self {
        let fields = &attr.fields;
        let has = |field| fields.sample_type.contains(field);
        let before =
            |field| FIXED.iter().take_while(|other| **other != field).filter(|other| has(**other)).count();
        let at = |field| has(field).then(|| RecordHeader::SIZE + 8 * before(field));
        Self {
            sample_type: fields.sample_type,
            read_format: fields.read_format,
            branch_sample_type: fields.branch_sample_type,
            regs_user: fields.sample_regs_user,
            regs_intr: fields.sample_regs_intr,
            sample_id_all: fields.flags.contains(AttrFlags::SAMPLE_ID_ALL),
            ip: at(SampleType::IP),
            tid: at(SampleType::TID),
            time: at(SampleType::TIME),
            id: at(SampleType::IDENTIFIER).or(at(SampleType::ID)),
            after_fixed: RecordHeader::SIZE + 8 * FIXED.iter().filter(|field| has(**field)).count(),
        }
    }

    /// The address of a sample.
    #[must_use]
    #[inline]
    pub fn ip(&self, sample: &RawRecord<'_>) -> Option<u64> {
        sample.endian.u64_at(sample.bytes, self.ip?)
    }

    /// The process and thread of a sample.
    #[must_use]
    #[inline]
    pub fn tid(&self, sample: &RawRecord<'_>) -> Option<Tid> {
        let at = self.tid?;
        let word = |at| sample.endian.u32_at(sample.bytes, at);
        Some(Tid { pid: word(at)?, tid: word(at + 4)? })
    }

    /// The time of a sample, in ns.
    #[must_use]
    #[inline]
    pub fn time(&self, sample: &RawRecord<'_>) -> Option<u64> {
        sample.endian.u64_at(sample.bytes, self.time?)
    }

    /// The offsets of the fields that are read of every sample, if they are the same in all samples.
    #[must_use]
    #[inline]
    pub fn field_offsets(&self) -> Option<FieldOffsets> {
        let has = |field| self.sample_type.contains(field);
        let callchain = has(SampleType::CALLCHAIN).then_some(self.after_fixed);
        // What a counter's value holds is of no fixed length, and stands before the chain.
        let offsets = FieldOffsets { ip: self.ip?, tid: self.tid?, time: self.time?, callchain };
        (callchain.is_none() || !has(SampleType::READ)).then_some(offsets)
    }

    /// The bytes of a sample's header and of the fields behind it that have a word each, in front of all others.
    #[must_use]
    pub fn fixed_len(&self) -> usize {
        self.after_fixed
    }

    /// The mask of the user registers in a sample, `sample_regs_user` of the attr.
    #[must_use]
    pub fn user_registers(&self) -> u64 {
        self.regs_user
    }

    /// Where in a sample the event's id stands, in bytes from the record's start.
    #[must_use]
    pub fn id_offset(&self) -> Option<usize> {
        self.id
    }

    /// Where in a sample one of the [fixed fields](Self::FIXED) stands, in bytes from the record's start. `None` where the
    /// event does not have it.
    #[must_use]
    pub fn field_offset(&self, field: SampleType) -> Option<usize> {
        let before = FIXED.iter().position(|other| *other == field)?;
        let has = |field: &&SampleType| self.sample_type.contains(**field);
        let before = FIXED.iter().take(before).filter(has).count();
        has(&&field).then_some(RecordHeader::SIZE + 8 * before)
    }

    /// The RAW data of a sample, a tracepoint's fields ([`EventFormat`](crate::EventFormat) reads them). `None` where the
    /// event has none.
    ///
    /// # Errors
    /// [`Error::Malformed`] where they do not fit in the record.
    pub fn raw<'a>(&self, sample: &RawRecord<'a>) -> Result<Option<&'a [u8]>, Error> {
        if !self.sample_type.contains(SampleType::RAW) {
            return Ok(None);
        }
        // Nearly all samples are of this kind: a chain, and the data behind it.
        let has = |field| self.sample_type.contains(field);
        if has(SampleType::CALLCHAIN) && !has(SampleType::READ) {
            let words =
                sample.endian.u64_at(sample.bytes, self.after_fixed).and_then(|n| usize::try_from(n).ok());
            let at = words.and_then(|words| words.checked_mul(8)?.checked_add(self.after_fixed + 8));
            let raw = at.and_then(|at| {
                let len = usize::try_from(sample.endian.u32_at(sample.bytes, at)?).ok()?;
                sample.bytes.get(at + 4..)?.get(..len)
            });
            if let Some(raw) = raw {
                return Ok(Some(raw));
            }
        }
        let mut d = Decoder::new(sample.bytes, self.after_fixed, sample.endian, sample.misc());
        let mut raw = || {
            if self.sample_type.contains(SampleType::READ) {
                ReadValues::read(self.read_format, &mut d)
                    .map_err(|problem| FieldError { field: "read", problem })?;
            }
            if self.sample_type.contains(SampleType::CALLCHAIN) {
                d.field::<Array<'_, u64>>("callchain")?;
            }
            d.field("raw").map(|Raw(raw)| raw)
        };
        raw().map(Some).map_err(|error| Error::malformed(sample.offset, RecordType::SAMPLE, error))
    }

    /// The call chain of a sample, innermost address first, with the markers in it ([`frames`] reads them).
    /// `None` where the event has no chains.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the chain does not fit in the record.
    pub fn callchain<'a>(&self, sample: &RawRecord<'a>) -> Result<Option<Array<'a, u64>>, Error> {
        if !self.sample_type.contains(SampleType::CALLCHAIN) {
            return Ok(None);
        }
        let mut d = Decoder::new(sample.bytes, self.after_fixed, sample.endian, sample.misc());
        let mut chain = || {
            if self.sample_type.contains(SampleType::READ) {
                ReadValues::read(self.read_format, &mut d)
                    .map_err(|problem| FieldError { field: "read", problem })?;
            }
            d.field("callchain")
        };
        chain().map(Some).map_err(|error| Error::malformed(sample.offset, RecordType::SAMPLE, error))
    }

    /// The length in bytes of the `sample_id` behind every record of the kernel but samples.
    #[must_use]
    pub fn trailer_len(&self) -> usize {
        if !self.sample_id_all {
            return 0;
        }
        8 * TRAILER.iter().filter(|field| self.sample_type.contains(**field)).count()
    }

    /// The `sample_id` of a record: the trailer that it has, or, of a sample, the one that another record of the same
    /// moment would have. `None` where the record is too short for it.
    #[must_use]
    pub fn sample_id(&self, record: &RawRecord<'_>) -> Option<Vec<u8>> {
        if record.record_type() != RecordType::SAMPLE {
            let body = record.bytes.get(RecordHeader::SIZE..)?;
            return Some(body.get(body.len().checked_sub(self.trailer_len())?..)?.to_vec());
        }
        if !self.sample_id_all {
            return Some(Vec::new());
        }
        let has = |field: &&SampleType| self.sample_type.contains(**field);
        let at = |field| {
            let before = FIXED.iter().take_while(|other| **other != field).filter(has).count();
            RecordHeader::SIZE + 8 * before
        };
        let fields = TRAILER.iter().filter(has).map(|field| record.bytes.get(at(*field)..)?.get(..8));
        Some(fields.collect::<Option<Vec<_>>>()?.concat())
    }

    /// The values of a READ record.
    ///
    /// # Errors
    /// [`Error::Malformed`] where they do not fit in the record.
    pub fn read_values(&self, record: &RawRecord<'_>) -> Result<ReadValues, Error> {
        let end = record.bytes.len().saturating_sub(self.trailer_len());
        let body = record.bytes.get(..end).unwrap_or_default();
        // Behind the process and the thread.
        let mut d = Decoder::new(body, RecordHeader::SIZE + 8, record.endian, record.misc());
        ReadValues::read(self.read_format, &mut d)
            .map_err(|problem| FieldError { field: "values", problem })
            .map_err(|error| Error::malformed(record.offset, record.record_type(), error))
    }

    /// The distance in bytes from the end of a record to the field of its trailer.
    fn trailer_offset(&self, field: SampleType) -> Option<usize> {
        if !self.sample_id_all || !self.sample_type.contains(field) {
            return None;
        }
        let from = TRAILER.iter().position(|other| *other == field)?;
        let behind = TRAILER.iter().skip(from).filter(|other| self.sample_type.contains(**other)).count();
        Some(8 * behind)
    }

    /// The distance in bytes from the end of a record to the event's id in its trailer.
    #[must_use]
    pub fn trailer_id_offset(&self) -> Option<usize> {
        self.trailer_offset(SampleType::IDENTIFIER).or_else(|| self.trailer_offset(SampleType::ID))
    }

    /// The time of a record that is no sample, in ns, from its trailer.
    #[must_use]
    pub fn trailer_time(&self, record: &RawRecord<'_>) -> Option<u64> {
        let at = record.bytes.len().checked_sub(self.trailer_offset(SampleType::TIME)?)?;
        record.endian.u64_at(record.bytes, at).filter(|_| at >= RecordHeader::SIZE)
    }

    /// Writes another time, in ns, into a trailer, if it has one.
    pub fn put_trailer_time(&self, trailer: &mut [u8], time: u64, endian: Endian) {
        let at = self.trailer_offset(SampleType::TIME).and_then(|at| trailer.len().checked_sub(at));
        if let Some(place) = at.and_then(|at| trailer.get_mut(at..)?.first_chunk_mut()) {
            *place = endian.put_u64(time);
        }
    }

    /// The process and thread in the trailer of a record that is no sample.
    #[must_use]
    pub fn trailer_tid(&self, record: &RawRecord<'_>) -> Option<Tid> {
        let at = record.bytes.len().checked_sub(self.trailer_offset(SampleType::TID)?)?;
        Decoder::new(record.bytes, at, record.endian, record.misc())
            .get()
            .ok()
            .filter(|_| at >= RecordHeader::SIZE)
    }
}
