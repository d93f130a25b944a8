//! Which DSOs are hit where that is not plain to see: records that come late, spaces that look alike, logs that overflow.
//! Each test is a stream, the names whose ids come, and the record that each stands in front of.

use perf_format::attr::SampleType;
use perf_format::record::{CpuMode, Inode, MapFile, Misc, Mmap2, Record};
use perf_format::testing::{At, OwnedRecord, StreamBuilder, attr, injected, records};
use perf_format::{Endian, RawRecord};
use perf_session::evlist::Evlist;
use perf_session::testing::{HitIds, process};

/// `PERF_CONTEXT_KERNEL`, `PERF_CONTEXT_USER`, `PERF_CONTEXT_GUEST_KERNEL`, `PERF_CONTEXT_GUEST_USER`.
const KERNEL: u64 = 128_u64.wrapping_neg();
const USER: u64 = 512_u64.wrapping_neg();
const GUEST_KERNEL: u64 = 2176_u64.wrapping_neg();
const GUEST_USER: u64 = 2560_u64.wrapping_neg();

/// An id: the name that it is of, and the record that it stands in front of.
type Placed = (String, String);

/// The ids that a stream gets.
fn placed(stream: StreamBuilder) -> Vec<Placed> {
    let stream = stream.finished_round().bytes();
    let ran = process(&stream[..], &mut [&mut HitIds::default()]);
    assert_eq!(ran.error, None);
    drop(injected(&stream, &ran.out));
    let (mut ids, mut waiting) = (Vec::new(), Vec::new());
    let mut evlist = Evlist::default();
    for record in records(&ran.out) {
        match said(&record, &mut evlist) {
            (name, true) => waiting.push(name),
            (what, false) => ids.extend(waiting.drain(..).map(|name| (name, what.clone()))),
        }
    }
    assert_eq!(waiting, [""; 0], "nothing stands behind the last record");
    ids
}

/// What a record is in a word or two, and whether it is an id.
fn said(record: &OwnedRecord, evlist: &mut Evlist) -> (String, bool) {
    let raw = RawRecord::first(&record.bytes, 0, Endian::Little).expect("a whole record");
    let what = match raw.parse().expect("a record that can be read") {
        Record::BuildId(id) => return (id.filename.to_string(), true),
        Record::HeaderAttr(event) => {
            evlist.add(event.attr, event.ids.0.iter());
            "an event".to_owned()
        }
        Record::Sample(_) => format!("sample {}", evlist.time(&raw).expect("a time")),
        Record::Mmap(map) => format!("map {}", map.filename),
        Record::Mmap2(map) => format!("map {}", map.filename),
        Record::Fork(task) => format!("fork {}", task.pid),
        Record::Comm(comm) => format!("exec {}", comm.pid),
        _ => record.record_type.to_string(),
    };
    (what, false)
}

/// The names alone.
fn named(stream: StreamBuilder) -> Vec<String> {
    placed(stream).into_iter().map(|(name, _)| name).collect()
}

fn id(name: &str, in_front_of: &str) -> Placed {
    (name.to_owned(), in_front_of.to_owned())
}

fn stream() -> StreamBuilder {
    StreamBuilder::with_callchains(Endian::Little)
}

/// A page of a file, from a time on.
fn page(stream: StreamBuilder, pid: u32, time: u64, addr: u64, name: &str) -> StreamBuilder {
    stream.mmap2(At::new(pid, time), addr, 0x1000, name)
}

/// A sample of a process at an address.
fn sample(stream: StreamBuilder, pid: u32, time: u64, ip: u64) -> StreamBuilder {
    stream.sample(CpuMode::User, At::new(pid, time), ip, &[])
}

