//! Machines: the host and its guests, each with a kernel's maps, processes and threads.

use std::ops::Range;

use bstr::BString;
use hashbrown::{HashMap, HashSet};
use perf_format::record::Mmap2;

use crate::address_space::{AddressSpace, AddressSpaceMaps};
use crate::change::{Change, MapChange, MapChanges};
use crate::delay_queue::{DelayQueue, Expired};
use crate::dso::MachinePid;
use crate::limits::GUESTS_AT_MOST;
use crate::map::Map;
use crate::process::{Fork, Process};
use crate::round::Round;
use crate::work::Work;

/// The host's pid, as BUILD_ID records have it.
pub const HOST: MachinePid = perf_format::record::HOST_PID;

/// The pid of the guest whose records do not name their machine.
pub const DEFAULT_GUEST: MachinePid = 0;

/// The pid of the processes that are outside the pid namespace of a recorder in a container: all have this one, so that it
/// is not known which of them a map or a sample is of. Otherwise it is the idle task's, which maps nothing.
pub const OUTSIDE: i32 = 0;

/// The name of a machine's kernel, as its map has it.
pub(crate) fn kernel_of(machine: MachinePid) -> BString {
    match machine {
        HOST => "[kernel.kallsyms]".into(),
        DEFAULT_GUEST => "[guest.kernel.kallsyms]".into(),
        pid => format!("[guest.kernel.kallsyms.{pid}]").into(),
    }
}

/// A machine: the host or a guest, with its kernel's maps and its processes.
#[derive(Debug)]
pub struct Machine {
    /// -1 for the host.
    pub pid: MachinePid,
    kernel: AddressSpaceMaps,
    processes: HashMap<i32, Process>,
    /// Threads that are known, and whose they are.
    threads: HashMap<i32, i32>,
    incarnations: u64,
    /// Processes that remember something.
    to_forget: DelayQueue<i32>,
    exited: DelayQueue<(i32, u64)>,
}

impl Machine {
    /// A machine of which nothing is known.
    #[must_use]
    pub fn new(pid: MachinePid) -> Self {
        Self {
            pid,
            kernel: AddressSpaceMaps::default(),
            processes: HashMap::new(),
            threads: HashMap::new(),
            incarnations: 0,
            to_forget: DelayQueue::default(),
            exited: DelayQueue::default(),
        }
    }

    /// The maps of an address space; `None` where its process is not known.
    #[must_use]
    #[inline]
    pub fn maps(&self, space: AddressSpace) -> Option<&AddressSpaceMaps> {
        match space {
            AddressSpace::Kernel => Some(&self.kernel),
            AddressSpace::Process(pid) => self.processes.get(&pid).map(|process| &process.maps),
        }
    }

    /// The map at an address as of a time in ns; without a time, as of the last record.
    #[must_use]
    #[inline]
    pub fn find_map(&self, space: AddressSpace, addr: u64, time: Option<u64>) -> Option<&Map> {
        self.maps(space)?.find(addr, time)
    }

    /// The map of a process that ends where another begins, if that goes on in the file where it ends.
    pub(crate) fn map_before(&self, pid: i32, next: &Mmap2<'_>) -> Option<&Map> {
        let last = next.start.checked_sub(1)?;
        let before = self.find_map(AddressSpace::Process(pid), last, None)?;
        let goes_on = before.end == next.start
            && before.pgoff.checked_add(before.end - before.start) == Some(next.pgoff);
        goes_on.then_some(before)
    }

    /// Whether no map is known, now or in the past, that has an address from `first` to `last`, both included.
    #[doc(hidden)]
    #[must_use]
    pub fn is_empty_between(&self, space: AddressSpace, first: u64, last: u64) -> bool {
        self.maps(space).is_none_or(|maps| maps.is_empty_between(first, last))
    }

    /// The time at which the address space that holds at a time began, with a fork or an exec, in ns; 0 where it is not
    /// known.
    #[doc(hidden)]
    #[must_use]
    pub fn began(&self, space: AddressSpace, time: u64) -> u64 {
        match space {
            AddressSpace::Kernel => 0,
            AddressSpace::Process(pid) => {
                self.processes.get(&pid).map_or(0, |process| process.maps.began(time))
            }
        }
    }

