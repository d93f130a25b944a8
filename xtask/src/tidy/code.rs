//! What Rust code may not hold: code that the compiler cannot vouch for, and signs of work left half done.

use super::File;
use super::rust::Parts;

/// The files that may be unsafe: the one that maps files into memory.
const MAY_BE_UNSAFE: &[&str] = &["perf-unwind/src/mapping.rs"];

/// In code. Tests that are skipped prove nothing.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "#[ignore"];

/// In comments.
const NOTES: &[&str] = &["TODO", "FIXME"];

pub(super) fn check(file: &File) -> Vec<String> {
    let (true, Some(text)) = (file.is("rs"), file.text()) else { return Vec::new() };
    let parts = Parts::of(text);
    let mut findings = Vec::new();
    let mut find = |part: &str, what: &str| {
        let lines = (1..).zip(part.lines()).filter(|(_, line)| has_word(line, what));
        findings.extend(lines.map(|(number, _)| format!("{}:{number}: {what}", file.path)));
    };
    if !MAY_BE_UNSAFE.contains(&file.path.as_str()) {
        find(&parts.code, "unsafe");
    }
    UNFINISHED.iter().for_each(|what| find(&parts.code, what));
    NOTES.iter().for_each(|what| find(&parts.comments, what));
    findings
}

/// Whether the word stands in the line, and not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !in_word(before.chars().next_back()) && !in_word(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings;

    #[test]
    fn each_forbidden_word_is_found_where_it_stands() {
        let code = "fn f() {\n    unsafe { g() }\n    todo!(\"x\")\n}\n#[ignore = \"slow\"]\nfn h() { unimplemented!() }\n";
        let expected = ["a.rs:2: unsafe", "a.rs:3: todo!", "a.rs:6: unimplemented!", "a.rs:5: #[ignore"];
        assert_eq!(findings(check, "a.rs", code), expected);
        assert_eq!(
            findings(check, "a.rs", "f(); // TODO: g\n/* a\nFIXME */\n"),
            ["a.rs:1: TODO", "a.rs:3: FIXME"]
        );
    }

    #[test]
    fn longer_words_and_words_in_strings_and_comments_pass() {
        let code = "#![deny(unsafe_code)]\n// An unsafe thought.\nlet s = \"unsafe todo! TODO\";\n";
        assert_eq!(findings(check, "a.rs", code), [""; 0]);
        assert_eq!(findings(check, "a.md", "unsafe, TODO\n"), [""; 0]);
    }
}
