//! `callchain`: whole runs of `--convert-callchain`. The input has a length of 16 bits (little-endian) and so many bytes of
//! tables, by which the code of one of the DSOs is unwound; the rest is perf data, or steps that make a stream.

use std::io::Read;

use arbitrary::{Result, Unstructured};
use perf_format::attr::SampleType;
use perf_format::header::{Format, PIPE_HEADER_SIZE};
use perf_format::testing::{At, STACK_REGS, StreamBuilder, UserStack, stack_attr};
use perf_format::{CpuMode, Endian, RawRecord, Record, RecordType};
use perf_inject::callchain::{NoModule, UnwindModules};
use perf_inject::{ConvertCallchain, Plan};
use perf_session::Recording;
use perf_session::dso::Dso;
use perf_unwind::{Architecture, ByteOrder, EhFrameTables, Module};

use crate::laws::{self, FuzzRun};
use crate::unwind::{tables, take};
use crate::{FuzzPieces, cut, made, sources};

/// `--convert-callchain`.
const CONVERT: Plan = Plan {
    convert_callchain: Some(ConvertCallchain { max_stack: 127, keep_stacks: false }),
    ..Plan::NOTHING
};

/// Few entries, and the stacks stay.
const KEEP: Plan =
    Plan { convert_callchain: Some(ConvertCallchain { max_stack: 5, keep_stacks: true }), ..Plan::NOTHING };

/// With `-b` in the same pass.
const WITH_IDS: Plan = Plan { convert_callchain: CONVERT.convert_callchain, ..sources::HIT };

/// What a stack is unwound from.
const STACK: SampleType = SampleType::REGS_USER.union(SampleType::STACK_USER);

/// Tables, and perf data or steps.
pub fn callchain(data: &[u8]) {
    let mut data = data;
    let tables = take(&mut data);
    match Format::detect(data) {
        Ok(Format::File(_)) => file(tables, data),
        Ok(Format::Pipe(_)) => stream(tables, data),
        Err(_) => stream(tables, &made(data)),
    }
}

fn stream(tables: &[u8], stream: &[u8]) {
    let decompress = Plan { decompress: true, ..Plan::NOTHING };
    let plain = laws::pipe_to_pipe(decompress, stream);
    let ran = converted(CONVERT, tables, stream);
    assert_eq!(ran.message(), plain.message());
    if let (Some(before), Some(after)) = (Pieces::of(&plain.out), Pieces::of(&ran.out)) {
        // But for those that have an attr, all other records are the same, in their order. Behind a payload that is cut stands
        // what waited.
        let is_same = after.others == before.others;
        assert!(is_same || before.torn && after.others.concat().starts_with(&before.others.concat()));
        assert!(after.samples == before.samples || before.torn, "no sample is lost");
        assert_eq!(after.lengths_of_headers, before.lengths_of_headers);
        assert!(!after.has_stacks, "registers and stacks are left out");
    }
    let twice = converted(CONVERT, tables, &ran.out[..]);
    // Where a payload was cut, it is cut in the output.
    assert!(twice.error.is_none() || ran.error.is_some(), "{:?}", twice.error);
    assert!(twice.out == ran.out, "twice is once");
    let pieces = converted(CONVERT, tables, FuzzPieces::of(stream));
    assert_eq!(pieces.message(), ran.message());
    assert!(pieces.out == ran.out, "in pieces");
    assert_eq!(pieces.report.passed, ran.report.passed);
    assert_eq!(pieces.report.callchains, ran.report.callchains);
    // By turns, as in `inject`.
    match stream.len() % 3 {
        0 => {
            let kept = converted(KEEP, tables, stream);
            assert_eq!(kept.message(), plain.message());
            let twice = converted(KEEP, tables, &kept.out[..]);
            // Events that are laid out alike only now have samples whose event was not known before.
            assert!(twice.out == kept.out || counted(&twice) > counted(&kept), "twice is once");
        }
        1 => {
            let with_ids = converted(WITH_IDS, tables, stream);
            assert_eq!(with_ids.message(), plain.message());
            laws::without_added(stream, &with_ids.out, &ran.out);
        }
        _ => {
            let file = laws::pipe_to_file_with(CONVERT, source(tables), stream);
            if file.report.framed {
                let again = laws::file_to_file_with(CONVERT, source(tables), &file.out);
                assert!(again.error.is_none() || file.error.is_some(), "{:?}", again.error);
            }
        }
    }
}

/// The samples of events with stacks.
fn counted(ran: &FuzzRun) -> u64 {
    let summary = ran.report.callchains.clone().unwrap_or_default();
    summary.stacks + summary.without_registers + summary.malformed
}

fn file(tables: &[u8], file: &[u8]) {
    for plan in [CONVERT, KEEP, WITH_IDS] {
        let ran = laws::file_to_file_with(plan, source(tables), file);
        laws::has_its_place(&ran, file);
        let ran = laws::file_to_pipe_with(plan, source(tables), file);
        laws::has_its_place(&ran, file);
    }
}

fn converted(plan: Plan, tables: &[u8], source: impl Read) -> FuzzRun {
    laws::pipe_to_pipe_with(plan, self::source(tables), source)
}

/// What is in a stream of whole records.
#[derive(Default)]
struct Pieces {
    others: Vec<Vec<u8>>,
    samples: usize,
    /// Of records that have attrs: they stay as long as they are.
    lengths_of_headers: Vec<usize>,
    /// Whether an event has stacks.
    has_stacks: bool,
    /// Whether the last payload is cut.
    torn: bool,
}

