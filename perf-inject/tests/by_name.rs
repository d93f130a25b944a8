//! Ids that go by name: what the ids that a stream has already mean for those that are injected.

use std::cell::Cell;
use std::rc::Rc;

use bstr::ByteSlice as _;
use perf_format::record::CpuMode;
use perf_format::testing::{At, StreamBuilder, ids_in, injected};
use perf_format::{BuildId, Endian};
use perf_inject::{DsoSelection, IdsTo, Plan};
use perf_session::Recording;
use perf_session::build_id::{BuildIdSource, Chain, FoundId, NoBuildId, NoFiles, Recorded};
use perf_session::dso::Dso;
use perf_session::evidence::{Mismatch, Place};
use perf_session::testing::{Named, id_of, process};

fn stream() -> StreamBuilder {
    StreamBuilder::with_callchains(Endian::Little)
}

fn id(byte: u8) -> BuildId {
    BuildId::new(&[byte; 20]).expect("an id")
}

/// The names and ids that `-b` injects into a stream.
fn added(stream: &[u8]) -> Vec<(String, BuildId)> {
    added_to(stream, DsoSelection::Hit)
}

fn added_to(stream: &[u8], which: DsoSelection) -> Vec<(String, BuildId)> {
    let plan = Plan { build_ids: Some(which), ..Plan::NOTHING };
    let sources = Chain(vec![Box::new(Recorded), Box::new(NoFiles), Box::new(Named)]);
    let events = IdsTo { events: true, ..IdsTo::default() };
    let ran = process(stream, &mut plan.tools(sources, events).as_tools());
    assert_eq!(ran.error, None);
    ids_in(&injected(stream, &ran.out), Endian::Little)
}

#[test]
fn zeros_in_the_place_of_an_id_keep_none_away_and_pass_as_they_are() {
    let sampled = |byte| {
        let stream = stream()
            .mmap2(At::new(1, 1), 0x1000, 0x1000, "/bin/a")
            .build_id(CpuMode::User, id(byte), "/bin/a")
            .sample(CpuMode::User, At::new(1, 2), 0x1800, &[]);
        stream.bytes()
    };
    assert_eq!(added(&sampled(7)), [], "it is there");
    let zeros = sampled(7).replace([7; 20], [0; 20]);
    assert_eq!(added(&zeros), [("/bin/a".to_owned(), id_of(b"/bin/a"))]);
}

#[test]
fn a_kernel_that_has_its_id_under_a_files_name_gets_no_other() {
    let sampled = |stream: StreamBuilder| {
        stream.sample(CpuMode::Kernel, At::new(1, 2), 0xffff_ffff_8100_1000, &[]).bytes()
    };
    let kernel = || stream().kernel(0xffff_ffff_8100_0000, 0x140_0000);
    assert_eq!(added(&sampled(kernel())).len(), 1, "it has none");
    let name = "/usr/lib/debug/lib/modules/6.1/vmlinux";
    assert_eq!(added(&sampled(kernel().build_id(CpuMode::Kernel, id(4), name))), []);
    assert_eq!(added(&sampled(kernel().build_id(CpuMode::Kernel, id(4), "[ext4]"))).len(), 1);
}

#[test]
fn of_a_process_outside_the_recorders_pid_namespace_files_are_mapped_and_not_hit() {
    let outside = stream()
        .sample(CpuMode::User, At::new(0, 2), 0x1800, &[0x1804])
        .mmap2(At::new(0, 1), 0x1000, 0x1000, "/bin/a")
        .sample(CpuMode::User, At::new(0, 3), 0x1800, &[0x1804])
        .finished_round()
        .bytes();
    assert_eq!(added_to(&outside, DsoSelection::Hit), []);
    assert_eq!(added_to(&outside, DsoSelection::Mapped), [("/bin/a".to_owned(), id_of(b"/bin/a"))]);
}

/// A source that knows no id, and counts how often it is asked.
#[derive(Debug)]
struct Refusing {
    asked: Rc<Cell<usize>>,
    reason: fn() -> NoBuildId,
}

impl BuildIdSource for Refusing {
    fn build_id(&mut self, _: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        self.asked.set(self.asked.get() + 1);
        Err((self.reason)())
    }
}

#[test]
fn in_a_live_stream_a_file_is_asked_again_only_where_a_later_answer_may_be_another() {
    let maps = (1..=50).fold(stream(), |stream, pid| stream.mmap2(At::new(pid, 1), 0x1000, 0x1000, "/bin/a"));
    let stream = maps.sample(CpuMode::User, At::new(1, 2), 0x1800, &[]).bytes();
    let asked_where = |reason| {
        let asked = Rc::new(Cell::new(0));
        let sources = Chain(vec![Box::new(Refusing { asked: Rc::clone(&asked), reason })]);
        let plan = Plan { build_ids: Some(DsoSelection::Hit), live: true, ..Plan::NOTHING };
        let events = IdsTo { events: true, ..IdsTo::default() };
        let ran = process(stream.as_slice(), &mut plan.tools(sources, events).as_tools());
        assert_eq!((ran.error, ran.out.len()), (None, stream.len()));
        asked.get()
    };
    assert_eq!(asked_where(|| NoBuildId::NoNote), 1);
    assert_eq!(asked_where(|| NoBuildId::Changed(Mismatch::Younger)), 1);
    // Once for each map, and once for the sample.
    assert_eq!(asked_where(|| NoBuildId::NotHere(Place::SomeBoot)), 51);
    assert_eq!(asked_where(|| NoBuildId::Changed(Mismatch::Doubt { within: None })), 51);
}
