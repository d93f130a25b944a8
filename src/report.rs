//! Messages for a person: errors with their causes, warnings, and the messages of `-v`, all on standard error.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Read, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use log::{Level, LevelFilter};
use perf_format::{Damage, PerfData};
use perf_inject::{Cause, NameSummary, RunReport};
use perf_session::{Anomalies, Passed};
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
    // What they have to say of each connection is no message for whoever reads recordings.
    for library in ["ureq", "ureq_proto", "rustls"] {
        builder.filter_module(library, level.min(LevelFilter::Warn));
    }
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
        if is_obeyed(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// JSON that no terminal obeys. What it would obey stands in strings alone, but for the newlines between them.
pub(crate) fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) && c != '\n' {
            escaped += &format!("\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a terminal may do something for a character besides showing it: a control character, a mark of where a line
/// ends, or one that changes the direction in which others are written or is not seen at all.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// Warns that many samples will have no name. That they were recorded elsewhere, or that a dump was not taken, was said
/// already.
pub(crate) fn names(names: &NameSummary) {
    let is_said = |cause| matches!(cause, Cause::Elsewhere | Cause::RefusedDump);
    if !names.unnamed.first().is_some_and(|unnamed| is_said(unnamed.cause)) {
        log::warn!("{names}");
    }
}

/// Reports with `-v` what passed. `len` is how many bytes an output file has.
pub(crate) fn passed(report: &RunReport, len: Option<u64>) {
    let Passed { records, written, injected, .. } = report.passed;
    let bytes = len.unwrap_or(written);
    let read = match records {
        // Where nothing is asked of the records, the kernel copies them.
        0 if written > 0 => format!("{written} bytes of records copied as they are"),
        _ => counted(records, "record") + " read",
    };
    let ids = report.ids.as_ref().map_or(0, |ids| ids.injected.values().sum::<u64>());
    let injected = if injected > 0 { format!(" ({injected} bytes of records)") } else { String::new() };
    log::debug!("{read}, {} injected{injected}, {bytes} bytes written", counted(ids, "build-id"));
}

/// Reports that a pipe's header is missing.
pub(crate) fn headless<S: Read>(data: &PerfData<S>) {
    if let PerfData::Pipe(stream) = data
        && stream.is_headless()
    {
        log::warn!(
            "the pipe's header is missing, as behind perf 6.1's inject -i FILE: what follows is read all the same"
        );
    }
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

/// Two recordings differ, which was told in full.
#[derive(Debug)]
pub(crate) struct Different;

impl Display for Different {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the recordings differ")
    }
}

impl std::error::Error for Different {}

/// What `diff` could not do.
#[derive(Debug)]
pub(crate) struct Trouble;

impl Display for Trouble {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("cannot compare the recordings")
    }
}

/// Reports how the run ended.
pub(crate) fn end(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return exit::SUCCESS.into() };
    if error.is::<Different>() {
        return exit::DIFFERENT.into();
    }
    if is_reader_gone(&error) {
        // The shell sees the same as of any filter. Where the signal is blocked, the exit code must do.
        emulate_default_handler(SIGPIPE).ok();
        return exit::READER_GONE.into();
    }
    let mut message = format!("perftool: error: {}\n", one_line(&error));
    for cause in error.chain().skip(1) {
        message += &format!("  caused by: {}\n", one_line(cause));
    }
    if let Some(advice) = advice(&error) {
        message += &format!("  what helps: {advice}\n");
    }
    // Where even that cannot be written there is nowhere to report it.
    io::stderr().write_all(message.as_bytes()).ok();
    let is_usage = error.chain().any(|cause| cause.is::<UsageError>());
    match (is_usage, error.is::<Trouble>()) {
        (true, _) => exit::USAGE.into(),
        (false, true) => exit::TROUBLE.into(),
        (false, false) => exit::FAILURE.into(),
    }
}

/// What the user can do about an error, where it is not in the error.
fn advice(error: &anyhow::Error) -> Option<&'static str> {
    use perf_format::Error as E;
    let of_format = error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(perf_session::Error::Format(error)) => Some(error),
        _ => cause.downcast_ref::<E>(),
    });
    match of_format? {
        E::Text { .. } => Some(
            "record without 2>&1, and without a program that prints into the recording; --recover reads on behind \
             the text",
        ),
        E::AnotherRecording { .. } => Some(
            "what stands before it has been read; recordings behind one another are read one by one, each from where \
             it begins",
        ),
        _ => None,
    }
}

fn is_reader_gone(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error in the command line that the parser cannot see: options that do not go together, a value that is none.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl Display for UsageError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Prints a line on standard output.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn print(line: impl Display) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}

/// Prints clap's messages: help and the version on standard output, which is no error, all others on standard error.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return end(error.print().context("cannot write to standard output"));
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => text.to_owned(),
        _ => format!("perftool: error: {text}"),
    };
    // Where even that cannot be written there is nowhere to report it.
    io::stderr().write_all(text.as_bytes()).ok();
    exit::USAGE.into()
}

#[cfg(test)]
mod tests {
    use super::{json, one_line};

    #[test]
    fn names_are_shown_and_never_obeyed() {
        let name = "/\u{9b}31m\u{7f}\u{202e}\u{2028}\u{feff}é漢\n";
        assert_eq!(one_line(name), r"/\u{9b}31m\u{7f}\u{202e}\u{2028}\u{feff}é漢\n");
        let document = serde_json::to_string_pretty(&[name]).expect("JSON");
        let escaped = json(&document);
        let expected = r#""/\u009b31m\u007f\u202e\u2028\ufeffé漢\n""#;
        assert_eq!(escaped, format!("[\n  {expected}\n]"));
        assert_eq!(serde_json::from_str::<Vec<String>>(&escaped).expect("still JSON"), [name]);
    }
}
