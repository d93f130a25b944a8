//! Machines: the host and its guests, each with a kernel's maps, processes and threads.

use std::ops::Range;

use hashbrown::{HashMap, HashSet};

use crate::dso::{DsoId, MachinePid};
use crate::limits::GUESTS_AT_MOST;
use crate::map::{Map, Maps};
use crate::round::{Due, Later, Round};
use crate::thread::{Fork, Process};

/// The host's pid, as BUILD_ID records have it.
pub const HOST: MachinePid = perf_format::record::HOST_PID;

/// The pid of a guest that nobody named.
pub const DEFAULT_GUEST: MachinePid = 0;

/// Whose addresses: the kernel's, or a process's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// The kernel's.
    Kernel,
    /// A process's, by its pid.
    Process(i32),
}

/// Addresses of a space at which a record changed what is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touched {
    /// The machine.
    pub machine: MachinePid,
    /// Whose.
    pub space: Space,
    /// The first of them.
    pub start: u64,
    /// The last of them.
    pub last: u64,
    /// What was mapped there, and when, in ns; `None` where it is more than one thing.
    pub map: Option<(DsoId, u64)>,
}

impl Touched {
    /// The addresses of a map.
    #[must_use]
    pub fn by(machine: MachinePid, space: Space, map: &Map) -> Self {
        let (start, last) = (map.start, map.end.saturating_sub(1));
        Self { machine, space, start, last, map: Some((map.dso, map.since)) }
    }

    /// All addresses of a process.
    #[must_use]
    pub fn all(machine: MachinePid, pid: i32) -> Self {
        Self { machine, space: Space::Process(pid), start: 0, last: u64::MAX, map: None }
    }
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// -1 for the host.
    pub pid: MachinePid,
    kernel: Maps,
    processes: HashMap<i32, Process>,
    /// Threads that are known, and whose they are.
    threads: HashMap<i32, i32>,
    incarnations: u64,
    to_forget: Later<i32>,
    exited: Later<(i32, u64)>,
}

impl Machine {
    /// A machine of which nothing is known.
    #[must_use]
    pub fn new(pid: MachinePid) -> Self {
        Self {
            pid,
            kernel: Maps::default(),
            processes: HashMap::new(),
            threads: HashMap::new(),
            incarnations: 0,
            to_forget: Later::default(),
            exited: Later::default(),
        }
    }

    /// The map at an address as of a time in ns; without one, as of now.
    #[must_use]
    #[inline]
    pub fn find_map(&self, space: Space, addr: u64, time: Option<u64>) -> Option<&Map> {
        match space {
            Space::Kernel => self.kernel.find(addr, time),
            Space::Process(pid) => self.processes.get(&pid)?.maps.find(addr, time),
        }
    }

    /// Whether nothing is known to stand between two addresses, the second included, now or before.
    #[must_use]
    pub fn is_empty_between(&self, space: Space, first: u64, last: u64) -> bool {
        let maps = match space {
            Space::Kernel => Some(&self.kernel),
            Space::Process(pid) => self.processes.get(&pid).map(|process| &process.maps),
        };
        maps.is_none_or(|maps| maps.is_empty_between(first, last))
    }

    /// When what was mapped in a space at a time had begun, in ns: with a fork or an exec. 0 where that is not known.
    #[must_use]
    pub fn began(&self, space: Space, time: u64) -> u64 {
        match space {
            Space::Kernel => 0,
            Space::Process(pid) => self.processes.get(&pid).map_or(0, |process| process.maps.began(time)),
        }
    }

    /// The processes that are known, in no order.
    pub fn processes(&self) -> impl Iterator<Item = (i32, &Process)> {
        self.processes.iter().map(|(pid, process)| (*pid, process))
    }

    /// Which of the processes whose roots are known a process descends from.
    pub(crate) fn root_of(&self, pid: i32) -> Option<i32> {
        self.processes.get(&pid)?.root
    }

    pub(crate) fn set_root(&mut self, pid: i32, root: Option<i32>) {
        self.process(pid).root = root;
    }

    /// Maps something in the kernel.
    pub fn map_kernel(&mut self, map: Map, now: Round) {
        self.kernel.insert(map, now);
    }

    /// Maps something in a process, and in those that forked from it after that. All their spaces are added to
    /// `touched`.
    pub fn map_process(&mut self, pid: i32, map: Map, now: Round, touched: &mut Vec<Touched>) {
        let held = self.process(pid).maps.insert(map, now);
        touched.push(Touched::by(self.pid, Space::Process(pid), &map));
        self.note_past(pid, now);
        self.pass_on(pid, map, held, now, touched);
    }

    /// Maps what a process held from when until when in those that forked from it in that time, and so on: the
    /// forks came first, out of another CPU's buffer.
    fn pass_on(&mut self, pid: i32, map: Map, held: Range<u64>, now: Round, touched: &mut Vec<Touched>) {
        let mut work = vec![(pid, held)];
        let mut reached = HashSet::new();
        while let Some((pid, held)) = work.pop() {
            let Some(process) = self.processes.get(&pid) else { continue };
            let children: Vec<Fork> =
                process.forks.iter().filter(|fork| held.contains(&fork.time)).copied().collect();
            for fork in children {
                // Forks that go round in a circle are of a forged stream.
                if reached.insert(fork.pid) {
                    touched.push(Touched::by(self.pid, Space::Process(fork.pid), &map));
                    work.push((fork.pid, self.process(fork.pid).maps.inherit(map, fork.time, now)));
                    self.note_past(fork.pid, now);
                }
            }
        }
    }

