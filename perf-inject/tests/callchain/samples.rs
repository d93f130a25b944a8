//! What becomes of one sample.

use insta::assert_snapshot;
use perf_dump::{DumpOptions, dump_text};
use perf_format::attr::{BranchSampleType, ReadFormat, SampleType};
use perf_format::sample::{AuxData, BranchStack, Cpu, DataSource, Raw, ReadValue, ReadValues, Regs, Tid};
use perf_format::testing::{At, StreamBuilder, UserStack, records, stack_attr};
use perf_format::{Array, Attr, CpuMode, Endian, RecordType, Sample};
use perf_inject::ConvertCallchain;
use perf_inject::callchain::StackEnd;

use crate::made::{KERNEL, USER, chains, convert, read_samples, run, samples, with_options};

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

/// A process with a program at 0x40_0000 and a library at 0x50_0000.
pub(crate) fn program(stream: StreamBuilder) -> StreamBuilder {
    stream.mmap2(At::new(1, 10), 0x40_0000, 0x1000, "/bin/a").mmap2(
        At::new(1, 11),
        0x50_0000,
        0x1000,
        "/lib/c.so",
    )
}

/// A stack of a library's function, called by two of the program; nothing called the outermost.
pub(crate) fn stack(endian: Endian) -> UserStack {
    UserStack::of_words(endian, 0x50_0010, &[0x40_0020, 0x40_0030, 0])
}

/// The chain of [`stack`].
pub(crate) const CHAIN: [u64; 4] = [USER, 0x50_0010, 0x40_001f, 0x40_002f];

#[test]
fn a_chain_has_the_kernels_part_and_the_unwound_addresses_innermost_first() {
    for endian in ORDERS {
        let kernel = [KERNEL, 0xffff_ffff_8100_0010, 0xffff_ffff_8100_0020];
        let stream = program(StreamBuilder::with_stacks(endian))
            .stack_sample(CpuMode::Kernel, At::new(1, 20), kernel[1], &kernel, &stack(endian))
            .stack_sample(CpuMode::User, At::new(1, 30), 0x50_0010, &[], &stack(endian).padded_to(1024))
            .bytes();
        let ran = run(with_options(ConvertCallchain::default()), &stream[..]);
        assert_eq!(ran.error, None);
        assert_eq!(chains(&ran.out), [[&kernel[..], &CHAIN].concat(), CHAIN.to_vec()], "{endian:?}");
        let summary = ran.summary();
        assert_eq!((summary.stacks, summary.kernel, summary.by_table), (2, 2, 4));
        assert_eq!(ran.ends(StackEnd::Complete), 2);
    }
}

#[test]
fn the_users_part_that_was_recorded_gives_way_to_the_unwound_one() {
    let stream = program(StreamBuilder::with_stacks(Endian::Little))
        .stack_sample(
            CpuMode::User,
            At::new(1, 20),
            0x50_0010,
            &[USER, 0x50_0010, 0x123],
            &stack(Endian::Little),
        )
        .bytes();
    assert_eq!(chains(&convert(&stream)), [CHAIN]);
}

#[test]
fn registers_and_stack_are_gone_and_no_word_of_them_is_left() {
    const SECRET: u64 = 0x5ec3_e75e_c3e7_5ec3;
    for endian in ORDERS {
        let stack = UserStack::of_words(endian, 0x40_0010, &[0, SECRET, SECRET]);
        let stream = program(StreamBuilder::with_stacks(endian))
            .stack_sample(CpuMode::User, At::new(1, 20), 0x40_0010, &[], &stack.padded_to(1024))
            .bytes();
        let out = convert(&stream);
        assert!(samples(&out).iter().all(|sample| !sample.has_stack));
        let has = |stream: &[u8]| stream.windows(8).any(|word| word == endian.put_u64(SECRET));
        assert!(has(&stream) && !has(&out));
    }
}

/// An attr whose samples have all fields, and what can vary in them.
fn full_attr() -> Attr {
    let mut attr = stack_attr(24);
    let fields = &mut attr.fields;
    fields.size = 144;
    fields.sample_type = SampleType::all() - SampleType::WEIGHT_STRUCT;
    fields.read_format = ReadFormat::GROUP | ReadFormat::ID | ReadFormat::TOTAL_TIME_ENABLED;
    fields.branch_sample_type = BranchSampleType::HW_INDEX | BranchSampleType::ANY;
    fields.sample_regs_intr = 0b111;
    attr
}

