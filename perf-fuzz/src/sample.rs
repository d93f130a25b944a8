//! `sample`: samples and trailers of any event; the quick look at a field agrees with the full one.

use arbitrary::{Result, Unstructured};
use perf_format::attr::{AttrFields, AttrFlags, BranchSampleType, ReadFormat, SampleType};
use perf_format::sample::frames;
use perf_format::{
    Attr, Endian, Error, Misc, RawRecord, RecordHeader, RecordType, Sample, SampleFormat, SampleId,
};

/// A byte order, an attr, a misc word, and the body of a sample, which is read as the body of a map too.
pub fn sample(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok((endian, format, misc)) = event(&mut u) else { return };
    let body = u.take_rest();
    let body = &body[..body.len().min(usize::from(u16::MAX) - RecordHeader::SIZE)];
    let bytes = |record_type| {
        let size = u16::try_from(RecordHeader::SIZE + body.len()).unwrap_or(u16::MAX);
        [&RecordHeader { record_type, misc, size }.to_bytes(endian), body].concat()
    };
    of_sample(&format, &RawRecord::first(&bytes(RecordType::SAMPLE), 0, endian).expect("a whole record"));
    of_trailer(&format, &RawRecord::first(&bytes(RecordType::MMAP2), 0, endian).expect("a whole record"));
}

fn event(u: &mut Unstructured<'_>) -> Result<(Endian, SampleFormat, Misc)> {
    let flags: u8 = u.arbitrary()?;
    let bit = |bit: u8, set: BranchSampleType| {
        if flags >> bit & 1 == 1 { set } else { BranchSampleType::empty() }
    };
    let fields = AttrFields {
        sample_type: SampleType::from_bits_retain(u.arbitrary::<u32>()?.into()),
        read_format: ReadFormat::from_bits_retain(u.arbitrary::<u8>()?.into()),
        flags: if flags & 2 == 0 { AttrFlags::empty() } else { AttrFlags::SAMPLE_ID_ALL },
        branch_sample_type: bit(2, BranchSampleType::HW_INDEX) | bit(3, BranchSampleType::COUNTERS),
        sample_regs_user: u.arbitrary()?,
        sample_regs_intr: u.arbitrary()?,
        ..AttrFields::default()
    };
    let format = SampleFormat::new(&Attr { fields, tail: Vec::new() });
    let endian = if flags & 1 == 0 { Endian::Little } else { Endian::Big };
    Ok((endian, format, Misc(u.arbitrary()?)))
}

fn of_sample(format: &SampleFormat, raw: &RawRecord<'_>) {
    let quick = (format.ip(raw), format.tid(raw), format.time(raw));
    let id = format.id_offset().and_then(|at| raw.endian.u64_at(raw.bytes, at));
    let callchain = format.callchain(raw);
    if let Ok(Some(chain)) = callchain {
        assert!(chain.len() * 8 <= raw.bytes.len());
        assert!(frames(chain, raw.misc().cpumode()).count() <= chain.len());
    }
    match Sample::parse(format, raw) {
        Ok(sample) => {
            assert_eq!((sample.ip, sample.tid, sample.time), quick);
            assert_eq!(sample.identifier.or(sample.id), id);
            assert_eq!(sample.callchain, callchain.expect("the full look found it"));
            assert_eq!(sample.to_bytes(format, raw.endian), raw.bytes[8..], "written as it was");
        }
        Err(error) => assert!(matches!(error, Error::Malformed { offset: 0, .. }), "{error}"),
    }
}

fn of_trailer(format: &SampleFormat, raw: &RawRecord<'_>) {
    let quick = (format.trailer_tid(raw), format.trailer_time(raw));
    let id = format.trailer_id_offset().and_then(|from_end| raw.bytes.len().checked_sub(from_end));
    let id = id.and_then(|at| raw.endian.u64_at(raw.bytes, at));
    match SampleId::parse(format, raw) {
        Ok(trailer) => {
            assert_eq!((trailer.tid, trailer.time), quick);
            assert_eq!(trailer.identifier.or(trailer.id), id);
            let start = raw.bytes.len() - format.trailer_len();
            assert_eq!(trailer.to_bytes(format, raw.endian), raw.bytes[start..], "written as it was");
        }
        Err(error) => {
            assert!(matches!(error, Error::Malformed { offset: 0, .. }), "{error}");
            assert!(raw.bytes.len() < RecordHeader::SIZE + format.trailer_len(), "{error}");
        }
    }
}
