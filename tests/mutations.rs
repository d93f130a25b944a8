//! Recordings that are damaged in the ways that their format offers: cut, their sizes and counts changed, their bytes
//! swapped, their records repeated, removed and exchanged. What cannot be read is an error with its place; what can be
//! read passes as it is, with ids or without; and none of it takes long.

mod common;
#[path = "../perf-format/tests/common/examples.rs"]
mod examples;
#[path = "mutations/fields.rs"]
mod fields;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use common::pipe_recordings;
use examples::examples;
use fields::{Field, in_file, in_stream};
use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::testing::{StreamBuilder, swapped};
use perf_format::{Endian, Misc, Record};
use perf_fuzz::seeds::{miniature, miniature_file};
use perf_fuzz::{cut, dumps_as_far_as_inject, is_dumped_with_an_error, laws, sources};
use perf_inject::Plan;
use rustix::time::{ClockId, clock_gettime};

/// The CPU time that one input may take in all its runs: hundreds of times what the slowest takes, in a debug build
/// too, and far less than a count of 2^32 would.
const AT_MOST: Duration = Duration::from_secs(5);

/// Damaged inputs that broke a law.
#[derive(Default)]
struct Broken(Vec<String>);

impl Broken {
    /// Runs one damaged input, called `name`.
    fn try_it(&mut self, name: impl FnOnce() -> String, run: impl FnOnce()) {
        let before = cpu_time();
        let ended = catch_unwind(AssertUnwindSafe(run));
        let took = cpu_time() - before;
        if ended.is_err() {
            // The panic has told what is wrong.
            self.0.push(name());
        } else if took > AT_MOST {
            self.0.push(format!("{}, which took {took:?}", name()));
        }
    }

    #[track_caller]
    fn none(self) {
        assert!(self.0.is_empty(), "{} inputs broke a law, the first {:?}", self.0.len(), self.0[0]);
    }
}

/// What this thread has used of a CPU: however many others are at work, it is the same.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("not before its start")
}

fn with_and_without_ids(stream: &[u8]) {
    let plain = laws::passes_as_it_is(stream);
    laws::only_ids_are_added(stream, sources::HIT, &plain);
    dumps_as_far_as_inject(stream, plain.message().as_deref());
}

fn file_passes_or_ends(file: &[u8]) {
    laws::file_keeps_its_records(file);
    // A file of which less can be read is none that is dumped without a word.
    let plain = laws::file_to_pipe(Plan::NOTHING, file);
    assert!(plain.error.is_none() || is_dumped_with_an_error(file), "{:?}", plain.error);
}

/// Small streams in which all kinds of records are: the recordings, and what no recording has.
fn small_streams() -> Vec<(String, Vec<u8>)> {
    let mut streams = pipe_recordings();
    for (_, stream) in &mut streams {
        *stream = miniature(stream);
    }
    let (_, callchain) = streams.iter().find(|(name, _)| name == "callchain.pipe").expect("it is kept");
    streams.push(("callchain's twin".to_owned(), swapped(callchain)));
    streams.push(("every type".to_owned(), every_type(Endian::Little)));
    streams.push(("every type's twin".to_owned(), every_type(Endian::Big)));
    streams
}

/// A stream with a record of every type, and the payloads that two of them announce.
fn every_type(endian: Endian) -> Vec<u8> {
    examples(endian)
        .iter()
        .fold(StreamBuilder::with_callchains(endian), |stream, (record, _)| match record {
            Record::TracingData(_) => stream.tracing_data(&[0x33; 24]),
            Record::Auxtrace(_) => stream.record(Misc::default(), record).raw(&[0x44; 24]),
            record => stream.record(Misc::default(), record),
        })
        .bytes()
}

/// Small files in both orders.
fn small_files() -> Vec<(String, Vec<u8>)> {
    let kept = |name: &str| std::fs::read(common::data().join(name)).expect("it is kept");
    let twin = swapped(&miniature(&kept("callchain.pipe")));
    vec![
        ("plain.data".to_owned(), miniature_file(&kept("plain.data"))),
        ("callchain.data".to_owned(), miniature_file(&kept("callchain.data"))),
        ("newest.data".to_owned(), miniature_file(&kept("newest.data"))),
        ("callchain's twin".to_owned(), laws::pipe_to_file(sources::HIT, &twin[..]).out),
    ]
}

fn order(stream: &[u8]) -> Endian {
    if stream.starts_with(b"PERFILE2") { Endian::Little } else { Endian::Big }
}