#[test]
fn all_other_fields_stay_as_they_are() {
    for endian in ORDERS {
        let words = |words: &[u64]| words.iter().flat_map(|word| endian.put_u64(*word)).collect::<Vec<_>>();
        let (chain, stack, intr) =
            (words(&[KERNEL, 0xffff_8000_0000_0000]), stack(endian), words(&[7, 8, 9]));
        // Of one branch: where from, where to, and flags.
        let branches = words(&[0x40_0010, 0x50_0010, 1]);
        let sample = Sample {
            identifier: Some(5),
            ip: Some(0x50_0010),
            tid: Some(Tid { pid: 1, tid: 1 }),
            time: Some(20),
            addr: Some(0xadd2),
            id: Some(5),
            stream_id: Some(6),
            cpu: Some(Cpu { cpu: 3, reserved: 0 }),
            period: Some(1234),
            read: Some(ReadValues {
                time_enabled: Some(77),
                time_running: None,
                values: vec![ReadValue { value: 4, id: Some(5), lost: None }; 2],
            }),
            callchain: Some(Array::new(&chain, endian)),
            // With its size, it fills three words.
            raw: Some(Raw(&[0xab; 20])),
            branch_stack: Some(BranchStack {
                hw_idx: Some(11),
                entries: Array::new(&branches, endian),
                counters: None,
            }),
            regs_user: Some(stack.regs()),
            stack_user: Some(stack.dump()),
            weight: Some(21),
            weight_struct: None,
            data_src: Some(DataSource(0x55)),
            transaction: Some(22),
            regs_intr: Some(Regs { abi: 2, mask: 7, regs: Array::new(&intr, endian) }),
            phys_addr: Some(0x99_9000),
            cgroup: Some(23),
            data_page_size: Some(4096),
            code_page_size: Some(1 << 21),
            aux: Some(AuxData(&[0xcd; 16])),
            rest: &[],
        };
        let attr = full_attr();
        let stream = program(StreamBuilder::new(endian).attr(&attr, &[5]))
            .full_sample(CpuMode::Kernel, &sample)
            .bytes();
        let out = convert(&stream);
        let chain = words(&[&[KERNEL, 0xffff_8000_0000_0000][..], &CHAIN].concat());
        let expected = Sample {
            callchain: Some(Array::new(&chain, endian)),
            regs_user: None,
            stack_user: None,
            ..sample
        };
        let mut count = 0;
        read_samples(&out, |sample| {
            assert_eq!(*sample, expected, "{endian:?}");
            count += 1;
        });
        assert_eq!(count, 1);
    }
}

#[test]
fn an_event_with_stacks_and_without_chains_gets_chains() {
    for endian in ORDERS {
        let mut attr = stack_attr(1024);
        attr.fields.sample_type.remove(SampleType::CALLCHAIN);
        let stream = program(StreamBuilder::new(endian).attr(&attr, &[1]))
            .stack_sample(CpuMode::User, At::new(1, 20), 0x50_0010, &[], &stack(endian))
            .bytes();
        assert_eq!(chains(&convert(&stream)), [CHAIN]);
    }
}

#[test]
fn a_kernel_thread_has_no_registers_and_keeps_its_chain() {
    for endian in ORDERS {
        let kernel = [KERNEL, 0xffff_ffff_8100_0010];
        let stream = program(StreamBuilder::with_stacks(endian))
            .stack_sample(CpuMode::Kernel, At::new(2, 20), kernel[1], &kernel, &UserStack::none(endian))
            .bytes();
        let ran = run(with_options(ConvertCallchain::default()), &stream[..]);
        assert_eq!(chains(&ran.out), [kernel]);
        assert_eq!((ran.summary().without_registers, ran.summary().stacks), (1, 0));
    }
}

#[test]
fn the_sample_of_a_guest_keeps_its_chain() {
    for mode in [CpuMode::GuestKernel, CpuMode::GuestUser] {
        let stream = program(StreamBuilder::with_stacks(Endian::Little))
            .stack_sample(mode, At::new(1, 20), 0x50_0010, &[0x77], &stack(Endian::Little))
            .bytes();
        let out = convert(&stream);
        assert_eq!(chains(&out), [[0x77]]);
        assert!(!samples(&out)[0].has_stack);
    }
}

#[test]
fn a_thread_of_32_bits_is_unwound_as_such() {
    let stack = UserStack::of_half_words(Endian::Little, 0x40_0010, &[0x40_0020, 0]);
    let stream = program(StreamBuilder::with_stacks(Endian::Little))
        .stack_sample(CpuMode::User, At::new(1, 20), 0x40_0010, &[], &stack)
        .bytes();
    let ran = run(with_options(ConvertCallchain::default()), &stream[..]);
    // The tables are of the other architecture: what a frame has is read by a register that is none of its own.
    assert_eq!(chains(&ran.out)[0][..2], [USER, 0x40_0010]);
    assert_eq!(ran.summary().stacks, 1);
}

#[test]
fn an_architecture_that_is_not_unwound_keeps_the_kernels_part() {
    let stream = program(StreamBuilder::with_stacks(Endian::Little).recorded_on("host", "6.1", "riscv64"))
        .stack_sample(CpuMode::User, At::new(1, 20), 0x50_0010, &[KERNEL, 0x88], &stack(Endian::Little))
        .bytes();
    let ran = run(with_options(ConvertCallchain::default()), &stream[..]);
    assert_eq!(chains(&ran.out), [[KERNEL, 0x88]]);
    assert_eq!(ran.ends(StackEnd::Architecture), 1);
}

