//! Samples and trailers of any event are read as they are written, and the quick accessors agree with that.

use perf_format::attr::{AttrFields, AttrFlags, BranchSampleType, ReadFormat, SampleType};
use perf_format::codec::Array;
use perf_format::sample::{
    AddressKind, Arch, AuxData, BranchStack, Cpu, DataSource, Raw, ReadValue, ReadValues, Regs, StackDump,
    Tid, WeightStruct, frames,
};
use perf_format::strategies::config;
use perf_format::testing::swapped;
use perf_format::{
    Attr, CpuMode, Endian, Error, Misc, PerfReader, RawRecord, Record, RecordHeader, RecordType, Sample,
};
use perf_format::{SampleFormat, SampleId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

/// The bits of `sample_type` that are known; an event may have others.
const KNOWN: u64 = (1 << 25) - 1;

/// An attr with any layout that samples can have.
fn any_attr() -> impl Strategy<Value = Attr> {
    let sample_type = prop_oneof![Just(KNOWN), 1..=KNOWN, any::<u64>(), (0u32..25).prop_map(|bit| 1 << bit)];
    let read_format = prop_oneof![0u64..32, any::<u64>()];
    let branch_sample_type = prop_oneof![(0u64..8).prop_map(|bits| bits << 17), any::<u64>()];
    let words = (sample_type, read_format, branch_sample_type, any::<u64>());
    let masks = (prop_oneof![Just(0), any::<u64>()], prop_oneof![Just(0), any::<u64>()]);
    (words, masks).prop_map(|((sample_type, read_format, branch_sample_type, flags), masks)| {
        let fields = AttrFields {
            size: 144,
            sample_type: SampleType::from_bits_retain(sample_type),
            read_format: ReadFormat::from_bits_retain(read_format),
            branch_sample_type: BranchSampleType::from_bits_retain(branch_sample_type),
            flags: AttrFlags::from_bits_retain(flags),
            sample_regs_user: masks.0,
            sample_regs_intr: masks.1,
            ..Default::default()
        };
        Attr { fields, tail: Vec::new() }
    })
}

/// What fills a sample of any layout: each field takes what it needs.
#[derive(Debug, Clone)]
struct Contents {
    fields: [u64; 32],
    abi: (u64, u64),
    chain: Vec<u64>,
    values: Vec<[u64; 3]>,
    branches: Vec<[u64; 4]>,
    regs: [u64; 64],
    bytes: [Vec<u8>; 4],
}

fn any_contents() -> impl Strategy<Value = Contents> {
    let lists = (vec(any::<u64>(), 0..6), vec(any::<[u64; 3]>(), 0..4), vec(any::<[u64; 4]>(), 0..4));
    let bytes = || vec(any::<u8>(), 0..20);
    let regs = (any::<[u64; 32]>(), any::<[u64; 32]>());
    let bytes = [bytes(), bytes(), bytes(), bytes()];
    (any::<[u64; 32]>(), (0u64..3, 0u64..3), lists, regs, bytes).prop_map(
        |(fields, abi, lists, regs, bytes)| {
            let regs = std::array::from_fn(|at| if at < 32 { regs.0[at] } else { regs.1[at - 32] });
            let (chain, values, branches) = lists;
            Contents { fields, abi, chain, values, branches, regs, bytes }
        },
    )
}

/// The parts of a sample that are arrays, as a record in one order holds them.
struct Arrays {
    endian: Endian,
    chain: Vec<u8>,
    regs: Vec<u8>,
    branches: Vec<u8>,
    counters: Vec<u8>,
}

impl Contents {
    fn arrays(&self, endian: Endian) -> Arrays {
        let bytes =
            |words: &mut dyn Iterator<Item = u64>| words.flat_map(|word| endian.put_u64(word)).collect();
        Arrays {
            endian,
            chain: bytes(&mut self.chain.iter().copied()),
            regs: bytes(&mut self.regs.into_iter()),
            branches: bytes(&mut self.branches.iter().flat_map(|branch| branch[..3].to_vec())),
            counters: bytes(&mut self.branches.iter().map(|branch| branch[3])),
        }
    }

    fn tid(&self) -> Tid {
        let [a, b, c, d, e, f, g, h] = self.fields[0].to_le_bytes();
        Tid { pid: u32::from_le_bytes([a, b, c, d]), tid: u32::from_le_bytes([e, f, g, h]) }
    }

    fn cpu(&self) -> Cpu {
        let Tid { pid, tid } = self.tid();
        Cpu { cpu: pid.wrapping_add(1), reserved: tid.wrapping_add(1) }
    }

    fn read_values(&self, format: ReadFormat) -> ReadValues {
        let has = |field| format.contains(field);
        let value = |&[value, id, lost]: &[u64; 3]| ReadValue {
            value,
            id: has(ReadFormat::ID).then_some(id),
            lost: has(ReadFormat::LOST).then_some(lost),
        };
        let values = match has(ReadFormat::GROUP) {
            true => self.values.iter().map(value).collect(),
            false => vec![value(&[self.fields[1], self.fields[2], self.fields[3]])],
        };
        ReadValues {
            time_enabled: has(ReadFormat::TOTAL_TIME_ENABLED).then_some(self.fields[4]),
            time_running: has(ReadFormat::TOTAL_TIME_RUNNING).then_some(self.fields[5]),
            values,
        }
    }

    fn sample<'a>(&'a self, attr: &Attr, arrays: &'a Arrays) -> Sample<'a> {
        let has = |field| attr.fields.sample_type.contains(field);
        let branch = |flag| attr.fields.branch_sample_type.contains(flag);
        let word = |field, at: usize| has(field).then_some(self.fields[at]);
        let [raw, stack, aux, rest] = &self.bytes;
        let regs = |abi, mask: u64| {
            let len = if abi == 0 { 0 } else { 8 * mask.count_ones() as usize };
            Array::new(&arrays.regs[..len], arrays.endian)
        };
        let regs_user = || regs(self.abi.0, attr.fields.sample_regs_user);
        let regs_intr = || regs(self.abi.1, attr.fields.sample_regs_intr);
        let counters = || Array::new(&arrays.counters, arrays.endian);
        Sample {
            identifier: word(SampleType::IDENTIFIER, 10),
            ip: word(SampleType::IP, 11),
            tid: has(SampleType::TID).then(|| self.tid()),
            time: word(SampleType::TIME, 12),
            addr: word(SampleType::ADDR, 13),
            id: word(SampleType::ID, 14),
            stream_id: word(SampleType::STREAM_ID, 15),
            cpu: has(SampleType::CPU).then(|| self.cpu()),
            period: word(SampleType::PERIOD, 16),
            read: has(SampleType::READ).then(|| self.read_values(attr.fields.read_format)),
            callchain: has(SampleType::CALLCHAIN).then(|| Array::new(&arrays.chain, arrays.endian)),
            raw: has(SampleType::RAW).then_some(Raw(raw)),
            branch_stack: has(SampleType::BRANCH_STACK).then(|| BranchStack {
                hw_idx: branch(BranchSampleType::HW_INDEX).then_some(self.fields[17]),
                entries: Array::new(&arrays.branches, arrays.endian),
                counters: branch(BranchSampleType::COUNTERS).then(counters),
            }),
            regs_user: has(SampleType::REGS_USER).then(|| Regs {
                abi: self.abi.0,
                mask: attr.fields.sample_regs_user,
                regs: regs_user(),
            }),
            stack_user: has(SampleType::STACK_USER).then(|| StackDump {
                bytes: stack,
                dyn_size: (!stack.is_empty()).then_some(self.fields[18]),
            }),
            weight: word(SampleType::WEIGHT, 19),
            weight_struct: has(SampleType::WEIGHT_STRUCT).then_some(WeightStruct {
                var1: 70000,
                var2: 2,
                var3: 3,
            }),
            data_src: word(SampleType::DATA_SRC, 20).map(DataSource),
            transaction: word(SampleType::TRANSACTION, 21),
            regs_intr: has(SampleType::REGS_INTR).then(|| Regs {
                abi: self.abi.1,
                mask: attr.fields.sample_regs_intr,
                regs: regs_intr(),
            }),
            phys_addr: word(SampleType::PHYS_ADDR, 22),
            cgroup: word(SampleType::CGROUP, 23),
            data_page_size: word(SampleType::DATA_PAGE_SIZE, 24),
            code_page_size: word(SampleType::CODE_PAGE_SIZE, 25),
            aux: has(SampleType::AUX).then_some(AuxData(aux)),
            rest,
        }
    }

    fn sample_id(&self, attr: &Attr) -> SampleId<'static> {
        let all = attr.has(AttrFlags::SAMPLE_ID_ALL);
        let has = |field| all && attr.fields.sample_type.contains(field);
        let word = |field, at: usize| has(field).then_some(self.fields[at]);
        SampleId {
            tid: has(SampleType::TID).then(|| self.tid()),
            time: word(SampleType::TIME, 12),
            id: word(SampleType::ID, 14),
            stream_id: word(SampleType::STREAM_ID, 15),
            cpu: has(SampleType::CPU).then(|| self.cpu()),
            identifier: word(SampleType::IDENTIFIER, 10),
            rest: &[],
        }
    }
}

