//! When samples go out, and by which maps they are unwound.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use perf_format::attr::SampleType;
use perf_format::testing::{At, Pieces, StreamBuilder, UserStack, records, stack_attr};
use perf_format::{CpuMode, Endian, Misc, PipeStream, Record, RecordType};
use perf_inject::Run;
use perf_inject::callchain::StackEnd;
use perf_session::Repipe;
use perf_session::build_id::Chain;

use crate::made::{FramelessCode, USER, chains, convert, plan, run, samples};
use crate::samples::{CHAIN, program, stack};

const ENDIAN: Endian = Endian::Little;

fn stacks() -> StreamBuilder {
    StreamBuilder::with_stacks(ENDIAN)
}

/// A sample in the program at 0x40_0000, called by nothing.
fn in_program(stream: StreamBuilder, at: At) -> StreamBuilder {
    let stack = UserStack::of_words(ENDIAN, 0x40_0010, &[0]);
    stream.stack_sample(CpuMode::User, at, 0x40_0010, &[], &stack)
}

/// A sample in the program whose caller is at 0x40_0020, to be seen only where it is unwound.
fn called_in_program(stream: StreamBuilder, at: At) -> StreamBuilder {
    let stack = UserStack::of_words(ENDIAN, 0x40_0010, &[0x40_0020, 0]);
    stream.stack_sample(CpuMode::User, at, 0x40_0010, &[], &stack)
}

const CALLED: [u64; 3] = [USER, 0x40_0010, 0x40_001f];
const NOT_UNWOUND: [u64; 2] = [USER, 0x40_0010];

fn in_library(stream: StreamBuilder, at: At) -> StreamBuilder {
    stream.stack_sample(CpuMode::User, at, 0x50_0010, &[], &stack(ENDIAN))
}

/// The types and times of a stream's records behind its attr: 0 where a record is no sample.
fn order(stream: &[u8]) -> Vec<(RecordType, u64)> {
    let mut times = samples(stream).into_iter().map(|sample| sample.time.expect("a time"));
    let types = records(stream).into_iter().map(|record| record.record_type).skip(1);
    types.map(|of| (of, if of == RecordType::SAMPLE { times.next().expect("a sample") } else { 0 })).collect()
}

const MAP: (RecordType, u64) = (RecordType::MMAP2, 0);
const ROUND: (RecordType, u64) = (RecordType::FINISHED_ROUND, 0);

fn sample(time: u64) -> (RecordType, u64) {
    (RecordType::SAMPLE, time)
}

#[test]
fn a_sample_in_front_of_its_map_goes_out_behind_it_and_others_do_not_wait() {
    let stream = stacks().mmap2(At::new(1, 10), 0x40_0000, 0x1000, "/bin/a");
    let stream = in_program(in_library(stream, At::new(1, 30)), At::new(1, 20));
    let stream = stream.mmap2(At::new(1, 11), 0x60_0000, 0x1000, "/lib/d.so");
    let stream = stream.mmap2(At::new(1, 12), 0x50_0000, 0x1000, "/lib/c.so");
    let ran = run(plan(), &in_program(stream, At::new(1, 40)).finished_round().bytes()[..]);
    assert_eq!(order(&ran.out), [MAP, sample(20), MAP, MAP, sample(30), sample(40), ROUND]);
    assert_eq!(chains(&ran.out)[1], CHAIN);
    assert_eq!((ran.summary().waited, ran.ends(StackEnd::Complete)), (1, 3));
}

#[test]
fn a_sample_waits_for_one_map_after_the_other() {
    let stream = in_library(stacks(), At::new(1, 30));
    let out = convert(&program(stream).finished_round().bytes());
    assert_eq!(order(&out), [MAP, MAP, sample(30), ROUND]);
    assert_eq!(chains(&out), [CHAIN]);
}

#[test]
fn a_map_that_is_younger_than_the_sample_is_not_what_it_waits_for() {
    let stream = in_program(stacks(), At::new(1, 30)).mmap2(At::new(1, 31), 0x40_0000, 0x1000, "/bin/a");
    let out = convert(&stream.finished_round().bytes());
    assert_eq!(order(&out), [MAP, sample(30), ROUND]);
    assert_eq!(chains(&out), [NOT_UNWOUND]);
}

