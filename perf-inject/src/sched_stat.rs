//! `--sched-stat`: how long a thread slept, at the place where it left its CPU. The last `sched_switch` sample of a thread goes
//! out with the time and the period of the thread's `sched_stat_*` sample; switches, statistics and exits do not.

use hashbrown::HashMap;
use perf_format::attr::SampleType;
use perf_format::{Endian, RawRecord, RecordType};
use perf_session::evlist::Evsel;
use perf_session::{Error, Event, Injection, RecordSet, Session, Tool, Verdict};

use crate::limits::{SLEEPERS_AT_MOST, THREADS_BELOW};
use crate::sched_events::{Left, Role, Roles, SchedError, thread};
use crate::time_queue::{Due, TimeQueue};

/// What became of the scheduler's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SchedStatSummary {
    /// `sched_switch` samples, all of which are left out.
    pub switches: u64,
    /// `sched_stat_*` samples, all of which are left out.
    pub stats: u64,
    /// Of these, those in whose place the last switch of their thread went out.
    pub merged: u64,
    /// Of these, those of threads whose last switch is not in the recording.
    pub unswitched: u64,
    /// Switches that were not kept for want of memory.
    pub unkept: u64,
}

/// Merges `sched_stat_*` samples with the switches of their threads.
#[derive(Debug)]
pub(crate) struct SchedStat {
    roles: Option<Roles>,
    queue: TimeQueue<Entry>,
    /// The last switch of each thread that lives, by the thread's number.
    switches: HashMap<u32, Switch>,
    /// Bytes of these.
    held: usize,
    summary: SchedStatSummary,
}

/// A `sched_switch` sample, and where in it the fields stand that change.
#[derive(Debug)]
struct Switch {
    bytes: Vec<u8>,
    places: SwitchPlaces,
}

/// Where in a `sched_switch` sample the fields stand that change.
#[derive(Debug, Clone, Copy)]
struct SwitchPlaces {
    time: usize,
    period: Option<usize>,
}

/// What a sample says, until that is sorted in. The bytes of a switch are the sample.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Switch { tid: u32, is_over: bool, places: SwitchPlaces },
    Stat { tid: u32, period: u64 },
    Exit { tid: u32 },
}

impl SchedStat {
    pub(crate) fn new() -> Self {
        Self {
            roles: None,
            queue: TimeQueue::default(),
            switches: HashMap::new(),
            held: 0,
            summary: SchedStatSummary::default(),
        }
    }

    /// What became of the scheduler's samples.
    pub(crate) fn summary(&self) -> SchedStatSummary {
        self.summary
    }

    fn set_up(&mut self, session: &Session) -> Result<(), SchedError> {
        let roles = Roles::of(&session.evlist)?;
        if !roles.any(|role| matches!(role, Role::Switch(_))) {
            return Err(SchedError::NoStats("sched:sched_switch"));
        }
        if !roles.any(|role| matches!(role, Role::Stat(_))) {
            return Err(SchedError::NoStats("sched:sched_stat_*"));
        }
        self.roles = Some(roles);
        Ok(())
    }

    /// What a sample says, and its time, in ns; `None` for one that is not of the scheduler, or has not the fields.
    fn sample(
        &mut self,
        record: &RawRecord<'_>,
        session: &Session,
    ) -> Result<Option<(u64, Entry)>, perf_format::Error> {
        let roles = self.roles.as_ref();
        let Some((Evsel { format, .. }, role)) = roles.and_then(|roles| roles.of_sample(record, session))
        else {
            return Ok(None);
        };
        let time = self.queue.note_time(format.time(record)).unwrap_or(0);
        let raw = || format.raw(record).map(Option::unwrap_or_default);
        let at = |field| format.field_offset(field);
        let tid = || format.tid(record).map(|tid| tid.tid);
        let entry = match role {
            Role::Other | Role::Waking(_) => None,
            Role::Exit => tid().map(|tid| Entry::Exit { tid }),
            Role::Stat(pid) => {
                let period = at(SampleType::PERIOD).and_then(|at| record.endian.u64_at(record.bytes, at));
                thread(pid, raw()?).map(|tid| Entry::Stat { tid, period: period.unwrap_or(1) })
            }
            Role::Switch(fields) => {
                let left = fields.left(raw()?);
                tid().zip(at(SampleType::TIME)).map(|(tid, time)| Entry::Switch {
                    tid,
                    is_over: left == Some(Left::Dead) || tid == 0 || tid >= THREADS_BELOW,
                    places: SwitchPlaces { time, period: at(SampleType::PERIOD) },
                })
            }
        };
        Ok(entry.map(|entry| (time, entry)))
    }

