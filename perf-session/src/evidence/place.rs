//! The place of a recording: this machine in this boot or another one, elsewhere, or unknown.

use std::fmt;

use bstr::{BStr, BString, ByteSlice as _};

use super::ThisMachine;
use crate::recording::Recording;

/// Where a recording was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this machine, since it was last started.
    ThisBoot,
    /// On this machine, in an unknown boot.
    SomeBoot,
    /// On this machine, in another boot.
    OtherBoot(Clue),
    /// On another machine, or with another kernel.
    Elsewhere(Clue),
    /// Unknown.
    Unknown,
}

/// What shows that a recording is not of this boot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clue {
    /// The host has another name.
    Host(BString),
    /// The kernel has another release.
    Release(BString),
    /// The machine has another architecture.
    Arch(BString),
    /// The kernel is another build.
    KernelId,
    /// The kernel is at another address.
    KernelAddress,
    /// A module is not loaded here, or elsewhere in memory.
    Module(BString),
    /// Its times are later than its end.
    Time,
}

/// What is known besides the recording's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Hints {
    /// A time of the recording tallies with when it was written.
    pub tallies: bool,
    /// A time of the recording is later than it can be in this boot.
    pub is_too_late: bool,
    /// A process of the recording runs here, with what it mapped still at the same addresses.
    pub runs_here: bool,
}

/// Decides where a recording was made.
#[must_use]
pub(crate) fn place(recording: &Recording, here: &ThisMachine, hints: Hints) -> Place {
    let differs =
        |recorded: &Option<BString>, here: &BString| recorded.clone().filter(|recorded| recorded != here);
    if let Some(release) = differs(&recording.release, &here.release) {
        return Place::Elsewhere(Clue::Release(release));
    }
    if let Some(arch) = differs(&recording.arch, &here.arch) {
        return Place::Elsewhere(Clue::Arch(arch));
    }
    let other_host = differs(&recording.hostname, &here.hostname);
    let other_boot = |clue| match (&other_host, &recording.hostname) {
        (Some(host), _) => Place::Elsewhere(Clue::Host(host.clone())),
        (None, Some(_)) => Place::OtherBoot(clue),
        (None, None) => Place::Elsewhere(clue),
    };
    if recording.kernel_id.zip(here.kernel_id).is_some_and(|(recorded, here)| recorded != here) {
        return other_boot(Clue::KernelId);
    }
    let reference = recording.kernel_reference.filter(|_| !here.references.is_empty());
    if reference.is_some_and(|reference| !here.references.contains(&reference)) {
        return other_boot(Clue::KernelAddress);
    }
    let at_another_place = recording.modules.iter().find(|(name, start)| {
        let loaded = here.modules.as_ref().and_then(|loaded| loaded.get(*name)).filter(|at| **at != 0);
        loaded.is_some_and(|at| at != *start && **start != 0)
    });
    if let Some((module, _)) = at_another_place {
        return other_boot(Clue::Module(module.clone()));
    }
    if hints.is_too_late {
        return other_boot(Clue::Time);
    }
    // A container has a name of its own, which disproves nothing that the kernel proves.
    if hints.runs_here || reference.is_some_and(|reference| is_random(reference, here.arch.as_bstr())) {
        return Place::ThisBoot;
    }
    if let Some(host) = other_host {
        return Place::Elsewhere(Clue::Host(host));
    }
    if hints.tallies {
        return Place::ThisBoot;
    }
    // It may have been unloaded since, so that this says less than what is above.
    let unloaded = here
        .modules
        .as_ref()
        .and_then(|loaded| recording.modules.keys().find(|name| !loaded.contains_key(*name)));
    if let Some(module) = unloaded {
        return other_boot(Clue::Module(module.clone()));
    }
    match (&recording.hostname, &recording.release) {
        (Some(_), Some(_)) => Place::SomeBoot,
        _ => Place::Unknown,
    }
}

/// Whether a kernel is at an address that its boot chose at random: two boots then hardly have the same.
fn is_random(reference: u64, arch: &BStr) -> bool {
    // Images are moved by whole steps of 2 MiB from where they are linked to.
    const LINKED_AT: u64 = 0xffff_ffff_8100_0000;
    const STEP: u64 = 0x20_0000;
    arch == "x86_64" && reference - reference % STEP != LINKED_AT
}

