//! Events with their ids and names: out of EVENT_DESC, and where it is missing, out of what they count.

use std::fs::File;
use std::path::Path;

use perf_format::attr::{AttrFields, SampleType};
use perf_format::feature::push_event_name;
use perf_format::testing::sched::{SchedEvent, event_desc};
use perf_format::testing::{attr, features::Bytes};
use perf_format::{Attr, Endian, Error, EventAttr, EventType, Feature, PerfReader, Preamble, SoftwareEvent};

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

fn bytes_of(attr: &Attr, endian: Endian) -> Vec<u8> {
    attr.to_bytes(endian)
}

fn software(config: u64) -> Attr {
    let mut attr = attr(SampleType::IP);
    attr.fields = AttrFields { kind: 1, config, ..attr.fields };
    attr
}

fn event(config: u64, ids: &[u64], endian: Endian) -> EventAttr {
    EventAttr { attr: bytes_of(&software(config), endian), ids: ids.to_vec() }
}

/// EVENT_DESC of events with these names and ids.
fn description(events: &[(&str, &[u64])], endian: Endian) -> Vec<u8> {
    let bytes = Bytes(endian);
    let mut data = [bytes.u32(u32::try_from(events.len()).unwrap()), bytes.u32(128)].concat();
    for (name, ids) in events {
        data.extend(bytes_of(&software(0), endian));
        data.extend(bytes.u32(u32::try_from(ids.len()).unwrap()));
        data.extend(bytes.text(name));
        data.extend(ids.iter().flat_map(|id| endian.put_u64(*id)));
    }
    data
}

fn named(preamble: &Preamble) -> Vec<(String, Vec<u64>)> {
    let infos = preamble.event_infos().unwrap();
    infos.into_iter().map(|info| (info.name.to_string(), info.ids)).collect()
}

#[test]
fn a_name_is_found_by_the_events_ids_and_else_by_its_place() {
    for endian in ORDERS {
        let events = vec![event(0, &[1, 2], endian), event(2, &[3], endian)];
        let mut preamble = Preamble::new(endian, events);
        let mut describe = |events: &[(&str, &[u64])]| {
            preamble.features.insert(Feature::EVENT_DESC, description(events, endian));
            named(&preamble)
        };
        let owned = |events: &[(&str, &[u64])]| {
            events.iter().map(|(name, ids)| ((*name).to_owned(), ids.to_vec())).collect::<Vec<_>>()
        };
        assert_eq!(describe(&[("b", &[3]), ("a", &[1, 2, 5])]), owned(&[("a", &[1, 2, 5]), ("b", &[3])]));
        assert_eq!(describe(&[("a", &[]), ("b", &[])]), owned(&[("a", &[1, 2]), ("b", &[3])]));
        assert_eq!(describe(&[("", &[1]), ("b", &[3])]), owned(&[("cpu-clock", &[1, 2]), ("b", &[3])]));
        assert_eq!(describe(&[("a", &[9])]), owned(&[("cpu-clock", &[1, 2]), ("page-faults", &[3])]));
        preamble.features.clear();
        assert_eq!(named(&preamble), owned(&[("cpu-clock", &[1, 2]), ("page-faults", &[3])]));
    }
}

#[test]
fn the_events_of_a_recording_are_named_as_perf_named_them_with_their_description_or_without() {
    let expected = [
        ("two-events.pipe", &["cpu-clock", "task-clock"][..]),
        ("group.pipe", &["cpu-clock", "page-faults"]),
        ("tracepoint-and-clock.pipe", &["sched:sched_switch", "cpu-clock"]),
        ("newest-tracepoint-and-clock.data", &["sched:sched_switch", "cpu-clock"]),
        ("user-only.pipe", &["task-clock:u"]),
    ];
    for (file, names) in expected {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(file);
        let reader = PerfReader::open(File::open(path).unwrap()).unwrap();
        let mut preamble = reader.preamble().clone();
        let infos = preamble.event_infos().unwrap();
        assert_eq!(infos.iter().map(|info| info.name.to_string()).collect::<Vec<_>>(), names, "{file}");
        preamble.features.remove(&Feature::EVENT_DESC).unwrap();
        let made_up: Vec<_> = named(&preamble).into_iter().map(|(name, _)| name).collect();
        assert_eq!(made_up, names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), "{file}");
    }
}

#[test]
fn an_attr_is_read_by_itself() {
    for endian in ORDERS {
        let mut bytes = bytes_of(&software(2), endian);
        let attr = Attr::parse(&[&bytes[..], &[9; 8]].concat(), endian).unwrap();
        assert_eq!(attr, software(2));
        assert_eq!(attr.event_type(), EventType::Software(SoftwareEvent::PageFaults));
        let cut = Attr::parse(&bytes[..100], endian).unwrap_err().to_string();
        assert_eq!(cut, "attr at offset 0x0: field size: a size of 128 is not possible");
        bytes.truncate(6);
        assert!(matches!(Attr::parse(&bytes, endian), Err(Error::Structure { .. })));
        let broken = Preamble::new(endian, vec![EventAttr { attr: bytes, ids: vec![1] }]);
        assert!(matches!(broken.event_infos(), Err(Error::Structure { .. })));
    }
}

#[test]
fn an_event_that_is_added_has_its_name_beside_those_of_the_others() {
    for endian in [Endian::Little, Endian::Big] {
        let events = [SchedEvent::Switch, SchedEvent::CpuClock];
        let (feature, desc) = event_desc(&events, endian);
        for with_names in [true, false] {
            let of =
                |event: &SchedEvent| EventAttr { attr: event.attr().to_bytes(endian), ids: vec![event.id()] };
            let mut preamble = Preamble::new(endian, events.iter().map(of).collect());
            if with_names {
                preamble.features.insert(feature, desc.clone());
            }
            let attr = SchedEvent::CpuClock.attr();
            preamble
                .add_event(
                    &attr,
                    &[99],
                    "a name of 63 bytes and more, which is padded to 128 bytes, not 64".into(),
                )
                .unwrap();
            let infos = preamble.event_infos().unwrap();
            let shown: Vec<_> =
                infos.iter().map(|event| (event.name.to_string(), event.ids.clone())).collect();
            let first = if with_names { "sched:sched_switch" } else { "unknown tracepoint id=0x1" };
            let long = "a name of 63 bytes and more, which is padded to 128 bytes, not 64";
            let expected = [(first, 11), ("cpu-clock", 15), (long, 99)];
            assert_eq!(shown, expected.map(|(name, id)| (name.to_owned(), vec![id])));
            assert_eq!(infos[2].attr, attr);
        }
    }
}

#[test]
fn what_cannot_take_another_event_stays_as_it_is() {
    let endian = Endian::Little;
    let (_, whole) = event_desc(&[SchedEvent::CpuClock], endian);
    // Cut, of two events of which one is there, and with attrs that are shorter than the new one.
    let cut = whole[..whole.len() - 4].to_vec();
    let mut two = whole.clone();
    two[0] = 2;
    let short = [endian.put_u32(0), endian.put_u32(64)].concat();
    for feature in [cut, two, short, vec![7]] {
        let mut after = feature.clone();
        push_event_name(&mut after, &SchedEvent::CpuClock.attr(), "name".into(), &[1], endian);
        assert_eq!(after, feature);
    }
}
