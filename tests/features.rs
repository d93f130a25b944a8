//! What a recording says of itself, on its way from file to pipe and back: perf reads each pipe that is made of a file, and
//! the file that is made of the pipe says what the first one did.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::{Output, Stdio};

use common::oracle::Perf;
use common::{oracle, perftool, run, stderr};
use perf_format::attr::SampleType;
use perf_format::codec::Encoder;
use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::record::{CpuMode, Misc};
use perf_format::testing::features::{Bytes, damaged, whole};
use perf_format::testing::{At, StreamBuilder, attr};
use perf_format::{
    Endian, EventAttr, Feature, PerfFile, Preamble, RecordHeader, RecordType, Section, build_id_table,
};

const BYTES: Bytes = Bytes(Endian::Little);

/// A recording of two events in file format, as its preamble and its records.
fn two_events() -> (Preamble, Vec<u8>) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    let mut inject = perftool(&["inject", "-i"]);
    let done =
        inject.arg(common::data().join("two-events.pipe")).arg("-o").arg(&file).output().expect("it runs");
    assert!(done.status.success(), "{}", stderr(&done));
    let bytes = fs::read(&file).expect("written");
    let mut file = PerfFile::open(Cursor::new(&bytes[..])).expect("a file");
    let Section { offset, size } = file.header.words.data;
    let at = |offset: u64| usize::try_from(offset).expect("small");
    (file.preamble().expect("a preamble"), bytes[at(offset)..at(offset + size)].to_vec())
}

fn write(path: &Path, preamble: &Preamble, records: &[u8]) {
    let mut out = File::create(path).expect("made");
    let before = preamble.write_before(&mut out).expect("written");
    out.write_all(records).expect("written");
    preamble.write_behind(&mut out, before, records.len() as u64).expect("written");
}

fn features_of(path: &Path) -> BTreeMap<Feature, Vec<u8>> {
    let file = File::open(path).expect("there");
    PerfFile::open(file).expect("a file").preamble().expect("a preamble").features
}

/// From a file to a pipe.
fn piped(args: &[&str], input: &Path) -> Output {
    let mut inject = perftool(&["inject"]);
    let done = inject.args(args).arg("-i").arg(input).stdin(Stdio::null()).output().expect("it runs");
    assert!(done.status.success(), "{}", stderr(&done));
    done
}

/// From a pipe to a file.
fn filed(stream: &[u8], output: &Path) {
    let done = run(perftool(&["inject", "-o", output.to_str().expect("text")]), stream);
    assert!(done.status.success(), "{}", stderr(&done));
}

fn ask(perf: &Perf, args: &[&str], stream: &[u8]) -> Output {
    let mut command = perf.command();
    command.args(args).args(["-i", "-"]);
    run(command, stream)
}

