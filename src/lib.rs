//! The program behind `perftool`: argv, terminals, files and exit codes. The libraries read and write perf data; they
//! know nothing of any of this.
//!
//! It is a library so that the man pages and completions are rendered from the same definitions that parse the
//! command line: see [`command`].

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches as _;

mod clocks;
mod cmd;
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
#[command(name = "perftool", version, about, propagate_version = true, infer_long_args = true)]
#[command(disable_help_subcommand = true, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  perf record -o - CMD | perftool inject -b | perf report -i -
  perftool buildid-list -i perf.data

Exit status: 0 success, 1 damaged or unreadable data or a failed write, 129 usage error,
141 the reader of standard output went away.")]
struct Cli {
    #[command(subcommand)]
    command: cmd::Command,
}

/// The definition of the command line, for parsing, help, man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    cmd::as_perf_parses(<Cli as clap::CommandFactory>::command())
}

/// Runs the program with these arguments, its own name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = command().try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => report::end(cli.command.run()),
        Err(error) => report::usage(&error),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