fn record(record_type: RecordType, body: &[u8], trailer: &[u8], endian: Endian) -> Vec<u8> {
    let mut bytes = Vec::new();
    Record::Other(record_type, body).encode(Misc(2), trailer, endian, &mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(config(256, "samples"))]

    #[test]
    fn any_sample_reads_back_in_both_orders(attr in any_attr(), contents in any_contents()) {
        let format = SampleFormat::new(&attr);
        for endian in ORDERS {
            let arrays = contents.arrays(endian);
            let sample = contents.sample(&attr, &arrays);
            let body = sample.to_bytes(&format, endian);
            let bytes = record(RecordType::SAMPLE, &body, &[], endian);
            let raw = RawRecord::first(&bytes, 0, endian).unwrap();
            prop_assert_eq!(&Sample::parse(&format, &raw).unwrap(), &sample);
            prop_assert_eq!(format.ip(&raw), sample.ip);
            prop_assert_eq!(format.tid(&raw), sample.tid);
            prop_assert_eq!(format.time(&raw), sample.time);
            prop_assert_eq!(format.callchain(&raw).unwrap(), sample.callchain);
            let chain = sample.callchain.into_iter().flat_map(|chain| frames(chain, CpuMode::User));
            let mut expected: Vec<_> = sample.ip.into_iter().map(|ip| (ip, CpuMode::User, AddressKind::Ip)).collect();
            expected.extend(chain.map(|frame| (frame.ip, frame.cpumode, AddressKind::Callchain)));
            let addresses = format.addresses(&raw).unwrap().map(|at| (at.addr, at.cpumode, at.kind));
            prop_assert_eq!(addresses.collect::<Vec<_>>(), expected);
            let id = format.id_offset().map(|at| endian.u64_at(&bytes, at).unwrap());
            prop_assert_eq!(id, sample.identifier.or(sample.id));
        }
    }

    #[test]
    fn a_sample_cut_anywhere_is_malformed_until_its_last_field_is_whole(
        attr in any_attr(), contents in any_contents(), order in select(&ORDERS[..]), at in any::<prop::sample::Index>()
    ) {
        let format = SampleFormat::new(&attr);
        let arrays = contents.arrays(order);
        let sample = Sample { rest: &[], ..contents.sample(&attr, &arrays) };
        let body = sample.to_bytes(&format, order);
        prop_assume!(!body.is_empty());
        let bytes = record(RecordType::SAMPLE, &body[..at.index(body.len())], &[], order);
        let raw = RawRecord::first(&bytes, 0x30, order).unwrap();
        let cut = Sample::parse(&format, &raw);
        prop_assert!(matches!(cut, Err(Error::Malformed { offset: 0x30, .. })), "{:?}", cut);
        // What is asked for quickly is there or not; it is never taken from behind the record.
        for (quick, full) in [(format.ip(&raw), sample.ip), (format.time(&raw), sample.time)] {
            prop_assert!(quick.is_none() || quick == full);
        }
        prop_assert!(format.tid(&raw).is_none() || format.tid(&raw) == sample.tid);
        let (chain, addresses) = (format.callchain(&raw).err(), format.addresses(&raw).err());
        prop_assert_eq!(addresses.map(|error| error.to_string()), chain.map(|error| error.to_string()));
        prop_assert!(format.callchain(&raw).is_err() || format.callchain(&raw).unwrap() == sample.callchain);
    }

    #[test]
    fn any_trailer_reads_back_in_both_orders(
        attr in any_attr(), contents in any_contents(), body in vec(any::<u8>(), 0..40)
    ) {
        let format = SampleFormat::new(&attr);
        let id = contents.sample_id(&attr);
        for endian in ORDERS {
            let trailer = id.to_bytes(&format, endian);
            prop_assert_eq!(trailer.len(), format.trailer_len());
            let bytes = record(RecordType::COMM, &body, &trailer, endian);
            let raw = RawRecord::first(&bytes, 0, endian).unwrap();
            prop_assert_eq!(&SampleId::parse(&format, &raw).unwrap(), &id);
            prop_assert_eq!(format.trailer_time(&raw), id.time);
            prop_assert_eq!(format.trailer_tid(&raw), id.tid);
            let event = format.trailer_id_offset().map(|back| endian.u64_at(&bytes, bytes.len() - back).unwrap());
            prop_assert_eq!(event, id.identifier.or(id.id));

            // Records of perf's own have no trailer, and samples say it all themselves.
            for without in [RecordType::SAMPLE, RecordType::BUILD_ID] {
                let bytes = record(without, &body, &trailer, endian);
                let raw = RawRecord::first(&bytes, 0, endian).unwrap();
                prop_assert_eq!(SampleId::parse(&format, &raw).unwrap(), SampleId::default());
            }
        }
    }

    #[test]
    fn a_record_shorter_than_its_trailer_is_malformed_and_has_no_time(
        mut attr in any_attr(), order in select(&ORDERS[..])
    ) {
        attr.fields.flags |= AttrFlags::SAMPLE_ID_ALL;
        attr.fields.sample_type |= SampleType::TIME;
        let format = SampleFormat::new(&attr);
        let bytes = record(RecordType::SWITCH, &vec![0x5a; format.trailer_len() - 1], &[], order);
        let raw = RawRecord::first(&bytes, 0x88, order).unwrap();
        let short = SampleId::parse(&format, &raw);
        prop_assert!(matches!(short, Err(Error::Malformed { offset: 0x88, .. })), "{:?}", short);
        let empty = record(RecordType::SWITCH, &[], &[], order);
        let empty = RawRecord::first(&empty, 0, order).unwrap();
        prop_assert_eq!((format.trailer_time(&empty), format.trailer_tid(&empty)), (None, None));
    }

    /// Every byte of a sample is in its view, so that what is read out of any bytes is written as those bytes.
    #[test]
    fn any_bytes_are_a_sample_that_writes_back_to_them_or_malformed(
        attr in any_attr(),
        words in vec(prop_oneof![4 => 0u64..4, 1 => any::<u64>()], 0..80),
        odd in vec(any::<u8>(), 0..8),
        order in select(&ORDERS[..]),
    ) {
        let format = SampleFormat::new(&attr);
        let body: Vec<u8> = words.iter().flat_map(|word| order.put_u64(*word)).chain(odd).collect();
        let bytes = record(RecordType::SAMPLE, &body, &[], order);
        let raw = RawRecord::first(&bytes, 0, order).unwrap();
        match Sample::parse(&format, &raw) {
            Ok(sample) => {
                prop_assert_eq!((format.ip(&raw), format.time(&raw)), (sample.ip, sample.time));
                prop_assert_eq!(format.tid(&raw), sample.tid);
                prop_assert_eq!(format.callchain(&raw).unwrap(), sample.callchain);
                prop_assert_eq!(sample.to_bytes(&format, order), body);
            }
            Err(error) => prop_assert!(error.to_string().starts_with("SAMPLE record at offset 0x0: "), "{}", error),
        }
    }
}

