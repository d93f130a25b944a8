//! What several test files share: the program run on bytes, the recordings in tests/data, made-up streams.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of it")]

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use perf_format::record::Record;
use perf_format::{BuildId, PipeStream, RawRecord, RecordType};
use perf_inject::{DsoSelection, IdsTo, Plan};
use perf_session::build_id::{BuildIdSource, Chain, FoundId, NoBuildId, NoFiles, Origin, Recorded};
use perf_session::dso::Dso;
use perf_session::{Error, Passed, Pipeline, Recording, Repipe, Session, Tool};

pub mod oracle;
pub mod running;
pub mod scenario;

/// The program under test.
pub fn perftool(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perftool"));
    command.args(args);
    command
}

/// Runs a command with these bytes on its standard input.
pub fn run(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::thread::scope(|scope| {
        // A program that refuses its input closes it; what it then says is what the test looks at.
        scope.spawn(move || stdin.write_all(input).or_else(broken_pipe_is_fine));
        child.wait_with_output().expect("the program ends")
    })
}

fn broken_pipe_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are text")
}

/// The folder of recordings.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The recordings in tests/data in pipe format, by name.
pub fn pipe_recordings() -> Vec<(String, Vec<u8>)> {
    let mut recordings: Vec<_> = std::fs::read_dir(data())
        .expect("tests/data is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pipe"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("a recording"))
        })
        .collect();
    recordings.sort();
    assert!(recordings.len() >= 10, "a dozen recordings are kept; {} are there", recordings.len());
    recordings
}

/// A source that knows an id for every name: the name itself, folded into 20 bytes.
#[derive(Debug)]
pub struct Named;

/// The id that [`Named`] gives a name.
pub fn id_of(name: &[u8]) -> BuildId {
    let mut bytes = [0x5a_u8; BuildId::MAX];
    for (at, byte) in name.iter().enumerate() {
        bytes[at % BuildId::MAX] = bytes[at % BuildId::MAX].rotate_left(3) ^ byte;
    }
    BuildId::new(&bytes).expect("20 bytes")
}

impl BuildIdSource for Named {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        Ok(Some(FoundId::from(Origin::File, id_of(&dso.name))))
    }
}

/// Where ids go in a pipe.
pub const EVENTS: IdsTo = IdsTo { header: false, events: true, mmap2: false };

/// `-b`.
pub const HIT: Plan = Plan {
    build_ids: Some(DsoSelection::Hit),
    drop_unused_maps: false,
    ids_to: None,
    live: false,
    decompress: false,
    recover: false,
    jit: false,
};

/// The chain of a live pipeline, with [`Named`] in the place of this machine's files.
pub fn named() -> Chain {
    Chain(vec![Box::new(Recorded), Box::new(NoFiles), Box::new(Named)])
}

/// Gives its bytes in pieces of the given lengths, over and over.
#[derive(Debug)]
pub struct Pieces<'a> {
    pub bytes: &'a [u8],
    pub lengths: Vec<usize>,
    pub next: usize,
}

impl<'a> Pieces<'a> {
    pub fn new(bytes: &'a [u8], lengths: &[usize]) -> Self {
        Self { bytes, lengths: lengths.to_vec(), next: 0 }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = self.lengths[self.next % self.lengths.len()].max(1);
        self.next += 1;
        let len = length.min(buf.len()).min(self.bytes.len());
        buf[..len].copy_from_slice(&self.bytes[..len]);
        self.bytes = &self.bytes[len..];
        Ok(len)
    }
}

/// What came out of a run of the loop, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub out: Vec<u8>,
    pub error: Option<String>,
    pub passed: Passed,
}

/// Runs the loop over a stream with these tools.
pub fn process(source: impl Read, tools: &mut [&mut dyn Tool]) -> Ran {
    let mut out = Vec::new();
    let mut passed = Passed::default();
    let result = PipeStream::open(source).map_err(Error::from).and_then(|stream| {
        let mut records = stream.records();
        Pipeline::new(tools).run(&mut records, &mut Session::new(), Repipe::To(&mut out), &mut passed)
    });
    Ran { out, error: result.err().map(|error| format!("{error}")), passed }
}

/// Runs `-b` over a stream, with [`named`] ids.
pub fn inject(source: impl Read) -> Ran {
    process(source, &mut HIT.tools(named(), EVENTS).as_tools())
}

/// One record of a stream, by its bytes, with the payload behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    pub record_type: RecordType,
    pub bytes: Vec<u8>,
    pub payload: Vec<u8>,
}

/// Cuts a whole stream into its header and records.
pub fn records(stream: &[u8]) -> Vec<Owned> {
    let mut reader = PipeStream::open(stream).expect("a pipe's header").records();
    let mut records = Vec::new();
    while let Some(batch) = reader.next_batch().expect("whole records") {
        for record in batch {
            let record = record.expect("a whole record");
            let bytes = record.bytes.to_vec();
            records.push(Owned { record_type: record.record_type(), bytes, payload: Vec::new() });
        }
        while let Some(payload) = reader.next_payload().expect("a whole payload") {
            records.last_mut().expect("a record").payload.extend_from_slice(payload);
        }
    }
    records
}

/// The records of `output` that are not of `input`; fails where taking them away does not leave the input.
pub fn injected(input: &[u8], output: &[u8]) -> Vec<Owned> {
    assert_eq!(input[..16], output[..16], "the header passes as it is");
    let (input, output) = (records(input), records(output));
    let mut rest = input.into_iter().peekable();
    let mut injected = Vec::new();
    for record in output {
        match rest.peek() {
            Some(next) if *next == record => _ = rest.next(),
            _ => injected.push(record),
        }
    }
    assert_eq!(rest.next(), None, "all of the input is in the output, in its order");
    for record in &injected {
        assert_eq!(record.record_type, RecordType::BUILD_ID, "nothing but ids is injected");
    }
    injected
}

/// The names and ids of BUILD_ID records.
pub fn ids_in(records: &[Owned], endian: perf_format::Endian) -> Vec<(String, BuildId)> {
    let ids = records.iter().filter(|record| record.record_type == RecordType::BUILD_ID);
    ids.map(|record| {
        let raw = RawRecord::first(&record.bytes, 0, endian).expect("a whole record");
        let Ok(Record::BuildId(id)) = raw.parse() else { panic!("a BUILD_ID record that cannot be read") };
        (id.filename.to_string(), id.build_id.0)
    })
    .collect()
}
