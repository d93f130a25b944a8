//! `cargo xtask public-api`: what each library shows to others, as a list that is kept beside it (`public-api.txt`). A
//! change of it is seen in review, and one that breaks who builds on it is meant. `--update` writes the lists anew.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use public_api::Builder;

use crate::libraries::LIBRARIES;
use crate::run;
use crate::workspace::{Workspace, cargo};

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> anyhow::Result<()> {
    let update = match args {
        [] => false,
        [option] if option == "--update" => true,
        _ => bail!("public-api takes --update, and nothing else"),
    };
    let mut changed = Vec::new();
    for (name, _) in LIBRARIES {
        println!("== public API: {name}");
        let api = listed(workspace, name)?;
        let kept = Path::new(name).join("public-api.txt");
        if update {
            fs::write(&kept, api).with_context(|| format!("cannot write {}", kept.display()))?;
            continue;
        }
        let before = fs::read_to_string(&kept).with_context(|| format!("cannot read {}", kept.display()))?;
        changed.extend(differences(name, &before, &api));
    }
    if !changed.is_empty() {
        bail!("what is public has changed (cargo xtask public-api --update):\n{}", changed.join("\n"));
    }
    Ok(())
}

/// What a library shows with its default features. `testing` and `strategies` are for tests of this workspace.
fn listed(workspace: &Workspace, name: &str) -> anyhow::Result<String> {
    let mut document = cargo(&["rustdoc", "--quiet", "--lib", "--package", name, "--", "-Z"]);
    document.args(["unstable-options", "--output-format", "json", "--cap-lints", "allow"]);
    // The format is not stable: `public-api` in Cargo.lock reads the one of the Rust that this runs with.
    document.env("RUSTC_BOOTSTRAP", "1");
    run::run(document)?;
    let json = workspace.target(&format!("doc/{}.json", name.replace('-', "_")));
    let api = Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .with_context(|| format!("cannot read {}", json.display()))?;
    Ok(api.to_string())
}

/// The lines that one list has and the other has not.
fn differences(name: &str, before: &str, now: &str) -> Vec<String> {
    let missing = |from: &str, in_: &str, sign: &str| -> Vec<_> {
        let known: std::collections::HashSet<_> = in_.lines().collect();
        from.lines()
            .filter(|line| !known.contains(line))
            .map(|line| format!("{sign} {name}: {line}"))
            .collect()
    };
    [missing(before, now, "-"), missing(now, before, "+")].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_and_what_came_is_found() {
        let changed = differences("a", "pub fn a()\npub fn b()\n", "pub fn b()\npub fn c()\n");
        assert_eq!(changed, ["- a: pub fn a()", "+ a: pub fn c()"]);
        assert_eq!(differences("a", "pub fn a()\n", "pub fn a()\n"), [""; 0]);
    }
}
