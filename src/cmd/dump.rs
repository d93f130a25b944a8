//! `perftool dump`: a recording as text or JSON Lines, a line a record.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::ValueHint;
use perf_dump::{DumpOptions, Dumper, StableRules, TimeRange};
use perf_format::{PerfData, PipeStream, RecordType};
use perf_session::build_id::SourceConfig;
use perf_session::evidence::EvidenceConfig;
use perf_session::object_files::ObjectFiles;

use super::Verbosity;
use super::sections::HelpSection;
use crate::clocks::SystemClocks;
use crate::exit;
use crate::input::{self, Files, Input, packed};
use crate::progress::Watch;
use crate::report;

/// What stands behind the options.
pub(super) const SECTIONS: &[HelpSection] = &[
    HelpSection::Commands(
        "Examples",
        &[
            "perftool dump -i perf.data",
            "perftool dump --types=MMAP2,COMM --pid=1234 -i perf.data",
            "perf record -o - CMD | perftool dump --json | jq -c 'select(.record == \"SAMPLE\")'",
        ],
    ),
    HelpSection::Terms(
        "Exit status",
        &[
            exit::OF_SUCCESS,
            ("1", "Damaged or unreadable data; what could be read is printed."),
            exit::OF_USAGE,
            exit::OF_READER_GONE,
        ],
    ),
    HelpSection::Terms("Files", &[("perf.data", "Read by default.")]),
    super::ENVIRONMENT,
    HelpSection::See(&["perftool(1)", "perftool-buildid-list(1)", "perf-script(1)"]),
];

/// The options of `perftool dump`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read from FILE
    ///
    /// FILE is a recording or its directory, also packed; - is standard input. The default is standard input if it is a pipe, and
    /// otherwise perf.data.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Option<PathBuf>,

    #[command(flatten)]
    shown: Shown,

    /// Read a file even if another user owns it
    ///
    /// A recording of somebody else may be meant to mislead. By default only one's own and root's are read.
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    verbosity: Verbosity,
}

/// What of a recording is shown, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Shown {
    /// Print JSON Lines: an object a line, with the same names
    #[arg(long)]
    json: bool,

    /// Print only records of these types, as MMAP2,SAMPLE
    ///
    /// A type is its name, with PERF_RECORD_ or without, or its number.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = record_type)]
    types: Option<Vec<RecordType>>,

    /// Print only records of these processes
    ///
    /// Records that are of no process are left out.
    #[arg(long, value_name = "PIDS", value_delimiter = ',', allow_hyphen_values = true)]
    pid: Option<Vec<i32>>,

    /// Print only records from the time FROM on up to TO, in seconds
    ///
    /// Each is of the recording's clock, as 12.000000345; either may be left out. Records without a time are left out.
    #[arg(long, value_name = "FROM,TO", value_parser = time_range)]
    time: Option<TimeRange>,

    /// Print only these fields of records, as pid,time,ip
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    fields: Option<Vec<String>>,

    /// Leave the offsets of records out
    #[arg(long)]
    no_offsets: bool,

    /// Print the header, the events and the features, and no records
    #[arg(long, conflicts_with = "events_only")]
    header_only: bool,

    /// Print records alone
    #[arg(long)]
    events_only: bool,

    /// Add to each address what was mapped there when the record was written
    ///
    /// Behind ip stands ip_at: the name, and the offset in it. Where the file is on this machine and proven to be the recorded
    /// one, its symbol table is read, and ip_symbol has the symbol and how far behind its beginning the address is.
    #[arg(long)]
    resolve: bool,

    /// Replace what differs between two runs of the same program
    ///
    /// The rules are pids, times, addresses, inodes, cpus, ids, rounds and host; by default all of them. Processes, threads and
    /// ids of events are numbered in the order in which they come up, an address is the name of what is mapped there and the
    /// offset in it, and the others are *. FINISHED_ROUND and compressed records, and the offsets of records, are left out; the
    /// records of a round are in the order of time.
    #[arg(
        long,
        value_name = "RULES",
        value_delimiter = ',',
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all"
    )]
    stable: Option<Vec<Rule>>,

    /// With --stable, count times from the first, in whole steps of NS nanoseconds
    ///
    /// By default a time is *.
    #[arg(long, value_name = "NS", default_value_t = 0)]
    time_step: u64,

    /// With --stable, leave PREFIX out of names that begin with it
    #[arg(long, value_name = "PREFIX")]
    strip_prefix: Vec<String>,

    /// Cut lists and texts where their line has reached WIDTH bytes
    #[arg(long, value_name = "WIDTH", default_value_t = 65_536)]
    max_width: usize,

    /// Print all bytes of all fields
    ///
    /// Nothing is cut. By default more than 64 bytes are their number and a hash.
    #[arg(long)]
    full: bool,

    /// Read on past damage: what is lost is counted, and is no error
    ///
    /// By default what stands before the damage is printed, and the exit code is 1.
    #[arg(long)]
    recover: bool,
}