#[test]
fn a_sample_whose_map_never_comes_goes_out_in_front_of_its_rounds_end() {
    let stream = program(stacks()).finished_round();
    let stream = called_in_program(in_program(stream, At::new(2, 30)), At::new(1, 40)).finished_round();
    // The second time it is not waited for.
    let stream = called_in_program(in_program(stream, At::new(2, 50)), At::new(1, 60)).finished_round();
    let ran = run(plan(), &stream.bytes()[..]);
    let expected = [MAP, MAP, ROUND, sample(40), sample(30), ROUND, sample(50), sample(60), ROUND];
    assert_eq!(order(&ran.out), expected);
    assert_eq!((ran.ends(StackEnd::Unmapped), ran.ends(StackEnd::Complete), ran.summary().waited), (2, 2, 1));
}

#[test]
fn a_sample_without_a_time_is_not_waited_for() {
    let mut attr = stack_attr(1024);
    attr.fields.sample_type.remove(SampleType::TIME);
    let stream = in_program(StreamBuilder::new(ENDIAN).attr(&attr, &[1]), At::new(1, 0));
    let out = convert(&stream.mmap2(At::new(1, 0), 0x40_0000, 0x1000, "/bin/a").finished_round().bytes());
    let types: Vec<_> = records(&out).into_iter().map(|record| record.record_type).skip(1).collect();
    assert_eq!(types, [RecordType::SAMPLE, RecordType::MMAP2, RecordType::FINISHED_ROUND]);
}

#[test]
fn a_sample_goes_out_in_front_of_an_event_that_may_change_its_layout() {
    let mut attr = stack_attr(1024);
    attr.fields.sample_type |= SampleType::IDENTIFIER;
    let stream = in_program(StreamBuilder::new(ENDIAN).attr(&attr, &[1]), At::new(1, 30));
    attr.fields.sample_type |= SampleType::WEIGHT;
    let stream = stream.attr(&attr, &[1]).mmap2(At::new(1, 10), 0x40_0000, 0x1000, "/bin/a");
    let out = convert(&stream.finished_round().bytes());
    assert_eq!(order(&out), [sample(30), (RecordType::HEADER_ATTR, 0), MAP, ROUND]);
}

#[test]
fn many_samples_that_wait_are_bounded_and_none_is_lost() {
    let stream = (0..700).fold(stacks(), |stream, n| in_program(stream, At::new(1, 1000 + n)));
    let out = convert(&stream.finished_round().bytes());
    let mut times: Vec<_> = samples(&out).into_iter().filter_map(|sample| sample.time).collect();
    times.sort_unstable();
    assert_eq!(times, (1000..1700).collect::<Vec<_>>());
}

/// Two maps at one place: of `/bin/a`, which is unwound, and 10 ns later of a file that is not here.
fn covered() -> StreamBuilder {
    stacks().mmap2(At::new(1, 10), 0x40_0000, 0x1000, "/bin/a").mmap2(
        At::new(1, 20),
        0x40_0000,
        0x1000,
        "/bin/absent",
    )
}

/// The chains of samples of the program at these times, behind both maps, each of them in a read of its own.
fn chains_at(times: &[u64]) -> Vec<Vec<u64>> {
    let stream = times.iter().fold(covered(), |stream, time| called_in_program(stream, At::new(1, *time)));
    let ran = run(plan(), Pieces::new(&stream.finished_round().bytes(), &[1]));
    assert_eq!(ran.error, None);
    chains(&ran.out)
}

#[test]
fn a_sample_that_is_older_than_a_map_over_another_is_unwound_by_the_older_one() {
    assert_eq!(chains_at(&[15]), [&CALLED[..]]);
    assert_eq!(chains_at(&[25]), [&NOT_UNWOUND[..]]);
}

#[test]
fn what_one_sample_made_known_is_not_taken_for_another_ones_time() {
    assert_eq!(chains_at(&[25, 15, 25]), [&NOT_UNWOUND[..], &CALLED, &NOT_UNWOUND]);
    assert_eq!(chains_at(&[15, 25, 15]), [&CALLED[..], &NOT_UNWOUND, &CALLED]);
    // In front of the first map nothing was there: the sample goes out as the round ends.
    assert_eq!(chains_at(&[25, 5]), [NOT_UNWOUND, NOT_UNWOUND]);
}

