//! A record of every type, for the tests that hold for each.

use bstr::ByteSlice as _;
use perf_format::attr::{AttrFields, AttrFlags, SampleType};
use perf_format::codec::{Array, Encoder, Fixed, Words};
use perf_format::record::*;
use perf_format::{Attr, BuildId, Endian};

/// The elements as a record in this order holds them. They live as long as the test: so a record of any type can
/// be handed on without the bytes that it borrows.
fn array<T: Fixed>(endian: Endian, elements: &[T]) -> Array<'static, T> {
    let mut bytes = Vec::new();
    let mut e = Encoder::new(&mut bytes, endian, Misc::default());
    elements.iter().for_each(|element| e.put(element));
    Array::new(bytes.leak(), endian)
}

/// Text filled up with NULs.
fn filled<const N: usize>(text: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| text.get(at).copied().unwrap_or_default())
}

/// The same where a record borrows it.
fn borrowed<const N: usize>(text: &[u8]) -> &'static [u8; N] {
    Box::leak(Box::new(filled(text)))
}

/// A record of every type, in the order of their numbers, and the fewest bytes, header included, that a record
/// of its type and kind can have.
pub(crate) fn examples(endian: Endian) -> Vec<(Record<'static>, usize)> {
    [kernel(endian), of_perf(endian), of_perf_stat(endian), of_late_versions(endian)].concat()
}

fn kernel(endian: Endian) -> Vec<(Record<'static>, usize)> {
    let (pid, tid, time) = (0x0102_0304, 0x0506_0708, 0x1112_1314_1516_1718);
    let (start, len, pgoff) = (0x7f00_1234_5000, 0x2000, 0x1000);
    let task = Task { pid, ppid: 2, tid, ptid: 3, time };
    let throttle = Throttle { time, id: 5, stream_id: 6 };
    let filename = b"/usr/lib/libc.so.6".as_bstr();
    let inode = Inode { maj: 8, min: 1, ino: 0x0011_2233_4455, ino_generation: 9 };
    let links = [NamespaceLink { dev: 4, ino: 0xf000_0001 }, NamespaceLink { dev: 4, ino: 0xf000_0002 }];
    vec![
        (Record::Mmap(Mmap { pid, tid, start, len, pgoff, filename }), 41),
        (Record::Lost(Lost { id: 7, lost: 0x1_0000_0001 }), 24),
        (Record::Comm(Comm { pid, tid, comm: b"kworker/0:1H".as_bstr() }), 17),
        (Record::Exit(task), 32),
        (Record::Throttle(throttle), 32),
        (Record::Unthrottle(throttle), 32),
        (Record::Fork(task), 32),
        (Record::Read(Read { pid, tid, values: Words(array(endian, &[8u64, 9, 10])) }), 16),
        (Record::Sample(b"\x01\x02\x03\x04\x05\x06\x07\x08"), 8),
        (
            Record::Mmap2(Mmap2 {
                pid,
                tid,
                start,
                len,
                pgoff,
                file: MapFile::Inode(inode),
                prot: 5,
                flags: 2,
                filename,
            }),
            73,
        ),
        (Record::Aux(Aux { aux_offset: 0x10_0000, aux_size: 0x1000, flags: 1 }), 32),
        (Record::ItraceStart(ItraceStart { pid, tid }), 16),
        (Record::LostSamples(LostSamples { lost: 77 }), 16),
        (Record::Switch(&[]), 8),
        (Record::SwitchCpuWide(SwitchCpuWide { next_prev_pid: pid, next_prev_tid: tid }), 16),
        (Record::Namespaces(Namespaces { pid, tid, link_info: array(endian, &links) }), 56),
        (
            Record::Ksymbol(Ksymbol {
                addr: 0xffff_ffff_c000_1000,
                len: 0x80,
                ksym_type: 1,
                flags: 1,
                name: b"bpf_prog_6deef7357e7b4530".as_bstr(),
            }),
            25,
        ),
        (
            Record::BpfEvent(BpfEvent {
                event_type: 1,
                flags: 2,
                id: 3,
                tag: *b"\x6d\xee\xf7\x35\x7e\x7b\x45\x30",
            }),
            24,
        ),
        (Record::Cgroup(Cgroup { id: 0x101, path: b"/system.slice".as_bstr() }), 17),
        (
            Record::TextPoke(TextPoke {
                addr: start,
                old: b"\x0f\x1f\x44\0\0",
                new: b"\xe8\x01\x02\x03\x04",
            }),
            30,
        ),
        (Record::AuxOutputHwId(AuxOutputHwId { hw_id: 2 }), 16),
        (
            Record::CallchainDeferred(CallchainDeferred {
                cookie: 0xc00c1e,
                ips: array(endian, &[start, start + 8]),
            }),
            40,
        ),
    ]
}

