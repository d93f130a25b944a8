//! The session: what the records so far add up to. It reads nothing and writes nothing.

use bstr::{BString, ByteSlice as _};
use hashbrown::{HashMap, HashSet};
use perf_format::record::{
    BuildIdRecord, Comm, HeaderAttr, HeaderFeature, IdIndex, MapFile, Mmap2, Task as TaskRecord,
};
use perf_format::{BuildId, CpuMode, Endian, Feature, Inflater, Misc, RawRecord, RecordType};

use crate::build_id::module_name;
use crate::dso::{Dso, DsoId, DsoKind, Dsos, MachinePid, MappedBy, kernel_name};
use crate::evlist::Evlist;
use crate::machine::{HOST, Machines, Space, Task, Touched};
use crate::map::Map;
use crate::odd::Oddities;
use crate::round::Round;
use crate::tool::RecordSet;

/// What the records so far add up to: machines, threads, maps, DSOs, events.
#[derive(Debug, Default)]
pub struct Session {
    /// The events.
    pub evlist: Evlist,
    /// The host and its guests.
    pub machines: Machines,
    /// The files and images that maps are of.
    pub dsos: Dsos,
    /// Records that were whole but odd; they passed all the same.
    pub odd: Oddities,
    /// What the recording says of itself.
    pub recording: Recording,
    /// Whether executable memory of no file is told apart by its process, under the name of the file in which its
    /// writer may leave symbols (`/tmp/perf-PID.map`), as perf names it.
    pub jit_names: bool,
    /// Whether compressed records go on as the records that are inside them.
    pub decompress: bool,
    /// The processes whose root directories are known: what they and their descendants map is noted to be theirs.
    pub roots: HashSet<i32>,
    round: Round,
    guest_of_id: HashMap<u64, MachinePid>,
    module_of_id: HashMap<BuildId, DsoId>,
    touched: Vec<Touched>,
    pub(crate) inflater: Option<Inflater>,
}

/// What a recording says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recording {
    /// The release of the kernel that it was made on (`uname -r`).
    pub release: Option<BString>,
    /// The machine that it was made on (`uname -m`).
    pub arch: Option<BString>,
    /// Where its kernel's reference symbol was; `None` where that was hidden.
    pub kernel_reference: Option<u64>,
}

impl Recording {
    /// Takes in a feature.
    pub(crate) fn feature(&mut self, feature: Feature, data: &[u8], endian: Endian) {
        match feature {
            Feature::OSRELEASE => self.release = text(data, endian).map(BString::from),
            Feature::ARCH => self.arch = text(data, endian).map(BString::from),
            _ => {}
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
        RecordType::COMPRESSED,
        RecordType::COMPRESSED2,
    ]);

    /// A session of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The round that the stream is in.
    #[must_use]
    pub fn round(&self) -> Round {
        self.round
    }

    /// At which addresses of whom the last record changed what is mapped.
    #[must_use]
    pub fn touched(&self) -> &[Touched] {
        &self.touched
    }

    /// Takes a record in. One that cannot be what its type says changes nothing.
    ///
    /// # Errors
    /// [`perf_format::Error::Malformed`].
    pub fn update(&mut self, record: &RawRecord<'_>) -> Result<(), perf_format::Error> {
        self.touched.clear();
        match record.record_type() {
            RecordType::HEADER_ATTR => {
                let event: HeaderAttr<'_> = record.parse_as()?;
                self.evlist.add(event.attr, event.ids.0.iter());
            }
            RecordType::HEADER_FEATURE => {
                let HeaderFeature { feat_id, data } = record.parse_as()?;
                let feature = Feature(u32::try_from(feat_id).unwrap_or(u32::MAX));
                self.recording.feature(feature, data, record.endian);
            }
            RecordType::MMAP | RecordType::MMAP2 => self.map(record, &Mmap2::of_record(record)?),
            RecordType::COMM => {
                let comm: Comm<'_> = record.parse_as()?;
                if record.misc().has(Misc::COMM_EXEC) {
                    let time = self.evlist.time(record);
                    self.machines.find_or_create(HOST).exec(
                        signed(comm.pid),
                        time,
                        self.round,
                        &mut self.touched,
                    );
                }
            }
            RecordType::FORK => {
                let task: TaskRecord = record.parse_as()?;
                let TaskRecord { pid, ppid, tid, ptid, .. } = task;
                let task =
                    Task { pid: signed(pid), ppid: signed(ppid), tid: signed(tid), ptid: signed(ptid) };
                let time = self.evlist.time(record);
                let clone_maps = !record.misc().has(Misc::FORK_EXEC);
                let root = self.root(HOST, task.ppid);
                let host = self.machines.find_or_create(HOST);
                host.fork(task, clone_maps, time, self.round, &mut self.touched);
                if root.is_some() {
                    host.set_root(task.pid, root);
                }
            }
            RecordType::EXIT => {
                let task: TaskRecord = record.parse_as()?;
                self.machines.find_or_create(HOST).exit(signed(task.pid), signed(task.tid), self.round);
            }
            RecordType::BUILD_ID => _ = self.add_build_id(record.misc(), &record.parse_as()?),
            RecordType::ID_INDEX => self.id_index(&record.parse_as()?),
            RecordType::FINISHED_ROUND => {
                self.round.0 += 1;
                self.machines.forget(self.round);
            }
            _ => {}
        }
        Ok(())
    }