#[test]
fn the_bound_of_a_chain_counts_all_its_entries() {
    let kernel = [KERNEL, 0x8100_0010, 0x8100_0020];
    let stream = program(StreamBuilder::with_stacks(Endian::Little))
        .stack_sample(CpuMode::Kernel, At::new(1, 20), kernel[1], &kernel, &stack(Endian::Little))
        .bytes();
    let whole = [&kernel[..], &CHAIN].concat();
    for max_stack in 0..10 {
        let ran = run(with_options(ConvertCallchain { max_stack, keep_stacks: false }), &stream[..]);
        let chain = chains(&ran.out).remove(0);
        // A marker with no address behind it is left out.
        let len = match usize::from(max_stack) {
            4 => 3,
            len => len.min(whole.len()),
        };
        assert_eq!(chain, whole[..len], "{max_stack}");
        // With all frames in it, nobody has looked for the end of the stack.
        let end = if max_stack <= 7 { StackEnd::MaxStack } else { StackEnd::Complete };
        assert_eq!(ran.ends(end), 1, "{max_stack} {:?}", ran.summary());
    }
}

#[test]
fn stacks_that_are_kept_stand_beside_the_chain() {
    for endian in ORDERS {
        let options = ConvertCallchain { keep_stacks: true, ..ConvertCallchain::default() };
        let kept = stack(endian).padded_to(64);
        let stream = program(StreamBuilder::with_stacks(endian))
            .stack_sample(CpuMode::User, At::new(1, 20), 0x50_0010, &[], &kept)
            .bytes();
        let ran = run(with_options(options), &stream[..]);
        assert_eq!(chains(&ran.out), [CHAIN]);
        read_samples(&ran.out, |sample| {
            assert_eq!((sample.regs_user, sample.stack_user), (Some(kept.regs()), Some(kept.dump())));
        });
        assert_eq!(chains(&convert(&ran.out)), [CHAIN], "what was kept can be converted once more");
    }
}

#[test]
fn a_record_keeps_within_its_size_whatever_is_added() {
    // The frames of a stack of 64 KiB take as many bytes as the stack did.
    let endian = Endian::Little;
    let words: Vec<u64> = (0..8200).map(|n| 0x40_0001 + n % 0xfff).collect();
    for (has_chain, largest) in [(true, 8179), (false, 8180)] {
        let mut attr = stack_attr(u16::MAX.into());
        attr.fields.sample_type.set(SampleType::CALLCHAIN, has_chain);
        for len in [8000, 8100, largest] {
            let stack = UserStack::of_words(endian, 0x40_0010, &words[..len]);
            let stream = program(StreamBuilder::new(endian).attr(&attr, &[1]))
                .stack_sample(CpuMode::User, At::new(1, 20), 0x40_0010, &[], &stack)
                .finished_round()
                .bytes();
            for keep_stacks in [false, true] {
                let options = ConvertCallchain { max_stack: u16::MAX, keep_stacks };
                let ran = run(with_options(options), &stream[..]);
                assert_eq!(ran.error, None);
                let out = records(&ran.out);
                let case = format!("chain {has_chain}, {len} words, kept {keep_stacks}");
                assert!(out.iter().all(|record| record.bytes.len() <= 65528), "{case}");
                assert_eq!(out.last().expect("a record").record_type, RecordType::FINISHED_ROUND, "{case}");
                let chain = chains(&ran.out).remove(0);
                assert!(keep_stacks || chain.len() >= 8000, "{case}: {}", chain.len());
                assert!(chain.iter().zip([USER, 0x40_0010]).all(|(word, expected)| *word == expected));
            }
        }
    }
}

#[test]
fn the_attr_says_that_the_chain_has_a_users_part() {
    let stream = StreamBuilder::with_stacks(Endian::Big).bytes();
    let out = convert(&stream);
    assert_snapshot!(dump_text(&stream, DumpOptions::default()).expect("perf data"), @r#"
    HEADER format=pipe
    ATTR event="cycles" type=0 size=128 sample_type=IP|TID|TIME|CALLCHAIN|PERIOD|REGS_USER|STACK_USER flags=task|sample_id_all|exclude_callchain_user|mmap2|comm_exec sample_regs_user=0x1c0 sample_stack_user=1024 ids=[1]
    "#);
    assert_snapshot!(dump_text(&out, DumpOptions::default()).expect("perf data"), @r#"
    HEADER format=pipe
    ATTR event="cycles" type=0 size=128 sample_type=IP|TID|TIME|CALLCHAIN|PERIOD flags=task|sample_id_all|mmap2|comm_exec ids=[1]
    "#);
}
