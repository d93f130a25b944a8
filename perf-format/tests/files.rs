//! What stands round the records of a file is read as it was written, in both byte orders, and means the same in a
//! pipe; what lies outside a file or over something else is refused.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use perf_format::attr::{BranchSampleType, SampleType};
use perf_format::header::{FILE_HEADER_LEN, PIPE_HEADER_SIZE};
use perf_format::record::{BuildIdRecord, EventUpdate, SizedBuildId, Update};
use perf_format::strategies::config;
use perf_format::testing::{At, StreamBuilder, attr};
use perf_format::{
    Attr, BuildId, CpuMode, Endian, EventAttr, Feature, FilePreamble, Misc, PerfFile, PipeFeatures,
    PipeRefusal, Preamble, Record, RecordReader, RecordType, Section, event_names, push_build_id,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

fn bytes_of(attr: &Attr, endian: Endian) -> Vec<u8> {
    attr.to_bytes(endian)
}

/// What a preamble is made of, but for its byte order.
#[derive(Debug, Clone)]
struct Parts {
    /// Bits of the attr's sample type, and ids.
    events: Vec<(u64, Vec<u64>)>,
    features: BTreeMap<u32, Vec<u8>>,
    /// Places of features that were not to be had.
    absent: u64,
}

impl Parts {
    fn preamble(&self, endian: Endian) -> Preamble {
        let event = |(bits, ids): &(u64, Vec<u64>)| EventAttr {
            attr: bytes_of(&attr(SampleType::from_bits_retain(*bits)), endian),
            ids: ids.clone(),
        };
        let mut preamble = Preamble::new(endian, self.events.iter().map(event).collect());
        preamble.features.extend(self.features.iter().map(|(bit, data)| (Feature(*bit), data.clone())));
        // By the host's name readers tell how wide the words of the bitmap are.
        preamble.features.insert(Feature::HOSTNAME, b"host".to_vec());
        preamble.slack = self.absent * 16;
        preamble
    }
}

fn parts() -> impl Strategy<Value = Parts> {
    let events = vec((any::<u64>(), vec(any::<u64>(), 0..5)), 0..4);
    // The table of build-ids (2) has to be one.
    let number = prop_oneof![Just(1_u32), 3..256_u32];
    let features = btree_map(number, vec(any::<u8>(), 0..40), 0..6);
    (events, features, 0u64..4).prop_map(|(events, features, absent)| Parts { events, features, absent })
}

fn written(preamble: &Preamble, records: &[u8]) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let placement = preamble.write_before(&mut out).unwrap();
    assert_eq!(out.position(), placement.data);
    out.write_all(records).unwrap();
    preamble.write_behind(&mut out, placement, records.len() as u64).unwrap();
    out.into_inner()
}

fn opened(bytes: &[u8]) -> PerfFile<Cursor<&[u8]>> {
    PerfFile::open(Cursor::new(bytes)).unwrap()
}

/// Some records, without the pipe's header.
fn some_records(endian: Endian) -> Vec<u8> {
    let stream = StreamBuilder::new(endian).unknown(99, b"odd").finished_round().unknown(98, b"").bytes();
    stream[PIPE_HEADER_SIZE..].to_vec()
}

/// The offsets of a file's records, and what their reading ends with.
fn offsets(file: &mut PerfFile<Cursor<&[u8]>>) -> (Vec<u64>, Option<String>) {
    let mut reader = file.records().unwrap();
    let mut offsets = Vec::new();
    loop {
        match reader.next_batch() {
            Ok(Some(batch)) => offsets.extend(batch.map(|record| record.unwrap().offset)),
            Ok(None) => return (offsets, None),
            Err(error) => return (offsets, Some(error.to_string())),
        }
    }
}

