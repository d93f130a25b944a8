//! Shapes of what stands before the samples, and of what is no record of the kernel: events, ids, types that nobody
//! knows.

use perf_format::attr::SampleType;
use perf_format::record::{Misc, Record};
use perf_format::sample::{Sample, Tid};
use perf_format::testing::StreamBuilder;
use perf_format::{Attr, BuildId, CpuMode, SampleFormat};

use super::{PAGE, PID, Shape, each, empty, pid, plain, shape, stream};

pub(super) const SHAPES: &[Shape] = &[
    shape("attrs", "n events with two ids each", attrs),
    shape("attr-ids", "n ids, 7,900 an event", attr_ids),
    shape("events", "n samples of 1,000 events in turn", events),
    shape("build-ids", "n BUILD_ID records of as many files", build_ids),
    shape("unknown", "n records of types that nobody knows", unknown),
];

/// An event that is one of several.
fn identified() -> Attr {
    let mut attr = plain();
    attr.fields.sample_type |= SampleType::IDENTIFIER;
    attr
}

fn attrs(n: u64) -> Vec<u8> {
    let attr = identified();
    each(0..n, empty(), |stream, i| stream.attr(&attr, &[2 * i, 2 * i + 1])).bytes()
}

fn attr_ids(n: u64) -> Vec<u8> {
    const IDS: u64 = 7900;
    let attr = identified();
    let one = |stream: StreamBuilder, i| stream.attr(&attr, &(i * IDS..(i + 1) * IDS).collect::<Vec<_>>());
    each(0..n.div_ceil(IDS), empty(), one).bytes()
}

fn events(n: u64) -> Vec<u8> {
    let attr = identified();
    let format = SampleFormat::new(&attr);
    let events = each(0..1000, empty(), |stream, id| stream.attr(&attr, &[id]));
    let one = |stream: StreamBuilder, i| {
        let sample = Sample {
            identifier: Some(i % 1000),
            ip: Some(PAGE),
            tid: Some(Tid { pid: PID, tid: PID }),
            time: Some(i),
            period: Some(1),
            ..Sample::default()
        };
        let body = sample.to_bytes(&format, perf_format::Endian::NATIVE);
        stream.record(Misc::of(CpuMode::User), &Record::Sample(&body))
    };
    each(0..n, events, one).bytes()
}

fn build_ids(n: u64) -> Vec<u8> {
    let one = |stream: StreamBuilder, i: u64| {
        let mut bytes = [1; BuildId::MAX];
        bytes[..8].copy_from_slice(&i.to_le_bytes());
        let Ok(id) = BuildId::new(&bytes) else { return stream };
        stream.build_id(CpuMode::User, id, &format!("/nonexistent/{i}.so"))
    };
    each(0..n, stream(), one).bytes()
}

fn unknown(n: u64) -> Vec<u8> {
    each(0..n, stream(), |stream, i| stream.unknown(200 + pid(i % 50), &[0; 8])).bytes()
}
