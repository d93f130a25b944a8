//! How long a record stays inside: from the moment at which it is in the pipe to a program until the moment at which
//! it is read behind it. Records of an unknown type with a number in them stand among those of a recording; a thread
//! writes them, another finds them again.
//!
//! Three loads: a trickle, a stream at four fifths of what the program can take, and one that is as fast as the pipe
//! lets it. The last fills the pipes before and behind the program, so cat's delay stands beside: it is theirs.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::{Endian, Misc, PipeStream, RecordHeader, RecordType};

use super::grow::records;
use super::inputs::{Input, SAMPLES};
use super::programs::{Program, spawn};
use super::report::{Bar, Row};
use super::{Bench, progress};

const SECTION: &str = "delay of a record, in ms";
const P99: &str = "99 %";

/// The most that 99 of 100 records may stay under full load, in ms.
const AT_MOST: f64 = 5.0;

/// The type of our own records: nobody's.
const STAMP: RecordType = RecordType(200);

/// The part of what it can take that a paced stream brings.
const PACE: f64 = 0.8;

/// Bytes of recording between two of our records under full load.
const CHUNK: usize = 16 << 10;

/// A trickle: a record and one of ours, so often, so many times.
const TRICKLE: Duration = Duration::from_millis(3);
const TRICKLES: usize = 700;

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let stream = fs::read(Input::of(SAMPLES)?.pipe(bench)?)?;
    let chunks = cut(&stream, CHUNK)?;
    let mut small = cut(&stream[..stream.len().min(1 << 20)], 1)?;
    small.truncate(TRICKLES);
    let mut rows = Vec::new();
    for program in [Program::cat(), Program::perftool(bench, &["-b"])] {
        progress(&format!("delay: {}", program.name));
        let trickle = pass(&program, &small, |n| Some(TRICKLE.mul_f64(n as f64)))?;
        let saturating = pool(bench.rounds, || pass(&program, &chunks, |_| None))?;
        let rate = saturating.bytes_a_second * PACE;
        let due = |n: usize| Some(Duration::from_secs_f64((n * CHUNK) as f64 / rate));
        let paced = pool(bench.rounds, || pass(&program, &chunks, due))?;
        let ours = program.name.starts_with("perftool");
        let at_most = ours.then_some(Bar::at_most(P99, AT_MOST));
        for (load, passage, bar) in [
            ("a record every 3 ms", trickle, None),
            ("paced at 80 %", paced, at_most),
            ("saturating", saturating, at_most),
        ] {
            let (input, program) = (load.to_owned(), program.name.clone());
            rows.push(Row {
                section: SECTION,
                input,
                program,
                figures: passage.figures(),
                bar,
                ..Row::default()
            });
        }
    }
    Ok(rows)
}

/// What was seen of a stream that passed.
struct Passage {
    bytes_a_second: f64,
    /// In seconds.
    delays: Vec<f64>,
}

impl Passage {
    fn figures(mut self) -> Vec<(&'static str, f64)> {
        self.delays.sort_by(f64::total_cmp);
        let at = |of_100: usize| self.delays.get(self.delays.len() * of_100 / 100);
        let ms = |delay: Option<&f64>| delay.map_or(0.0, |delay| delay * 1e3);
        let (half, most, max) = (ms(at(50)), ms(at(99)), ms(self.delays.last()));
        vec![("MB/s", self.bytes_a_second / 1e6), ("50 %", half), (P99, most), ("max", max)]
    }
}

/// All rounds as one; the slowest of them says how fast.
fn pool(rounds: usize, mut pass: impl FnMut() -> anyhow::Result<Passage>) -> anyhow::Result<Passage> {
    let mut all = pass()?;
    for _ in 1..rounds {
        let one = pass()?;
        all.bytes_a_second = all.bytes_a_second.min(one.bytes_a_second);
        all.delays.extend(one.delays);
    }
    Ok(all)
}

