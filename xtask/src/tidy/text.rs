//! What no editor shows: spaces at the end of a line, tabs, and how a file ends.

use super::File;

/// What is written by hand, and so is checked.
const BY_HAND: &[&str] = &["rs", "md", "toml"];

pub(super) fn check(file: &File) -> Vec<String> {
    let (true, Some(text)) = (BY_HAND.iter().any(|end| file.is(end)), file.text()) else { return Vec::new() };
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.split('\n')) {
        if line != line.trim_end() {
            findings.push(format!("{}:{number}: white space at the end of the line", file.path));
        }
        if line.contains('\t') {
            findings.push(format!("{}:{number}: a tab", file.path));
        }
    }
    if !text.ends_with('\n') || text.ends_with("\n\n") {
        findings.push(format!("{}: it does not end with one newline", file.path));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings;

    #[test]
    fn clean_text_passes() {
        assert_eq!(findings(check, "README.md", "# It\n\nis clean.\n"), [""; 0]);
    }

    #[test]
    fn white_space_at_the_end_of_a_line_is_found() {
        let found = findings(check, "README.md", "one\ntwo \nthree\r\n");
        let expected = [
            "README.md:2: white space at the end of the line",
            "README.md:3: white space at the end of the line",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_tab_is_found_but_not_in_other_peoples_files() {
        assert_eq!(findings(check, "a.toml", "a\t= 1\n"), ["a.toml:1: a tab"]);
        assert_eq!(findings(check, "tests/a.snap", "a\t= 1 \n\n"), [""; 0]);
    }

    #[test]
    fn a_wrong_end_is_found() {
        for text in ["", "fn f() {}", "fn f() {}\n\n"] {
            assert_eq!(findings(check, "a.rs", text), ["a.rs: it does not end with one newline"]);
        }
    }
}
