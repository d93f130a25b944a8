//! The man pages that the program prints and writes.

mod common;

use std::fs;
use std::process::Command;

use common::{perftool, stderr};

/// The pages in the order in which they are printed.
const PAGES: [&str; 9] = [
    "perftool.1",
    "perftool-inject.1",
    "perftool-buildid-list.1",
    "perftool-dump.1",
    "perftool-diff.1",
    "perftool-bundle.1",
    "perftool-unbundle.1",
    "perftool-man.1",
    "perftool-completions.1",
];

fn dated(command: &mut Command) -> &mut Command {
    command.env("SOURCE_DATE_EPOCH", "951782400")
}

#[test]
fn the_pages_go_to_standard_output_or_into_files_whose_names_are_printed() {
    let dir = tempfile::tempdir().expect("a directory");
    let folder = dir.path().to_str().expect("a name");
    let written = dated(&mut perftool(&["man", folder])).output().expect("it runs");
    assert!(written.status.success() && written.stderr.is_empty(), "{}", stderr(&written));
    let names = PAGES.map(|page| format!("{folder}/{page}\n"));
    assert_eq!(String::from_utf8(written.stdout).expect("text"), names.concat());
    let files = PAGES.map(|page| fs::read(dir.path().join(page)).expect("written"));
    let printed = dated(&mut perftool(&["man"])).output().expect("it runs");
    assert_eq!(printed.stdout, files.concat());
}

#[test]
fn a_page_has_the_date_that_the_builder_sets_and_the_sections_that_one_looks_for() {
    let output = dated(&mut perftool(&["man"])).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let pages: Vec<_> = text.split(".TH ").skip(1).collect();
    assert_eq!(pages.len(), PAGES.len());
    for page in &pages {
        assert!(page.contains(" 1 2000\\-02\\-29 ") || page.contains(" 1 2000-02-29 "), "{page}");
        for section in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "\"EXIT STATUS\"", "\"SEE ALSO\""]
        {
            assert_eq!(page.matches(&format!(".SH {section}\n")).count(), 1, "{section}: {page}");
        }
    }
    let inject = pages[1];
    assert!(
        inject.contains("130, 143") && inject.contains(".SH FILES\n") && inject.contains(".SH ENVIRONMENT\n")
    );
    assert!(inject.contains(".SS \"JITTED CODE\"\n"), "{inject}");
    let undated = perftool(&["man"]).env_remove("SOURCE_DATE_EPOCH").output().expect("it runs");
    assert!(!String::from_utf8(undated.stdout).expect("text").contains("2000"));
}

#[test]
fn pages_go_into_no_directory_that_is_not_there_and_have_no_date_that_is_none() {
    let output = perftool(&["man", "/no/such"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let expected =
        "perftool: error: cannot write man pages to /no/such: it is no directory (mkdir -p makes one)\n";
    assert_eq!(stderr(&output), expected);
    let output = perftool(&["man"]).env("SOURCE_DATE_EPOCH", "yesterday").output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output).lines().next(),
        Some("perftool: error: SOURCE_DATE_EPOCH is no number of seconds: yesterday")
    );
}
