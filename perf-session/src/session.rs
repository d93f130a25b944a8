//! The session: the state that the records so far describe. It reads and writes nothing; a [pipeline](crate::Pipeline)
//! gives it one record after the other.

use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice as _};
use hashbrown::HashMap;
use perf_format::record::{
    BuildIdRecord, Comm, EventUpdate, HeaderAttr, HeaderFeature, IdIndex, Inode, MapFile, Mmap2,
    Task as TaskRecord, Update,
};
use perf_format::{Attr, BuildId, CpuMode, Feature, Misc, RawRecord, RecordType};

use crate::address_space::AddressSpace;
use crate::anomalies::Anomalies;
use crate::change::MapChanges;
use crate::comms::Comms;
use crate::dso::{
    Dso, DsoId, DsoKind, Dsos, MachinePid, MappedBy, has_perf_map, is_of_a_device, kernel_name,
};
use crate::evlist::Evlist;
use crate::limits::{MODULES_AT_MOST, STEPS_A_RECORD, STEPS_AT_MOST};
use crate::machine::{HOST, Machines, OUTSIDE, TaskIds, UpdateContext, kernel_of};
use crate::map::{Map, end_of_kernel};
use crate::module_name::module_name;
use crate::moved_text::{is_over_text, moved_before};
use crate::record_set::RecordSet;
use crate::recording::Recording;
use crate::round::Round;
use crate::shared_ids::DuplicateIds;
use crate::work::Work;

/// The state that the records so far describe: machines, processes, maps, DSOs, events.
///
/// [`SessionReader`](crate::SessionReader) keeps one. By itself it is for those who read records on their own:
/// [`load_preamble`](Self::load_preamble) first, then [`update`](Self::update) with each record.
#[derive(Debug)]
pub struct Session {
    /// The events.
    pub evlist: Evlist,
    /// The host and its guests.
    pub machines: Machines,
    /// The files and images that are mapped.
    pub dsos: Dsos,
    /// The records that do not fit their type or are of no known event: counts, and what is wrong with the first.
    pub anomalies: Anomalies,
    /// What the recording says of where and when it was made.
    pub recording: Recording,
    /// Whether executable anonymous memory is a DSO of its process, named after the perf map in which its runtime may leave
    /// symbols (`/tmp/perf-PID.map`), as perf names it. Memory that has a name of its own keeps that.
    pub jit_names: bool,
    /// Whether text that a program has moved to anonymous memory, in its own place, counts as its file's, as far as the
    /// recording shows that.
    pub remap_text: bool,
    /// Whether the build-ids that the recording carries are logged (`log::debug!`).
    pub logs_ids: bool,
    /// The processes whose root directories are known: DSOs that they and their descendants map are noted as theirs.
    pub roots: BTreeSet<i32>,
    /// Whether a pipe's tracing data is still to be read, so that [`evlist`](Self::evlist) has the fields and names of
    /// tracepoints. [`load_preamble`](Self::load_preamble) has them in any case.
    pub keep_formats: bool,
    /// `None` where the names of threads are not kept.
    comms: Option<Comms>,
    round: Round,
    guest_of_id: HashMap<u64, MachinePid>,
    shared_ids: DuplicateIds,
    work: Work,
    is_incomplete: bool,
    /// Whether the inodes and flags of maps are whatever was in the recorder's memory.
    has_garbage: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            evlist: Evlist::default(),
            machines: Machines::default(),
            dsos: Dsos::default(),
            anomalies: Anomalies::default(),
            recording: Recording::default(),
            jit_names: false,
            remap_text: false,
            logs_ids: true,
            roots: BTreeSet::new(),
            keep_formats: false,
            comms: None,
            round: Round::default(),
            guest_of_id: HashMap::new(),
            shared_ids: DuplicateIds::default(),
            work: Work::new(STEPS_AT_MOST),
            is_incomplete: false,
            has_garbage: false,
        }
    }
}

impl Session {
    /// The types that the session takes in.
    pub const WANTS: RecordSet = RecordSet::of(&[
        RecordType::HEADER_ATTR,
        RecordType::HEADER_FEATURE,
        RecordType::MMAP,
        RecordType::MMAP2,
        RecordType::COMM,
        RecordType::FORK,
        RecordType::EXIT,
        RecordType::BUILD_ID,
        RecordType::ID_INDEX,
        RecordType::FINISHED_ROUND,
        RecordType::AUXTRACE_INFO,
        RecordType::AUXTRACE,
        RecordType::EVENT_UPDATE,
    ]);

