//! The laws of a whole run of inject, over any bytes. Each function is a law or a few that one run can show, and
//! panics where they are broken.

use std::fmt::Display;
use std::io::{self, Cursor, Read, Seek, Write};

use perf_format::header::{Format, PIPE_HEADER_SIZE};
use perf_format::{Endian, Feature, Head, PerfFile, PipeStream, Preamble, RecordType};
use perf_inject::callchain::UnwindModules;
use perf_inject::{Plan, Run, RunReport};
use perf_session::{Error, Repipe};

use crate::sources::{self, sources};
use crate::{FuzzPieces, cut};

/// The most bytes that a run may write: far more than any of the inputs here asks for, but for what compressed
/// records inflate to.
const OUTPUT_AT_MOST: usize = 1 << 24;

/// What came out of a run, and how it ended.
#[derive(Debug)]
pub struct FuzzRun {
    /// What was written.
    pub out: Vec<u8>,
    /// What was seen and done.
    pub report: RunReport,
    /// What the run ended with.
    pub error: Option<Error>,
}

impl FuzzRun {
    /// The error as a person is told it.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        self.error.as_ref().map(ToString::to_string)
    }
}

/// What a result's error says.
pub(crate) fn message<T, E: Display>(result: &Result<T, E>) -> Option<String> {
    result.as_ref().err().map(ToString::to_string)
}

/// The offset at which an error says to look; that of the header where the input is no perf data.
#[must_use]
pub fn offset_of(error: &perf_format::Error) -> Option<u64> {
    use perf_format::Error as E;
    match error {
        E::NotPerfData { .. }
        | E::NotPipe
        | E::NotJitDump { .. }
        | E::HeaderTruncated { .. }
        | E::HeaderSize { .. } => Some(0),
        E::Section { offset, .. }
        | E::RecordTooSmall { offset, .. }
        | E::AnotherRecording { offset }
        | E::Text { offset, .. }
        | E::JitRecordSize { offset, .. }
        | E::Truncated { offset, .. }
        | E::PayloadTruncated { offset, .. }
        | E::Malformed { offset, .. }
        | E::Structure { offset, .. }
        | E::Inflate { offset, .. }
        | E::Io { offset, .. } => Some(*offset),
        _ => None,
    }
}

