//! The census: what samples and the frames of their chains lie in.

use std::collections::BTreeMap;

use perf_format::record::CpuMode;
use perf_format::testing::{At, StreamBuilder};
use perf_format::{Batch, Endian, Head, RecordReader};
use perf_session::hits::{Counted, LiesIn};
use perf_session::{
    Error, Event, Hits, Injection, Passed, Pipeline, RecordSet, Repipe, Session, Tool, Verdict,
};

/// A tool that counts.
struct Counting {
    hits: Hits,
    skips: bool,
}

impl Tool for Counting {
    fn wants(&self) -> RecordSet {
        Hits::WANTS
    }

    fn skip_samples(&mut self, batch: &mut Batch<'_>, session: &Session) -> u64 {
        if self.skips { self.hits.skip_samples(batch, session) } else { 0 }
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        _: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        self.hits.event(event, session, |_| {});
        Ok(Verdict::Repipe)
    }
}

/// What the samples of a stream lie in, as text.
fn counted(stream: &StreamBuilder) -> BTreeMap<String, (u64, u64)> {
    let run = |hits: Hits, skips| {
        let mut tool = Counting { hits, skips };
        let bytes = stream.clone().bytes();
        let mut source = &bytes[..];
        let head = Head::read(&mut source).expect("a header");
        let mut records = RecordReader::pipe(source, head);
        let mut session = Session::new();
        let tools: &mut [&mut dyn Tool] = &mut [&mut tool];
        Pipeline::new(tools)
            .run(&mut records, &mut session, Repipe::Off, &mut Passed::default())
            .expect("whole");
        let name = |dso| session.dso(dso).expect("known").name.to_string();
        let mut counts = BTreeMap::new();
        for (lies_in, Counted { samples, frames }) in tool.hits.census(&session) {
            let text = match lies_in {
                LiesIn::Dso(dso) => name(dso),
                LiesIn::Anonymous { pid, text_of: None, .. } => format!("anonymous of {pid}"),
                LiesIn::Anonymous { text_of: Some(dso), .. } => format!("text of {}", name(dso)),
                LiesIn::Unmapped { pid } => format!("unmapped {pid}"),
                LiesIn::NoMap { pid } => format!("no map of {pid}"),
                LiesIn::Outside => "outside".to_owned(),
                LiesIn::UnmappedKernel => "unmapped kernel".to_owned(),
                LiesIn::NoKernelMap => "no kernel map".to_owned(),
            };
            let entry: &mut (u64, u64) = counts.entry(text).or_default();
            *entry = (entry.0 + samples, entry.1 + frames);
        }
        counts
    };
    let counts = run(Hits::first().counting(), true);
    // However the samples are looked at, it is the same.
    assert_eq!(counts, run(Hits::first().counting(), false));
    assert_eq!(counts, run(Hits::every().counting(), true));
    counts
}

fn stream() -> StreamBuilder {
    StreamBuilder::with_callchains(Endian::Little)
}

fn expected(counts: &[(&str, (u64, u64))]) -> BTreeMap<String, (u64, u64)> {
    counts.iter().map(|(name, counts)| ((*name).to_owned(), *counts)).collect()
}

const KERNEL: u64 = 0xffff_ffff_8000_0000;
/// `PERF_CONTEXT_USER`.
const USER: u64 = 512_u64.wrapping_neg();

#[test]
fn each_sample_and_frame_is_counted_where_it_lies() {
    let stream = stream()
        .kernel(KERNEL, 0x1000)
        .mmap2(At::new(7, 1), 0x1000, 0x1000, "/a")
        .mmap2(At::new(7, 1), 0x3000, 0x1000, "//anon")
        .sample(CpuMode::User, At::new(7, 2), 0x1100, &[USER, 0x1100, 0x3100, 0x9000])
        .sample(CpuMode::User, At::new(7, 3), 0x3100, &[])
        .sample(CpuMode::Kernel, At::new(7, 4), KERNEL + 1, &[USER, 0x1200])
        .sample(CpuMode::Kernel, At::new(7, 4), 1, &[])
        .sample(CpuMode::User, At::new(8, 5), 0x1100, &[])
        .sample(CpuMode::User, At::new(0, 6), 0x1100, &[])
        .finished_round();
    assert_eq!(
        counted(&stream),
        expected(&[
            ("/a", (1, 2)),
            ("[kernel.kallsyms]", (1, 0)),
            ("anonymous of 7", (1, 1)),
            ("no kernel map", (1, 0)),
            ("no map of 7", (0, 1)),
            ("outside", (1, 0)),
            ("unmapped 8", (1, 0)),
        ])
    );
    let kernel = self::stream().sample(CpuMode::Kernel, At::new(7, 4), KERNEL, &[]);
    assert_eq!(counted(&kernel), expected(&[("unmapped kernel", (1, 0))]));
}