    /// A session that has taken in nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of the round that the stream is in.
    #[must_use]
    pub fn round(&self) -> Round {
        self.round
    }

    /// Whether a record needed more work than it may cost, and was applied only in part: maps of some processes are
    /// then missing. No recording of a real machine is known to do that.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// Keeps the names of threads from here on, for [`comm`](Self::comm); a [`SessionReader`](crate::SessionReader) does.
    /// It costs a look at each COMM, FORK and EXIT record, and memory for each thread.
    pub fn keep_comms(&mut self) {
        self.comms.get_or_insert_default();
    }

    /// The name of a thread of the host as of a time in ns; without a time, as of the last record. That of a thread that
    /// got none is its parent's of when it began. `None` where it is not known, which perf shows as `:TID`, and without
    /// [`keep_comms`](Self::keep_comms). What it was before is remembered for two rounds, and the names of the last
    /// 16,384 threads that ended.
    #[must_use]
    pub fn comm(&self, tid: i32, time: Option<u64>) -> Option<&BStr> {
        self.comms.as_ref()?.comm(tid, time)
    }

    /// Takes a record in, and returns the changes of address spaces that it made. A record that does not fit its type
    /// changes nothing.
    ///
    /// # Errors
    /// [`perf_format::Error::Malformed`].
    pub fn update(&mut self, record: &RawRecord<'_>) -> Result<MapChanges, perf_format::Error> {
        let mut changes = MapChanges::default();
        match record.record_type() {
            RecordType::MMAP | RecordType::MMAP2 => {
                self.map(record, &Mmap2::of_record(record)?, &mut changes);
            }
            RecordType::COMM => {
                let comm: Comm<'_> = record.parse_as()?;
                if let Some(comms) = &mut self.comms {
                    let time = self.evlist.time(record).unwrap_or(0);
                    comms.set(signed(comm.tid), comm.comm, time, self.round);
                }
                if record.misc().has(Misc::COMM_EXEC) {
                    let time = self.time(record);
                    let (machines, _, mut update) = self.updating(&mut changes);
                    machines.find_or_create(HOST).exec(signed(comm.pid), time, &mut update);
                }
            }
            RecordType::FORK => self.fork(record, record.parse_as()?, &mut changes),
            RecordType::EXIT => {
                let task: TaskRecord = record.parse_as()?;
                let time = self.time(record);
                if let Some(comms) = &mut self.comms {
                    comms.exit(signed(task.tid), time.unwrap_or(0));
                }
                self.machines.find_or_create(HOST).exit(signed(task.pid), signed(task.tid), time, self.round);
            }
            RecordType::BUILD_ID => _ = self.add_build_id(record.misc(), &record.parse_as()?),
            RecordType::ID_INDEX => self.id_index(&record.parse_as()?),
            RecordType::FINISHED_ROUND => {
                self.round.0 += 1;
                self.machines.forget(self.round);
                if let Some(comms) = &mut self.comms {
                    comms.forget(self.round);
                }
            }
            RecordType::EVENT_UPDATE => {
                let EventUpdate { id, update } = record.parse_as()?;
                if let Update::Name(name) = update {
                    self.evlist.rename(id, name);
                }
            }
            RecordType::AUXTRACE_INFO | RecordType::AUXTRACE => self.recording.has_aux_data = true,
            RecordType::HEADER_ATTR => {
                let event: HeaderAttr<'_> = record.parse_as()?;
                self.add_event(event.attr, event.ids.0.iter());
            }
            RecordType::HEADER_FEATURE => {
                let HeaderFeature { feat_id, data } = record.parse_as()?;
                let feature = Feature(u32::try_from(feat_id).unwrap_or(u32::MAX));
                self.recording.feature(feature, data, record.endian);
            }
            _ => {}
        }
        if self.work.is_exhausted() && !std::mem::replace(&mut self.is_incomplete, true) {
            log::warn!(
                "the maps of this recording change in ways that no machine's do: not all are followed, and files count \
                 as hit that may not be"
            );
        }
        Ok(changes)
    }

    /// Takes a record in; one that does not fit its type is an anomaly.
    pub(crate) fn take_in(&mut self, record: &RawRecord<'_>) {
        if Self::WANTS.contains(record.record_type())
            && let Err(error) = self.update(record)
        {
            self.anomalies.malformed(record, &error);
        }
    }

