//! What a pipeline does with the verdicts of tools, on records that are compressed and on those that are not.

use perf_format::record::{Comm, Compressed2, CpuMode};
use perf_format::testing::{At, OwnedRecord, StreamBuilder, records};
use perf_format::{Endian, Misc, PipeStream, Record, RecordType};
use perf_session::testing::process;
use perf_session::{Error, Event, Injection, Passed, Pipeline, RecordSet, Repipe, Session, Tool, Verdict};
use zstd_safe::{CCtx, InBuffer, OutBuffer};

/// A tool from outside: it gives one verdict on the maps of one name, with a COMM record that it injects, and on the
/// compressed records at which it cuts.
struct Cutter {
    cuts: RecordSet,
    verdict: Verdict,
    name: &'static str,
}

impl Cutter {
    fn of(verdict: Verdict) -> Self {
        Self { cuts: RecordSet::of(&[RecordType::MMAP2]), verdict, name: "/bin/b" }
    }
}

impl Tool for Cutter {
    fn wants(&self) -> RecordSet {
        RecordSet::of(&[RecordType::MMAP2, RecordType::COMPRESSED, RecordType::COMPRESSED2])
    }

    fn cuts(&self) -> RecordSet {
        self.cuts
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        if event.record.record_type() != RecordType::MMAP2 {
            let is_cut = self.cuts.contains(event.record.record_type());
            return Ok(if is_cut { self.verdict } else { Verdict::Repipe });
        }
        let name = event.changes.mapped_dso().and_then(|dso| session.dso(dso)).map(|dso| dso.name.clone());
        if name.is_none_or(|name| name != self.name) {
            return Ok(Verdict::Repipe);
        }
        inject.inject(Misc::default(), &Record::Comm(Comm { pid: 1, tid: 1, comm: "cut".into() }))?;
        Ok(self.verdict)
    }
}

fn plain(endian: Endian) -> Vec<u8> {
    let stream = StreamBuilder::new(endian)
        .mmap2(At::new(1, 1), 0x1000, 0x1000, "/bin/a")
        .mmap2(At::new(1, 2), 0x3000, 0x1000, "/bin/b")
        .sample(CpuMode::User, At::new(1, 3), 0x1800, &[])
        .mmap2(At::new(1, 4), 0x5000, 0x1000, "/bin/c");
    stream.finished_round().bytes()
}

/// A stream whose records from the second map on are inside compressed ones, each piece but the last of so many bytes.
fn compressed(endian: Endian, piece: usize) -> Vec<u8> {
    let plain = plain(endian);
    let mut out = StreamBuilder::new(endian).bytes();
    let front = out.len();
    let inside = plain.get(front..plain.len() - 8).expect("records behind the front");
    let mut context = CCtx::create();
    for piece in inside.chunks(piece) {
        let mut packed = vec![0_u8; 4096];
        let mut to = OutBuffer::around(packed.as_mut_slice());
        let mut from = InBuffer::around(piece);
        while from.pos < piece.len() {
            context.compress_stream(&mut to, &mut from).expect("it compresses");
        }
        while context.flush_stream(&mut to).expect("it flushes") > 0 {}
        let packed = to.as_slice();
        let record = Compressed2 { data_size: packed.len() as u64, data: packed };
        Record::Compressed2(record).encode(Misc::default(), &[], endian, &mut out).expect("it fits");
    }
    out.extend_from_slice(&plain[plain.len() - 8..]);
    out
}

fn out(stream: &[u8], tool: &mut Cutter) -> Result<Vec<OwnedRecord>, String> {
    let ran = process(stream, &mut [tool]);
    ran.error.map_or_else(|| Ok(records(&ran.out)), Err)
}

#[test]
fn what_is_dropped_inside_compressed_records_does_not_come_out() {
    for endian in [Endian::Little, Endian::Big] {
        for verdict in [Verdict::Drop, Verdict::RepipeFirst, Verdict::Repipe] {
            let expected = out(&plain(endian), &mut Cutter::of(verdict)).expect("it ends well");
            let comm = expected.iter().position(|record| record.record_type == RecordType::COMM);
            assert!(comm.is_some(), "the map is seen");
            // Records that lie in one piece, and those that are torn between two.
            for piece in [4096, 64, 9] {
                let stream = compressed(endian, piece);
                assert_eq!(
                    out(&stream, &mut Cutter::of(verdict)).as_ref(),
                    Ok(&expected),
                    "{verdict:?} {piece}"
                );
            }
        }
    }
}