#[test]
fn a_map_may_come_behind_its_samples_and_up_to_a_round_later() {
    let same_round = stream()
        .sample(CpuMode::User, At::new(7, 2), 0x1100, &[])
        .mmap2(At::new(7, 1), 0x1000, 0x1000, "/a")
        .finished_round();
    assert_eq!(counted(&same_round), expected(&[("/a", (1, 0))]));
    let next_round = stream()
        .sample(CpuMode::User, At::new(7, 2), 0x1100, &[])
        .finished_round()
        .mmap2(At::new(7, 1), 0x1000, 0x1000, "/a")
        .finished_round();
    assert_eq!(counted(&next_round), expected(&[("/a", (1, 0))]));
}

#[test]
fn what_was_mapped_when_it_was_sampled_counts() {
    let stream = stream()
        .mmap2(At::new(7, 1), 0x1000, 0x1000, "/a")
        .sample(CpuMode::User, At::new(7, 2), 0x1100, &[])
        .mmap2(At::new(7, 3), 0x1000, 0x1000, "/b")
        .sample(CpuMode::User, At::new(7, 4), 0x1100, &[])
        .finished_round();
    assert_eq!(counted(&stream), expected(&[("/a", (1, 0)), ("/b", (1, 0))]));
}

#[test]
fn of_many_samples_a_part_stands_for_all() {
    let mapped =
        stream().mmap2(At::new(7, 1), 0x1000, 0x1000, "/a").mmap2(At::new(7, 1), 0x3000, 0x1000, "/b");
    let stream = (0..100_000_u64).fold(mapped, |stream, at| {
        let ip = if at % 4 == 0 { 0x1100 } else { 0x3100 };
        stream.sample(CpuMode::User, At::new(7, 2 + at), ip, &[])
    });
    let counts = counted(&stream);
    let (a, b) = (counts["/a"].0, counts["/b"].0);
    assert!((90_000..=110_000).contains(&(a + b)), "{counts:?}");
}

#[test]
fn anonymous_memory_in_the_place_of_a_files_text_is_that() {
    // Moved over all of it, long before the first sample's round.
    let moved = stream()
        .mmap2(At::new(7, 1), 0x1000, 0x4000, "/a")
        .mmap2(At::new(7, 2), 0x1000, 0x4000, "//anon")
        .sample(CpuMode::User, At::new(7, 3), 0x1100, &[])
        .finished_round()
        .finished_round()
        .finished_round()
        .sample(CpuMode::User, At::new(7, 9), 0x1100, &[]);
    assert_eq!(counted(&moved), expected(&[("text of /a", (2, 0))]));
    // Over a part: what is left lies on both sides.
    let part = stream()
        .mmap2(At::new(7, 1), 0x1000, 0x6000, "/a")
        .mmap2(At::new(7, 2), 0x2000, 0x1000, "//anon")
        .mmap2(At::new(7, 2), 0x3000, 0x1000, "//anon")
        .finished_round()
        .finished_round()
        .finished_round()
        .sample(CpuMode::User, At::new(7, 9), 0x2100, &[])
        .sample(CpuMode::User, At::new(7, 9), 0x3100, &[]);
    assert_eq!(counted(&part), expected(&[("text of /a", (2, 0))]));
    // Beside files it is its own.
    let beside = stream()
        .mmap2(At::new(7, 1), 0x1000, 0x1000, "/a")
        .mmap2(At::new(7, 1), 0x2000, 0x1000, "//anon")
        .mmap2(At::new(7, 1), 0x3000, 0x1000, "/b")
        .sample(CpuMode::User, At::new(7, 9), 0x2100, &[]);
    assert_eq!(counted(&beside), expected(&[("anonymous of 7", (1, 0))]));
    // What the program before an exec had there is no text of this one's.
    let executed = stream()
        .mmap2(At::new(7, 1), 0x1000, 0x4000, "/a")
        .exec(At::new(7, 2), "b")
        .mmap2(At::new(7, 3), 0x1000, 0x4000, "//anon")
        .sample(CpuMode::User, At::new(7, 4), 0x1100, &[]);
    assert_eq!(counted(&executed), expected(&[("anonymous of 7", (1, 0))]));
}
