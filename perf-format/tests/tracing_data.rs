//! Tracing data in both byte orders and versions, cut short, and with counts that no data could have.

use perf_format::strategies::config;
use perf_format::tracing_data::TracingData;
use perf_format::{Endian, Error};
use proptest::prelude::*;

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

const SWITCH: &str = "name: sched_switch\nID: 314\nformat:\n\tfield:int prev_pid;\toffset:24;\tsize:4;\tsigned:1;\n\n\
    print fmt: \"name: %s ID: 5\", REC->prev_comm\n";

const WAKEUP: &str = "name: sched_wakeup\nID: 316\nformat:\n";

const UNNUMBERED: &str = "name:\todd \nformat:\nID: not a number\nname: even\n";

/// Tracing data under construction, in the order that it says itself.
struct Builder {
    endian: Endian,
    out: Vec<u8>,
}

impl Builder {
    /// Up to the two texts of tracefs' own: magic, version, byte order, sizes of a long and of a page.
    fn new(endian: Endian, version: &str) -> Self {
        let order = u8::from(endian == Endian::Big);
        let out = [b"\x17\x08\x44tracing", version.as_bytes(), &[0, order, 8]].concat();
        Self { endian, out }.u32(4096)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.out.extend_from_slice(bytes);
        self
    }

    fn u32(self, number: u32) -> Self {
        let bytes = self.endian.put_u32(number);
        self.raw(&bytes)
    }

    fn u64(self, number: u64) -> Self {
        let bytes = self.endian.put_u64(number);
        self.raw(&bytes)
    }

    /// A text with its length before it.
    fn text(self, text: &str) -> Self {
        self.u64(text.len() as u64).raw(text.as_bytes())
    }

    fn headers(self) -> Self {
        self.raw(b"header_page\0").text("page of 4096\n").raw(b"header_event\0").text("type_len: 5\n")
    }
}

/// Whole tracing data: one format of ftrace's own, three events in two systems, and the texts at the end.
fn whole(endian: Endian, version: &str) -> Vec<u8> {
    let data = Builder::new(endian, version).headers().u32(1).text("name: function\nID: 1\n").u32(2);
    let data = data.raw(b"sched\0").u32(2).text(SWITCH).text(WAKEUP).raw(b"odd\0").u32(1).text(UNNUMBERED);
    let data = data.u32(3).raw(b"sym").u32(5).raw(b"print");
    match version {
        "0.5" => data.out,
        _ => data.text("1 init\n").out,
    }
}

#[test]
fn both_versions_are_read_in_both_orders() {
    for endian in ORDERS {
        for version in ["0.5", "0.6"] {
            // As long as the record that announces it says: a multiple of eight.
            let mut bytes = whole(endian, version);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let data = TracingData::parse(&bytes, 0).unwrap();
            assert_eq!((data.version, data.endian), (version.into(), endian));
            assert_eq!((data.long_size, data.page_size), (8, 4096));
            assert_eq!(
                (data.header_page, data.header_event),
                ("page of 4096\n".into(), "type_len: 5\n".into())
            );
            assert_eq!(data.ftrace, ["name: function\nID: 1\n"]);
            assert_eq!(data.systems.iter().map(|system| system.name).collect::<Vec<_>>(), ["sched", "odd"]);
            assert_eq!(data.systems[0].formats, [SWITCH, WAKEUP]);
            assert_eq!(data.systems[1].formats, [UNNUMBERED]);
            assert_eq!((data.kallsyms, data.printk_formats), ("sym".into(), "print".into()));
            assert_eq!(data.saved_cmdlines, (version == "0.6").then_some("1 init\n".into()));
        }
    }
}

#[test]
fn an_event_has_the_first_name_and_id_that_its_format_says() {
    let bytes = whole(Endian::Little, "0.6");
    let data = TracingData::parse(&bytes, 0).unwrap();
    let events = |at: usize| data.systems[at].events().collect::<Vec<_>>();
    assert_eq!(events(0), [("sched_switch".into(), Some(314)), ("sched_wakeup".into(), Some(316))]);
    assert_eq!(events(1), [("odd".into(), None)]);

    let bytes = Builder::new(Endian::Big, "0.6").headers().u32(0).u32(1).raw(b"none\0").u32(1).text("");
    let bytes = bytes.u32(0).u32(0).u64(0).out;
    let data = TracingData::parse(&bytes, 0).unwrap();
    assert_eq!(data.systems[0].events().collect::<Vec<_>>(), [("".into(), None)]);
}

