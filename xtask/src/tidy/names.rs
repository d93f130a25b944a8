//! One name, one type: no two types that are visible outside of their module share a name, so that whoever searches for
//! one finds it. `pub` counts wherever it stands, and so do `pub(crate)` and `pub(super)`: a reader meets these names
//! in other files, reachable from a crate's root or not. Private types, tests, benches, fuzz targets and xtask do not
//! count, since nothing is imported from there.

use std::collections::BTreeMap;

use super::File;
use super::rust::Parts;

/// Names that several types may have, and why.
const MAY_BE_SHARED: &[(&str, &str)] = &[
    ("Args", "the options of a subcommand, in the module of its name"),
    ("Error", "each library has one, and code that meets two names the crate"),
];

pub(super) fn check(files: &[File]) -> Vec<String> {
    let mut first = BTreeMap::new();
    let mut findings = Vec::new();
    for file in files {
        let (true, Some(text)) = (is_counted(file), file.text()) else { continue };
        let code = Parts::of(text).code;
        let code = code.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for (line, name) in
            (1..).zip(code.lines()).filter_map(|(line, text)| Some((line, visible_type(text)?)))
        {
            if MAY_BE_SHARED.iter().any(|(shared, _)| *shared == name) {
                continue;
            }
            let place = format!("{}:{line}", file.path);
            if let Some(other) = first.get(name) {
                findings.push(format!("{place}: {name} is the name of a type in {other}, too"));
            } else {
                first.insert(name.to_owned(), place);
            }
        }
    }
    findings
}

fn is_counted(file: &File) -> bool {
    let mut folders = file.path.split('/');
    file.is("rs") && !file.path.starts_with("xtask/") && folders.any(|folder| folder == "src")
}

/// The type that a line declares, if others can see it: `pub(crate) enum Name {`, or `pub fixed struct Name {` as the
/// macro `layout!` has it.
fn visible_type(line: &str) -> Option<&str> {
    let after = line.trim_start().strip_prefix("pub")?;
    let after = match after.strip_prefix('(') {
        Some(scope) => scope.split_once(')')?.1,
        None => after,
    };
    let mut words = after.strip_prefix(' ')?.split_whitespace().skip_while(|word| *word == "fixed");
    let is_type = |word: &str| matches!(word, "struct" | "enum" | "union" | "trait" | "type");
    words.next().filter(|word| is_type(word))?;
    let name = words.next()?.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let file =
            |(path, text): &(&str, &str)| File { path: (*path).to_owned(), bytes: text.as_bytes().to_vec() };
        check(&files.iter().map(file).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_of_two_types_is_found_where_it_stands_again() {
        for (first, second) in [
            ("pub struct Map {", "pub struct Map;"),
            ("pub enum Map<'a> {", "pub(crate) trait Map: Sized {"),
            ("pub type Map = u8;", "    pub(in crate::a) union Map {"),
            ("pub fixed struct Map {", "pub struct Map(u8);"),
        ] {
            assert_eq!(
                findings(&[("a/src/lib.rs", first), ("src/b/c.rs", &format!("//! C.\n{second}\n"))]),
                ["src/b/c.rs:2: Map is the name of a type in a/src/lib.rs:1, too"]
            );
        }
    }

    #[test]
    fn other_names_and_types_that_nobody_else_sees_pass() {
        for second in [
            "pub struct Maps {",
            "struct Map {",
            "pub fn Map() {}",
            "pub use other::Map;",
            "// pub struct Map {",
            "#[cfg(test)]\nmod tests {\n    pub struct Map;\n}",
            "pub struct $name {",
        ] {
            assert_eq!(
                findings(&[("a/src/lib.rs", "pub struct Map {"), ("src/b.rs", second)]),
                [""; 0],
                "{second}"
            );
        }
        for path in ["a/tests/b.rs", "xtask/src/b.rs", "fuzz/b.rs", "src/b.md"] {
            assert_eq!(
                findings(&[("a/src/lib.rs", "pub struct Map;"), (path, "pub struct Map;")]),
                [""; 0],
                "{path}"
            );
        }
    }

    #[test]
    fn the_names_of_the_list_may_be_shared() {
        assert_eq!(
            findings(&[("a/src/lib.rs", "pub enum Error {"), ("b/src/lib.rs", "pub enum Error {")]),
            [""; 0]
        );
    }
}
