//! Which features a pipe gets: those that perf reads on behind. What it stops at was found by showing it streams with
//! these very features (perf 6.1, 6.12 and 7.3; tests/features.rs of the program shows them to the perf that is here).

use std::collections::BTreeMap;

use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::testing::features::{Bytes, damaged, whole};
use perf_format::{
    Endian, EventAttr, Feature, PipeFeatures, PipeRefusal, Preamble, RecordReader, RecordType,
};

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

fn preamble(endian: Endian, features: BTreeMap<Feature, Vec<u8>>) -> Preamble {
    let attr = [&[0; 4][..], &endian.put_u32(112), &[0; 104]].concat();
    let events = vec![EventAttr { attr, ids: Vec::new() }; 2];
    Preamble { features, ..Preamble::new(endian, events) }
}

/// The features that are left out of a pipe.
fn left_out(preamble: &Preamble) -> BTreeMap<Feature, PipeRefusal> {
    let mut left_out = BTreeMap::new();
    preamble.to_pipe(PipeFeatures::Readable, |feature, why| _ = left_out.insert(feature, why)).unwrap();
    left_out
}

/// The numbers and sizes of the HEADER_FEATURE records of a pipe.
fn in_pipe(preamble: &Preamble) -> Vec<(u64, usize)> {
    let pipe = preamble.to_pipe(PipeFeatures::Readable, |_, _| ()).unwrap();
    let mut reader = RecordReader::records(&pipe[PIPE_HEADER_SIZE..], preamble.endian, 0);
    let mut found = Vec::new();
    while let Some(batch) = reader.next_batch().unwrap() {
        for record in batch.map(Result::unwrap) {
            if record.record_type() == RecordType::HEADER_FEATURE {
                let id = preamble.endian.u64_at(record.bytes, 8).unwrap();
                found.push((id, record.bytes.len() - 16));
            }
        }
    }
    found
}

#[test]
fn features_as_perf_writes_them_pass() {
    for endian in ORDERS {
        assert_eq!(left_out(&preamble(endian, whole(endian))), BTreeMap::new());
    }
}

#[test]
fn a_feature_that_is_cut_is_left_out() {
    for endian in ORDERS {
        let whole = whole(endian);
        for (feature, data) in &whole {
            // perf reads no EVENT_DESC that is not whole, and reads on.
            if *feature == Feature::EVENT_DESC {
                continue;
            }
            for len in 1..data.len() {
                let mut features = whole.clone();
                features.insert(*feature, data[..len].to_vec());
                let left_out = left_out(&preamble(endian, features));
                // A topology may end before the ids, and before the dies.
                let ends = *feature == Feature::CPU_TOPOLOGY && matches!(len, 56 | 72);
                assert_eq!(left_out.contains_key(feature), !ends, "{feature}, {len} of {}", data.len());
            }
        }
    }
}

#[test]
fn a_feature_that_perf_stops_at_is_left_out_and_said_why() {
    for endian in ORDERS {
        let whole = whole(endian);
        for (what, feature, data) in damaged(endian) {
            let mut features = whole.clone();
            features.insert(feature, data);
            let left_out = left_out(&preamble(endian, features));
            assert!(left_out.contains_key(&feature), "{feature}: {what}");
        }
    }
    let why = |feature, data| {
        let mut features = whole(Endian::Little);
        features.insert(feature, data);
        left_out(&preamble(Endian::Little, features))[&feature].to_string()
    };
    assert_eq!(why(Feature(129), vec![1]), "its number is none of perf's");
    assert_eq!(why(Feature::HOSTNAME, vec![0; 4]), "its text: a size of 0 is not possible");
    let b = Bytes(Endian::Little);
    let cmdline = [b.u32(22), b"hiperf record -d 1".to_vec()].concat();
    assert_eq!(why(Feature::CMDLINE, cmdline), "its text: it is cut short");
    let topology = b.topology(&[(0, 0), (0, 8)]);
    assert_eq!(why(Feature::CPU_TOPOLOGY, topology), "its socket id: a value of 0x8 is not possible");
}

#[test]
fn where_sockets_are_not_counted_any_socket_id_passes() {
    for (arch, passes) in [("x86_64", false), ("aarch64", true), ("s390x", true), ("ppc64le", false)] {
        let b = Bytes(Endian::Little);
        let mut features = whole(Endian::Little);
        features.insert(Feature::ARCH, b.text(arch));
        features.insert(Feature::CPU_TOPOLOGY, b.topology(&[(0, 0), (0, 36)]));
        assert_eq!(left_out(&preamble(Endian::Little, features)).is_empty(), passes, "{arch}");
    }
}

#[test]
fn a_feature_without_bytes_gets_no_record_unless_it_never_has_any() {
    for endian in ORDERS {
        let names = [Feature::HOSTNAME, Feature::BPF_PROG_INFO, Feature::BPF_BTF, Feature::CPU_DOMAIN_INFO];
        let mut features: BTreeMap<_, _> = names.map(|feature| (feature, Vec::new())).into();
        features.insert(Feature::BRANCH_STACK, Vec::new());
        features.insert(Feature::STAT, Vec::new());
        let preamble = preamble(endian, features);
        assert_eq!(left_out(&preamble), BTreeMap::new());
        assert_eq!(in_pipe(&preamble), [(15, 0), (19, 0), (32, 0)]);
    }
}

/// perf 7.3 takes a feature for the mark of the end that has no bytes and a larger number than those before it.
#[test]
fn the_end_is_marked_with_a_number_above_all_others_and_flags_stand_right_before_it() {
    let mut features = whole(Endian::Little);
    features.retain(|feature, _| feature.0 <= 31);
    features.insert(Feature::BRANCH_STACK, Vec::new());
    let until = |features: &BTreeMap<_, _>| in_pipe(&preamble(Endian::Little, features.clone()));
    assert!(until(&features).ends_with(&[(15, 0), (32, 0)]));
    for number in [32, 33, 34, 90] {
        features.insert(Feature(number), whole(Endian::Little).remove(&Feature(number)).unwrap_or(vec![1]));
        assert!(until(&features).ends_with(&[(15, 0), (u64::from(number) + 1, 0)]));
    }
}

#[test]
fn all_features_pass_where_that_is_asked_for() {
    for (what, feature, data) in damaged(Endian::Little) {
        let preamble = preamble(Endian::Little, [(feature, data)].into());
        let pipe = preamble.to_pipe(PipeFeatures::All, |feature, _| panic!("{feature} is small: {what}"));
        let pipe = pipe.unwrap();
        let mut reader = RecordReader::records(&pipe[PIPE_HEADER_SIZE..], Endian::Little, 0);
        assert_eq!(Preamble::read_from_pipe(&mut reader).unwrap(), preamble);
    }
}
