//! The options of `perftool inject`. The first paragraph of each is the line that `-h` shows; `--help` and the man page
//! have all of it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueHint;
use perf_inject::IdsTo;

use crate::cmd::Verbosity;
use crate::cmd::file_options::FileOptions;
use crate::summary::Form;

/// The options of `perftool inject`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read a recording from FILE or a directory
    ///
    /// FILE is in pipe or file format, also packed with gzip, xz or zstd, or the directory of a recording. - is standard
    /// input, in either format.
    #[arg(short, long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(super) input: PathBuf,

    /// Write to FILE
    ///
    /// FILE is written in file format, beside its place, and takes its name when it is whole. - is standard output, which
    /// gets pipe format, as a FIFO or a device does. The recording in a directory goes into a directory.
    #[arg(short, long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(super) output: PathBuf,

    /// Read a file even if another user owns it
    ///
    /// What somebody else wrote may be meant to mislead. By default recordings are one's own or root's, and jitdumps and perf
    /// maps these or of the recorded process's user.
    #[arg(short, long)]
    pub(super) force: bool,

    /// Report at the end what was done
    ///
    /// Standard error gets what was read, injected and not found, and why not: a table, or with =json a document for
    /// programs. By default nothing is reported.
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "table")]
    pub(super) summary: Option<Form>,

    /// End with an error where names of samples will be missing
    ///
    /// The exit code is 1 if a jitdump or perf map is missing, a dump is damaged or cut, or more than a tenth of the samples
    /// have no name to come. By default that is a warning.
    #[arg(long)]
    pub(super) strict: bool,

    #[command(flatten)]
    pub(super) verbosity: Verbosity,

    /// Inject the build-id of each DSO that a sample hits
    ///
    /// A sample hits DSOs by its address and by its call chain. A pipe gets BUILD_ID records, each in front of the first
    /// sample that needs it; a file gets a table. Of several styles the first of --buildid-all, -b, --mmap2-buildid-all, -B
    /// counts; by default there is none, and no build-id is injected.
    #[arg(short = 'b', long, help_heading = BUILD_IDS)]
    pub(super) build_ids: bool,

    /// Inject the build-id of each DSO that is mapped
    ///
    /// It stands in front of the first map of the DSO; samples are not looked at.
    #[arg(long, help_heading = BUILD_IDS)]
    pub(super) buildid_all: bool,

    /// Write the maps that samples hit, and no others, with build-ids
    ///
    /// The maps of code that no sample hits are left out. The others are written as MMAP2 records with their build-ids, in
    /// front of the first sample that hits them; one whose build-id is not found stays as it was.
    #[arg(short = 'B', long, help_heading = BUILD_IDS)]
    pub(super) mmap2_buildids: bool,

    /// Write all maps with build-ids
    ///
    /// The record of each map is written as an MMAP2 record with its build-id, if one is found.
    #[arg(long, help_heading = BUILD_IDS)]
    pub(super) mmap2_buildid_all: bool,

    /// Where build-ids go: header, events, mmap2, or several
    ///
    /// header is the table of a file, events are BUILD_ID records, mmap2 are MMAP2 records; several are separated by commas.
    /// The default is header for files, events for pipes, and mmap2 with -B and --mmap2-buildid-all.
    #[arg(long, value_name = "PLACES", value_hint = ValueHint::Other, help_heading = BUILD_IDS)]
    pub(super) buildid_to: Option<IdDestinations>,

    /// Take the kernel's build-id from its image
    ///
    /// FILE is the vmlinux of the recorded kernel. It is asked where the recording does not say the kernel's build-id; by
    /// default this machine's kernel is, if the recording was made in this boot.
    #[arg(short = 'k', long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = BUILD_IDS)]
    pub(super) vmlinux: Option<PathBuf>,

    /// Do not read the image that --vmlinux names
    ///
    /// It takes --vmlinux back, as in perf.
    #[arg(long, help_heading = BUILD_IDS)]
    pub(super) ignore_vmlinux: bool,

    /// Taken as perf takes it, and needed for nothing
    ///
    /// Build-ids need no symbols of the kernel.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = BUILD_IDS)]
    pub(super) kallsyms: Option<PathBuf>,

    #[command(flatten, next_help_heading = BUILD_IDS)]
    pub(super) files: FileOptions,

    /// Look in DIR for files that are found nowhere else
    ///
    /// DIR keeps files for their symbols, as ~/.debug and /usr/lib/debug do. It may be given several times; by default no
    /// such directory is looked into.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = BUILD_IDS)]
    pub(super) debug_dir: Vec<PathBuf>,

    /// Keep the files whose ids are injected in DIR
    ///
    /// Each is copied as soon as its id is read, through its process where its name leads nowhere, so that its symbols are there
    /// when its container is gone: perf --buildid-dir DIR report finds them. Its separate debug file is copied behind it. DIR has the layout of ~/.debug, and is made if it is
    /// not there. In a live pipe a file is read when it is mapped, so that those are kept, too, that no sample hits then. What
    /// cannot be copied in time is said. Where DIR can take no more, the stream goes on, and the exit status is 1.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = BUILD_IDS)]
    pub(super) collect: Option<PathBuf>,

    /// Keep no more than SIZE of them
    ///
    /// SIZE is in bytes, or with K, M, G or T behind it in KiB, MiB, GiB or TiB. What was kept before does not count.
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = crate::cmd::options::size)]
    #[arg(requires = "collect", help_heading = BUILD_IDS)]
    pub(super) collect_limit: u64,

    #[arg(
        short, long, value_name = "IMAGES", num_args = 0..=1, require_equals = true,
        default_missing_value = "per-function", help_heading = JITTED_CODE,
        help = "Name code from jitdumps", long_help = JIT
    )]
    pub(super) jit: Option<JitImages>,

    /// Name jitted code from perf maps, the text files /tmp/perf-PID.map
    ///
    /// Their names get into the recording, which can then be read on another machine, or when the files are gone.
    #[arg(long, help_heading = JITTED_CODE)]
    pub(super) perf_map: bool,

    /// Write images of jitted code to DIR
    ///
    /// DIR is made if it is not there. The default is the directory of the output, and for a pipe the current one.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = JITTED_CODE)]
    pub(super) jit_dir: Option<PathBuf>,

    /// Look for jitdumps and perf maps in DIR first
    ///
    /// By default dumps are read where the recording says that they were mapped, and perf maps in /tmp; of a process that
    /// still runs both are looked for below its own root first.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = JITTED_CODE)]
    pub(super) jitdump_dir: Option<PathBuf>,

    /// Clock of dumps (default: recorded)
    ///
    /// What to do if the recording has another clock than a jitdump, since it was made without -k 1.
    #[arg(
        long, value_name = "HOW", default_value = "recorded", hide_default_value = true,
        help_heading = JITTED_CODE
    )]
    pub(super) jit_clock: JitClock,

    /// Unwind recorded stacks into call chains, and leave the stacks out
    ///
    /// Samples of perf record --call-graph dwarf have registers and a copy of the stack. These are unwound by the tables of
    /// the files that were mapped, and the addresses written in their place: any reader shows them, without the files, and
    /// nothing of the program's memory is left. By default stacks stay as they were recorded.
    #[arg(long, help_heading = STACKS)]
    pub(super) convert_callchain: bool,

    /// Entries of a converted chain at the most
    ///
    /// Entries are addresses of the kernel and of the process, and the marks between them. perf reads 127, which is the
    /// default.
    #[arg(
        long, value_name = "N", default_value_t = 127, value_parser = clap::value_parser!(u16).range(2..),
        requires = "convert_callchain", help_heading = STACKS
    )]
    pub(super) max_stack: u16,

    /// Keep the registers and the stack beside the converted chain
    ///
    /// It is for comparing what is unwound of them. By default they are left out.
    #[arg(long, requires = "convert_callchain", help_heading = STACKS)]
    pub(super) keep_stacks: bool,

    /// Add samples of where threads sleep, and wait for a CPU
    ///
    /// For each time that a thread was off CPU there is a sample of off-cpu:blocked (it slept) or off-cpu:runnable (it waited
    /// for a CPU) with the call chain at which it left, and the time in ns for its period. It needs sched:sched_switch of all
    /// CPUs, or --switch-events; with sched:sched_waking, time asleep ends when the thread is woken. By default there are none.
    #[arg(long, conflicts_with = "sched_stat", help_heading = OFF_CPU)]
    pub(super) off_cpu: bool,

    /// Leave out times off CPU that are shorter
    ///
    /// DURATION is a number with its unit: 500us, 10ms, 1.5s. The default is 0: all count.
    #[arg(
        long, value_name = "DURATION", requires = "off_cpu", value_hint = ValueHint::Other,
        help_heading = OFF_CPU
    )]
    pub(super) min_sleep: Option<Duration>,

    /// Count threads that are asleep when the recording ends
    ///
    /// Their samples have the time up to the recording's end. By default they have none, since nobody knows how long they
    /// slept.
    #[arg(long, requires = "off_cpu", help_heading = OFF_CPU)]
    pub(super) open_sleeps: bool,

    /// Put the times of sched_stat events on the switches before them
    ///
    /// Of each sched:sched_stat_* sample the last sched:sched_switch sample of its thread goes out, with the time and the period
    /// of the first: how long the thread slept, and where. Switches, exits and statistics themselves are left out, as in
    /// perf. By default all pass.
    #[arg(short = 's', long, help_heading = OFF_CPU)]
    pub(super) sched_stat: bool,

    /// Read on past damage: all whole records are written
    ///
    /// What is lost is counted and reported: bytes, places and the first offset. By default damage ends the run with an
    /// error that has its offset.
    #[arg(long, help_heading = RECORDS)]
    pub(super) recover: bool,

    /// Write the records inside compressed records in their place
    ///
    /// By default compressed records are looked into, and pass as they are.
    #[arg(long, help_heading = RECORDS)]
    pub(super) decompress: bool,

    /// Take text that was moved to huge pages for its file's
    ///
    /// Some programs move their text to anonymous memory in its own place. It is taken for the text of the file as far as
    /// the recording shows that. By default its samples have no names.
    #[arg(long, help_heading = RECORDS)]
    pub(super) remap_text: bool,

    /// From a file to a pipe, keep features that perf refuses there
    ///
    /// perf stops reading a pipe at some features. By default these are left out, with a warning that names them.
    #[arg(long, help_heading = RECORDS)]
    pub(super) keep_features: bool,
}

