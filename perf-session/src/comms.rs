//! The names of threads, and since when each has had its name: COMM records give them, FORK records hand them down.

use std::sync::Arc;

use bstr::{BStr, ByteSlice as _};
use hashbrown::HashMap;

use crate::delay_queue::{DelayQueue, Expired};
use crate::limits::COMMS_AT_MOST;
use crate::round::Round;

/// The name of the idle task, which no record gives.
const IDLE: &[u8] = b"swapper";

/// The names of threads, now and in the last two rounds.
#[derive(Debug, Default)]
pub(crate) struct Comms {
    threads: HashMap<i32, Thread>,
    /// Threads that have a past.
    to_forget: DelayQueue<i32>,
    exited: DelayQueue<i32>,
}

#[derive(Debug, Default)]
struct Thread {
    /// In the order of time; each holds until the next.
    names: Vec<Named>,
    /// When it ended, in ns, if it has.
    ended: Option<u64>,
    /// Whether it waits in the queue of those that have something to forget.
    is_queued: bool,
}

/// A name that a thread got.
#[derive(Debug, Clone)]
struct Named {
    /// In ns; 0 for before the recording.
    since: u64,
    /// `None` where the thread began, and its parent's name was not known.
    comm: Option<Arc<[u8]>>,
    round: Round,
}

impl Comms {
    /// The name of a thread as of a time in ns; without one, as of now.
    pub(crate) fn comm(&self, tid: i32, time: Option<u64>) -> Option<&BStr> {
        match self.named(tid, time) {
            Some(named) => named.comm.as_deref().map(BStr::new),
            None if tid == 0 => Some(IDLE.as_bstr()),
            None => None,
        }
    }

    fn named(&self, tid: i32, time: Option<u64>) -> Option<&Named> {
        let names = &self.threads.get(&tid)?.names;
        let Some(time) = time else { return names.last() };
        names.iter().rev().find(|named| named.since <= time)
    }

    /// A thread gets a name.
    pub(crate) fn set(&mut self, tid: i32, comm: &BStr, time: u64, now: Round) {
        let before = self.named(tid, Some(time)).and_then(|named| named.comm.clone());
        // Most names are what they were.
        let comm =
            before.filter(|before| **before == *comm.as_bytes()).unwrap_or_else(|| comm.as_bytes().into());
        self.insert(tid, Named { since: time, comm: Some(comm), round: now }, now);
    }

    /// A thread begins, with the name of the one that made it.
    pub(crate) fn fork(&mut self, tid: i32, parent: i32, time: u64, now: Round) {
        let comm = match self.named(parent, Some(time)) {
            Some(named) => named.comm.clone(),
            None => (parent == 0).then(|| IDLE.into()),
        };
        self.insert(tid, Named { since: time, comm, round: now }, now);
        if let Some(thread) = self.threads.get_mut(&tid)
            && thread.ended.is_some_and(|ended| ended <= time)
        {
            thread.ended = None;
        }
    }

    /// A thread ends; its name is forgotten two rounds later.
    pub(crate) fn exit(&mut self, tid: i32, time: u64, now: Round) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        if thread.names.last().is_some_and(|named| named.since > time) {
            // It is the end of an earlier thread of that number.
            return;
        }
        thread.ended = Some(time);
        self.exited.push(now, tid);
        self.forget(now);
    }

    fn insert(&mut self, tid: i32, named: Named, now: Round) {
        let thread = self.threads.entry(tid).or_default();
        let at = thread.names.partition_point(|other| other.since <= named.since);
        thread.names.insert(at, named);
        if thread.names.len() > COMMS_AT_MOST {
            thread.names.remove(0);
        }
        if thread.names.len() > 1 && !std::mem::replace(&mut thread.is_queued, true) {
            self.to_forget.push(now, tid);
        }
    }

    /// Forgets what no record can look up any more.
    pub(crate) fn forget(&mut self, now: Round) {
        while let Some(Expired { what: tid, evicted }) = self.to_forget.pop_expired(now) {
            let Some(thread) = self.threads.get_mut(&tid) else { continue };
            let is_past = |named: &Named| evicted || !named.round.is_recent(now);
            // A name is of the past since the one behind it came.
            let past = thread.names.iter().skip(1).rposition(is_past).map_or(0, |last| last + 1);
            thread.names.drain(..past);
            thread.is_queued = thread.names.len() > 1;
            if thread.is_queued {
                self.to_forget.push(now, tid);
            }
        }
        while let Some(Expired { what: tid, .. }) = self.exited.pop_expired(now) {
            if self.threads.get(&tid).is_some_and(|thread| thread.ended.is_some()) {
                self.threads.remove(&tid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comms(names: &[(i32, u64, &str)]) -> Comms {
        let mut comms = Comms::default();
        for (tid, time, comm) in names {
            comms.set(*tid, (*comm).into(), *time, Round(0));
        }
        comms
    }

    #[test]
    fn a_name_holds_from_its_record_to_the_next_whatever_comes_first() {
        for names in [[(1, 10, "a"), (1, 20, "b")], [(1, 20, "b"), (1, 10, "a")]] {
            let comms = comms(&names);
            for (time, comm) in [(9, None), (10, Some("a")), (19, Some("a")), (20, Some("b"))] {
                assert_eq!(comms.comm(1, Some(time)), comm.map(BStr::new), "{time}");
            }
            assert_eq!(comms.comm(1, None), Some("b".into()));
        }
    }

    #[test]
    fn a_thread_has_its_parents_name_of_when_it_began() {
        let mut comms = comms(&[(1, 10, "a"), (1, 20, "b")]);
        comms.fork(2, 1, 15, Round(0));
        comms.fork(3, 7, 15, Round(0));
        comms.fork(4, 0, 15, Round(0));
        assert_eq!(comms.comm(2, Some(30)), Some("a".into()));
        assert_eq!(comms.comm(3, Some(30)), None);
        assert_eq!(comms.comm(4, Some(30)), Some("swapper".into()));
        assert_eq!(comms.comm(0, Some(30)), Some("swapper".into()));
    }

    #[test]
    fn what_is_past_and_threads_that_ended_are_forgotten_two_rounds_later() {
        let mut comms = comms(&[(1, 10, "a"), (1, 20, "b"), (2, 10, "c")]);
        comms.exit(2, 30, Round(0));
        comms.forget(Round(1));
        assert_eq!((comms.comm(1, Some(10)), comms.comm(2, Some(40))), (Some("a".into()), Some("c".into())));
        comms.forget(Round(2));
        assert_eq!((comms.comm(1, Some(10)), comms.comm(2, Some(40))), (None, None));
        assert_eq!(comms.comm(1, Some(30)), Some("b".into()));
    }

    #[test]
    fn a_number_that_is_used_again_is_another_thread() {
        let mut comms = comms(&[(1, 10, "a"), (2, 10, "c")]);
        comms.exit(2, 30, Round(0));
        comms.fork(2, 1, 40, Round(0));
        comms.exit(2, 30, Round(0));
        for round in 0..9 {
            comms.forget(Round(round));
        }
        assert_eq!(comms.comm(2, Some(50)), Some("a".into()));
    }

    #[test]
    fn names_without_an_end_to_them_take_bounded_memory() {
        let mut comms = Comms::default();
        for time in 0..10_000 {
            comms.set(1, time.to_string().as_str().into(), time, Round(0));
        }
        assert!(comms.threads[&1].names.len() <= COMMS_AT_MOST);
        assert_eq!(comms.comm(1, None), Some("9999".into()));
    }
}