    /// A process, made if it is new: with its first thread, which may be of before the recording.
    fn process(&mut self, pid: i32) -> &mut Process {
        let (incarnations, threads) = (&mut self.incarnations, &mut self.threads);
        self.processes.entry(pid).or_insert_with(|| {
            *incarnations += 1;
            threads.insert(pid, pid);
            Process { incarnation: *incarnations, threads: 1, ..Process::default() }
        })
    }

    /// A thread begins: in its parent's process, or as the first of a new one with the parent's maps (`clone_maps`
    /// unless a tool made the record up). `time` is `None` where the records have none. The spaces that got maps are
    /// added to `touched`.
    pub fn fork(
        &mut self,
        task: Task,
        clone_maps: bool,
        time: Option<u64>,
        now: Round,
        touched: &mut Vec<Touched>,
    ) {
        let Task { pid, ppid, tid, .. } = task;
        if pid == ppid {
            self.begin(pid, tid);
            return;
        }
        let mut maps = Maps::default();
        if clone_maps {
            // A parent of whom nothing is known yet may be one whose maps are still to come.
            let parent = self.process(ppid);
            if let Some(time) = time {
                parent.note_fork(Fork { pid, time, round: now });
            }
            maps = parent.maps.fork(time);
        }
        touched.push(Touched::all(self.pid, pid));
        let old = self.processes.remove(&pid).unwrap_or_default();
        let process = self.process(pid);
        if let Some(time) = time {
            maps.succeed(old.maps, time, now);
            process.forks = old.forks;
        }
        process.maps = maps;
        // Its own children may have come first.
        let last_child = process.forks.iter().map(|fork| fork.time).max();
        if let Some(time) = time.filter(|time| last_child.is_some_and(|child| child >= *time)) {
            let held: Vec<Map> = process.maps.iter().copied().collect();
            for map in held {
                self.pass_on(pid, map, time.max(map.since)..u64::MAX, now, touched);
            }
        }
        self.begin(pid, tid);
        self.note_past(ppid, now);
        self.note_past(pid, now);
    }

    fn begin(&mut self, pid: i32, tid: i32) {
        if self.threads.insert(tid, pid) != Some(pid) {
            self.process(pid).threads += 1;
        }
    }

    /// A thread ends. With the last of its process the process is forgotten, two rounds later.
    pub fn exit(&mut self, pid: i32, tid: i32, now: Round) {
        let known = self.threads.remove(&tid).is_some();
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.threads = process.threads.saturating_sub(u32::from(known));
        if process.threads == 0 {
            self.exited.push(now, (pid, process.incarnation));
        }
        self.forget(now);
    }

    /// A process executes another program. Its space is added to `touched`.
    pub fn exec(&mut self, pid: i32, time: Option<u64>, now: Round, touched: &mut Vec<Touched>) {
        self.process(pid).maps.exec(time.unwrap_or(0), now);
        touched.push(Touched::all(self.pid, pid));
        self.note_past(pid, now);
    }

    /// Puts a process that remembers something on the list of those that have to forget it.
    fn note_past(&mut self, pid: i32, now: Round) {
        if let Some(process) = self.processes.get_mut(&pid)
            && process.has_past()
            && !process.noted
        {
            process.noted = true;
            self.to_forget.push(now, pid);
        }
    }

    /// Lets go of what no record can ask for any more.
    pub fn forget(&mut self, now: Round) {
        while let Some(Due { what: pid, crowded }) = self.to_forget.pop_due(now) {
            if let Some(process) = self.processes.get_mut(&pid) {
                process.noted = false;
                if crowded { process.forget_all() } else { process.forget(now) }
            }
            self.note_past(pid, now);
        }
        while let Some(Due { what: (pid, incarnation), .. }) = self.exited.pop_due(now) {
            let gone = self
                .processes
                .get(&pid)
                .is_some_and(|process| process.incarnation == incarnation && process.threads == 0);
            if gone {
                self.processes.remove(&pid);
            }
        }
        self.kernel.forget_past(now);
    }
}

/// Who begins, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// The process.
    pub pid: i32,
    /// Its parent.
    pub ppid: i32,
    /// The thread.
    pub tid: i32,
    /// Its parent.
    pub ptid: i32,
}

/// The host and its guests.
#[derive(Debug)]
pub struct Machines {
    host: Machine,
    guests: HashMap<MachinePid, Machine>,
}

impl Default for Machines {
    fn default() -> Self {
        Self { host: Machine::new(HOST), guests: HashMap::new() }
    }
}

impl Machines {
    /// A machine, if anything is known of it.
    #[must_use]
    #[inline]
    pub fn get(&self, pid: MachinePid) -> Option<&Machine> {
        if pid == HOST { Some(&self.host) } else { self.guests.get(&pid) }
    }

    /// A machine, made if it is new.
    pub fn find_or_create(&mut self, pid: MachinePid) -> &mut Machine {
        if pid == HOST {
            return &mut self.host;
        }
        // More guests than any host has are of a forged stream; they are one.
        let crowded = self.guests.len() >= GUESTS_AT_MOST && !self.guests.contains_key(&pid);
        let pid = if crowded { DEFAULT_GUEST } else { pid };
        self.guests.entry(pid).or_insert_with(|| Machine::new(pid))
    }

    /// The guest that a record of that pid speaks of: the one that is known by it, or the one nobody named.
    #[must_use]
    pub fn guest_pid(&self, pid: MachinePid) -> MachinePid {
        if self.guests.contains_key(&pid) { pid } else { DEFAULT_GUEST }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Machine {
        &self.host
    }

    pub(crate) fn forget(&mut self, now: Round) {
        self.host.forget(now);
        self.guests.values_mut().for_each(|guest| guest.forget(now));
    }
}
