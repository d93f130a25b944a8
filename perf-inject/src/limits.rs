//! Limits of how much recordings, jitdumps and perf maps, which anybody may have written, can make the program hold, and
//! of how much is said.

/// How many DSOs are named in warnings, one line each; the others are counted.
pub(crate) const WARNINGS_AT_MOST: u64 = 20;

/// How many functions of one process are remembered: some 150 bytes each. The largest programs make a few hundred
/// thousand.
pub(crate) const FUNCTIONS_AT_MOST: usize = 1 << 22;

/// How many functions of one process may be so large that they are not remembered by their pages. They are looked
/// through one by one; a JIT has a handful.
pub(crate) const LARGE_AT_MOST: usize = 4096;

/// From how many bytes on a function is large.
pub(crate) const LARGE_FROM: u64 = 1 << 20;

/// How many functions may stand in one page, one after the other or beside each other: they are looked through one by
/// one as well, and put in the order of their times. It is four for each byte.
pub(crate) const IN_A_PAGE_AT_MOST: usize = 1 << 14;

/// How many pages all functions of one process may have, a page counted once for each: up to 100 bytes each. Most
/// functions have one.
pub(crate) const PAGES_AT_MOST: u64 = 1 << 23;

/// The most bytes of a perf map that are read: names are held in memory. A large JVM's has some 10 MB.
pub(crate) const PERF_MAP_AT_MOST: u64 = 1 << 28;

/// The most bytes that one function of a perf map has, 16 MiB; of a longer one that is the start. Zeros stand in images
/// for code that nobody kept.
pub(crate) const NO_CODE_AT_MOST: u64 = 1 << 24;

/// How many addresses of one round are remembered that samples of processes without a dump looked up, some 40 bytes
/// each. A round of a busy machine with call chains has some ten thousand.
pub(crate) const EARLY_AT_MOST: usize = 1 << 18;

/// How many images of a process with unwinding tables may be open at once: one for each function that stood at an
/// address. Where code is made over and over at one place, later functions go without tables.
pub(crate) const UNWINDING_IMAGES_AT_MOST: usize = 8;

/// How many maps of memory of a process are remembered that were left out, or made ready for functions.
pub(crate) const DROPPED_AT_MOST: usize = 1 << 14;

/// How many addresses of a process are noted at the most that no source describes when a sample hits them: for the
/// warning, at the end, that a source described them too late.
pub(crate) const MISSED_AT_MOST: usize = 1 << 12;

/// How many times the code of one pid may end, with an exec or with a new process of that pid, and be told apart.
pub(crate) const ENDS_AT_MOST: usize = 1024;

/// How many children of processes with jitted code are remembered, some 40 bytes each.
pub(crate) const CHILDREN_AT_MOST: usize = 1 << 16;

/// How many files are mapped for their unwinding tables. A build of a distribution runs some thousand; the kernel lets a
/// program have 65,530 maps.
pub(crate) const MODULES_AT_MOST: usize = 1 << 14;

/// Of how many processes it is kept what their stacks lead to: some kilobytes each.
pub(crate) const STACK_SPACES_AT_MOST: usize = 4096;

/// How many maps and holes are kept of a process: stacks of a real one lead to a hundred.
pub(crate) const STACK_MAPS_AT_MOST: usize = 4096;

/// How many samples wait for a map that may come late, 8 KiB each.
pub(crate) const LATE_AT_MOST: usize = 512;

/// How many pages of a process are remembered for which samples waited in vain.
pub(crate) const VAIN_AT_MOST: usize = 256;

/// How many jitted functions' unwinding tables are kept, some hundred bytes each.
pub(crate) const JIT_TABLES_AT_MOST: usize = 1 << 16;

/// How many bytes of what context switches say wait at the most to be put in order; beyond that the earlier half goes,
/// round or not. A round of a busy machine has some 100 KB.
pub(crate) const QUEUED_AT_MOST: usize = 1 << 26;

/// How many bytes are kept at the most of samples of threads that are off CPU; of more threads the sleeps are counted and not
/// shown. It is enough for 1,000,000 threads with chains of some 50 addresses.
pub(crate) const SLEEPERS_AT_MOST: usize = 1 << 29;

/// How many buffers of samples that went out are kept for those of threads that leave next.
pub(crate) const BUFFERS_AT_MOST: usize = 64;

/// How many CPUs are told apart for records that were lost; Linux has 8,192 at the most.
pub(crate) const CPUS_AT_MOST: usize = 8192;

/// The numbers of threads are below this one, Linux's `PID_MAX_LIMIT` of 64-bit machines.
pub(crate) const THREADS_BELOW: u32 = 1 << 22;
