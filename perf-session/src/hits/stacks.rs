//! The processes whose stacks are recorded, and since when. A reader that unwinds a stack may come through any code of its
//! process, and nobody knows through which before it is unwound: a return address may be signed, or be in a register that
//! an earlier frame has saved. So all code is hit that a process had at the time of such a sample or later.

use hashbrown::HashMap;

use crate::limits::SPACES_AT_MOST;

/// Processes, each with the times of the first and the last of its samples that have a stack.
#[derive(Debug, Default)]
pub(crate) struct Stacks(HashMap<u32, Times>);

/// In ns; `None` where the records have no times.
#[derive(Debug, Clone, Copy)]
struct Times {
    first: Option<u64>,
    last: Option<u64>,
}

impl Stacks {
    /// Whether no stack is recorded.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A sample of a process has its stack: whether none has that was taken as early.
    pub(crate) fn is_first(&mut self, pid: u32, time: Option<u64>) -> bool {
        if let Some(times) = self.0.get_mut(&pid) {
            times.last = times.last.max(time);
            let is_first = time < times.first;
            times.first = times.first.min(time);
            return is_first;
        }
        if self.0.len() >= SPACES_AT_MOST {
            // What is hit once more is known to readers already.
            self.0.clear();
        }
        self.0.insert(pid, Times { first: time, last: time });
        true
    }

    /// The time of the first sample of a process that has its stack, if there is one.
    pub(crate) fn first(&self, pid: u32) -> Option<Option<u64>> {
        Some(self.0.get(&pid)?.first)
    }

    /// The same, of a process that begins with a fork at a time. Samples before it are of another process of this pid.
    pub(crate) fn first_of_child(&mut self, pid: u32, fork: Option<u64>) -> Option<Option<u64>> {
        let times = self.0.get_mut(&pid)?;
        if times.last < fork {
            self.0.remove(&pid);
            return None;
        }
        times.first = times.first.max(fork);
        Some(times.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_earliest_stack_of_a_process_is_news() {
        let mut stacks = Stacks::default();
        let news = [20, 30, 20, 10, 15].map(|time| stacks.is_first(1, Some(time)));
        assert_eq!(news, [true, false, false, true, false]);
        assert!(stacks.is_first(2, None) && !stacks.is_first(2, None) && stacks.is_first(3, Some(30)));
    }

    #[test]
    fn a_child_has_the_stacks_of_after_its_fork_alone() {
        let mut stacks = Stacks::default();
        assert_eq!(stacks.first_of_child(1, Some(5)), None);
        stacks.is_first(1, Some(10));
        stacks.is_first(1, Some(20));
        assert_eq!(stacks.first_of_child(1, Some(15)), Some(Some(15)), "out of another CPU's buffer");
        assert_eq!(stacks.first_of_child(1, Some(25)), None);
        assert_eq!(stacks.first(1), None);
        stacks.is_first(1, None);
        assert_eq!(stacks.first_of_child(1, None), Some(None), "without times");
    }
}