const BUILD_IDS: &str = "Build-ids";
const JITTED_CODE: &str = "Jitted code";
const STACKS: &str = "Stacks";
const OFF_CPU: &str = "Off-CPU time";
const RECORDS: &str = "Records";

/// Written as it is to be shown, for its example.
const JIT: &str = "\
Name code from jitdumps

Runtimes (Node, CPython, the JVM, .NET, Julia, Wasmtime) write jitdumps of the code that they make as they run. Each function that samples hit goes into an ELF image of its own, or all of a process into one. By default jitted code gets no names; --jit alone is --jit=per-function.

Record with perf's -k 1, so that both have one clock:

  perf record -k 1 -g -o app.data -- node --perf-prof app.js
  perftool inject --jit -b -i app.data -o app.named.data
  perf report -i app.named.data";

/// What an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum JitImages {
    /// An image for each function, which all readers of recordings take
    PerFunction,
    /// An image for each process, which perf reads
    PerProcess,
}

/// What to do if a recording has another clock than a jitdump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum JitClock {
    /// Refuse the dump
    Recorded,
    /// Estimate by how much the clocks differ
    Auto,
}

/// A time, in ns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Duration(pub(super) u64);

/// The units of a time, in ns, those first of which another is the end.
const UNITS: [(&str, f64); 5] = [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)];

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = UNITS.iter().find_map(|(unit, ns)| Some((text.strip_suffix(unit)?, ns)));
        let (number, ns) = parts.ok_or("it is a number with its unit: ns, us, ms or s")?;
        let number: f64 = number.trim_end().parse().map_err(|_| format!("{number:?} is no number"))?;
        if !number.is_finite() || number < 0.0 {
            return Err("it is 0 or more".to_owned());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is not negative, and what is too large becomes the largest"
        )]
        let ns = (number * ns).round() as u64;
        Ok(Self(ns))
    }
}

/// The value of `--buildid-to`.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdDestinations(pub(super) IdsTo);

impl FromStr for IdDestinations {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut to = IdsTo::default();
        for place in text.split(',') {
            match place {
                "header" => to.header = true,
                "events" => to.events = true,
                "mmap2" => to.mmap2 = true,
                other => return Err(format!("{other:?} is none of header, events and mmap2")),
            }
        }
        Ok(Self(to))
    }
}
