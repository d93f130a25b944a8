//! Off-CPU time: where threads sleep, and where they wait for a CPU, out of context switches alone. For each stretch of time
//! that a thread is off CPU there is a sample with the call chain at which it left, and how long it was away for its period.

use perf_format::attr::AttrFlags;
use perf_format::record::{Misc, Task};
use perf_format::sample::Cpu;
use perf_format::{Batch, Endian, RawRecord, RecordType, SampleId};
use perf_session::{Error, Event, Injection, RecordSet, Session, Tool, Verdict};

use self::draft::{DraftLayout, DraftPlaces, write_nowhere};
pub(crate) use self::events::AddedEvents;
use self::threads::{OffTime, Threads};
use crate::limits::CPUS_AT_MOST;
use crate::sched_events::{Left, Role, Roles, SchedError, thread};
use crate::time_queue::{Due, TimeQueue};

mod draft;
mod events;
mod threads;

/// What off-CPU samples are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OffCpuOptions {
    /// The shortest time off CPU that gets a sample, in ns.
    pub min_sleep: u64,
    /// Whether threads that do not come back before the recording ends get samples up to its end.
    pub open_sleeps: bool,
}

/// What became of the time that threads were off CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OffCpuSummary {
    /// Threads that were off CPU for a time that is known.
    pub threads: u64,
    /// How many times they slept.
    pub sleeps: u64,
    /// How many times they were preempted.
    pub preempted: u64,
    /// Time asleep, in ns; without wakeups in the recording, until the thread ran.
    pub blocked: u64,
    /// Time that threads waited for a CPU, in ns.
    pub runnable: u64,
    /// Of the sleeps and preemptions, those that were shorter than [`OffCpuOptions::min_sleep`] and got no sample.
    pub short: u64,
    /// How long these were, in ns.
    pub short_time: u64,
    /// Threads that were off CPU at the end of the recording.
    pub open: u64,
    /// Times unknown because records were lost.
    pub lost: u64,
    /// Threads that left a CPU before the recording began, or began themselves.
    pub first_seen: u64,
    /// Times unknown because nothing says when the thread came back.
    pub unseen: u64,
    /// Switches whose times went backwards.
    pub backwards: u64,
    /// Sleeps and preemptions that got no sample for want of memory.
    pub unshown: u64,
}

/// Injects off-CPU samples.
#[derive(Debug)]
pub(crate) struct OffCpu {
    options: OffCpuOptions,
    /// Where the preamble of a pipe is, whose records pass here.
    stage: Stage,
    events: Option<AddedEvents>,
    /// Where in a sample of these stands what is written last.
    places: Option<DraftPlaces>,
    roles: Option<Roles>,
    /// How drafts are made of each event's samples, by the number of the event.
    drafts: Vec<DraftLayout>,
    /// Whether `sched_switch` says when threads leave, and where; otherwise SWITCH records do.
    is_traced: bool,
    queue: TimeQueue<Entry>,
    threads: Threads,
    /// When each CPU's last record was made, in ns, by the CPU's number.
    last_on_cpu: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Attrs may come.
    Attrs,
    /// The attrs of the added events are out, their names are not.
    Features,
    /// All is out, or in the preamble.
    Records,
}

/// What a record says of threads, until that is sorted in. The bytes of those that say where a thread is are a draft.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Switch { prev: u32, next: u32, left: Left },
    Left { tid: u32, left: Left },
    Came { tid: u32 },
    Woken { tid: u32 },
    IsAt { tid: u32 },
    Ended { tid: u32 },
    LossBegins,
    LossEnds,
}

impl OffCpu {
    /// A tool that adds its events to a pipe as it passes, or one whose events are in the preamble already.
    pub(crate) fn new(options: OffCpuOptions, events: Option<AddedEvents>) -> Self {
        Self {
            options,
            stage: if events.is_some() { Stage::Records } else { Stage::Attrs },
            events,
            places: None,
            roles: None,
            drafts: Vec::new(),
            is_traced: false,
            queue: TimeQueue::default(),
            threads: Threads::default(),
            last_on_cpu: Vec::new(),
        }
    }

