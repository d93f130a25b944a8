//! `perftool buildid-list`: the build-ids that a recording carries, as perf lists them.

use std::env;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bstr::ByteSlice as _;
use clap::ValueHint;
use perf_buildid_list::{Collected, Scope, Sort, check, from_files, from_pipe, json, print};
use perf_format::{PerfData, PipeStream, RecordReader, Recovering};
use perf_session::build_id::{Chain, build_id_of, kernel_maps, running_kernel};
use perf_session::evidence::EvidenceConfig;

use super::Verbosity;
use super::sections::HelpSection;
use crate::exit;
use crate::input::{self, Files, Input, packed};
use crate::progress::Watch;
use crate::report;

/// What stands behind the options.
pub(super) const SECTIONS: &[HelpSection] = &[
    HelpSection::Commands(
        "Examples",
        &[
            "perftool buildid-list -i perf.data",
            "perftool buildid-list --with-hits --json -i perf.data",
            "perf record -o - CMD | perftool inject -b | perftool buildid-list",
        ],
    ),
    HelpSection::Terms(
        "Exit status",
        &[
            exit::OF_SUCCESS,
            ("1", "Damaged or unreadable data (what could be read is listed), with --check a file that"),
            ("", "is another build, with --missing one without a build-id."),
            exit::OF_USAGE,
            exit::OF_READER_GONE,
        ],
    ),
    HelpSection::Terms(
        "Files",
        &[
            ("perf.data", "Read by default."),
            ("/sys/kernel/notes, /proc/kallsyms", "The running kernel's build-id and maps, with -k and -m."),
        ],
    ),
    super::ENVIRONMENT,
    HelpSection::See(&["perftool(1)", "perftool-inject(1)", "perf-buildid-list(1)"]),
];

/// The options of `perftool buildid-list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read from FILE
    ///
    /// FILE is a recording, its directory, or an ELF file, also packed; - is standard input. The default is standard input if
    /// it is a pipe, and otherwise perf.data.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Option<PathBuf>,

    /// List only what samples hit, by their own address or by their call chain
    ///
    /// By default all that carries a build-id is listed.
    #[arg(short = 'H', long)]
    with_hits: bool,

    /// Read a file even if another user owns it
    ///
    /// A recording of somebody else may be meant to mislead. By default only one's own and root's are read.
    #[arg(short, long)]
    force: bool,

    /// Read on past damage: what is lost is counted, and is no error
    ///
    /// By default what stands before the damage is listed, and the exit code is 1.
    #[arg(long)]
    recover: bool,

    /// Print the running kernel's build-id
    ///
    /// No recording is read.
    #[arg(short, long)]
    kernel: bool,

    /// Print the maps of the running kernel and of its modules
    ///
    /// A line has the build-id, start, end and name of one. No recording is read.
    #[arg(short = 'm', long)]
    kernel_maps: bool,

    /// Print one JSON document
    ///
    /// It has each DSO that has a build-id or is hit, with its hits and the places that carry its id.
    #[arg(long)]
    json: bool,

    /// Sort by KEY
    ///
    /// By default the order is by name, the host's DSOs first.
    #[arg(long, value_name = "KEY")]
    sort: Option<Key>,

    /// List only what samples hit that has no build-id
    ///
    /// Listed are files and kernel images. The exit code is 1 if there are any.
    #[arg(long)]
    missing: bool,

    /// Compare each build-id with that of this machine's file
    ///
    /// A column of its own says same, differs or gone. The exit code is 1 if any differs.
    #[arg(long)]
    check: bool,

    #[command(flatten)]
    verbosity: Verbosity,
}

/// What to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Key {
    /// By the DSO's name
    Name,
    /// By how many samples hit it, the most first
    Hits,
    /// By the build-id
    Id,
    /// As the recording comes to name them, which is the order of perf before 6.10
    Time,
}

