//! The misc word of a record header: the cpumode in its low bits, and bits that mean one thing a record type.

use std::fmt;

/// The mode that the CPU was in, or that a map belongs to. An enumeration in the low three bits of misc, not a set of
/// bits: taking it for one is how guests appear where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CpuMode {
    /// `PERF_RECORD_MISC_CPUMODE_UNKNOWN`, and the values that have no meaning yet.
    Unknown,
    /// `PERF_RECORD_MISC_KERNEL`.
    Kernel,
    /// `PERF_RECORD_MISC_USER`.
    User,
    /// `PERF_RECORD_MISC_HYPERVISOR`.
    Hypervisor,
    /// `PERF_RECORD_MISC_GUEST_KERNEL`.
    GuestKernel,
    /// `PERF_RECORD_MISC_GUEST_USER`.
    GuestUser,
}

impl CpuMode {
    /// Whether it is a mode of a guest machine.
    #[must_use]
    pub fn is_guest(self) -> bool {
        matches!(self, Self::GuestKernel | Self::GuestUser)
    }

    /// Whether it is a mode of a kernel, the host's or a guest's.
    #[must_use]
    pub fn is_kernel(self) -> bool {
        matches!(self, Self::Kernel | Self::GuestKernel)
    }
}

/// The misc word of a record header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Misc(pub u16);

impl Misc {
    /// The bits that hold the [`CpuMode`].
    pub const CPUMODE_MASK: u16 = 7;
    /// `PERF_RECORD_MISC_PROC_MAP_PARSE_TIMEOUT`, on MMAP2 that was synthesized: reading `/proc/PID/maps` took too long,
    /// and some maps are missing.
    pub const PROC_MAP_PARSE_TIMEOUT: u16 = 1 << 12;
    /// On MMAP and MMAP2: a data mapping, not executable.
    pub const MMAP_DATA: u16 = 1 << 13;
    /// On COMM: the name changed because of an exec.
    pub const COMM_EXEC: u16 = 1 << 13;
    /// On FORK, written by tools alone: the parent's maps are not the child's.
    pub const FORK_EXEC: u16 = 1 << 13;
    /// On SWITCH and SWITCH_CPU_WIDE: the task leaves the CPU; without it, it comes.
    pub const SWITCH_OUT: u16 = 1 << 13;
    /// On SAMPLE: the address is that of the instruction which caused the event.
    pub const EXACT_IP: u16 = 1 << 14;
    /// On SWITCH and SWITCH_CPU_WIDE, where `SWITCH_OUT` is set: the task would have run on.
    pub const SWITCH_OUT_PREEMPT: u16 = 1 << 14;
    /// On MMAP2: a build-id stands where device and inode would.
    pub const MMAP_BUILD_ID: u16 = 1 << 14;
    /// On BUILD_ID: the size byte is valid.
    pub const BUILD_ID_SIZE: u16 = 1 << 15;
    /// On LOST_SAMPLES: a BPF filter dropped them.
    pub const LOST_SAMPLES_BPF: u16 = 1 << 15;
    /// `PERF_RECORD_MISC_EXT_RESERVED`: kept by the kernel for more bits.
    pub const EXT_RESERVED: u16 = 1 << 15;

    /// A misc word that holds a mode alone.
    #[must_use]
    pub fn of(mode: CpuMode) -> Self {
        Self(match mode {
            CpuMode::Unknown => 0,
            CpuMode::Kernel => 1,
            CpuMode::User => 2,
            CpuMode::Hypervisor => 3,
            CpuMode::GuestKernel => 4,
            CpuMode::GuestUser => 5,
        })
    }

    /// The mode in the low bits.
    #[must_use]
    pub fn cpumode(self) -> CpuMode {
        match self.0 & Self::CPUMODE_MASK {
            1 => CpuMode::Kernel,
            2 => CpuMode::User,
            3 => CpuMode::Hypervisor,
            4 => CpuMode::GuestKernel,
            5 => CpuMode::GuestUser,
            _ => CpuMode::Unknown,
        }
    }

    /// Whether a bit is set.
    #[must_use]
    pub fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    /// The word with a bit set or cleared.
    #[must_use]
    pub fn with(self, bit: u16, set: bool) -> Self {
        Self(if set { self.0 | bit } else { self.0 & !bit })
    }
}

impl fmt::Debug for Misc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpumode_is_an_enumeration() {
        let modes = [
            CpuMode::Unknown,
            CpuMode::Kernel,
            CpuMode::User,
            CpuMode::Hypervisor,
            CpuMode::GuestKernel,
            CpuMode::GuestUser,
        ];
        for (value, mode) in (0u16..).zip(modes) {
            assert_eq!(Misc(value | 0xc000).cpumode(), mode);
            assert_eq!(Misc::of(mode), Misc(value));
        }
        assert_eq!(Misc(7).cpumode(), CpuMode::Unknown);
    }
}
