//! `cargo xtask completions`: what the shells need to complete a command line, out of the definitions that parse
//! it.

use std::fs;

use anyhow::Context as _;
use clap_complete::{Generator as _, Shell};

use crate::workspace::Workspace;

const SHELLS: &[Shell] = &[Shell::Bash, Shell::Zsh, Shell::Fish];

pub(crate) fn run(workspace: &Workspace, _: &[String]) -> anyhow::Result<()> {
    let folder = workspace.target("dist/completions");
    fs::create_dir_all(&folder)?;
    for (name, script) in scripts(&perftool::command()) {
        let path = folder.join(name);
        fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// The scripts, each under the name by which its shell finds it.
pub(crate) fn scripts(command: &clap::Command) -> Vec<(String, Vec<u8>)> {
    let name = command.get_name();
    let script = |shell: &Shell| {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut command.clone(), name, &mut script);
        (shell.file_name(name), script)
    };
    SHELLS.iter().map(script).collect()
}
