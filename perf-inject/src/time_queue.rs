//! What records of several CPUs say, in the order of time: within a round, and the next, records stand in any order.

use perf_format::{RawRecord, RecordType};
use perf_session::{RecordSet, Session};

use crate::limits::QUEUED_AT_MOST;

/// Entries that wait until no earlier one can come: until the round after theirs is over, as readers of the stream wait.
/// What is then made of them goes out in front of the FINISHED_ROUND record at which readers deliver records of their
/// times, neither too late for these nor later than they are shown.
///
/// Entries may have bytes. Those of a round stand in one buffer, which is used again for the next round but one: an
/// allocation for each entry would take longer than all else that is done with it.
#[derive(Debug)]
pub(crate) struct TimeQueue<T> {
    waiting: Vec<Waiting<T>>,
    /// Room for those that wait on when others are due.
    spare: Vec<Waiting<T>>,
    order: Vec<u32>,
    bytes: [Vec<u8>; 2],
    /// Which of the two buffers this round's bytes go to.
    now: usize,
    newest: u64,
    newest_at_mark: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waiting<T> {
    /// In ns.
    time: u64,
    entry: T,
    place: Place,
}

/// Where bytes of an entry are, in which of the two buffers.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    len: u32,
    buffer: u8,
}

/// Which entries are taken.
#[derive(Debug, Clone, Copy)]
enum Taken {
    /// Up to a time, in ns.
    Until(u64),
    EarlierHalf,
    All,
}

/// Entries that are due. Until they are [given back](TimeQueue::reuse), none can be added.
#[derive(Debug)]
pub(crate) struct Due<T> {
    entries: Vec<Waiting<T>>,
    /// The numbers of those that are due, in the order of their times.
    order: Vec<u32>,
    bytes: [Vec<u8>; 2],
    ends_round: bool,
}

impl<T: Copy> Due<T> {
    /// Each entry with its time, in ns, and its bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, T, &[u8])> {
        let entries = self.order.iter().filter_map(|number| at(&self.entries, *number));
        entries.map(|Waiting { time, entry, place }| (*time, *entry, place.bytes(&self.bytes)))
    }
}

impl Place {
    fn bytes(self, buffers: &[Vec<u8>; 2]) -> &[u8] {
        let start = self.start as usize;
        let bytes = buffers.get(usize::from(self.buffer)).and_then(|buffer| buffer.get(start..));
        bytes.and_then(|bytes| bytes.get(..self.len as usize)).unwrap_or_default()
    }
}

impl<T> Default for TimeQueue<T> {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            spare: Vec::new(),
            order: Vec::new(),
            bytes: Default::default(),
            now: 0,
            newest: 0,
            newest_at_mark: 0,
        }
    }
}

impl<T: Copy> TimeQueue<T> {
    /// All records that have a time, and those that end rounds.
    pub(crate) const WANTS: RecordSet = RecordSet::KERNEL.union(RecordSet::of(&[RecordType::FINISHED_ROUND]));

    /// Notes the time of a record of the kernel, in ns, and returns it.
    #[inline]
    pub(crate) fn note(&mut self, record: &RawRecord<'_>, session: &Session) -> Option<u64> {
        self.note_time(session.evlist.time(record))
    }

    /// Notes a time, in ns, and returns it if it is one.
    #[inline]
    pub(crate) fn note_time(&mut self, time: Option<u64>) -> Option<u64> {
        // These two times have no meaning.
        let time = time.filter(|time| !matches!(time, 0 | &u64::MAX))?;
        self.newest = self.newest.max(time);
        Some(time)
    }

    /// The latest time that was noted, in ns.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Adds an entry of a time that was noted, in ns, or an earlier one; without bytes.
    #[inline]
    pub(crate) fn push(&mut self, time: u64, entry: T) {
        self.waiting.push(Waiting { time, entry, place: Place { start: 0, len: 0, buffer: 0 } });
    }

    /// The same with the bytes that `write` appends to what it is given; without any where that fails.
    #[inline]
    pub(crate) fn push_with(&mut self, time: u64, entry: T, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) {
        let Some(bytes) = self.bytes.get_mut(self.now) else { return };
        let start = bytes.len();
        if write(bytes).is_none() {
            bytes.truncate(start);
        }
        self.waiting.push(Waiting { time, entry, place: place(start, bytes, self.now) });
    }

    /// The entries that are due at the end of a round, in the order of their times, and of one time in that of the
    /// stream. All of the round before are.
    pub(crate) fn end_round(&mut self) -> Due<T> {
        let due = std::mem::replace(&mut self.newest_at_mark, self.newest);
        Due { ends_round: true, ..self.take(Taken::Until(due)) }
    }

    /// The earlier half of the entries where there are too many, because no rounds come, or enormous ones; mostly none.
    #[inline]
    pub(crate) fn crowded(&mut self) -> Option<Due<T>> {
        self.is_crowded().then(|| self.take(Taken::EarlierHalf))
    }

