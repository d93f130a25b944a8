//! The words for bits and codes that records have without saying what they mean.

use perf_format::{CpuMode, Misc, RecordType};

/// Names of a few bits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FewNames {
    names: [&'static str; 4],
    len: usize,
}

impl FewNames {
    fn push(&mut self, name: &'static str) {
        if let Some(place) = self.names.get_mut(self.len) {
            *place = name;
            self.len += 1;
        }
    }

    pub(crate) fn as_slice(&self) -> &[&'static str] {
        self.names.get(..self.len).unwrap_or_default()
    }
}

/// The names of a misc word's parts, `PERF_RECORD_MISC_*`, and the bits that have none.
pub(crate) fn misc(record_type: RecordType, misc: Misc) -> (FewNames, u16) {
    let mut names = FewNames::default();
    let mut rest = misc.0;
    let mode = match misc.cpumode() {
        CpuMode::Unknown => None,
        CpuMode::Kernel => Some("KERNEL"),
        CpuMode::User => Some("USER"),
        CpuMode::Hypervisor => Some("HYPERVISOR"),
        CpuMode::GuestKernel => Some("GUEST_KERNEL"),
        CpuMode::GuestUser => Some("GUEST_USER"),
    };
    if let Some(mode) = mode {
        names.push(mode);
        rest &= !Misc::CPUMODE_MASK;
    }
    if rest != 0 {
        for (bit, types, name) in MISC_BITS {
            if rest & bit != 0 && types.contains(&record_type) {
                names.push(name);
                rest &= !bit;
            }
        }
    }
    (names, rest)
}

const SWITCHES: &[RecordType] = &[RecordType::SWITCH, RecordType::SWITCH_CPU_WIDE];

/// A bit, the types on which it has the name, and the name.
const MISC_BITS: &[(u16, &[RecordType], &str)] = &[
    (Misc::PROC_MAP_PARSE_TIMEOUT, &[RecordType::MMAP, RecordType::MMAP2], "PROC_MAP_PARSE_TIMEOUT"),
    (Misc::MMAP_DATA, &[RecordType::MMAP, RecordType::MMAP2], "MMAP_DATA"),
    (Misc::COMM_EXEC, &[RecordType::COMM], "COMM_EXEC"),
    (Misc::FORK_EXEC, &[RecordType::FORK], "FORK_EXEC"),
    (Misc::SWITCH_OUT, SWITCHES, "SWITCH_OUT"),
    (Misc::SWITCH_OUT_PREEMPT, SWITCHES, "SWITCH_OUT_PREEMPT"),
    (Misc::EXACT_IP, &[RecordType::SAMPLE], "EXACT_IP"),
    (Misc::MMAP_BUILD_ID, &[RecordType::MMAP2], "MMAP_BUILD_ID"),
    (Misc::BUILD_ID_SIZE, &[RecordType::BUILD_ID], "BUILD_ID_SIZE"),
    (Misc::LOST_SAMPLES_BPF, &[RecordType::LOST_SAMPLES], "LOST_SAMPLES_BPF"),
];

/// Markers are the values from here up (`PERF_CONTEXT_MAX`).
const FIRST_MARKER: u64 = 4095_u64.wrapping_neg();

/// The name of a marker in a call chain, `PERF_CONTEXT_*`.
pub(crate) fn marker(word: u64) -> Option<&'static str> {
    if word < FIRST_MARKER {
        return None;
    }
    Some(match word.wrapping_neg() {
        32 => "HV",
        128 => "KERNEL",
        512 => "USER",
        640 => "USER_DEFERRED",
        2048 => "GUEST",
        2176 => "GUEST_KERNEL",
        2560 => "GUEST_USER",
        _ => return None,
    })
}

/// `PROT_*` bits as `/proc/PID/maps` has them, and the bits that have no letter.
pub(crate) fn prot(prot: u64) -> ([u8; 3], u64) {
    let letter = |bit: u64, letter| if prot & bit != 0 { letter } else { b'-' };
    ([letter(1, b'r'), letter(2, b'w'), letter(4, b'x')], prot & !7)
}

/// The names of `MAP_*` bits as most architectures have them, and the bits that have none.
pub(crate) fn map_flags(flags: u64) -> (Vec<&'static str>, u64) {
    let mut rest = flags;
    let mut names = Vec::new();
    for (bit, name) in MAP_FLAGS {
        if rest & bit != 0 {
            names.push(*name);
            rest &= !bit;
        }
    }
    (names, rest)
}

const MAP_FLAGS: &[(u64, &str)] = &[
    (0x1, "shared"),
    (0x2, "private"),
    (0x10, "fixed"),
    (0x20, "anonymous"),
    (0x100, "growsdown"),
    (0x800, "denywrite"),
    (0x1000, "executable"),
    (0x2000, "locked"),
    (0x4000, "noreserve"),
    (0x4_0000, "hugetlb"),
];
