//! Reading on past damage: what is whole passes as it is, what is not is counted.

use std::io::Read;

use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::record::CpuMode;
use perf_format::testing::{At, StreamBuilder};
use perf_format::{
    Damage, Endian, Misc, RawRecord, Record, RecordHeader, RecordReader, RecordType, Recovering,
};

/// What comes out of a stream's records, and what is lost.
fn recovered(records: &[u8], endian: Endian) -> (Vec<u8>, Damage) {
    let (mut source, lost) = Recovering::new(records, endian, PIPE_HEADER_SIZE as u64);
    let mut out = Vec::new();
    source.read_to_end(&mut out).expect("memory can be read");
    (out, lost.get())
}

/// The records, without a frame: samples of different lengths.
fn samples(endian: Endian, count: u64) -> Vec<u8> {
    let stream = (0..count).fold(StreamBuilder::with_callchains(endian), |stream, n| {
        let chain: Vec<u64> = (0..n % 5).collect();
        stream.sample(CpuMode::User, At::new(7, n), 0x1000 + n, &chain)
    });
    stream.finished_round().bytes()[PIPE_HEADER_SIZE..].to_vec()
}

/// Reads records; an error where one of them is none.
fn read(records: &[u8], endian: Endian) -> Vec<Vec<u8>> {
    let mut reader = RecordReader::records(records, endian, 0);
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch().expect("whole") {
        all.extend(batch.map(|record| record.expect("whole").bytes.to_vec()));
        while reader.next_payload().expect("whole").is_some() {}
    }
    all
}

#[test]
fn what_is_whole_passes_as_it_is() {
    for endian in [Endian::Little, Endian::Big] {
        let records = samples(endian, 3000);
        assert_eq!(recovered(&records, endian), (records, Damage::default()));
        let with_payloads = StreamBuilder::new(endian).tracing_data(&[7; 4096]).finished_round().bytes();
        let records = &with_payloads[PIPE_HEADER_SIZE..];
        assert_eq!(recovered(records, endian), (records.to_vec(), Damage::default()));
    }
}

#[test]
fn a_stream_cut_anywhere_keeps_its_whole_records() {
    let records = samples(Endian::Little, 40);
    let all = read(&records, Endian::Little);
    for cut in 0..records.len() {
        let (out, lost) = recovered(&records[..cut], Endian::Little);
        let mut whole = 0;
        let kept: Vec<_> = all
            .iter()
            .take_while(|record| {
                whole += record.len();
                whole <= cut
            })
            .cloned()
            .collect();
        assert_eq!(out, kept.concat(), "cut at {cut}");
        assert_eq!(lost.bytes, (cut - out.len()) as u64);
        assert_eq!(lost.places, u64::from(lost.bytes > 0));
        let first = (lost.bytes > 0).then_some((PIPE_HEADER_SIZE + out.len()) as u64);
        assert_eq!(lost.first, first);
    }
}

#[test]
fn a_size_of_zero_costs_its_own_record() {
    for endian in [Endian::Little, Endian::Big] {
        let records = samples(endian, 100);
        let all = read(&records, endian);
        for (index, broken) in all.iter().enumerate() {
            let at: usize = all[..index].iter().map(Vec::len).sum();
            let mut damaged = records.clone();
            damaged[at + 6..at + 8].fill(0);
            let (out, lost) = recovered(&damaged, endian);
            let rest = [&all[..index], &all[index + 1..]].concat().concat();
            assert_eq!(out, rest, "{index}");
            let expected = Damage {
                bytes: broken.len() as u64,
                places: 1,
                first: Some((PIPE_HEADER_SIZE + at) as u64),
                mended: 0,
            };
            assert_eq!(lost, expected);
        }
    }
}

#[test]
fn garbage_of_any_length_is_left_out() {
    let records = samples(Endian::Little, 50);
    let all = read(&records, Endian::Little);
    let half: usize = all[..20].iter().map(Vec::len).sum();
    for len in [8, 64, 4096, 65_536, 1 << 20] {
        // Numbers that no header has; not all alike, so that no period helps.
        let garbage: Vec<u8> =
            (0..len).map(|n: usize| 0x80 | u8::try_from(n * 31 % 97).expect("small")).collect();
        let damaged = [&records[..half], &garbage, &records[half..]].concat();
        let (out, lost) = recovered(&damaged, Endian::Little);
        assert!(out == records, "{len} bytes of garbage");
        assert_eq!((lost.bytes, lost.places), (len as u64, 1));
    }
}

