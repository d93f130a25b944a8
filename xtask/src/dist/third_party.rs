//! The licences of what is linked into the binary: each crate that `cargo metadata` says is, Rust's library and musl. A text
//! that several have stands once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{Release, TARGET};
use crate::run;
use crate::workspace::cargo;

/// What is linked and no crate of the graph.
const BESIDES: &str = "\
Rust's standard library, MIT OR Apache-2.0: copyright (c) The Rust Project Contributors
musl libc, MIT: copyright (c) 2005-2020 Rich Felker, et al.
";

/// A crate that is linked.
struct Linked {
    name: String,
    licence: String,
    authors: String,
    folder: PathBuf,
}

/// The text: a line for each crate, and then the licences.
pub(super) fn licences(release: &Release, source: &Path) -> anyhow::Result<String> {
    let mut list = String::from(
        "What others wrote and is linked into the binary: each with its licence, whose texts follow, but for the \
         Apache License, Version 2.0: that is LICENSE-APACHE, and Debian's /usr/share/common-licenses/Apache-2.0.\n\n",
    );
    list += BESIDES;
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Linked { name, licence, authors, folder } in linked(release, source)? {
        list += &format!("{name}, {licence}\n");
        let kept = texts_in(&folder, &licence)?;
        let is_apache = licence == "Apache-2.0";
        if !is_apache && kept.is_empty() {
            list += &format!("  (its package has no text: {authors})\n");
        }
        for text in kept {
            texts.entry(text).or_default().insert(name.clone());
        }
    }
    for (text, names) in texts {
        let names: Vec<_> = names.into_iter().collect();
        list += &format!("\n{}\nof {}:\n\n{}\n", "-".repeat(78), names.join(", "), text.trim_end());
    }
    Ok(list)
}

/// The crates that are linked and not ours: `cargo tree` knows which, `cargo metadata` where they are.
fn linked(release: &Release, source: &Path) -> anyhow::Result<Vec<Linked>> {
    let of = |args: &[&str]| {
        let mut command = cargo(args);
        command.arg("--locked").arg("--manifest-path").arg(source.join("Cargo.toml"));
        run::output(command)
    };
    let edges = ["tree", "--edges", "no-dev,no-build,no-proc-macro", "--target", TARGET];
    let tree = of(&[&edges[..], &["--prefix", "none", "--package", release.text("name")?]].concat())?;
    let tree = String::from_utf8(tree)?;
    // Name and version, and in brackets what is to be said of it.
    let named: BTreeSet<_> =
        tree.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
    let metadata: Value = serde_json::from_slice(&of(&["metadata", "--format-version", "1"])?)?;
    let Some(packages) = metadata["packages"].as_array() else {
        bail!("cargo metadata does not say which packages there are")
    };
    let mut linked = Vec::new();
    // What has no source is ours.
    for package in packages.iter().filter(|package| !package["source"].is_null()) {
        let described = described(package)?;
        if named.contains(&described.name.replace(' ', " v")) {
            linked.push(described);
        }
    }
    linked.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(linked)
}

fn described(package: &Value) -> anyhow::Result<Linked> {
    let text = |field: &str| package[field].as_str().with_context(|| format!("a package has no {field}"));
    let authors: Vec<_> =
        package["authors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let manifest = Path::new(text("manifest_path")?);
    Ok(Linked {
        name: format!("{} {}", text("name")?, text("version")?),
        licence: text("license")?.to_owned(),
        authors: if authors.is_empty() { "no authors either".to_owned() } else { authors.join(", ") },
        folder: manifest.parent().unwrap_or(manifest).to_owned(),
    })
}

/// The licences in a crate's folder, and of C that it has with it: the MIT licence alone where one may choose that.
fn texts_in(folder: &Path, licence: &str) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in [folder.to_owned(), folder.join("zstd")] {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().to_uppercase();
            let is_licence = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"]
                .iter()
                .any(|begin| name.starts_with(begin));
            // zstd is under the BSD licence; the GPL is the other choice, which nobody has to take.
            if is_licence && entry.file_type()?.is_file() && !(name == "COPYING" && folder.ends_with("zstd"))
            {
                found.push((name, entry.path()));
            }
        }
    }
    found.sort();
    let may_be_mit =
        licence.split([' ', '/', '(', ')']).any(|word| word == "MIT") && !licence.contains("AND");
    let is_mit = |name: &str| name.contains("MIT");
    if may_be_mit && found.iter().any(|(name, _)| is_mit(name)) {
        found.retain(|(name, _)| is_mit(name));
    }
    let read = |(_, path): (String, PathBuf)| {
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&text).replace("\r\n", "\n"))
    };
    let texts: Vec<String> = found.into_iter().map(read).collect::<anyhow::Result<_>>()?;
    let is_apache =
        |text: &str| text.contains("Apache License") && text.contains("Version 2.0, January 2004");
    Ok(texts.into_iter().filter(|text| !is_apache(text)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(files: &[(&str, &str)], licence: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        texts_in(folder.path(), licence).unwrap()
    }

    const APACHE: &str = "Apache License\nVersion 2.0, January 2004\n";

    #[test]
    fn of_a_choice_the_mit_licence_is_taken() {
        let both = [("LICENSE-APACHE", APACHE), ("LICENSE-MIT", "mit"), ("UNLICENSE", "un"), ("src", "code")];
        assert_eq!(texts(&both, "MIT OR Apache-2.0"), ["mit"]);
        assert_eq!(texts(&both, "MIT/Apache-2.0"), ["mit"]);
        assert_eq!(texts(&[("license-mit", "a\r\nb")], "MIT"), ["a\nb"]);
    }

    #[test]
    fn what_is_no_choice_is_all_taken_but_for_the_apache_licence_which_is_there() {
        assert_eq!(texts(&[("LICENSE", "zlib"), ("NOTICE", "note")], "Zlib"), ["zlib", "note"]);
        assert_eq!(texts(&[("LICENSE-APACHE", APACHE)], "Apache-2.0"), [""; 0]);
        assert_eq!(
            texts(&[("LICENSE-MIT", "mit"), ("LICENSE-BSD", "bsd")], "MIT AND BSD-3-Clause"),
            ["bsd", "mit"]
        );
    }

    #[test]
    fn c_that_comes_with_a_crate_has_its_licence_there() {
        let files = [("LICENSE", "wrapper"), ("zstd/LICENSE", "bsd"), ("zstd/COPYING", "gpl")];
        assert_eq!(texts(&files, "MIT/Apache-2.0"), ["wrapper", "bsd"]);
    }
}
