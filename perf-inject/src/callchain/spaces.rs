//! What the stacks of processes lead to: filled in as it is asked for, out of the session's picture of what is mapped, and
//! forgotten where that changes.

use hashbrown::HashMap;
use perf_format::record::Mmap2;
use perf_session::machine::HOST;
use perf_session::map::Map;
use perf_session::{AddressSpace, Change, MapChange, Session};
use perf_unwind::{Code, Modules};

use super::code::CodeOfDsos;
use crate::jit::JittedCode;
use crate::limits::{STACK_MAPS_AT_MOST, STACK_SPACES_AT_MOST, VAIN_AT_MOST};

/// The address spaces of processes.
#[derive(Debug, Default)]
pub(super) struct StackSpaces {
    by_pid: HashMap<i32, Space>,
    /// The time of the latest change of any process, in ns: from then on what is asked holds.
    newest: u64,
}

/// The address space of a process.
#[derive(Debug)]
struct Space {
    modules: Modules,
    /// From when on they hold, in ns: the time of the last change.
    since: u64,
    /// Pages at which samples waited in vain for a map.
    vain: Vec<u64>,
}

impl Default for Space {
    fn default() -> Self {
        Self { modules: Modules::partial(), since: 0, vain: Vec::new() }
    }
}

/// Whose stack it is, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleMoment {
    pub(super) pid: i32,
    /// In ns; `None` where samples have no times.
    pub(super) time: Option<u64>,
}

impl StackSpaces {
    /// What is known so far of a process at a moment. Of a moment before the last change nothing is kept.
    pub(super) fn modules(&mut self, at: SampleMoment) -> Modules {
        match self.now(at) {
            Some(space) => space.modules.clone(),
            None => Modules::partial(),
        }
    }

    /// The space of a process, if a moment is not before its last change.
    fn now(&mut self, at: SampleMoment) -> Option<&mut Space> {
        if self.by_pid.len() >= STACK_SPACES_AT_MOST && !self.by_pid.contains_key(&at.pid) {
            self.by_pid.clear();
        }
        let since = self.newest;
        let space = self.by_pid.entry(at.pid).or_insert_with(|| Space { since, ..Space::default() });
        at.time.is_none_or(|time| time >= space.since).then_some(space)
    }

    /// Tells modules what stands at an address, and notes it. A jitted function is not noted: another may stand there soon.
    pub(super) fn tell(
        &mut self,
        modules: &mut Modules,
        address: u64,
        at: SampleMoment,
        session: &Session,
        code: &mut CodeOfDsos,
    ) {
        if let Some(JittedCode { addresses, module }) = code.jitted(at.pid, address, at.time, session) {
            let offset = 0;
            let what = module.map_or(Code::NoTables, |module| Code::Module { module, offset });
            if let Err(error) = modules.insert(addresses, what, 0) {
                log::debug!("{address:#x}: {error}");
            }
            return;
        }
        let space = AddressSpace::Process(at.pid);
        let page = address & !0xfff;
        let page = page..page.saturating_add(0x1000).max(address.saturating_add(1));
        // Of the program before an exec nothing is left, though the session remembers it.
        let is_held = |_: &&Map| {
            !at.time.is_some_and(|time| session.machines.host().is_before_exec(space, address, time))
        };
        let (range, what, tag) = match session.map_at(HOST, space, address, at.time).filter(is_held) {
            // Nothing is said of its neighbours.
            None => (page, Code::Nothing, 0),
            Some(map) => {
                // Of one that others cover by now, or that an exec has ended, no more is said than was asked.
                let is_whole = session.map_at(HOST, space, address, None) == Some(map);
                let range = match is_whole {
                    true => map.start..map.end,
                    false => page.start.max(map.start)..page.end.min(map.end),
                };
                if map.prot & Mmap2::PROT_EXEC != 0 {
                    let (what, tag) = code.of_map(map, range.start - map.start, session);
                    (range, what, tag)
                } else {
                    (range, Code::Nothing, 0)
                }
            }
        };
        let insert = |modules: &mut Modules| {
            if modules.len() >= STACK_MAPS_AT_MOST {
                modules.clear();
            }
            if let Err(error) = modules.insert(range.clone(), what.clone(), tag) {
                log::debug!("{range:x?}: {error}");
            }
        };
        insert(modules);
        if let Some(space) = self.now(at) {
            insert(&mut space.modules);
        }
    }

    /// An address space changed: of what is no longer so nothing is kept.
    pub(super) fn changed(&mut self, change: &MapChange, time: Option<u64>) {
        let (HOST, AddressSpace::Process(pid)) = (change.machine, change.space) else { return };
        let changed_at = match change.what {
            Change::Mapped { since, .. } => since,
            _ => time.unwrap_or(0),
        };
        self.newest = self.newest.max(changed_at);
        let Some(space) = self.by_pid.get_mut(&pid) else { return };
        match change.what {
            Change::Mapped { start, last, since, .. } => {
                space.modules.forget(start..last.saturating_add(1));
                space.since = space.since.max(since);
                space.vain.retain(|page| *page < start & !0xfff || *page > last);
            }
            Change::Forked { .. } | Change::Executed => {
                let since = space.since.max(time.unwrap_or(0));
                *space = Space { since, ..Space::default() };
            }
            _ => {}
        }
    }

    /// Forgets what stands where, so that it is asked for again.
    pub(super) fn forget_modules(&mut self) {
        self.by_pid.values_mut().for_each(|space| space.modules.clear());
    }

    /// Notes that a sample waited in vain for a map at an address.
    pub(super) fn note_vain(&mut self, pid: i32, address: u64) {
        if let Some(space) = self.by_pid.get_mut(&pid)
            && space.vain.len() < VAIN_AT_MOST
            && !space.vain.contains(&(address & !0xfff))
        {
            space.vain.push(address & !0xfff);
        }
    }

    /// Whether no map is to be expected at an address: another sample waited for it in vain, or too many did.
    pub(super) fn is_vain(&self, pid: i32, address: u64) -> bool {
        self.by_pid
            .get(&pid)
            .is_some_and(|space| space.vain.len() >= VAIN_AT_MOST || space.vain.contains(&(address & !0xfff)))
    }
}