#[test]
fn a_count_larger_than_the_record_is_malformed_without_being_allocated() {
    let counted = [SampleType::CALLCHAIN, SampleType::BRANCH_STACK, SampleType::READ, SampleType::AUX];
    let stack = SampleType::STACK_USER;
    for (sample_type, endian) in
        counted.into_iter().chain([stack]).flat_map(|bit| ORDERS.map(|order| (bit, order)))
    {
        let read_format = ReadFormat::GROUP;
        let fields = AttrFields { size: 144, sample_type, read_format, ..Default::default() };
        let format = SampleFormat::new(&Attr { fields, tail: Vec::new() });
        for count in [25, u64::from(u32::MAX), u64::MAX / 24 + 1, 1 << 61, u64::MAX] {
            let body = [endian.put_u64(count), [1; 8], [2; 8], [3; 8]].concat();
            let bytes = record(RecordType::SAMPLE, &body, &[], endian);
            let raw = RawRecord::first(&bytes, 0x10, endian).unwrap();
            let said = Sample::parse(&format, &raw).unwrap_err().to_string();
            assert!(said.ends_with(&format!(": a count of {count} does not fit")), "{said}");
            if sample_type == SampleType::CALLCHAIN {
                let quick = format.callchain(&raw).unwrap_err().to_string();
                assert_eq!(quick, said);
                assert!(quick.starts_with("SAMPLE record at offset 0x10: field callchain: "), "{quick}");
            }
        }
    }
}