    /// When that in which an address is found as of a time began, in ns: the address space as of then, or, where it has
    /// nothing there, that of the program before the last exec.
    #[doc(hidden)]
    #[must_use]
    pub fn began_with(&self, space: AddressSpace, addr: u64, time: u64) -> u64 {
        match space {
            AddressSpace::Kernel => 0,
            AddressSpace::Process(pid) => {
                self.processes.get(&pid).map_or(0, |process| process.maps.began_with(addr, time))
            }
        }
    }

    /// Whether what is found at an address as of a time in ns is of the program before the last exec.
    #[doc(hidden)]
    #[must_use]
    pub fn is_before_exec(&self, space: AddressSpace, addr: u64, time: u64) -> bool {
        self.began_with(space, addr, time) < self.began(space, time)
    }

    /// The processes that are known, in no order.
    pub fn processes(&self) -> impl Iterator<Item = (i32, &Process)> {
        self.processes.iter().map(|(pid, process)| (*pid, process))
    }

    /// The process with a known root that a process descends from.
    pub(crate) fn root_of(&self, pid: i32) -> Option<i32> {
        self.processes.get(&pid)?.root
    }

    pub(crate) fn set_root(&mut self, pid: i32, root: Option<i32>) {
        self.process(pid).root = root;
    }

    /// Inserts a map of the kernel.
    pub(crate) fn map_kernel(&mut self, map: Map, update: &mut UpdateContext<'_>) {
        self.kernel.insert(map, update.now, update.work);
        self.changed(AddressSpace::Kernel, Change::mapped(&map), update);
    }

    /// Inserts a map of a process, and of those that were forked from it later. Maps of the host's processes
    /// [`OUTSIDE`] are left out.
    pub(crate) fn map_process(&mut self, pid: i32, map: Map, update: &mut UpdateContext<'_>) {
        if pid == OUTSIDE && self.pid == HOST {
            return self.changed(AddressSpace::Process(pid), Change::MappedOutside { dso: map.dso }, update);
        }
        let held = self.process(pid).maps.insert(map, update.now, update.work);
        self.changed(AddressSpace::Process(pid), Change::mapped(&map), update);
        self.note_past(pid, update.now);
        self.pass_on(pid, map, held, update);
    }

    fn changed(&self, space: AddressSpace, what: Change, update: &mut UpdateContext<'_>) {
        update.changes.push(MapChange { machine: self.pid, space, what });
    }

