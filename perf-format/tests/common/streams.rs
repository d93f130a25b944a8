//! Generated streams: the same steps in either byte order.

use perf_format::attr::{AttrFlags, SampleType};
use perf_format::record::{Auxtrace, BuildIdRecord, HeaderFeature, MapFile, SizedBuildId};
use perf_format::testing::{At, StreamBuilder, attr};
use perf_format::{Attr, BuildId, CpuMode, Endian, Feature, Misc, Record, RecordType};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::examples::examples;

/// One step of a stream.
#[derive(Debug, Clone)]
enum Step {
    Mmap2(At, String, Option<BuildId>),
    Fork(At),
    Exec(At, String),
    Sample(At, Vec<u64>),
    BuildId(BuildId, String),
    Round,
    /// A feature that is a text.
    Hostname(String),
    /// The n-th example.
    Example(usize, At),
    Unknown(u32, Vec<u8>, At),
    TracingData(Vec<u8>),
    Auxtrace(Vec<u8>),
}

/// A recording in no byte order yet.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    attr: Attr,
    steps: Vec<Step>,
}

/// A recording of an event with any of the fields that [`StreamBuilder`] fills, with trailers or without.
pub(crate) fn recording() -> impl Strategy<Value = Recording> {
    let fields = [
        SampleType::IP,
        SampleType::TID,
        SampleType::TIME,
        SampleType::PERIOD,
        SampleType::CALLCHAIN,
        SampleType::ID,
        SampleType::IDENTIFIER,
    ];
    let sample_type = any::<[bool; 7]>().prop_map(move |has| {
        fields.into_iter().zip(has).filter(|(_, has)| *has).map(|(field, _)| field).collect::<SampleType>()
    });
    (sample_type, any::<bool>(), vec(step(), 0..16)).prop_map(|(sample_type, sample_id_all, steps)| {
        let mut attr = attr(sample_type);
        attr.fields.flags.set(AttrFlags::SAMPLE_ID_ALL, sample_id_all);
        Recording { attr, steps }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let at = || (1u32..9, any::<u32>(), any::<u64>()).prop_map(|(pid, tid, time)| At { pid, tid, time });
    let name = || "[a-z/.]{0,20}";
    let id =
        || vec(any::<u8>(), 1..=20).prop_filter_map("zeros are no id", |bytes| BuildId::new(&bytes).ok());
    let bytes = || vec(any::<u8>(), 0..60);
    // A payload's length is a multiple of eight.
    let payload = || vec(any::<[u8; 8]>(), 0..12).prop_map(|words| words.concat());
    prop_oneof![
        (at(), name(), prop::option::of(id())).prop_map(|(at, name, id)| Step::Mmap2(at, name, id)),
        at().prop_map(Step::Fork),
        (at(), name()).prop_map(|(at, name)| Step::Exec(at, name)),
        (at(), vec(any::<u64>(), 0..6)).prop_map(|(at, chain)| Step::Sample(at, chain)),
        (id(), name()).prop_map(|(id, name)| Step::BuildId(id, name)),
        Just(Step::Round),
        name().prop_map(Step::Hostname),
        (0..RecordType::ALL.len(), at()).prop_map(|(which, at)| Step::Example(which, at)),
        // Numbers whose bytes are those of a text are none of types.
        (prop_oneof![23u32..64, 87u32..0x0900_0000], bytes(), at())
            .prop_map(|(number, body, at)| Step::Unknown(number, body, at)),
        payload().prop_map(Step::TracingData),
        payload().prop_map(Step::Auxtrace),
    ]
}

impl Recording {
    /// The recording as a machine of this byte order would have made it.
    pub(crate) fn stream(&self, endian: Endian) -> Vec<u8> {
        let start = StreamBuilder::new(endian).attr(&self.attr, &[1]);
        self.steps.iter().fold(start, |stream, step| step.add(stream, endian)).bytes()
    }
}

impl Step {
    fn add(&self, stream: StreamBuilder, endian: Endian) -> StreamBuilder {
        match self {
            Self::Mmap2(at, name, id) => match id {
                None => stream.mmap2(*at, 0x1000, 0x2000, name),
                id => stream.mapped(*at, 0x1000, 0x2000, name, MapFile::BuildId(*id)),
            },
            Self::Fork(at) => stream.fork(*at, 1),
            Self::Exec(at, name) => stream.exec(*at, name),
            Self::Sample(at, chain) => stream.sample(CpuMode::User, *at, 0x1234, chain),
            Self::BuildId(id, name) => {
                let record = BuildIdRecord {
                    pid: 7,
                    build_id: SizedBuildId(Some(*id)),
                    filename: name.as_bytes().into(),
                };
                stream.record(Misc::of(CpuMode::GuestKernel), &Record::BuildId(record))
            }
            Self::Round => stream.finished_round(),
            Self::Hostname(name) => {
                let len = endian.put_u32(u32::try_from(name.len()).unwrap());
                let data = [&len, name.as_bytes()].concat();
                let feat_id = Feature::HOSTNAME.0.into();
                stream.record(Misc::default(), &Record::HeaderFeature(HeaderFeature { feat_id, data: &data }))
            }
            Self::Example(which, at) => {
                let (record, _) = examples(endian).swap_remove(*which);
                match record {
                    // Samples of this event and records with their payloads are steps of their own.
                    Record::Sample(_) | Record::TracingData(_) | Record::Auxtrace(_) => stream,
                    record => traced(stream, &record, *at),
                }
            }
            Self::Unknown(number, body, at) => traced(stream, &Record::Other(RecordType(*number), body), *at),
            Self::TracingData(payload) => stream.tracing_data(payload),
            Self::Auxtrace(payload) => {
                let record = Auxtrace { size: payload.len() as u64, idx: 1, ..Auxtrace::default() };
                stream.record(Misc::default(), &Record::Auxtrace(record)).raw(payload)
            }
        }
    }
}

/// The record, with a trailer if the kernel would write one.
fn traced(stream: StreamBuilder, record: &Record<'_>, at: At) -> StreamBuilder {
    match record.record_type().is_kernel() {
        true => stream.traced(Misc::default(), record, at),
        false => stream.record(Misc::default(), record),
    }
}
