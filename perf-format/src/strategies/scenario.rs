//! Made-up recordings that could have been: processes that fork, exec, map and exit on two CPUs whose buffers are
//! emptied one after the other, so that the records of a round stand in another order than their times.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::Endian;
use crate::record::CpuMode;
use crate::testing::{At, StreamBuilder};

/// What happens at one moment on one CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A process maps a file.
    Map {
        /// The process.
        pid: u32,
        /// The first address.
        start: u64,
        /// Bytes.
        len: u64,
        /// The file.
        name: String,
    },
    /// A process begins with its parent's maps.
    Fork {
        /// The child.
        pid: u32,
        /// The parent.
        parent: u32,
    },
    /// A process executes another program.
    Exec {
        /// The process.
        pid: u32,
    },
    /// A process ends.
    Exit {
        /// The process.
        pid: u32,
    },
    /// A sample is taken.
    Sample {
        /// The process.
        pid: u32,
        /// Whether in the kernel.
        kernel: bool,
        /// The address, where it is not in the kernel.
        ip: u64,
        /// The addresses of the process that called it.
        chain: Vec<u64>,
    },
}

/// Something that happened, and what else the recording shows of that moment.
#[derive(Debug, Clone)]
pub struct Moment {
    /// What happened.
    pub happening: Happening,
    /// Which of the two CPUs saw it.
    pub cpu: bool,
    /// Whether the buffers were emptied after it.
    pub round: bool,
    /// Which record stands behind it that says nothing of maps.
    pub noise: u8,
}

/// A recording: what happened, in the order of time.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What happened, each of it at the [`time`] of its place.
    pub moments: Vec<Moment>,
}

/// The pid and the page-aligned range that everything plays in: few enough that things meet.
fn pid() -> impl Strategy<Value = u32> {
    1u32..9
}

fn page() -> impl Strategy<Value = u64> {
    (0u64..24).prop_map(|page| 0x40_0000 + page * 0x1000)
}

const NAMES: [&str; 8] =
    ["/bin/a", "/bin/b", "/lib/c.so", "/lib/d.so", "/lib/e.so", "//anon", "[vdso]", "/lib/with a blank.so"];

fn happening() -> impl Strategy<Value = Happening> {
    let sample = (pid(), prop::bool::weighted(0.2), page(), prop::collection::vec(page(), 0..4));
    prop_oneof![
        4 => (pid(), page(), 1u64..6, 0..NAMES.len()).prop_map(|(pid, start, pages, name)| Happening::Map {
            pid,
            start,
            len: pages * 0x1000,
            name: NAMES[name].to_owned(),
        }),
        2 => (pid(), pid()).prop_filter_map("a child is another process", |(pid, parent)| {
            (pid != parent).then_some(Happening::Fork { pid, parent })
        }),
        1 => pid().prop_map(|pid| Happening::Exec { pid }),
        1 => pid().prop_map(|pid| Happening::Exit { pid }),
        8 => sample.prop_map(|(pid, kernel, ip, chain)| Happening::Sample { pid, kernel, ip: ip + 0x123, chain }),
    ]
}

/// Any recording of up to 60 moments.
pub fn scenario() -> impl Strategy<Value = Scenario> {
    let moment = (happening(), any::<bool>(), prop::bool::weighted(0.2), 0u8..8)
        .prop_map(|(happening, cpu, round, noise)| Moment { happening, cpu, round, noise });
    prop::collection::vec(moment, 1..60).prop_map(|moments| Scenario { moments: possible(moments) })
}

/// How many rounds a pid rests before it is used again; in truth it takes thousands of forks.
const PID_RESTS: usize = 3;