#[test]
fn whatever_is_damaged_what_comes_out_is_whole_records() {
    let mut number = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        usize::try_from(number % below as u64).expect("small")
    };
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    for name in
        ["callchain.pipe", "tracepoint.pipe", "compressed.pipe", "newest.pipe", "newest-compressed.pipe"]
    {
        let stream = std::fs::read(kept.join(name)).expect("it is kept");
        let (records, endian) = (&stream[PIPE_HEADER_SIZE..], Endian::Little);
        assert_eq!(recovered(records, endian), (records.to_vec(), Damage::default()), "{name}");
        for _ in 0..100 {
            let mut damaged = records.to_vec();
            for _ in 0..=random(4) {
                let at = random(damaged.len());
                damaged[at] = u8::try_from(random(256)).expect("a byte");
            }
            damaged.truncate(1 + random(damaged.len()));
            let (out, lost) = recovered(&damaged, endian);
            read(&out, endian);
            assert_eq!(out.len() as u64 + lost.bytes, damaged.len() as u64, "{name}");
        }
    }
}

#[test]
fn tracing_data_inside_its_record_has_nothing_behind_it() {
    for endian in [Endian::Little, Endian::Big] {
        let header = RecordHeader { record_type: RecordType::TRACING_DATA, misc: Misc::default(), size: 44 };
        let inside = [&header.to_bytes(endian)[..], &endian.put_u32(24), &[0x44; 32]].concat();
        let records = [&inside[..], &samples(endian, 9)].concat();
        assert_eq!(recovered(&records, endian), (records, Damage::default()));
    }
}

#[test]
fn a_payload_that_is_cut_goes_with_its_record() {
    let stream = StreamBuilder::new(Endian::Little).finished_round().tracing_data(&[7; 64]).bytes();
    let records = &stream[PIPE_HEADER_SIZE..stream.len() - 8];
    let (out, lost) = recovered(records, Endian::Little);
    assert_eq!((out, lost.places), (records[..8].to_vec(), 1));
}

/// A COMPRESSED2 record as perf 6.16 writes it when the size does not fit.
fn overflown(data: &[u8]) -> Vec<u8> {
    let len = (16 + data.len()).next_multiple_of(8);
    let mut record = RecordType::COMPRESSED2.0.to_le_bytes().to_vec();
    record.extend([0, 0]);
    record.extend(u16::try_from(len % 65_536).expect("its low bits").to_le_bytes());
    record.extend((data.len() as u64).to_le_bytes());
    record.extend(data);
    record.resize(len, 0);
    record
}

#[test]
fn a_compressed_record_too_large_for_its_size_comes_in_pieces() {
    let before = samples(Endian::Little, 3);
    for len in [65_520, 65_521, 65_536, 70_000, 140_000] {
        let data: Vec<u8> = (0..len).map(|n: usize| u8::try_from(n * 7 % 251).expect("small")).collect();
        let stream = [&before[..], &overflown(&data), &before].concat();
        let (out, lost) = recovered(&stream, Endian::Little);
        assert_eq!(lost, Damage { mended: 1, ..Damage::default() }, "{len}");
        let mut pieces = Vec::new();
        let mut others = Vec::new();
        for bytes in read(&out, Endian::Little) {
            let raw = RawRecord::first(&bytes, 0, Endian::Little).expect("whole");
            match raw.parse().expect("it can be read") {
                Record::Compressed2(piece) => {
                    let len = usize::try_from(piece.data_size).expect("small");
                    pieces.extend_from_slice(&piece.data[..len]);
                }
                _ => others.extend(bytes),
            }
        }
        assert!(pieces == data, "{len}");
        assert!(others == [&before[..], &before].concat());
    }
    // One that fits is passed as it is.
    let mut fits = Vec::new();
    let record = perf_format::record::Compressed2 { data_size: 40_000, data: &[3; 40_000] };
    Record::Compressed2(record).encode(Misc::default(), &[], Endian::Little, &mut fits).expect("it fits");
    assert_eq!(recovered(&fits, Endian::Little), (fits, Damage::default()));
}