#[test]
fn fields_stand_in_the_order_of_the_kernel() {
    let sample_type = SampleType::IDENTIFIER | SampleType::TID | SampleType::CPU | SampleType::CALLCHAIN;
    let fields = AttrFields { size: 144, sample_type, flags: AttrFlags::SAMPLE_ID_ALL, ..Default::default() };
    let format = SampleFormat::new(&Attr { fields, tail: Vec::new() });
    let body =
        b"\0\0\0\0\0\0\0\x09\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x10\0";
    let bytes = record(RecordType::SAMPLE, body, &[], Endian::Big);
    let raw = RawRecord::first(&bytes, 0, Endian::Big).unwrap();
    let sample = Sample::parse(&format, &raw).unwrap();
    assert_eq!((sample.identifier, sample.tid), (Some(9), Some(Tid { pid: 1, tid: 2 })));
    assert_eq!(sample.cpu, Some(Cpu { cpu: 3, reserved: 0 }));
    assert_eq!(sample.callchain.unwrap().iter().collect::<Vec<_>>(), [0x1000]);
    assert_eq!(format.id_offset(), Some(RecordHeader::SIZE));
    assert_eq!((format.trailer_len(), format.trailer_id_offset()), (24, Some(8)));
}

#[test]
fn the_first_of_three_weights_is_the_low_half_of_the_word_in_either_order() {
    let fields = AttrFields { size: 144, sample_type: SampleType::WEIGHT_STRUCT, ..Default::default() };
    let format = SampleFormat::new(&Attr { fields, tail: Vec::new() });
    let body = [0x8877_6655_4433_2211u64.to_le_bytes(), 0x8877_6655_4433_2211u64.to_be_bytes()];
    for (endian, body) in ORDERS.into_iter().zip(body) {
        let bytes = record(RecordType::SAMPLE, &body, &[], endian);
        let sample = Sample::parse(&format, &RawRecord::first(&bytes, 0, endian).unwrap()).unwrap();
        let weights = WeightStruct { var1: 0x4433_2211, var2: 0x6655, var3: 0x8877 };
        assert_eq!(sample.weight_struct, Some(weights));
    }
}