/// Where each record of a stream starts, and where the last ends.
fn edges(stream: &[u8]) -> Vec<usize> {
    let pieces = cut(&stream[PIPE_HEADER_SIZE..], order(stream)).pieces;
    let ends = pieces.iter().scan(PIPE_HEADER_SIZE, |at, piece| {
        *at += piece.len();
        Some(*at)
    });
    std::iter::once(PIPE_HEADER_SIZE).chain(ends).collect()
}

/// The stream with a record's bytes replaced by others.
fn with(stream: &[u8], from: usize, to: usize, bytes: &[u8]) -> Vec<u8> {
    [&stream[..from], bytes, &stream[to..]].concat()
}

#[test]
fn recordings_cut_near_their_start_pass_up_to_there() {
    let mut broken = Broken::default();
    for (name, stream) in pipe_recordings() {
        for len in 0..stream.len().min(4096) {
            broken.try_it(|| format!("{name} cut at {len}"), || _ = laws::passes_as_it_is(&stream[..len]));
        }
    }
    broken.none();
}

#[test]
fn recordings_cut_at_the_edge_of_any_record_pass_up_to_there() {
    let mut broken = Broken::default();
    for (name, stream) in pipe_recordings() {
        for edge in edges(&stream) {
            for len in [edge - 1, edge, (edge + 1).min(stream.len())] {
                broken
                    .try_it(|| format!("{name} cut at {len}"), || _ = laws::passes_as_it_is(&stream[..len]));
            }
        }
    }
    for (name, stream) in small_streams() {
        for edge in edges(&stream) {
            for len in [edge - 1, edge, (edge + 1).min(stream.len())] {
                broken
                    .try_it(|| format!("small {name} cut at {len}"), || with_and_without_ids(&stream[..len]));
            }
        }
    }
    broken.none();
}

#[test]
fn any_size_of_a_record_ends_the_stream_there_or_shifts_what_follows() {
    let mut broken = Broken::default();
    for (name, stream) in small_streams() {
        let edges = edges(&stream);
        for at in &edges[..edges.len() - 1] {
            for size in [0, 1, 7, 8, u16::MAX] {
                let damaged = with(&stream, at + 6, at + 8, &order(&stream).put_u16(size));
                broken
                    .try_it(|| format!("{name}: size {size} at {at:#x}"), || with_and_without_ids(&damaged));
            }
        }
    }
    broken.none();
}

#[test]
fn any_count_or_length_in_a_record_passes_as_it_is() {
    let mut broken = Broken::default();
    let mut seen = Vec::new();
    for (name, stream) in small_streams() {
        for field in in_stream(&stream, order(&stream)) {
            for (value, damaged) in field.damaged(&stream, order(&stream)) {
                let name = || format!("{name}: {field:?} is {value:#x}");
                broken.try_it(name, || with_and_without_ids(&damaged));
            }
            seen.push(field.name);
        }
    }
    broken.none();
    all_are_seen(fields::IN_STREAMS, seen);
}

/// The table of fields speaks of none that is not there.
#[track_caller]
fn all_are_seen(names: &[&str], mut seen: Vec<&str>) {
    let mut names = names.to_vec();
    names.sort_unstable();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, names);
}

#[test]
fn names_without_an_end_or_without_a_byte_pass_as_they_are() {
    let mut broken = Broken::default();
    for (name, stream) in small_streams() {
        for (from, to) in fields::names(&stream, order(&stream)) {
            for byte in [0, b'x', 0xff] {
                let damaged = with(&stream, from, to, &vec![byte; to - from]);
                broken.try_it(
                    || format!("{name}: a name of {byte:#x} at {from:#x}"),
                    || with_and_without_ids(&damaged),
                );
            }
        }
    }
    broken.none();
}

#[test]
fn bytes_in_the_wrong_order_pass_as_they_are() {
    let mut broken = Broken::default();
    for (name, stream) in small_streams() {
        let other = perf_format::header::pipe_header(order(&stream).other());
        let damaged = with(&stream, 0, PIPE_HEADER_SIZE, &other);
        broken.try_it(|| format!("{name} under the header of its twin"), || with_and_without_ids(&damaged));
        for pair in edges(&stream).windows(2) {
            let (from, to) = (pair[0], pair[1]);
            for width in [2, 4, 8] {
                let mut words = stream[from..to].to_vec();
                words.chunks_exact_mut(width).for_each(<[u8]>::reverse);
                let headless = [&stream[from..from + 8], &words[8..]].concat();
                for (part, bytes) in [("record", words), ("body", headless)] {
                    let damaged = with(&stream, from, to, &bytes);
                    let name =
                        || format!("{name}: words of {width} bytes swapped in the {part} at {from:#x}");
                    broken.try_it(name, || with_and_without_ids(&damaged));
                }
            }
        }
    }
    broken.none();
}

