//! The threads of a recording: since when each has been off CPU, and where it left. What happens to them is given in the
//! order of time.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::OffCpuSummary;
use super::draft::SampleDraft;
use crate::limits::{BUFFERS_AT_MOST, SLEEPERS_AT_MOST, THREADS_BELOW};
use crate::sched_events::Left;

/// The threads that live, by their number: one entry for each.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    by_tid: HashMap<u32, Thread>,
    /// Bytes of the drafts that are kept.
    held: usize,
    /// How many stretches are open in which records were lost.
    losses: u32,
    /// When the last of them ended, in ns.
    lost_until: u64,
    /// The threads that ended in this round and the one before. A thread may be switched behind its end, and most are: the
    /// last time as a dead one.
    ended: [Vec<u32>; 2],
    /// Buffers of drafts that went out, for those that come: most threads that leave are as many that came back.
    buffers: Vec<Vec<u8>>,
    pub(crate) summary: OffCpuSummary,
}

#[derive(Debug)]
struct Thread {
    /// When its state began, in ns.
    since: u64,
    has_slept: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It runs. Where it was last seen, if switches have no samples of their own.
    On(Option<SampleDraft>),
    Off {
        /// `None` where there was no room for it.
        draft: Option<SampleDraft>,
        is_asleep: bool,
        woken: Option<u64>,
    },
}

/// A stretch of time that a thread was off CPU. Times are in ns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OffTime {
    pub(crate) draft: Option<SampleDraft>,
    pub(crate) until: u64,
    /// How long it slept.
    pub(crate) blocked: u64,
    /// How long it waited for a CPU.
    pub(crate) runnable: u64,
}

impl State {
    fn held(&self) -> usize {
        match self {
            Self::On(draft) | Self::Off { draft, .. } => draft.as_ref().map_or(0, SampleDraft::held),
        }
    }
}

impl Thread {
    /// A thread that runs, as far as is known.
    fn new(since: u64) -> Self {
        Self { since, has_slept: false, state: State::On(None) }
    }

    /// Takes its state, whose bytes are no longer `held`.
    fn release(&mut self, held: &mut usize) -> State {
        let state = std::mem::replace(&mut self.state, State::On(None));
        *held = held.saturating_sub(state.held());
        state
    }

    /// Gives it another state, without the place where too much is `held`.
    fn set(&mut self, state: State, held: &mut usize) {
        self.release(held);
        self.state = state;
        if *held + self.state.held() > SLEEPERS_AT_MOST {
            let (State::On(draft) | State::Off { draft, .. }) = &mut self.state;
            *draft = None;
        }
        *held += self.state.held();
    }
}

impl Threads {
    /// A thread leaves its CPU at a time in ns, at the place of a draft, which is empty where it is not known.
    pub(crate) fn left(&mut self, tid: u32, time: u64, how: Left, draft: &[u8]) {
        if !is_thread(tid) {
            return;
        }
        if how == Left::Dead {
            self.forget(tid);
            return;
        }
        let thread = self.by_tid.entry(tid).or_insert_with(|| Thread::new(time));
        if time < thread.since {
            self.summary.backwards += 1;
            return;
        }
        let place = match thread.release(&mut self.held) {
            State::Off { draft, .. } => {
                self.summary.unseen += 1;
                reuse(&mut self.buffers, draft);
                None
            }
            State::On(place) => place,
        };
        let draft = place.or_else(|| kept(&mut self.buffers, draft));
        thread.since = time;
        thread.set(State::Off { draft, is_asleep: how == Left::Asleep, woken: None }, &mut self.held);
    }

    /// A thread is woken.
    pub(crate) fn woken(&mut self, tid: u32, time: u64) {
        let Some(Thread { since, state: State::Off { is_asleep: true, woken, .. }, .. }) =
            self.by_tid.get_mut(&tid)
        else {
            return;
        };
        if *since <= time {
            woken.get_or_insert(time);
        }
    }