/// `perf script -F iregs,uregs` of perf 6.1 begins with these.
const REGISTERS: &str = "AX:0x1 BX:0x7f175f352eb0 CX:0x39 DX:0x5 SI:0x7f175f0ce106 DI:0x7f175f0cb5d4 \
    BP:0x7f175f62a770 SP:0x7ffebf2137d8 IP:0x7f175f9e3978 FLAGS:0x202 CS:0x33 SS:0x2b R8:0x7f175f61ba30 \
    R9:0xffffffffffd34040 R10:0x7f175f88e2b8 R11:0x7f175f9ed800 R12:0x6 R13:0x5 R14:0x6 R15:0x5 \
    BP:0x7f175f62a770 SP:0x7ffebf2137d8 IP:0x7f175f9e3978";

#[test]
fn registers_have_the_names_and_values_that_perf_prints() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/registers.pipe");
    let recording = std::fs::read(path).unwrap();
    for recording in [swapped(&recording), recording] {
        let mut reader = PerfReader::open_stream(&recording[..]).unwrap();
        assert_eq!(reader.preamble().arch(), Some(Arch::X86_64));
        let attr = reader.preamble().event_infos().unwrap().remove(0).attr;
        let format = SampleFormat::new(&attr);
        let mut found = false;
        while let Some(record) = reader.next_record().unwrap() {
            if record.record_type() == RecordType::SAMPLE {
                let sample = Sample::parse(&format, &record).unwrap();
                let of_intr = sample.regs_intr.unwrap().named(Arch::X86_64);
                let of_user = sample.regs_user.unwrap().named(Arch::X86_64);
                let said = of_intr.chain(of_user).map(|(name, value)| format!("{name}:{value:#x}"));
                found |= said.collect::<Vec<_>>().join(" ") == REGISTERS;
            }
        }
        assert!(found);
    }
}

