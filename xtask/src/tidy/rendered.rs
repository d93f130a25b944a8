//! The man pages and completions can be rendered, and say something of every command and option.

use perftool::Shell;

pub(super) fn check(command: clap::Command) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    undocumented(&command, &mut findings);
    let scripts = [Shell::Bash, Shell::Zsh, Shell::Fish]
        .map(|shell| (format!("{shell:?}"), perftool::completion_script(&command, shell).into_bytes()));
    for (name, text) in perftool::man_pages(command, None)?.into_iter().chain(scripts) {
        if text.is_empty() {
            findings.push(format!("{name}: it is rendered empty"));
        }
    }
    Ok(findings)
}

/// Finds what would be in a man page by its name alone.
fn undocumented(command: &clap::Command, findings: &mut Vec<String>) {
    let name = command.get_name();
    if command.get_about().is_none() {
        findings.push(format!("{name}: its help does not say what it does"));
    }
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_help().is_none()) {
        findings.push(format!("{name}: its help does not say what {} does", arg.get_id()));
    }
    command.get_subcommands().for_each(|subcommand| undocumented(subcommand, findings));
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    #[test]
    fn a_command_that_explains_itself_passes() {
        let command =
            Command::new("a").about("Does it.").arg(Arg::new("b").help("How.")).arg(Arg::new("c").hide(true));
        assert_eq!(check(command).unwrap(), [""; 0]);
    }

    #[test]
    fn commands_and_options_without_help_are_found() {
        let command = Command::new("a").about("Does it.").subcommand(Command::new("b").arg(Arg::new("c")));
        let expected = ["b: its help does not say what it does", "b: its help does not say what c does"];
        assert_eq!(check(command).unwrap(), expected);
    }
}