/// A rule of --stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Rule {
    /// All of them
    All,
    /// Processes and threads
    Pids,
    /// Times
    Times,
    /// Addresses, registers and memory
    Addresses,
    /// Devices and inodes
    Inodes,
    /// CPUs
    Cpus,
    /// Ids of events
    Ids,
    /// When perf emptied its buffers
    Rounds,
    /// What tells one machine from another
    Host,
}

fn record_type(text: &str) -> Result<RecordType, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.trim_start_matches("PERF_RECORD_");
    let known = RecordType::ALL.iter().find(|known| known.name().is_some_and(|known| known == name));
    let number = || name.trim_start_matches("TYPE_").parse().ok().map(RecordType);
    known.copied().or_else(number).ok_or_else(|| {
        let names: Vec<_> = RecordType::ALL.iter().filter_map(|known| known.name()).collect();
        format!("{text} is no type of records; there are {}", names.join(", "))
    })
}

fn time_range(text: &str) -> Result<TimeRange, String> {
    let (from, to) = text.split_once(',').ok_or("it is FROM,TO; one of them may be empty")?;
    Ok(TimeRange { from: nanos(from)?, to: nanos(to)? })
}

/// Seconds with up to nine digits behind the point, in ns; exactly.
fn nanos(text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("{text} is no time in seconds");
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let seconds: u64 = seconds.parse().map_err(|_| wrong())?;
    let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    seconds.checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(fraction)).map(Some).ok_or_else(wrong)
}

impl Shown {
    /// The options of the library.
    pub(crate) fn options(&self) -> DumpOptions {
        let mut options = DumpOptions::default();
        options.json = self.json;
        options.types.clone_from(&self.types);
        options.pids.clone_from(&self.pid);
        options.time = self.time;
        options.fields.clone_from(&self.fields);
        options.offsets = !self.no_offsets;
        options.header = !self.events_only;
        options.records = !self.header_only;
        options.max_width = self.max_width;
        options.full = self.full;
        options.recover = self.recover;
        options.resolve = self.resolve;
        options.stable = self.stable.as_ref().map(|rules| self.rules(rules));
        options.offsets &= options.stable.is_none();
        options
    }
}

impl Shown {
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    pub(crate) fn recover(&self) -> bool {
        self.recover
    }

    fn rules(&self, rules: &[Rule]) -> StableRules {
        let mut stable = StableRules::none();
        for rule in rules {
            match rule {
                Rule::All => stable = StableRules::default(),
                Rule::Pids => stable.pids = true,
                Rule::Times => stable.times = true,
                Rule::Addresses => stable.addresses = true,
                Rule::Inodes => stable.inodes = true,
                Rule::Cpus => stable.cpus = true,
                Rule::Ids => stable.ids = true,
                Rule::Rounds => stable.rounds = true,
                Rule::Host => stable.host = true,
            }
        }
        stable.time_step = self.time_step;
        stable.strip_prefix = self.strip_prefix.iter().map(|prefix| prefix.as_str().into()).collect();
        stable
    }
}