#[test]
fn fixed_fields_and_raw_data_are_found_without_the_rest() {
    use perf_format::testing::At;
    use perf_format::testing::sched::{SchedEvent, SchedStream};
    for endian in [Endian::Little, Endian::Big] {
        let format = SampleFormat::new(&SchedEvent::Waking.attr());
        let stream = SchedStream::new(endian, &[]).waking(3, At { pid: 5, tid: 6, time: 70 }, 9).bytes();
        let records = perf_format::testing::records(&stream);
        let sample = RawRecord::first(&records.last().unwrap().bytes, 0, endian).unwrap();
        let word = |field| endian.u64_at(sample.bytes, format.field_offset(field)?);
        assert_eq!(word(SampleType::IDENTIFIER), Some(SchedEvent::Waking.id()));
        assert_eq!(word(SampleType::TIME), format.time(&sample));
        assert_eq!(word(SampleType::PERIOD), Some(1));
        assert_eq!(endian.u32_at(sample.bytes, format.field_offset(SampleType::CPU).unwrap()), Some(3));
        assert_eq!((word(SampleType::ADDR), word(SampleType::CALLCHAIN)), (None, None));
        let raw = format.raw(&sample).unwrap().unwrap();
        assert_eq!(Some(raw), Sample::parse(&format, &sample).unwrap().raw.map(|raw| raw.0));
        assert_eq!(endian.u32_at(raw, 24), Some(9));
        let cut = RawRecord { bytes: &sample.bytes[..sample.bytes.len() - 8], ..sample };
        assert!(matches!(format.raw(&cut), Err(Error::Malformed { .. })));
        let clock = SampleFormat::new(&SchedEvent::CpuClock.attr());
        assert_eq!(clock.raw(&sample).unwrap(), None);
    }
}
