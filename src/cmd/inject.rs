//! `perftool inject`: perf data in, perf data out, and what was asked for put into it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use perf_format::{Format, Head, RecordReader};
use perf_inject::Plan;
use perf_session::build_id::Chain;
use perf_session::{Passed, Repipe, Session};

use super::Talk;
use crate::input::Input;
use crate::output::Output;
use crate::{interrupt, report};

/// The options of `perftool inject`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  perf record -o - -g CMD | perftool inject -b | perf report -i -
  perf record -o - -a sleep 10 | perftool inject -b > profile.pipe
  perftool inject -b -i profile.pipe | perf script -i -

Exit status: 0 success, 1 damaged or unreadable data or a failed write, 129 usage error,
141 the reader of standard output went away.")]
pub(crate) struct Args {
    /// Inject the build-id of each DSO in front of the first sample that hits it.
    #[arg(short = 'b', long)]
    build_ids: bool,

    /// Read from FILE; - is standard input.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    input: PathBuf,

    /// Write to FILE; - is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,

    /// Read a file though somebody else owns it.
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    talk: Talk,
}

impl Args {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        report::set_up(self.talk);
        if self.output.as_os_str() != "-" {
            bail!(
                "cannot write to {}: so far inject writes to standard output alone (-o -)",
                self.output.display()
            );
        }
        let mut input = Input::open(&self.input, self.force)?;
        let mut output = Output::stdout()?;
        if input.is_live() {
            interrupt::read_to_the_end().context("cannot watch for interrupts")?;
        }
        let head = Head::read(&mut input).with_context(|| format!("cannot read {input}"))?;
        if let Format::File(_) = head.format {
            bail!(
                "cannot read {input}: it is in perf's file format; so far inject reads what perf record -o - writes"
            );
        }
        let name = input.to_string();
        let mut records = RecordReader::pipe(input, head);
        let mut session = Session::new();
        let mut passed = Passed::default();
        let mut tools = Plan { build_ids: self.build_ids }.tools(Chain::live());
        let done =
            session.process_events(&mut records, &mut tools.as_tools(), Repipe::To(&mut output), &mut passed);
        report::odd(&session.odd);
        log::debug!(
            "{} records, {} bytes written, {} of them injected",
            passed.records,
            passed.written,
            passed.injected
        );
        done.map_err(|error| match error {
            perf_session::Error::Write { .. } => {
                anyhow::Error::new(error).context("cannot write to standard output")
            }
            error => anyhow::Error::new(error).context(format!("cannot read {name} to its end")),
        })
    }
}
