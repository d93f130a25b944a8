//! Records: the header, the types, and the raw record, which all crates pass around. The typed views are one file each
//! below this one, and one row each in the table at the end.

use crate::codec::{Decoder, Encoder, FieldError, Layout};
use crate::visit::{FieldData, FieldKind, FieldVisitor, VisitFields};
use crate::{Endian, Error};

pub use crate::misc::{CpuMode, Misc};
pub use crate::raw::{RawRecord, RecordHeader};
pub use crate::record_type::RecordType;

/// One row a record type: its number, its name, the variant and layout, the C structure.
macro_rules! records {
    ($($number:literal $name:ident $variant:ident($($ty:tt)+) $c:literal;)*) => {
        impl RecordType {
            $(#[doc = concat!("`PERF_RECORD_", stringify!($name), "`, `", $c, "`.")]
            pub const $name: Self = Self($number);)*

            /// Every type known here, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name without its `PERF_RECORD_`, if the type is known here.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }

        /// A record's typed view: what [`RawRecord::parse`] gives.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Record<'a> {
            $(#[doc = concat!("`PERF_RECORD_", stringify!($name), "`, `", $c, "`.")]
            $variant($($ty)+),)*
            /// A type not known here, and the bytes after its header.
            Other(RecordType, &'a [u8]),
        }

        impl<'a> Record<'a> {
            /// The type that this record has.
            #[must_use]
            pub fn record_type(&self) -> RecordType {
                match self {
                    $(Self::$variant(_) => RecordType::$name,)*
                    Self::Other(record_type, _) => *record_type,
                }
            }

            fn read(record_type: RecordType, d: &mut Decoder<'a>) -> Result<Self, FieldError> {
                Ok(match record_type.0 {
                    $($number => Self::$variant(<$($ty)+ as Layout<'a>>::read(d)?),)*
                    _ => Self::Other(record_type, d.field("body")?),
                })
            }

            fn tell(&self, v: &mut dyn FieldVisitor) {
                match self {
                    $(Self::$variant(body) => VisitFields::visit(body, v),)*
                    Self::Other(_, body) => VisitFields::visit(body, v),
                }
            }

            fn write(&self, e: &mut Encoder<'_>) {
                match self {
                    $(Self::$variant(body) => Layout::write(body, e),)*
                    Self::Other(_, body) => e.bytes(body),
                }
            }
        }
    };
}

/// Records whose body is an opaque run of bytes or nothing at all are layouts too.
impl<'a> Layout<'a> for &'a [u8] {
    fn read(d: &mut Decoder<'a>) -> Result<Self, FieldError> {
        d.field("body")
    }

    fn write(&self, e: &mut Encoder<'_>) {
        e.bytes(self);
    }
}

/// A body that is nothing but bytes, where it has any.
impl VisitFields for &[u8] {
    fn visit(&self, v: &mut dyn FieldVisitor) {
        if !self.is_empty() {
            v.field("data", FieldKind::Number, FieldData::Bytes(self));
        }
    }
}

/// The fields of the body. Those of a SAMPLE are bytes: [`Sample::visit`](crate::Sample::visit) tells them, with what
/// is known of its event.
impl VisitFields for Record<'_> {
    fn visit(&self, v: &mut dyn FieldVisitor) {
        self.tell(v);
    }
}

impl<'a> RawRecord<'a> {
    /// The typed view. A `sample_id` trailer, if there is one, is left unread.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the bytes cannot be such a record.
    pub fn parse(&self) -> Result<Record<'a>, Error> {
        self.parse_body(self.bytes.len())
    }

    /// The typed view of a record that ends with `trailer_len` bytes of `sample_id`; only layouts that reach to
    /// the record's end (READ) need to know.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the bytes cannot be such a record.
    pub fn parse_before(&self, trailer_len: usize) -> Result<Record<'a>, Error> {
        self.parse_body(self.bytes.len().saturating_sub(trailer_len))
    }

    /// The same, and the bytes between the fields known here and the trailer: padding, or what a newer writer put there.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the bytes cannot be such a record.
    pub fn parse_with_rest(&self, trailer_len: usize) -> Result<(Record<'a>, &'a [u8]), Error> {
        self.parse_up_to(self.bytes.len().saturating_sub(trailer_len))
    }

    fn parse_body(&self, end: usize) -> Result<Record<'a>, Error> {
        self.parse_up_to(end).map(|(record, _)| record)
    }

    fn parse_up_to(&self, end: usize) -> Result<(Record<'a>, &'a [u8]), Error> {
        let body = self.bytes.get(..end).unwrap_or_default();
        let mut d = Decoder::new(body, RecordHeader::SIZE, self.endian, self.header.misc);
        match Record::read(self.header.record_type, &mut d) {
            Ok(record) => Ok((record, d.rest())),
            Err(error) => Err(Error::malformed(self.offset, self.header.record_type, error)),
        }
    }
}

