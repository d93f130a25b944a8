//! The processes that have jitted code: the functions that each one's sources describe, and the code that its children
//! were born with.

use hashbrown::HashMap;
use perf_format::record::{Comm, Task, TimeConv};
use perf_format::{Misc, RawRecord};
use perf_session::{Error, Injection, Session};

use super::images::ProcessImages;
use super::images::output::ImageOutput;
use super::options::JitOptions;
use super::source::FunctionSource;
use super::source::find::{Marker, NoNames, inner_pid};
use super::source::jitdump::Dump;
use super::source::opened::Sources;
use super::source::perf_map::PerfMap;
use super::timeline::{LiveRange, LiveRangeId, Timeline, View};
use crate::limits::CHILDREN_AT_MOST;

/// How many generations of processes may share code that none of them made.
const GENERATIONS: usize = 8;

/// A process with jitted code: its sources, the timeline of its functions, and the images of those that were hit.
#[derive(Debug, Default)]
pub(super) struct JitProcess {
    pub(super) timeline: Timeline,
    pub(super) sources: Sources,
    pub(super) images: ProcessImages,
}

impl JitProcess {
    fn add_source(&mut self, source: Box<dyn FunctionSource>, now: u64) {
        self.sources.add(source);
        self.read_on(now);
    }

    /// Reads on in the sources; `now` is up to when the recording was read, in ns.
    fn read_on(&mut self, now: u64) {
        self.sources.read_on(&mut self.timeline, now);
    }

    /// Writes the images that are open.
    pub(super) fn close_images(
        &mut self,
        pid: i32,
        output: &mut ImageOutput,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        output.close(pid, &mut self.images, &self.timeline, &mut self.sources, inject)
    }
}

/// The live range at an address of a process, and the process whose code it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolved {
    pub(super) owner: i32,
    pub(super) range: LiveRangeId,
    /// When the code went to a child, in ns, if it is another's.
    pub(super) inherited: u64,
}

/// All processes that have jitted code, or may have some.
#[derive(Debug)]
pub(super) struct JitProcesses {
    options: JitOptions,
    by_pid: HashMap<i32, JitProcess>,
    /// Whose code processes were born with, and when, in ns.
    born: HashMap<i32, (i32, u64)>,
    /// By which pids children know themselves, where that is known and another one.
    inner: HashMap<i32, i32>,
    /// How the recording converts the processor's times.
    pub(super) conversion: Option<TimeConv>,
    /// Whether what is missing or damaged is somebody else's to report.
    is_quiet: bool,
}

impl JitProcesses {
    pub(super) fn new(options: JitOptions) -> Self {
        Self {
            options,
            by_pid: HashMap::new(),
            born: HashMap::new(),
            inner: HashMap::new(),
            conversion: None,
            is_quiet: false,
        }
    }

    /// The same, but what is missing or damaged is not reported.
    pub(super) fn quiet(self) -> Self {
        Self { is_quiet: true, ..self }
    }

    pub(super) fn options(&self) -> &JitOptions {
        &self.options
    }

    pub(super) fn get(&self, pid: i32) -> Option<&JitProcess> {
        self.by_pid.get(&pid)
    }

    pub(super) fn get_mut(&mut self, pid: i32) -> Option<&mut JitProcess> {
        self.by_pid.get_mut(&pid)
    }

    /// Adds a process, if it is new.
    pub(super) fn add(&mut self, pid: i32) -> &mut JitProcess {
        self.by_pid.entry(pid).or_default()
    }

