//! The census: what samples, and the frames of their call chains, lie in. All samples are counted while they are few;
//! then one of two, of four and so on, each of which stands for as many. Of these the chains are counted likewise.
//!
//! A sample is looked up when its round is over, and what is in no map then once more a round later: up to one in two
//! hundred stands before the map that explains it.

use hashbrown::HashMap;
use perf_format::CpuMode;
use perf_format::sample::frames_of;

use super::log::HostSample;
use crate::address_space::AddressSpace;
use crate::dso::{DsoId, DsoKind};
use crate::machine::{HOST, OUTSIDE};
use crate::map::Map;
use crate::moved_text::text_of;
use crate::session::Session;

/// How many samples are taken before only each second of those that have been taken till then is.
const SAMPLES_AT_EACH_RATE: u64 = 1 << 9;

/// The same of the chains of those samples.
const CHAINS_AT_EACH_RATE: u64 = 1 << 6;

/// How many addresses wait at the most until their round is over.
const WAITING_AT_MOST: usize = 1 << 17;

/// What samples lie in, for [`Hits::census`](super::Hits::census).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LiesIn {
    /// A DSO that has a file, or an image of the kernel.
    Dso(DsoId),
    /// Anonymous memory of a process.
    Anonymous {
        /// The process.
        pid: i32,
        /// The DSO under whose name the memory is.
        dso: DsoId,
        /// The file in the midst of whose text it lies, as where a program has moved its text to huge pages.
        text_of: Option<DsoId>,
    },
    /// A process of which no map is known.
    Unmapped {
        /// The process.
        pid: i32,
    },
    /// An address of a process where nothing is mapped.
    NoMap {
        /// The process.
        pid: i32,
    },
    /// A process outside the pid namespace of the recorder ([`OUTSIDE`](crate::machine::OUTSIDE)).
    Outside,
    /// The kernel, of which no map is known.
    UnmappedKernel,
    /// An address of the kernel where nothing is mapped.
    NoKernelMap,
}

/// How many samples lie in something, and how many frames of call chains do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Samples, by their own address.
    pub samples: u64,
    /// Frames of their call chains.
    pub frames: u64,
}

/// Counts what samples lie in.
#[derive(Debug, Clone)]
pub(super) struct Census {
    samples: Rate,
    chains: Rate,
    /// Addresses of the round that is not over, and those in no map of the one before.
    waiting: Vec<Address>,
    late: Vec<Address>,
    counts: HashMap<LiesIn, Counted>,
    /// The files whose text lies, or lay, where anonymous memory begins in a process.
    texts: HashMap<(i32, u64), Option<DsoId>>,
}

/// Which are taken of many.
#[derive(Debug, Clone)]
struct Rate {
    /// How many each one stands for that is taken.
    rate: u64,
    /// How many go by before the next is taken.
    until_next: u64,
    left_at_rate: u64,
    at_each_rate: u64,
}

impl Rate {
    fn new(at_each_rate: u64) -> Self {
        Self { rate: 1, until_next: 1, left_at_rate: at_each_rate, at_each_rate }
    }

    #[inline(always)]
    fn is_next(&mut self) -> bool {
        self.until_next -= 1;
        self.until_next == 0
    }

    /// Takes the one that is next, and tells how many it stands for.
    fn take(&mut self) -> u64 {
        let weight = self.rate;
        self.left_at_rate -= 1;
        if self.left_at_rate == 0 {
            self.left_at_rate = self.at_each_rate;
            self.rate *= 2;
        }
        self.until_next = self.rate;
        weight
    }
}

/// An address that a sample looks up.
#[derive(Debug, Clone, Copy)]
struct Address {
    pid: i32,
    space: AddressSpace,
    addr: u64,
    /// In ns.
    time: Option<u64>,
    is_frame: bool,
    /// How many it stands for.
    weight: u64,
}

