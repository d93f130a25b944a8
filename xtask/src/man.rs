//! `cargo xtask man`: a man page for the command and for each of its subcommands, out of the definitions that
//! parse the command line.

use std::fs;

use anyhow::Context as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

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
    let program = command.render_version().trim_end().to_owned();
    let mut pages = vec![page(&command, &program)?];
    for subcommand in command.get_subcommands() {
        pages.push(page(subcommand, &program)?);
    }
    Ok(pages)
}

fn page(command: &clap::Command, program: &str) -> anyhow::Result<(String, Vec<u8>)> {
    // A date would make every build's pages differ, and none at all would shift what comes after it.
    let man = Man::new(command.clone()).date(" ").source(program).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    page.extend(sections(&after).into_bytes());
    Ok((man.get_filename(), page))
}

/// Sections for the text below the options: each paragraph `Title: text`, its lines as they are, since commands
/// are there to be copied.
fn sections(text: &str) -> String {
    let mut roff = Roff::new();
    for (title, body) in text.split("\n\n").filter_map(|paragraph| paragraph.split_once(':')) {
        roff.control("SH", [title.to_uppercase().as_str()]).control("nf", []);
        for line in body.trim_start().lines() {
            roff.text([roman(line.trim_start())]);
        }
        roff.control("fi", []);
    }
    roff.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_paragraph_is_a_section_with_its_lines_as_they_are() {
        let page = sections("Examples:\n  perftool a -b\n  perftool b\n\nExit status: 0 well,\n1 not.");
        let expected = ".SH EXAMPLES\n.nf\nperftool a \\-b\nperftool b\n.fi\n.SH \"EXIT STATUS\"\n.nf\n0 well,\n1 not.\n.fi\n";
        assert!(page.ends_with(expected), "{page}");
    }
}