/// A map in a mode.
fn map_in(stream: StreamBuilder, mode: CpuMode, at: At, start: u64, name: &str) -> StreamBuilder {
    let map = Mmap2 {
        pid: at.pid,
        tid: at.tid,
        start,
        len: 0x1000,
        pgoff: 0,
        file: MapFile::Inode(Inode::default()),
        prot: 5,
        flags: 2,
        filename: name.into(),
    };
    stream.traced(Misc::of(mode), &Record::Mmap2(map), at)
}

/// Words that a sample of [`many`] takes in the log, and of how many of them a round remembers each.
const WORDS_EACH: usize = 512;
const LOG_AT_MOST: usize = 1 << 18;

/// Samples that are nowhere, from a time on; each is one ns later than the one before it.
fn many(mut stream: StreamBuilder, pid: u32, from: u64, count: usize) -> StreamBuilder {
    let chain: Vec<u64> = (0..WORDS_EACH as u64 - 4).map(|n| 0x10_0000_0000 + n * 0x10_0000).collect();
    for time in (from..).take(count) {
        stream = stream.sample(CpuMode::User, At::new(pid, time), 0x10_0000_0000, &chain);
    }
    stream
}

/// More than a round remembers each of.
const FULL: usize = LOG_AT_MOST / WORDS_EACH + 20;

/// Each order of the numbers below `count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![Vec::new()] };
    let insert = |order: Vec<usize>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    };
    orders(last).into_iter().flat_map(insert).collect()
}

/// The records of a stream, each by itself, and what stands before them.
fn single_records(with: impl FnOnce(StreamBuilder) -> StreamBuilder) -> (StreamBuilder, Vec<Vec<u8>>) {
    let before = stream().bytes();
    let after = with(stream()).bytes();
    let count = records(&before).len();
    (stream(), records(&after).into_iter().skip(count).map(|record| record.bytes).collect())
}

/// The ids that these records get in each order, and the order.
fn in_each_order(
    with: impl FnOnce(StreamBuilder) -> StreamBuilder,
) -> impl Iterator<Item = (Vec<usize>, Vec<Placed>)> {
    let (before, records) = single_records(with);
    orders(records.len()).into_iter().map(move |order| {
        let stream = order.iter().fold(before.clone(), |stream, at| stream.raw(&records[*at]));
        (order, placed(stream))
    })
}

#[test]
fn a_late_map_is_found_behind_more_samples_than_a_round_remembers() {
    for who_fills in [7, 8] {
        for count in [1, FULL, 2 * FULL + 1] {
            let hit = sample(stream(), 7, 10, 0x1234);
            let late = page(many(hit, who_fills, 100, count), 7, 5, 0x1000, "/lib/late");
            assert_eq!(placed(late), [id("/lib/late", "map /lib/late")], "{count} samples of {who_fills}");
        }
    }
}

#[test]
fn a_late_map_is_found_for_a_sample_among_more_than_a_round_remembers() {
    for before in [0, FULL - 20, FULL] {
        let stream = sample(many(stream(), 7, 100, before), 7, 50_000, 0x1234);
        let late = page(many(stream, 7, 100_000, FULL - before), 7, 5, 0x1000, "/lib/late");
        assert_eq!(placed(late), [id("/lib/late", "map /lib/late")], "behind {before} samples");
    }
}

#[test]
fn a_sample_of_the_last_round_is_remembered_though_this_one_has_too_many() {
    for (of_same, behind) in [(0, 0), (0, 1), (1, 0)] {
        of_the_last_round(of_same, behind, 0);
    }
}

/// A sample of a round, then in the next one `of_same` samples of its process, too many of another, `behind` of it again
/// and one each of other processes; and then its map.
fn of_the_last_round(of_same: usize, behind: usize, others: u32) {
    let stream = sample(stream(), 7, 10, 0x1234).finished_round();
    let stream = many(stream, 7, 100, of_same);
    let stream = many(stream, 8, 10_000, FULL);
    let stream = many(stream, 7, 100_000, behind);
    let stream = (1000..1000 + others).fold(stream, |stream, pid| sample(stream, pid, 200_000, 0x1234));
    let late = page(stream, 7, 5, 0x1000, "/lib/late");
    let what = format!("{of_same} samples of it before this round was full, {behind} behind it");
    assert_eq!(placed(late), [id("/lib/late", "map /lib/late")], "{what}");
}

