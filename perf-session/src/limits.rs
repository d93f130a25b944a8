//! Limits of what is kept and read, each with its reason: how much a recording, or a file that it names, can make the
//! program hold.

#[cfg(feature = "build-id")]
mod object_files;

#[cfg(feature = "build-id")]
pub(crate) use object_files::{
    DEBUG_FILE_AT_MOST, ELF_AT_MOST, KALLSYMS_AT_MOST, PACKED_AT_MOST, PACKED_SLACK, SEGMENTS_AT_MOST,
    SYS_NOTES_AT_MOST, UNPACKED_AT_MOST, VDSO_AT_MOST,
};

/// How many things wait in a queue for two rounds to pass, where no rounds come, or enormous ones. The largest of them
/// is what is left of a process, some 4 KiB.
pub(crate) const DELAYED_AT_MOST: usize = 1024;

/// How many steps of work a record that changes maps earns, and how many are saved at the most. A step is a map that is
/// cut or passed on: some 0.3 us and at most 2 KiB. Recordings of builds, JITs and containers use less than one a record.
pub(crate) const STEPS_A_RECORD: u64 = 64;
pub(crate) const STEPS_AT_MOST: u64 = 1 << 18;

/// How many children of a process are remembered whose first records are still to come.
pub(crate) const FORKS_AT_MOST: usize = 1024;

/// How many names of one thread are remembered. It gets one with each exec and each `pthread_setname_np`.
pub(crate) const COMMS_AT_MOST: usize = 64;

/// The names of how many threads are remembered that have ended. A build ends some thousand a second.
pub(crate) const ENDED_AT_MOST: usize = 1 << 14;

/// From how many bytes on no more of a pipe's tracing data is kept. That of all tracepoints of a kernel has some 5 MB.
pub(crate) const FORMATS_AT_MOST: usize = 1 << 26;

/// How many guests of a host are distinguished; the records of more are taken for one guest's.
pub(crate) const GUESTS_AT_MOST: usize = 256;

/// How many modules of a kernel are noted, to tell one boot from another. The largest kernels load some hundred.
pub(crate) const MODULES_AT_MOST: usize = 4096;

/// How many pasts of maps are remembered in one address space at the most, and how many maps in all of them.
pub(crate) const PAST_AT_MOST: usize = 256;
pub(crate) const PAST_MAPS_AT_MOST: usize = 1 << 15;

/// How many bytes of records wait at the most to be put in order; beyond that the earlier half goes, round or not.
pub(crate) const WAITING_AT_MOST: usize = 1 << 26;

/// How far back something packed may refer, which is memory: 64 MiB in xz files and 128 MiB in zstd files, as the highest
/// presets of both (`xz -9`, `zstd --ultra -22`) do. Most dictionaries have 8 MiB at most; the formats allow 4 GiB
/// and more. Of either only as much is touched as is unpacked. The blocks of an xz stream are remembered until they are
/// compared with the index at its end: 16 bytes for each, which has 28 at the least; xz makes blocks of 3 MiB and more.
pub(crate) const XZ_DICTIONARY_AT_MOST: u32 = 1 << 26;
#[cfg(feature = "zstd")]
pub(crate) const ZSTD_WINDOW_LOG_AT_MOST: u32 = 27;

/// How many bytes of an unpacked file's beginning are kept: headers stand there, and in modules the notes, too, while the
/// table of sections is at the end.
pub(crate) const UNPACKED_HEAD: usize = 1 << 16;

/// How many times a packed recording is unpacked to find its parts, which are in order in what perf writes: to its end, to
/// its features, and to its records.
pub(crate) const UNPACKED_PASSES_AT_MOST: u32 = 16;

/// How many words of samples are remembered of one round. Beyond that a digest of them is: it costs some ids that are
/// not needed, and no more memory. Rounds have some hundred thousand words where a machine is busy and much is recorded.
pub(crate) const LOG_AT_MOST: usize = 1 << 18;

/// How many queries of one round are remembered that stand in no sample of the host with a time.
pub(crate) const QUERIES_AT_MOST: usize = 1 << 13;

/// How many pages a digest has.
pub(crate) const DIGEST_AT_MOST: usize = 1 << 14;

/// Of how many processes it is remembered where something pending stands. The ranges of one are at most twice as many as
/// its maps.
pub(crate) const SPACES_AT_MOST: usize = 1 << 13;
