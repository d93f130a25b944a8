//! `off_cpu`: streams of the scheduler's events through `--off-cpu` and `--sched-stat`.

use arbitrary::{Result, Unstructured};
use perf_format::header::Format;
use perf_format::record::Lost;
use perf_format::testing::sched::{SchedEvent, SchedStream};
use perf_format::testing::{At, StreamBuilder};
use perf_format::{Endian, Head, Misc, Record, RecordType};
use perf_inject::Plan;
use perf_session::Error;

use crate::sources::{OFF_CPU, OPEN_SLEEPS, PLAIN_RECORDS, SCHED_STAT};
use crate::{Cut, FuzzPieces, cut, laws};

const EVENTS: [SchedEvent; 5] = [
    SchedEvent::Switch,
    SchedEvent::Waking,
    SchedEvent::ProcessExit,
    SchedEvent::StatSleep,
    SchedEvent::CpuClock,
];

/// A stream as it is, or steps that make one.
pub fn off_cpu(data: &[u8]) {
    match Format::detect(data) {
        Ok(Format::Pipe(_)) => run(data),
        _ => run(&made(data)),
    }
}

fn run(stream: &[u8]) {
    let plain = laws::pipe_to_pipe(PLAIN_RECORDS, stream);
    for plan in [OFF_CPU, OPEN_SLEEPS, SCHED_STAT] {
        let ran = laws::pipe_to_pipe(plan, stream);
        laws::pieces_are_the_same(FuzzPieces::of(stream), plan, &ran);
        if !matches!(ran.error, Some(Error::Tool(_))) {
            assert_eq!(ran.message(), plain.message());
            compare(plan, &ran.out, &plain.out);
        }
        let _ = laws::pipe_to_file(plan, stream);
    }
}

/// Whether records of a type are of those that come and go.
fn may_change(plan: Plan, record_type: RecordType) -> bool {
    match record_type {
        RecordType::SAMPLE => true,
        RecordType::HEADER_ATTR | RecordType::EVENT_UPDATE | RecordType::HEADER_FEATURE => !plan.sched_stat,
        _ => false,
    }
}

/// All other records are the same, in their order; with `--off-cpu` all samples are there.
fn compare(plan: Plan, out: &[u8], plain: &[u8]) {
    let (Some((out, endian)), Some((plain, _))) = (records(out), records(plain)) else { return };
    let (out, plain) = (cut(out, endian), cut(plain, endian));
    let type_of = |piece: &[u8]| RecordType(endian.u32_at(piece, 0).unwrap_or_default());
    let others = |cut: &Cut<'_>| -> Vec<Vec<u8>> {
        let kept = cut.pieces.iter().filter(|piece| !may_change(plan, type_of(piece)));
        kept.map(|piece| piece.to_vec()).collect()
    };
    assert!(others(&out) == others(&plain), "other records pass as they are");
    let samples =
        |cut: &Cut<'_>| cut.pieces.iter().filter(|piece| type_of(piece) == RecordType::SAMPLE).count();
    if plan.sched_stat {
        // Each statistic is dropped, and brings one sample at the most.
        assert!(samples(&out) <= samples(&plain));
    } else {
        let mut rest = plain.pieces.iter().filter(|piece| type_of(piece) == RecordType::SAMPLE).peekable();
        for piece in &out.pieces {
            rest.next_if_eq(&piece);
        }
        assert_eq!(rest.next(), None, "all samples are there");
    }
}

fn records(mut stream: &[u8]) -> Option<(&[u8], Endian)> {
    let Format::Pipe(endian) = Head::read(&mut stream).ok()?.format else { return None };
    Some((stream, endian))
}

/// A stream: some events, and then a step for every few bytes.
fn made(data: &[u8]) -> Vec<u8> {
    let mut u = Unstructured::new(data);
    let endian = if u.arbitrary().unwrap_or_default() { Endian::Big } else { Endian::Little };
    let which: u8 = u.arbitrary().unwrap_or(0xff);
    let events: Vec<_> = EVENTS
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| which >> bit & 1 == 1)
        .map(|(_, event)| event)
        .collect();
    let mut stream = SchedStream::new(endian, &events);
    while !u.is_empty() {
        match step(stream.clone(), &mut u) {
            Ok(longer) => stream = longer,
            Err(_) => break,
        }
    }
    stream.bytes()
}

fn step(stream: SchedStream, u: &mut Unstructured<'_>) -> Result<SchedStream> {
    let cpu = u32::from(u.arbitrary::<u8>()? % 3);
    let (kind, at) = (u.arbitrary::<u8>()? % 12, at(u)?);
    let other = u32::from(u.arbitrary::<u8>()? % 6);
    let chain = [512_u64.wrapping_neg(), u64::from(at.tid) << 12, u64::from(kind)];
    let traced = |stream: SchedStream, misc, record: &Record<'_>| {
        stream.with(|stream: StreamBuilder| stream.traced(misc, record, at))
    };
    Ok(match kind {
        0..4 => stream.switch(cpu, at, u64::from(u.arbitrary::<u16>()? % 0x104), other, &chain),
        4 => stream.waking(cpu, at, other),
        5 => stream.process_exit(cpu, at),
        6 => stream.stat_sleep(cpu, at, other, u64::from(u.arbitrary::<u8>()?)),
        7 => stream.clock(cpu, at, &chain),
        8 => traced(stream, Misc::default(), &Record::Lost(Lost { id: 11, lost: 1 })),
        9 => stream.with(|stream| stream.exit(at)),
        10 => traced(stream, Misc(u.arbitrary()?), &Record::Other(RecordType::SWITCH, &[])),
        _ => stream.finished_round(),
    })
}

fn at(u: &mut Unstructured<'_>) -> Result<At> {
    let tid = u32::from(u.arbitrary::<u8>()? % 6);
    Ok(At { pid: tid, tid, time: u.arbitrary::<u8>()?.into() })
}