/// A place to write to that is not endless.
#[derive(Debug, Default)]
struct Sink(Cursor<Vec<u8>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = usize::try_from(self.0.position()).unwrap_or(usize::MAX).saturating_add(bytes.len());
        if end > OUTPUT_AT_MOST { Err(io::ErrorKind::StorageFull.into()) } else { self.0.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

fn ran(
    plan: Plan,
    modules: Option<Box<dyn UnwindModules>>,
    run: impl FnOnce(&mut Run<'_>, &mut Sink) -> Result<(), Error>,
) -> FuzzRun {
    let mut sink = Sink::default();
    let mut injection = Run::new(plan, sources());
    if let Some(modules) = modules {
        injection = injection.with_modules(modules);
    }
    let error = run(&mut injection, &mut sink).err();
    FuzzRun { out: sink.0.into_inner(), report: injection.into_report(), error }
}

/// From a pipe to a pipe.
#[must_use]
pub fn pipe_to_pipe(plan: Plan, source: impl Read) -> FuzzRun {
    pipe_to_pipe_of(plan, None, source)
}

/// The same, where stacks are converted by the tables of these modules.
pub(crate) fn pipe_to_pipe_with(plan: Plan, modules: Box<dyn UnwindModules>, source: impl Read) -> FuzzRun {
    pipe_to_pipe_of(plan, Some(modules), source)
}

fn pipe_to_pipe_of(plan: Plan, modules: Option<Box<dyn UnwindModules>>, source: impl Read) -> FuzzRun {
    ran(plan, modules, |run, out| run.pipe_to_pipe(&mut PipeStream::open(source)?.records(), Repipe::To(out)))
}

/// From a pipe to a file.
#[must_use]
pub fn pipe_to_file(plan: Plan, source: impl Read) -> FuzzRun {
    pipe_to_file_of(plan, None, source)
}

/// The same, where stacks are converted by the tables of these modules.
pub(crate) fn pipe_to_file_with(plan: Plan, modules: Box<dyn UnwindModules>, source: impl Read) -> FuzzRun {
    pipe_to_file_of(plan, Some(modules), source)
}

fn pipe_to_file_of(plan: Plan, modules: Option<Box<dyn UnwindModules>>, source: impl Read) -> FuzzRun {
    ran(plan, modules, |run, out| run.pipe_to_file(&mut PipeStream::open(source)?.records(), out))
}

/// From a file to a pipe.
#[must_use]
pub fn file_to_pipe(plan: Plan, file: &[u8]) -> FuzzRun {
    file_to_pipe_of(plan, None, file)
}

/// The same, where stacks are converted by the tables of these modules.
pub(crate) fn file_to_pipe_with(plan: Plan, modules: Box<dyn UnwindModules>, file: &[u8]) -> FuzzRun {
    file_to_pipe_of(plan, Some(modules), file)
}

fn file_to_pipe_of(plan: Plan, modules: Option<Box<dyn UnwindModules>>, file: &[u8]) -> FuzzRun {
    ran(plan, modules, |run, out| run.file_to_pipe(&mut PerfFile::open(Cursor::new(file))?, out))
}

/// From a file to a file; `others` are the other files of a directory.
#[must_use]
pub fn file_to_file(plan: Plan, file: &[u8], others: &[&[u8]]) -> FuzzRun {
    file_to_file_of(plan, None, file, others)
}

/// The same, where stacks are converted by the tables of these modules.
pub(crate) fn file_to_file_with(plan: Plan, modules: Box<dyn UnwindModules>, file: &[u8]) -> FuzzRun {
    file_to_file_of(plan, Some(modules), file, &[])
}

fn file_to_file_of(
    plan: Plan,
    modules: Option<Box<dyn UnwindModules>>,
    file: &[u8],
    others: &[&[u8]],
) -> FuzzRun {
    let copy = |source: &mut Cursor<&[u8]>, len, out: &mut Sink| io::copy(&mut source.take(len), out);
    ran(plan, modules, |run, out| {
        let mut others: Vec<_> = others.iter().map(|other| Cursor::new(*other)).collect();
        run.file_to_file(&mut PerfFile::open(Cursor::new(file))?, None, &mut others, out, copy)
    })
}

/// An error says where to look, and where it is one of records, that is in the input.
pub(crate) fn has_its_place(ran: &FuzzRun, input: &[u8]) {
    use perf_format::Error as E;
    match &ran.error {
        Some(Error::Format(error)) => {
            let at = offset_of(error).unwrap_or_else(|| panic!("without an offset: {error}"));
            let of_records = matches!(
                error,
                E::RecordTooSmall { .. }
                    | E::AnotherRecording { .. }
                    | E::Text { .. }
                    | E::Truncated { .. }
                    | E::PayloadTruncated { .. }
                    | E::Malformed { .. }
            );
            assert!(!of_records || at <= input.len() as u64, "{error}");
        }
        Some(error) => panic!("neither input nor output: {error}"),
        None => {}
    }
}

/// The records of a pipe's stream, and their byte order; `None` for what is no such stream.
fn records(mut stream: &[u8]) -> Option<(&[u8], Endian)> {
    let whole = stream;
    let head = Head::read(&mut stream).ok()?;
    let Format::Pipe(endian) = head.format else { return None };
    Some((if head.is_missing { whole } else { stream }, endian))
}

/// Without tools the same bytes come out, up to where the stream cannot be read on.
pub fn passes_as_it_is(stream: &[u8]) -> FuzzRun {
    let ran = pipe_to_pipe(Plan::NOTHING, stream);
    has_its_place(&ran, stream);
    match records(stream) {
        Some((records, endian)) => {
            let cut = cut(records, endian);
            assert_eq!(ran.out.len(), PIPE_HEADER_SIZE + cut.len());
            // A header that was missing is there.
            assert_eq!(Format::detect(&ran.out).ok(), Some(Format::Pipe(endian)));
            assert!(
                records.starts_with(&ran.out[PIPE_HEADER_SIZE..]),
                "what comes out is the start of what went in"
            );
            assert!(stream.starts_with(&ran.out) || stream.len() == records.len());
            assert_eq!(ran.error.is_none(), cut.is_whole(), "{:?}", ran.error);
        }
        None => {
            assert!(ran.error.is_some(), "not a pipe's stream");
            assert_eq!(ran.out, b"");
        }
    }
    let RunReport { passed, .. } = &ran.report;
    assert_eq!((passed.written, passed.injected), (ran.out.len() as u64, 0));
    ran
}

/// With ids, the output without them is what comes out without tools, and so is the error; and to inject twice is
/// to inject once. `plain` is the run without tools.
pub fn only_ids_are_added(stream: &[u8], plan: Plan, plain: &FuzzRun) -> FuzzRun {
    let ran = pipe_to_pipe(plan, stream);
    assert_eq!(ran.message(), plain.message());
    assert_eq!(without_added(stream, &ran.out, &plain.out), ran.report.passed.injected);
    assert_eq!(ran.report.passed.written, ran.out.len() as u64);
    let twice = pipe_to_pipe(plan, &ran.out[..]);
    assert!(twice.out == ran.out, "twice is once");
    ran
}

/// Any split into reads gives the same output and the same error as `whole`, the run over the stream at once.
pub fn pieces_are_the_same(pieces: impl Read, plan: Plan, whole: &FuzzRun) {
    let pieces = pipe_to_pipe(plan, pieces);
    assert_eq!(pieces.message(), whole.message());
    assert!(pieces.out == whole.out, "in pieces");
    assert_eq!(pieces.report.passed, whole.report.passed);
}

/// How many bytes of BUILD_ID records `out` has beyond `plain`; it may have nothing else.
pub(crate) fn without_added(stream: &[u8], out: &[u8], plain: &[u8]) -> u64 {
    let (Some((_, endian)), Some((out, _)), Some((plain, _))) =
        (records(stream), records(out), records(plain))
    else {
        assert_eq!(out, plain);
        return 0;
    };
    let (out, plain) = (cut(out, endian), cut(plain, endian));
    assert_eq!(out.rest, b"", "whole records and payloads are written");
    let mut expected = plain.pieces.iter().peekable();
    let mut added = 0;
    for piece in &out.pieces {
        if expected.next_if_eq(&piece).is_none() {
            assert_eq!(endian.u32_at(piece, 0), Some(RecordType::BUILD_ID.0), "nothing but ids is added");
            added += piece.len() as u64;
        }
    }
    assert_eq!(expected.next(), None, "all of the input is in the output, in its order");
    added
}

/// A file made of a stream has its records, and a preamble that can be read.
pub fn becomes_a_file(stream: &[u8]) {
    let ran = pipe_to_file(Plan::NOTHING, stream);
    has_its_place(&ran, stream);
    let Some((records, endian)) = records(stream).filter(|_| ran.report.framed) else {
        assert!(ran.error.is_some(), "a file without a header");
        return;
    };
    let whole = &records[..cut(records, endian).len()];
    assert!(whole.ends_with(data_of(&ran.out)), "the records are those of the stream");
    let pieces = pipe_to_file(Plan::NOTHING, FuzzPieces::of(stream));
    assert_eq!(pieces.message(), ran.message());
    assert!(pieces.out == ran.out, "in pieces");
    let with_ids = pipe_to_file(sources::HIT, stream);
    assert_eq!(with_ids.message(), ran.message());
    assert!(data_of(&with_ids.out) == data_of(&ran.out), "ids stand in the table");
    let again = file_to_file(sources::HIT, &with_ids.out, &[]);
    // Without records a file is like one that was never closed, of which only the events can be trusted.
    if again.error.is_none() && !data_of(&ran.out).is_empty() && is_read_as_written(&with_ids.out) {
        assert!(again.out == with_ids.out, "twice is once");
    }
}

/// Whether all features of a file are seen. Of one in the other byte order that has no host name, as every recording has,
/// only the build-ids are: nothing tells how wide the words of its bitmap are.
fn is_read_as_written(file: &[u8]) -> bool {
    let header = PerfFile::open(Cursor::new(file)).expect("what is written can be read").header;
    file.starts_with(&header.to_bytes())
}

/// The bytes of a written file's records.
fn data_of(file: &[u8]) -> &[u8] {
    let open = PerfFile::open(Cursor::new(file)).expect("what is written can be read");
    open.check_overlaps().expect("its parts are apart");
    open.check_complete_or_unclosed().expect("its records are in it");
    let section = open.header.words.data;
    let at = |offset: u64| usize::try_from(offset).expect("an offset in memory");
    &file[at(section.offset)..at(section.offset + section.size)]
}

/// A file that is copied keeps its records and its preamble; one that is turned into a stream keeps its records; ids
/// are all that is ever added, and only once.
pub fn file_keeps_its_records(file: &[u8]) {
    let copied = file_to_file(Plan::NOTHING, file, &[]);
    has_its_place(&copied, file);
    if copied.error.is_none() {
        is_a_copy(file, &copied.out);
    }
    let with_ids = file_to_file(sources::HIT, file, &[]);
    if with_ids.error.is_none() {
        assert!(copied.error.is_none(), "{:?}", copied.error);
        assert!(data_of(&with_ids.out) == data_of(&copied.out), "ids stand in the table");
        let twice = file_to_file(sources::HIT, &with_ids.out, &[]);
        assert_eq!(twice.message(), None);
        assert!(!is_read_as_written(&with_ids.out) || twice.out == with_ids.out, "twice is once");
    }
    let plain = file_to_pipe(Plan::NOTHING, file);
    has_its_place(&plain, file);
    let streamed = file_to_pipe(sources::HIT, file);
    assert_eq!(streamed.message(), plain.message());
    without_added(&plain.out, &streamed.out, &plain.out);
    if let (Some((records, endian)), None) = (records(&plain.out), &plain.error) {
        let cut = cut(records, endian);
        assert!(cut.is_whole(), "a stream of whole records");
        assert!(copied.error.is_some() || records.ends_with(data_of(&copied.out)));
    }
}

/// The preamble is the same, but for what tells where in the file something is.
fn is_a_copy(file: &[u8], copy: &[u8]) {
    let preamble = |bytes| -> Option<Preamble> {
        let mut file = PerfFile::open(Cursor::new(bytes)).expect("a file");
        // What was never closed is closed in the copy, and then has a table of no features.
        let closed = file.is_closed();
        let mut preamble = file.preamble().expect("its preamble");
        preamble.features.remove(&Feature::AUXTRACE);
        closed.then_some(preamble)
    };
    // Without a host name, which may have been damaged, the others are not seen in the other byte order. A damaged table of
    // ids is made anew.
    if let (Some(before), Some(mut after)) = (preamble(file), preamble(copy))
        && is_read_as_written(copy)
    {
        if !before.features.contains_key(&Feature::BUILD_ID) {
            after.features.remove(&Feature::BUILD_ID);
        }
        assert_eq!(after, before);
    }
    let from = PerfFile::open(Cursor::new(file)).expect("a file");
    if from.is_closed() {
        assert!(data_of(copy) == data_of(file), "the records");
    }
}