impl Record<'_> {
    /// Appends the record to `out`: header, body and `trailer` (a `sample_id`, or nothing). The misc bits that
    /// depend on the body (an id inside MMAP2, the size byte of BUILD_ID) are set from it.
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`] where the record would be longer than its header can say; `out` is then as it
    /// was.
    pub fn encode(&self, misc: Misc, trailer: &[u8], endian: Endian, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        let mut e = Encoder::new(out, endian, misc);
        e.bytes(&[0; RecordHeader::SIZE]);
        self.write(&mut e);
        e.bytes(trailer);
        let record_type = self.record_type();
        let Ok(size) = u16::try_from(e.len()) else {
            let error = Error::RecordTooLarge { record_type, size: e.len() };
            out.truncate(start);
            return Err(error);
        };
        let header = RecordHeader { record_type, misc: e.misc, size };
        e.patch(0, &header.to_bytes(endian));
        Ok(())
    }
}

mod aux_area;
mod aux_output_hw_id;
mod auxtrace;
mod auxtrace_error;
mod auxtrace_info;
mod bpf_event;
mod bpf_metadata;
mod build_id;
mod callchain_deferred;
mod cgroup;
mod comm;
mod compressed2;
mod cpu_map;
mod event_update;
mod header_attr;
mod header_event_type;
mod header_feature;
mod id_index;
mod itrace_start;
mod ksymbol;
mod lost;
mod lost_samples;
mod mmap;
mod mmap2;
mod namespaces;
mod read;
mod schedstat;
mod stat;
mod stat_config;
mod stat_round;
mod switch_cpu_wide;
mod task;
mod text_poke;
mod thread_map;
mod throttle;
mod time_conv;
mod tracing_data;

pub use aux_area::Aux;
pub use aux_output_hw_id::AuxOutputHwId;
pub use auxtrace::Auxtrace;
pub use auxtrace_error::{AuxtraceError, AuxtraceErrorGuest, AuxtraceErrorHead};
pub use auxtrace_info::AuxtraceInfo;
pub use bpf_event::BpfEvent;
pub use bpf_metadata::{BpfMetadata, BpfMetadataEntry};
pub use build_id::{BuildIdRecord, HOST_PID, SizedBuildId};
pub use callchain_deferred::CallchainDeferred;
pub use cgroup::Cgroup;
pub use comm::Comm;
pub use compressed2::Compressed2;
pub use cpu_map::CpuMap;
pub use event_update::{EventUpdate, Update};
pub use header_attr::HeaderAttr;
pub use header_event_type::HeaderEventType;
pub use header_feature::HeaderFeature;
pub use id_index::{IdIndex, IdIndexEntry, IdIndexGuest};
pub use itrace_start::ItraceStart;
pub use ksymbol::Ksymbol;
pub use lost::Lost;
pub use lost_samples::LostSamples;
pub use mmap::Mmap;
pub use mmap2::{Inode, MapFile, Mmap2};
pub use namespaces::{NamespaceLink, Namespaces};
pub use read::Read;
pub use schedstat::{SchedstatCpu, SchedstatDomain};
pub use stat::Stat;
pub use stat_config::{StatConfig, StatConfigTerm};
pub use stat_round::StatRound;
pub use switch_cpu_wide::SwitchCpuWide;
pub use task::Task;
pub use text_poke::TextPoke;
pub use thread_map::{ThreadMap, ThreadMapEntry};
pub use throttle::Throttle;
pub use time_conv::{TimeConv, TimeConvWrap};
pub use tracing_data::TracingDataRecord;

records! {
    1 MMAP Mmap(Mmap<'a>) "struct perf_record_mmap";
    2 LOST Lost(Lost) "struct perf_record_lost";
    3 COMM Comm(Comm<'a>) "struct perf_record_comm";
    4 EXIT Exit(Task) "struct perf_record_fork";
    5 THROTTLE Throttle(Throttle) "struct perf_record_throttle";
    6 UNTHROTTLE Unthrottle(Throttle) "struct perf_record_throttle";
    7 FORK Fork(Task) "struct perf_record_fork";
    8 READ Read(Read<'a>) "struct perf_record_read";
    9 SAMPLE Sample(&'a [u8]) "struct perf_record_sample";
    10 MMAP2 Mmap2(Mmap2<'a>) "struct perf_record_mmap2";
    11 AUX Aux(Aux) "struct perf_record_aux";
    12 ITRACE_START ItraceStart(ItraceStart) "struct perf_record_itrace_start";
    13 LOST_SAMPLES LostSamples(LostSamples) "struct perf_record_lost_samples";
    14 SWITCH Switch(&'a [u8]) "struct perf_event_header";
    15 SWITCH_CPU_WIDE SwitchCpuWide(SwitchCpuWide) "struct perf_record_switch";
    16 NAMESPACES Namespaces(Namespaces<'a>) "struct perf_record_namespaces";
    17 KSYMBOL Ksymbol(Ksymbol<'a>) "struct perf_record_ksymbol";
    18 BPF_EVENT BpfEvent(BpfEvent) "struct perf_record_bpf_event";
    19 CGROUP Cgroup(Cgroup<'a>) "struct perf_record_cgroup";
    20 TEXT_POKE TextPoke(TextPoke<'a>) "struct perf_record_text_poke_event";
    21 AUX_OUTPUT_HW_ID AuxOutputHwId(AuxOutputHwId) "struct perf_record_aux_output_hw_id";
    22 CALLCHAIN_DEFERRED CallchainDeferred(CallchainDeferred<'a>) "struct perf_record_callchain_deferred";
    64 HEADER_ATTR HeaderAttr(HeaderAttr<'a>) "struct perf_record_header_attr";
    65 HEADER_EVENT_TYPE HeaderEventType(HeaderEventType<'a>) "struct perf_record_header_event_type";
    66 TRACING_DATA TracingData(TracingDataRecord) "struct perf_record_header_tracing_data";
    67 BUILD_ID BuildId(BuildIdRecord<'a>) "struct perf_record_header_build_id";
    68 FINISHED_ROUND FinishedRound(&'a [u8]) "struct perf_event_header";
    69 ID_INDEX IdIndex(IdIndex<'a>) "struct perf_record_id_index";
    70 AUXTRACE_INFO AuxtraceInfo(AuxtraceInfo<'a>) "struct perf_record_auxtrace_info";
    71 AUXTRACE Auxtrace(Auxtrace) "struct perf_record_auxtrace";
    72 AUXTRACE_ERROR AuxtraceError(AuxtraceError<'a>) "struct perf_record_auxtrace_error";
    73 THREAD_MAP ThreadMap(ThreadMap<'a>) "struct perf_record_thread_map";
    74 CPU_MAP CpuMap(CpuMap<'a>) "struct perf_record_cpu_map";
    75 STAT_CONFIG StatConfig(StatConfig<'a>) "struct perf_record_stat_config";
    76 STAT Stat(Stat) "struct perf_record_stat";
    77 STAT_ROUND StatRound(StatRound) "struct perf_record_stat_round";
    78 EVENT_UPDATE EventUpdate(EventUpdate<'a>) "struct perf_record_event_update";
    79 TIME_CONV TimeConv(TimeConv) "struct perf_record_time_conv";
    80 HEADER_FEATURE HeaderFeature(HeaderFeature<'a>) "struct perf_record_header_feature";
    81 COMPRESSED Compressed(&'a [u8]) "struct perf_record_compressed";
    82 FINISHED_INIT FinishedInit(&'a [u8]) "struct perf_event_header";
    83 COMPRESSED2 Compressed2(Compressed2<'a>) "struct perf_record_compressed2";
    84 BPF_METADATA BpfMetadata(BpfMetadata<'a>) "struct perf_record_bpf_metadata";
    85 SCHEDSTAT_CPU SchedstatCpu(SchedstatCpu<'a>) "struct perf_record_schedstat_cpu";
    86 SCHEDSTAT_DOMAIN SchedstatDomain(SchedstatDomain<'a>) "struct perf_record_schedstat_domain";
}