#[test]
fn records_repeated_removed_and_exchanged_pass_as_they_are() {
    let mut broken = Broken::default();
    for (name, stream) in small_streams() {
        let edges = edges(&stream);
        let mut try_it = |what: &str, at: usize, damaged: Vec<u8>| {
            broken.try_it(
                || format!("{name}: {what} at {at:#x}"),
                || {
                    let ran = laws::passes_as_it_is(&damaged);
                    assert_eq!(ran.message(), None, "every record is whole");
                    laws::only_ids_are_added(&damaged, sources::HIT, &ran);
                },
            );
        };
        for pair in edges.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let record = &stream[from..to];
            try_it("a record repeated", from, with(&stream, to, to, record));
            try_it("a record many times", from, with(&stream, to, to, &record.repeat(40)));
            try_it("a record removed", from, with(&stream, from, to, &[]));
            try_it("a record moved to the end", from, [&with(&stream, from, to, &[]), record].concat());
        }
        for three in edges.windows(3) {
            let (from, middle, to) = (three[0], three[1], three[2]);
            let exchanged = [&stream[middle..to], &stream[from..middle]].concat();
            try_it("two records exchanged", from, with(&stream, from, to, &exchanged));
        }
    }
    broken.none();
}

#[test]
fn files_cut_anywhere_keep_what_is_whole_or_say_what_is_missing() {
    let mut broken = Broken::default();
    for (name, file) in small_files() {
        for len in 0..file.len() {
            let run = || file_passes_or_ends(&file[..len]);
            broken.try_it(|| format!("{name} cut at {len}"), run);
        }
    }
    broken.none();
}

#[test]
fn any_offset_size_or_count_in_a_file_is_an_error_or_makes_no_difference_to_the_records() {
    let mut broken = Broken::default();
    let mut seen = Vec::new();
    for (name, file) in small_files() {
        for field in in_file(&file, order(&file)) {
            for (value, damaged) in field.damaged(&file, order(&file)) {
                let name = || format!("{name}: {field:?} is {value:#x}");
                broken.try_it(name, || file_passes_or_ends(&damaged));
            }
            seen.push(field.name);
        }
    }
    broken.none();
    all_are_seen(fields::IN_FILES, seen);
}

/// A recording with stacks, in both orders, small.
fn small_stacks() -> [(&'static str, Vec<u8>); 2] {
    let recorded = std::fs::read(common::data().join("dwarf.pipe")).expect("it is kept");
    let stream = miniature(&recorded);
    [("dwarf's twin", swapped(&stream)), ("dwarf.pipe", stream)]
}

/// Runs of --convert-callchain, and the laws of them.
fn with_stacks_converted(recording: &[u8]) {
    // In front of it stands the length of the tables that somebody made up: none.
    perf_fuzz::callchain(&[&[0, 0], recording].concat());
}

#[test]
fn every_recording_is_converted_by_the_laws_of_stacks() {
    let mut broken = Broken::default();
    for (name, stream) in pipe_recordings() {
        broken.try_it(|| name, || with_stacks_converted(&stream));
    }
    for (name, file) in small_files() {
        broken.try_it(|| name, || with_stacks_converted(&file));
    }
    broken.none();
}

#[test]
fn stacks_cut_at_the_edge_of_any_record_are_converted_up_to_there() {
    let mut broken = Broken::default();
    for (name, stream) in small_stacks() {
        for edge in edges(&stream) {
            for len in [edge - 1, edge, (edge + 1).min(stream.len())] {
                broken.try_it(|| format!("{name} cut at {len}"), || with_stacks_converted(&stream[..len]));
            }
        }
    }
    broken.none();
}

#[test]
fn any_count_or_length_in_a_recording_with_stacks_keeps_the_laws_of_stacks() {
    let mut broken = Broken::default();
    for (name, stream) in small_stacks() {
        for field in in_stream(&stream, order(&stream)) {
            for (value, damaged) in field.damaged(&stream, order(&stream)) {
                broken.try_it(
                    || format!("{name}: {field:?} is {value:#x}"),
                    || with_stacks_converted(&damaged),
                );
            }
        }
    }
    broken.none();
}

#[test]
fn fields_are_damaged_where_they_stand() {
    let field = Field { name: "a size", at: 2, width: 2 };
    let damaged: Vec<_> = field.damaged(&[9; 6], Endian::Little).collect();
    let max = u64::from(u16::MAX);
    assert_eq!(damaged[..2], [(0, vec![9, 9, 0, 0, 9, 9]), (1, vec![9, 9, 1, 0, 9, 9])]);
    assert!(damaged.contains(&(max, vec![9, 9, 0xff, 0xff, 9, 9])));
}