    /// All processes, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, &JitProcess)> {
        self.by_pid.iter().map(|(pid, process)| (*pid, process))
    }

    /// The pids of the processes for which the predicate holds, in an order that is the same each time.
    pub(super) fn pids(&self, is_so: impl Fn(&JitProcess) -> bool) -> Vec<i32> {
        let mut pids: Vec<_> =
            self.iter().filter(|(_, process)| is_so(process)).map(|(pid, _)| pid).collect();
        pids.sort_unstable();
        pids
    }

    /// Whether a process may have jitted code, its own or that which it was born with.
    pub(super) fn may_have_code(&self, pid: i32) -> bool {
        self.by_pid.contains_key(&pid) || self.born.contains_key(&pid)
    }

    /// Whether it matters for the code of a process if memory is shared.
    pub(super) fn may_share(&self, pid: i32) -> bool {
        self.born.contains_key(&pid) || self.by_pid.get(&pid).is_some_and(|own| own.timeline.has_others())
    }

    /// The live range at an address of a process at a time in ns, in its own code, in that which it was born with, or, in
    /// memory that it shares, in all that those make which it was born with.
    pub(super) fn resolve(&self, pid: i32, addr: u64, time: u64, is_shared: bool) -> Option<Resolved> {
        let mut found = None;
        let born = self.born.get(&pid).map_or(0, |(_, born)| *born);
        self.each_view(pid, time, is_shared, |owner, view| {
            let timeline = &self.by_pid.get(&owner)?.timeline;
            let range = timeline.find(addr, view)?;
            let is_inherited = timeline.live_range(range).is_some_and(|range| range.since <= born);
            let inherited = if owner == pid {
                u64::MAX
            } else if is_inherited {
                view.own
            } else {
                0
            };
            found = Some(Resolved { owner, range, inherited });
            found.map(|_| ())
        });
        found
    }

    /// Whether a function that a process sees at a time in ns, or unwinding tables, have an address between two, the
    /// second not included.
    pub(super) fn is_between(&self, pid: i32, start: u64, end: u64, time: u64) -> bool {
        let mut is_between = false;
        self.each_view(pid, time, false, |owner, view| {
            let process = self.by_pid.get(&owner)?;
            let has_tables = owner == pid && process.images.has_tables_between(start, end);
            is_between = has_tables || process.timeline.is_between(start, end, view);
            is_between.then_some(())
        });
        is_between
    }

    /// What a process sees at a time in ns of its own timeline, and of those of the processes that it descends from, until
    /// something is found.
    fn each_view(
        &self,
        pid: i32,
        time: u64,
        is_shared: bool,
        mut find: impl FnMut(i32, &View) -> Option<()>,
    ) {
        let mut view = View { shared: is_shared.then_some(time), ..View::own(time) };
        let mut owner = pid;
        for _ in 0..GENERATIONS {
            if find(owner, &view).is_some() {
                return;
            }
            let Some(&(parent, born)) = self.born.get(&owner).filter(|(_, born)| *born <= view.own) else {
                return;
            };
            let inner = self.inner.get(&owner).copied().unwrap_or(owner);
            view.by.extend([(owner, view.own), (inner, view.own)]);
            (owner, view.own) = (parent, born);
        }
    }

    /// The live range that an address was resolved to.
    pub(super) fn live_range(&self, resolved: Resolved) -> Option<&LiveRange> {
        self.by_pid.get(&resolved.owner)?.timeline.live_range(resolved.range)
    }

    /// A process begins, with its parent's code unless a tool made the record up.
    pub(super) fn fork(&mut self, record: &RawRecord<'_>, session: &Session) -> Result<(), Error> {
        let task: Task = record.parse_as()?;
        let (pid, ppid) = (task.pid.cast_signed(), task.ppid.cast_signed());
        let Some(time) = session.evlist.time(record).filter(|time| *time != 0 && pid != ppid) else {
            return Ok(());
        };
        if let Some(process) = self.by_pid.get_mut(&pid) {
            process.timeline.end(time);
        }
        let inherits = self.may_have_code(ppid) && !record.misc().has(Misc::FORK_EXEC);
        if inherits && self.born.len() < CHILDREN_AT_MOST {
            self.born.insert(pid, (ppid, time));
            // In a namespace of pids, which a child of now tells while it runs.
            let is_inner = self.by_pid.get(&ppid).is_some_and(|parent| parent.sources.is_inner());
            if let Some(inner) = is_inner.then(|| inner_pid(pid.cast_unsigned())).flatten() {
                self.inner.insert(pid, inner.cast_signed());
            }
        } else {
            self.born.remove(&pid);
        }
        Ok(())
    }

    /// A process executes another program: its code is gone.
    pub(super) fn exec(&mut self, record: &RawRecord<'_>, session: &Session) -> Result<(), Error> {
        if !record.misc().has(Misc::COMM_EXEC) {
            return Ok(());
        }
        let comm: Comm<'_> = record.parse_as()?;
        let pid = comm.pid.cast_signed();
        self.born.remove(&pid);
        if let (Some(process), Some(time)) = (self.by_pid.get_mut(&pid), session.evlist.time(record)) {
            process.timeline.end(time);
        }
        Ok(())
    }

    /// A process maps its dump, so that perf records where it is: the dump is opened, unless it was before.
    pub(super) fn mark(&mut self, marker: &Marker, session: &Session) -> Result<(), Error> {
        let sources = &mut self.add(marker.pid).sources;
        if sources.is_marked_by(marker) {
            return Ok(());
        }
        sources.mark(marker);
        self.open_dump(marker, session, true)
    }

    /// Opens the dump of a process. One that is still to be begun is opened again later, while `it_may_begin`.
    fn open_dump(&mut self, marker: &Marker, session: &Session, it_may_begin: bool) -> Result<(), Error> {
        let JitOptions { finder, guess_clock, .. } = &self.options;
        let opened = Dump::open(marker, finder, self.conversion.as_ref(), session, *guess_clock);
        let pid = marker.pid;
        let Some(process) = self.by_pid.get_mut(&pid) else { return Ok(()) };
        match opened {
            Ok(dump) => {
                log::debug!("jitdump found for process {pid}: {}", dump.path().display());
                process.add_source(Box::new(dump), now(session));
                self.report_damage(pid)
            }
            Err(why) if it_may_begin && why.is_yet_to_begin() => {
                process.sources.yet_to_begin = Some(marker.clone());
                Ok(())
            }
            Err(why) => {
                process.sources.missing = Some(why.to_string());
                self.report_missing(pid, &why)
            }
        }
    }

    /// Looks for the perf map of a process that a sample hit outside all files.
    pub(super) fn seek_perf_map(&mut self, pid: i32, session: &Session) {
        let process = self.by_pid.entry(pid).or_default();
        if std::mem::replace(&mut process.sources.has_sought_perf_map, true) {
            return;
        }
        match PerfMap::open(pid, process.sources.inner(), &self.options.finder) {
            Ok(map) => {
                log::debug!("perf map found for process {pid}: {}", map.path().display());
                process.add_source(Box::new(map), now(session));
            }
            // Most processes have none.
            Err(why) if why.is_missing() => {}
            Err(why) => {
                log::warn!("no names for the jitted code of process {pid}: {why}");
                process.sources.missing.get_or_insert(why.to_string());
            }
        }
    }

    /// Reads on in the sources of a process, and of those that it descends from.
    pub(super) fn read_on(&mut self, pid: i32, session: &Session, it_may_begin: bool) -> Result<(), Error> {
        let mut of = pid;
        for _ in 0..GENERATIONS {
            if let Some(process) = self.by_pid.get_mut(&of) {
                match process.sources.yet_to_begin.take() {
                    Some(marker) => self.open_dump(&marker, session, it_may_begin)?,
                    None => process.read_on(now(session)),
                }
            }
            // A dump may be one of several processes.
            let Some((parent, _)) = self.born.get(&of) else { break };
            of = *parent;
        }
        Ok(())
    }

    /// Notes where the dumps of a process end inside a record, at the end of a run.
    pub(super) fn note_cut(&mut self, pid: i32) {
        if let Some(process) = self.by_pid.get_mut(&pid) {
            process.sources.note_cut();
        }
    }

    /// Reports, with a warning, or with `strict` an error, that no process had a source of the kind that was asked for.
    pub(super) fn report_nothing_found(&self) -> Result<(), Error> {
        let has_dump = self.iter().any(|(_, process)| process.sources.is_marked());
        let has_any = self.iter().any(|(_, process)| !process.sources.is_empty());
        let JitOptions { dumps, perf_maps, .. } = self.options;
        if has_dump || has_any && perf_maps {
            return Ok(());
        }
        let what = match (dumps, perf_maps) {
            (true, true) => {
                "no process of the recording has mapped a jitdump (jit-PID.dump), and there is no perf map \
                             (perf-PID.map) of one whose samples lie in no file"
            }
            (true, false) => {
                "no process of the recording has mapped a jitdump (jit-PID.dump): its runtime has to write \
                              one while it is recorded (node --perf-prof, python -X perf_jit, java with \
                              libperf-jvmti.so), and --perf-map reads perf maps"
            }
            (false, _) => {
                "there is no perf map (/tmp/perf-PID.map) of a process whose samples lie in no file: its \
                           runtime has to write one (node --perf-basic-prof, python -X perf, DOTNET_PerfMapEnabled=1), \
                           and it is looked for here and in --jitdump-dir"
            }
        };
        self.report(format!("no names for jitted code: {what}"))
    }

    /// Reports a dump that cannot be read, with a warning, or with `strict` an error.
    fn report_missing(&self, pid: i32, why: &NoNames) -> Result<(), Error> {
        self.report(format!("no names for the jitted code of process {pid}: {why}"))
    }

    /// Reports what is wrong with the dumps of a process, once, with a warning, or with `strict` an error.
    pub(super) fn report_damage(&mut self, pid: i32) -> Result<(), Error> {
        let damage = self.by_pid.get_mut(&pid).and_then(|process| process.sources.take_damage());
        let Some(damage) = damage else { return Ok(()) };
        self.report(format!("not all names for the jitted code of process {pid}: {damage}"))
    }

    fn report(&self, what: String) -> Result<(), Error> {
        if self.is_quiet {
            return Ok(());
        }
        if self.options.strict {
            return Err(Error::Tool(what.into()));
        }
        log::warn!("{what}");
        Ok(())
    }
}

/// Up to when a recording was read, in ns.
fn now(session: &Session) -> u64 {
    session.recording.times.last.unwrap_or(0)
}
