//! The names of threads, and since when each has had its name: COMM records give them, FORK records hand them down.

use std::collections::VecDeque;
use std::sync::Arc;

use bstr::{BStr, ByteSlice as _};
use hashbrown::HashMap;

use crate::delay_queue::{DelayQueue, Expired};
use crate::limits::{COMMS_AT_MOST, ENDED_AT_MOST};
use crate::round::Round;

/// The name of the idle task, which no record gives.
const IDLE: &[u8] = b"swapper";

/// The names of threads: what they are, what they were in the last two rounds, and those of threads that ended lately.
#[derive(Debug, Default)]
pub(crate) struct Comms {
    threads: HashMap<i32, Thread>,
    /// Threads that have a past.
    to_forget: DelayQueue<i32>,
    /// Threads that ended, and when. Their last samples may come rounds later: after its EXIT record a thread gives back
    /// its memory, and a machine under load takes long for that.
    ended: VecDeque<(i32, u64)>,
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

    /// A thread ends; its name is forgotten when many others have ended since.
    pub(crate) fn exit(&mut self, tid: i32, time: u64) {
        let Some(thread) = self.threads.get_mut(&tid) else { return };
        if thread.names.last().is_some_and(|named| named.since > time) {
            // It is the end of an earlier thread of that number.
            return;
        }
        thread.ended = Some(time);
        self.ended.push_back((tid, time));
        if self.ended.len() > ENDED_AT_MOST
            && let Some((tid, ended)) = self.ended.pop_front()
            && self.threads.get(&tid).is_some_and(|thread| thread.ended == Some(ended))
        {
            self.threads.remove(&tid);
        }
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
    fn what_is_past_is_forgotten_two_rounds_later() {
        let mut comms = comms(&[(1, 10, "a"), (1, 20, "b")]);
        comms.forget(Round(1));
        assert_eq!(comms.comm(1, Some(10)), Some("a".into()));
        comms.forget(Round(2));
        assert_eq!(comms.comm(1, Some(10)), None);
        assert_eq!(comms.comm(1, Some(30)), Some("b".into()));
    }

    #[test]
    fn a_thread_that_ended_is_known_until_many_others_have() {
        let mut comms = comms(&[(1, 10, "a"), (2, 10, "c")]);
        comms.exit(2, 30);
        comms.forget(Round(9));
        assert_eq!(comms.comm(2, Some(40)), Some("c".into()));
        for tid in 10..40_000 {
            comms.fork(tid, 1, 40, Round(9));
            comms.exit(tid, 50);
            assert!(comms.threads.len() <= ENDED_AT_MOST + 2);
        }
        assert_eq!((comms.comm(1, Some(60)), comms.comm(2, Some(60))), (Some("a".into()), None));
    }

    #[test]
    fn a_number_that_is_used_again_is_another_thread() {
        let mut comms = comms(&[(1, 10, "a"), (2, 10, "c")]);
        comms.exit(2, 30);
        comms.fork(2, 1, 40, Round(0));
        comms.exit(2, 30);
        for tid in 10..40_000 {
            comms.fork(tid, 1, 40, Round(0));
            comms.exit(tid, 50);
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