#[test]
fn a_sample_of_the_last_round_is_remembered_though_its_process_was_sampled_round_a_digest() {
    of_the_last_round(1, 1, 0);
}

#[test]
fn a_sample_of_the_last_round_is_remembered_though_idle_processes_are_forgotten_behind_a_digest() {
    let idle = (1000..9000).fold(stream(), |stream, pid| sample(stream, pid, 1, 0x1234));
    let hit = sample(idle.finished_round().finished_round().finished_round(), 7, 10, 0x1234);
    let again = sample(hit.finished_round(), 7, 100, 0x5000);
    let full = many(again, 8, 10_000, FULL);
    let more = (20_000..20_300).fold(full, |stream, pid| sample(stream, pid, 200_000, 0x1234));
    assert_eq!(placed(page(more, 7, 5, 0x1000, "/lib/late")), [id("/lib/late", "map /lib/late")]);
}

#[test]
fn what_forked_is_found_behind_more_samples_than_a_round_remembers() {
    let parent = page(stream(), 1, 1, 0x1000, "/lib/inherited");
    let full = many(sample(parent, 7, 10, 0x1234), 8, 100, FULL);
    let late = placed(full.fork(At::new(7, 5), 1));
    assert_eq!(late, [id("/lib/inherited", "fork 7")]);
}

#[test]
fn a_late_map_is_found_though_more_processes_were_sampled_than_are_told_apart() {
    for processes in [8_000, 9_000, 20_000] {
        let sampled = (1..processes).fold(stream(), |stream, pid| sample(stream, pid, 10, 0x1234));
        let late = [1, 2, 4_000, 7_999].iter().fold(sampled, |stream, pid| {
            let name = format!("/lib/{pid}");
            page(stream, *pid, 5, 0x1000, &name)
        });
        let expected = [1, 2, 4_000, 7_999].map(|pid| id(&format!("/lib/{pid}"), &format!("map /lib/{pid}")));
        assert_eq!(placed(late), expected, "{processes} processes");
    }
}

#[test]
fn processes_whose_pids_share_their_lower_bits_are_told_apart() {
    for bit in 3..31 {
        let (one, other) = (7_u32, 7 | 1 << bit);
        let hit = sample(stream(), one, 10, 0x1234);
        let late = page(page(hit, other, 5, 0x1000, "/lib/other"), one, 5, 0x1000, "/lib/one");
        assert_eq!(placed(late), [id("/lib/one", "map /lib/one")], "{one} and {other}");
        let mapped = page(page(stream(), one, 1, 0x1000, "/lib/one"), other, 1, 0x1000, "/lib/other");
        let hit = sample(sample(mapped, one, 10, 0x1234), other, 20, 0x1234);
        assert_eq!(placed(hit), [id("/lib/one", "sample 10"), id("/lib/other", "sample 20")]);
    }
}