/// Lets chunks pass through a program, each with one of our records behind it. `due` says when after the start a chunk
/// is to be written; without, as soon as there is room.
fn pass(
    program: &Program,
    chunks: &[&[u8]],
    due: impl Fn(usize) -> Option<Duration> + Send,
) -> anyhow::Result<Passage> {
    let mut child = spawn(program.command().stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let (stdin, stdout) = ends(&mut child)?;
    let start = Instant::now();
    let (entered, left) = thread::scope(|scope| {
        let writer = scope.spawn(|| write(stdin, chunks, start, due));
        let left = read(stdout);
        (writer.join(), left)
    });
    let took = start.elapsed();
    let status = child.wait().context("cannot wait for it")?;
    let Ok(entered) = entered else { bail!("the writer panicked") };
    let (entered, left) = (entered?, left?);
    ensure!(status.success(), "{}: {status}", program.name);
    ensure!(left.len() == entered.len(), "{} of {} records came out", left.len(), entered.len());
    let bytes: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    let delay = |(n, left): (usize, Instant)| entered.get(n).map(|entered| left - *entered);
    let delays = left.into_iter().filter_map(delay).map(|delay| delay.as_secs_f64()).collect();
    Ok(Passage { bytes_a_second: bytes as f64 / took.as_secs_f64(), delays })
}

fn ends(child: &mut Child) -> anyhow::Result<(ChildStdin, ChildStdout)> {
    child.stdin.take().zip(child.stdout.take()).context("it has no pipes")
}

/// Writes; when each of our records entered. The time is taken when all before it is in the pipe, so that waiting for
/// room there does not count.
fn write(
    mut pipe: ChildStdin,
    chunks: &[&[u8]],
    start: Instant,
    due: impl Fn(usize) -> Option<Duration>,
) -> anyhow::Result<Vec<Instant>> {
    let mut entered = Vec::with_capacity(chunks.len());
    for (n, chunk) in chunks.iter().enumerate() {
        if let Some(due) = due(n) {
            thread::sleep(due.saturating_sub(start.elapsed()));
        }
        pipe.write_all(chunk)?;
        let stamp = stamp(n)?;
        entered.push(Instant::now());
        pipe.write_all(&stamp)?;
    }
    Ok(entered)
}

/// Reads to the end; the number of each of our records, and when it was read.
fn read(pipe: ChildStdout) -> anyhow::Result<Vec<(usize, Instant)>> {
    let mut left = Vec::new();
    let mut records = PipeStream::open(pipe)?.records();
    while let Some(batch) = records.next_batch()? {
        let now = Instant::now();
        for record in batch {
            let record = record?;
            if record.record_type() == STAMP {
                let number = record.endian.u64_at(record.bytes, RecordHeader::SIZE);
                left.push((usize::try_from(number.context("it has no number")?)?, now));
            }
        }
    }
    Ok(left)
}

/// One of our records.
fn stamp(number: usize) -> anyhow::Result<[u8; 16]> {
    let header = RecordHeader { record_type: STAMP, misc: Misc::default(), size: 16 };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&header.to_bytes(Endian::NATIVE));
    bytes[8..].copy_from_slice(&Endian::NATIVE.put_u64(u64::try_from(number)?));
    Ok(bytes)
}

/// Cuts a stream between records into pieces of at least so many bytes; what is not whole at its end is left out.
fn cut(stream: &[u8], at_least: usize) -> anyhow::Result<Vec<&[u8]>> {
    ensure!(PipeStream::open(stream)?.endian() == Endian::NATIVE, "it was recorded on another machine");
    let mut pieces = Vec::new();
    let (mut start, mut end) = (0, PIPE_HEADER_SIZE);
    for record in records(&stream[end..], end as u64, Endian::NATIVE).map_while(Result::ok) {
        // A payload stands between this record's start and the end of the one before.
        let from = usize::try_from(record.offset)?;
        end = from + record.bytes.len() + usize::try_from(record.payload_len()?)?;
        if end - start >= at_least {
            pieces.push(&stream[start..end]);
            start = end;
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use perf_format::CpuMode;
    use perf_format::testing::{At, StreamBuilder};

    use super::*;

    #[test]
    fn a_stream_is_cut_between_records() {
        let front = StreamBuilder::with_callchains(Endian::NATIVE);
        let stream = (0..10)
            .fold(front.clone(), |stream, n| stream.sample(CpuMode::User, At::new(1, n), 0, &[]))
            .bytes();
        let pieces = cut(&stream, 1).unwrap();
        assert_eq!(pieces.len(), 11);
        assert_eq!(pieces[0], front.bytes());
        assert_eq!(pieces.concat(), stream);
        assert_eq!(cut(&stream[..stream.len() - 1], 1).unwrap().len(), 10);
        assert_eq!(cut(&stream, stream.len()).unwrap(), [&stream[..]]);
    }

    #[test]
    fn what_enters_a_program_leaves_it() {
        let front = StreamBuilder::with_callchains(Endian::NATIVE);
        let stream = (0..50).fold(front, |stream, n| stream.sample(CpuMode::User, At::new(1, n), 0, &[]));
        let stream = stream.bytes();
        let passage = pass(&Program::cat(), &cut(&stream, 1).unwrap(), |_| None).unwrap();
        assert_eq!(passage.delays.len(), 51);
        assert!(passage.delays.iter().all(|delay| *delay >= 0.0));
    }
}
