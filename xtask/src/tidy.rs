//! `cargo xtask tidy`: the house rules that no compiler knows. Every finding is told, not only the first.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::run;
use crate::workspace::Workspace;

mod arrows;
mod code;
mod names;
mod paths;
mod rendered;
mod rooms;
mod rust;
mod text;

pub(crate) use paths::private;

/// A file of the repository.
pub(crate) struct File {
    /// Its path from the root.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

impl File {
    /// What it says, unless it is binary.
    fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().filter(|text| !text.contains('\0'))
    }

    fn is(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, end)| end == extension)
    }
}

pub(crate) fn run(workspace: &Workspace, _: &[String]) -> anyhow::Result<()> {
    let files = files()?;
    let mut findings = arrows::check(&workspace.metadata);
    findings.extend(names::check(&files));
    for file in &files {
        for check in [rooms::check, text::check, code::check, paths::check] {
            findings.extend(check(file));
        }
    }
    findings.extend(rendered::check(perftool::command())?);
    if !findings.is_empty() {
        bail!("tidy has {} findings:\n{}", findings.len(), findings.join("\n"));
    }
    println!("{} files are tidy", files.len());
    Ok(())
}

/// All files that git has or would take.
pub(crate) fn files() -> anyhow::Result<Vec<File>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let names = String::from_utf8(run::output(git)?).context("the name of a file is not UTF-8")?;
    let mut files = Vec::new();
    for path in names.split_terminator('\0') {
        match fs::read(path) {
            Ok(bytes) => files.push(File { path: path.to_owned(), bytes }),
            // Deleted, and git not told yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
        }
    }
    Ok(files)
}

/// What a check has to say about a made-up file.
#[cfg(test)]
fn findings(check: fn(&File) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
    check(&File { path: path.to_owned(), bytes: text.as_bytes().to_vec() })
}
