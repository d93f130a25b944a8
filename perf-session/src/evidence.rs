//! Evidence: whether what is on this machine now is what was recorded. A build-id that the recording does not hold itself
//! is taken only where this is proven, or where it is likely and marked as [`Unproven`].
//!
//! | question | what proves it | what disproves it |
//! |---|---|---|
//! | was it recorded in this boot? ([`Place`]) | a recorded process that runs now, with the same file at the same addresses; the kernel at the same random address; the recording's times, which tally with when it was written | another release, architecture or kernel build; the kernel or a module elsewhere in memory; times that are later than the recording; another host name, where the kernel proves nothing |
//! | is it this file? ([`FileFacts`]) | the same device, inode and generation, and a segment where it was mapped | another device, inode, generation or segment |
//! | is it unchanged? | `ctime`, which nobody can set, is before the map | `ctime` is after the map |
//! | is it this process? | it started before the map, and has the same file at the same addresses | |
//!
//! The kernel, its modules and the vdso need this boot. A file needs this machine, its identity, and that it was not
//! changed since: times are compared with the uncertainty that their conversion leaves, and inside of it
//! the generation must prove the inode, and something that its contents were kept: it is a program, which nobody can
//! write into while it runs; or they were written before; or it was just made.
//!
//! On file systems that show other devices in the maps of processes than in the metadata of files (overlayfs, btrfs) and
//! in records without inodes there is no identity: then a file counts as [`Unproven`], in this boot, with fitting
//! segments and times. So does a file of several names whose `ctime` alone is after the map: perf changes it when it links
//! what it recorded into its cache. A file that is reached through the process that has it mapped needs no name.

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::rc::Rc;

use bstr::{BStr, ByteSlice as _};

use crate::build_id::{NoBuildId, WantedFile};
use crate::dso::Dso;
use crate::recording::Recording;

mod clock;
mod file;
mod place;
mod process;
mod segments;
mod this_machine;

pub(crate) use clock::WallClock;
pub use clock::{ClockReading, Clocks, Nanos, Produced, Span};
pub use file::{FileFacts, Mismatch, Unproven};
pub(crate) use file::{Mapped, Proof, compare};
pub use place::{Clue, Place};
pub(crate) use place::{Hints, place};
pub(crate) use segments::{ElfLayout, Fit, MappedPart, Segment, fit, page_sizes};
pub use this_machine::ThisMachine;

use process::LiveMap;

/// What decides, besides the recording, whether the files of this machine are the recorded ones.
#[derive(Debug, Clone, Default)]
pub struct EvidenceConfig {
    /// Whether what is on this machine is taken for what was recorded, without any proof (`--allow-changed`).
    pub allow_changed: bool,
    /// Whether files are refused that are only likely to be the recorded ones ([`Unproven`]; `--strict-ids`).
    pub strict: bool,
    /// When the recording was written.
    pub produced: Produced,
    /// The clocks of this machine; without them no time can be compared.
    pub clocks: Option<Rc<dyn Clocks>>,
    /// The facts about this machine; `None` reads them from the running kernel.
    pub machine: Option<ThisMachine>,
}

/// Decides whether what is here is what was recorded; shared by the sources of build-ids.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    config: EvidenceConfig,
    facts: Rc<Facts>,
}

#[derive(Debug, Default)]
struct Facts {
    machine: OnceCell<ThisMachine>,
    /// Whether a recorded process was found running.
    runs_here: Cell<bool>,
}

impl Evidence {
    /// Evidence for one recording.
    #[must_use]
    pub fn new(config: EvidenceConfig) -> Self {
        Self { config, facts: Rc::default() }
    }

    /// Where the recording was made, as far as it is known by now.
    #[must_use]
    pub fn place(&self, recording: &Recording) -> Place {
        let wall_clock = self.wall_clock(recording, false);
        let times = recording.times;
        let hints = Hints {
            // What does not tally roughly does not exactly either.
            tallies: times.last.is_some_and(|last| {
                wall_clock.tallies(last) && self.wall_clock(recording, true).tallies(last)
            }),
            is_too_late: times.last.is_some_and(|last| wall_clock.contradicts_this_boot(last)),
            runs_here: self.facts.runs_here.get(),
        };
        place(recording, self.machine(), hints)
    }