proptest! {
    #![proptest_config(config(256, "files"))]

    #[test]
    fn a_file_reads_back_as_it_was_written(parts in parts(), records in vec(any::<u8>(), 1..200)) {
        for endian in ORDERS {
            let preamble = parts.preamble(endian);
            let bytes = written(&preamble, &records);
            let mut file = opened(&bytes);
            file.check_overlaps().unwrap();
            file.check_complete().unwrap();
            prop_assert_eq!(file.header.endian, endian);
            prop_assert_eq!(&file.preamble().unwrap(), &preamble);
            for (feature, data) in &preamble.features {
                prop_assert!(file.has(*feature));
                let (offset, read) = file.feature_bytes(*feature).unwrap().unwrap();
                prop_assert_eq!(&read, data);
                let at = usize::try_from(offset).unwrap();
                prop_assert_eq!(&bytes[at..at + data.len()], &data[..]);
            }
            let mut read = Vec::new();
            std::io::Read::read_to_end(&mut file.record_bytes().unwrap(), &mut read).unwrap();
            prop_assert_eq!(&read, &records);
            prop_assert_eq!(written(&file.preamble().unwrap(), &records), bytes);
        }
    }

    #[test]
    fn a_pipe_says_of_events_and_features_what_the_file_says(parts in parts()) {
        for endian in ORDERS {
            let mut preamble = parts.preamble(endian);
            preamble.slack = 0;
            // A pipe says these with records of its own, and has no word for a feature that lacks its bytes.
            preamble.features.retain(|feature, data| {
                !feature.is_of_the_file() && (!data.is_empty() || feature.is_flag())
            });
            let sampled: u64 = parts.events.iter().fold(0, |bits, (of_event, _)| bits | of_event);
            if SampleType::from_bits_retain(sampled).contains(SampleType::BRANCH_STACK) {
                preamble.features.entry(Feature::BRANCH_STACK).or_default();
            }
            let pipe = preamble.to_pipe(PipeFeatures::All, |feature, _| panic!("{feature} is small")).unwrap();
            let mut reader = RecordReader::records(&pipe[PIPE_HEADER_SIZE..], endian, PIPE_HEADER_SIZE as u64);
            prop_assert_eq!(Preamble::read_from_pipe(&mut reader).unwrap(), preamble);
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_no_file_or_has_its_events_or_says_where_it_ends(
        parts in parts(), endian in prop::sample::select(&ORDERS[..]), at in any::<prop::sample::Index>()
    ) {
        let whole = written(&parts.preamble(endian), &some_records(endian));
        let cut = &whole[..at.index(whole.len())];
        let Ok(mut file) = PerfFile::open(Cursor::new(cut)) else {
            prop_assert!(cut.len() < FILE_HEADER_LEN);
            return Ok(());
        };
        let len = cut.len() as u64;
        let Section { offset, size } = file.header.words.data;
        prop_assert_eq!(file.check_complete().is_ok(), offset + size <= len);
        prop_assert_eq!(file.events().is_ok(), offset <= len);
        // The last feature may have no bytes that could be missing.
        match file.preamble() {
            Ok(preamble) => prop_assert_eq!(preamble, parts.preamble(endian)),
            Err(error) => {
                let end = format!("lies outside the file, which has {len} bytes");
                prop_assert!(error.to_string().ends_with(&end), "{}", error);
            }
        }
    }
}

#[test]
fn what_comes_behind_the_preamble_of_a_pipe_stays_where_it_is() {
    for endian in ORDERS {
        let stream = StreamBuilder::new(endian)
            .attr(&attr(SampleType::IP), &[5, 6])
            .tracing_data(&[0x44; 24])
            .sample(CpuMode::User, At::new(1, 2), 3, &[])
            .attr(&attr(SampleType::TIME), &[7])
            .bytes();
        let mut reader = RecordReader::records(&stream[PIPE_HEADER_SIZE..], endian, 0);
        let preamble = Preamble::read_from_pipe(&mut reader).unwrap();
        assert_eq!(preamble.events.iter().map(|event| &event.ids[..]).collect::<Vec<_>>(), [[5, 6]]);
        assert_eq!(preamble.features[&Feature::TRACING_DATA].len(), 24);
        let batch = reader.next_batch().unwrap().unwrap();
        let types: Vec<_> = batch.map(|record| record.unwrap().record_type().to_string()).collect();
        assert_eq!(types, ["SAMPLE", "HEADER_ATTR"]);
    }
}

#[test]
fn tracing_data_that_stands_inside_its_record_becomes_the_feature_of_a_file() {
    for endian in ORDERS {
        let stream = StreamBuilder::new(endian).attr(&attr(SampleType::IP), &[5]);
        let announced = [&endian.put_u32(24)[..], &[0x44; 24], &[0; 8]].concat();
        let stream = stream.unknown(RecordType::TRACING_DATA.0, &announced).finished_round().bytes();
        let mut reader = RecordReader::records(&stream[PIPE_HEADER_SIZE..], endian, 0);
        let preamble = Preamble::read_from_pipe(&mut reader).unwrap();
        assert_eq!(preamble.features[&Feature::TRACING_DATA], [0x44; 24]);
        let batch = reader.next_batch().unwrap().unwrap();
        let types: Vec<_> = batch.map(|record| record.unwrap().record_type().to_string()).collect();
        assert_eq!(types, ["FINISHED_ROUND"]);
    }
}

/// The ids and names of the EVENT_UPDATE records of a pipe.
fn names_in_pipe(preamble: &Preamble) -> Vec<(u64, String)> {
    let pipe = preamble.to_pipe(PipeFeatures::Readable, |_, _| ()).unwrap();
    let mut reader = RecordReader::records(&pipe[PIPE_HEADER_SIZE..], preamble.endian, 0);
    let mut names = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        for record in batch.map(Result::unwrap) {
            if let Record::EventUpdate(EventUpdate { id, update: Update::Name(name) }) =
                record.parse().unwrap()
            {
                names.push((id, name.to_string()));
            }
        }
    }
    names
}

#[test]
fn the_name_of_each_event_that_readers_find_by_an_id_is_in_a_pipe() {
    for endian in ORDERS {
        let attr = bytes_of(&attr(SampleType::IP), endian);
        let size = u32::try_from(attr.len()).unwrap();
        let of = |events: &[(&[u64], &[u64])]| {
            let mut preamble = Preamble::new(endian, Vec::new());
            let mut desc =
                [endian.put_u32(u32::try_from(events.len()).unwrap()), endian.put_u32(size)].concat();
            for (number, (ids, ids_in_desc)) in events.iter().enumerate() {
                preamble.events.push(EventAttr { attr: attr.clone(), ids: ids.to_vec() });
                desc.extend_from_slice(&attr);
                desc.extend(endian.put_u32(u32::try_from(ids_in_desc.len()).unwrap()));
                desc.extend(endian.put_u32(8));
                desc.extend(format!("name-{number}\0\0").bytes().take(8));
                desc.extend(ids_in_desc.iter().flat_map(|id| endian.put_u64(*id)));
            }
            preamble.features.insert(Feature::EVENT_DESC, desc);
            names_in_pipe(&preamble)
        };
        let named = |names: &[(u64, &str)]| -> Vec<_> {
            names.iter().map(|(id, name)| (*id, (*name).to_owned())).collect()
        };
        assert_eq!(of(&[(&[], &[])]), named(&[(0, "name-0")]));
        assert_eq!(of(&[(&[5, 6], &[5, 6]), (&[7, 8], &[7, 8])]), named(&[(5, "name-0"), (7, "name-1")]));
        // The attr's own ids are those that samples carry.
        assert_eq!(of(&[(&[5], &[]), (&[0, 7], &[9])]), named(&[(5, "name-0"), (7, "name-1")]));
        assert_eq!(of(&[(&[5], &[5]), (&[], &[])]), named(&[(5, "name-0")]));
    }
}

/// The EVENT_DESC feature: attrs, names and ids.
fn event_desc(events: &[(&EventAttr, &str, &[u64])], endian: Endian) -> Vec<u8> {
    let u32 = |number: usize| endian.put_u32(u32::try_from(number).unwrap()).to_vec();
    let size = events[0].0.attr.len();
    let mut desc = [u32(events.len()), u32(size)].concat();
    for (event, name, ids) in events {
        let padded = [name.as_bytes(), &vec![0; 64 - name.len()]].concat();
        desc.extend([&event.attr[..], &u32(ids.len()), &u32(64), &padded].concat());
        desc.extend(ids.iter().flat_map(|id| endian.put_u64(*id)));
    }
    desc
}

fn event(sample_type: SampleType, ids: &[u64], endian: Endian) -> EventAttr {
    EventAttr { attr: bytes_of(&attr(sample_type), endian), ids: ids.to_vec() }
}

#[test]
fn an_event_is_described_with_all_of_its_ids() {
    for endian in ORDERS {
        let event = event(SampleType::IP, &[], endian);
        let desc = event_desc(&[(&event, "cycles", &[5, 6, 7]), (&event, "faults", &[])], endian);
        let names = event_names(&desc, endian);
        let ids: Vec<Vec<u64>> = names.iter().map(|event| event.ids.iter().collect()).collect();
        assert_eq!(ids, [vec![5, 6, 7], vec![]]);
        assert_eq!(names.iter().map(|event| event.name).collect::<Vec<_>>(), ["cycles", "faults"]);
        // Of one that is cut there is nothing.
        assert_eq!(event_names(&desc[..desc.len() - 1], endian).len(), 1);
    }
}

#[test]
fn what_was_made_of_a_pipe_is_the_same_pipe_again_and_the_same_file() {
    for endian in ORDERS {
        let events = [event(SampleType::IP, &[5, 6], endian), event(SampleType::IP, &[7], endian)];
        let desc = event_desc(&[(&events[0], "one", &[5, 6]), (&events[1], "two", &[7])], endian);
        let mut preamble = Preamble::new(endian, events.to_vec());
        preamble.features.insert(Feature::EVENT_DESC, desc);
        let mut table = Vec::new();
        let id = BuildId::new(&[0x5a; 20]).unwrap();
        let entry = BuildIdRecord { pid: -1, build_id: SizedBuildId(Some(id)), filename: "/bin/a".into() };
        push_build_id(&mut table, Misc::of(CpuMode::User), entry, endian).unwrap();
        preamble.features.insert(Feature::BUILD_ID, table);
        let pipe = preamble.to_pipe(PipeFeatures::Readable, |_, _| ()).unwrap();
        assert_eq!(names_in_pipe(&preamble).len(), 2);
        let mut reader = RecordReader::records(&pipe[PIPE_HEADER_SIZE..], endian, 0);
        let again = Preamble::read_from_pipe(&mut reader).unwrap();
        assert_eq!(again, preamble);
        assert!(reader.next_batch().unwrap().is_none(), "all of it is of the preamble");
        assert_eq!(again.to_pipe(PipeFeatures::Readable, |_, _| ()).unwrap(), pipe);
    }
}

#[test]
fn what_is_said_of_an_event_and_no_feature_has_stays_a_record() {
    for endian in ORDERS {
        let event = event(SampleType::IP, &[5, 6], endian);
        let desc = event_desc(&[(&event, "one", &[5, 6])], endian);
        let named = |id, name: &'static str| EventUpdate { id, update: Update::Name(name.into()) };
        let others =
            [named(5, "two"), named(6, "one"), EventUpdate { id: 5, update: Update::Unit("ms".into()) }];
        for (update, is_said_twice) in
            others.map(|other| (other, false)).into_iter().chain([(named(5, "one"), true)])
        {
            let mut preamble = Preamble::new(endian, vec![event.clone()]);
            preamble.features.insert(Feature::EVENT_DESC, desc.clone());
            let mut pipe = preamble.to_pipe(PipeFeatures::Readable, |_, _| ()).unwrap();
            Record::EventUpdate(update).encode(Misc::default(), &[], endian, &mut pipe).unwrap();
            let mut reader = RecordReader::records(&pipe[PIPE_HEADER_SIZE..], endian, 0);
            assert_eq!(Preamble::read_from_pipe(&mut reader).unwrap(), preamble);
            assert_eq!(reader.next_batch().unwrap().is_none(), is_said_twice);
        }
    }
}

#[test]
fn branch_stacks_in_samples_become_the_feature_of_a_file_unless_they_are_call_stacks() {
    for endian in ORDERS {
        let mut branches = attr(SampleType::IP | SampleType::BRANCH_STACK);
        let is_said = |attrs: &[&Attr]| {
            let stream =
                attrs.iter().fold(StreamBuilder::new(endian), |stream, attr| stream.attr(attr, &[5]));
            let stream = stream.finished_round().bytes();
            let mut reader = RecordReader::records(&stream[PIPE_HEADER_SIZE..], endian, 0);
            let preamble = Preamble::read_from_pipe(&mut reader).unwrap();
            preamble.features.get(&Feature::BRANCH_STACK).map(Vec::len)
        };
        assert_eq!(is_said(&[&attr(SampleType::IP)]), None);
        assert_eq!(is_said(&[&branches]), Some(0));
        assert_eq!(is_said(&[&attr(SampleType::IP), &branches]), Some(0));
        branches.fields.branch_sample_type = BranchSampleType::CALL_STACK;
        assert_eq!(is_said(&[&branches]), None);
    }
}

#[test]
fn attrs_of_different_sizes_get_the_size_of_the_largest() {
    for endian in ORDERS {
        let large = attr(SampleType::IP);
        let mut small = large.clone();
        small.fields.size = 64;
        let event = |attr| EventAttr { attr: bytes_of(attr, endian), ids: vec![] };
        assert!(event(&small).attr.len() < event(&large).attr.len());
        let bytes = written(&Preamble::new(endian, vec![event(&small), event(&large)]), &[0]);
        let events = opened(&bytes).events().unwrap();
        assert_eq!(events[1], event(&large));
        assert_eq!(events[0].attr.len(), event(&large).attr.len());
        assert_eq!(endian.u32_at(&events[0].attr, 4), Some(u32::try_from(events[0].attr.len()).unwrap()));
    }
}

#[test]
fn of_a_recording_that_was_never_closed_the_events_and_all_records_are_read() {
    for endian in ORDERS {
        let mut preamble = Preamble::new(endian, Vec::new());
        preamble.events.push(EventAttr { attr: bytes_of(&attr(SampleType::IP), endian), ids: vec![3] });
        let events = preamble.clone();
        preamble.features.insert(Feature::HOSTNAME, b"host".to_vec());
        let records = some_records(endian);
        let mut bytes = written(&preamble, &records);
        let Section { offset, size } = opened(&bytes).header.words.data;
        bytes.truncate(usize::try_from(offset + size).unwrap());
        // The header's word of how many bytes the records have.
        bytes[48..56].fill(0);
        let mut file = opened(&bytes);
        assert!(!file.is_closed());
        file.check_complete_or_unclosed().unwrap();
        let said = file.check_complete().unwrap_err().to_string();
        assert!(said.ends_with("was never completed: the recording was not closed"), "{said}");
        assert_eq!(file.preamble().unwrap(), events);
        assert_eq!(offsets(&mut file), (vec![offset, offset + 11, offset + 19], None));
    }
}

/// The bytes of a file with these words written at an offset.
fn with_words(file: &[u8], at: usize, words: &[u64], endian: Endian) -> Vec<u8> {
    let words: Vec<u8> = words.iter().flat_map(|word| endian.put_u64(*word)).collect();
    [&file[..at], &words, &file[at + words.len()..]].concat()
}

#[test]
fn a_feature_that_is_damaged_is_absent_and_the_others_are_there() {
    for endian in ORDERS {
        let mut preamble = Preamble::new(endian, vec![event(SampleType::IP, &[5], endian)]);
        let mut table = Vec::new();
        let entry = BuildIdRecord { pid: -1, build_id: SizedBuildId(None), filename: "/bin/a".into() };
        push_build_id(&mut table, Misc::of(CpuMode::User), entry, endian).unwrap();
        preamble.features.insert(Feature::BUILD_ID, table);
        preamble.features.insert(Feature::HOSTNAME, b"host".to_vec());
        preamble.features.insert(Feature::ARCH, b"arch".to_vec());
        let file = written(&preamble, &some_records(endian));
        assert_eq!(opened(&file).preamble().unwrap(), preamble);
        let at = usize::try_from(opened(&file).header.feature_table().unwrap()).unwrap();
        let attrs = opened(&file).header.words.attrs;
        let ids = opened(&file).feature(Feature::BUILD_ID).unwrap().unwrap();
        let without = |damaged: &[u8], feature: Feature, expected: &str| {
            let FilePreamble { preamble: read, damaged, cut } = opened(damaged).preamble_as_far().unwrap();
            assert!(cut.is_none(), "{cut:?}");
            let [(of, error)] = &damaged[..] else { panic!("{damaged:?}") };
            assert_eq!(*of, feature);
            assert!(error.to_string().contains(expected), "{error}");
            let mut rest = preamble.clone();
            rest.features.remove(&feature);
            assert_eq!((read.events, read.features), (rest.events, rest.features));
        };
        // A table of which others wrote over the start: the size of its first entry is 0.
        let start = usize::try_from(ids.offset).unwrap();
        let at_it = format!("offset {:#x}", ids.offset);
        without(&with_words(&file, start, &[0; 4], endian), Feature::BUILD_ID, &at_it);
        let over = with_words(&file, at, &[attrs.offset, 8], endian);
        without(&over, Feature::BUILD_ID, &format!("the BUILD_ID section at offset {:#x}", attrs.offset));
        without(&over, Feature::BUILD_ID, "overlaps the attrs");
        // What lies outside in the middle of what is in order is no cut.
        without(
            &with_words(&file, at + 16, &[1 << 40, 9], endian),
            Feature::HOSTNAME,
            "lies outside the file",
        );
        without(
            &with_words(&file, at + 16, &[5, u64::MAX], endian),
            Feature::HOSTNAME,
            "lies outside the file",
        );
        // Of a file that is cut what was whole is there.
        let FilePreamble { preamble: read, damaged, cut } =
            opened(&file[..file.len() - 1]).preamble_as_far().unwrap();
        assert!(damaged.is_empty() && read.features.len() == 2);
        assert!(cut.unwrap().to_string().contains("the ARCH section"));
    }
}

#[test]
fn another_recording_behind_a_file_is_found() {
    for endian in ORDERS {
        let mut preamble = Preamble::new(endian, vec![event(SampleType::IP, &[5], endian)]);
        for features in [vec![], vec![(Feature::HOSTNAME, b"host".to_vec())]] {
            preamble.features.extend(features);
            let file = written(&preamble, &some_records(endian));
            opened(&file).check_alone().unwrap();
            let stream = StreamBuilder::new(Endian::Big).bytes();
            for behind in [&file[..], &stream] {
                let both = [&file[..], behind].concat();
                let error = opened(&both).check_alone().unwrap_err();
                assert_eq!(
                    error.to_string(),
                    format!("another recording begins at offset {:#x}", file.len())
                );
                let records = opened(&both).preamble().unwrap();
                assert_eq!(records, preamble);
            }
            opened(&[&file[..], b"anything else, of any length"].concat()).check_alone().unwrap();
            opened(&file[..file.len() - 1]).check_alone().unwrap();
        }
    }
}

#[test]
fn a_section_over_another_is_found() {
    let preamble = Preamble::new(
        Endian::Little,
        vec![EventAttr { attr: bytes_of(&attr(SampleType::IP), Endian::Little), ids: vec![] }],
    );
    let good = written(&preamble, &some_records(Endian::Little));
    opened(&good).check_overlaps().unwrap();
    for (word, offset, expected) in [(24, 100_u64, "attrs section"), (40, 110, "data section")] {
        let mut bytes = good.clone();
        bytes[word..word + 8].copy_from_slice(&offset.to_le_bytes());
        let said = opened(&bytes).check_overlaps().unwrap_err().to_string();
        assert!(said.contains(expected) && said.contains("overlaps the "), "{said}");
    }
}

#[test]
fn ids_that_events_share_cannot_be_read_more_often_than_the_file_is_long() {
    let attr = bytes_of(&attr(SampleType::IP), Endian::Little);
    let mut events = vec![EventAttr { attr: attr.clone(), ids: vec![1; 8192] }];
    events.resize(1000, EventAttr { attr, ids: vec![] });
    let mut bytes = written(&Preamble::new(Endian::Little, events), &[0]);
    let mut file = opened(&bytes);
    assert_eq!(file.events().unwrap().len(), 1000);
    let (start, stride) = (file.header.words.attrs.offset, file.header.words.attr_size);
    let at = |number: u64| usize::try_from(start + (number + 1) * stride).unwrap();
    let first = bytes[at(0) - 16..at(0)].to_vec();
    (1..1000).for_each(|number| bytes[at(number) - 16..at(number)].copy_from_slice(&first));
    let said = opened(&bytes).events().unwrap_err().to_string();
    assert!(
        said.starts_with("the ids section at offset ") && said.ends_with("is longer than any such section"),
        "{said}"
    );
}

#[test]
fn an_output_that_cannot_be_written_is_the_outputs_own_error() {
    let preamble = Preamble::new(Endian::Little, Vec::new());
    let mut room = [0; 8];
    let error = preamble.write_before(&mut &mut room[..]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WriteZero);
}

#[test]
fn a_feature_that_is_too_large_for_a_record_is_left_out_of_a_pipe_and_said() {
    let mut preamble = Preamble::new(Endian::Little, Vec::new());
    preamble.features.insert(Feature::CMDLINE, vec![1; 70_000]);
    let mut left_out = Vec::new();
    preamble.to_pipe(PipeFeatures::All, |feature, why| left_out.push((feature, why))).unwrap();
    assert_eq!(left_out, [(Feature::CMDLINE, PipeRefusal::TooLarge)]);
}

/// The ids of each HEADER_ATTR record of a pipe.
fn ids_in_pipe(pipe: &[u8], endian: Endian) -> Vec<Vec<u64>> {
    let mut reader = RecordReader::records(&pipe[PIPE_HEADER_SIZE..], endian, 0);
    let mut ids = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        for record in batch.map(Result::unwrap) {
            if let Record::HeaderAttr(event) = record.parse().unwrap() {
                ids.push(event.ids.0.iter().collect());
            }
        }
    }
    ids
}