    /// A thread comes on a CPU. Returns how long it was away, if that is known.
    pub(crate) fn came(&mut self, tid: u32, time: u64) -> Option<OffTime> {
        if !is_thread(tid) {
            return None;
        }
        let thread = match self.by_tid.entry(tid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                self.summary.first_seen += 1;
                unknown.insert(Thread::new(time));
                return None;
            }
        };
        if time < thread.since {
            self.summary.backwards += 1;
            return None;
        }
        let since = std::mem::replace(&mut thread.since, time);
        let is_lost = self.losses > 0 || since <= self.lost_until;
        if matches!(thread.state, State::On(_)) {
            // Two kinds of records may say the same.
            self.summary.lost += u64::from(is_lost && since < time);
            return None;
        }
        let off = thread.release(&mut self.held);
        if is_lost {
            self.summary.lost += 1;
            return None;
        }
        self.summary.threads += u64::from(!std::mem::replace(&mut thread.has_slept, true));
        Some(off_time(off, since, time))
    }

    /// Notes where a thread is that runs, for when it leaves its CPU.
    pub(crate) fn is_at(&mut self, tid: u32, time: u64, draft: &[u8]) {
        if !is_thread(tid) {
            return;
        }
        let thread = self.by_tid.entry(tid).or_insert_with(|| Thread::new(time));
        if matches!(thread.state, State::On(_)) && thread.since <= time {
            if let State::On(before) = thread.release(&mut self.held) {
                reuse(&mut self.buffers, before);
            }
            thread.set(State::On(kept(&mut self.buffers, draft)), &mut self.held);
        }
    }

    /// A thread ends, which it does on a CPU.
    pub(crate) fn ended(&mut self, tid: u32, time: u64) {
        if let Some(thread) = self.by_tid.get_mut(&tid).filter(|thread| thread.since <= time) {
            if let State::Off { .. } = thread.release(&mut self.held) {
                thread.since = time;
                self.summary.unseen += 1;
            }
            let [now, _] = &mut self.ended;
            now.push(tid);
        }
    }

    /// From here on records were lost.
    pub(crate) fn loss_begins(&mut self) {
        self.losses = self.losses.saturating_add(1);
    }

    /// Up to here, in ns, records were lost.
    pub(crate) fn loss_ends(&mut self, time: u64) {
        self.losses = self.losses.saturating_sub(1);
        self.lost_until = self.lost_until.max(time);
    }

    /// A round is over: threads that ended before it, and were not switched since, are forgotten.
    pub(crate) fn end_round(&mut self) {
        let [now, before] = &mut self.ended;
        let gone = std::mem::replace(before, std::mem::take(now));
        for tid in gone {
            if self.by_tid.get(&tid).is_some_and(|thread| matches!(thread.state, State::On(_))) {
                self.forget(tid);
            }
        }
    }

    /// The threads that are off CPU at the end of the recording, as if they came back then, in the order of their numbers.
    pub(crate) fn still_off(&mut self, time: u64) -> Vec<OffTime> {
        let (lost_until, is_lost) = (self.lost_until, self.losses > 0);
        let off = self.by_tid.iter().filter(|(_, thread)| matches!(thread.state, State::Off { .. }));
        let mut known: Vec<u32> = off
            .filter(|(_, thread)| !is_lost && thread.since > lost_until && thread.since <= time)
            .map(|(tid, _)| *tid)
            .collect();
        known.sort_unstable();
        let off = known.iter().filter_map(|tid| self.by_tid.remove(tid));
        off.map(|thread| off_time(thread.state, thread.since, time)).collect()
    }

    /// Takes a draft back that is no longer needed.
    pub(crate) fn done(&mut self, draft: Option<SampleDraft>) {
        reuse(&mut self.buffers, draft);
    }

    fn forget(&mut self, tid: u32) {
        let gone = self.by_tid.remove(&tid);
        self.held = self.held.saturating_sub(gone.map_or(0, |thread| thread.state.held()));
    }
}

/// A draft, kept in a buffer that is free; none of no bytes.
fn kept(buffers: &mut Vec<Vec<u8>>, draft: &[u8]) -> Option<SampleDraft> {
    (!draft.is_empty()).then(|| SampleDraft::new(draft, buffers.pop().unwrap_or_default()))
}

fn reuse(buffers: &mut Vec<Vec<u8>>, draft: Option<SampleDraft>) {
    if let Some(draft) = draft.filter(|_| buffers.len() < BUFFERS_AT_MOST) {
        buffers.push(draft.into_buffer());
    }
}

fn off_time(off: State, since: u64, until: u64) -> OffTime {
    let whole = until - since;
    let State::Off { draft, is_asleep, woken } = off else {
        return OffTime { draft: None, until, blocked: 0, runnable: 0 };
    };
    let blocked = match woken {
        _ if !is_asleep => 0,
        Some(woken) => woken.min(until) - since,
        None => whole,
    };
    OffTime { draft, until, blocked, runnable: whole - blocked }
}

/// Whether a number is that of a thread: 0 is that of the idle threads, one for each CPU, and from `PID_MAX_LIMIT` on there is
/// none.
fn is_thread(tid: u32) -> bool {
    (1..THREADS_BELOW).contains(&tid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAFT: &[u8] = &[7; 100];

    #[test]
    fn nothing_is_held_of_threads_that_came_back_or_are_gone() {
        let mut threads = Threads::default();
        for round in 0..4 {
            let time = 100 * (round + 1);
            threads.is_at(7, time, DRAFT);
            threads.left(7, time + 10, Left::Asleep, &[]);
            threads.left(8, time + 10, Left::Runnable, DRAFT);
            assert!((200..400).contains(&threads.held), "{}", threads.held);
            let off = threads.came(7, time + 20).expect("it was off");
            assert!(off.draft.is_some());
            threads.done(off.draft);
            threads.left(8, time + 30, Left::Dead, &[]);
            assert_eq!(threads.held, 0);
        }
        threads.is_at(7, 1000, DRAFT);
        threads.ended(7, 1010);
        threads.end_round();
        threads.end_round();
        assert_eq!((threads.held, threads.by_tid.len()), (0, 0));
    }

    #[test]
    fn where_there_is_no_room_for_its_place_the_time_of_a_sleep_is_known_all_the_same() {
        let mut threads = Threads { held: SLEEPERS_AT_MOST, ..Threads::default() };
        threads.left(7, 100, Left::Asleep, DRAFT);
        assert_eq!(threads.held, SLEEPERS_AT_MOST);
        let expected = OffTime { draft: None, until: 150, blocked: 50, runnable: 0 };
        assert_eq!(threads.came(7, 150), Some(expected));
    }
}