#[test]
fn a_map_that_comes_late_lies_under_the_younger_one() {
    let stream = stacks().mmap2(At::new(1, 20), 0x40_0000, 0x1000, "/bin/absent");
    let stream = called_in_program(stream, At::new(1, 25)).mmap2(At::new(1, 10), 0x40_0000, 0x1000, "/bin/a");
    let stream = called_in_program(called_in_program(stream, At::new(1, 15)), At::new(1, 26));
    let out = convert(&stream.finished_round().bytes());
    assert_eq!(chains(&out), [&NOT_UNWOUND[..], &CALLED, &NOT_UNWOUND]);
}

#[test]
fn after_an_exec_stacks_lead_to_the_new_programs_code() {
    let stream = stacks().mmap2(At::new(1, 10), 0x40_0000, 0x1000, "/bin/a");
    let stream = called_in_program(stream, At::new(1, 15)).exec(At::new(1, 20), "absent");
    let stream = stream.mmap2(At::new(1, 21), 0x40_0000, 0x1000, "/bin/absent");
    let stream = called_in_program(called_in_program(stream, At::new(1, 25)), At::new(1, 16));
    let out = convert(&stream.finished_round().bytes());
    // The last is of before the exec, out of another CPU's buffer.
    assert_eq!(chains(&out), [&CALLED[..], &NOT_UNWOUND, &CALLED]);
}

#[test]
fn a_sample_of_before_an_exec_is_unwound_by_its_own_program_whichever_is_known_first() {
    let stream = stacks().mmap2(At::new(1, 10), 0x40_0000, 0x1000, "/bin/a").exec(At::new(1, 20), "absent");
    let stream = stream.mmap2(At::new(1, 21), 0x40_0000, 0x1000, "/bin/absent");
    let stream = called_in_program(called_in_program(stream, At::new(1, 25)), At::new(1, 15));
    let ran = run(plan(), Pieces::new(&stream.finished_round().bytes(), &[1]));
    assert_eq!(chains(&ran.out), [&NOT_UNWOUND[..], &CALLED]);
}

#[test]
fn a_child_has_the_code_of_its_parent_at_the_fork() {
    let stream = program(stacks()).fork(At::new(2, 20), 1);
    let stream = in_library(called_in_program(stream, At::new(2, 30)), At::new(2, 31));
    // The parent changes; the child does not.
    let stream = stream.mmap2(At::new(1, 32), 0x40_0000, 0x1000, "/bin/absent");
    let stream = called_in_program(called_in_program(stream, At::new(1, 40)), At::new(2, 41));
    let out = convert(&stream.finished_round().bytes());
    assert_eq!(chains(&out), [&CALLED[..], &CHAIN, &NOT_UNWOUND, &CALLED]);
}

#[test]
fn the_sample_of_a_child_waits_for_its_fork() {
    let stream = called_in_program(program(stacks()), At::new(2, 30)).fork(At::new(2, 20), 1);
    let out = convert(&stream.finished_round().bytes());
    assert_eq!(order(&out), [MAP, MAP, (RecordType::FORK, 0), sample(30), ROUND]);
    assert_eq!(chains(&out), [CALLED]);
}

#[test]
fn the_sample_of_a_child_waits_for_a_map_of_its_parent() {
    let stream = called_in_program(stacks().fork(At::new(2, 20), 1), At::new(2, 30));
    let stream = stream.mmap2(At::new(1, 10), 0x40_0000, 0x1000, "/bin/a");
    let out = convert(&stream.finished_round().bytes());
    assert_eq!(order(&out), [(RecordType::FORK, 0), MAP, sample(30), ROUND]);
    assert_eq!(chains(&out), [CALLED]);
}

