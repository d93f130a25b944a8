//! The scheduler's tracepoints in a recording, found by their names, and their fields, found by theirs.

use bstr::BString;
use perf_format::attr::SampleType;
use perf_format::{EventFormat, FieldFormat, RawRecord};
use perf_session::evlist::{Evlist, Evsel};
use perf_session::{Error, Session};

/// Why a recording does not serve `--off-cpu` or `--sched-stat`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchedError {
    /// Nothing in it says when threads leave a CPU.
    #[error(
        "the recording does not say when threads leave a CPU: record it with -a -e sched:sched_switch -g (and, to tell \
         sleep from waiting for a CPU, -e sched:sched_waking), or with --switch-events -e context-switches -c 1 -g \
         --sample-identifier"
    )]
    NoSwitches,
    /// It has no `sched:sched_switch`, or no `sched:sched_stat_*`.
    #[error(
        "the recording has no event {0}: record it with -e sched:sched_stat_sleep -e sched:sched_switch -e \
         sched:sched_process_exit -g; where the kernel has no sched_stat_sleep, --off-cpu needs sched:sched_switch alone"
    )]
    NoStats(&'static str),
    /// The formats of its tracepoints are missing.
    #[error(
        "the recording does not say which fields {0} has (its tracing data is missing or damaged): record it with -e {0} \
         and without -B or other filters behind it"
    )]
    NoFormat(BString),
    /// A tracepoint has not the field that is needed, or samples have not.
    #[error("samples of {event} have no {field}")]
    NoField {
        /// The event's name.
        event: BString,
        /// The field.
        field: &'static str,
    },
    /// Its samples have no ids, so that there cannot be samples of other events.
    #[error(
        "the recording's only event has no ids, by which its samples could be told from those of another event: record \
         it with --sample-identifier, or with a second event (-e dummy)"
    )]
    NoIds,
    /// It has off-CPU samples already.
    #[error("the recording has off-CPU samples already")]
    Twice,
}

impl From<SchedError> for Error {
    fn from(error: SchedError) -> Self {
        Self::Tool(Box::new(error))
    }
}

/// What an event is to the scheduler.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// Nothing.
    Other,
    /// `sched_switch`: a thread leaves a CPU, another comes.
    Switch(SwitchFields),
    /// `sched_waking`: a thread is woken; or `sched_wakeup`, where nothing says so more exactly.
    Waking(FieldFormat),
    /// `sched_process_exit`: the thread that runs ends.
    Exit,
    /// `sched_stat_sleep` and its like: the period is how long the thread of this field did something.
    Stat(FieldFormat),
}

/// The fields of `sched_switch`.
#[derive(Debug, Clone)]
pub(crate) struct SwitchFields {
    pub(crate) prev_pid: FieldFormat,
    pub(crate) prev_state: FieldFormat,
    pub(crate) next_pid: FieldFormat,
}

/// `EXIT_DEAD` and `EXIT_ZOMBIE`, as `prev_state` has them since Linux 3.x.
const DEAD: i64 = 0x10 | 0x20;

/// The bits of `prev_state` that are states of their own; above them is the mark of a thread that was preempted.
const STATES: i64 = 0xff;

/// How a thread left its CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// It would have run on: it was preempted, or gave the CPU away (state R).
    Runnable,
    /// It went to sleep (S, D and other states).
    Asleep,
    /// It is dead (X, Z), and never comes back.
    Dead,
}

impl SwitchFields {
    /// The thread that left, how it did, and the thread that came.
    #[inline]
    pub(crate) fn switched(&self, raw: &[u8]) -> Option<(u32, Left, u32)> {
        Some((thread(&self.prev_pid, raw)?, self.left(raw)?, thread(&self.next_pid, raw)?))
    }

    /// How the thread left that `prev_pid` names.
    pub(crate) fn left(&self, raw: &[u8]) -> Option<Left> {
        let state = self.prev_state.number(raw)?;
        Some(match state & STATES {
            0 => Left::Runnable,
            state if state & DEAD != 0 => Left::Dead,
            _ => Left::Asleep,
        })
    }
}

/// The number of a thread in a field; `None` where the sample is too short for it.
pub(crate) fn thread(field: &FieldFormat, raw: &[u8]) -> Option<u32> {
    u32::try_from(field.number(raw)?).ok()
}

/// The roles of a recording's events.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    by_number: Vec<Role>,
}

impl Roles {
    /// The roles of these events.
    ///
    /// # Errors
    /// Where one of them lacks a field, or its format.
    pub(crate) fn of(evlist: &Evlist) -> Result<Self, SchedError> {
        let has_waking = evlist.evsels().iter().any(|evsel| evsel.name == "sched:sched_waking");
        let by_number = evlist.evsels().iter().map(|evsel| role(evsel, has_waking));
        Ok(Self { by_number: by_number.collect::<Result<_, _>>()? })
    }

    /// The event of a sample, and its role.
    #[inline]
    pub(crate) fn of_sample<'s>(
        &self,
        sample: &RawRecord<'_>,
        session: &'s Session,
    ) -> Option<(&'s Evsel, &Role)> {
        let evsel = session.evlist.event_of(sample)?;
        Some((evsel, self.by_number.get(evsel.number)?))
    }

    /// Whether an event has a role.
    pub(crate) fn any(&self, is: impl Fn(&Role) -> bool) -> bool {
        self.by_number.iter().any(is)
    }

    /// Whether they are those of all events: a pipe may bring more of them.
    pub(crate) fn are_of(&self, evlist: &Evlist) -> bool {
        self.by_number.len() == evlist.evsels().len()
    }
}

fn role(evsel: &Evsel, has_waking: bool) -> Result<Role, SchedError> {
    let Some(name) = evsel.name.strip_prefix(b"sched:sched_") else { return Ok(Role::Other) };
    let no_field = |field| SchedError::NoField { event: evsel.name.clone(), field };
    let format = || -> Result<&EventFormat, SchedError> {
        for (field, what) in
            [(SampleType::TID, "thread"), (SampleType::TIME, "time"), (SampleType::RAW, "fields")]
        {
            if !evsel.format.sample_type.contains(field) {
                return Err(no_field(what));
            }
        }
        evsel.tracepoint.as_ref().ok_or_else(|| SchedError::NoFormat(evsel.name.clone()))
    };
    let field = |name| format()?.field(name).cloned().ok_or_else(|| no_field(name));
    Ok(match name {
        b"switch" => Role::Switch(SwitchFields {
            prev_pid: field("prev_pid")?,
            prev_state: field("prev_state")?,
            next_pid: field("next_pid")?,
        }),
        b"waking" => Role::Waking(field("pid")?),
        b"wakeup" if !has_waking => Role::Waking(field("pid")?),
        b"process_exit" => Role::Exit,
        name if name.starts_with(b"stat_") => Role::Stat(field("pid")?),
        _ => Role::Other,
    })
}
