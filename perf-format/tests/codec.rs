//! Records of every type are written as they are read, in both byte orders, and no bytes make a parser panic.

use bstr::{BStr, ByteSlice as _};
use perf_format::codec::{Array, Decoder, Problem};
use perf_format::record::{
    BuildIdRecord, CpuMap, EventUpdate, HOST_PID, Inode, MapFile, Mmap2, SizedBuildId, Task,
    TracingDataRecord, Update,
};
use perf_format::strategies::config;
use perf_format::{BuildId, CpuMode, Endian, Error, Misc, RawRecord, Record, RecordHeader, RecordType};
use proptest::prelude::*;

#[path = "common/examples.rs"]
mod examples;

use examples::examples;

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

fn encoded(record: &Record<'_>, misc: Misc, endian: Endian) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(misc, &[], endian, &mut bytes).unwrap();
    bytes
}

/// The record with its size changed to that of `bytes`.
fn resized(bytes: &[u8], endian: Endian) -> Vec<u8> {
    let size = endian.put_u16(u16::try_from(bytes.len()).unwrap());
    [&bytes[..6], &size, &bytes[8..]].concat()
}

/// Bytes from hex digits, with spaces wherever they help.
fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Asserts that a record is written as these bytes, and that they are read as the record.
#[track_caller]
fn assert_bytes(record: &Record<'_>, misc: u16, endian: Endian, digits: &str) {
    let bytes = encoded(record, Misc(misc), endian);
    assert_eq!(bytes, hex(digits), "{endian:?}");
    assert_eq!(RawRecord::first(&bytes, 0, endian).unwrap().parse().unwrap(), *record, "{endian:?}");
}

#[test]
fn the_examples_are_one_of_every_type() {
    let types: Vec<_> = examples(Endian::Little).iter().map(|(record, _)| record.record_type()).collect();
    assert_eq!(types, RecordType::ALL);
    assert_eq!(
        types.iter().map(|each| each.0).collect::<Vec<_>>(),
        (1..=22).chain(64..=86).collect::<Vec<_>>()
    );
}

#[test]
fn every_type_reads_back_as_it_was_written_and_writes_the_same_bytes_again() {
    let misc = Misc::of(CpuMode::User);
    for endian in ORDERS {
        for (record, _) in examples(endian) {
            let bytes = encoded(&record, misc, endian);
            let raw = RawRecord::first(&bytes, 0, endian).unwrap();
            assert_eq!(raw.bytes.len(), bytes.len());
            assert_eq!(raw.record_type(), record.record_type());
            assert!(bytes.len().is_multiple_of(8) || !raw.record_type().is_kernel(), "{record:?}");
            assert_eq!(raw.misc().cpumode(), CpuMode::User);
            let view = raw.parse().unwrap();
            assert_eq!(view, record);
            assert_eq!(encoded(&view, raw.misc(), endian), bytes, "{record:?}");
        }
    }
}

#[test]
fn the_two_orders_are_one_record_in_different_bytes() {
    for ((little, _), (big, _)) in examples(Endian::Little).into_iter().zip(examples(Endian::Big)) {
        assert_eq!(little, big);
        let (little, big) =
            (encoded(&little, Misc::default(), Endian::Little), encoded(&big, Misc::default(), Endian::Big));
        assert_eq!(little.len(), big.len());
        assert_ne!(little, big);
    }
}

#[test]
fn a_record_cut_anywhere_is_read_or_malformed_and_below_its_least_size_malformed() {
    for endian in ORDERS {
        for (record, least) in examples(endian) {
            let bytes = encoded(&record, Misc::default(), endian);
            let record_type = record.record_type();
            for len in RecordHeader::SIZE..bytes.len() {
                let cut = resized(&bytes[..len], endian);
                match RawRecord::first(&cut, 0x40, endian).unwrap().parse() {
                    Ok(view) => assert!(len >= least, "{record_type} of {len} bytes is {view:?}"),
                    Err(Error::Malformed { offset, record_type: said, .. }) => {
                        assert_eq!((offset, said), (0x40, record_type));
                    }
                    Err(error) => panic!("{record_type} of {len} bytes: {error}"),
                }
            }
            // The last byte of the shortest is the NUL of an empty name, where the record ends with a name.
            let mut shortest = bytes[..least].to_vec();
            shortest[least - 1] = 0;
            let shortest = resized(&shortest, endian);
            let view = RawRecord::first(&shortest, 0, endian).unwrap().parse();
            assert!(view.is_ok(), "{record_type} of {least} bytes: {view:?}");
        }
    }
}

