//! Why samples will have no names: what they lie in that no reader can find a name for, and what to do about it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use bstr::BString;
use perf_format::Batch;
use perf_session::build_id::{FoundId, NoBuildId};
use perf_session::dso::DsoId;
use perf_session::hits::{Counted, LiesIn};
use perf_session::{Error, Event, Hits, Injection, RecordSet, Session, Tool, Verdict};

use crate::jit::JitSummary;

/// Of fewer samples than these nothing is said: a handful in one place tells nothing of a program.
const SAMPLES_AT_LEAST: u64 = 100;

/// One part in so many without a name is worth a word.
const WORTH_A_WORD: u64 = 10;

/// How many samples readers of the output will not find names for, and why. Of many samples a part was looked at, and
/// stands for the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NameSummary {
    /// All, by their own address.
    pub samples: u64,
    /// Frames of their call chains.
    pub frames: u64,
    /// Those that will have no name, by why, most samples first.
    pub unnamed: Vec<Unnamed>,
}

/// Samples that will have no name for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unnamed {
    /// Why.
    pub cause: Cause,
    /// How many.
    pub counted: Counted,
    /// The file, or the process, in which most of them are.
    pub most: BString,
}

/// Why samples will have no names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Their files are gone, or cannot be read.
    Gone,
    /// What is here is another build, or nothing proves that it is not.
    OtherBuild,
    /// They were recorded elsewhere, or nothing tells that it was here.
    Elsewhere,
    /// Their files have no build-id: names come by the path alone, where the file is.
    NoNote,
    /// They are in anonymous memory of a process that left no account of its functions.
    Anonymous,
    /// They are in jitted code whose dump was refused, or could not be read.
    RefusedDump,
    /// They are in an anonymous copy of a file's text.
    HugePages,
    /// The recording has no maps of their process.
    Unmapped,
    /// Nothing is mapped where they are.
    NoMap,
    /// They are of processes outside the recorder's container.
    Outside,
    /// The recording has no map of the kernel.
    UnmappedKernel,
}

impl Cause {
    /// The word that summaries for programs have for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::OtherBuild => "other-build",
            Self::Elsewhere => "elsewhere",
            Self::NoNote => "no-build-id",
            Self::Anonymous => "anonymous",
            Self::RefusedDump => "no-dump",
            Self::HugePages => "huge-pages",
            Self::Unmapped => "no-maps",
            Self::NoMap => "no-map",
            Self::Outside => "pid-0",
            Self::UnmappedKernel => "no-kernel-map",
        }
    }

    /// What helps.
    fn cure(self) -> &'static str {
        match self {
            Self::Gone => {
                "inject while it is recorded (perf record -o - | perftool inject -b), or name where the files are \
                 (--root, --symfs, --debug-dir)"
            }
            Self::OtherBuild => "inject while it is recorded, before the files are replaced",
            Self::Elsewhere => "inject while it is recorded, where it is recorded",
            Self::NoNote => "perf finds their names on this machine alone, by path: link with -Wl,--build-id",
            Self::Anonymous => {
                "let the runtime write a jitdump (--jit) or a perf map (--perf-map), as with node --perf-prof, java \
                 -agentpath:libperf-jvmti.so, python -X perf"
            }
            Self::RefusedDump => "see what is said of its dump",
            Self::HugePages => "--remap-text takes it for the text of its file",
            Self::Unmapped => {
                "record without --synth=no, from before the processes begin, and as a user who may read their maps"
            }
            Self::NoMap => "record with more memory for buffers (-m) if records were lost",
            Self::Outside => "record on the host, or in the pid namespace of the processes",
            Self::UnmappedKernel => "record as root, or with kernel.kptr_restrict=0",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "in files that are not here to be read",
            Self::OtherBuild => "in files that are other builds now",
            Self::Elsewhere => "in files of another machine or boot, or of one that nothing tells",
            Self::NoNote => "in files without a build-id",
            Self::Anonymous => "in anonymous memory with code (of a JIT, or text that was moved?)",
            Self::RefusedDump => "in jitted code whose dump was not taken",
            Self::HugePages => "in an anonymous copy of a file's text (for huge pages?)",
            Self::Unmapped => "in processes of which the recording has no maps",
            Self::NoMap => "where the recording has no map",
            Self::Outside => "in processes outside the recorder's container, which all have pid 0",
            Self::UnmappedKernel => "in the kernel, of which the recording has no map",
        })
    }
}

