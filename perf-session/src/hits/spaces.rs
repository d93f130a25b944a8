//! The address spaces of the host that samples are in, and what is known of each: where something pending stands, and
//! which of its samples are in the log.

use hashbrown::HashMap;

use super::log::{ListHead, Log};
use super::pending::Pending;
use crate::limits::SPACES_AT_MOST;

/// What is known of an address space.
#[derive(Debug, Default)]
pub(crate) struct Space {
    pub(crate) pending: Pending,
    /// Its samples, where it is a process's.
    pub(crate) list: ListHead,
}

/// The kernel's, and those of the processes that samples were in lately.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    pub(crate) kernel: Space,
    processes: Vec<(u32, Space)>,
    by_pid: HashMap<u32, usize>,
    /// Where the last one that was looked up stands: samples of one process follow each other.
    last: usize,
}

impl Spaces {
    /// The kernel's and a process's.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "it was found or made a line before")]
    pub(crate) fn of_sample(&mut self, pid: u32, log: &mut Log) -> (&mut Space, &mut Space) {
        if self.processes.get(self.last).is_none_or(|(last, _)| *last != pid) {
            self.last = self.find_or_create(pid, log);
        }
        let Self { kernel, processes, last, .. } = self;
        (kernel, &mut processes[*last].1)
    }

    /// A process's, if anything is known of it.
    pub(crate) fn process(&mut self, pid: u32) -> Option<&mut Space> {
        self.processes.get_mut(*self.by_pid.get(&pid)?).map(|(_, space)| space)
    }

    fn find_or_create(&mut self, pid: u32, log: &mut Log) -> usize {
        if let Some(at) = self.by_pid.get(&pid) {
            return *at;
        }
        if self.processes.len() >= SPACES_AT_MOST {
            self.forget_idle(log);
            if self.processes.len() > SPACES_AT_MOST / 2 {
                // Too many of them have samples that may still be asked for.
                log.digest();
                self.forget_idle(log);
            }
        }
        self.by_pid.insert(pid, self.processes.len());
        self.processes.push((pid, Space::default()));
        self.processes.len() - 1
    }

    /// Forgets processes that the log remembers nothing of.
    fn forget_idle(&mut self, log: &Log) {
        self.processes.retain(|(_, space)| log.remembers(&space.list));
        self.by_pid = self.processes.iter().enumerate().map(|(at, (pid, _))| (*pid, at)).collect();
        self.last = 0;
    }
}