/// Nothing happens in a process that has exited, and nobody gets a pid that another still has or just had.
fn possible(mut moments: Vec<Moment>) -> Vec<Moment> {
    let mut lives = BTreeSet::new();
    let mut resting: BTreeMap<u32, usize> = BTreeMap::new();
    let mut round = 0;
    moments.retain(|moment| {
        let (pid, parent) = match &moment.happening {
            Happening::Fork { pid, parent } => (*pid, Some(*parent)),
            Happening::Map { pid, .. }
            | Happening::Exec { pid }
            | Happening::Exit { pid }
            | Happening::Sample { pid, .. } => (*pid, None),
        };
        let possible = match parent {
            Some(parent) => {
                let free = !lives.contains(&pid) && resting.get(&pid).is_none_or(|until| *until <= round);
                free && !resting.contains_key(&parent)
            }
            None => !resting.contains_key(&pid),
        };
        if !possible {
            return false;
        }
        resting.remove(&pid);
        round += usize::from(moment.round);
        lives.extend(std::iter::once(pid).chain(parent));
        if let Happening::Exit { pid } = moment.happening {
            lives.remove(&pid);
            resting.insert(pid, round + PID_RESTS);
        }
        true
    });
    moments
}

/// When the moment of this number was, in ns.
#[must_use]
pub fn time(index: usize) -> u64 {
    1000 + 10 * index as u64
}

/// The kernel's range; samples in kernel mode hit it at this address.
pub const KERNEL: u64 = 0xffff_ffff_8100_0000;

impl Scenario {
    /// The recording's stream: in each round, what CPU 0 saw, then what CPU 1 saw.
    #[must_use]
    pub fn stream(&self, endian: Endian) -> Vec<u8> {
        self.stream_of(StreamBuilder::with_callchains(endian), sample)
    }

    /// The recording's stream behind its events, with samples of the caller's own.
    pub fn stream_of(
        &self,
        stream: StreamBuilder,
        sample: impl Fn(StreamBuilder, At, &Happening) -> StreamBuilder,
    ) -> Vec<u8> {
        let mut stream = stream.kernel(KERNEL, 0x100_0000);
        let mut waiting = [Vec::new(), Vec::new()];
        for (index, moment) in self.moments.iter().enumerate() {
            waiting[usize::from(moment.cpu)].push((time(index), moment));
            if moment.round {
                stream = flush(stream, &mut waiting, &sample).finished_round();
            }
        }
        flush(stream, &mut waiting, &sample).finished_round().bytes()
    }

    /// What a process has mapped at the moment of this number, by what happened in the order of time: first and last address
    /// behind it, and the file, later maps over earlier ones. In front of all stands what an exec has ended in so many of the
    /// last rounds.
    #[must_use]
    pub fn mapped(&self, at: usize, pid: u32, rounds: usize) -> Vec<(u64, u64, String)> {
        let mut spaces = Spaces::default();
        self.moments.iter().take(at).for_each(|moment| spaces.happened(moment));
        let maps = spaces.of(pid, rounds).map(|(start, end, name)| (*start, *end, (*name).to_owned()));
        maps.collect::<Vec<_>>().into_iter().rev().collect()
    }

    /// Which DSOs the samples hit: the same question asked of what happened in the order of time, by the simplest
    /// means there are.
    #[must_use]
    pub fn hit(&self) -> Vec<String> {
        self.hit_remembering(2)
    }

    /// The same where what an exec ended is remembered for so many rounds.
    #[must_use]
    pub fn hit_remembering(&self, rounds: usize) -> Vec<String> {
        let mut spaces = Spaces::default();
        let mut hit = Vec::new();
        for moment in &self.moments {
            if let Happening::Sample { pid, kernel, .. } = &moment.happening {
                if *kernel {
                    hit.push("[kernel.kallsyms]".to_owned());
                }
                for addr in moment.happening.user_addresses() {
                    let at = spaces.of(*pid, rounds).find(|(start, end, _)| (*start..*end).contains(&addr));
                    hit.extend(at.map(|(_, _, name)| (*name).to_owned()));
                }
            }
            spaces.happened(moment);
        }
        named_once(hit)
    }

    /// The same recording where one CPU sees everything, so that all records are in the order of time.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.moments.iter_mut().for_each(|moment| moment.cpu = false);
        self
    }

    /// Which DSOs could be thought to be hit: those that anybody mapped, at any time, at a page that anybody's
    /// sample asked for.
    #[must_use]
    pub fn near(&self) -> Vec<String> {
        let happenings = || self.moments.iter().map(|moment| &moment.happening);
        let addresses: Vec<u64> = happenings().flat_map(Happening::user_addresses).collect();
        let mut near: Vec<String> = happenings()
            .filter_map(|happening| match happening {
                Happening::Map { start, len, name, .. } => Some((*start..start + len, name)),
                _ => None,
            })
            .filter(|(range, _)| addresses.iter().any(|addr| range.contains(addr)))
            .map(|(_, name)| name.clone())
            .collect();
        near.push("[kernel.kallsyms]".to_owned());
        named_once(near)
    }
}