#[test]
fn a_verdict_that_a_tool_did_not_speak_of_ends_the_run_compressed_or_not() {
    for stream in [plain(Endian::Little), compressed(Endian::Little, 4096)] {
        for verdict in [Verdict::Drop, Verdict::RepipeFirst] {
            let mut tool = Cutter { cuts: RecordSet::EMPTY, ..Cutter::of(verdict) };
            let error = out(&stream, &mut tool).expect_err("its author is told");
            let expected = format!("a tool's verdict {verdict:?} on the MMAP2 record at offset 0x");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}

#[test]
fn compressed_records_pass_as_they_are_where_no_tool_cuts_at_what_is_inside() {
    let stream = compressed(Endian::Little, 64);
    let mut watcher = Cutter { cuts: RecordSet::EMPTY, name: "", ..Cutter::of(Verdict::Repipe) };
    assert_eq!(process(&stream[..], &mut [&mut watcher]).out, stream);
    let cuts = RecordSet::of(&[RecordType::COMPRESSED2]);
    let left = out(&stream, &mut Cutter { cuts, name: "", verdict: Verdict::Drop }).expect("it ends well");
    assert!(
        left.iter().all(|record| record.record_type != RecordType::COMPRESSED2),
        "they can be dropped whole"
    );
    assert!(left.iter().all(|record| record.record_type != RecordType::MMAP2));
}

#[test]
fn that_compressed_records_come_out_plain_cannot_be_taken_back_from_a_tool_that_cuts() {
    let stream = compressed(Endian::Little, 64);
    let mut written = Vec::new();
    let mut tool = Cutter::of(Verdict::Drop);
    let tools: &mut [&mut dyn Tool] = &mut [&mut tool];
    let mut read = PipeStream::open(&stream[..]).expect("a stream").records();
    let pipeline = Pipeline::new(tools).decompress(false);
    let repipe = Repipe::To(&mut written);
    pipeline.run(&mut read, &mut Session::new(), repipe, &mut Passed::default()).expect("it ends well");
    assert_eq!(written, process(&plain(Endian::Little)[..], &mut [&mut Cutter::of(Verdict::Drop)]).out);
}

#[test]
fn a_pipes_tracing_data_gives_tracepoints_their_names_and_fields_where_that_is_wanted() {
    use perf_format::testing::sched::{SchedEvent, SchedStream};
    for endian in [Endian::Little, Endian::Big] {
        let stream = SchedStream::new(endian, &[SchedEvent::Switch, SchedEvent::CpuClock]).finished_round();
        // What is no tracing data, or comes again, changes nothing.
        let stream = stream.with(|stream| stream.tracing_data(&[7; 24])).bytes();
        for keep_formats in [true, false] {
            let mut session = Session::new();
            session.keep_formats = keep_formats;
            let mut written = Vec::new();
            let mut read = PipeStream::open(&stream[..]).expect("a stream").records();
            let mut watcher = Cutter { cuts: RecordSet::EMPTY, name: "", ..Cutter::of(Verdict::Repipe) };
            let tools: &mut [&mut dyn Tool] = &mut [&mut watcher];
            let repipe = Repipe::To(&mut written);
            Pipeline::new(tools)
                .run(&mut read, &mut session, repipe, &mut Passed::default())
                .expect("it ends well");
            assert_eq!(written, stream);
            let [switch, clock] = session.evlist.evsels() else { panic!("two events") };
            let fields = switch.tracepoint.as_ref().map(|format| format.field("prev_state").is_some());
            assert_eq!(fields, keep_formats.then_some(true));
            assert_eq!(
                switch.name,
                if keep_formats { "sched:sched_switch" } else { "unknown tracepoint id=0x1" }
            );
            assert_eq!((clock.name.to_string(), clock.number), ("cpu-clock".to_owned(), 1));
        }
    }
}
