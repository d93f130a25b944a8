//! `perftool buildid-list`: the build-ids that a recording carries, as perf lists them.

use std::io::{self, Seek as _};
use std::path::PathBuf;

use anyhow::Context as _;
use perf_buildid_list::{from_file, from_pipe, print};
use perf_format::{Format, Head, RecordReader};

use super::Talk;
use crate::input::Input;
use crate::report;

/// The options of `perftool buildid-list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  perftool buildid-list -i perf.data
  perf record -o - CMD | perftool inject -b | perftool buildid-list -i -

Exit status: 0 success, 1 damaged or unreadable data (what could be read is listed), 129 usage error.")]
pub(crate) struct Args {
    /// Read from FILE; - is standard input.
    #[arg(short, long, value_name = "FILE", default_value = "perf.data")]
    input: PathBuf,

    /// Read a file though somebody else owns it.
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    talk: Talk,
}

impl Args {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        report::set_up(self.talk);
        let mut input = Input::open(&self.input, self.force)?;
        let name = input.to_string();
        let unreadable = || format!("cannot read {name}");
        let head = Head::read(&mut input).with_context(unreadable)?;
        let list = match head.format {
            Format::Pipe(_) => from_pipe(RecordReader::pipe(input, head)),
            Format::File(_) => {
                let mut file = input.into_file();
                file.rewind()
                    .with_context(|| format!("{}: a perf.data file must be seekable", unreadable()))?;
                from_file(file).with_context(unreadable)?
            }
        };
        print(&list.entries, &mut io::stdout().lock()).context("cannot write to standard output")?;
        match list.damage {
            Some(damage) => Err(damage).with_context(|| format!("cannot read {name} to its end")),
            None => Ok(()),
        }
    }
}