    /// Adds an event and its ids.
    pub(crate) fn add_event(&mut self, attr: Attr, ids: impl Iterator<Item = u64>) {
        self.recording.clockid = self.recording.clockid.or(attr.clockid());
        self.evlist.add(attr, ids);
    }

    /// The machines, the DSOs, and what goes with a change of the machines.
    fn updating<'u>(
        &'u mut self,
        changes: &'u mut MapChanges,
    ) -> (&'u mut Machines, &'u Dsos, UpdateContext<'u>) {
        self.work.earn(STEPS_A_RECORD);
        (&mut self.machines, &self.dsos, UpdateContext { now: self.round, work: &mut self.work, changes })
    }

    fn fork(&mut self, record: &RawRecord<'_>, task: TaskRecord, changes: &mut MapChanges) {
        let TaskRecord { pid, ppid, tid, ptid, .. } = task;
        let task = TaskIds { pid: signed(pid), ppid: signed(ppid), tid: signed(tid), ptid: signed(ptid) };
        let time = self.time(record);
        if let Some(comms) = &mut self.comms {
            comms.fork(task.tid, task.ptid, time.unwrap_or(0), self.round);
        }
        let clone_maps = !record.misc().has(Misc::FORK_EXEC);
        let root = self.root(HOST, task.ppid);
        let (machines, _, mut update) = self.updating(changes);
        let host = machines.find_or_create(HOST);
        host.fork(task, clone_maps, time, &mut update);
        if root.is_some() {
            host.set_root(task.pid, root);
        }
    }

    fn map(&mut self, record: &RawRecord<'_>, mmap: &Mmap2<'_>, changes: &mut MapChanges) {
        let cpumode = record.misc().cpumode();
        let pid = signed(mmap.pid);
        let file = self.believed(mmap.file);
        let Some((kind, name)) = mapped_dso(cpumode, mmap, !self.has_garbage) else { return };
        let jit_name;
        let is_jitted = kind == DsoKind::Anonymous && mmap.prot & Mmap2::PROT_EXEC != 0 && has_perf_map(name);
        let name = if self.jit_names && is_jitted {
            jit_name = BString::from(format!("/tmp/perf-{pid}.map"));
            jit_name.as_bstr()
        } else {
            name
        };
        let machine = match cpumode {
            // A guest's kernel names its machine itself.
            CpuMode::GuestKernel if pid > 0 => pid,
            CpuMode::GuestKernel | CpuMode::GuestUser => self.machines.guest_pid(pid),
            _ => HOST,
        };
        let time = self.time(record);
        self.note_kernel(machine, kind, name, mmap);
        let dso = match kind {
            DsoKind::Kernel => self.kernel(machine, name),
            _ => {
                let machines = &self.machines;
                self.dsos.find_or_create_file(machine, kind, name, file, |dsos| {
                    let before = machines.get(machine)?.map_before(pid, mmap)?;
                    let is_it = dsos.get(before.dso).is_some_and(|dso| dso.kind == kind && dso.name == name);
                    let is_unproven = match file {
                        MapFile::Inode(inode) => inode.ino == 0 || time == Some(before.since),
                        MapFile::BuildId(id) => id.is_none(),
                    };
                    (is_it && is_unproven).then_some(before.dso)
                })
            }
        };
        let end = mmap.start.saturating_add(mmap.len);
        let root = self.root(machine, pid);
        let is_exec = mmap.prot & Mmap2::PROT_EXEC != 0;
        let by = MappedBy { pid, start: mmap.start, end, pgoff: mmap.pgoff, is_exec, root };
        let is_known = !cpumode.is_kernel() && (pid != OUTSIDE || machine != HOST);
        self.note_mapped(dso, file, time, is_known.then_some(by));
        if kind == DsoKind::Module
            && let Some(id) = self.dsos.get(dso).and_then(|dso| dso.build_id)
        {
            // That it is a module may be known by now only.
            self.shared_ids.check(dso, id, &mut self.dsos);
        }
        let Mmap2 { start, pgoff, prot, flags, .. } = *mmap;
        let end = if kind == DsoKind::Kernel { end_of_kernel(start, end) } else { end };
        let map = Map { start, end, pgoff, since: time.unwrap_or(0), dso, prot, flags };
        let remap_text = self.remap_text;
        let (machines, dsos, mut update) = self.updating(changes);
        let machine = machines.find_or_create(machine);
        if cpumode.is_kernel() {
            machine.map_kernel(map, &mut update);
            return;
        }
        if remap_text && machine.pid == HOST && is_exec {
            match kind {
                DsoKind::Anonymous if is_over_text(&map, pid, machine, dsos, time) => return,
                DsoKind::File => {
                    if let Some(moved) = moved_before(&map, pid, machine, dsos) {
                        machine.map_process(pid, moved, &mut update);
                    }
                }
                _ => {}
            }
        }
        machine.map_process(pid, map, &mut update);
    }

    /// Notes where the host's kernel and its modules are: they differ from boot to boot.
    fn note_kernel(&mut self, machine: MachinePid, kind: DsoKind, name: &BStr, mmap: &Mmap2<'_>) {
        match kind {
            DsoKind::Kernel if machine == HOST && mmap.pgoff != 0 && kernel_name(name).is_some() => {
                self.recording.kernel_reference.get_or_insert(mmap.pgoff);
            }
            DsoKind::Module if machine == HOST && self.recording.modules.len() < MODULES_AT_MOST => {
                if let Some(name) = module_name(name) {
                    self.recording.modules.insert(name, mmap.start);
                }
            }
            _ => {}
        }
    }

    /// The time of a record, which is noted as one of the recording's.
    fn time(&mut self, record: &RawRecord<'_>) -> Option<u64> {
        let time = self.evlist.time(record);
        self.recording.times.note(time.unwrap_or(0));
        time
    }

    /// The file of a map, without an inode that is none. One that cannot be shows that those of the whole recording are
    /// whatever was in memory, also where they look like inodes.
    fn believed(&mut self, file: MapFile) -> MapFile {
        let MapFile::Inode(inode) = file else { return file };
        self.has_garbage |= !is_of_a_device(&inode);
        if self.has_garbage { MapFile::Inode(Inode::default()) } else { file }
    }

    /// Notes the inode, the build-id and the time of a map in its DSO; the first map of a DSO decides.
    fn note_mapped(&mut self, id: DsoId, file: MapFile, time: Option<u64>, by: Option<MappedBy>) {
        let Some(dso) = self.dsos.get_mut(id) else { return };
        // A tool that lists what was there before the recording has no time for it.
        dso.mapped_at = dso.mapped_at.or(time);
        if dso.mapped_by.is_none_or(|before| !before.is_exec && by.is_some_and(|by| by.is_exec)) {
            dso.mapped_by = by;
        }
        match file {
            MapFile::Inode(inode) => self.dsos.note_inode(id, inode),
            MapFile::BuildId(Some(build_id)) => {
                dso.mapped_id.get_or_insert(build_id);
                self.has_id(id, build_id);
            }
            MapFile::BuildId(None) => {}
        }
    }

    /// The DSO that a BUILD_ID record names, made if it is new. `None` where its misc names no kind of DSO.
    pub fn dso_of_build_id(&mut self, misc: Misc, record: &BuildIdRecord<'_>) -> Option<DsoId> {
        let (machine, name) = (record.pid, record.filename);
        Some(match DsoKind::of_build_id(misc.cpumode(), name)? {
            DsoKind::Kernel => self.kernel(machine, name),
            kind => self.dsos.find_or_create(machine, kind, name),
        })
    }

    /// The image of a machine's kernel, which has one name, whatever a record calls it.
    fn kernel(&mut self, machine: MachinePid, name: &BStr) -> DsoId {
        let of_file;
        let name = match kernel_name(name) {
            Some(name) => name,
            None => {
                of_file = kernel_of(machine);
                of_file.as_bstr()
            }
        };
        self.dsos.find_or_create(machine, DsoKind::Kernel, name)
    }

    /// Takes in the id that a BUILD_ID record or an entry of a file's table carries, if it is one. `None` where its misc
    /// names no kind of DSO.
    pub fn add_build_id(&mut self, misc: Misc, record: &BuildIdRecord<'_>) -> Option<DsoId> {
        let dso = self.dso_of_build_id(misc, record)?;
        let Some(id) = record.build_id.0 else { return Some(dso) };
        if self.logs_ids {
            log::debug!("build id event received for {}: {id}", record.filename);
        }
        let of = self.dsos.get_mut(dso)?;
        let name = record.filename;
        if of.kind == DsoKind::Kernel && kernel_name(name).is_none() {
            // Of several files it is the first, and before the kernel's own name, as perf has it.
            if *of.kernel_file.get_or_insert_with(|| name.to_owned()) == name {
                self.has_id(dso, id);
            }
        } else if of.kernel_file.is_none() {
            self.has_id(dso, id);
        }
        Some(dso)
    }

    /// Notes the id that the recording has for a DSO.
    fn has_id(&mut self, id: DsoId, build_id: BuildId) {
        let Some(dso) = self.dsos.get_mut(id) else { return };
        dso.build_id = Some(build_id);
        if dso.kind == DsoKind::Kernel && dso.machine == HOST {
            self.recording.kernel_id = dso.build_id;
        }
        self.shared_ids.check(id, build_id, &mut self.dsos);
    }

    /// The process with a known root that a process is, or descends from.
    fn root(&self, machine: MachinePid, pid: i32) -> Option<i32> {
        if self.roots.is_empty() || machine != HOST {
            return None;
        }
        let by_descent = self.machines.host().root_of(pid);
        if self.roots.contains(&pid) { Some(pid) } else { by_descent }
    }

    fn id_index(&mut self, index: &IdIndex<'_>) {
        let guests = index.entries.iter().zip(index.guests.iter());
        self.guest_of_id.extend(
            guests
                .filter(|(_, guest)| guest.machine_pid != 0)
                .filter_map(|(entry, guest)| Some((entry.id, MachinePid::try_from(guest.machine_pid).ok()?))),
        );
    }

    /// The machine and the address space that an address of a record is of; `None` in modes that have no maps.
    #[must_use]
    #[inline]
    pub fn space(
        &self,
        record: &RawRecord<'_>,
        cpumode: CpuMode,
        pid: u32,
    ) -> Option<(MachinePid, AddressSpace)> {
        let pid = signed(pid);
        match cpumode {
            CpuMode::Kernel => Some((HOST, AddressSpace::Kernel)),
            CpuMode::User => Some((HOST, AddressSpace::Process(pid))),
            CpuMode::GuestKernel => Some((self.guest(record, pid), AddressSpace::Kernel)),
            CpuMode::GuestUser => Some((self.guest(record, pid), AddressSpace::Process(pid))),
            CpuMode::Unknown | CpuMode::Hypervisor => None,
        }
    }

    /// The guest that a sample is of: that of its event id, or of its pid, or the default guest.
    fn guest(&self, sample: &RawRecord<'_>, pid: i32) -> MachinePid {
        let at = self.evlist.evsel(sample).and_then(|evsel| evsel.format.id_offset());
        let id = at.and_then(|at| sample.endian.u64_at(sample.bytes, at));
        let by_id = id.and_then(|id| self.guest_of_id.get(&id)).copied();
        by_id.unwrap_or_else(|| self.machines.guest_pid(pid))
    }

    /// The DSO at an address as of a time in ns; without a time, as of the last record.
    #[must_use]
    #[inline]
    pub fn dso_at(
        &self,
        machine: MachinePid,
        space: AddressSpace,
        addr: u64,
        time: Option<u64>,
    ) -> Option<DsoId> {
        Some(self.map_at(machine, space, addr, time)?.dso)
    }

    /// The map at an address as of a time in ns; without a time, as of the last record.
    #[must_use]
    #[inline]
    pub fn map_at(
        &self,
        machine: MachinePid,
        space: AddressSpace,
        addr: u64,
        time: Option<u64>,
    ) -> Option<&Map> {
        self.machines.get(machine)?.find_map(space, addr, time)
    }

    /// A DSO of this session.
    #[must_use]
    pub fn dso(&self, id: DsoId) -> Option<&Dso> {
        self.dsos.get(id)
    }
}

/// The kind and the name of the DSO that a record maps. `None` for a map of the kernel's that is neither in brackets nor
/// of a file.
fn mapped_dso<'m>(cpumode: CpuMode, mmap: &Mmap2<'m>, has_flags: bool) -> Option<(DsoKind, &'m BStr)> {
    // Huge pages are of no file, whatever name they have.
    let is_huge = has_flags && mmap.flags & Mmap2::MAP_HUGETLB != 0;
    let name = if is_huge { "//anon".into() } else { mmap.filename };
    if !cpumode.is_kernel() {
        return Some((DsoKind::of_user_map(name), name));
    }
    let kind = DsoKind::of_build_id(cpumode, name)?;
    matches!(name.first(), Some(b'/' | b'[')).then_some((kind, name))
}

/// Records store pids as words; -1 stands for none.
fn signed(pid: u32) -> i32 {
    pid.cast_signed()
}