fn ask_of_file(perf: &Perf, args: &[&str], input: &Path) -> String {
    let mut command = perf.command();
    let output = command.args(args).arg("-i").arg(input).stdin(Stdio::null()).output().expect("perf runs");
    assert!(output.status.success(), "{perf}: {}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What `perf script` prints of a stream; `None` where perf stops reading.
fn script(perf: &Perf, stream: &[u8]) -> Option<String> {
    let output = ask(perf, &["script", "-F", "comm,tid,time,event,ip,sym"], stream);
    let whole = output.status.success() && !output.stdout.is_empty();
    whole.then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn perf_reads_the_pipe_of_a_file_whatever_is_wrong_with_its_features() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    let (mut preamble, records) = two_events();
    let whole = whole(Endian::Little);
    // Nothing here is compressed, and the events are others.
    let mut whole: BTreeMap<_, _> = whole.into_iter().collect();
    whole.remove(&Feature::COMPRESSED);
    whole.remove(&Feature::EVENT_DESC);
    preamble.features.clone_from(&whole);
    write(&path, &preamble, &records);
    let good = piped(&[], &path);
    assert_eq!(stderr(&good), "");
    // Each file has one damage to each feature, as long as there is another.
    let mut files: Vec<BTreeMap<Feature, (&str, Vec<u8>)>> = Vec::new();
    for (what, feature, data) in damaged(Endian::Little) {
        match files.iter_mut().find(|file| !file.contains_key(&feature)) {
            Some(file) => _ = file.insert(feature, (what, data)),
            None => files.push(BTreeMap::from([(feature, (what, data))])),
        }
    }
    let cut = whole.iter().filter(|(_, data)| data.len() > 1);
    files.push(
        cut.clone()
            .map(|(feature, data)| (*feature, ("cut by half", data[..data.len() / 2].to_vec())))
            .collect(),
    );
    files.push(
        cut.map(|(feature, data)| (*feature, ("cut by one", data[..data.len() - 1].to_vec()))).collect(),
    );
    files.push(whole.keys().map(|feature| (*feature, ("empty", Vec::new()))).collect());
    for damages in files {
        preamble.features.clone_from(&whole);
        preamble.features.extend(damages.iter().map(|(feature, (_, data))| (*feature, data.clone())));
        write(&path, &preamble, &records);
        let (readable, all) = (piped(&[], &path), piped(&["--keep-features"], &path));
        let said = stderr(&readable);
        let what: Vec<_> = damages.iter().map(|(feature, (what, _))| format!("{feature}: {what}")).collect();
        for (feature, (_, data)) in &damages {
            assert_eq!(
                said.contains(&format!("the {feature} feature is left out")),
                !data.is_empty(),
                "{what:?} {said}"
            );
        }
        assert_eq!(stderr(&all), "");
        for perf in oracle::perfs("pipes of files with damaged features") {
            assert_eq!(script(perf, &readable.stdout), script(perf, &good.stdout), "{perf}, {what:?}");
            assert!(script(perf, &good.stdout).is_some(), "{perf}");
            if damages.contains_key(&Feature::CMDLINE) && !damages[&Feature::CMDLINE].1.is_empty() {
                assert_eq!(script(perf, &all.stdout), None, "{perf}, {what:?}");
            }
        }
    }
}

#[test]
fn features_that_are_kept_are_there_after_file_pipe_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, again) = (dir.path().join("file"), dir.path().join("again"));
    let (mut preamble, records) = two_events();
    preamble.features.extend(whole(Endian::Little));
    preamble.features.remove(&Feature::COMPRESSED);
    for (_, feature, data) in damaged(Endian::Little) {
        preamble.features.insert(feature, data);
    }
    for flag in [Feature::BRANCH_STACK, Feature::STAT] {
        preamble.features.insert(flag, Vec::new());
    }
    write(&path, &preamble, &records);
    filed(&piped(&["--keep-features"], &path).stdout, &again);
    assert_eq!(features_of(&again), preamble.features);
    let left_out: Vec<_> = damaged(Endian::Little).into_iter().map(|(_, feature, _)| feature).collect();
    filed(&piped(&[], &path).stdout, &again);
    preamble.features.retain(|feature, _| !left_out.contains(feature));
    let mut readable = features_of(&again);
    // What is as it was depends on nothing that is damaged.
    readable.retain(|feature, _| !left_out.contains(feature));
    assert_eq!(readable, preamble.features);
}

/// A file with one event, and the records that `builder` adds.
fn made(path: &Path, attr: &perf_format::Attr, features: &[(Feature, Vec<u8>)], records: StreamBuilder) {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, Endian::Little, Misc::default()).put(attr);
    let mut preamble = Preamble::new(Endian::Little, vec![EventAttr { attr: bytes, ids: Vec::new() }]);
    preamble.features.insert(Feature::HOSTNAME, BYTES.text("host"));
    preamble.features.insert(Feature::NRCPUS, [2_u32; 2].map(u32::to_le_bytes).concat());
    preamble.features.extend(features.iter().cloned());
    write(path, &preamble, &records.bytes()[PIPE_HEADER_SIZE + 8 + bytes_of(attr)..]);
}

fn bytes_of(attr: &perf_format::Attr) -> usize {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, Endian::Little, Misc::default()).put(attr);
    bytes.len()
}

#[test]
fn an_event_without_ids_has_its_name_in_a_pipe() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    let attr = attr(SampleType::IP | SampleType::TID | SampleType::TIME);
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, Endian::Little, Misc::default()).put(&attr);
    let size = u32::try_from(bytes.len()).expect("small");
    let desc = [BYTES.u32(1), BYTES.u32(size), bytes, BYTES.u32(0), BYTES.text("cpu/mem-loads/pp")].concat();
    let records = StreamBuilder::new(Endian::Little).attr(&attr, &[]);
    let records = records.sample(CpuMode::User, At::new(77, 5), 0x1000_0800, &[]).finished_round();
    made(&path, &attr, &[(Feature::EVENT_DESC, desc)], records);
    let piped = piped(&[], &path).stdout;
    for perf in oracle::perfs("the name of an event in a pipe") {
        let said = script(perf, &piped).expect("perf reads it");
        assert!(said.contains("cpu/mem-loads/pp"), "{perf}: {said}");
        assert_eq!(said.lines().count(), 1, "{perf}: {said}");
    }
}

#[test]
fn branch_stacks_are_known_to_be_there_after_file_pipe_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, again) = (dir.path().join("file"), dir.path().join("again"));
    let (mut preamble, records) = two_events();
    preamble.features.insert(Feature::BRANCH_STACK, Vec::new());
    write(&path, &preamble, &records);
    let piped = piped(&[], &path);
    assert_eq!(stderr(&piped), "");
    filed(&piped.stdout, &again);
    assert_eq!(features_of(&again).get(&Feature::BRANCH_STACK), Some(&Vec::new()));
    for perf in oracle::perfs("the feature of branch stacks") {
        let header = |file: &Path| ask_of_file(perf, &["script", "--header-only"], file);
        assert!(header(&path).contains("contains samples with branch stack"), "{perf}");
        assert!(header(&again).contains("contains samples with branch stack"), "{perf}");
        assert!(script(perf, &piped.stdout).is_some(), "{perf}");
    }
}

