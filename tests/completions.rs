//! What bash completes: its script is run as bash runs it, with the words as bash cuts them. zsh and fish are not asked,
//! since few machines have them; that their scripts have what the generators leave out is seen in the texts.

mod common;

use std::process::Command;

use common::{perftool, stderr};

/// What the script for a shell is.
fn script(shell: &str) -> String {
    let output = perftool(&["completions", shell]).output().expect("it runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// What bash offers for the last of these words, and the options by which it completes on its own.
fn offered(words: &[&str]) -> String {
    const ASK: &str = r#"
        compopt() { echo "compopt $*"; }
        source /dev/stdin
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        current="${COMP_WORDS[COMP_CWORD]}"
        if [ "$current" = = ]; then current=; fi
        _perftool perftool "$current" "${COMP_WORDS[COMP_CWORD-1]}"
        echo "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", ASK, "bash"]).args(words);
    let output = common::run(bash, script("bash").as_bytes());
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

#[test]
fn bash_offers_the_values_of_an_option_behind_its_equals_sign() {
    assert_eq!(offered(&["perftool", "inject", "--jit", "="]), "per-function per-process");
    assert_eq!(offered(&["perftool", "inject", "--jit", "=", "per-p"]), "per-process");
    assert_eq!(offered(&["perftool", "inject", "--summary", "="]), "table json");
    assert_eq!(
        offered(&["perftool", "inject", "--buildid-to", "=", "header,"]),
        "compopt -o nospace\nheader,events header,mmap2 header,events,mmap2"
    );
    assert_eq!(offered(&["perftool", "buildid-list", "--sort", "=", ""]), "name hits id time");
}

#[test]
fn bash_offers_values_in_the_next_word_where_they_may_stand_there() {
    assert_eq!(offered(&["perftool", "inject", "--jit-clock", ""]), "recorded auto");
    assert_eq!(offered(&["perftool", "buildid-list", "--sort", "h"]), "hits");
    // A value of these stands behind "=" and nowhere else.
    assert!(offered(&["perftool", "inject", "--jit", ""]).starts_with("-i -o -f "));
    assert!(offered(&["perftool", "inject", "--summary", ""]).starts_with("-i -o -f "));
}

#[test]
fn bash_offers_directories_alone_where_an_option_takes_one() {
    let directories = "compopt -o plusdirs +o default +o bashdefault";
    for option in ["--jit-dir", "--jitdump-dir", "--symfs", "--debug-dir"] {
        assert_eq!(offered(&["perftool", "inject", option, ""]), directories, "{option}");
        assert_eq!(offered(&["perftool", "inject", option, "="]), directories, "{option}");
    }
    assert_eq!(offered(&["perftool", "inject", "--root", "7", "=", "/u"]), directories);
    assert_eq!(offered(&["perftool", "man", ""]), directories);
}

#[test]
fn bash_offers_files_where_an_option_takes_one() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("a file"), "").expect("written");
    let path = format!("{}/a", dir.path().display());
    for words in [["perftool", "inject", "-i", &path], ["perftool", "inject", "--output", &path]] {
        let expected = format!("compopt -o filenames\n{path} file");
        assert_eq!(offered(&words), expected);
    }
}

#[test]
fn bash_offers_subcommands_and_no_hidden_option() {
    assert_eq!(offered(&["perftool", "i"]), "inject");
    assert_eq!(offered(&["perftool", "help", "buil"]), "buildid-list");
    assert_eq!(offered(&["perftool", "completions", "f"]), "fish");
    for hidden in ["--no-", "--list-opts", "--itrace"] {
        assert_eq!(offered(&["perftool", "inject", hidden]), "", "{hidden}");
    }
}

#[test]
fn the_scripts_for_zsh_and_fish_have_values_in_the_options_word_and_directories_alone() {
    let zsh = script("zsh");
    assert!(zsh.starts_with("#compdef perftool\n"));
    assert!(zsh.contains("'--jit=-[") && zsh.contains("'--summary=-["), "{zsh}");
    assert!(zsh.contains("--symfs=[") && zsh.contains(":_path_files -/'") && !zsh.contains(":_files -/"));
    let fish = script("fish");
    let line = |of: &str| fish.lines().find(|line| line.contains(of)).expect("a line");
    assert!(line(" -l jit ").contains(" -f -a ") && !line(" -l jit ").contains(" -r "), "{fish}");
    assert!(line(" -l jit-dir ").contains("(__fish_complete_directories (commandline -ct | "));
    assert!(fish.contains("using_subcommand completions\" -f -a \"bash zsh fish\"\n"), "{fish}");
}
