//! The session: what the records so far add up to. It reads nothing and writes nothing.

use bstr::{BStr, BString, ByteSlice as _};
use hashbrown::HashMap;
use perf_format::record::{
    BuildIdRecord, Comm, HeaderAttr, HeaderFeature, IdIndex, MapFile, Mmap, Mmap2, Task as TaskRecord,
};
use perf_format::{CpuMode, Endian, Feature, Inflater, Misc, RawRecord, RecordType};

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
    round: Round,
    guest_of_id: HashMap<u64, MachinePid>,
    touched: Vec<Touched>,
    pub(crate) inflater: Option<Inflater>,
}

/// What a recording says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recording {
    /// The release of the kernel that it was made on (`uname -r`).
    pub release: Option<BString>,
}

impl Recording {
    /// Takes in a feature.
    pub(crate) fn feature(&mut self, feature: Feature, data: &[u8], endian: Endian) {
        if feature == Feature::OSRELEASE {
            self.release = text(data, endian).map(BString::from);
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
            RecordType::MMAP => {
                let Mmap { pid, start, len, pgoff, filename, .. } = record.parse_as()?;
                let executable = !record.misc().has(Misc::MMAP_DATA);
                self.map(record, pid, Range { start, len, pgoff, executable }, filename, None);
            }
            RecordType::MMAP2 => {
                let Mmap2 { pid, start, len, pgoff, filename, file, prot, flags, .. } = record.parse_as()?;
                let executable = prot & PROT_EXEC != 0;
                // Huge pages are of no file, whatever name they have.
                let filename = if flags & MAP_HUGETLB != 0 { "//anon".into() } else { filename };
                self.map(record, pid, Range { start, len, pgoff, executable }, filename, Some(file));
            }
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
                let host = self.machines.find_or_create(HOST);
                host.fork(task, clone_maps, time, self.round, &mut self.touched);
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

    fn map(&mut self, record: &RawRecord<'_>, pid: u32, range: Range, name: &BStr, file: Option<MapFile>) {
        let Range { start, len, pgoff, executable } = range;
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
        let name = if self.jit_names && kind == DsoKind::NoDso && executable {
            jit_name = BString::from(format!("/tmp/perf-{}.map", signed(pid)));
            jit_name.as_bstr()
        } else {
            name
        };
        let time = self.evlist.time(record);
        let dso = self.dsos.find_or_create(machine, kind, name);
        if let Some(dso) = self.dsos.get_mut(dso) {
            // A tool that lists what was there before the recording has no time for it.
            dso.mapped_at = dso.mapped_at.or(time.filter(|time| *time != 0));
            if !cpumode.is_kernel() {
                let by = MappedBy { pid: signed(pid), start, end: start.saturating_add(len) };
                dso.mapped_by.get_or_insert(by);
            }
            if kind == DsoKind::Kernel && pgoff != 0 {
                dso.reference = dso.reference.or(Some(pgoff));
            }
            match file {
                Some(MapFile::Inode(inode)) => _ = dso.inode.get_or_insert(inode),
                Some(MapFile::BuildId(Some(id))) => dso.build_id = Some(id),
                Some(MapFile::BuildId(None)) | None => {}
            }
        }
        let since = time.unwrap_or(0);
        let map = Map { start, end: start.saturating_add(len), pgoff, since, dso };
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
        Some(dso)
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

    /// A DSO of this session.
    #[must_use]
    pub fn dso(&self, id: DsoId) -> Option<&Dso> {
        self.dsos.get(id)
    }
}

/// What of an address range a map record says.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: u64,
    len: u64,
    pgoff: u64,
    executable: bool,
}

/// A feature that is one text: a length, and the text up to a NUL.
fn text(data: &[u8], endian: Endian) -> Option<&[u8]> {
    let len = usize::try_from(endian.u32_at(data, 0)?).ok()?;
    let text = data.get(4..)?.get(..len)?;
    text.get(..text.find_byte(0).unwrap_or(text.len()))
}

/// `PROT_EXEC` and `MAP_HUGETLB` of mmap(2).
const PROT_EXEC: u32 = 4;
const MAP_HUGETLB: u32 = 0x4_0000;

/// Records store pids as words; -1 stands for none.
fn signed(pid: u32) -> i32 {
    pid.cast_signed()
}
