//! `perftool completions`: what a shell needs to complete a command line, out of the definitions that parse it.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell as Generator;

use super::sections::HelpSection;
use crate::exit;

/// What stands behind the options.
pub(super) const SECTIONS: &[HelpSection] = &[
    HelpSection::Commands(
        "Examples",
        &[
            "source <(perftool completions bash)",
            "perftool completions zsh > ~/.zfunc/_perftool",
            "perftool completions fish > ~/.config/fish/completions/perftool.fish",
        ],
    ),
    HelpSection::Terms(
        "Exit status",
        &[exit::OF_SUCCESS, ("1", "The script cannot be written."), exit::OF_USAGE, exit::OF_READER_GONE],
    ),
    HelpSection::See(&["perftool(1)", "bash(1)", "zsh(1)", "fish(1)"]),
];

/// The options of `perftool completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell that shall complete
    ///
    /// The script goes to standard output. bash reads it with source, or from a file `perftool` in
    /// ~/.local/share/bash-completion/completions; zsh from a file `_perftool` in a directory of its fpath; fish from a
    /// file `perftool.fish` in ~/.config/fish/completions.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// A shell that can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// With or without the package bash-completion
    Bash,
    /// With compinit
    Zsh,
    /// By itself
    Fish,
}

impl Args {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let script = script(&crate::command(), self.shell);
        io::stdout().write_all(script.as_bytes()).context("cannot write to standard output")
    }
}

/// The script that completes this command in a shell.
#[must_use]
pub fn script(command: &Command, shell: Shell) -> String {
    let mut command = visible(command);
    let in_this_word = values_in_this_word(&command);
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(generator, &mut command, name, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => for_bash(&script, &command, &in_this_word),
        Shell::Zsh => for_zsh(&script, &in_this_word),
        Shell::Fish => for_fish(&script, &command, &in_this_word),
    }
}

/// The command without its hidden options, which the generators would offer.
fn visible(command: &Command) -> Command {
    let mut visible = Command::new(command.get_name().to_owned());
    if let Some(about) = command.get_about() {
        visible = visible.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        visible = visible.version(version.to_owned());
    }
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        // Both are made anew.
        if !["help", "version"].contains(&arg.get_id().as_str()) {
            visible = visible.args(as_completed(arg));
        }
    }
    visible.subcommands(command.get_subcommands().filter(|sub| sub.get_name() != "help").map(self::visible))
}

/// An option as it is completed: without what it conflicts with, since that may be hidden.
fn as_completed(arg: &Arg) -> Vec<Arg> {
    let id = arg.get_id().as_str().to_owned();
    let mut made = Arg::new(id.clone()).value_hint(arg.get_value_hint());
    if let Some(help) = arg.get_help() {
        made = made.help(help.clone());
    }
    if let Some(long) = arg.get_long() {
        made = made.long(long.to_owned());
    }
    let takes_value = arg.get_action().takes_values();
    made = made.action(arg.get_action().clone());
    if takes_value {
        let values: Vec<_> = arg.get_possible_values();
        if let Some(names) = arg.get_value_names() {
            made = made.value_names(names.to_vec());
        }
        if id == "buildid_to" {
            made = made.value_parser(PossibleValuesParser::new(ID_DESTINATIONS));
        } else if !values.is_empty() {
            made = made.value_parser(PossibleValuesParser::new(values));
        }
    }
    match arg.get_short() {
        // A short option takes no value from the next word either, and so is completed as one that has none.
        Some(short) if arg.is_require_equals_set() => {
            let mut flag = Arg::new(format!("{id}_short")).short(short).action(ArgAction::SetTrue);
            if let Some(help) = arg.get_help() {
                flag = flag.help(help.clone());
            }
            vec![made.require_equals(true), flag]
        }
        Some(short) => vec![made.short(short)],
        None => vec![made.require_equals(arg.is_require_equals_set())],
    }
}

/// The values of `--buildid-to` that are worth offering. The parser takes them in any order.
const ID_DESTINATIONS: [&str; 6] =
    ["header", "events", "mmap2", "header,events", "header,mmap2", "header,events,mmap2"];

/// The options whose value stands in their own word, if there is one: `--jit=per-process`.
fn values_in_this_word(command: &Command) -> Vec<String> {
    let all = command.get_subcommands().flat_map(Command::get_arguments);
    all.filter(|arg| arg.is_require_equals_set())
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect()
}