impl Args {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        report::set_up(self.verbosity);
        if self.kernel {
            let id = running_kernel().map_err(anyhow::Error::msg);
            return write(id.context("cannot find the kernel's build-id")?);
        }
        if self.kernel_maps {
            for map in kernel_maps().context("cannot find the kernel's maps")? {
                let id = map.build_id.map(|id| id.to_string()).unwrap_or_default();
                write(format_args!("{id:<40} {:16x} {:16x} {}", map.start, map.end, map.name))?;
            }
            return Ok(());
        }
        let input = match &self.input {
            Some(path) => Input::open(path, self.force)?,
            None if input::is_piped() => Input::open("-".as_ref(), self.force)?,
            None => Input::open("perf.data".as_ref(), self.force)?,
        };
        if let Some(elf) = input.object_file()? {
            let id = build_id_of(elf).with_context(|| format!("cannot read {input}"))?;
            return write(id.with_context(|| format!("{input} has no build-id"))?);
        }
        self.list(input)
    }

    fn list(&self, mut input: Input) -> anyhow::Result<()> {
        let watch = Watch { quiet: self.verbosity.quiet, stop: Arc::default() };
        let packed_end = input.begin(&watch)?;
        let name = input.to_string();
        let unreadable = || format!("cannot read {name}");
        let counts = self.json || self.missing || self.sort == Some(Key::Hits);
        let scope = match self {
            Self { with_hits: true, .. } if counts => Scope::HitsCounted,
            Self { with_hits: true, .. } => Scope::WithHits,
            _ if counts => Scope::Everything,
            _ => Scope::Table,
        };
        let data = PerfData::open(input).with_context(unreadable)?;
        report::headless(&data);
        let Collected { mut list, mut damage, damaged_table, lost, .. } = match data {
            PerfData::Pipe(stream) if self.recover => recovered(stream, scope),
            PerfData::Pipe(stream) => {
                let (input, head) = stream.into_parts();
                match input.into_rest() {
                    Ok(file) => from_pipe(RecordReader::pipe(watch.file(file), head), scope),
                    Err(packed) => from_pipe(RecordReader::pipe(packed, head), scope),
                }
            }
            PerfData::File(input) => {
                let Files { first, others, .. } = input.into_files(&env::temp_dir())?;
                let others = others.into_iter().map(|other| watch.file(other)).collect();
                from_files(watch.file(first), others, scope, self.recover).with_context(unreadable)?
            }
        };
        if let Some(error) = damaged_table {
            log::warn!("the table of build-ids is damaged, and the records are read in its place: {error}");
        }
        report::damage(lost);
        let mut failure = packed_end.and_then(|end| end.failure());
        if self.recover {
            let errors = [damage.take().map(anyhow::Error::from), failure.take()];
            errors.into_iter().flatten().for_each(|error| log::warn!("what is behind is lost: {error}"));
        }
        if self.missing {
            list.retain_missing();
        }
        let missing = if self.missing { list.dsos.len() } else { 0 };
        if self.check {
            // Files are read as they are now: whether they have changed is what is checked.
            let evidence = EvidenceConfig { allow_changed: true, ..EvidenceConfig::default() };
            check(&mut list, &mut Chain::files(evidence));
        }
        match self.sort {
            Some(Key::Name) => list.sort(Sort::Name),
            Some(Key::Hits) => list.sort(Sort::Hits),
            Some(Key::Id) => list.sort(Sort::Id),
            Some(Key::Time) => list.sort(Sort::Time),
            None => {}
        }
        let message = damage.as_ref().map(ToString::to_string).or(failure.as_ref().map(ToString::to_string));
        let mut text = Vec::new();
        let mut out = io::BufWriter::new(io::stdout().lock());
        let written = match self.json {
            true => json(&list, message.as_deref(), &mut text)
                .and_then(|()| out.write_all(report::json(&text.to_str_lossy()).as_bytes()))
                .and_then(|()| out.flush()),
            false => print(&list, &mut out),
        };
        written.context(CANNOT_WRITE)?;
        let read = damage
            .map_or(Ok(()), |damage| Err(damage).with_context(|| format!("cannot read {name} to its end")));
        packed::ended(read, failure, &name)?;
        match (list.differing(), missing) {
            (0, 0) => Ok(()),
            (0, 1) => bail!("1 DSO that samples hit has no build-id"),
            (0, missing) => bail!("{missing} DSOs that samples hit have no build-id"),
            (count, _) => bail!("{count} of {} DSOs are other builds on this machine", list.dsos.len()),
        }
    }
}

/// Collects from the whole records of a pipe's stream.
fn recovered(stream: PipeStream<Input>, scope: Scope) -> Collected {
    let (input, head) = stream.into_parts();
    let (endian, offset) = (head.format.endian(), head.records_at());
    let (records, lost) = Recovering::new(head.record_bytes().chain(input), endian, offset);
    let mut collected = from_pipe(RecordReader::records(records, endian, offset), scope);
    collected.lost = Some(lost.get());
    collected
}

const CANNOT_WRITE: &str = "cannot write to standard output";

fn write(line: impl fmt::Display) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context(CANNOT_WRITE)
}
