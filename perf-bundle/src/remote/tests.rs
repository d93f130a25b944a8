//! Bundles whose files somebody else has, or has not.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;

use perf_session::testing::Elf;

use super::*;

/// Somebody who has these files, and notes what is asked for.
#[derive(Default)]
struct Has {
    files: BTreeMap<(BuildId, FileRole), File>,
    asked: Mutex<Vec<(BuildId, FileRole)>>,
}

impl RemoteFiles for Has {
    fn fetch(&self, build_id: BuildId, role: FileRole) -> Result<File, String> {
        self.asked.lock().expect("whole").push((build_id, role));
        let file = self.files.get(&(build_id, role)).ok_or_else(|| format!("nobody has the {role}"))?;
        file.try_clone().map_err(|error| error.to_string())
    }
}

impl Has {
    fn with(files: impl IntoIterator<Item = (BuildId, FileRole)>) -> Self {
        Self { files: files.into_iter().map(|file| (file, stripped())).collect(), asked: Mutex::default() }
    }

    fn asked(&self) -> Vec<(BuildId, FileRole)> {
        let mut asked = self.asked.lock().expect("whole").clone();
        asked.sort();
        asked
    }
}

fn id(byte: u8) -> BuildId {
    BuildId::new(&[byte; 20]).expect("an id")
}

/// An object file without symbols.
fn stripped() -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&Elf::with_build_id(&[1; 20]).bytes()).expect("written");
    file
}

/// This program, which has symbols.
fn with_symbols() -> File {
    File::open("/proc/self/exe").expect("there")
}

fn missing(name: &str, build_id: Option<BuildId>, role: FileRole, samples: u64) -> MissingFile {
    MissingFile { name: name.into(), build_id, role, samples, reason: "it is gone".to_owned() }
}

fn here(name: &str, id: BuildId, role: FileRole, file: File) -> BundledFile {
    let new = BundledFile::new(name.into(), Some(id), role, FileContents::File(file), Origin::File)
        .expect("a file");
    BundledFile { samples: 5, ..new }
}

fn entered(bundle: &Bundle) -> Vec<(String, FileRole)> {
    bundle.files.iter().map(|file| (file.name.to_string(), file.role)).collect()
}

#[test]
fn what_is_missing_and_has_an_id_is_asked_for_and_its_debug_file_if_it_is_stripped() {
    let mut bundle = Bundle {
        missing: vec![
            missing("a", Some(id(1)), FileRole::Elf, 9),
            missing("b", Some(id(2)), FileRole::Elf, 8),
            missing("c", None, FileRole::Elf, 7),
            missing("d", Some(id(1)), FileRole::Elf, 6),
            missing("[vdso]", Some(id(3)), FileRole::Vdso, 5),
            missing("e", Some(id(4)), FileRole::Elf, 0),
        ],
        ..Bundle::default()
    };
    let mut remote = Has::with([(id(1), FileRole::Elf), (id(1), FileRole::Debug)]);
    remote.files.insert((id(2), FileRole::Elf), with_symbols());
    bundle.fetch_missing(&remote, SurveyScope::Hit);
    let asked = [(id(1), FileRole::Elf), (id(1), FileRole::Debug), (id(2), FileRole::Elf)];
    assert_eq!(remote.asked(), asked);
    let expected = [("a", FileRole::Elf), ("a", FileRole::Debug), ("b", FileRole::Elf)];
    assert_eq!(entered(&bundle), expected.map(|(name, role)| (name.to_owned(), role)));
    assert_eq!((bundle.files[0].also.as_slice(), bundle.files[0].samples), (&["d".into()][..], 15));
    assert!(bundle.files.iter().all(|file| file.origin == Origin::Debuginfod && file.is_recorded));
    let left: Vec<_> = bundle.missing.iter().map(|missing| missing.name.to_string()).collect();
    assert_eq!(left, ["c", "[vdso]", "e"]);
    // All that is mapped.
    bundle.fetch_missing(&remote, SurveyScope::Mapped);
    assert!(remote.asked().contains(&(id(4), FileRole::Elf)));
}

#[test]
fn what_nobody_has_stays_missing_with_both_reasons_and_a_debug_file_alone_is_taken() {
    let mut bundle = Bundle {
        missing: vec![
            missing("a", Some(id(1)), FileRole::Elf, 9),
            missing("b", Some(id(2)), FileRole::Elf, 8),
        ],
        ..Bundle::default()
    };
    bundle.fetch_missing(&Has::with([(id(2), FileRole::Debug)]), SurveyScope::Hit);
    assert_eq!(entered(&bundle), [("b".to_owned(), FileRole::Debug)]);
    let reasons: Vec<_> = bundle.missing.iter().map(|missing| missing.reason.as_str()).collect();
    assert_eq!(reasons, ["it is gone; nobody has the elf"; 2]);
}

#[test]
fn the_debug_file_of_a_stripped_file_that_is_here_is_asked_for() {
    let files = vec![
        here("a", id(1), FileRole::Elf, stripped()),
        here("b", id(2), FileRole::Elf, stripped()),
        here("c", id(3), FileRole::Elf, with_symbols()),
        here("d", id(4), FileRole::Elf, stripped()),
        here("d", id(4), FileRole::Debug, stripped()),
    ];
    let mut bundle = Bundle { files, ..Bundle::default() };
    let remote = Has::with([(id(1), FileRole::Debug)]);
    bundle.fetch_missing(&remote, SurveyScope::Hit);
    assert_eq!(remote.asked(), [(id(1), FileRole::Debug), (id(2), FileRole::Debug)]);
    assert_eq!(entered(&bundle)[1], ("a".to_owned(), FileRole::Debug));
    let [left] = bundle.missing.as_slice() else { panic!("{:?}", bundle.missing) };
    assert_eq!((left.name.as_slice(), left.role, left.samples), (&b"b"[..], FileRole::Debug, 5));
    assert_eq!(left.reason, "the file has no symbols, and no debug file is here; nobody has the debug");
}

#[test]
fn the_image_of_a_kernel_may_be_its_debug_file() {
    let mut bundle = Bundle {
        missing: vec![missing("[kernel.kallsyms]", Some(id(1)), FileRole::Kallsyms, 9)],
        ..Bundle::default()
    };
    bundle.fetch_missing(&Has::with([(id(1), FileRole::Debug)]), SurveyScope::Hit);
    assert_eq!(entered(&bundle), [("[kernel.kallsyms]".to_owned(), FileRole::Elf)]);
    assert!(bundle.missing.is_empty());
}

#[test]
fn an_id_that_was_filled_up_with_zeros_is_asked_for_as_the_linker_wrote_it() {
    let of = |bytes: &[u8]| BuildId::new(bytes).expect("an id");
    let padded = |size: usize| [vec![7; size], vec![0; 20 - size]].concat();
    for size in [8, 16] {
        assert_eq!(unpadded(of(&padded(size))), of(&vec![7; size]));
    }
    for whole in [&[7; 20][..], &[7; 16], &padded(17), &padded(19)] {
        assert_eq!(unpadded(of(whole)), of(whole));
    }
}
