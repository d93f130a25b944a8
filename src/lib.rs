//! The program behind `perftool`: argv, terminals, files and exit codes. The libraries read and write perf data; they
//! know nothing of any of this.
//!
//! It is a library so that the chores render man pages and completions from the definitions that parse the command
//! line ([`command`]), as `perftool man` and `perftool completions` do.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, FromArgMatches as _};

pub use crate::cmd::completions::{Shell, script as completion_script};
pub use crate::cmd::man::pages as man_pages;

mod clocks;
mod cmd;
mod debuginfod;
pub mod exit;
mod images;
mod input;
mod interrupt;
mod output;
mod progress;
mod ready;
mod recording_dir;
mod report;
mod splice;
mod stream;
mod summary;

/// The command line: `perftool SUBCOMMAND [OPTIONS]`.
#[derive(Debug, clap::Parser)]
#[command(name = "perftool", version, about, long_about = LONG_ABOUT, propagate_version = true, infer_long_args = true)]
#[command(arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    of_perf: OfPerf,

    #[command(subcommand)]
    command: cmd::Command,
}

const LONG_ABOUT: &str = "\
A filter for live profiling pipelines: adds build-ids to perf data as it passes

perftool stands between perf record and perf report. A profile names addresses; which function an address is in depends on which \
build of which binary was mapped: on its build-id. perftool injects the build-ids into the stream while perf records, names \
jitted code, and converts recordings between file and pipe format.";

/// What perf takes in front of its command. There is no pager here, and nothing is looked up in `~/.debug`, so that
/// nothing follows from them.
#[derive(Debug, clap::Args)]
struct OfPerf {
    #[arg(long, hide = true)]
    no_pager: bool,
    #[arg(short, long, hide = true)]
    paginate: bool,
    #[arg(long, value_name = "DIR", hide = true)]
    buildid_dir: Option<PathBuf>,
    #[arg(long, value_name = "DIR", hide = true)]
    debugfs_dir: Option<PathBuf>,
    #[arg(long, value_name = "KEYS", hide = true)]
    debug: Option<OsString>,
    /// Before the command it is perf's short form of --version.
    #[arg(short = 'v', action = ArgAction::Version, hide = true)]
    version_of_perf: Option<bool>,
}

/// The definition of the command line, for parsing, help, man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    cmd::options::as_perf_parses(cmd::with_sections(<Cli as clap::CommandFactory>::command()))
}

/// Runs the program with these arguments, its own name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match parse(args) {
        Ok(Parsed::Run(cli)) => report::end(cli.command.run()),
        Ok(Parsed::Listed(options)) => report::end(report::print(&options)),
        Err(error) => report::usage(&error),
    }
}

/// What the command line asks for.
enum Parsed {
    Run(Cli),
    /// A line for perf's completion scripts.
    Listed(String),
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, clap::Error> {
    let mut command = command();
    // The subcommands' usage begins with the program's name then.
    command.build();
    let args = cmd::options::expand(&command, args)?;
    let matches = command.clone().try_get_matches_from(&args);
    let matches = matches.map_err(|error| cmd::options::with_advice(&command, &args, error))?;
    Ok(match cmd::options::listed(&command, &matches)? {
        Some(options) => Parsed::Listed(options),
        None => Parsed::Run(Cli::from_arg_matches(&matches)?),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
