//! Every input in fuzz/corpus (what the fuzzer begins with, and what once broke a law) keeps the laws of its target.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{UnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The files of a folder, or the folders in it, by name.
fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn holds(run: impl FnOnce() + UnwindSafe) -> bool {
    catch_unwind(run).is_ok()
}

#[test]
fn every_kept_input_keeps_the_laws() {
    let mut broken = Vec::new();
    for (name, target) in perf_fuzz::TARGETS {
        for path in in_folder(&corpus().join(name)) {
            let data = fs::read(&path).expect("an input");
            // The panic has told what is wrong; this tells with what.
            if !holds(|| target(&data)) {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "a law is broken by {broken:#?}");
}

#[test]
fn every_target_has_seeds_and_an_entry_for_the_fuzzer() {
    let names: BTreeSet<_> = perf_fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let of = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let folders: BTreeSet<_> = in_folder(&corpus()).into_iter().map(of).collect();
    assert_eq!(folders, names, "the folders of fuzz/corpus");
    let entries = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let entries: BTreeSet<_> = in_folder(&entries).into_iter().map(of).collect();
    assert_eq!(entries, names, "the entries in fuzz/fuzz_targets");
    for name in names {
        let seeds = in_folder(&corpus().join(&name)).into_iter().map(of);
        assert!(seeds.into_iter().any(|file| file.starts_with("seed-")), "{name} has no seed");
    }
}
