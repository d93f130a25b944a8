//! `perftool man`: a man page for the command and for each of its subcommands, out of the definitions that parse the
//! command line.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Command, ValueHint};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::sections::HelpSection;
use crate::{exit, report};

/// What stands behind the options.
pub(super) const SECTIONS: &[HelpSection] = &[
    HelpSection::Commands(
        "Examples",
        &[
            "perftool man | man -l -",
            "mkdir -p ~/.local/share/man/man1 && perftool man ~/.local/share/man/man1",
        ],
    ),
    HelpSection::Terms(
        "Exit status",
        &[exit::OF_SUCCESS, ("1", "A page cannot be written."), exit::OF_USAGE, exit::OF_READER_GONE],
    ),
    HelpSection::Terms(
        "Environment",
        &[("SOURCE_DATE_EPOCH", "The date of the pages, in seconds since 1970; without it they have none.")],
    ),
    HelpSection::See(&["perftool(1)", "man(1)"]),
];

/// The options of `perftool man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write a file for each page to DIR
    ///
    /// DIR has to be there. The name of each file that was written is printed. By default all pages go to standard output,
    /// one behind the other, as roff.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let pages = pages(crate::command(), date()?.as_deref())?;
        let Some(dir) = &self.dir else {
            let all: Vec<_> = pages.into_iter().flat_map(|(_, page)| page).collect();
            return io::stdout().write_all(&all).context("cannot write to standard output");
        };
        if !dir.is_dir() {
            bail!("cannot write man pages to {}: it is no directory (mkdir -p makes one)", dir.display());
        }
        for (name, page) in pages {
            let path = dir.join(name);
            fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
            report::print(path.display())?;
        }
        Ok(())
    }
}

/// The date that SOURCE_DATE_EPOCH says, as those who build packages set it. The day of a build would make every build's
/// pages differ.
fn date() -> anyhow::Result<Option<String>> {
    let Some(epoch) = env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds = epoch.to_str().and_then(|text| text.parse().ok());
    let seconds =
        seconds.with_context(|| format!("SOURCE_DATE_EPOCH is no number of seconds: {}", epoch.display()))?;
    Ok(Some(day(seconds)))
}

/// The day, as YYYY-MM-DD, of a time in seconds since 1970.
fn day(seconds: u64) -> String {
    // Years that begin in March have their leap day at the end: of 400, of 100, of 4 and of one year.
    let days = seconds / 86_400 + 719_468;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = days / 146_097 * 400 + year_of_era + u64::from(month < 3);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The man pages of a command and its subcommands, each with its file's name. `date` is YYYY-MM-DD.
///
/// # Errors
/// Where one cannot be rendered, which is an error of the definitions.
pub fn pages(command: Command, date: Option<&str>) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut command = command.disable_help_subcommand(true);
    // Gives the subcommands their full names.
    command.build();
    let program = command.render_version().trim_end().to_owned();
    // None at all would shift what comes after it.
    let date = date.unwrap_or(" ");
    let mut pages = vec![page(&command, &program, date, super::SECTIONS)?];
    for subcommand in command.get_subcommands() {
        pages.push(page(subcommand, &program, date, super::sections_of(subcommand.get_name()))?);
    }
    Ok(pages)
}

fn page(
    command: &Command,
    program: &str,
    date: &str,
    sections: &[HelpSection],
) -> anyhow::Result<(String, Vec<u8>)> {
    let man = Man::new(command.clone()).date(date).source(program).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend(synopsis(command).into_bytes());
    man.render_description_section(&mut page)?;
    let mut options = Vec::new();
    man.render_options_section(&mut options)?;
    page.extend(with_headings(&String::from_utf8(options)?).into_bytes());
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend(as_roff(sections).into_bytes());
    Ok((man.get_filename(), page))
}

/// The usage as the help has it: a synopsis with each of forty options says less than one that says that there are some.
fn synopsis(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let name = command.get_bin_name().unwrap_or_default();
    let rest = usage.trim_start_matches("Usage: ").trim_start_matches(name).to_owned();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text([bold(name), roman(rest.trim_end())]);
    roff.render()
}