    fn map(&mut self, record: &RawRecord<'_>, map: &Mmap2<'_>) {
        let Mmap2 { pid, start, len, pgoff, file, prot, flags, filename: name, .. } = *map;
        // Huge pages are of no file, whatever name they have.
        let name = if flags & Mmap2::MAP_HUGETLB != 0 { "//anon".into() } else { name };
        let cpumode = record.misc().cpumode();
        let machine = match cpumode {
            // A guest's kernel names its machine itself.
            CpuMode::GuestKernel if signed(pid) > 0 => signed(pid),
            CpuMode::GuestKernel | CpuMode::GuestUser => self.machines.guest_pid(signed(pid)),
            _ => HOST,
        };
        let (kind, name) = if cpumode.is_kernel() {
            match (kernel_name(name), name.first()) {
                (Some(kernel), _) => (DsoKind::Kernel, kernel),
                (None, Some(b'/' | b'[')) => (DsoKind::Module, name),
                _ => return,
            }
        } else {
            (DsoKind::of_user_map(name), name)
        };
        let jit_name;
        let name = if self.jit_names && kind == DsoKind::NoDso && prot & Mmap2::PROT_EXEC != 0 {
            jit_name = BString::from(format!("/tmp/perf-{}.map", signed(pid)));
            jit_name.as_bstr()
        } else {
            name
        };
        let time = self.evlist.time(record);
        if kind == DsoKind::Kernel && machine == HOST && pgoff != 0 {
            self.recording.kernel_reference.get_or_insert(pgoff);
        }
        let dso = self.dsos.find_or_create_file(machine, kind, name, file);
        let root = self.root(machine, signed(pid));
        if let Some(dso) = self.dsos.get_mut(dso) {
            // A tool that lists what was there before the recording has no time for it.
            dso.mapped_at = dso.mapped_at.or(time.filter(|time| *time != 0));
            if !cpumode.is_kernel() {
                let by = MappedBy { pid: signed(pid), start, end: start.saturating_add(len), root };
                dso.mapped_by.get_or_insert(by);
            }
            match file {
                MapFile::Inode(inode) if inode.ino != 0 => _ = dso.inode.get_or_insert(inode),
                MapFile::BuildId(Some(id)) => {
                    dso.mapped_id.get_or_insert(id);
                    dso.build_id = Some(id);
                }
                MapFile::Inode(_) | MapFile::BuildId(None) => {}
            }
        }
        if let MapFile::BuildId(Some(id)) = file {
            self.check_shared(dso, id);
        }
        let since = time.unwrap_or(0);
        let map = Map { start, end: start.saturating_add(len), pgoff, since, dso, prot, flags };
        let machine = self.machines.find_or_create(machine);
        if cpumode.is_kernel() {
            machine.map_kernel(map, self.round);
            self.touched.push(Touched::by(machine.pid, Space::Kernel, &map));
        } else {
            machine.map_process(signed(pid), map, self.round, &mut self.touched);
        }
    }