impl Pieces {
    fn of(stream: &[u8]) -> Option<Self> {
        let Ok(Format::Pipe(endian)) = Format::detect(stream) else { return None };
        let cut = cut(stream.get(PIPE_HEADER_SIZE..)?, endian);
        // Of a payload that is cut, what is there.
        assert_eq!(cut.rest, b"", "whole records are written");
        let mut pieces = Self { torn: cut.torn, ..Self::default() };
        for piece in cut.pieces {
            let record = RawRecord::first(piece, 0, endian).expect("a whole record");
            match record.record_type() {
                RecordType::SAMPLE => {
                    pieces.samples += 1;
                }
                RecordType::HEADER_ATTR | RecordType::HEADER_FEATURE => {
                    pieces.lengths_of_headers.push(piece.len());
                    if let Ok(Record::HeaderAttr(event)) = record.parse() {
                        pieces.has_stacks |= event.attr.fields.sample_type.contains(STACK);
                    }
                }
                _ => pieces.others.push(piece.to_vec()),
            }
        }
        Some(pieces)
    }
}

/// The modules of a run.
fn source(tables: &[u8]) -> Box<dyn UnwindModules> {
    Box::new(MadeCode(tables.to_vec()))
}

/// Code by the names that [`made`] has.
struct MadeCode(Vec<u8>);

impl UnwindModules for MadeCode {
    fn module(&mut self, dso: &Dso, _: &Recording) -> std::result::Result<Module, NoModule> {
        match &**dso.name {
            // It is not here yet.
            b"/lib/b.so" => Err(NoModule { reason: "later".to_owned(), may_change: true }),
            b"[vdso]" => {
                Ok(Module::from_bytes(self.0.clone())
                    .unwrap_or_else(|_| Module::from_tables(tables(&self.0))))
            }
            _ => Ok(Module::from_tables(frameless())),
        }
    }
}

/// Functions without frames: the word at the stack pointer is the return address.
fn frameless() -> EhFrameTables {
    let eh_frame = [
        // A CIE of 20 bytes: version 1, `zR`; the CFA is rsp + 8, and the return address below it.
        &[20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0][..],
        &[0x0c, 7, 8, 0x90, 1, 0, 0],
        // An FDE of 24 bytes for 1 MiB from 0x1000 on.
        &[24, 0, 0, 0, 28, 0, 0, 0],
        &[0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0; 4],
    ];
    EhFrameTables {
        architecture: Architecture::X86_64,
        order: ByteOrder::Little,
        code: 0x1000..0x10_1000,
        eh_frame_address: 0x2000_0000,
        eh_frame: eh_frame.concat(),
        eh_frame_hdr: None,
    }
}

/// A stream of an event with stacks, and a step for every few bytes: samples, and those of the target `inject`.
fn made(data: &[u8]) -> Vec<u8> {
    let mut u = Unstructured::new(data);
    let endian = if u.arbitrary().unwrap_or_default() { Endian::Big } else { Endian::Little };
    let mut stream = StreamBuilder::new(endian);
    stream = event(stream.clone(), &mut u).unwrap_or(stream);
    while !u.is_empty() {
        match step(stream.clone(), endian, &mut u) {
            Ok(longer) => stream = longer,
            Err(_) => break,
        }
    }
    stream.bytes()
}

fn step(stream: StreamBuilder, endian: Endian, u: &mut Unstructured<'_>) -> Result<StreamBuilder> {
    match u.arbitrary::<u8>()? % 8 {
        0..4 => sample(stream, endian, u),
        4 => event(stream, u),
        _ => made::step(stream, u),
    }
}

/// An event with stacks, some of whose other fields are there.
fn event(stream: StreamBuilder, u: &mut Unstructured<'_>) -> Result<StreamBuilder> {
    let bits: u8 = u.arbitrary()?;
    let mut attr = stack_attr(1024);
    let fields = &mut attr.fields;
    let fields_by_bit = [
        SampleType::CALLCHAIN,
        SampleType::IDENTIFIER,
        SampleType::WEIGHT,
        SampleType::RAW,
        SampleType::TIME,
    ];
    for (bit, field) in fields_by_bit.into_iter().enumerate() {
        fields.sample_type.set(field, bits >> bit & 1 == 1);
    }
    if bits & 0x40 != 0 {
        fields.sample_regs_user = u.arbitrary()?;
    }
    Ok(stream.attr(&attr, &[1, u.arbitrary::<u8>()?.into()]))
}

fn sample(stream: StreamBuilder, endian: Endian, u: &mut Unstructured<'_>) -> Result<StreamBuilder> {
    let at: At = made::at(u)?;
    let ip = made::address(u)?;
    let words: Vec<u64> = (0..u.arbitrary::<u8>()? % 6).map(|_| word(u)).collect::<Result<_>>()?;
    let mut stack = UserStack::of_words(endian, ip, &words);
    match u.arbitrary::<u8>()? % 8 {
        0 => stack = UserStack::none(endian),
        1 => stack = stack.padded_to(64),
        2 => stack = stack.copied(u.arbitrary()?),
        3 => {
            let registers = [word(u)?, word(u)?, word(u)?];
            stack = stack.with_registers(u.arbitrary::<u8>()?.into(), STACK_REGS, &registers);
        }
        _ => {}
    }
    let chain: Vec<u64> = (0..u.arbitrary::<u8>()? % 3).map(|_| made::link(u)).collect::<Result<_>>()?;
    let modes = [CpuMode::User, CpuMode::Kernel, CpuMode::User, CpuMode::GuestUser];
    Ok(stream.stack_sample(*u.choose(&modes)?, at, ip, &chain, &stack))
}

/// A word of a stack: an address of code, of the stack, or anything.
fn word(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.arbitrary::<u8>()? % 8 {
        0 => u.arbitrary()?,
        1 => UserStack::SP + u64::from(u.arbitrary::<u8>()?),
        2 => 0,
        _ => made::address(u)? + 0x10,
    })
}