#[test]
fn data_cut_anywhere_is_an_error_that_names_the_place() {
    for (endian, version) in [(Endian::Little, "0.5"), (Endian::Big, "0.6")] {
        let bytes = whole(endian, version);
        for len in 0..bytes.len() {
            let Err(Error::Structure { what, offset, .. }) = TracingData::parse(&bytes[..len], 0x130) else {
                panic!("{len} of {} bytes are enough", bytes.len());
            };
            assert_eq!((what, offset), ("tracing data", 0x130));
        }
        let cut = TracingData::parse(&bytes[..12], 0x130).unwrap_err().to_string();
        assert_eq!(cut, "tracing data at offset 0x130: field version: it has no terminating NUL");
    }
}

#[test]
fn what_is_no_tracing_data_is_refused() {
    let good = whole(Endian::Little, "0.6");
    for (at, field) in [(0, "magic"), (9, "magic"), (20, "header_page"), (53, "header_event")] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x20;
        let said = TracingData::parse(&bytes, 0).unwrap_err().to_string();
        assert_eq!(said, format!("tracing data at offset 0x0: field {field}: not what must stand here"));
    }
}

/// A reader that believed these would ask for more memory than there is, or never come back.
#[test]
fn counts_that_no_data_could_have_are_errors_and_not_allocated() {
    let said = |data: Builder| TracingData::parse(&data.raw(&[0; 64]).out, 0).unwrap_err().to_string();
    for endian in ORDERS {
        let start = || Builder::new(endian, "0.6");
        for size in [78, u64::from(u32::MAX), u64::MAX - 7, u64::MAX] {
            let count = format!("a count of {size} does not fit");
            let page = said(start().raw(b"header_page\0").u64(size));
            assert_eq!(page, format!("tracing data at offset 0x0: field header_page: {count}"));
            let ftrace = said(start().headers().u32(1).u64(size));
            assert_eq!(ftrace, format!("tracing data at offset 0x0: field ftrace events: {count}"));
            let cmdlines = said(start().headers().u32(0).u32(0).u32(0).u32(0).u64(size));
            assert_eq!(cmdlines, format!("tracing data at offset 0x0: field saved_cmdlines: {count}"));
        }
        let short = "it is cut short";
        let ftrace = said(start().headers().u32(u32::MAX));
        assert_eq!(ftrace, format!("tracing data at offset 0x0: field ftrace events: {short}"));
        let events = said(start().headers().u32(0).u32(1).raw(b"sched\0").u32(u32::MAX));
        assert_eq!(events, format!("tracing data at offset 0x0: field event formats: {short}"));
        let systems = said(start().headers().u32(0).u32(u32::MAX));
        assert_eq!(systems, format!("tracing data at offset 0x0: field event formats: {short}"));
        let kallsyms = said(start().headers().u32(0).u32(0).u32(u32::MAX));
        let count = format!("a count of {} does not fit", u32::MAX);
        assert_eq!(kallsyms, format!("tracing data at offset 0x0: field kallsyms: {count}"));
    }
}

proptest! {
    #![proptest_config(config(256, "tracing_data"))]

    #[test]
    fn damaged_data_is_read_or_refused_and_its_texts_are_out_of_it(
        endian in prop::sample::select(&ORDERS[..]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = whole(endian, "0.6");
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        match TracingData::parse(&bytes, 7) {
            Ok(data) => {
                let formats = data.systems.iter().flat_map(|system| &system.formats).chain(&data.ftrace);
                prop_assert!(formats.map(|format| format.len()).sum::<usize>() < bytes.len());
                // Event names and ids are asked for whatever the formats say.
                let events = data.systems.iter().flat_map(|system| system.events()).count();
                prop_assert_eq!(events, data.systems.iter().map(|system| system.formats.len()).sum::<usize>());
            }
            Err(error) => prop_assert!(error.to_string().starts_with("tracing data at offset 0x7: "), "{}", error),
        }
    }
}