/// What the generator for bash leaves out: values behind "=", at which bash cuts words (of a word that is "=" its second
/// argument is empty, and the third the word before); that a directory's option takes directories alone; and directories
/// for an argument that is one.
fn for_bash(script: &str, command: &Command, in_this_word: &[String]) -> String {
    let options: Vec<_> = in_this_word.iter().map(|long| format!("--{long}")).collect();
    let behind_equals = format!(
        r#"    prev="$3"
    if [[ "${{prev}}" == = ]]; then
        prev="${{COMP_WORDS[COMP_CWORD-2]}}"
    elif [[ "${{COMP_WORDS[COMP_CWORD]}}" != = ]]; then
        case "${{prev}}" in
            {})
                prev=""
                ;;
        esac
    fi
    if [[ "${{prev}}" =~ ^[0-9]+$ ]]; then
        # --root PID=DIR
        prev="--root"
    fi
"#,
        options.join("|")
    );
    let script = script.replace("compopt -o plusdirs", DIRECTORIES_ALONE);
    let script = script.replacen("    prev=\"$3\"\n", &behind_equals, 1);
    let by_command = "    case \"${cmd}\" in\n";
    let with_directories = directories_for_bash(command) + by_command;
    script.replacen(by_command, &with_directories, 1)
}

/// Without the others, files are offered where there is no directory.
const DIRECTORIES_ALONE: &str = "compopt -o plusdirs +o default +o bashdefault";

fn directories_for_bash(command: &Command) -> String {
    let name = command.get_name();
    let takes_directory =
        |sub: &&Command| sub.get_positionals().any(|arg| arg.get_value_hint() == ValueHint::DirPath);
    let of = |sub: &Command| {
        format!(
            r#"    if [[ "${{cmd}}" == {name}__subcmd__{} && "${{cur}}" != -* ]]; then
        {DIRECTORIES_ALONE}
        return 0
    fi
"#,
            sub.get_name().replace('-', "__subcmd__")
        )
    };
    command.get_subcommands().filter(takes_directory).map(of).collect()
}

/// What the generator for zsh leaves out: that the value stands in the option's own word, and that a directory's option takes
/// directories alone (`_files -/` offers files where there is none).
fn for_zsh(script: &str, in_this_word: &[String]) -> String {
    let script = script.replace(":_files -/'", ":_path_files -/'");
    in_this_word
        .iter()
        .fold(script, |script, long| script.replace(&format!("'--{long}=["), &format!("'--{long}=-[")))
}

/// What the generator for fish leaves out: that the value stands in the option's own word, directories behind "=",
/// arguments that are no options, what `help` is asked for, and that other subcommands take no arguments.
fn for_fish(script: &str, command: &Command, in_this_word: &[String]) -> String {
    let mut lines = String::new();
    for line in script.replace("(__fish_complete_directories)", FISH_DIRECTORIES).lines() {
        let needs_equals = in_this_word.iter().any(|long| line.contains(&format!(" -l {long} ")));
        lines += &if needs_equals { line.replacen(" -r -f -a ", " -f -a ", 1) } else { line.to_owned() };
        lines.push('\n');
    }
    let name = command.get_name();
    let subcommands: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
    lines += &format!(
        "complete -c {name} -n \"__fish_{name}_using_subcommand help\" -f -a \"{}\"\n",
        subcommands.join(" ")
    );
    for subcommand in command.get_subcommands() {
        let in_subcommand =
            format!("complete -c {name} -n \"__fish_{name}_using_subcommand {}\" -f", subcommand.get_name());
        lines += &match subcommand.get_positionals().next() {
            None => format!("{in_subcommand}\n"),
            Some(arg) if arg.get_value_hint() == ValueHint::DirPath => {
                format!("{in_subcommand} -a \"{FISH_DIRECTORIES}\"\n")
            }
            Some(arg) => {
                let values = arg.get_possible_values();
                let values: Vec<_> = values.iter().map(|value| value.get_name()).collect();
                format!("{in_subcommand} -a \"{}\"\n", values.join(" "))
            }
        };
    }
    lines
}

/// The directories that begin with what is typed, behind an option's "=" too.
const FISH_DIRECTORIES: &str =
    "(__fish_complete_directories (commandline -ct | string replace -r '^--[^=]*=' ''))";
