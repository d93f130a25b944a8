//! Samples that are not what their event says, or whose stack leads nowhere: the chain so far, and a count of why.

use perf_format::attr::SampleType;
use perf_format::testing::{At, STACK_REGS, StreamBuilder, UserStack, records, stack_attr};
use perf_format::{CpuMode, Endian, RecordType};
use perf_inject::ConvertCallchain;
use perf_inject::callchain::StackEnd;

use crate::made::{Converted, KERNEL, USER, chains, plan, run, samples, with_options};
use crate::samples::{CHAIN, program, stack};

/// What stands in a stack and must not be in the output.
const SECRET: u64 = 0x5ec3_e75e_c3e7_5ec3;
const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

/// The kernel's part of the chains here.
const IN_KERNEL: [u64; 2] = [KERNEL, 0xffff_ffff_8100_0010];

fn secret_stack(endian: Endian) -> UserStack {
    UserStack::of_words(endian, 0x40_0010, &[SECRET; 8])
}

/// Where the words of such a sample stand in its record.
const CHAIN_LEN: usize = 40;
const STACK_SIZE: usize = 96;

/// A sample of a secret stack, of whose record one word is changed, and a whole one behind it.
fn changed(endian: Endian, at: usize, word: u64) -> Vec<u8> {
    let stream = program(StreamBuilder::with_stacks(endian));
    let start = stream.clone().bytes().len();
    let mode = CpuMode::Kernel;
    let stream = stream.stack_sample(mode, At::new(1, 20), IN_KERNEL[1], &IN_KERNEL, &secret_stack(endian));
    let stream = stream.stack_sample(CpuMode::User, At::new(1, 30), 0x50_0010, &[], &stack(endian));
    let mut bytes = stream.finished_round().bytes();
    bytes[start + at..start + at + 8].copy_from_slice(&endian.put_u64(word));
    bytes
}

#[track_caller]
fn has_no_secret(out: &[u8], endian: Endian) {
    assert!(!out.windows(8).any(|word| word == endian.put_u64(SECRET)), "memory is in the output");
}

#[track_caller]
fn run_whole(stream: &[u8]) -> Converted {
    let ran = run(plan(), stream);
    assert_eq!(ran.error, None);
    ran
}

#[test]
fn a_stack_that_is_larger_than_its_record_is_left_out_and_counted() {
    for endian in ORDERS {
        for size in [72, 1 << 16, 1 << 40, u64::MAX] {
            let ran = run_whole(&changed(endian, STACK_SIZE, size));
            assert_eq!(chains(&ran.out), [&IN_KERNEL[..], &CHAIN], "{size:#x}");
            has_no_secret(&ran.out, endian);
            assert_eq!((ran.summary().malformed, ran.summary().stacks), (1, 1));
            assert_eq!(ran.report.session.anomalies.count(), 1);
        }
    }
}

#[test]
fn a_chain_that_is_larger_than_its_record_leaves_no_memory_in_the_output() {
    for endian in ORDERS {
        for len in [40, 1 << 16, 1 << 61, u64::MAX] {
            let ran = run_whole(&changed(endian, CHAIN_LEN, len));
            let seen = samples(&ran.out);
            assert_eq!(seen.iter().map(|sample| sample.time).collect::<Vec<_>>(), [Some(20), Some(30)]);
            assert_eq!(seen[1].chain.as_deref(), Some(&CHAIN[..]));
            has_no_secret(&ran.out, endian);
            assert_eq!(ran.summary().malformed, 1);
        }
    }
}

