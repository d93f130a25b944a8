//! The formats of tracepoints and the values of their fields: those of recordings as perf prints them, those that are
//! made up in either byte order, and hostile ones.

use std::fs::File;
use std::path::Path;

use perf_format::strategies::{config, endian};
use perf_format::testing::swapped;
use perf_format::{
    Endian, EventFormat, EventType, FieldShape, FieldValue, PerfReader, RecordType, Sample, SampleFormat,
};
use proptest::prelude::*;

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

/// One field of each kind. Behind the fields stand the bytes of the last two.
const EVERY_KIND: &str = "name: every\nID: 300\nformat:\n\
    \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
    \tfield:unsigned char flags;\toffset:2;\tsize:1;\tsigned:0;\n\
    \tfield:s8 step;\toffset:3;\tsize:1;\tsigned:1;\n\
    \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
    \tfield:char comm[8];\toffset:8;\tsize:8;\tsigned:0;\n\
    \tfield:const char * name;\toffset:16;\tsize:8;\tsigned:0;\n\
    \tfield:unsigned int args[2];\toffset:24;\tsize:8;\tsigned:0;\n\
    \tfield:u8 mac[6];\toffset:32;\tsize:6;\tsigned:0;\n\
    \tfield:short last[MAX_LAST];\toffset:38;\tsize:2;\tsigned:1;\n\
    \tfield:struct pair both;\toffset:40;\tsize:8;\tsigned:0;\n\
    \tfield:__data_loc char[] filename;\toffset:48;\tsize:4;\tsigned:0;\n\
    \tfield:__rel_loc long[] waits;\toffset:52;\tsize:4;\tsigned:1;\n\n\
    print fmt: \"field:int no;\toffset:0;\tsize:4;\", REC->name\n";

fn every_kind(endian: Endian) -> Vec<u8> {
    let (u16, u32, u64) = (|n| endian.put_u16(n), |n| endian.put_u32(n), |n| endian.put_u64(n));
    let mut raw =
        [&u16(300)[..], &[7, 0xff], &u32((-5i32).cast_unsigned()), b"bash\0xyz", &u64(0x7f00_1234)].concat();
    raw.extend([u32(1), u32(u32::MAX)].concat());
    raw.extend([0xde, 0xad, 0xbe, 0xef, 0, 1]);
    raw.extend(u16((-2i16).cast_unsigned()));
    raw.extend([1, 2, 3, 4, 5, 6, 7, 8]);
    // The name starts at 56 with five bytes, the longs at 64: eight bytes behind their own field's end.
    raw.extend([u32(5 << 16 | 56), u32(16 << 16 | 8)].concat());
    raw.extend(b"/tmp\0\0\0\0");
    raw.extend([u64((-1i64).cast_unsigned()), u64(9)].concat());
    raw
}