type Maps<'m> = Vec<(u64, u64, &'m str)>;

/// What processes have mapped.
#[derive(Default)]
struct Spaces<'m> {
    now: BTreeMap<u32, Maps<'m>>,
    /// What an exec ended is remembered for a while: where the program has nothing, the one before it may have.
    ended: BTreeMap<u32, (usize, Maps<'m>)>,
    round: usize,
}

impl<'m> Spaces<'m> {
    /// The maps of a process, the latest first, and behind them what an exec ended less than so many rounds ago.
    fn of(&self, pid: u32, rounds: usize) -> impl Iterator<Item = &(u64, u64, &'m str)> {
        let ended = self.ended.get(&pid).filter(|(since, _)| self.round - since < rounds);
        let ended = ended.map(|(_, maps)| maps.as_slice()).unwrap_or_default();
        self.now.get(&pid).map(Vec::as_slice).unwrap_or_default().iter().rev().chain(ended.iter().rev())
    }

    fn happened(&mut self, moment: &'m Moment) {
        match &moment.happening {
            Happening::Map { pid, start, len, name } => {
                self.now.entry(*pid).or_default().push((*start, start + len, name));
            }
            Happening::Fork { pid, parent } => {
                let maps = self.now.get(parent).cloned().unwrap_or_default();
                self.now.insert(*pid, maps);
                self.ended.remove(pid);
            }
            Happening::Exec { pid } => {
                let maps = self.now.remove(pid).unwrap_or_default();
                self.ended.insert(*pid, (self.round, maps));
            }
            Happening::Exit { .. } | Happening::Sample { .. } => {}
        }
        self.round += usize::from(moment.round);
    }
}

impl Happening {
    /// The addresses of a sample that are the process's own.
    fn user_addresses(&self) -> Vec<u64> {
        match self {
            Self::Sample { kernel: true, chain, .. } => chain.clone(),
            Self::Sample { kernel: false, ip, chain, .. } => [&[*ip], &chain[..]].concat(),
            _ => Vec::new(),
        }
    }
}

/// Each name once, in order; memory of no file has none.
fn named_once(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| name != "//anon");
    names.sort();
    names.dedup();
    names
}

fn flush(
    mut stream: StreamBuilder,
    waiting: &mut [Vec<(u64, &Moment)>; 2],
    sample: &impl Fn(StreamBuilder, At, &Happening) -> StreamBuilder,
) -> StreamBuilder {
    for (time, moment) in waiting.iter_mut().flat_map(std::mem::take) {
        stream = match &moment.happening {
            Happening::Map { pid, start, len, name } => stream.mmap2(At::new(*pid, time), *start, *len, name),
            Happening::Fork { pid, parent } => stream.fork(At::new(*pid, time), *parent),
            Happening::Exec { pid } => stream.exec(At::new(*pid, time), "exec"),
            Happening::Exit { pid } => stream.exit(At::new(*pid, time)),
            Happening::Sample { pid, .. } => sample(stream, At::new(*pid, time), &moment.happening),
        };
        stream = match moment.noise {
            0 => stream.unknown(200, &[1; 24]),
            1 => stream.tracing_data(&[7; 48]),
            2 => stream.unknown(99, &[2; 5]),
            _ => stream,
        };
    }
    stream
}

/// A sample with its call chain.
fn sample(stream: StreamBuilder, at: At, happening: &Happening) -> StreamBuilder {
    let Happening::Sample { kernel, ip, chain, .. } = happening else { return stream };
    let user = 512_u64.wrapping_neg();
    let chain: Vec<u64> = std::iter::once(user).chain(chain.iter().copied()).collect();
    match kernel {
        true => stream.sample(CpuMode::Kernel, at, KERNEL + 0x10, &chain),
        false => stream.sample(CpuMode::User, at, *ip, &chain),
    }
}