impl fmt::Display for Clue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "the recording was made on {host}"),
            Self::Release(release) => write!(f, "the recording was made with kernel {release}"),
            Self::Arch(arch) => write!(f, "the recording was made on {arch}"),
            Self::KernelId => f.write_str("the recording was made with another build of the kernel"),
            Self::KernelAddress => f.write_str("the recorded kernel was at another address"),
            Self::Module(name) => {
                write!(f, "the recorded module {name} is not loaded here, or at another address")
            }
            Self::Time => f.write_str("the recording's times are those of another boot"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisBoot => f.write_str("the recording was made on this machine"),
            Self::SomeBoot => {
                f.write_str("nothing tells whether the recording was made since this machine was started")
            }
            Self::OtherBoot(clue) => {
                write!(f, "the recording was made before this machine was started: {clue}")
            }
            Self::Elsewhere(clue) => clue.fmt(f),
            Self::Unknown => f.write_str("nothing tells where the recording was made"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> ThisMachine {
        ThisMachine {
            hostname: "here".into(),
            release: "6.1".into(),
            arch: "x86_64".into(),
            references: vec![0xffff_ffff_8100_0000],
            modules: Some([].into()),
            ..ThisMachine::default()
        }
    }

    fn recording() -> Recording {
        Recording {
            hostname: Some("here".into()),
            release: Some("6.1".into()),
            arch: Some("x86_64".into()),
            ..Recording::default()
        }
    }

    const TALLIES: Hints = Hints { tallies: true, is_too_late: false, runs_here: false };
    const RUNS: Hints = Hints { tallies: false, is_too_late: false, runs_here: true };

    #[test]
    fn this_boot_is_proven_and_never_assumed() {
        let nothing = Hints::default();
        assert_eq!(place(&recording(), &here(), nothing), Place::SomeBoot);
        assert_eq!(place(&recording(), &here(), TALLIES), Place::ThisBoot);
        assert_eq!(place(&Recording::default(), &here(), nothing), Place::Unknown);
        assert_eq!(place(&Recording::default(), &here(), TALLIES), Place::ThisBoot);
        // Every x86-64 kernel without KASLR is there.
        let linked = Recording { kernel_reference: Some(0xffff_ffff_8100_0000), ..recording() };
        assert_eq!(place(&linked, &here(), nothing), Place::SomeBoot);
        let moved = ThisMachine { references: vec![0xffff_ffff_9a00_0000], ..here() };
        let random = Recording { kernel_reference: Some(0xffff_ffff_9a00_0000), ..Recording::default() };
        assert_eq!(place(&random, &moved, nothing), Place::ThisBoot);
    }

    #[test]
    fn a_containers_name_disproves_nothing_that_the_kernel_proves() {
        let container = Recording { hostname: Some("5f1c0d".into()), ..recording() };
        assert_eq!(place(&container, &here(), RUNS), Place::ThisBoot);
        let elsewhere = Place::Elsewhere(Clue::Host("5f1c0d".into()));
        assert_eq!(place(&container, &here(), Hints::default()), elsewhere);
        assert_eq!(place(&container, &here(), TALLIES), elsewhere, "machines are started together");
    }

    #[test]
    fn another_kernel_is_told_whatever_tallies() {
        let all = Hints { tallies: true, is_too_late: false, runs_here: true };
        let release = Recording { release: Some("5.15".into()), ..recording() };
        assert_eq!(place(&release, &here(), all), Place::Elsewhere(Clue::Release("5.15".into())));
        let address = Recording { kernel_reference: Some(0x1234_5000), ..recording() };
        assert_eq!(place(&address, &here(), all), Place::OtherBoot(Clue::KernelAddress));
        let ids = [1, 2].map(|byte| BuildId::new(&[byte; 20]).ok());
        let id = Recording { kernel_id: ids[0], ..recording() };
        assert_eq!(
            place(&id, &ThisMachine { kernel_id: ids[1], ..here() }, all),
            Place::OtherBoot(Clue::KernelId)
        );
        let late = Hints { is_too_late: true, ..all };
        assert_eq!(place(&recording(), &here(), late), Place::OtherBoot(Clue::Time));
    }

    #[test]
    fn modules_tell_boots_apart() {
        let with = |recording: Recording| {
            let modules = [("craytrace".into(), 0xffff_ffff_a000_0000)].into();
            Recording { modules, ..recording }
        };
        let clue = Clue::Module("craytrace".into());
        assert_eq!(place(&with(recording()), &here(), Hints::default()), Place::OtherBoot(clue.clone()));
        assert_eq!(
            place(&with(Recording::default()), &here(), Hints::default()),
            Place::Elsewhere(clue.clone())
        );
        assert_eq!(place(&with(recording()), &here(), TALLIES), Place::ThisBoot, "it was unloaded since");
        let loaded = |at| ThisMachine { modules: Some([("craytrace".into(), at)].into()), ..here() };
        assert_eq!(place(&with(recording()), &loaded(0xffff_ffff_c000_0000), RUNS), Place::OtherBoot(clue));
        assert_eq!(place(&with(recording()), &loaded(0), Hints::default()), Place::SomeBoot, "it is hidden");
    }

    use perf_format::BuildId;
}
