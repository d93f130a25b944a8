//! `--jit` and `--perf-map`: names for code that processes made as they ran. Of the functions that their dumps tell of,
//! those that a sample or a call chain hits go into an ELF image, and each is told by an MMAP2 record in front of the
//! first record that hits it.

use std::fs::File;

use bstr::{BString, ByteSlice as _};
use hashbrown::HashMap;
use perf_format::attr::SampleType;
use perf_format::jitdump::JitDump;
use perf_format::record::{BuildIdRecord, Comm, Inode, MapFile, Mmap2, SizedBuildId, Task, TimeConv};
use perf_format::{BuildId, CpuMode, Misc, RawRecord, Record, RecordType};
use perf_session::dso::{Dso, DsoKind};
use perf_session::machine::HOST;
use perf_session::{AddressSpace, Error, Event, Injection, RecordSet, Session, Tool, Verdict};

mod arrange;
mod clock;
mod code;
mod dump;
mod early;
mod find;
mod look_up;
mod perf_map;
mod process;
mod summary;

use clock::Clock;
use code::Place;
use dump::Dump;
use early::Early;
use find::Marker;
pub use find::{Finder, NoNames};
pub use jit_image::{ImageError, Written};
use look_up::{Asked, Found};
use process::{Keep, Process, Source, Tables, Told};
pub use summary::JitSummary;

use crate::announce::{Announcement, Announcer};
use crate::limits::CHILDREN_AT_MOST;
use crate::watermark::ReorderWatermark;

/// What `--jit` and `--perf-map` ask for.
#[derive(Debug, Clone, Default)]
pub struct JitOptions {
    /// Names from jitdumps.
    pub dumps: bool,
    /// Names from perf maps.
    pub perf_maps: bool,
    /// An image for each function, and not for each process.
    pub per_function: bool,
    /// A dump that is missing or bad ends the run.
    pub strict: bool,
    /// Where the recording has another clock than a dump, how much they differ is estimated.
    pub guess_clock: bool,
    /// Where dumps are, and whose are read.
    pub finder: Finder,
}

/// Where images are put.
pub trait Images: std::fmt::Debug + Send {
    /// The name by which a reader of the recording finds the file that has this name here: a path from the root.
    fn path(&self, name: &str) -> BString;

    /// Whether nothing has that name. What is there may belong to another recording, and stays.
    fn is_free(&self, name: &str) -> bool;

    /// Makes a new file of that name, which has the name when it is whole.
    ///
    /// # Errors
    /// Where that cannot be done.
    fn write(
        &mut self,
        name: &str,
        fill: &mut dyn FnMut(&mut File) -> Result<Written, ImageError>,
    ) -> Result<Written, ImageError>;
}

/// Gives names to samples in jitted code.
#[derive(Debug)]
pub struct Jit {
    options: JitOptions,
    images: Box<dyn Images>,
    /// Whether a reader may look for an image as soon as a round is over.
    read_at_once: bool,
    processes: HashMap<i32, Process>,
    early: Early,
    /// Whose code processes were born with, and when, in ns.
    born: HashMap<i32, (i32, u64)>,
    conversion: Option<TimeConv>,
    watermark: ReorderWatermark,
    addresses: Vec<u64>,
    /// The images that are written, and their ids.
    ids: Vec<(BString, BuildId)>,
}