    fn machine(&self) -> &ThisMachine {
        self.facts.machine.get_or_init(|| self.config.machine.clone().unwrap_or_else(ThisMachine::this))
    }

    fn wall_clock<'r>(&self, recording: &'r Recording, with_perf: bool) -> WallClock<'r> {
        // Only a recording of perf's own clock needs it.
        let with_perf = with_perf && recording.clockid.is_none();
        let now = self.config.clocks.as_ref().map(|clocks| clocks.read(with_perf));
        WallClock { recording, now, produced: self.config.produced }
    }

    /// Whether the running kernel is the recorded one.
    pub(crate) fn kernel(&self, recording: &Recording) -> Result<(), NoBuildId> {
        match self.place(recording) {
            _ if self.config.allow_changed => Ok(()),
            Place::ThisBoot => Ok(()),
            place => Err(NoBuildId::NotHere(place)),
        }
    }

    /// Whether a loaded module is the recorded one.
    pub(crate) fn module(&self, name: &BStr, recording: &Recording) -> Result<(), NoBuildId> {
        self.kernel(recording)?;
        let is_unloaded = self.machine().modules.as_ref().is_some_and(|loaded| !loaded.contains_key(name));
        if is_unloaded && !self.config.allow_changed { Err(NoBuildId::NotLoaded) } else { Ok(()) }
    }

    /// Whether files of this machine may be the recorded ones at all; tells whether it was recorded in this boot.
    pub(crate) fn is_here(&self, recording: &Recording) -> Result<bool, NoBuildId> {
        match self.place(recording) {
            _ if self.config.allow_changed => Ok(true),
            Place::ThisBoot => Ok(true),
            Place::SomeBoot | Place::OtherBoot(_) => Ok(false),
            elsewhere @ (Place::Elsewhere(_) | Place::Unknown) => Err(NoBuildId::NotHere(elsewhere)),
        }
    }

    /// Whether a file of a DSO's name is the recorded one; without its layout, as far as it is known without that.
    pub(crate) fn file(
        &self,
        dso: &Dso,
        file: &File,
        layout: Option<&ElfLayout>,
        recording: &Recording,
    ) -> Result<Proof, NoBuildId> {
        if self.config.allow_changed {
            return Ok(Proof::Proven);
        }
        let in_this_boot = self.is_here(recording)?;
        let mapped = Mapped {
            inode: dso.inode,
            fit: layout.map_or(Some(Fit::Exact), |layout| fits(dso, layout, recording)),
            is_program: layout.is_none_or(|layout| layout.is_program),
            at: self.mapped_at(dso, recording, in_this_boot),
            in_this_boot,
        };
        let facts = FileFacts::of(file)?;
        log::trace!("{}: {mapped:?}, {facts:?}", dso.name);
        match compare(&mapped, &facts) {
            Ok(Proof::Unproven(why)) if self.config.strict => {
                Err(NoBuildId::Changed(Mismatch::Unproven(why)))
            }
            // Not knowing when it was recorded is what is wrong, and the same for all files.
            Err(Mismatch::Doubt { within: None }) if !in_this_boot => {
                Err(NoBuildId::NotHere(self.place(recording)))
            }
            compared => compared.map_err(NoBuildId::Changed),
        }
    }

    /// Whether a file in a directory that the user named may be the recorded one, as far as its segments tell; one that has
    /// the recorded build-id is.
    pub(crate) fn copy(
        &self,
        dso: &Dso,
        layout: &ElfLayout,
        wanted: WantedFile,
        recording: &Recording,
    ) -> Result<Proof, NoBuildId> {
        match fits(dso, layout, recording) {
            _ if wanted.proves() => Ok(Proof::Proven),
            Some(Fit::None) if !self.config.allow_changed => Err(NoBuildId::Changed(Mismatch::Segments)),
            _ => Ok(Proof::Unproven(Unproven::Named)),
        }
    }

    /// The file that a process has mapped now where a DSO was mapped in one with its number. Only its build-id can show
    /// whether it is the recorded one.
    pub(crate) fn live_file_at(dso: &Dso) -> Option<File> {
        LiveMap::find(dso.mapped_by.as_ref()?, None)?.open(dso, None)
    }

    /// The file of a DSO, reached through the process that mapped it, if that runs and has it mapped still.
    pub(crate) fn live_file(
        &self,
        dso: &Dso,
        recording: &Recording,
    ) -> Result<Option<(File, Proof)>, NoBuildId> {
        let (Some(by), Some(inode)) = (&dso.mapped_by, dso.inode) else { return Ok(None) };
        let Some(now) = self.config.clocks.as_ref().map(|clocks| clocks.read(false)) else { return Ok(None) };
        if inode.ino == 0 {
            return Ok(None);
        }
        let Some(map) = LiveMap::find(by, Some(inode)) else { return Ok(None) };
        // It would be here, so that only what says otherwise counts.
        let known = self.facts.runs_here.get();
        self.facts.runs_here.set(true);
        let place = self.place(recording);
        self.facts.runs_here.set(known);
        if place != Place::ThisBoot {
            return Ok(None);
        }
        let at = self.mapped_at(dso, recording, true);
        if !map.is_as_old(at, &now) {
            return Ok(None);
        }
        self.facts.runs_here.set(true);
        let Some(file) = map.open(dso, Some(inode)) else { return Ok(None) };
        let facts = FileFacts::of(&file)?;
        log::trace!("{}: mapped {at:?} by {}, {facts:?}", dso.name, by.pid);
        if facts.has_own_device && facts.device != (inode.maj, inode.min) {
            return Ok(None);
        }
        file::same_inode(inode, &facts).map_err(NoBuildId::Changed)?;
        if self.config.allow_changed || map.is_executed(&file) {
            return Ok(Some((file, Proof::Proven)));
        }
        // Whoever takes its name away changes it, too, and whoever has no name of it can hardly write into it.
        let has_lost_name = facts.links == 0 || map.is_renamed(dso);
        let changed = if has_lost_name { facts.modified } else { facts.changed };
        let is_kept = file::is_same_generation(inode, &facts) && file::is_as_made(&facts, at);
        match file::unchanged(changed, at, is_kept) {
            Ok(()) => Ok(Some((file, Proof::Proven))),
            Err(_) if file::may_be_linked(&facts, at) && !self.config.strict => {
                Ok(Some((file, Proof::Unproven(Unproven::Linked))))
            }
            Err(changed) => Err(NoBuildId::Changed(changed)),
        }
    }

    /// When a DSO was mapped, on the wall clock; what was mapped before the recording, when that began.
    fn mapped_at(&self, dso: &Dso, recording: &Recording, in_this_boot: bool) -> Span {
        let wall_clock = self.wall_clock(recording, in_this_boot);
        let mapped = match dso.mapped_at {
            Some(0) | None => recording.times.first,
            at => at,
        };
        let Some(time) = mapped else {
            return wall_clock.at_all();
        };
        let here = if in_this_boot { wall_clock.in_this_boot(time) } else { None };
        here.unwrap_or_else(|| wall_clock.in_any_boot(time))
    }
}

/// How what was mapped of a DSO fits a file; `None` where nothing tells what was mapped.
fn fits(dso: &Dso, layout: &ElfLayout, recording: &Recording) -> Option<Fit> {
    let by = dso.mapped_by?;
    let part = MappedPart { pgoff: by.pgoff, len: by.end.saturating_sub(by.start), is_exec: by.is_exec };
    // A recording that does not tell its architecture is taken for one of x86.
    let page_sizes = page_sizes(recording.arch.as_ref().map_or(BStr::new("x86_64"), |arch| arch.as_bstr()));
    Some(fit(part, &layout.segments, page_sizes))
}
