//! Messages for a person: errors with their causes, warnings, and the messages of `-v`, all on standard error.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use log::{Level, LevelFilter};
use perf_format::Damage;
use perf_session::Anomalies;
use signal_hook::consts::SIGPIPE;
use signal_hook::low_level::emulate_default_handler;

use crate::cmd::Verbosity;
use crate::exit;
use crate::progress::ProgressStderr;

/// Sets up the log on standard error: warnings; nothing but errors with `-q`; more with each `-v`.
pub(crate) fn set_up(verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity { quiet: true, .. } => LevelFilter::Error,
        Verbosity { verbose: 0, .. } => LevelFilter::Warn,
        Verbosity { verbose: 1, .. } => LevelFilter::Debug,
        Verbosity { .. } => LevelFilter::Trace,
    };
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level).target(env_logger::Target::Pipe(Box::new(ProgressStderr)));
    builder.format(|out, record| {
        let line = one_line(record.args());
        match record.level() {
            Level::Error => writeln!(out, "perftool: error: {line}"),
            Level::Warn => writeln!(out, "perftool: warning: {line}"),
            _ => writeln!(out, "{line}"),
        }
    });
    // Set up already: only where a test runs two commands in one process.
    builder.try_init().ok();
}

/// A text with names from a recording in it, as one line that no terminal obeys.
pub(crate) fn one_line(text: impl Display) -> String {
    let mut line = String::new();
    for c in text.to_string().chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Reports how many odd records there were of each type, where there were more than the first, which was reported when it
/// came.
pub(crate) fn odd(anomalies: &Anomalies) {
    if anomalies.iter().any(|(_, odd)| odd.count > 1) {
        let types: Vec<_> = anomalies.iter().map(|(name, odd)| format!("{} {name}", odd.count)).collect();
        log::warn!("odd records passed as they are: {}", types.join(", "));
    }
}

/// Reports what was damaged and left out.
pub(crate) fn damage(damage: Option<Damage>) {
    let Some(Damage { bytes, places, first, mended }) = damage else { return };
    if let Some(first) = first {
        let (places_are, records_are) = (counted(places, "place"), counted(places, "record"));
        log::warn!(
            "{bytes} bytes are lost in {places_are}, the first at offset {first:#x}: {records_are} at the least"
        );
    }
    if mended > 0 {
        log::warn!("{} written again, since their size did not fit", counted(mended, "record"));
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Reports how the run ended.
pub(crate) fn end(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return exit::SUCCESS.into() };
    if is_reader_gone(&error) {
        // The shell sees the same as of any filter. Where the signal is blocked, the exit code must do.
        emulate_default_handler(SIGPIPE).ok();
        return exit::READER_GONE.into();
    }
    let mut message = format!("perftool: error: {}\n", one_line(&error));
    for cause in error.chain().skip(1) {
        message += &format!("  caused by: {}\n", one_line(cause));
    }
    // Where even that cannot be written there is nowhere to report it.
    io::stderr().write_all(message.as_bytes()).ok();
    exit::FAILURE.into()
}

fn is_reader_gone(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints clap's messages: help and the version on standard output, which is no error, all others on standard error.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Where even that cannot be written there is nowhere to report it.
    error.print().ok();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => exit::SUCCESS.into(),
        _ => exit::USAGE.into(),
    }
}
