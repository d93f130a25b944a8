//! Code with made-up tables, the runs over it, and what a reader finds in their output.

use std::io::Read;
use std::ops::Range;

use perf_format::testing::{OwnedRecord, records};
use perf_format::{Endian, PipeStream, RawRecord, Record, RecordType, Sample};
use perf_inject::callchain::{CallchainSummary, NoModule, StackEnd, UnwindModules};
use perf_inject::{ConvertCallchain, DsoSelection, Plan, Run, RunReport};
use perf_session::build_id::{Chain, NoFiles, Recorded};
use perf_session::dso::Dso;
use perf_session::evlist::Evlist;
use perf_session::testing::Named;
use perf_session::{Recording, Repipe};
use perf_unwind::{Architecture, ByteOrder, EhFrameTables, Module};

/// `PERF_CONTEXT_KERNEL`, `PERF_CONTEXT_USER`.
pub(crate) const KERNEL: u64 = 128_u64.wrapping_neg();
pub(crate) const USER: u64 = 512_u64.wrapping_neg();

/// `--convert-callchain`.
pub(crate) fn plan() -> Plan {
    with_options(ConvertCallchain::default())
}

pub(crate) fn with_options(options: ConvertCallchain) -> Plan {
    Plan { convert_callchain: Some(options), ..Plan::NOTHING }
}

/// `--convert-callchain -b`.
pub(crate) fn with_ids() -> Plan {
    Plan { build_ids: Some(DsoSelection::Hit), ..plan() }
}

/// What came out of a run, and how it ended.
#[derive(Debug)]
pub(crate) struct Converted {
    pub(crate) out: Vec<u8>,
    pub(crate) error: Option<String>,
    pub(crate) report: RunReport,
}

impl Converted {
    pub(crate) fn summary(&self) -> &CallchainSummary {
        self.report.callchains.as_ref().expect("stacks are converted")
    }

    /// How many stacks ended in a way.
    pub(crate) fn ends(&self, end: StackEnd) -> u64 {
        self.summary().ends.get(&end).copied().unwrap_or(0)
    }
}

pub(crate) fn run(plan: Plan, source: impl Read) -> Converted {
    run_on(1, plan, source)
}

/// The same with so many threads.
pub(crate) fn run_on(threads: usize, plan: Plan, source: impl Read) -> Converted {
    let mut out = Vec::new();
    let sources = Chain(vec![Box::new(Recorded), Box::new(NoFiles), Box::new(Named)]);
    let mut run = Run::new(plan, sources).with_modules(Box::new(FramelessCode)).with_threads(threads);
    let ran = PipeStream::open(source)
        .map_err(perf_session::Error::from)
        .and_then(|stream| run.pipe_to_pipe(&mut stream.records(), Repipe::To(&mut out)));
    let error = ran.err().map(|error| error.to_string());
    Converted { out, error, report: run.into_report() }
}

/// Converts a whole stream.
#[track_caller]
pub(crate) fn convert(stream: &[u8]) -> Vec<u8> {
    let ran = run(plan(), stream);
    assert_eq!(ran.error, None);
    ran.out
}

/// The module of every DSO: a megabyte of functions without frames, so that the word at the stack pointer is the
/// return address. `/bin/absent` has none, and `/bin/bare` has no tables.
#[derive(Debug)]
pub(crate) struct FramelessCode;

impl UnwindModules for FramelessCode {
    fn module(&mut self, dso: &Dso, _: &Recording) -> Result<Module, NoModule> {
        match &**dso.name {
            b"/bin/absent" => Err(NoModule { reason: "it is not here".to_owned(), may_change: false }),
            b"/bin/bare" => Ok(Module::from_tables(frameless(0x1000_0000))),
            _ => Ok(Module::from_tables(frameless(CODE.start))),
        }
    }
}

/// The addresses that the code has by its tables.
const CODE: Range<u64> = 0x1000..0x10_1000;

/// Tables of the code, which cover what begins at an address.
fn frameless(from: u64) -> EhFrameTables {
    // A CIE: version 1, `zR`, alignments of 1 and -8, return addresses in register 16, addresses of eight bytes.
    let mut cie = vec![0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0];
    // DW_CFA_def_cfa: rsp + 8; DW_CFA_offset: the return address below the CFA.
    cie.extend([0x0c, 7, 8, 0x90, 1, 0, 0]);
    let mut eh_frame = u32::try_from(cie.len()).expect("small").to_le_bytes().to_vec();
    eh_frame.extend(cie);
    // An FDE, whose CIE is so many bytes in front of that number.
    let back = u32::try_from(eh_frame.len() + 4).expect("small");
    let mut fde = back.to_le_bytes().to_vec();
    fde.extend([from.to_le_bytes(), (CODE.end - CODE.start).to_le_bytes()].concat());
    fde.extend([0; 4]);
    eh_frame.extend(u32::try_from(fde.len()).expect("small").to_le_bytes());
    eh_frame.extend(fde);
    eh_frame.extend([0; 4]);
    EhFrameTables {
        architecture: Architecture::X86_64,
        order: ByteOrder::Little,
        code: CODE,
        eh_frame_address: 0x2000_0000,
        eh_frame,
        eh_frame_hdr: None,
    }
}

/// A sample as a reader of the stream finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) time: Option<u64>,
    pub(crate) pid: Option<u32>,
    pub(crate) chain: Option<Vec<u64>>,
    /// Whether it has registers or a stack.
    pub(crate) has_stack: bool,
}

/// Calls `see` with each sample of a stream, read as its own attrs say.
pub(crate) fn read_samples(stream: &[u8], mut see: impl FnMut(&Sample<'_>)) {
    let endian = endian_of(stream);
    let mut evlist = Evlist::default();
    for record in records(stream) {
        let raw = raw(&record, endian);
        if let Ok(Record::HeaderAttr(event)) = raw.parse() {
            evlist.add(event.attr, event.ids.0.iter());
        } else if raw.record_type() == RecordType::SAMPLE {
            let format = evlist.evsel(&raw).expect("its event is known").format;
            see(&Sample::parse(&format, &raw).expect("it is laid out as its event says"));
        }
    }
}

pub(crate) fn samples(stream: &[u8]) -> Vec<Seen> {
    let mut all = Vec::new();
    read_samples(stream, |sample| {
        all.push(Seen {
            time: sample.time,
            pid: sample.tid.map(|tid| tid.pid),
            chain: sample.callchain.map(|chain| chain.iter().collect()),
            has_stack: sample.regs_user.is_some() || sample.stack_user.is_some(),
        });
    });
    all
}

/// The chains of all samples.
pub(crate) fn chains(stream: &[u8]) -> Vec<Vec<u64>> {
    samples(stream).into_iter().map(|sample| sample.chain.expect("it has a chain")).collect()
}

pub(crate) fn endian_of(stream: &[u8]) -> Endian {
    PipeStream::open(stream).expect("a pipe's header").records().endian()
}

pub(crate) fn raw(record: &OwnedRecord, endian: Endian) -> RawRecord<'_> {
    RawRecord::first(&record.bytes, 0, endian).expect("whole")
}

/// All records but samples, byte for byte, but for those that have attrs.
pub(crate) fn others(stream: &[u8]) -> Vec<OwnedRecord> {
    let is_other = |record: &OwnedRecord| {
        !matches!(record.record_type, RecordType::SAMPLE | RecordType::HEADER_ATTR | RecordType::COMPRESSED)
    };
    records(stream).into_iter().filter(is_other).collect()
}