#[test]
fn a_trailer_stands_behind_the_body_and_is_left_unread() {
    for endian in ORDERS {
        for (record, _) in examples(endian).into_iter().filter(|(record, _)| record.record_type().is_kernel())
        {
            let body = encoded(&record, Misc::default(), endian).len();
            let mut bytes = b"before".to_vec();
            record.encode(Misc::default(), &[0x5a; 16], endian, &mut bytes).unwrap();
            let raw = RawRecord::first(&bytes[6..], 0, endian).unwrap();
            assert_eq!(raw.bytes.len(), body + 16);
            assert_eq!(raw.bytes[body..], [0x5a; 16]);
            assert_eq!(raw.parse_before(16).unwrap(), record);
        }
    }
}

#[test]
fn a_record_larger_than_its_header_can_say_is_refused_and_nothing_is_written() {
    let mut out = b"before".to_vec();
    let error =
        Record::Sample(&[0; 65528]).encode(Misc::default(), &[], Endian::Little, &mut out).unwrap_err();
    assert_eq!(error.to_string(), "a SAMPLE record of 65536 bytes does not fit in a record's 65535");
    assert_eq!(out, b"before");
    Record::Sample(&[0; 65527]).encode(Misc::default(), &[], Endian::Little, &mut out).unwrap();
    assert_eq!(out.len(), 6 + 65535);
}

fn mmap2(file: MapFile) -> Record<'static> {
    let (start, len, pgoff) = (0x1000, 0x2000, 0x3000);
    let filename = b"/bin/a".as_bstr();
    Record::Mmap2(Mmap2 { pid: 0x11, tid: 0x12, start, len, pgoff, file, prot: 5, flags: 2, filename })
}

#[test]
fn mmap2_with_an_inode_has_these_bytes() {
    let record = mmap2(MapFile::Inode(Inode { maj: 8, min: 1, ino: 0x1234, ino_generation: 0x5678 }));
    let little = "0a000000 0200 5000 11000000 12000000 0010000000000000 0020000000000000 0030000000000000
        08000000 01000000 3412000000000000 7856000000000000 05000000 02000000 2f62696e2f610000";
    assert_bytes(&record, 2, Endian::Little, little);
    // The bit that says build-id goes where there is none.
    assert_bytes(&record, 0x4002, Endian::Little, little);
    let big = "0000000a 0002 0050 00000011 00000012 0000000000001000 0000000000002000 0000000000003000
        00000008 00000001 0000000000001234 0000000000005678 00000005 00000002 2f62696e2f610000";
    assert_bytes(&record, 2, Endian::Big, big);
}

#[test]
fn mmap2_with_a_build_id_has_these_bytes_and_the_bit_that_says_so() {
    let id = BuildId::new(&[0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8]).unwrap();
    let little = "0a000000 0240 5000 11000000 12000000 0010000000000000 0020000000000000 0030000000000000
        08 00 0000 a1a2a3a4a5a6a7a8 000000000000000000000000 05000000 02000000 2f62696e2f610000";
    assert_bytes(&mmap2(MapFile::BuildId(Some(id))), 2, Endian::Little, little);
    let big = "0000000a 4002 0050 00000011 00000012 0000000000001000 0000000000002000 0000000000003000
        08 00 0000 a1a2a3a4a5a6a7a8 000000000000000000000000 00000005 00000002 2f62696e2f610000";
    assert_bytes(&mmap2(MapFile::BuildId(Some(id))), 2, Endian::Big, big);
    let none = little.replace("08 00 0000 a1a2a3a4a5a6a7a8", "00 00 0000 0000000000000000");
    assert_bytes(&mmap2(MapFile::BuildId(None)), 2, Endian::Little, &none);
}

#[test]
fn build_id_has_the_bytes_that_perf_writes() {
    let id: BuildId = "7ebc65e5000102030405060708090a0b0c7aaba9".parse().unwrap();
    let filename = b"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2".as_bstr();
    let record = Record::BuildId(BuildIdRecord { pid: HOST_PID, build_id: SizedBuildId(Some(id)), filename });
    let body = "ffffffff 7ebc65e5000102030405060708090a0b0c7aaba9 14 000000
        2f7573722f6c69622f7838365f36342d 6c696e75782d676e752f6c642d6c696e 75782d7838362d36342e736f2e32 000000000000";
    assert_bytes(&record, 2, Endian::Little, &format!("43000000 0280 5800 {body}"));
    assert_bytes(&record, 2, Endian::Big, &format!("00000043 8002 0058 {body}"));

    let trailer = hex("b34d0000 b34d0000 4b737673a9000000");
    let mut traced = Vec::new();
    record.encode(Misc(2), &trailer, Endian::Little, &mut traced).unwrap();
    assert_eq!(traced, [hex(&format!("43000000 0280 6800 {body}")), trailer].concat());
}