    /// What became of the time that threads were off CPU.
    pub(crate) fn summary(&self) -> OffCpuSummary {
        self.threads.summary
    }

    /// Finds the events that say when threads leave.
    fn set_up(&mut self, session: &Session) -> Result<(), SchedError> {
        // A pipe has names behind its attrs.
        events::check_once(&session.evlist)?;
        let roles = Roles::of(&session.evlist)?;
        self.is_traced = roles.any(|role| matches!(role, Role::Switch(_)));
        let evsels = session.evlist.evsels();
        if !self.is_traced && !evsels.iter().any(|evsel| evsel.attr.has(AttrFlags::CONTEXT_SWITCH)) {
            return Err(SchedError::NoSwitches);
        }
        if let Some(AddedEvents { format, .. }) = &self.events {
            self.drafts = evsels.iter().map(|evsel| DraftLayout::new(evsel.format, *format)).collect();
        }
        self.roles = Some(roles);
        Ok(())
    }

    /// Adds the events to a pipe's preamble, behind its attrs and its features.
    fn preamble(
        &mut self,
        record: &RawRecord<'_>,
        session: &Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        if record.record_type() == RecordType::HEADER_ATTR {
            return Ok(Verdict::Repipe);
        }
        if self.stage == Stage::Attrs {
            let events = AddedEvents::of(&session.evlist)?;
            events.inject_attrs(inject)?;
            self.events = Some(events);
            self.stage = Stage::Features;
        }
        let Some(events) = &self.events else { return Ok(Verdict::Repipe) };
        match record.record_type() {
            RecordType::HEADER_FEATURE => events.describe(record, inject),
            RecordType::TRACING_DATA => Ok(Verdict::Repipe),
            _ => {
                events.inject_names(inject)?;
                self.stage = Stage::Records;
                Ok(Verdict::Repipe)
            }
        }
    }

    /// Whether all events have their roles.
    fn is_set_up(&self, session: &Session) -> bool {
        self.roles.as_ref().is_some_and(|roles| roles.are_of(&session.evlist))
    }

    /// Queues what a sample says of threads.
    ///
    /// # Errors
    /// Where its fields do not fit in it; then it says nothing.
    #[inline]
    fn sample(&mut self, record: &RawRecord<'_>, session: &Session) -> Result<(), perf_format::Error> {
        let Some((evsel, role)) = self.roles.as_ref().and_then(|roles| roles.of_sample(record, session))
        else {
            return Ok(());
        };
        let (format, draft) = (&evsel.format, self.drafts.get(evsel.number));
        let Some(time) = self.queue.note_time(format.time(record)) else { return Ok(()) };
        if let Some(cpu) = draft.and_then(|layout| layout.cpu) {
            note_cpu(&mut self.last_on_cpu, record.endian.u32_at(record.bytes, cpu), time);
        }
        let queue = &mut self.queue;
        let mut push_at = |entry| {
            queue.push_with(time, entry, |out| draft?.write(record, out));
        };
        let raw = || format.raw(record).map(Option::unwrap_or_default);
        match role {
            Role::Other | Role::Stat(_) if self.is_traced => {}
            Role::Other | Role::Stat(_) => {
                if let Some(tid) = format.tid(record) {
                    push_at(Entry::IsAt { tid: tid.tid });
                }
            }
            Role::Exit => {
                if let Some(tid) = format.tid(record) {
                    queue.push(time, Entry::Ended { tid: tid.tid });
                }
            }
            Role::Switch(fields) => {
                if let Some((prev, left, next)) = fields.switched(raw()?) {
                    let entry = Entry::Switch { prev, next, left };
                    match (prev, left) {
                        // Nobody wants to know where an idle CPU or a dead thread was.
                        (0, _) | (_, Left::Dead) => queue.push(time, entry),
                        _ => push_at(entry),
                    }
                }
            }
            Role::Waking(pid) => {
                if let Some(tid) = thread(pid, raw()?) {
                    queue.push(time, Entry::Woken { tid });
                }
            }
        }
        Ok(())
    }

