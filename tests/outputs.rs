//! What `-o` does to the names that it is given: what is replaced, what is refused, and what is left where something
//! fails.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use common::running::{Ended, Running};
use common::{data, perftool};
use rustix::fs::{CWD, Mode, mkfifoat};

/// The program over these files, and how it ended.
fn inject(input: &Path, output: &Path) -> Ended {
    Running::start(perftool(&["inject", "-i"]).arg(input).arg("-o").arg(output)).end()
}

fn said(ended: &Ended, dir: &Path) -> String {
    ended.told.replace(&*dir.to_string_lossy(), "DIR")
}

/// A recording's directory with all that perf puts into one.
fn recording_dir(path: &Path) {
    for kcore in ["kcore_dir", "kcore_dir__4711"] {
        fs::create_dir_all(path.join(kcore)).expect("made");
        for file in ["kcore", "kallsyms", "modules"] {
            fs::write(path.join(kcore).join(file), file).expect("written");
        }
    }
    fs::copy(data().join("plain.data"), path.join("data")).expect("copied");
    for number in [0, 1, 10] {
        fs::write(path.join(format!("data.{number}")), "").expect("written");
    }
}

/// All that is below a directory, with inode and kind.
fn below(dir: &Path) -> BTreeMap<PathBuf, (u64, fs::FileType)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let meta = fs::symlink_metadata(&path).expect("there");
        if meta.is_dir() {
            all.extend(below(&path));
        }
        all.insert(path, (meta.ino(), meta.file_type()));
    }
    all
}

#[test]
fn a_recordings_directory_replaces_another_and_nothing_is_left_of_that() {
    let dir = tempfile::tempdir().expect("a directory");
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    recording_dir(&input);
    recording_dir(&output);
    for name in ["data.2", "data.30"] {
        fs::write(output.join(name), "of another").expect("written");
    }
    inject(&input, &output).well();
    let names = |of: &Path| -> Vec<PathBuf> {
        below(of).into_keys().map(|path| path.strip_prefix(of).expect("below").to_owned()).collect()
    };
    assert_eq!(names(&output), names(&input));
    let left: Vec<_> =
        fs::read_dir(dir.path()).expect("there").map(|entry| entry.expect("an entry")).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(fs::metadata(output.join("data")).expect("there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_directory_with_anything_in_it_that_is_no_recordings_is_refused_and_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let input = dir.path().join("in");
    recording_dir(&input);
    let written = |path: &Path| fs::write(path, "somebody's").expect("written");
    let made = |path: &Path| fs::create_dir(path).expect("made");
    let fifo = |path: &Path| mkfifoat(CWD, path, Mode::RWXU).expect("a FIFO");
    let link = |path: &Path| symlink("../in/data", path).expect("a link");
    for (name, make) in [
        ("notes.txt", written as fn(&Path)),
        ("data.txt", written),
        ("data.", written),
        ("data.1.old", written),
        (".hidden", written),
        ("header", written),
        ("kcore_dir__", written),
        ("kcore_dir__12", written),
        ("kcore_dir/notes.txt", written),
        ("data", written),
        ("data.5", made),
        ("src", made),
        ("kcore_dir__old", made),
        ("kcore_dir/src", made),
        ("data.5", fifo),
        ("data", fifo),
        ("data.5", link),
        ("data", link),
        ("kcore_dir__12", link),
    ] {
        let output = dir.path().join("out");
        recording_dir(&output);
        fs::remove_file(output.join(name)).ok();
        make(&output.join(name));
        let before = below(dir.path());
        let refused = inject(&input, &output);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        let expected = format!(
            "perftool: error: cannot write to DIR/out: it is a directory, and {name} in it is no part of a recording\n"
        );
        assert_eq!(said(&refused, dir.path()), expected);
        assert_eq!(below(dir.path()), before, "{name}");
        // Into itself neither.
        if !["data", "kcore_dir__12"].contains(&name) {
            assert_eq!(inject(&output, &output).status.code(), Some(1), "{name}");
            assert_eq!(below(dir.path()), before, "{name}");
        }
        fs::remove_dir_all(&output).expect("removed");
    }
}

#[test]
fn a_directory_without_a_recording_is_no_output() {
    let dir = tempfile::tempdir().expect("a directory");
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    recording_dir(&input);
    fs::create_dir(&output).expect("made");
    let refused = inject(&input, &output);
    let expected = "perftool: error: cannot write to DIR/out: it is a directory, and no recording is in it\n";
    assert_eq!((said(&refused, dir.path()).as_str(), refused.status.code()), (expected, Some(1)));
    assert!(fs::symlink_metadata(&output).is_ok_and(|meta| meta.is_dir() && !meta.file_type().is_fifo()));
}