impl Args {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        report::set_up(self.verbosity);
        let path = match &self.input {
            Some(path) => path,
            None if input::is_piped() => Path::new("-"),
            None => Path::new("perf.data"),
        };
        let watch = Watch { quiet: self.verbosity.quiet, stop: Arc::default() };
        let mut opened = open(path, self.force, self.shown.options(), &watch)?;
        opened.dump.write(&mut io::stdout().lock()).context("cannot write to standard output")?;
        opened.end(self.shown.recover)
    }
}

/// A recording that is being dumped.
pub(crate) struct Opened {
    pub(crate) dump: Dumper<'static>,
    name: String,
    packed_end: Option<packed::PackedEnd>,
}

/// Opens a recording by its name.
fn open(path: &Path, force: bool, options: DumpOptions, watch: &Watch) -> anyhow::Result<Opened> {
    let (input, packed_end) = begin(path, force, watch)?;
    dump_of(input, packed_end, options, watch)
}

/// Opens an input by its name, and reads its first bytes.
pub(crate) fn begin(
    path: &Path,
    force: bool,
    watch: &Watch,
) -> anyhow::Result<(Input, Option<packed::PackedEnd>)> {
    let mut input = Input::open(path, force)?;
    if input.object_file()?.is_some() {
        bail!("{input} is an object file and no recording: buildid-list prints its build-id");
    }
    let packed_end = input.begin(watch)?;
    Ok((input, packed_end))
}

/// The dump of an input.
pub(crate) fn dump_of(
    input: Input,
    packed_end: Option<packed::PackedEnd>,
    options: DumpOptions,
    watch: &Watch,
) -> anyhow::Result<Opened> {
    let resolve = options.resolve;
    let evidence = EvidenceConfig {
        strict: true,
        produced: input.produced(),
        clocks: Some(Rc::new(SystemClocks::default())),
        ..EvidenceConfig::default()
    };
    let name = input.to_string();
    let unreadable = || format!("cannot read {name}");
    let data = PerfData::open(input).with_context(unreadable)?;
    report::headless(&data);
    let dump = match data {
        PerfData::Pipe(stream) => of_pipe(stream, options, watch),
        PerfData::File(input) => {
            let Files { first, others, .. } = input.into_files(&env::temp_dir())?;
            let others = others.into_iter().map(|other| watch.file(other)).collect();
            Dumper::from_files(watch.file(first), others, options).with_context(unreadable)?
        }
    };
    let dump = match resolve {
        true => {
            dump.with_symbols(ObjectFiles::of_recording(SourceConfig { evidence, ..SourceConfig::default() }))
        }
        false => dump,
    };
    Ok(Opened { dump, name, packed_end })
}

fn of_pipe(stream: PipeStream<Input>, options: DumpOptions, watch: &Watch) -> Dumper<'static> {
    let (input, head) = stream.into_parts();
    match input.into_rest() {
        Ok(file) => Dumper::from_pipe(PipeStream::from_parts(watch.file(file), head), options),
        Err(packed) => Dumper::from_pipe(PipeStream::from_parts(packed, head), options),
    }
}

impl Opened {
    /// Reports what was wrong with it.
    ///
    /// # Errors
    /// Where it is damaged, unless it was to be read on past damage.
    pub(crate) fn end(mut self, recover: bool) -> anyhow::Result<()> {
        report::damage(self.dump.lost());
        let missing = self.dump.missing_fields();
        if !missing.is_empty() {
            log::warn!("no record that was shown has a field {}", missing.join(", "));
        }
        let mut damage = self.dump.take_damage();
        let mut failure = self.packed_end.and_then(|end| end.failure());
        if recover {
            let errors = [damage.take().map(anyhow::Error::from), failure.take()];
            errors.into_iter().flatten().for_each(|error| log::warn!("what is behind is lost: {error}"));
        }
        let name = self.name;
        let read = damage
            .map_or(Ok(()), |damage| Err(damage).with_context(|| format!("cannot read {name} to its end")));
        packed::ended(read, failure, &name)
    }
}
