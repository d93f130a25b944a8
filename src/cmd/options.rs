//! How options are parsed: by perf's rules, with what perf has and this program does not.

use std::ffi::{OsStr, OsString};

use bstr::ByteSlice as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, Error};

/// An option that perf's subcommand has and this one does not.
#[derive(Debug)]
struct PerfOnly {
    long: &'static str,
    short: Option<char>,
    value: Value,
}

/// Whether an option takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Optional,
    Required,
}

const fn only(long: &'static str, short: Option<char>, value: Value) -> PerfOnly {
    PerfOnly { long, short, value }
}

/// Of a subcommand of perf: its long options that are here too, and those that are not.
fn of_perf(subcommand: &str) -> (&'static [&'static str], &'static [PerfOnly]) {
    match subcommand {
        "inject" => (IN_BOTH_INJECTS, ONLY_IN_PERF_INJECT),
        "buildid-list" => (&["force", "with-hits", "input", "kernel", "kernel-maps", "verbose"], &[]),
        _ => (&[], &[]),
    }
}

const IN_BOTH_INJECTS: &[&str] = &[
    "build-ids",
    "buildid-all",
    "mmap2-buildids",
    "mmap2-buildid-all",
    "known-build-ids",
    "input",
    "output",
    "jit",
    "sched-stat",
    "verbose",
    "vmlinux",
    "ignore-vmlinux",
    "kallsyms",
    "force",
];

/// As of perf 7.3.
const ONLY_IN_PERF_INJECT: &[PerfOnly] = &[
    only("itrace", None, Value::Optional),
    only("strip", None, Value::None),
    only("vm-time-correlation", None, Value::Optional),
    only("guest-data", None, Value::Optional),
    only("guestmount", None, Value::Required),
    only("unwind-style", None, Value::Required),
    only("aslr", None, Value::None),
];

/// The option that prints the long options, for perf's completion scripts.
const LIST_OPTS: &str = "list-opts";

/// A command whose options are parsed as perf does: the last of several wins, and each has its `--no-`. Long options may
/// be cut, see [`expand`].
pub(crate) fn as_perf_parses(command: Command) -> Command {
    command.args_override_self(true).mut_subcommands(|subcommand| {
        let (_, only) = of_perf(subcommand.get_name());
        let mut subcommand = subcommand.args_override_self(true).arg(hidden(LIST_OPTS, Value::None));
        for PerfOnly { long, short, value } in only {
            subcommand = subcommand.arg(hidden(*long, *value).short(*short));
        }
        let longs: Vec<_> = subcommand
            .get_arguments()
            .filter_map(|arg| Some((arg.get_id().clone(), arg.get_long()?.to_owned())))
            .collect();
        for (id, long) in longs {
            let off = hidden(format!("no-{long}"), Value::None).overrides_with(&id);
            subcommand = subcommand.arg(off).mut_arg(&id, |on| on.overrides_with(format!("no-{long}")));
        }
        subcommand
    })
}

fn hidden(long: impl Into<String>, value: Value) -> Arg {
    let long = long.into();
    let arg = Arg::new(long.clone()).long(long).hide(true);
    match value {
        Value::None => arg.action(ArgAction::SetTrue),
        Value::Optional => arg.num_args(0..=1).require_equals(true).default_missing_value(""),
        Value::Required => arg.num_args(1),
    }
}

