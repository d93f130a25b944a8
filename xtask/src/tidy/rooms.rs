//! A room says at its door what is in it, and is not too large: every Rust file opens with `//!`, and none has
//! too many lines before its tests.

use super::File;

/// With its tests a file may be longer.
const MAX_LINES: usize = 600;

/// Folders where length is no matter.
const MAY_BE_LONG: &[&str] = &["tests", "benches", "fuzz"];

pub(super) fn check(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    let (true, Some(text)) = (file.is("rs"), file.text()) else { return findings };
    if !text.starts_with("//!") {
        findings.push(format!("{}:1: it does not open with //! and what it is", file.path));
    }
    let lines = text.lines().rev().skip_while(|line| *line != "#[cfg(test)]").skip(1).count();
    // Without tests in it, all of it counts.
    let lines = if lines == 0 { text.lines().count() } else { lines };
    if lines > MAX_LINES && !file.path.split('/').any(|folder| MAY_BE_LONG.contains(&folder)) {
        findings.push(format!("{}: {lines} lines without its tests; {MAX_LINES} are allowed", file.path));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings;

    fn long(lines: usize, tests: &str) -> String {
        "//! Long.\n".repeat(lines) + tests
    }

    #[test]
    fn a_door_without_a_sign_is_found() {
        assert_eq!(findings(check, "src/a.rs", "//! A room.\nfn f() {}\n"), [""; 0]);
        assert_eq!(findings(check, "src/a.sh", "# A script.\n"), [""; 0]);
        assert_eq!(findings(check, "src/a.rs", "// A room.\nfn f() {}\n").len(), 1);
        assert_eq!(findings(check, "src/a.rs", "").len(), 1);
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(findings(check, "src/a.rs", &long(600, "")), [""; 0]);
        assert_eq!(findings(check, "src/a.rs", &long(601, "")).len(), 1);
        assert_eq!(findings(check, "perf-format/tests/a.rs", &long(601, "")), [""; 0]);
    }

    #[test]
    fn only_the_tests_at_its_end_do_not_count() {
        let tests = "#[cfg(test)]\n".to_owned() + &"\n".repeat(1000);
        assert_eq!(findings(check, "src/a.rs", &long(600, &tests)), [""; 0]);
        assert_eq!(findings(check, "src/a.rs", &long(601, &tests)).len(), 1);
        let early = "#[cfg(test)]\nmod helpers;\n".to_owned() + &long(600, &tests);
        assert_eq!(findings(check, "src/a.rs", &early).len(), 2);
    }
}