#[test]
fn guests_frames_in_a_samples_chain_are_looked_up_in_the_guest() {
    let host = |stream| page(stream, 7, 1, 0x1000, "/lib/host");
    let guest = |stream| map_in(stream, CpuMode::GuestUser, At::new(7, 1), 0x1000, "/lib/guest");
    let kernel =
        |stream| map_in(stream, CpuMode::GuestKernel, At::new(77, 1), 0x8000, "[guest.kernel.kallsyms.77]");
    let hit = |stream: StreamBuilder| {
        stream.sample(CpuMode::User, At::new(7, 10), 0x100, &[USER, 0x200, GUEST_USER, 0x1100])
    };
    assert_eq!(placed(hit(guest(host(stream())))), [id("/lib/guest", "sample 10")]);
    assert_eq!(placed(guest(host(hit(stream())))), [id("/lib/guest", "map /lib/guest")], "late");
    let hit = |stream: StreamBuilder| {
        stream.sample(CpuMode::User, At::new(77, 10), 0x100, &[GUEST_KERNEL, 0x8100, USER, 0x200])
    };
    let name = "[guest.kernel.kallsyms]";
    assert_eq!(named(hit(kernel(stream()))).len(), 1);
    assert!(named(hit(kernel(stream())))[0].starts_with(&name[..name.len() - 1]));
    // Once nothing is pending, a marker of a guest still has to be seen.
    let quiet = (20..90).fold(host(stream()), |stream, time| sample(stream, 7, time, 0x1234));
    let hit = |stream: StreamBuilder, time| {
        stream.sample(CpuMode::User, At::new(7, time), 0x1234, &[USER, 0x1200, GUEST_USER, 0x1100])
    };
    let both = [id("/lib/host", "sample 20"), id("/lib/guest", "sample 100")];
    assert_eq!(placed(hit(guest(quiet.clone()), 100)), both);
    let late = [id("/lib/host", "sample 20"), id("/lib/guest", "map /lib/guest")];
    assert_eq!(placed(guest(hit(quiet, 100))), late);
}

#[test]
fn the_hosts_frames_in_a_guests_sample_are_looked_up_on_the_host() {
    let host = |stream| page(stream, 7, 1, 0x1000, "/lib/host");
    let module = |stream| map_in(stream, CpuMode::Kernel, At::new(u32::MAX, 1), 0xffff_c000, "[kvm]");
    for mode in [CpuMode::GuestUser, CpuMode::GuestKernel] {
        let hit = |stream: StreamBuilder| {
            stream.sample(mode, At::new(7, 10), 0x5000, &[0x5100, KERNEL, 0xffff_c100, USER, 0x1100])
        };
        let expected = [id("[kvm]", "sample 10"), id("/lib/host", "sample 10")];
        assert_eq!(placed(hit(host(module(stream())))), expected);
        let late = [id("/lib/host", "map /lib/host"), id("[kvm]", "map [kvm]")];
        assert_eq!(placed(module(host(hit(stream())))), late, "late");
    }
    // An address of the guest's own is none of the host's.
    let own = |stream: StreamBuilder| stream.sample(CpuMode::GuestUser, At::new(7, 10), 0x1100, &[0x1200]);
    assert_eq!(placed(own(host(stream()))), []);
    assert_eq!(placed(host(own(stream()))), [], "late");
}

#[test]
fn a_chain_hits_without_an_address_of_the_sample_s_own() {
    let stream = || {
        let fields = SampleType::TID | SampleType::TIME | SampleType::CALLCHAIN;
        StreamBuilder::new(Endian::Little).attr(&attr(fields), &[1])
    };
    let hit = |stream: StreamBuilder, time| {
        // The builder leaves the address out, since the event asks for none.
        stream.sample(CpuMode::Kernel, At::new(7, time), 0x1100, &[KERNEL, 0xffff_c100, USER, 0x2100])
    };
    let maps = |stream| page(page(stream, 7, 1, 0x1000, "/lib/a"), 7, 1, 0x2000, "/lib/b");
    assert_eq!(placed(hit(maps(stream()), 10)), [id("/lib/b", "sample 10")]);
    assert_eq!(placed(maps(hit(stream(), 10))), [id("/lib/b", "map /lib/b")], "late");
    let module = |stream| map_in(stream, CpuMode::Kernel, At::new(u32::MAX, 1), 0xffff_c000, "[late]");
    let late = [id("/lib/b", "sample 10"), id("[late]", "map [late]")];
    assert_eq!(placed(module(hit(maps(stream()), 10))), late);
}