#[test]
fn ids_that_do_not_fit_in_a_record_come_in_more_of_them_behind_all_events() {
    for endian in ORDERS {
        let most = (65_535 - 8 - 128) / 8;
        let ids = |from: u64, count: usize| (from..).take(count).collect::<Vec<u64>>();
        for counts in
            [[1, 2], [most, 2], [most + 1, 1], [2 * most + 5, most + 1], [3 * most - 1, 2 * most + 1]]
        {
            let [a, b] = [ids(1, counts[0]), ids(1 << 32, counts[1])];
            // The same attr twice is two events all the same.
            for other in [SampleType::IP, SampleType::TIME] {
                let events = [event(SampleType::IP, &a, endian), event(other, &b, endian)];
                let preamble = Preamble::new(endian, events.to_vec());
                let pipe = preamble.to_pipe(PipeFeatures::Readable, |_, _| ()).unwrap();
                let records = ids_in_pipe(&pipe, endian);
                assert!(records[0] == a[..most.min(a.len())]);
                assert!(other == SampleType::IP || records[1] == b[..most.min(b.len())]);
                let mut reader = RecordReader::records(&pipe[PIPE_HEADER_SIZE..], endian, 0);
                let again = Preamble::read_from_pipe(&mut reader).unwrap();
                assert!(again == preamble, "{counts:?}");
            }
        }
    }
}