#[test]
fn every_kind_of_field_has_its_value_in_either_byte_order() {
    for endian in ORDERS {
        let format = EventFormat::parse(EVERY_KIND.as_bytes(), endian, 8).unwrap();
        assert_eq!((format.name.to_string(), format.id, format.fields.len()), ("every".to_owned(), 300, 12));
        let raw = every_kind(endian);
        let value = |name| format.value(&raw, name).unwrap();
        assert_eq!(value("common_type"), FieldValue::Unsigned(300));
        assert_eq!(value("flags"), FieldValue::Unsigned(7));
        assert_eq!(value("step"), FieldValue::Signed(-1));
        assert_eq!(value("common_pid"), FieldValue::Signed(-5));
        assert_eq!(value("comm"), FieldValue::Text("bash".into()));
        assert_eq!(value("name"), FieldValue::Unsigned(0x7f00_1234));
        assert_eq!(value("mac"), FieldValue::Bytes(&[0xde, 0xad, 0xbe, 0xef, 0, 1]));
        assert_eq!(value("both"), FieldValue::Bytes(&[1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(value("filename"), FieldValue::Text("/tmp".into()));
        let numbers = |name| match value(name) {
            FieldValue::Array(numbers) => {
                numbers.iter().map(|number| number.as_i64().unwrap()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(numbers("args"), [1, u32::MAX.into()]);
        assert_eq!(numbers("last"), [-2]);
        assert_eq!(numbers("waits"), [-1, 9]);
        assert_eq!(format.value(&raw, "no"), None);
    }
}

#[test]
fn a_field_tells_its_type_and_shape_without_its_name() {
    let format = EventFormat::parse(EVERY_KIND.as_bytes(), Endian::Little, 8).unwrap();
    let told = |name| format.field(name).map(|field| (field.type_text.to_string(), field.shape)).unwrap();
    assert_eq!(told("common_type"), ("unsigned short".to_owned(), FieldShape::Value));
    assert_eq!(told("comm"), ("char".to_owned(), FieldShape::Array(Some(8))));
    assert_eq!(told("name"), ("const char *".to_owned(), FieldShape::Value));
    assert_eq!(told("last"), ("short".to_owned(), FieldShape::Array(None)));
    assert_eq!(told("filename"), ("char".to_owned(), FieldShape::DataLoc));
    assert_eq!(told("waits"), ("long".to_owned(), FieldShape::RelLoc));
}

#[test]
fn a_long_has_as_many_bytes_as_in_the_kernel_that_recorded() {
    let format = EventFormat::parse(EVERY_KIND.as_bytes(), Endian::Little, 4).unwrap();
    let raw = every_kind(Endian::Little);
    let Some(FieldValue::Array(waits)) = format.value(&raw, "waits") else { panic!("no array") };
    assert_eq!(waits.iter().collect::<Vec<_>>(), [-1, -1, 9, 0].map(FieldValue::Signed));
}

#[test]
fn a_field_outside_the_data_has_no_value() {
    let format = EventFormat::parse(EVERY_KIND.as_bytes(), Endian::Big, 8).unwrap();
    let raw = every_kind(Endian::Big);
    for len in 0..raw.len() {
        for field in &format.fields {
            let end = usize::try_from(field.offset + field.size).unwrap();
            assert!(end <= len || field.value(&raw[..len]).is_none(), "{} in {len} bytes", field.name);
        }
    }
    assert_eq!(format.value(&raw[..60], "filename"), None, "its bytes are cut");
    assert_eq!(format.value(&raw[..72], "waits"), None, "its numbers are cut");
}

#[test]
fn a_format_without_its_parts_is_refused_with_the_part() {
    let error = |text: &str| EventFormat::parse(text.as_bytes(), Endian::Little, 8).unwrap_err().to_string();
    let at = "a tracepoint's format at offset 0x0: field ";
    assert_eq!(error(""), format!("{at}name: it is cut short"));
    assert_eq!(error("name: x\nID: many\n"), format!("{at}ID: it is cut short"));
    let field = |line: &str| error(&format!("name: x\nID: 1\nformat:\n\tfield:{line}\n"));
    assert_eq!(field("int a;\tsize:4;"), format!("{at}a field's offset: not what must stand here"));
    assert_eq!(field("int a;\toffset:0;\tsize:-4;"), format!("{at}a field's size: not what must stand here"));
    assert_eq!(field(";\toffset:0;\tsize:4;"), format!("{at}a field's name: it is cut short"));
}

/// The sched_switch samples of a recording, as `perf script -F tid,trace` prints them but for the state's letters.
fn switches(bytes: &[u8]) -> Vec<String> {
    let mut reader = PerfReader::open(std::io::Cursor::new(bytes)).unwrap();
    let event = reader.preamble().event_infos().unwrap().remove(0);
    assert_eq!(event.name, "sched:sched_switch");
    let EventType::Tracepoint { id } = event.attr.event_type() else { panic!("no tracepoint") };
    let format = reader.preamble().tracing_data().unwrap().unwrap().event_format(id).unwrap().unwrap();
    let layout = SampleFormat::new(&event.attr);
    let mut switches = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        let is_its = |record: &perf_format::RawRecord<'_>| {
            let at = layout.id_offset().filter(|_| event.ids.len() > 1);
            at.is_none_or(|at| event.ids.contains(&record.endian.u64_at(record.bytes, at).unwrap()))
        };
        if record.record_type() != RecordType::SAMPLE || !is_its(&record) {
            continue;
        }
        let sample = Sample::parse(&layout, &record).unwrap();
        let raw = sample.raw.unwrap().0;
        let (text, number) = (
            |name| format.value(raw, name).and_then(FieldValue::as_text).unwrap(),
            |name| format.value(raw, name).and_then(FieldValue::as_i64).unwrap(),
        );
        switches.push(format!(
            "{} prev_comm={} prev_pid={} prev_prio={} next_comm={} next_pid={} next_prio={}",
            sample.tid.unwrap().tid,
            text("prev_comm"),
            number("prev_pid"),
            number("prev_prio"),
            text("next_comm"),
            number("next_pid"),
            number("next_prio"),
        ));
    }
    switches
}

fn kept(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut File::open(path).unwrap(), &mut bytes).unwrap();
    bytes
}

/// `perf script -F tid,trace` of perf 6.1 and 7.3, without `prev_state` and the arrow behind it.
#[test]
fn the_fields_of_a_recording_are_what_perf_prints() {
    let switches_of = switches(&kept("tracepoint.pipe"));
    assert_eq!(switches_of.len(), 240);
    for line in [
        "6 prev_comm=sh prev_pid=14329 prev_prio=120 next_comm=sh next_pid=14331 next_prio=120",
        "8 prev_comm=seq prev_pid=14331 prev_prio=120 next_comm=sh next_pid=14329 next_prio=120",
        "6 prev_comm=sh prev_pid=14329 prev_prio=120 next_comm=sh next_pid=14332 next_prio=120",
    ] {
        assert!(switches_of.iter().any(|other| other == line), "{line}");
    }
    assert!(!switches(&kept("newest-tracepoint-and-clock.data")).is_empty());
}

/// The twin of a little-endian recording has samples of the other order around RAW data that stay as they were, and
/// tracing data that says so.
#[test]
fn the_order_of_the_fields_is_that_of_the_tracing_data() {
    for name in ["tracepoint.pipe", "newest-tracepoint.pipe"] {
        let bytes = kept(name);
        let twin = swapped(&bytes);
        assert_eq!(PerfReader::open_stream(&twin[..]).unwrap().endian(), Endian::Big);
        assert_eq!(switches(&twin), switches(&bytes), "{name}");
    }
}

proptest! {
    #![proptest_config(config(512, "tracepoints"))]

    #[test]
    fn a_hostile_format_is_read_or_refused_and_its_values_are_of_the_data(
        endian in endian(),
        long_size in any::<u8>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), b'0'..=b'9', Just(b'\n'), Just(b'['), Just(b';')]), 0..6),
        raw in prop::collection::vec(any::<u8>(), 0..90),
    ) {
        let mut text = EVERY_KIND.as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let Ok(format) = EventFormat::parse(&text, endian, long_size) else { return Ok(()) };
        for field in &format.fields {
            match field.value(&raw) {
                Some(FieldValue::Text(text)) => prop_assert!(text.len() <= raw.len()),
                Some(FieldValue::Bytes(bytes)) => prop_assert!(bytes.len() <= raw.len()),
                Some(FieldValue::Array(numbers)) => {
                    prop_assert_eq!(numbers.iter().count(), numbers.len());
                    prop_assert!(numbers.len() <= raw.len());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn no_text_at_all_makes_the_parser_panic(text in "(name: |ID: |field:|offset:|size:|signed:|__data_loc |[a-z0-9;:\\[\\] \t*\n]{1,4}|99999999999){0,40}") {
        EventFormat::parse(text.as_bytes(), Endian::Little, 8).ok();
    }
}