#[test]
fn forks_of_forks_have_what_each_mapped_whatever_comes_first() {
    let family = |stream: StreamBuilder| {
        let stream = page(stream, 1, 10, 0x1000, "/lib/a").fork(At::new(2, 20), 1);
        let stream = page(stream, 2, 25, 0x2000, "/lib/b").fork(At::new(3, 30), 2);
        // What the parents map later is theirs alone.
        let stream = page(stream, 2, 35, 0x3000, "/lib/later");
        stream.sample(CpuMode::User, At::new(3, 40), 0x1100, &[USER, 0x1100, 0x2100, 0x3100])
    };
    let in_order = [id("/lib/a", "sample 40"), id("/lib/b", "sample 40")];
    for (order, ids) in in_each_order(family) {
        let mut names: Vec<_> = ids.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["/lib/a", "/lib/b"], "{order:?}");
        if order.is_sorted() {
            assert_eq!(ids, in_order);
        }
    }
}

#[test]
fn a_child_has_what_its_parent_mapped_after_an_exec_whatever_comes_first() {
    let family = |stream: StreamBuilder| {
        let stream = page(stream, 1, 10, 0x1000, "/lib/before").exec(At::new(1, 20), "program");
        let stream = page(stream, 1, 25, 0x1000, "/lib/after").fork(At::new(2, 30), 1);
        let stream = page(stream.exec(At::new(1, 35), "another"), 1, 36, 0x1000, "/lib/last");
        sample(stream, 2, 40, 0x1100)
    };
    for (order, ids) in in_each_order(family) {
        assert!(ids.iter().any(|(name, _)| name == "/lib/after"), "{order:?}: {ids:?}");
        if order.is_sorted() {
            assert_eq!(ids, [id("/lib/after", "sample 40")]);
        }
    }
}

#[test]
fn a_map_under_a_later_one_is_found_at_its_time_whatever_comes_first() {
    let maps = |stream: StreamBuilder| {
        let stream = stream.mmap2(At::new(7, 10), 0x1000, 0x8000, "/lib/under");
        let stream = page(sample(stream, 7, 15, 0x4100), 7, 20, 0x4000, "/lib/over");
        sample(stream, 7, 25, 0x4200)
    };
    for (order, ids) in in_each_order(maps) {
        let mut names: Vec<_> = ids.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["/lib/over", "/lib/under"], "{order:?}");
    }
    // Nothing was asked for before the later map, and beside it nothing at all.
    let covered = |stream: StreamBuilder| {
        let stream = stream.mmap2(At::new(7, 10), 0x1000, 0x8000, "/lib/under");
        sample(page(stream, 7, 20, 0x4000, "/lib/over"), 7, 25, 0x4200)
    };
    for (order, ids) in in_each_order(covered) {
        assert!(ids.iter().any(|(name, _)| name == "/lib/over"), "{order:?}: {ids:?}");
        if order.iter().position(|at| *at == 2) == Some(2) {
            assert_eq!(ids, [id("/lib/over", "sample 25")], "{order:?}");
        }
    }
}

#[test]
fn nothing_is_lost_where_late_maps_make_the_log_be_searched_too_often() {
    // Each late map that nothing hits costs a walk through all samples of its process, or of the kernel's.
    let hit = sample(many(stream(), 7, 100, FULL - 40), 7, 50_000, 0x1234);
    let searches = |stream: StreamBuilder| {
        (0..80).fold(stream, |stream, n| page(stream, 7, 1, 0x100_0000 + n * 0x1000, "/lib/nowhere"))
    };
    let searched = searches(hit.sample(CpuMode::Kernel, At::new(7, 50_001), 0xffff_c123, &[]));
    let late = page(searched.clone(), 7, 1, 0x1000, "/lib/late");
    assert_eq!(placed(late), [id("/lib/late", "map /lib/late")]);
    let module = map_in(searched.clone(), CpuMode::Kernel, At::new(u32::MAX, 1), 0xffff_c000, "[late]");
    assert_eq!(placed(module), [id("[late]", "map [late]")]);
    // What comes behind the digest is in the log again, and the round before it is still known.
    let again = searches(sample(searched.finished_round(), 7, 60_000, 0x2345));
    let late = page(page(again, 7, 1, 0x1000, "/lib/late"), 7, 1, 0x2000, "/lib/later");
    assert_eq!(placed(late), [id("/lib/late", "map /lib/late"), id("/lib/later", "map /lib/later")]);
}