#[test]
fn the_only_event_needs_no_more_ids_than_fit_unless_its_samples_have_values_by_id() {
    let ids: Vec<u64> = (1..=8400).collect();
    for (sample_type, expected) in [(SampleType::IP, vec![8174]), (SampleType::READ, vec![8174, 226])] {
        let preamble = Preamble::new(Endian::Little, vec![event(sample_type, &ids, Endian::Little)]);
        let pipe = preamble.to_pipe(PipeFeatures::Readable, |_, _| ()).unwrap();
        let counts: Vec<_> = ids_in_pipe(&pipe, Endian::Little).iter().map(Vec::len).collect();
        assert_eq!(counts, expected);
    }
}

#[test]
fn each_part_of_an_events_ids_has_its_name() {
    let endian = Endian::Little;
    let ids: Vec<u64> = (1..=8400).collect();
    let named = |events: [EventAttr; 2]| {
        let mut preamble = Preamble::new(endian, events.to_vec());
        let desc = event_desc(&[(&events[0], "one", &[1]), (&events[1], "two", &[10_000])], endian);
        preamble.features.insert(Feature::EVENT_DESC, desc);
        let names = names_in_pipe(&preamble).into_iter();
        names.map(|(id, name)| format!("{id} {name}")).collect::<Vec<_>>()
    };
    let other = event(SampleType::TIME, &[10_000], endian);
    let events = [event(SampleType::IP, &ids, endian), other];
    assert_eq!(named(events), ["1 one", "10000 two", "8175 one"]);
    // One that goes on stands before another with its attr; nothing is said of a record that only ends it.
    let same = event(SampleType::IP, &[10_000], endian);
    assert_eq!(
        named([event(SampleType::IP, &ids, endian), same.clone()]),
        ["1 one", "8175 one", "10000 two"]
    );
    assert_eq!(named([event(SampleType::IP, &ids[..8174], endian), same]), ["1 one", "10000 two"]);
}

#[test]
fn an_attr_that_no_record_holds_is_an_error_that_says_whose_it_is() {
    let mut large = attr(SampleType::IP);
    large.fields.size = 65_536;
    large.tail = vec![0; 65_536 - 128];
    let attr = bytes_of(&large, Endian::Little);
    let small = event(SampleType::IP, &[1], Endian::Little);
    let preamble = Preamble::new(Endian::Little, vec![small, EventAttr { attr, ids: vec![] }]);
    let error = preamble.to_pipe(PipeFeatures::All, |_, _| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "event 2 (no name) has an attr of 65536 bytes, which does not fit in a record's 65535"
    );
}