fn of_perf(endian: Endian) -> Vec<(Record<'static>, usize)> {
    let flags = AttrFlags::SAMPLE_ID_ALL | AttrFlags::PRECISE_IP_LOW | AttrFlags::BUILD_ID;
    let sample_type = SampleType::IP | SampleType::TID | SampleType::IDENTIFIER;
    let fields =
        AttrFields { kind: 1, size: 152, config: 2, sample_type, flags, clockid: -1, ..Default::default() };
    let attr = Attr { fields, tail: b"whatever".to_vec() };
    let build_id = SizedBuildId(BuildId::new(&[0xab; 16]).ok());
    let index =
        [IdIndexEntry { id: 100, idx: 0, cpu: 1, tid: 2 }, IdIndexEntry { id: 101, idx: 1, cpu: 3, tid: 4 }];
    let guests = [IdIndexGuest { machine_pid: 5, vcpu: 6 }, IdIndexGuest { machine_pid: 7, vcpu: 8 }];
    let trace = Auxtrace { size: 24, offset: 0x40, reference: 3, idx: 4, tid: 5, cpu: 6, reserved: 0 };
    let head = AuxtraceErrorHead { error_type: 1, code: 2, cpu: 3, pid: 4, tid: 5, fmt: 2, ip: 6, time: 7 };
    vec![
        (Record::HeaderAttr(HeaderAttr { attr, ids: Words(array(endian, &[100u64, 101])) }), 160),
        (Record::HeaderEventType(HeaderEventType { id: 3, name: b"branches" }), 16),
        (Record::TracingData(TracingDataRecord { size: 24, pad: Some(0) }), 12),
        (
            Record::BuildId(BuildIdRecord {
                pid: HOST_PID,
                build_id,
                filename: b"[kernel.kallsyms]".as_bstr(),
            }),
            37,
        ),
        (Record::FinishedRound(&[]), 8),
        (Record::IdIndex(IdIndex { entries: array(endian, &index), guests: array(endian, &guests) }), 80),
        (
            Record::AuxtraceInfo(AuxtraceInfo {
                trace_type: 1,
                reserved: 0,
                priv_data: Words(array(endian, &[8u64, 1 << 40])),
            }),
            16,
        ),
        (Record::Auxtrace(trace), 48),
        (
            Record::AuxtraceError(AuxtraceError {
                head,
                message: borrowed::<64>(b"Overflow packet").as_bstr(),
                guest: Some(AuxtraceErrorGuest { machine_pid: 9, vcpu: 10 }),
            }),
            48,
        ),
    ]
}

fn of_perf_stat(endian: Endian) -> Vec<(Record<'static>, usize)> {
    let threads =
        [ThreadMapEntry { pid: 10, comm: filled(b"init") }, ThreadMapEntry { pid: u64::MAX, comm: [0; 16] }];
    let terms = [StatConfigTerm { tag: 0, val: 3 }, StatConfigTerm { tag: 2, val: 1 }];
    let cpus = CpuMap::Cpus(array(endian, &[0u16, 1, 0xffff]), &[0; 6]);
    let wrap = TimeConvWrap {
        time_cycles: 4,
        time_mask: 0xff_ffff,
        cap_user_time_zero: 1,
        cap_user_time_short: 1,
        unused: [0; 6],
    };
    vec![
        (Record::ThreadMap(ThreadMap { entries: array(endian, &threads) }), 64),
        (Record::CpuMap(cpus), 18),
        (Record::StatConfig(StatConfig { data: array(endian, &terms) }), 48),
        (Record::Stat(Stat { id: 100, cpu: 1, thread: 2, val: 3, ena: 4, run: 5 }), 48),
        (Record::StatRound(StatRound { round_type: 1, time: 6 }), 24),
        (Record::EventUpdate(EventUpdate { id: 100, update: Update::Unit(b"Joules".as_bstr()) }), 25),
        (Record::TimeConv(TimeConv { time_shift: 1, time_mult: 2, time_zero: 3, wrap: Some(wrap) }), 32),
    ]
}

fn of_late_versions(endian: Endian) -> Vec<(Record<'static>, usize)> {
    let entry = BpfMetadataEntry { key: filled(b"author"), value: filled(b"somebody") };
    vec![
        // The feature is one whose bytes perf-format does not look into, and of an odd length.
        (Record::HeaderFeature(HeaderFeature { feat_id: 10, data: b"123456789" }), 16),
        (Record::Compressed(b"\x28\xb5\x2f\xfd\x04"), 8),
        (Record::FinishedInit(&[]), 8),
        (Record::Compressed2(Compressed2 { data_size: 5, data: b"\x28\xb5\x2f\xfd\x04\0\0\0" }), 16),
        (
            Record::BpfMetadata(BpfMetadata {
                prog_name: borrowed(b"handler"),
                entries: array(endian, &[entry]),
            }),
            848,
        ),
        (
            Record::SchedstatCpu(SchedstatCpu {
                timestamp: 1,
                cpu: 2,
                version: 17,
                pad: [0; 2],
                counters: b"countersof17",
            }),
            24,
        ),
        (
            Record::SchedstatDomain(SchedstatDomain {
                timestamp: 1,
                cpu: 2,
                version: 17,
                domain: 3,
                counters: b"countersof17",
            }),
            24,
        ),
    ]
}