/// The options as man pages have them: groups are parts of one section, paragraphs are told by requests, and an example's
/// lines, which are indented, stay lines.
fn with_headings(options: &str) -> String {
    let mut page = String::new();
    let mut is_example = false;
    // A break beside an empty line is none.
    for line in options.replace("\n.br\n\n.br\n", "\n\n").lines() {
        if line.starts_with("  ") != is_example {
            page += if is_example { ".fi\n" } else { ".nf\n" };
            is_example = !is_example;
        }
        match line.strip_prefix(".SH ") {
            Some(heading) if heading != "OPTIONS" => page += &format!(".SS {heading}"),
            _ if line.is_empty() => page += ".sp",
            _ => page += line,
        }
        page.push('\n');
    }
    page + if is_example { ".fi\n" } else { "" }
}

fn as_roff(sections: &[HelpSection]) -> String {
    let mut roff = Roff::new();
    let heading = |roff: &mut Roff, title: &str| {
        roff.control("SH", [title.to_uppercase().as_str()]);
    };
    for section in sections {
        match section {
            HelpSection::Commands(title, lines) => {
                heading(&mut roff, title);
                roff.control("nf", []);
                lines.iter().for_each(|line| {
                    roff.text([roman(*line)]);
                });
                roff.control("fi", []);
            }
            HelpSection::Terms(title, terms) => {
                heading(&mut roff, title);
                for (term, meaning) in *terms {
                    if !term.is_empty() {
                        roff.control("TP", []);
                        roff.text([bold(*term)]);
                    }
                    roff.text([roman(*meaning)]);
                }
            }
            HelpSection::See(pages) => {
                heading(&mut roff, "See also");
                let mut text = Vec::new();
                for page in *pages {
                    let (name, number) = page.split_once('(').unwrap_or((page, ""));
                    let comma = if text.is_empty() { "" } else { ", " };
                    text.extend([roman(comma), bold(name), roman(format!("({number}"))]);
                }
                roff.text(text);
            }
        }
    }
    roff.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_that_of_the_calendar() {
        let days = [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (951_868_800, "2000-03-01")];
        let later =
            [(1_709_251_199, "2024-02-29"), (1_735_689_599, "2024-12-31"), (4_107_542_400, "2100-03-01")];
        for (seconds, expected) in days.into_iter().chain(later) {
            assert_eq!(day(seconds), expected);
        }
    }

    #[test]
    fn each_section_has_its_lines_as_they_are() {
        let sections = [
            HelpSection::Commands("Examples", &["perftool a -b", "perftool b"]),
            HelpSection::Terms("Exit status", &[("0", "Well."), ("1", "Not"), ("", "well.")]),
            HelpSection::See(&["perf-record(1)", "man(1)"]),
        ];
        let page = as_roff(&sections);
        let expected = "\
.SH EXAMPLES
.nf
perftool a \\-b
perftool b
.fi
.SH \"EXIT STATUS\"
.TP
\\fB0\\fR
Well.
.TP
\\fB1\\fR
Not
well.
.SH \"SEE ALSO\"
\\fBperf\\-record\\fR(1), \\fBman\\fR(1)
";
        assert!(page.ends_with(expected), "{page}");
    }

    #[test]
    fn groups_of_options_are_parts_of_one_section_and_examples_keep_their_lines() {
        let options =
            ".SH OPTIONS\n.TP\na\nIt does.\n\nMore.\n\n  x \\-y\n  z\n.SH \"JITTED CODE\"\n.TP\nb\n";
        let expected = ".SH OPTIONS\n.TP\na\nIt does.\n.sp\nMore.\n.sp\n.nf\n  x \\-y\n  z\n.fi\n.SS \"JITTED CODE\"\n.TP\nb\n";
        assert_eq!(with_headings(options), expected);
    }
}