#[test]
fn a_round_of_which_only_a_digest_is_left_is_asked_for_once_more_and_then_forgotten() {
    let hit = |stream| sample(many(stream, 8, 100, FULL), 7, 50_000, 0x1234);
    let late = |stream| page(stream, 7, 1, 0x1000, "/lib/late");
    assert_eq!(placed(late(hit(stream()).finished_round())), [id("/lib/late", "map /lib/late")]);
    assert_eq!(placed(late(hit(stream()).finished_round().finished_round())), []);
}

#[test]
fn a_round_in_which_thousands_execute_ends() {
    let many = (1..10_000_u32).fold(stream(), |stream, pid| {
        let at = |time| At::new(pid, time);
        stream.fork(at(10), 1).mmap2(at(11), 0x1000, 0x1000, "/old").exec(at(12), "new").mmap2(
            at(13),
            0x1000,
            0x1000,
            "/new",
        )
    });
    let hit = many.finished_round().sample(CpuMode::User, At::new(9_999, 20), 0x1000, &[]);
    assert_eq!(named(hit), ["/new"]);
}

#[test]
fn a_process_lives_on_when_one_of_its_threads_ends() {
    // What perf record starts has no FORK of its own.
    let thread = |time| At { pid: 7, tid: 8, time };
    let stream =
        stream().mmap2(At::new(7, 1), 0x1000, 0x1000, "/lib/late").fork(thread(2), 7).exit(thread(3));
    let later = stream.finished_round().finished_round().finished_round();
    assert_eq!(named(later.sample(CpuMode::User, At::new(7, 9), 0x1000, &[])), ["/lib/late"]);
}

#[test]
fn a_map_inside_a_page_is_found_though_the_page_was_another_s() {
    let sample = |stream: StreamBuilder, time, ip| stream.sample(CpuMode::User, At::new(1, time), ip, &[]);
    let map = |stream: StreamBuilder, time| stream.mmap2(At::new(1, time), 0x10080, 0x200, "/jitted.so");
    let anon = stream().mmap2(At::new(1, 1), 0x10000, 0x10000, "//anon");
    assert_eq!(named(sample(map(sample(anon.clone(), 2, 0x10100), 3), 4, 0x10100)), ["/jitted.so"]);
    assert_eq!(named(map(sample(anon.clone(), 5, 0x10100), 3)), ["/jitted.so"], "the map came late");
    assert_eq!(named(sample(map(sample(anon, 2, 0x10100), 3), 4, 0x10400)), [""; 0], "beside it is nothing");
}

#[test]
fn huge_pages_are_of_no_file_whatever_they_are_called() {
    let map = |flags| Mmap2 {
        pid: 1,
        tid: 1,
        start: 0x1000,
        len: 0x1000,
        pgoff: 0,
        file: MapFile::Inode(Inode::default()),
        prot: 5,
        flags,
        filename: "/mnt/huge/text".into(),
    };
    let at = At::new(1, 1);
    let mapped = |flags| stream().traced(Misc::of(CpuMode::User), &Record::Mmap2(map(flags)), at);
    let hit = |flags| named(mapped(flags).sample(CpuMode::User, At::new(1, 2), 0x1800, &[]));
    assert_eq!(hit(2), ["/mnt/huge/text"]);
    assert_eq!(hit(0x4_0002), [""; 0]);
}
