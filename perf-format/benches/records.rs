//! What it costs to walk records, and to ask a sample for what every sample is asked for.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use perf_format::attr::SampleType;
use perf_format::sample::Address;
use perf_format::testing::{At, StreamBuilder, attr, callchain_attr};
use perf_format::{
    Attr, CpuMode, Endian, Error, Inflater, Misc, PerfReader, PipeStream, RawRecord, Record, RecordType,
    Sample, SampleFormat,
};

/// Samples in a stream: some megabytes, several reads.
const SAMPLES: u64 = 100_000;

/// Addresses in a chain.
const DEPTH: u64 = 20;

fn main() {
    divan::main();
}

/// What plain `perf record` asks of a sample.
fn plain() -> Attr {
    attr(SampleType::IP | SampleType::TID | SampleType::TIME | SampleType::PERIOD)
}

/// Samples of an event, and rounds.
fn stream(attr: &Attr) -> Vec<u8> {
    let chain: Vec<u64> = (0..DEPTH).map(|frame| 0x7f00_0000_0000 + 0x1000 * frame).collect();
    let mut stream = StreamBuilder::new(Endian::NATIVE).attr(attr, &[1]);
    for n in 0..SAMPLES {
        stream = stream.sample(CpuMode::User, At::new(7, 1000 + n), 0x40_0000 + n, &chain);
        if n % 1000 == 999 {
            stream = stream.finished_round();
        }
    }
    stream.bytes()
}

/// Walks a stream, and the records of it.
fn walk(stream: &[u8], mut each: impl FnMut(&RawRecord<'_>)) {
    let mut records = PipeStream::open(stream).expect("it starts with a header").records();
    while let Some(batch) = records.next_batch().expect("it is whole") {
        for record in batch {
            each(&record.expect("it is whole"));
        }
    }
}

/// A walk that asks every sample for something.
fn ask(bencher: Bencher<'_, '_>, attr: &Attr, question: impl Fn(&SampleFormat, &RawRecord<'_>) + Sync) {
    let (stream, format) = (stream(attr), SampleFormat::new(attr));
    bencher.counter(ItemsCount::new(SAMPLES)).bench(|| {
        walk(&stream, |record| {
            if record.record_type() == RecordType::SAMPLE {
                question(&format, record);
            }
        });
    });
}

/// Framing alone: the headers are looked at, and nothing else.
#[divan::bench]
fn frame_small_records(bencher: Bencher<'_, '_>) {
    let stream = stream(&plain());
    bencher.counter(BytesCount::of_slice(&stream)).bench(|| {
        walk(&stream, |record| _ = black_box(record.record_type()));
    });
}

/// The same, one record after the other.
#[divan::bench]
fn lend_small_records(bencher: Bencher<'_, '_>) {
    let stream = stream(&plain());
    bencher.counter(BytesCount::of_slice(&stream)).bench(|| {
        let mut reader = PerfReader::open_stream(&stream[..]).expect("it starts with a header");
        while let Some(record) = reader.next_record().expect("it is whole") {
            black_box(record.record_type());
        }
    });
}

/// Records inside compressed ones, by the inflater alone.
#[divan::bench]
fn inflate_small_records(bencher: Bencher<'_, '_>) {
    let stream = stream(&plain());
    let mut compressed = vec![0; stream.len()];
    let len = zstd_safe::compress(&mut compressed[..], &stream[16..], 1).expect("it is smaller");
    let pieces = compressed[..len].chunks(60_000).map(|piece| {
        let mut bytes = Vec::new();
        let record = Record::Compressed(piece);
        record.encode(Misc::default(), &[], Endian::NATIVE, &mut bytes).expect("it fits");
        bytes
    });
    let pieces: Vec<_> = pieces.collect();
    bencher.counter(BytesCount::of_slice(&stream)).bench(|| {
        let mut inflater = Inflater::default();
        for piece in &pieces {
            let record = RawRecord::first(piece, 0, Endian::NATIVE).expect("it is whole");
            let inside = inflater.inflate(&record, |record| {
                black_box(record.record_type());
                Ok::<_, Error>(())
            });
            inside.expect("it inflates");
        }
    });
}

#[divan::bench]
fn ask_ip_pid_and_time(bencher: Bencher<'_, '_>) {
    ask(bencher, &plain(), |format, sample| {
        black_box((format.ip(sample), format.tid(sample), format.time(sample)));
    });
}

#[divan::bench]
fn ask_a_callchain(bencher: Bencher<'_, '_>) {
    ask(bencher, &callchain_attr(), |format, sample| {
        let chain = format.callchain(sample).expect("it fits");
        black_box(chain.map(|chain| chain.iter().fold(0, u64::wrapping_add)));
    });
}

/// A sample's own address and those of its chain, with their modes.
#[divan::bench]
fn walk_addresses(bencher: Bencher<'_, '_>) {
    ask(bencher, &callchain_attr(), |format, sample| {
        let mut sum = 0_u64;
        let addresses = format.addresses(sample).expect("they fit");
        addresses.for_each(|address| sum = sum.wrapping_add(address.addr));
        black_box(sum);
    });
}

/// The loop that passes over samples of which nothing is to be said: all addresses of each are looked at.
#[divan::bench(args = [false, true])]
fn pass_over_samples(bencher: Bencher<'_, '_>, with_chains: bool) {
    let attr = if with_chains { callchain_attr() } else { plain() };
    let (stream, format) = (stream(&attr), SampleFormat::new(&attr));
    let offsets = format.field_offsets().expect("they are the same in all samples");
    let is_nothing_new = |record: &RawRecord<'_>| {
        let pid = record.endian.u32_at(record.bytes, offsets.tid);
        let time = record.endian.u64_at(record.bytes, offsets.time);
        let known = |address: Address| {
            address.cpumode == CpuMode::User
                && address.addr < black_box(1 << 60)
                && pid == Some(7)
                && time > Some(0)
        };
        record.record_type() == RecordType::SAMPLE
            && offsets.addresses(record).is_some_and(|mut addresses| addresses.all(known))
    };
    bencher.counter(ItemsCount::new(SAMPLES)).bench(|| {
        let mut records = PipeStream::open(&stream[..]).expect("it starts with a header").records();
        let mut samples = 0;
        while let Some(mut batch) = records.next_batch().expect("it is whole") {
            loop {
                samples += batch.advance_while(is_nothing_new).records;
                if batch.next().is_none() {
                    break;
                }
            }
        }
        assert_eq!(samples, SAMPLES);
    });
}

/// All fields, as nobody does for every sample.
#[divan::bench]
fn parse_in_full(bencher: Bencher<'_, '_>) {
    ask(bencher, &callchain_attr(), |format, sample| {
        _ = black_box(Sample::parse(format, sample).expect("it fits"));
    });
}
