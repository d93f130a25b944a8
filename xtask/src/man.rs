//! `cargo xtask man`: a man page for the command and for each of its subcommands, out of the definitions that
//! parse the command line.

use std::fs;

use anyhow::Context as _;

use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, _: &[String]) -> anyhow::Result<()> {
    let folder = workspace.target("dist/man");
    fs::create_dir_all(&folder)?;
    for (name, page) in pages(perftool::command())? {
        let path = folder.join(name);
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// The pages, each with its file's name.
pub(crate) fn pages(mut command: clap::Command) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    // Gives the subcommands their full names.
    command.build();
    let mut pages = vec![page(&command)?];
    for subcommand in command.get_subcommands() {
        pages.push(page(subcommand)?);
    }
    Ok(pages)
}

fn page(command: &clap::Command) -> anyhow::Result<(String, Vec<u8>)> {
    let man = clap_mangen::Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok((man.get_filename(), page))
}