impl Jit {
    /// Names that go into images there; with `read_at_once` an image is closed with each round, since a reader may want
    /// it then.
    #[must_use]
    pub fn new(options: JitOptions, images: Box<dyn Images>, read_at_once: bool) -> Self {
        Self {
            options,
            images,
            read_at_once,
            processes: HashMap::new(),
            early: Early::default(),
            born: HashMap::new(),
            conversion: None,
            watermark: ReorderWatermark::default(),
            addresses: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// What was found, by process.
    #[must_use]
    pub fn summary(&self) -> Vec<JitSummary> {
        let mut all: Vec<_> =
            self.processes.iter().filter_map(|(pid, process)| process.summary(*pid)).collect();
        all.sort_by_key(|process| process.pid);
        all
    }

    /// The images' ids, as entries of a table.
    pub fn for_table(&self) -> impl Iterator<Item = (Misc, BuildIdRecord<'_>)> {
        self.ids.iter().map(|(name, id)| (Misc::of(CpuMode::User), build_id(name, *id)))
    }

    /// A dump or map cannot be read: that is said, or the end.
    fn no_names(&self, pid: i32, why: &NoNames) -> Result<(), Error> {
        if self.options.strict {
            return Err(Error::Tool(format!("no names for the jitted code of process {pid}: {why}").into()));
        }
        log::warn!("no names for the jitted code of process {pid}: {why}");
        Ok(())
    }

    /// What is wrong with the dumps of a process is said once, or the end.
    fn tell_damage(&mut self, pid: i32) -> Result<(), Error> {
        let Some(damage) = self.processes.get_mut(&pid).and_then(Process::take_damage) else { return Ok(()) };
        let told = format!("not all names for the jitted code of process {pid}: {damage}");
        if self.options.strict {
            return Err(Error::Tool(told.into()));
        }
        log::warn!("{told}");
        Ok(())
    }

    /// A process maps something: its dump, so that its profiler sees it, or memory for its code.
    fn map(
        &mut self,
        event: &Event<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        let map = Mmap2::of_record(record)?;
        if record.misc().cpumode() != CpuMode::User {
            return Ok(Verdict::Repipe);
        }
        let pid = map.pid.cast_signed();
        let marker = Marker::of(&map, session.evlist.time(record)).filter(|_| self.options.dumps);
        if let Some(marker) = marker {
            self.marker(&marker, session)?;
            self.tell_early(pid, record, session, inject)?;
            return Ok(Verdict::Repipe);
        }
        let mapped = event.changes.mapped_dso().and_then(|dso| session.dso(dso));
        if !mapped.is_some_and(is_anonymous) {
            return Ok(Verdict::Repipe);
        }
        self.read_on(pid, session, true)?;
        let Some(process) = self.processes.get(&pid) else { return Ok(Verdict::Repipe) };
        // A reader would take what stands there later for what is there.
        let time = session.evlist.time(record).unwrap_or(u64::MAX);
        let end = map.start.saturating_add(map.len);
        let covers =
            process.code.is_between(map.start, end, time) || process.has_tables_between(map.start, end);
        Ok(if covers { Verdict::Drop } else { Verdict::Repipe })
    }

    fn marker(&mut self, marker: &Marker, session: &Session) -> Result<(), Error> {
        let process = self.processes.entry(marker.pid).or_default();
        if process.is_marked_by(marker) {
            return Ok(());
        }
        process.mark(marker);
        self.begin(marker, session, true)
    }

    /// Opens the dump of a process. One that is still to be begun is opened again later, while `it_may_begin`.
    fn begin(&mut self, marker: &Marker, session: &Session, it_may_begin: bool) -> Result<(), Error> {
        let opened = self.open_dump(marker, session);
        let pid = marker.pid;
        let Some(process) = self.processes.get_mut(&pid) else { return Ok(()) };
        match opened {
            Ok(dump) => {
                log::debug!("jitdump found for process {pid}: {}", dump.path.display());
                process.add(Source::Dump(Box::new(dump)));
                process.read_on();
                self.tell_damage(pid)
            }
            Err(why) if it_may_begin && why.is_yet_to_begin() => {
                process.yet_to_begin = Some(marker.clone());
                Ok(())
            }
            Err(why) => {
                process.missing = Some(why.to_string());
                self.no_names(pid, &why)
            }
        }
    }

    /// Reads on what tells of a process's functions.
    fn read_on(&mut self, pid: i32, session: &Session, it_may_begin: bool) -> Result<(), Error> {
        let Some(process) = self.processes.get_mut(&pid) else { return Ok(()) };
        if let Some(marker) = process.yet_to_begin.take() {
            return self.begin(&marker, session, it_may_begin);
        }
        process.read_on();
        Ok(())
    }

    fn open_dump(&self, marker: &Marker, session: &Session) -> Result<Dump, NoNames> {
        let (file, path) = self.options.finder.dump(marker)?;
        let mut dump = match JitDump::open(file) {
            Ok(dump) => dump,
            Err(source) => return Err(NoNames::Damaged { path, source }),
        };
        let header = dump.header();
        if header.pid != marker.inner {
            return Err(NoNames::OtherProcess { path, pid: header.pid });
        }
        let guess = self.options.guess_clock;
        let first = Dump::first_time(&mut dump);
        match Clock::of(&header, first, self.conversion.as_ref(), session, marker.time, guess) {
            Ok(clock) => Ok(Dump::new(dump, path, clock)),
            Err(why) => Err(NoNames::Clock { path, why }),
        }
    }

    /// A process begins, with its parent's code unless a tool made the record up.
    fn fork(&mut self, record: &RawRecord<'_>, session: &Session) -> Result<(), Error> {
        let task: Task = record.parse_as()?;
        let (pid, ppid) = (task.pid.cast_signed(), task.ppid.cast_signed());
        let Some(time) = session.evlist.time(record).filter(|time| *time != 0 && pid != ppid) else {
            return Ok(());
        };
        if let Some(process) = self.processes.get_mut(&pid) {
            process.code.end(time);
        }
        let has_code = self.processes.contains_key(&ppid) || self.born.contains_key(&ppid);
        if has_code && !record.misc().has(Misc::FORK_EXEC) && self.born.len() < CHILDREN_AT_MOST {
            self.born.insert(pid, (ppid, time));
        } else {
            self.born.remove(&pid);
        }
        Ok(())
    }

    /// A process executes another program: its code is gone.
    fn exec(&mut self, record: &RawRecord<'_>, session: &Session) -> Result<(), Error> {
        if !record.misc().has(Misc::COMM_EXEC) {
            return Ok(());
        }
        let comm: Comm<'_> = record.parse_as()?;
        let pid = comm.pid.cast_signed();
        self.born.remove(&pid);
        if let (Some(process), Some(time)) = (self.processes.get_mut(&pid), session.evlist.time(record)) {
            process.code.end(time);
        }
        Ok(())
    }

    /// Tells a function, in memory that was mapped at a time in ns. It gets the time at which it was made, as far as
    /// readers still take that.
    fn tell(
        &mut self,
        found: Found,
        mapped: u64,
        asked: &Asked<'_, '_>,
        inject: &mut Injection<'_>,
    ) -> Result<bool, Error> {
        let Asked { pid, time, record, format, session, .. } = *asked;
        let per_function = self.options.per_function;
        let Found { owner, place, inherited } = found;
        let announcer = Announcer::new(record, session, &self.watermark, AddressSpace::Process(pid), time);
        let Some(announcer) = announcer else { return Ok(false) };
        let mut announcer = announcer.not_before(if owner == pid { 0 } else { inherited });
        let Some(process) = self.processes.get_mut(&owner) else { return Ok(false) };
        let Some(&Place { start, end, since, .. }) = process.code.places.get(place) else { return Ok(false) };
        let marked_at = process.marked_at();
        let host = session.machines.host();
        let how = Keep {
            pid: owner,
            machine: jit_image::machine_of_arch(session.recording.arch.as_deref().map_or(&[], Vec::as_slice)),
            per_function,
            as_in_memory: !per_function && format.sample_type.contains(SampleType::STACK_USER),
            is_free: &|range| host.is_empty_between(AddressSpace::Process(owner), range.start, range.end - 1),
            images: &*self.images,
        };
        let Some(Told { image, offset, tables }) = process.keep(place, &how) else { return Ok(false) };
        let mut announce = |since: u64, start, len, pgoff| {
            let map = Announcement {
                start,
                len,
                pgoff,
                file: MapFile::Inode(Inode::default()),
                prot: Mmap2::PROT_READ | Mmap2::PROT_EXEC,
                flags: Mmap2::MAP_PRIVATE,
                filename: image.as_bstr(),
            };
            let time = announcer.time(since);
            announcer.announce(&map, Some(time), inject).map(|()| time)
        };
        if let Some(Tables { start, len, offset }) = tables {
            // Of functions that are older, and are told later, as well.
            announce(marked_at, start, len, offset)?;
        }
        let told = announce(since.max(mapped), start, end - start, offset)?;
        if owner != pid {
            self.processes.entry(pid).or_default().told_of_others.insert((owner, place));
        } else if let Some(place) = process.code.places.get_mut(place) {
            place.told = Some(told);
        }
        if per_function { self.close_images_of(owner, inject).map(|()| true) } else { Ok(true) }
    }

    /// Writes the images of a process that are open.
    fn close_images_of(&mut self, pid: i32, inject: &mut Injection<'_>) -> Result<(), Error> {
        let Some(process) = self.processes.get_mut(&pid) else { return Ok(()) };
        while let Some((name, written)) = process.close_image(&mut *self.images) {
            let Written { build_id: id, without_unwinding, .. } =
                written.map_err(|source| Error::Tool(Box::new(NoImage { name: name.clone(), source })))?;
            log::debug!("code of process {pid} written to {name}: {id}");
            if without_unwinding > 0 {
                log::debug!("the unwinding tables of {without_unwinding} functions in {name} cannot be read");
            }
            if self.read_at_once {
                inject.inject(Misc::of(CpuMode::User), &Record::BuildId(build_id(name, id)))?;
            }
            self.ids.push((name.clone(), id));
        }
        Ok(())
    }

    fn close_images(&mut self, inject: &mut Injection<'_>) -> Result<(), Error> {
        for pid in self.pids(Process::has_open_images) {
            self.close_images_of(pid, inject)?;
        }
        Ok(())
    }

    /// Those of which something is so, in an order that is the same each time.
    fn pids(&self, is_so: impl Fn(&Process) -> bool) -> Vec<i32> {
        let those = self.processes.iter().filter(|(_, process)| is_so(process));
        let mut pids: Vec<_> = those.map(|(pid, _)| *pid).collect();
        pids.sort_unstable();
        pids
    }
}

/// An image that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {name}")]
struct NoImage {
    name: BString,
    source: ImageError,
}

/// How the names of memory begin that is a file's, but no file that anybody finds.
const MEMFD: &[u8] = b"/memfd:";

/// Whether what is mapped is memory that jitted code may be in.
fn is_anonymous(dso: &Dso) -> bool {
    dso.kind == DsoKind::Anonymous || dso.name.starts_with(MEMFD)
}

fn build_id(name: &BString, id: BuildId) -> BuildIdRecord<'_> {
    BuildIdRecord { pid: HOST, build_id: SizedBuildId(id), filename: name.as_bstr() }
}

impl Tool for Jit {
    fn wants(&self) -> RecordSet {
        ReorderWatermark::WANTS.union(RecordSet::of(&[RecordType::CALLCHAIN_DEFERRED, RecordType::TIME_CONV]))
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        let mut verdict = Verdict::Repipe;
        match record.record_type() {
            RecordType::MMAP | RecordType::MMAP2 => verdict = self.map(event, session, inject)?,
            RecordType::SAMPLE | RecordType::CALLCHAIN_DEFERRED => match self.hits(record, session, inject) {
                Err(Error::Format(error @ perf_format::Error::Malformed { .. })) => {
                    session.anomalies.malformed(record, &error);
                }
                done => done?,
            },
            RecordType::TIME_CONV => match record.parse_as() {
                Ok(conversion) => self.conversion = Some(conversion),
                Err(error) => session.anomalies.malformed(record, &error),
            },
            RecordType::FORK => self.fork(record, session)?,
            RecordType::COMM => self.exec(record, session)?,
            RecordType::FINISHED_ROUND => {
                self.early.finish_round();
                if self.read_at_once {
                    self.close_images(inject)?;
                }
            }
            _ => {}
        }
        self.watermark.pass(record, session);
        Ok(verdict)
    }

    fn finish(&mut self, session: &mut Session, inject: &mut Injection<'_>) -> Result<(), Error> {
        self.close_images(inject)?;
        for pid in self.pids(|_| true) {
            self.read_on(pid, session, false)?;
            let Some(process) = self.processes.get_mut(&pid) else { continue };
            let late = process.told_late();
            if late > 0 {
                log::warn!(
                    "of {late} functions process {pid} told when samples had passed that hit them: let the output go \
                     through inject --jit once more"
                );
            }
            self.tell_damage(pid)?;
        }
        Ok(())
    }
}
