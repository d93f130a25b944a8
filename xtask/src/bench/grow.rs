//! Makes a long recording out of a short one: what happened in it happens again and again, each time later. Only
//! times are changed, so that the records are as many and as mixed as perf wrote them.

use std::io::Write;

use anyhow::{Context as _, bail, ensure};
use perf_format::attr::SampleType;
use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::record::HeaderAttr;
use perf_format::{Endian, PipeStream, RawRecord, RecordType, SampleFormat};

/// Between the last record and its first repetition, in ns.
const PAUSE: u64 = 1_000_000;

/// Writes a pipe's stream and repeats what happened in it until there are so many bytes.
pub(crate) fn grow(stream: &[u8], out: &mut impl Write, bytes: u64) -> anyhow::Result<()> {
    let mut story = Story::read(stream)?;
    out.write_all(stream)?;
    let mut written = stream.len() as u64;
    while written < bytes {
        story.later();
        out.write_all(&story.records)?;
        written += story.records.len() as u64;
    }
    Ok(())
}

/// What happened in a recording: the kernel's records with a time, and the rounds. What came before (events, features,
/// what was mapped already) is said once.
struct Story {
    records: Vec<u8>,
    endian: Endian,
    /// Where in them the times are.
    times: Vec<usize>,
    /// From one repetition to the next, in ns.
    span: u64,
}

impl Story {
    fn read(mut stream: &[u8]) -> anyhow::Result<Self> {
        let endian = PipeStream::open(&mut stream)?.endian();
        let mut story = Self { records: Vec::new(), endian, times: Vec::new(), span: 0 };
        let (mut format, mut first, mut last) = (None, u64::MAX, 0);
        for record in records(stream, PIPE_HEADER_SIZE as u64, endian) {
            let record = record?;
            match record.record_type() {
                RecordType::HEADER_ATTR => format = Some(same(format, &record)?),
                RecordType::FINISHED_ROUND => story.records.extend_from_slice(record.bytes),
                RecordType::COMPRESSED | RecordType::COMPRESSED2 => {
                    bail!("compressed records cannot be repeated")
                }
                kernels if kernels.is_kernel() => {
                    let format = format.context("a record stands before all events")?;
                    let time = time(&format, &record).context("a record has no time")?;
                    if time != 0 {
                        (first, last) = (first.min(time), last.max(time));
                        story.add(&format, &record, time)?;
                    }
                }
                _ => {}
            }
        }
        story.span = last.checked_sub(first).context("nothing happens in it")? + PAUSE;
        Ok(story)
    }

    fn add(&mut self, format: &SampleFormat, record: &RawRecord<'_>, time: u64) -> anyhow::Result<()> {
        let place = place(format, record);
        ensure!(self.endian.u64_at(record.bytes, place) == Some(time), "a time is not where it should be");
        // These have their time in their body as well.
        let in_body = match record.record_type() {
            RecordType::FORK | RecordType::EXIT => Some(24),
            RecordType::THROTTLE | RecordType::UNTHROTTLE => Some(8),
            _ => None,
        };
        self.times.extend([Some(place), in_body].into_iter().flatten().map(|at| self.records.len() + at));
        self.records.extend_from_slice(record.bytes);
        Ok(())
    }

    /// Moves all of it on in time.
    fn later(&mut self) {
        for &at in &self.times {
            let Some(time) = self.records[at..].first_chunk_mut() else { continue };
            *time = self.endian.put_u64(self.endian.u64(*time) + self.span);
        }
    }
}

/// The records of a stream, the first of which stands at `offset`; payloads are passed over.
pub(crate) fn records(
    mut stream: &[u8],
    mut offset: u64,
    endian: Endian,
) -> impl Iterator<Item = anyhow::Result<RawRecord<'_>>> {
    std::iter::from_fn(move || {
        if stream.is_empty() {
            return None;
        }
        let mut next = || {
            let record = RawRecord::first(stream, offset, endian).context("it ends inside a record")?;
            let len = record.bytes.len() + usize::try_from(record.payload_len()?)?;
            stream = stream.get(len..).context("it ends inside a payload")?;
            offset += len as u64;
            Ok(record)
        };
        let record: anyhow::Result<_> = next();
        if record.is_err() {
            stream = &[];
        }
        Some(record)
    })
}

