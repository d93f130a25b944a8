//! What stands behind the options, in the help and in the man pages: examples, exit codes, files, environment.

use std::fmt::Write as _;

/// A section. Its title is as in the help; a man page has it in capitals.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HelpSection {
    /// Command lines to copy.
    Commands(&'static str, &'static [&'static str]),
    /// Terms, and what each means. One without a term goes on with the line before it, so that no line of the help is
    /// longer than a terminal.
    Terms(&'static str, &'static [(&'static str, &'static str)]),
    /// Other man pages, which the help does not name.
    See(&'static [&'static str]),
}

/// The sections as text: the end of a help.
pub(crate) fn as_help<'a>(sections: impl IntoIterator<Item = &'a HelpSection>) -> String {
    let mut help = String::new();
    for section in sections {
        let gap = if help.is_empty() { "" } else { "\n" };
        match section {
            HelpSection::Commands(title, lines) => {
                help += &format!("{gap}{title}:\n");
                lines.iter().for_each(|line| help += &format!("  {line}\n"));
            }
            HelpSection::Terms(title, terms) => {
                help += &format!("{gap}{title}:\n");
                let width = terms.iter().map(|(term, _)| term.len()).max().unwrap_or_default();
                for (term, meaning) in *terms {
                    // A String takes all that is written to it.
                    writeln!(help, "  {term:width$}  {meaning}").ok();
                }
            }
            HelpSection::See(_) => {}
        }
    }
    help.truncate(help.trim_end().len());
    help
}