#[test]
fn a_record_that_cannot_be_read_keeps_within_its_size() {
    // The chain of the largest record takes all of it, so that nothing is left of the fields behind.
    let endian = Endian::Little;
    let mut attr = stack_attr(1024);
    attr.fields.size = 144;
    let varying = SampleType::READ | SampleType::RAW | SampleType::BRANCH_STACK;
    attr.fields.sample_type = SampleType::all() - SampleType::WEIGHT_STRUCT - varying;
    let stream = program(StreamBuilder::new(endian).attr(&attr, &[1]));
    for words in 8170..8190 {
        let mut record = vec![0; 8 + 8 * words];
        record[..4].copy_from_slice(&endian.put_u32(RecordType::SAMPLE.0));
        let Ok(size) = u16::try_from(record.len()) else { break };
        record[6..8].copy_from_slice(&endian.put_u16(size));
        // Nine words in front of the chain's length: identifier, ip, tid, time, addr, id, stream, cpu, period.
        let len = endian.put_u64(words as u64 - 10);
        record[80..88].copy_from_slice(&len);
        record[8..16].copy_from_slice(&endian.put_u64(1));
        for keep_stacks in [false, true] {
            let options = ConvertCallchain { keep_stacks, ..ConvertCallchain::default() };
            let stream = stream.clone().raw(&record).finished_round().bytes();
            let ran = run(with_options(options), &stream[..]);
            assert_eq!(ran.error, None, "{words}");
            let out = records(&ran.out);
            assert_eq!(out.last().expect("a record").record_type, RecordType::FINISHED_ROUND, "{words}");
            assert_eq!(out.len(), records(&stream).len());
            assert_eq!(ran.summary().malformed, 1);
        }
    }
}

#[test]
fn a_stack_of_no_bytes_ends_at_its_first_frame() {
    for endian in ORDERS {
        let empty = UserStack::of_words(endian, 0x40_0010, &[]);
        let stream = program(StreamBuilder::with_stacks(endian))
            .stack_sample(CpuMode::User, At::new(1, 20), 0x40_0010, &IN_KERNEL, &empty)
            .bytes();
        let ran = run_whole(&stream);
        assert_eq!(chains(&ran.out), [[&IN_KERNEL[..], &[USER, 0x40_0010]].concat()]);
        assert_eq!(ran.ends(StackEnd::Cut), 1);
    }
}

#[test]
fn of_a_stack_of_which_more_was_copied_than_there_is_what_is_there_is_used() {
    for endian in ORDERS {
        for dyn_size in [25, 1 << 32, u64::MAX] {
            let stack = stack(endian).copied(dyn_size);
            let stream = program(StreamBuilder::with_stacks(endian))
                .stack_sample(CpuMode::User, At::new(1, 20), 0x50_0010, &[], &stack)
                .bytes();
            let ran = run_whole(&stream);
            assert_eq!(chains(&ran.out), [CHAIN]);
        }
    }
}

#[test]
fn what_was_not_copied_of_a_stack_is_not_read() {
    let endian = Endian::Little;
    let stack = stack(endian).copied(8);
    let stream = program(StreamBuilder::with_stacks(endian))
        .stack_sample(CpuMode::User, At::new(1, 20), 0x50_0010, &[], &stack)
        .bytes();
    let ran = run_whole(&stream);
    assert_eq!(chains(&ran.out), [&CHAIN[..3]]);
    assert_eq!(ran.ends(StackEnd::OtherMemory), 1);
}

#[test]
fn registers_that_were_not_recorded_end_the_chain() {
    let (bp, sp, ip) = (1 << 6, 1 << 7, 1 << 8);
    let without_ip = (bp | sp, vec![0, UserStack::SP], IN_KERNEL.to_vec());
    let without_sp = (bp | ip, vec![0, 0x50_0010], [&IN_KERNEL[..], &CHAIN[..2]].concat());
    let without_any = (0, vec![], IN_KERNEL.to_vec());
    for endian in ORDERS {
        for (mask, registers, expected) in [&without_ip, &without_sp, &without_any] {
            let mut attr = stack_attr(1024);
            attr.fields.sample_regs_user = *mask;
            let stack = stack(endian).with_registers(2, *mask, registers);
            let stream = program(StreamBuilder::new(endian).attr(&attr, &[1]))
                .stack_sample(CpuMode::Kernel, At::new(1, 20), IN_KERNEL[1], &IN_KERNEL, &stack)
                .bytes();
            let ran = run_whole(&stream);
            assert_eq!(chains(&ran.out), [&expected[..]], "{mask:#x}");
            assert_eq!(ran.ends(StackEnd::Inconsistent), 1, "{:?}", ran.summary());
        }
    }
}