    /// What another record of the kernel says of threads.
    fn other(&mut self, record: &RawRecord<'_>, session: &Session) -> Result<(), Error> {
        let Some(time) = self.queue.note(record, session) else { return Ok(()) };
        let Some(format) = session.evlist.evsel(record).map(|evsel| &evsel.format) else { return Ok(()) };
        match record.record_type() {
            RecordType::EXIT => self.queue.push(time, Entry::Ended { tid: record.parse_as::<Task>()?.tid }),
            RecordType::LOST => {
                let cpu = SampleId::parse(format, record)?.cpu;
                let from = cpu.and_then(|Cpu { cpu, .. }| self.last_on_cpu.get(usize::try_from(cpu).ok()?));
                self.queue.push(from.copied().unwrap_or(0).min(time), Entry::LossBegins);
                self.queue.push(time, Entry::LossEnds);
            }
            RecordType::SWITCH | RecordType::SWITCH_CPU_WIDE => {
                let SampleId { tid, cpu, .. } = SampleId::parse(format, record)?;
                let (Some(tid), Some(AddedEvents { format, .. })) = (tid, &self.events) else {
                    return Ok(());
                };
                note_cpu(&mut self.last_on_cpu, cpu.map(|cpu| cpu.cpu), time);
                if !record.misc().has(Misc::SWITCH_OUT) {
                    self.queue.push(time, Entry::Came { tid: tid.tid });
                } else if !self.is_traced {
                    let is_preempted = record.misc().has(Misc::SWITCH_OUT_PREEMPT);
                    let left = if is_preempted { Left::Runnable } else { Left::Asleep };
                    let entry = Entry::Left { tid: tid.tid, left };
                    self.queue
                        .push_with(time, entry, |out| write_nowhere(tid, cpu, format, record.endian, out));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes in what is due, and injects the samples that it makes.
    fn take_in(&mut self, due: Due<Entry>, inject: &mut Injection<'_>) {
        for (time, entry, draft) in due.iter() {
            let came = match entry {
                Entry::Switch { prev, next, left } => {
                    self.threads.left(prev, time, left, draft);
                    Some(next)
                }
                Entry::Came { tid } => Some(tid),
                Entry::Left { tid, left } => {
                    self.threads.left(tid, time, left, draft);
                    None
                }
                Entry::Woken { tid } => {
                    self.threads.woken(tid, time);
                    None
                }
                Entry::IsAt { tid } => {
                    self.threads.is_at(tid, time, draft);
                    None
                }
                Entry::Ended { tid } => {
                    self.threads.ended(tid, time);
                    None
                }
                Entry::LossBegins => {
                    self.threads.loss_begins();
                    None
                }
                Entry::LossEnds => {
                    self.threads.loss_ends(time);
                    None
                }
            };
            if let Some(off) = came.and_then(|came| self.threads.came(came, time)) {
                self.write(&off, inject);
                self.threads.done(off.draft);
            }
        }
        self.queue.reuse(due);
    }

    /// Injects the samples of a time off CPU.
    fn write(&mut self, off: &OffTime, inject: &mut Injection<'_>) {
        let OffTime { draft, until, blocked, runnable } = off;
        let summary = &mut self.threads.summary;
        let whole = blocked + runnable;
        if whole < self.options.min_sleep {
            summary.short += 1;
            summary.short_time += whole;
            return;
        }
        if *blocked > 0 {
            summary.sleeps += 1;
        } else {
            summary.preempted += 1;
        }
        summary.blocked += blocked;
        summary.runnable += runnable;
        let (Some(draft), Some(events)) = (draft, &self.events) else {
            summary.unshown += 1;
            return;
        };
        let places = *self.places.get_or_insert_with(|| DraftPlaces::of(events, inject.endian()));
        for (event, period) in events.ids.into_iter().zip([*blocked, *runnable]) {
            if period > 0 {
                inject.inject_with(|out| draft.write(event, *until, period, &places, out));
            }
        }
    }
}

fn note_cpu(last_on_cpu: &mut Vec<u64>, cpu: Option<u32>, time: u64) {
    let Some(cpu) = cpu.and_then(|cpu| usize::try_from(cpu).ok()).filter(|cpu| *cpu < CPUS_AT_MOST) else {
        return;
    };
    if last_on_cpu.len() <= cpu {
        last_on_cpu.resize(cpu + 1, 0);
    }
    if let Some(last) = last_on_cpu.get_mut(cpu) {
        *last = time;
    }
}

impl Tool for OffCpu {
    fn wants(&self) -> RecordSet {
        TimeQueue::<Entry>::WANTS.union(RecordSet::of(&[
            RecordType::HEADER_ATTR,
            RecordType::HEADER_FEATURE,
            RecordType::TRACING_DATA,
            RecordType::EVENT_UPDATE,
            RecordType::ID_INDEX,
            RecordType::THREAD_MAP,
            RecordType::CPU_MAP,
            RecordType::BUILD_ID,
        ]))
    }

    fn cuts(&self) -> RecordSet {
        RecordSet::of(&[RecordType::HEADER_FEATURE])
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        let mut verdict = Verdict::Repipe;
        if self.stage != Stage::Records {
            verdict = self.preamble(record, session, inject)?;
        }
        match record.record_type() {
            RecordType::SAMPLE => {
                if !self.is_set_up(session) {
                    self.set_up(session)?;
                }
                if let Err(error) = self.sample(record, session) {
                    session.anomalies.malformed(record, &error);
                }
            }
            RecordType::FINISHED_ROUND => {
                let due = self.queue.end_round();
                self.take_in(due, inject);
                self.threads.end_round();
                return Ok(verdict);
            }
            record_type if record_type.is_kernel() => {
                if let Err(Error::Format(error)) = self.other(record, session) {
                    session.anomalies.malformed(record, &error);
                }
            }
            _ => return Ok(verdict),
        }
        if let Some(due) = self.queue.crowded() {
            self.take_in(due, inject);
        }
        Ok(verdict)
    }

    fn skip_samples(&mut self, batch: &mut Batch<'_>, session: &Session) -> u64 {
        if self.stage != Stage::Records || !self.is_set_up(session) {
            return 0;
        }
        // Samples alone bring nothing: what they say is due at the end of a round.
        let mut skips = |record: &RawRecord<'_>| {
            record.record_type() == RecordType::SAMPLE
                && !self.queue.is_crowded()
                && self.sample(record, session).is_ok()
        };
        // The machine's own byte order, which nearly all streams have, is known to the compiler then.
        let skipped = if batch.endian() == Endian::NATIVE {
            batch.advance_while(|record| skips(&RawRecord { endian: Endian::NATIVE, ..*record }))
        } else {
            batch.advance_while(skips)
        };
        skipped.records
    }

    fn finish(&mut self, session: &mut Session, inject: &mut Injection<'_>) -> Result<(), Error> {
        if self.roles.is_none() {
            self.set_up(session)?;
        }
        let rest = self.queue.rest();
        self.take_in(rest, inject);
        let still_off = self.threads.still_off(self.queue.newest());
        self.threads.summary.open = still_off.len() as u64;
        if self.options.open_sleeps {
            still_off.iter().for_each(|off| self.write(off, inject));
        }
        let OffCpuSummary { sleeps, preempted, short, unseen, .. } = self.threads.summary;
        if unseen > sleeps + preempted + short {
            log::warn!(
                "of most switches nothing says when the thread came back, since sched:sched_switch of one process has only the leaving: record it with \
                 -a, or add --switch-events"
            );
        }
        Ok(())
    }
}