/// A sample with an id, as `perf record` has them where there are several events.
fn sample_of(id: u64, ip: u64, endian: Endian) -> Vec<u8> {
    let header = RecordHeader { record_type: RecordType::SAMPLE, misc: Misc::of(CpuMode::User), size: 40 };
    let words = [id, ip, 77 | 77 << 32, 5];
    header.to_bytes(endian).into_iter().chain(words.iter().flat_map(|word| endian.put_u64(*word))).collect()
}

#[test]
fn perf_reads_the_samples_of_events_with_more_ids_than_a_record_holds() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    let sample_type = SampleType::IDENTIFIER | SampleType::IP | SampleType::TID | SampleType::TIME;
    let event = |first: u64| {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, Endian::Little, Misc::default()).put(&attr(sample_type));
        EventAttr { attr: bytes, ids: (first..first + 8400).collect() }
    };
    for events in [vec![event(1)], vec![event(1), event(10_000)]] {
        let last = events.last().expect("an event").ids.clone();
        let preamble = Preamble::new(Endian::Little, events);
        let records: Vec<u8> = [1, 8400, last[0], last[8399]]
            .iter()
            .enumerate()
            .flat_map(|(number, id)| sample_of(*id, 0x1000 + number as u64, Endian::Little))
            .collect();
        write(&path, &preamble, &records);
        let piped = piped(&[], &path);
        assert_eq!(stderr(&piped), "");
        for perf in oracle::perfs("events with many ids in a pipe") {
            let args = ["script", "-F", "tid,time,ip"];
            let of_pipe = ask(perf, &args, &piped.stdout);
            assert_eq!(String::from_utf8_lossy(&of_pipe.stdout), ask_of_file(perf, &args, &path), "{perf}");
            assert_eq!(of_pipe.stdout.iter().filter(|byte| **byte == b'\n').count(), 4, "{perf}");
        }
    }
}

/// perf has no record of a pipe for a feature without bytes.
#[test]
fn branch_stacks_of_a_recorded_pipe_are_known_to_be_there_in_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    let attr = attr(SampleType::IP | SampleType::TID | SampleType::TIME | SampleType::BRANCH_STACK);
    filed(&StreamBuilder::new(Endian::Little).attr(&attr, &[]).finished_round().bytes(), &path);
    assert_eq!(features_of(&path).get(&Feature::BRANCH_STACK), Some(&Vec::new()));
    for perf in oracle::perfs("the feature of branch stacks") {
        let header = ask_of_file(perf, &["script", "--header-only"], &path);
        assert!(header.contains("contains samples with branch stack"), "{perf}: {header}");
    }
}

#[test]
fn a_second_round_from_file_to_pipe_and_back_is_the_first_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let [first, second, third] = ["first", "second", "third"].map(|name| dir.path().join(name));
    for (name, stream) in common::pipe_recordings() {
        filed(&stream, &first);
        let pipe = piped(&[], &first).stdout;
        filed(&pipe, &second);
        assert!(piped(&[], &second).stdout == pipe, "{name}: the pipe");
        filed(&pipe, &third);
        assert!(
            fs::read(&third).expect("written") == fs::read(&second).expect("written"),
            "{name}: the file"
        );
    }
    for name in ["plain.data", "callchain.data"] {
        let pipe = piped(&[], &common::data().join(name)).stdout;
        filed(&pipe, &second);
        assert!(piped(&[], &second).stdout == pipe, "{name}: the pipe");
        // But for the padding of names, which has no fixed length.
        let ids = |path: &Path| {
            let table = features_of(path).remove(&Feature::BUILD_ID).expect("a table");
            let entries = build_id_table(&table, 0, Endian::Little).map(|entry| entry.expect("an entry"));
            entries.map(|(misc, entry)| format!("{misc:?} {entry:?}")).collect::<Vec<_>>()
        };
        assert_eq!(ids(&second), ids(&common::data().join(name)), "{name}: the table of ids");
    }
}

/// Only behind the mark of the end of the features does perf make a group of the events.
#[test]
fn perf_shows_the_events_of_a_pipe_as_a_group_where_that_is_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    let (preamble, records) = two_events();
    write(&path, &preamble, &records);
    let piped = piped(&[], &path).stdout;
    let columns = |report: &str| {
        let line = report.lines().find(|line| !line.starts_with('#') && line.contains('%'));
        line.map_or(0, |line| line.matches('%').count())
    };
    for perf in oracle::perfs("events as a group") {
        let args = ["report", "--stdio", "--group", "--sort", "comm"];
        let of_pipe = ask(perf, &args, &piped).stdout;
        assert_eq!(columns(&ask_of_file(perf, &args, &path)), 2, "{perf}");
        assert_eq!(columns(&String::from_utf8_lossy(&of_pipe)), 2, "{perf}");
    }
}