    /// The DSO that a BUILD_ID record names, made if it is new. `None` where its misc names no kind of DSO.
    pub fn dso_of_build_id(&mut self, misc: Misc, record: &BuildIdRecord<'_>) -> Option<DsoId> {
        let name = record.filename;
        let kind = match misc.cpumode() {
            CpuMode::Kernel | CpuMode::GuestKernel => match kernel_name(name) {
                Some(_) => DsoKind::Kernel,
                None => DsoKind::Module,
            },
            CpuMode::User | CpuMode::GuestUser => DsoKind::of_user_map(name),
            CpuMode::Unknown | CpuMode::Hypervisor => return None,
        };
        let name = kernel_name(name).filter(|_| kind == DsoKind::Kernel).unwrap_or(name);
        Some(self.dsos.find_or_create(record.pid, kind, name))
    }

    /// Takes in the id that a BUILD_ID record or an entry of a file's table carries. `None` where its misc names no
    /// kind of DSO.
    pub fn add_build_id(&mut self, misc: Misc, record: &BuildIdRecord<'_>) -> Option<DsoId> {
        let dso = self.dso_of_build_id(misc, record)?;
        self.dsos.get_mut(dso)?.build_id = Some(record.build_id.0);
        self.check_shared(dso, record.build_id.0);
        Some(dso)
    }

    /// Notes modules that the recording gives one id: there are perfs that give the first module's to all.
    fn check_shared(&mut self, id: DsoId, build_id: BuildId) {
        let named = |dso: &Dso| module_name(dso.name.as_bstr());
        let Some(dso) = self.dsos.get(id).filter(|dso| dso.kind == DsoKind::Module && !dso.shares_id) else {
            return;
        };
        let other = *self.module_of_id.entry(build_id).or_insert(id);
        let Some(other_dso) = self.dsos.get(other).filter(|other| named(other) != named(dso)) else { return };
        if !other_dso.shares_id {
            log::warn!(
                "the recording gives several modules one build-id, {} and {} among them: at most one is right",
                other_dso.name,
                dso.name
            );
        }
        for id in [id, other] {
            if let Some(dso) = self.dsos.get_mut(id) {
                dso.shares_id = true;
            }
        }
    }

    /// Which of the processes whose roots are known a process is, or descends from.
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

    /// The machine and the space that an address of a record is of; `None` in modes that have no maps.
    #[must_use]
    #[inline]
    pub fn space(&self, record: &RawRecord<'_>, cpumode: CpuMode, pid: u32) -> Option<(MachinePid, Space)> {
        let pid = signed(pid);
        match cpumode {
            CpuMode::Kernel => Some((HOST, Space::Kernel)),
            CpuMode::User => Some((HOST, Space::Process(pid))),
            CpuMode::GuestKernel => Some((self.guest(record, pid), Space::Kernel)),
            CpuMode::GuestUser => Some((self.guest(record, pid), Space::Process(pid))),
            CpuMode::Unknown | CpuMode::Hypervisor => None,
        }
    }

    /// The guest that a sample is of: the one of its id, or of its pid, or the one nobody named.
    fn guest(&self, sample: &RawRecord<'_>, pid: i32) -> MachinePid {
        let at = self.evlist.evsel(sample).and_then(|evsel| evsel.format.id_offset());
        let id = at.and_then(|at| sample.endian.u64_at(sample.bytes, at));
        let by_id = id.and_then(|id| self.guest_of_id.get(&id)).copied();
        by_id.unwrap_or_else(|| self.machines.guest_pid(pid))
    }

    /// The DSO at an address as of a time in ns; without one, as of now.
    #[must_use]
    #[inline]
    pub fn dso_at(&self, machine: MachinePid, space: Space, addr: u64, time: Option<u64>) -> Option<DsoId> {
        Some(self.machines.get(machine)?.find_map(space, addr, time)?.dso)
    }

    /// The map at an address as of a time in ns; without one, as of now.
    #[must_use]
    pub fn map_at(&self, machine: MachinePid, space: Space, addr: u64, time: Option<u64>) -> Option<&Map> {
        self.machines.get(machine)?.find_map(space, addr, time)
    }

    /// A DSO of this session.
    #[must_use]
    pub fn dso(&self, id: DsoId) -> Option<&Dso> {
        self.dsos.get(id)
    }
}

/// A feature that is one text: a length, and the text up to a NUL.
fn text(data: &[u8], endian: Endian) -> Option<&[u8]> {
    let len = usize::try_from(endian.u32_at(data, 0)?).ok()?;
    let text = data.get(4..)?.get(..len)?;
    text.get(..text.find_byte(0).unwrap_or(text.len()))
}

/// Records store pids as words; -1 stands for none.
fn signed(pid: u32) -> i32 {
    pid.cast_signed()
}