    /// Takes in what is due, and injects the samples that it makes.
    fn take_in(&mut self, due: Due<Entry>, inject: &mut Injection<'_>) {
        for (time, entry, bytes) in due.iter() {
            match entry {
                Entry::Switch { tid, is_over: false, places } => self.keep(tid, bytes, places),
                Entry::Switch { tid, is_over: true, .. } | Entry::Exit { tid } => self.forget(tid),
                Entry::Stat { tid, period } => match self.switches.get(&tid) {
                    Some(switch) => {
                        self.summary.merged += 1;
                        let endian = inject.endian();
                        inject.inject_with(|out| switch.write(time, period, endian, out));
                    }
                    None => self.summary.unswitched += 1,
                },
            }
        }
        self.queue.reuse(due);
    }

    /// Keeps the last switch of a thread, in the place of the one before.
    fn keep(&mut self, tid: u32, bytes: &[u8], places: SwitchPlaces) {
        let switch = self.switches.entry(tid).or_insert_with(|| Switch { bytes: Vec::new(), places });
        self.held = self.held.saturating_sub(switch.bytes.capacity());
        if self.held + bytes.len() > SLEEPERS_AT_MOST {
            self.switches.remove(&tid);
            self.summary.unkept += 1;
            return;
        }
        switch.places = places;
        switch.bytes.clear();
        switch.bytes.extend_from_slice(bytes);
        self.held += switch.bytes.capacity();
    }

    fn forget(&mut self, tid: u32) {
        if let Some(gone) = self.switches.remove(&tid) {
            self.held = self.held.saturating_sub(gone.bytes.capacity());
        }
    }
}

impl Switch {
    fn write(&self, time: u64, period: u64, endian: Endian, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let mut put = |at: usize, word| {
            if let Some(place) = out.get_mut(start + at..).and_then(|rest| rest.first_chunk_mut()) {
                *place = endian.put_u64(word);
            }
        };
        put(self.places.time, time);
        if let Some(at) = self.places.period {
            put(at, period);
        }
    }
}

impl Tool for SchedStat {
    fn wants(&self) -> RecordSet {
        TimeQueue::<Entry>::WANTS
    }

    fn cuts(&self) -> RecordSet {
        RecordSet::of(&[RecordType::SAMPLE])
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let record = event.record;
        match record.record_type() {
            RecordType::SAMPLE => {}
            RecordType::FINISHED_ROUND => {
                let due = self.queue.end_round();
                self.take_in(due, inject);
                return Ok(Verdict::Repipe);
            }
            _ => {
                self.queue.note(record, session);
                return Ok(Verdict::Repipe);
            }
        }
        if !self.roles.as_ref().is_some_and(|roles| roles.are_of(&session.evlist)) {
            self.set_up(session)?;
        }
        let (time, entry) = match self.sample(record, session) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(Verdict::Repipe),
            Err(error) => {
                session.anomalies.malformed(record, &error);
                return Ok(Verdict::Repipe);
            }
        };
        match entry {
            Entry::Switch { .. } => {
                self.summary.switches += 1;
                self.queue.push_with(time, entry, |out| {
                    out.extend_from_slice(record.bytes);
                    Some(())
                });
            }
            Entry::Stat { .. } => {
                self.summary.stats += 1;
                self.queue.push(time, entry);
            }
            Entry::Exit { .. } => self.queue.push(time, entry),
        }
        if let Some(due) = self.queue.crowded() {
            self.take_in(due, inject);
        }
        Ok(Verdict::Drop)
    }

    fn finish(&mut self, session: &mut Session, inject: &mut Injection<'_>) -> Result<(), Error> {
        if self.roles.is_none() {
            self.set_up(session)?;
        }
        let rest = self.queue.rest();
        self.take_in(rest, inject);
        Ok(())
    }
}