    /// Whether there are too many entries.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        size_of_val(self.waiting.as_slice()) + self.bytes.iter().map(Vec::len).sum::<usize>() > QUEUED_AT_MOST
    }

    /// All entries, at the end of the stream.
    pub(crate) fn rest(&mut self) -> Due<T> {
        self.take(Taken::All)
    }

    /// Gets the buffers of entries back that were due.
    pub(crate) fn reuse(&mut self, done: Due<T>) {
        let Due { entries, order, bytes, ends_round } = done;
        (self.spare, self.order) = (entries, order);
        self.spare.clear();
        if ends_round {
            self.bytes = bytes;
            self.now = 1 - self.now;
            if let Some(bytes) = self.bytes.get_mut(self.now) {
                bytes.clear();
            }
            return;
        }
        // What is left is in both buffers, of which neither can be used again.
        let mut left = Vec::new();
        for Waiting { place: its, .. } in &mut self.waiting {
            let start = left.len();
            left.extend_from_slice(its.bytes(&bytes));
            *its = place(start, &left, self.now);
        }
        self.bytes = Default::default();
        if let Some(bytes) = self.bytes.get_mut(self.now) {
            *bytes = left;
        }
    }

    fn take(&mut self, which: Taken) -> Due<T> {
        let mut later = std::mem::take(&mut self.spare);
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        let entries = &self.waiting;
        let last = match which {
            Taken::Until(last) => last,
            Taken::EarlierHalf | Taken::All => u64::MAX,
        };
        for (number, waiting) in (0..).zip(entries) {
            if waiting.time <= last {
                order.push(number);
            } else {
                later.push(*waiting);
            }
        }
        // Each CPU's are in order already, and the sort is one that merges runs.
        order.sort_by_key(|number| at(entries, *number).map(|waiting| waiting.time));
        if let Taken::EarlierHalf = which {
            let mut left = order.split_off(order.len().div_ceil(2));
            left.sort_unstable();
            later.extend(left.iter().filter_map(|number| at(entries, *number)));
        }
        let entries = std::mem::replace(&mut self.waiting, later);
        Due { entries, order, bytes: std::mem::take(&mut self.bytes), ends_round: false }
    }
}

fn at<T>(entries: &[Waiting<T>], number: u32) -> Option<&Waiting<T>> {
    entries.get(number as usize)
}

/// The bytes from `start` on to the end of a buffer. A buffer is not larger than what is queued at the most and a record.
fn place(start: usize, bytes: &[u8], buffer: usize) -> Place {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Place { start: number(start), len: number(bytes.len() - start), buffer: u8::from(buffer == 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(entries: &Due<u32>) -> Vec<(u64, u32, &[u8])> {
        entries.iter().collect()
    }

    #[test]
    fn an_entry_is_due_when_the_round_after_its_own_ends_and_those_of_one_time_keep_their_order() {
        let mut queue = TimeQueue { newest: 30, ..TimeQueue::default() };
        for (time, entry, bytes) in [(20, 1, "a"), (30, 2, "bc"), (10, 3, ""), (20, 4, "d")] {
            queue.push_with(time, entry, |out| {
                out.extend(bytes.as_bytes());
                Some(())
            });
        }
        let none = queue.end_round();
        assert_eq!(times(&none), []);
        queue.reuse(none);
        queue.push(25, 5);
        queue.push_with(35, 9, |out| {
            out.push(b'x');
            None
        });
        queue.push_with(40, 6, |out| {
            out.push(b'e');
            Some(())
        });
        queue.newest = 40;
        let due = queue.end_round();
        let expected: [(u64, u32, &[u8]); 5] =
            [(10, 3, b""), (20, 1, b"a"), (20, 4, b"d"), (25, 5, b""), (30, 2, b"bc")];
        assert_eq!(times(&due), expected);
        queue.reuse(due);
        assert_eq!(times(&queue.rest()), [(35, 9, &b""[..]), (40, 6, b"e")]);
    }

    #[test]
    fn where_no_rounds_come_the_earlier_half_goes() {
        let mut queue = TimeQueue::default();
        let half = |out: &mut Vec<u8>| {
            out.resize(out.len() + QUEUED_AT_MOST / 2, 7);
            Some(())
        };
        queue.push_with(2, 1, half);
        assert!(queue.crowded().is_none());
        queue.push_with(1, 2, half);
        let due = queue.crowded().expect("too much");
        let entries: Vec<_> = due.iter().map(|(time, entry, bytes)| (time, entry, bytes.len())).collect();
        assert_eq!(entries, [(1, 2, QUEUED_AT_MOST / 2)]);
        queue.reuse(due);
        assert!(queue.crowded().is_none());
    }
}