/// The layout that one more event has, where all before had it too.
fn same(before: Option<SampleFormat>, record: &RawRecord<'_>) -> anyhow::Result<SampleFormat> {
    let event: HeaderAttr<'_> = record.parse_as()?;
    let format = SampleFormat::new(&event.attr);
    ensure!(
        before.is_none_or(|before| before == format),
        "its events lay out their records in different ways"
    );
    Ok(format)
}

fn time(format: &SampleFormat, record: &RawRecord<'_>) -> Option<u64> {
    match record.record_type() {
        RecordType::SAMPLE => format.time(record),
        _ => format.trailer_time(record),
    }
}

/// Where the time stands: in a sample behind the fields before it, elsewhere so many fields from the end. Each has
/// eight bytes.
fn place(format: &SampleFormat, record: &RawRecord<'_>) -> usize {
    let fields = |which: SampleType| 8 * which.intersection(format.sample_type).iter().count();
    match record.record_type() {
        RecordType::SAMPLE => 8 + fields(SampleType::IDENTIFIER | SampleType::IP | SampleType::TID),
        _ => {
            let behind = SampleType::ID | SampleType::STREAM_ID | SampleType::CPU | SampleType::IDENTIFIER;
            record.bytes.len() - fields(SampleType::TIME | behind)
        }
    }
}

#[cfg(test)]
mod tests {
    use perf_format::CpuMode;
    use perf_format::testing::{At, StreamBuilder};

    use super::*;

    fn grown(stream: &[u8], bytes: u64) -> Vec<u8> {
        let mut out = Vec::new();
        grow(stream, &mut out, bytes).unwrap();
        out
    }

    #[test]
    fn what_happened_happens_again_later_and_the_front_is_said_once() {
        let stream = StreamBuilder::with_callchains(Endian::Big)
            .kernel(0xffff_0000_0000_0000, 0x1000)
            .mmap2(At::new(7, 1000), 0x4000, 0x1000, "/usr/bin/true")
            .fork(At::new(8, 1500), 7)
            .sample(CpuMode::User, At::new(7, 2000), 0x4010, &[])
            .finished_round()
            .bytes();
        let once_more = grown(&stream, stream.len() as u64 + 1);
        assert!(once_more.starts_with(&stream));
        let out = grown(&stream, once_more.len() as u64 + 1);
        let mut seen = Vec::new();
        let mut format = None;
        for record in records(&out[PIPE_HEADER_SIZE..], 16, Endian::Big) {
            let record = record.unwrap();
            match record.record_type() {
                RecordType::HEADER_ATTR => format = Some(same(None, &record).unwrap()),
                RecordType::FINISHED_ROUND => seen.push((68, 0)),
                other => seen.push((other.0, time(&format.unwrap(), &record).unwrap())),
            }
        }
        let story = |later| [(10, 1000 + later), (7, 1500 + later), (9, 2000 + later), (68, 0)];
        let span = 1000 + PAUSE;
        let expected = [&[(1, 0)][..], &story(0), &story(span), &story(2 * span)].concat();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_stream_that_is_long_enough_stays_as_it_is() {
        let stream = StreamBuilder::with_callchains(Endian::Little)
            .sample(CpuMode::User, At::new(7, 2000), 0x4010, &[])
            .bytes();
        assert_eq!(grown(&stream, 1), stream);
    }

    #[test]
    fn what_cannot_be_repeated_is_refused() {
        let empty = StreamBuilder::with_callchains(Endian::Little);
        let compressed = empty.clone().unknown(81, &[0; 8]).bytes();
        for (stream, said) in [
            (empty.bytes(), "nothing happens in it"),
            (compressed, "compressed records cannot be repeated"),
            (
                StreamBuilder::new(Endian::Little).unknown(9, &[0; 40]).bytes(),
                "a record stands before all events",
            ),
        ] {
            let error = grow(&stream, &mut Vec::new(), 1000).unwrap_err().to_string();
            assert_eq!(error, said);
        }
    }
}