impl NameSummary {
    /// Adds up what samples lie in. `answers` is what was found for the DSOs that were asked for; one that was not has its
    /// id already.
    pub(crate) fn new<'a>(
        census: impl Iterator<Item = (LiesIn, Counted)>,
        answers: impl Iterator<Item = (DsoId, Result<&'a FoundId, &'a NoBuildId>)>,
        jit: &[JitSummary],
        session: &Session,
    ) -> Self {
        let answers: BTreeMap<DsoId, _> = answers.collect();
        let is_named_by_jit = |pid: i32| {
            let dumped = jit.iter().any(|jit| jit.pid == pid && jit.path.is_some() && jit.missing.is_none());
            // A reader on this machine finds a perf map by the pid alone, and so do we here.
            dumped || Path::new(&format!("/tmp/perf-{pid}.map")).exists()
        };
        let is_refused = |pid: i32| jit.iter().any(|jit| jit.pid == pid && jit.missing.is_some());
        let mut summary = Self::default();
        let mut unnamed: BTreeMap<Cause, (Counted, BTreeMap<BString, u64>)> = BTreeMap::new();
        for (lies_in, counted) in census {
            summary.samples += counted.samples;
            summary.frames += counted.frames;
            let name = |dso| session.dso(dso).map_or_else(BString::default, |dso| dso.name.clone());
            let process = |pid: i32| BString::from(format!("process {pid}"));
            let (cause, most) = match lies_in {
                LiesIn::Dso(dso) => {
                    let Some(Err(reason)) = answers.get(&dso) else { continue };
                    let Some(cause) = cause_of(reason) else { continue };
                    (cause, name(dso))
                }
                LiesIn::Anonymous { text_of: Some(dso), .. } => (Cause::HugePages, name(dso)),
                LiesIn::Anonymous { pid, .. } if is_named_by_jit(pid) => continue,
                LiesIn::Anonymous { pid, .. } if is_refused(pid) => (Cause::RefusedDump, process(pid)),
                LiesIn::Anonymous { pid, .. } => (Cause::Anonymous, process(pid)),
                LiesIn::Unmapped { pid } => (Cause::Unmapped, process(pid)),
                LiesIn::NoMap { pid } => (Cause::NoMap, process(pid)),
                LiesIn::Outside => (Cause::Outside, process(0)),
                LiesIn::UnmappedKernel => (Cause::UnmappedKernel, "the kernel".into()),
                LiesIn::NoKernelMap => (Cause::NoMap, "the kernel".into()),
            };
            let (all, by_name) = unnamed.entry(cause).or_default();
            all.samples += counted.samples;
            all.frames += counted.frames;
            *by_name.entry(most).or_default() += counted.samples;
        }
        let most = |by_name: BTreeMap<BString, u64>| by_name.into_iter().max_by_key(|(_, samples)| *samples);
        summary.unnamed = unnamed
            .into_iter()
            .filter_map(|(cause, (counted, by_name))| {
                Some(Unnamed { cause, counted, most: most(by_name)?.0 })
            })
            .collect();
        summary.unnamed.sort_by_key(|unnamed| std::cmp::Reverse(unnamed.counted.samples));
        summary
    }

    /// Samples that will have no name.
    #[must_use]
    pub fn unnamed_samples(&self) -> u64 {
        self.unnamed.iter().map(|unnamed| unnamed.counted.samples).sum()
    }

    /// Whether more than a tenth of the samples will have no name.
    #[must_use]
    pub fn is_worth_a_word(&self) -> bool {
        self.samples >= SAMPLES_AT_LEAST && self.unnamed_samples() > self.samples / WORTH_A_WORD
    }
}

/// How many samples will have no name, the likeliest cause, and what to do.
impl fmt::Display for NameSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |count: u64| count.saturating_mul(100) / self.samples.max(1);
        let all = percent(self.unnamed_samples());
        write!(f, "{all} % of the samples have no name to come")?;
        let Some(Unnamed { cause, counted, most }) = self.unnamed.first() else { return Ok(()) };
        f.write_str(": ")?;
        match percent(counted.samples) {
            part if part == all => {}
            part => write!(f, "{part} % ")?,
        }
        write!(f, "{cause}, most in {most}; {}", cause.cure())
    }
}

/// Counts what samples lie in, where no tool that injects ids looks at them.
#[derive(Debug)]
pub(crate) struct CountSamples(Hits);

impl CountSamples {
    pub(crate) fn new() -> Self {
        Self(Hits::first().counting())
    }

    pub(crate) fn census(&mut self, session: &Session) -> impl Iterator<Item = (LiesIn, Counted)> {
        self.0.census(session)
    }
}

impl Tool for CountSamples {
    fn wants(&self) -> RecordSet {
        Hits::WANTS
    }

    fn skip_samples(&mut self, batch: &mut Batch<'_>, session: &Session) -> u64 {
        self.0.skip_samples(batch, session)
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        _: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        self.0.event(event, session, |_| {});
        Ok(Verdict::Repipe)
    }
}

/// Why a DSO without an id has no names; `None` where it has.
fn cause_of(reason: &NoBuildId) -> Option<Cause> {
    match reason {
        NoBuildId::Anonymous | NoBuildId::OtherMachine | NoBuildId::FoundByName => None,
        NoBuildId::Elf(_) | NoBuildId::NoNote => Some(Cause::NoNote),
        NoBuildId::NotHere(_) => Some(Cause::Elsewhere),
        NoBuildId::Changed(_) | NoBuildId::Ambiguous(_) | NoBuildId::Shared(_) | NoBuildId::Namesake => {
            Some(Cause::OtherBuild)
        }
        NoBuildId::BelowRoot(reason) => cause_of(reason),
        // Nothing was found that could be looked into.
        _ => Some(Cause::Gone),
    }
}
