//! Every input in fuzz/corpus (what the fuzzer begins with, and what once broke a law) keeps the laws of its target,
//! and so does each that is damaged: a little fuzzing where there is no fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{UnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use perf_format::strategies::config;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

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

/// What is done to an input at one place.
#[derive(Debug, Clone)]
enum Damage {
    Flip(u8),
    Put(Vec<u8>),
    Remove(usize),
    Repeat(usize),
}

fn damage() -> impl Strategy<Value = (Index, Damage)> {
    let numbers =
        select(vec![0, 1, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 1 << 31, u64::MAX >> 1, u64::MAX]);
    let number =
        (numbers, select(vec![1_usize, 2, 4, 8]), any::<bool>()).prop_map(|(number, len, swapped)| {
            let bytes = number.to_le_bytes();
            Damage::Put(if swapped {
                bytes[..len].iter().rev().copied().collect()
            } else {
                bytes[..len].to_vec()
            })
        });
    let what = prop_oneof![
        (1..=u8::MAX).prop_map(Damage::Flip),
        number,
        vec(any::<u8>(), 1..16).prop_map(Damage::Put),
        (1_usize..64).prop_map(Damage::Remove),
        (1_usize..256).prop_map(Damage::Repeat),
    ];
    (any::<Index>(), what)
}

fn damaged(mut data: Vec<u8>, places: &[(Index, Damage)]) -> Vec<u8> {
    for (place, damage) in places {
        let at = place.index(data.len() + 1);
        let until = |len: usize| (at + len).min(data.len());
        match damage {
            Damage::Flip(bits) => data.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits),
            Damage::Put(bytes) => drop(data.splice(at..until(bytes.len()), bytes.iter().copied())),
            Damage::Remove(len) => drop(data.drain(at..until(*len))),
            Damage::Repeat(len) => {
                let again = data[at..until(*len)].to_vec();
                data.splice(at..at, again);
            }
        }
    }
    data
}

proptest! {
    #![proptest_config(config(256, "corpus"))]

    #[test]
    fn every_damaged_input_keeps_the_laws(which in any::<Index>(), places in vec(damage(), 1..8)) {
        for (name, target) in perf_fuzz::TARGETS {
            let data = fs::read(which.get(&in_folder(&corpus().join(name)))).expect("an input");
            target(&damaged(data, &places));
        }
    }
}