/// The arguments with the long options of the subcommand in full. One may be cut as long as it can be no other; of those
/// that begin with it, perf's own win.
///
/// # Errors
/// A usage error for one that can be several.
pub(crate) fn expand(
    command: &Command,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Vec<OsString>, Error> {
    let mut args: Vec<_> = args.into_iter().collect();
    let subcommand = |arg: &OsString| command.get_subcommands().find(|known| *arg == *known.get_name());
    let Some((at, subcommand)) = args.iter().enumerate().find_map(|(at, arg)| Some((at, subcommand(arg)?)))
    else {
        return Ok(args);
    };
    for arg in args.iter_mut().skip(at + 1).take_while(|arg| *arg != "--") {
        if let Some(whole) = in_full(subcommand, arg)? {
            *arg = whole;
        }
    }
    Ok(args)
}

/// A long option that was cut, in full.
fn in_full(subcommand: &Command, arg: &OsStr) -> Result<Option<OsString>, Error> {
    let Some(option) = arg.as_encoded_bytes().strip_prefix(b"--").map(<[u8]>::as_bstr) else {
        return Ok(None);
    };
    let end = option.find_byte(b'=').unwrap_or(option.len());
    let (Some((typed, value)), true) = (option.split_at_checked(end), end > 0) else { return Ok(None) };
    let Ok(typed) = typed.to_str() else { return Ok(None) };
    let all: Vec<_> = subcommand.get_arguments().filter_map(Arg::get_long).chain(["help"]).collect();
    if all.contains(&typed) {
        return Ok(None);
    }
    let (both, only) = of_perf(subcommand.get_name());
    let is_perfs = |long: &str| {
        let long = long.strip_prefix("no-").unwrap_or(long);
        both.contains(&long) || only.iter().any(|option| option.long == long)
    };
    let begin: Vec<_> = all.into_iter().filter(|long| long.starts_with(typed)).collect();
    let of_perf: Vec<_> = begin.iter().copied().filter(|long| is_perfs(long)).collect();
    match if of_perf.is_empty() { begin } else { of_perf }.as_slice() {
        [] => Ok(None),
        [long] => {
            let mut whole = OsString::from("--");
            whole.push(long);
            // What stands behind the name is as it was typed.
            whole.push(value.to_os_str().unwrap_or_default());
            Ok(Some(whole))
        }
        several => {
            let several: Vec<_> = several.iter().map(|long| format!("--{long}")).collect();
            let message = format!("--{typed} is cut too short: it could be {}", several.join(" or "));
            Err(subcommand.clone().error(ErrorKind::UnknownArgument, message))
        }
    }
}

/// The parser's error; of an argument that belongs to no option, one that says where it belongs: behind the "=" of the
/// option before it, or behind -i.
pub(crate) fn with_advice(command: &Command, args: &[OsString], error: Error) -> Error {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(arg))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return error;
    };
    let subcommand = args.iter().find_map(|arg| command.find_subcommand(arg));
    let reads = |subcommand: &&Command| subcommand.get_arguments().any(|arg| arg.get_id() == "input");
    let Some(subcommand) = subcommand.filter(reads).filter(|_| !arg.starts_with('-')) else { return error };
    let before = args.windows(2).find(|words| words[1] == **arg).map(|words| &words[0]);
    let takes_it = before.and_then(|before| {
        let is_before = |long: &str| before.to_str() == Some(&format!("--{long}"));
        let mut options = subcommand.get_arguments().filter(|option| option.is_require_equals_set());
        options.find_map(|option| option.get_long().filter(|long| is_before(long)))
    });
    let message = match takes_it {
        Some(long) => format!("--{long} takes its value behind an equals sign: --{long}={arg}"),
        None => format!("{arg} belongs to no option; inputs are named with -i: -i {arg}"),
    };
    subcommand.clone().error(ErrorKind::UnknownArgument, message)
}

/// What the options ask for besides the subcommand's own work: `--list-opts`, or one that perf alone has.
///
/// # Errors
/// A usage error for an option that perf has and this program does not.
pub(crate) fn listed(command: &Command, matches: &ArgMatches) -> Result<Option<String>, Error> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(None) };
    let Some(subcommand) = command.find_subcommand(name) else { return Ok(None) };
    let is_given = |long: &str| matches.value_source(long) == Some(clap::parser::ValueSource::CommandLine);
    if let Some(PerfOnly { long, .. }) = of_perf(name).1.iter().find(|option| is_given(option.long)) {
        let message = format!("perf {name} has --{long}, and perftool {name} does not");
        return Err(subcommand.clone().error(ErrorKind::UnknownArgument, message));
    }
    let visible = subcommand.get_arguments().filter(|arg| !arg.is_hide_set());
    let longs = visible.filter_map(Arg::get_long).map(|long| format!("--{long} "));
    Ok(is_given(LIST_OPTS).then(|| longs.collect()))
}

/// A size in bytes, or in larger units.
///
/// # Errors
/// Where the text is none.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let units = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let unit = units.iter().find_map(|(unit, bits)| Some((text.strip_suffix(*unit)?, *bits)));
    let (digits, bits) = unit.unwrap_or((text, 0));
    let size = digits.parse::<u64>().ok().and_then(|size| size.checked_mul(1 << bits));
    size.ok_or_else(|| format!("{text:?} is no size"))
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_size_has_a_unit_or_none() {
        assert_eq!([size("12"), size("3K"), size("2T")], [Ok(12), Ok(3072), Ok(2 << 40)]);
        for wrong in ["", "K", "-1", "1k", "99999999999T", "1.5G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