#[test]
fn the_end_of_the_stream_and_an_error_in_it_lose_nothing() {
    let stream = in_program(program(stacks()), At::new(2, 30));
    let stream = called_in_program(stream, At::new(1, 40)).bytes();
    let ran = run(plan(), &stream[..]);
    assert_eq!(order(&ran.out), [MAP, MAP, sample(40), sample(30)]);
    for behind in [&[1, 0, 0, 0, 0, 0, 0, 0, 0][..], &[9; 3]] {
        let stream = [&stream[..], behind].concat();
        let failed = run(plan(), &stream[..]);
        let offset = stream.len() - behind.len();
        let error = failed.error.expect("an error");
        assert!(error.contains(&format!("{offset:#x}")), "{error} at {offset:#x}");
        assert_eq!(failed.out, ran.out);
    }
}

/// What is written is shared with whoever watches it.
#[derive(Debug, Clone, Default)]
struct Watched(Rc<RefCell<Vec<u8>>>);

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives one piece a read, and notes what was written before.
struct Live {
    pieces: Vec<Vec<u8>>,
    next: usize,
    out: Watched,
    written: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Read for Live {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.written.borrow_mut().push(self.out.0.borrow().clone());
        let Some(piece) = self.pieces.get(self.next) else { return Ok(0) };
        self.next += 1;
        buf[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}

#[test]
fn what_one_read_brings_is_written_before_the_next_but_for_what_waits() {
    let stream = program(stacks());
    let first = stream.clone().bytes();
    let second = called_in_program(stream, At::new(1, 30)).bytes()[first.len()..].to_vec();
    let late = in_program(stacks(), At::new(2, 31)).bytes()[stacks().bytes().len()..].to_vec();
    let (header, first) = first.split_at(16);
    let pieces = [header.to_vec(), first.to_vec(), second, late].to_vec();
    let (out, written) = (Watched::default(), Rc::default());
    let source = Live { pieces, next: 0, out: out.clone(), written: Rc::clone(&written) };
    let mut run = Run::new(plan(), Chain::default()).with_modules(Box::new(FramelessCode));
    let mut records = PipeStream::open(source).expect("a header").records();
    run.pipe_to_pipe(&mut records, Repipe::To(&mut out.clone())).expect("whole");
    let seen: Vec<usize> = written.borrow().iter().map(|out| samples_or_none(out)).collect();
    assert_eq!(seen.last(), Some(&1), "what waits does so up to the end: {seen:?}");
    assert_eq!(seen.iter().position(|count| *count == 1), Some(seen.len() - 2), "{seen:?}");
    assert_eq!(samples(&out.0.borrow()).len(), 2);
}

fn samples_or_none(stream: &[u8]) -> usize {
    if stream.is_empty() { 0 } else { samples(stream).len() }
}

/// Records as perf compresses them: one zstd stream, of which each COMPRESSED record has a piece. Its blocks are raw.
fn compressed(stream: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut out = stacks().bytes()[..16].to_vec();
    let (mut rest, mut is_first) = (&stream[16..], true);
    for len in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at((*len).min(rest.len()));
        rest = behind;
        // The magic number, and a descriptor of a frame with a window of 1 MiB.
        let mut data = if is_first { vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x50] } else { Vec::new() };
        is_first = false;
        data.extend(&(u32::try_from(piece.len()).expect("small") << 3).to_le_bytes()[..3]);
        data.extend(piece);
        Record::Compressed(&data).encode(Misc::default(), &[], ENDIAN, &mut out).expect("it fits");
    }
    out
}

#[test]
fn compressed_records_come_out_plain_and_converted() {
    let header = stacks().bytes();
    let stream = in_library(stacks(), At::new(1, 30));
    let stream = in_program(program(stream), At::new(1, 40)).finished_round();
    let stream = called_in_program(stream, At::new(2, 50)).finished_round().bytes();
    let plain = run(plan(), &stream[..]);
    for pieces in [&[100][..], &[1 << 14], &[7, 333, 64]] {
        // An attr is never compressed.
        let inside = compressed(&[&header[..16], &stream[header.len()..]].concat(), pieces);
        let ran = run(plan(), &[&header[..], &inside[16..]].concat()[..]);
        assert_eq!(ran.error, None);
        assert!(ran.out == plain.out, "{pieces:?}");
        assert_eq!(ran.summary(), plain.summary());
    }
}