#[test]
fn a_build_id_record_without_the_size_bit_has_twenty_bytes_of_id() {
    let bytes =
        hex("43000000 0200 2800 ffffffff 0102030405060708090a0b0c0d0e0f1011121314 63 000000 61000000");
    let view = RawRecord::first(&bytes, 0, Endian::Little).unwrap().parse().unwrap();
    let Record::BuildId(record) = view else { panic!("{view:?}") };
    assert_eq!(record.build_id.0.unwrap().to_string(), "0102030405060708090a0b0c0d0e0f1011121314");
}

#[test]
fn a_size_beyond_the_room_for_the_id_means_all_of_the_room() {
    let id = "0102030405060708090a0b0c0d0e0f1011121314";
    for size in ["14", "15", "20", "ff"] {
        let named = hex(&format!("43000000 0280 2800 ffffffff {id} {size} 000000 61000000"));
        let view = RawRecord::first(&named, 0, Endian::Little).unwrap().parse().unwrap();
        let Record::BuildId(record) = view else { panic!("{view:?}") };
        assert_eq!(record.build_id.0.unwrap().to_string(), id, "{size}");
        let mapped = hex(&format!(
            "0a000000 0240 5000 11000000 12000000 0010000000000000 0020000000000000 0030000000000000
             {size} 00 0000 {id} 05000000 02000000 2f62696e2f610000"
        ));
        let view = RawRecord::first(&mapped, 0, Endian::Little).unwrap().parse().unwrap();
        assert_eq!(view, mmap2(MapFile::BuildId(id.parse().ok())), "{size}");
    }
}

#[test]
fn sample_fork_and_tracing_data_have_these_bytes() {
    let sample = Record::Sample(b"\x01\x02\x03\x04\x05\x06\x07\x08");
    assert_bytes(&sample, 0x4001, Endian::Little, "09000000 0140 1000 0102030405060708");
    assert_bytes(&sample, 0x4001, Endian::Big, "00000009 4001 0010 0102030405060708");

    let fork = Record::Fork(Task { pid: 0x11, ppid: 0x12, tid: 0x13, ptid: 0x14, time: 0x1516 });
    let little = "07000000 0020 2000 11000000 12000000 13000000 14000000 1615000000000000";
    assert_bytes(&fork, Misc::FORK_EXEC, Endian::Little, little);
    let big = "00000007 2000 0020 00000011 00000012 00000013 00000014 0000000000001516";
    assert_bytes(&fork, Misc::FORK_EXEC, Endian::Big, big);

    let sized = |pad| Record::TracingData(TracingDataRecord { size: 6320, pad });
    assert_bytes(&sized(Some(0)), 0, Endian::Little, "42000000 0000 1000 b0180000 00000000");
    assert_bytes(&sized(Some(0)), 0, Endian::Big, "00000042 0000 0010 000018b0 00000000");
    assert_bytes(&sized(None), 0, Endian::Little, "42000000 0000 0c00 b0180000");
    assert_bytes(&sized(None), 0, Endian::Big, "00000042 0000 000c 000018b0");
}

#[test]
fn cpu_maps_have_these_bytes_and_masks_of_64_bits_are_not_aligned() {
    let words = hex("0f000000 01000080");
    let mask32 = Record::CpuMap(CpuMap::Mask32(Array::new(&words, Endian::Little), &[0; 2]));
    assert_bytes(&mask32, 0, Endian::Little, "4a000000 0000 1800 0100 0200 0400 0f000000 01000080 0000");
    assert_bytes(&mask32, 0, Endian::Big, "0000004a 0000 0018 0001 0002 0004 0000000f 80000001 0000");

    let words = hex("0102030405060708");
    let mask64 = Record::CpuMap(CpuMap::Mask64(Array::new(&words, Endian::Big), &[0; 6]));
    let little = "4a000000 0000 2000 0100 0100 0800 00000000 0807060504030201 000000000000";
    assert_bytes(&mask64, 0, Endian::Little, little);
    let big = "0000004a 0000 0020 0001 0001 0008 00000000 0102030405060708 000000000000";
    assert_bytes(&mask64, 0, Endian::Big, big);

    let range = Record::CpuMap(CpuMap::Range { any_cpu: 1, pad: 0, start: 2, end: 0x103, rest: &[] });
    assert_bytes(&range, 0, Endian::Little, "4a000000 0000 1000 0200 01 00 0200 0301");
    assert_bytes(&range, 0, Endian::Big, "0000004a 0000 0010 0002 01 00 0002 0103");
}