impl Default for Census {
    fn default() -> Self {
        Self {
            samples: Rate::new(SAMPLES_AT_EACH_RATE),
            chains: Rate::new(CHAINS_AT_EACH_RATE),
            waiting: Vec::new(),
            late: Vec::new(),
            counts: HashMap::new(),
            texts: HashMap::new(),
        }
    }
}

impl Census {
    /// Whether this sample is to be taken.
    #[inline(always)]
    pub(super) fn is_next(&mut self) -> bool {
        self.samples.is_next()
    }

    /// Takes a sample of the host.
    #[cold]
    pub(super) fn take(&mut self, sample: &HostSample<'_>, session: &Session) {
        let HostSample { pid, cpumode, time, ip, chain, endian } = *sample;
        let weight = self.samples.take();
        if self.waiting.len() + chain.len() >= WAITING_AT_MOST {
            self.finish(session);
        }
        let of = |addr, cpumode, is_frame, weight| {
            let pid = pid.cast_signed();
            let space = match cpumode {
                CpuMode::Kernel => AddressSpace::Kernel,
                CpuMode::User => AddressSpace::Process(pid),
                _ => return None,
            };
            Some(Address { pid, space, addr, time: Some(time), is_frame, weight })
        };
        let frames = frames_of(chain.iter().map(|word| endian.u64(*word)), cpumode);
        self.waiting.extend(ip.and_then(|ip| of(ip, cpumode, false, weight)));
        if self.chains.is_next() {
            let weight = weight * self.chains.take();
            self.waiting.extend(frames.filter_map(|frame| of(frame.ip, frame.cpumode, true, weight)));
        }
    }

    /// A round is over: its samples are looked up.
    pub(super) fn finish_round(&mut self, session: &Session) {
        for address in std::mem::take(&mut self.late) {
            self.count(&address, find(&address, session), session);
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|address| {
            let map = find(address, session);
            if map.is_some() {
                self.count(address, map, session);
            }
            map.is_none()
        });
        self.late = waiting;
    }

    /// Looks all up that waits.
    pub(super) fn finish(&mut self, session: &Session) {
        self.finish_round(session);
        self.finish_round(session);
    }

    fn count(&mut self, address: &Address, map: Option<&Map>, session: &Session) {
        let lies_in = self.lies_in(address, map, session);
        let counted = self.counts.entry(lies_in).or_default();
        let count = if address.is_frame { &mut counted.frames } else { &mut counted.samples };
        *count += address.weight;
    }

    fn lies_in(&mut self, address: &Address, map: Option<&Map>, session: &Session) -> LiesIn {
        let Address { pid, space, time, .. } = *address;
        let is_kernels = space == AddressSpace::Kernel;
        if !is_kernels && pid == OUTSIDE {
            return LiesIn::Outside;
        }
        let Some(map) = map else {
            let maps = session.machines.host().maps(space);
            let is_unmapped = maps.is_none_or(|maps| maps.len_with_past() == 0);
            return match (is_kernels, is_unmapped) {
                (true, true) => LiesIn::UnmappedKernel,
                (true, false) => LiesIn::NoKernelMap,
                (false, true) => LiesIn::Unmapped { pid },
                (false, false) => LiesIn::NoMap { pid },
            };
        };
        let is_anonymous = session.dso(map.dso).is_some_and(|dso| dso.kind == DsoKind::Anonymous);
        if is_kernels || !is_anonymous {
            return LiesIn::Dso(map.dso);
        }
        let text_of = *self
            .texts
            .entry((pid, map.start))
            .or_insert_with(|| text_of(map, space, time, session.machines.host(), &session.dsos));
        LiesIn::Anonymous { pid, dso: map.dso, text_of }
    }

    /// The counts so far, in no order.
    pub(super) fn counts(&self) -> impl Iterator<Item = (LiesIn, Counted)> {
        self.counts.iter().map(|(lies_in, counted)| (*lies_in, *counted))
    }
}

fn find<'s>(address: &Address, session: &'s Session) -> Option<&'s Map> {
    let Address { space, addr, time, .. } = *address;
    session.map_at(HOST, space, addr, time)
}
