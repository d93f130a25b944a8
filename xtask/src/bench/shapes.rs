//! Shapes of streams, each of any size: one thing many times, or two things that could meet each other. What a real
//! recording does a little of, a shape does nothing else.

use perf_format::attr::SampleType;
use perf_format::testing::{At, StreamBuilder, attr};
use perf_format::{Attr, Endian};

mod front;
mod maps;
mod samples;
mod tasks;

/// A shape: its name, what is in it, and what makes it with n.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) make: fn(u64) -> Vec<u8>,
}

const fn shape(name: &'static str, what: &'static str, make: fn(u64) -> Vec<u8>) -> Shape {
    Shape { name, what, make }
}

/// All of them, by room.
pub(super) fn shapes() -> impl Iterator<Item = &'static Shape> {
    [maps::SHAPES, tasks::SHAPES, samples::SHAPES, front::SHAPES].into_iter().flatten()
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    shapes().map(|shape| shape.name)
}

/// The one process of the shapes that have one.
const PID: u32 = 1;

const PAGE: u64 = 0x1000;

/// Where user space begins to be mapped.
const BASE: u64 = 0x1_0000;

/// A page, and one that nothing maps behind it: no two maps touch.
const STEP: u64 = 2 * PAGE;

/// Nearly all of user space, in bytes.
const ALL: u64 = 0x7fff_0000_0000;

/// The kernel's address of the first module.
const MODULES: u64 = 0xffff_ffff_a000_0000;

const fn address(n: u64) -> u64 {
    BASE + n * STEP
}

/// One of so many files, none of which is there.
fn file(n: u64, of: u64) -> String {
    format!("/nonexistent/{}.so", n % of)
}

/// What `perf record` asks of a sample without call chains.
fn plain() -> Attr {
    attr(SampleType::IP | SampleType::TID | SampleType::TIME | SampleType::PERIOD)
}

fn stream() -> StreamBuilder {
    empty().attr(&plain(), &[1])
}

/// A stream without an event.
fn empty() -> StreamBuilder {
    StreamBuilder::new(Endian::NATIVE)
}

/// The same process at a time.
fn at(time: u64) -> At {
    At::new(PID, time)
}

/// A number as a pid. Shapes are smaller than that.
fn pid(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What is added to a stream for each number.
fn each(
    numbers: impl IntoIterator<Item = u64>,
    stream: StreamBuilder,
    add: impl Fn(StreamBuilder, u64) -> StreamBuilder,
) -> StreamBuilder {
    numbers.into_iter().fold(stream, add)
}

#[cfg(test)]
mod tests {
    use perf_format::header::PIPE_HEADER_SIZE;

    use super::*;
    use crate::bench::grow::records;

    #[test]
    fn every_shape_is_a_stream_of_whole_records_that_grows_with_n() {
        for shape in shapes() {
            let count = |n| {
                let stream = (shape.make)(n);
                let records = records(&stream[PIPE_HEADER_SIZE..], PIPE_HEADER_SIZE as u64, Endian::NATIVE);
                assert_eq!(records.filter(Result::is_err).count(), 0, "{}", shape.name);
                stream.len()
            };
            assert!(count(200) < count(10_000), "{}", shape.name);
        }
    }

    #[test]
    fn no_two_shapes_have_the_same_name() {
        let mut all: Vec<_> = names().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), shapes().count());
    }
}