#[test]
fn event_updates_of_each_kind_have_these_bytes() {
    let little = |update, digits: &str| {
        assert_bytes(&Record::EventUpdate(EventUpdate { id: 5, update }), 0, Endian::Little, digits);
    };
    little(
        Update::Unit(b"J".as_bstr()),
        "4e000000 0000 2000 0000000000000000 0500000000000000 4a00000000000000",
    );
    little(
        Update::Scale(1.0f64.to_bits()),
        "4e000000 0000 2000 0100000000000000 0500000000000000 000000000000f03f",
    );
    little(
        Update::Name(b"j".as_bstr()),
        "4e000000 0000 2000 0200000000000000 0500000000000000 6a00000000000000",
    );
    let cpus = CpuMap::Other(9, b"abcdef");
    little(Update::Cpus(cpus), "4e000000 0000 2000 0300000000000000 0500000000000000 0900 616263646566");
    little(Update::Other(4, b"else"), "4e000000 0000 1c00 0400000000000000 0500000000000000 656c7365");
}

#[test]
fn a_name_ends_at_its_nul_and_what_follows_it_at_a_multiple_of_eight_or_at_the_end() {
    let mut d = Decoder::new(b"--name\0xbehind\0", 2, Endian::Little, Misc::default());
    assert_eq!(d.get::<&BStr>(), Ok(b"name".as_bstr()));
    assert_eq!(d.rest(), b"behind\0");
    assert_eq!(d.get::<&BStr>(), Ok(b"behind".as_bstr()));
    assert_eq!((d.rest(), d.get::<&BStr>()), (&b""[..], Err(Problem::NoNul)));
}

/// Bytes that look like a body: small numbers in words of any width, among anything at all.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (0u8..5).prop_map(|byte| vec![byte, 0, 0, 0, 0, 0, 0, 0]),
        (0u8..5).prop_map(|byte| vec![0, 0, 0, 0, 0, 0, 0, byte]),
        (0u8..5).prop_map(|byte| vec![byte, 0, byte, 0]),
        (0u8..9).prop_map(|byte| vec![0, byte]),
        prop::collection::vec(any::<u8>(), 1..24),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// The whole record of an example, with some bytes overwritten and its end cut off.
fn damaged() -> impl Strategy<Value = (Vec<u8>, Endian)> {
    let damage = prop::collection::vec((8usize..160, prop_oneof![0u8..5, any::<u8>()]), 0..4);
    let which = (0..RecordType::ALL.len(), prop::sample::select(&ORDERS[..]), any::<u16>());
    (which, damage, 0usize..48).prop_map(|((which, endian, misc), damage, cut)| {
        let mut bytes = encoded(&examples(endian).swap_remove(which).0, Misc(misc), endian);
        for (at, byte) in damage {
            bytes.get_mut(at).into_iter().for_each(|place| *place = byte);
        }
        let len = bytes.len().saturating_sub(cut).max(RecordHeader::SIZE);
        (resized(&bytes[..len], endian), endian)
    })
}

/// A record of any type with any misc and any body.
fn arbitrary() -> impl Strategy<Value = (Vec<u8>, Endian)> {
    let any_type =
        prop_oneof![8 => prop::sample::select(RecordType::ALL), 1 => any::<u32>().prop_map(RecordType)];
    let order = prop::sample::select(&ORDERS[..]);
    (any_type, any::<u16>(), body(), order).prop_map(|(record_type, misc, body, endian)| {
        let size = u16::try_from(RecordHeader::SIZE + body.len()).unwrap();
        let header = RecordHeader { record_type, misc: Misc(misc), size }.to_bytes(endian);
        ([&header[..], &body].concat(), endian)
    })
}

proptest! {
    #![proptest_config(config(2000, "codec"))]

    /// Padding, reserved bytes and what stands behind the last field are not in a view; all else is, and so the
    /// second writing is the same to the byte as the first.
    #[test]
    fn what_is_read_out_of_any_bytes_writes_and_reads_back((bytes, endian) in prop_oneof![arbitrary(), damaged()]) {
        let raw = RawRecord::first(&bytes, 0x1000, endian).unwrap();
        match raw.parse() {
            Ok(view) => {
                prop_assert_eq!(view.record_type(), raw.record_type());
                let canonical = encoded(&view, raw.misc(), endian);
                let again = RawRecord::first(&canonical, 0x1000, endian).unwrap();
                prop_assert_eq!(again.bytes.len(), canonical.len());
                let again_view = again.parse().unwrap();
                prop_assert_eq!(&again_view, &view);
                prop_assert_eq!(encoded(&again_view, again.misc(), endian), canonical);
            }
            Err(Error::Malformed { offset, record_type, .. }) => {
                prop_assert_eq!((offset, record_type), (0x1000, raw.record_type()));
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