    /// Maps what a process held from when until when in those that forked from it in that time, and so on: the
    /// forks came first, out of another CPU's buffer. It costs a step for each of them.
    fn pass_on(&mut self, pid: i32, map: Map, held: Range<u64>, update: &mut UpdateContext<'_>) {
        let has_children = |process: &Process| process.forks.iter().any(|fork| held.contains(&fork.time));
        if !self.processes.get(&pid).is_some_and(has_children) {
            return;
        }
        let mut parents = vec![(pid, held)];
        let mut reached = HashSet::new();
        while let Some((pid, held)) = parents.pop() {
            let Some(process) = self.processes.get(&pid) else { continue };
            let children: Vec<Fork> =
                process.forks.iter().filter(|fork| held.contains(&fork.time)).copied().collect();
            for fork in children {
                // Forks that go round in a circle are of a forged stream.
                if !reached.insert(fork.pid) {
                    continue;
                }
                if !update.work.spend(1) {
                    return;
                }
                self.changed(AddressSpace::Process(fork.pid), Change::mapped(&map), update);
                let maps = &mut self.process(fork.pid).maps;
                parents.push((fork.pid, maps.inherit(map, fork.time, update.now, update.work)));
                self.note_past(fork.pid, update.now);
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
    /// unless a tool made the record up). `time` is `None` where the records have none.
    pub(crate) fn fork(
        &mut self,
        task: TaskIds,
        clone_maps: bool,
        time: Option<u64>,
        update: &mut UpdateContext<'_>,
    ) {
        let TaskIds { pid, ppid, tid, .. } = task;
        if pid == ppid {
            self.begin(pid, tid);
            return;
        }
        if time.is_some_and(|time| self.processes.get(&pid).is_some_and(|process| process.born > time)) {
            // It is the fork of an earlier process of that pid.
            return;
        }
        let now = update.now;
        let mut maps = AddressSpaceMaps::default();
        if clone_maps {
            // A parent of whom nothing is known yet may be one whose maps are still to come.
            let parent = self.process(ppid);
            if let Some(time) = time {
                parent.note_fork(Fork { pid, time, round: now });
            }
            maps = parent.maps.fork(time, update.work);
        }
        self.changed(AddressSpace::Process(pid), Change::Forked { since: time }, update);
        let old = self.processes.remove(&pid).unwrap_or_default();
        let process = self.process(pid);
        if let Some(time) = time {
            maps.succeed(old.maps, time, now, update.work);
            process.forks = old.forks;
            process.born = time;
        }
        process.maps = maps;
        // Its own children may have come first.
        let last_child = process.forks.iter().map(|fork| fork.time).max();
        if let Some(time) = time.filter(|time| last_child.is_some_and(|child| child >= *time)) {
            let maps = process.maps.clone();
            for map in maps.iter() {
                if !update.work.spend(1) {
                    break;
                }
                self.pass_on(pid, *map, time.max(map.since)..u64::MAX, update);
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
    pub(crate) fn exit(&mut self, pid: i32, tid: i32, time: Option<u64>, now: Round) {
        if time.is_some_and(|time| self.processes.get(&pid).is_some_and(|process| process.born > time)) {
            // It is the end of an earlier process of that pid.
            return;
        }
        let known = self.threads.remove(&tid).is_some();
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.threads = process.threads.saturating_sub(u32::from(known));
        if process.threads == 0 {
            self.exited.push(now, (pid, process.incarnation));
        }
        self.forget(now);
    }

    /// A process executes another program.
    pub(crate) fn exec(&mut self, pid: i32, time: Option<u64>, update: &mut UpdateContext<'_>) {
        self.process(pid).maps.exec(time.unwrap_or(0), update.now, update.work);
        self.changed(AddressSpace::Process(pid), Change::Executed, update);
        self.note_past(pid, update.now);
    }

    /// Puts a process that remembers something into the queue of those that have to forget it.
    fn note_past(&mut self, pid: i32, now: Round) {
        if let Some(process) = self.processes.get_mut(&pid)
            && process.has_past()
            && !process.is_queued
        {
            process.is_queued = true;
            self.to_forget.push(now, pid);
        }
    }

    /// Forgets what no record can look up any more.
    pub(crate) fn forget(&mut self, now: Round) {
        while let Some(Expired { what: pid, evicted }) = self.to_forget.pop_expired(now) {
            if let Some(process) = self.processes.get_mut(&pid) {
                process.is_queued = false;
                if evicted { process.forget_all() } else { process.forget(now) }
            }
            self.note_past(pid, now);
        }
        while let Some(Expired { what: (pid, incarnation), .. }) = self.exited.pop_expired(now) {
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

/// The context of an update by one record: the round, the work that it may cost, and the changes that it makes.
#[derive(Debug)]
pub(crate) struct UpdateContext<'u> {
    pub(crate) now: Round,
    pub(crate) work: &'u mut Work,
    pub(crate) changes: &'u mut MapChanges,
}

/// The threads of a FORK record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskIds {
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
    /// A machine, if it is known.
    #[must_use]
    #[inline]
    pub fn get(&self, pid: MachinePid) -> Option<&Machine> {
        if pid == HOST { Some(&self.host) } else { self.guests.get(&pid) }
    }

    /// A machine, made if it is new.
    pub(crate) fn find_or_create(&mut self, pid: MachinePid) -> &mut Machine {
        if pid == HOST {
            return &mut self.host;
        }
        // More guests than any host has are of a forged stream; they are one.
        let crowded = self.guests.len() >= GUESTS_AT_MOST && !self.guests.contains_key(&pid);
        let pid = if crowded { DEFAULT_GUEST } else { pid };
        self.guests.entry(pid).or_insert_with(|| Machine::new(pid))
    }

    /// The guest that a record with that pid is of: the one with this pid, if it is known, otherwise the default guest.
    #[must_use]
    pub(crate) fn guest_pid(&self, pid: MachinePid) -> MachinePid {
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