#[test]
fn code_without_a_file_or_tables_or_a_map_ends_the_chain_for_its_own_reason() {
    let endian = Endian::Little;
    let of = |name: &str| {
        let stream =
            program(StreamBuilder::with_stacks(endian)).mmap2(At::new(1, 12), 0x60_0000, 0x1000, name);
        let stack = UserStack::of_words(endian, 0x40_0010, &[0x60_0020, 0x40_0030, 0]);
        let stream = stream.stack_sample(CpuMode::User, At::new(1, 20), 0x40_0010, &[], &stack);
        let ran = run_whole(&stream.bytes());
        assert_eq!(chains(&ran.out), [[USER, 0x40_0010, 0x60_001f]], "{name}");
        ran
    };
    let absent = of("/bin/absent");
    let [stopped] = &absent.summary().worst[..] else { panic!("one DSO") };
    assert_eq!((stopped.name == "/bin/absent", stopped.end, stopped.stacks), (true, StackEnd::NoFile, 1));
    assert_eq!(stopped.reason.as_deref(), Some("it is not here"));
    let bare = of("/bin/bare");
    assert_eq!((bare.summary().worst[0].end, bare.ends(StackEnd::NoTables)), (StackEnd::NoTables, 1));
    let anonymous = of("//anon");
    assert_eq!(anonymous.ends(StackEnd::NoTables), 1);
    let stack = UserStack::of_words(endian, 0x40_0010, &[0x70_0020, 0]);
    let stream = program(StreamBuilder::with_stacks(endian));
    let stream = stream.stack_sample(CpuMode::User, At::new(1, 20), 0x40_0010, &[], &stack);
    let ran = run_whole(&stream.bytes());
    assert_eq!(chains(&ran.out), [[USER, 0x40_0010, 0x70_001f]]);
    assert_eq!((ran.ends(StackEnd::Unmapped), ran.summary().worst.len()), (1, 0));
}

#[test]
fn a_stack_is_unwound_no_further_than_it_was_recorded() {
    let endian = Endian::Little;
    let stack = UserStack::of_words(endian, 0x50_0010, &[0x40_0020]);
    let stream = program(StreamBuilder::with_stacks(endian))
        .stack_sample(CpuMode::User, At::new(1, 20), 0x50_0010, &[], &stack)
        .bytes();
    let ran = run_whole(&stream);
    assert_eq!(chains(&ran.out), [&CHAIN[..3]]);
    assert_eq!(ran.ends(StackEnd::Cut), 1);
}

#[test]
fn a_thread_of_unknown_abi_keeps_the_kernels_part() {
    let endian = Endian::Little;
    for abi in [3, 4, u64::MAX] {
        let stack = secret_stack(endian).with_registers(abi, STACK_REGS, &[0, UserStack::SP, SECRET]);
        // The frames of a sample in front of it are not its own.
        let stream = program(StreamBuilder::with_stacks(endian))
            .stack_sample(CpuMode::User, At::new(1, 20), 0x50_0010, &[], &crate::samples::stack(endian))
            .stack_sample(CpuMode::Kernel, At::new(1, 30), IN_KERNEL[1], &IN_KERNEL, &stack)
            .bytes();
        let ran = run_whole(&stream);
        assert_eq!(chains(&ran.out), [&CHAIN[..], &IN_KERNEL]);
        has_no_secret(&ran.out, endian);
        assert_eq!(ran.ends(StackEnd::Architecture), 1);
    }
}
