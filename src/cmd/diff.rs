//! `perftool diff`: two recordings, record by record.

use std::env;
use std::fmt::{self, Display, Formatter};
use std::io::{self, BufReader, IsTerminal as _, Read};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::ValueHint;
use perf_dump::{DiffOptions, DiffSource, diff, dump_lines, text_lines};

use super::Verbosity;
use super::dump::{Opened, Shown, begin, dump_of};
use super::sections::HelpSection;
use crate::exit;
use crate::input::Input;
use crate::progress::Watch;
use crate::report::{self, Different, Trouble, UsageError};

/// What stands behind the options.
pub(super) const SECTIONS: &[HelpSection] = &[
    HelpSection::Commands(
        "Examples",
        &[
            "perftool diff before.data after.data",
            "perftool diff --stable kept.txt perf.data",
            "perftool diff --stat perf.data <(perftool inject -b -i perf.data)",
        ],
    ),
    HelpSection::Terms(
        "Exit status",
        &[
            ("0", "The recordings are the same, as far as they are shown."),
            ("1", "They differ."),
            ("2", "Damaged or unreadable data; what could be read is compared."),
            exit::OF_USAGE,
            exit::OF_READER_GONE,
        ],
    ),
    super::ENVIRONMENT,
    HelpSection::See(&["perftool(1)", "perftool-dump(1)", "diff(1)"]),
];

/// The options of `perftool diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The first: a recording, its directory, or a dump that was kept, also packed; - is standard input
    #[arg(value_name = "A", value_hint = ValueHint::FilePath)]
    a: PathBuf,

    /// The second
    #[arg(value_name = "B", value_hint = ValueHint::FilePath)]
    b: PathBuf,

    /// Show NUM lines that are the same around what differs
    #[arg(short = 'U', long = "unified", value_name = "NUM", default_value_t = 3)]
    unified: usize,

    /// Show differences as diff -u does, which is the default
    #[arg(short = 'u', hide = true)]
    is_unified: bool,

    /// Count what differs by type of record
    #[arg(long)]
    stat: bool,

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

/// What is compared.
enum Side {
    Dumper(Box<Opened>),
    /// A dump that was kept.
    Kept(Box<Input>),
}

/// The beginnings of a dump's text and of JSON.
const OF_DUMPS: [&[u8]; 3] = [b"HEADER ", b"{\"record\"", b"0x"];

impl Args {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        report::set_up(self.verbosity);
        match self.compare() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Different.into()),
            Err(error) => Err(error.context(Trouble)),
        }
    }

    /// Whether both are the same.
    fn compare(&self) -> anyhow::Result<bool> {
        if self.a == self.b && self.a.as_os_str() == "-" {
            bail!(UsageError("standard input can be one of both, and not A and B".to_owned()));
        }
        let watch = Watch { quiet: self.verbosity.quiet, stop: Arc::default() };
        let mut begun = Vec::new();
        for path in [&self.a, &self.b] {
            begun.push(begin(path, self.force, &watch)?);
        }
        let is_kept = |input: &Input| OF_DUMPS.iter().any(|start| input.beginning().starts_with(start));
        let is_json = |input: &Input| input.beginning().starts_with(b"{");
        let kept: Vec<_> = begun.iter().map(|(input, _)| input).filter(|input| is_kept(input)).collect();
        let json = self.shown.json() || kept.iter().any(|input| is_json(input));
        if let Some(text) = kept.iter().find(|input| json && !is_json(input)) {
            bail!(UsageError(format!("{text} is a dump of text, and the other, or --json, is of JSON")));
        }
        let mut options = self.shown.options();
        options.json = json;
        options.offsets = false;
        let side = |(input, packed_end)| -> anyhow::Result<Side> {
            if is_kept(&input) {
                return Ok(Side::Kept(Box::new(input)));
            }
            dump_of(input, packed_end, options.clone(), &watch).map(Box::new).map(Side::Dumper)
        };
        let mut sides = begun.into_iter().map(side).collect::<anyhow::Result<Vec<_>>>()?;
        let [a, b] = sides.as_mut_slice() else { bail!("there are two") };
        let mut how = DiffOptions::default();
        how.context = self.unified;
        how.stat = self.stat;
        how.json = self.shown.json();
        how.color =
            io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        how.names = [&self.a, &self.b].map(|path| report::one_line(path.display()));
        let mut out = io::BufWriter::new(io::stdout().lock());
        let summary = match diff(a.lines(), b.lines(), &how, &mut out) {
            Ok(summary) => summary,
            Err(error) if error.get_ref().is_some_and(|error| error.is::<Unreadable>()) => {
                return Err(error.into());
            }
            Err(error) => return Err(error).context("cannot write to standard output"),
        };
        for side in sides {
            if let Side::Dumper(opened) = side {
                opened.end(self.shown.recover())?;
            }
        }
        Ok(summary.is_same())
    }
}

impl Side {
    fn lines(&mut self) -> DiffSource<'_> {
        match self {
            Self::Dumper(opened) => dump_lines(&mut opened.dump),
            Self::Kept(input) => text_lines(BufReader::new(Kept(input))),
        }
    }
}

/// A dump that was kept. Its errors say what cannot be read: they come out where the differences are written.
struct Kept<'i>(&'i mut Input);

impl Read for Kept<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(io::Error::other(Unreadable(format!("cannot read {}: {error}", self.0))))
            }
            read => read,
        }
    }
}

#[derive(Debug)]
struct Unreadable(String);

impl Display for Unreadable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}
