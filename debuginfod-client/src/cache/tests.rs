//! The cache on a real file system: what enters, what is remembered, what is planted.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use tempfile::TempDir;

use super::*;

const KIND: ArtifactKind = ArtifactKind::Executable;

fn cache() -> (TempDir, FileCache) {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = FileCache::new(dir.path().join("cache"), SystemTime::now());
    (dir, cache)
}

fn put(cache: &FileCache, bytes: &[u8]) {
    let mut new = cache.new_file().expect("a file");
    new.file.write_all(bytes).expect("written");
    new.enter("abcd", KIND).expect("entered");
}

fn bytes(cached: Cached) -> Vec<u8> {
    let Cached::File(mut file) = cached else { panic!("{cached:?}") };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("read");
    bytes
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("there");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn a_file_stands_where_elfutils_has_it_and_only_its_user_reads_it() {
    let (dir, cache) = cache();
    assert!(matches!(cache.look_up("abcd", KIND), Ok(Cached::Nothing)));
    put(&cache, b"one");
    let file = dir.path().join("cache/abcd/executable");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o7777, 0o400);
    assert_eq!(
        fs::metadata(dir.path().join("cache/abcd")).expect("there").permissions().mode() & 0o7777,
        0o700
    );
    assert_eq!(bytes(cache.look_up("abcd", KIND).expect("it can be read")), b"one");
    assert!(matches!(cache.look_up("abcd", ArtifactKind::DebugInfo), Ok(Cached::Nothing)));
    // What does not do is replaced at once.
    put(&cache, b"two");
    assert_eq!(bytes(cache.look_up("abcd", KIND).expect("it can be read")), b"two");
    assert_eq!(names(&dir.path().join("cache/abcd")), ["executable"]);
}

#[test]
fn a_file_that_does_not_enter_leaves_nothing() {
    let (dir, cache) = cache();
    let mut new = cache.new_file().expect("a file");
    new.file.write_all(b"half").expect("written");
    drop(new);
    assert_eq!(names(&dir.path().join("cache")), [""; 0]);
}

#[test]
fn a_miss_is_remembered_for_as_long_as_the_control_file_says() {
    let (dir, mut cache) = cache();
    cache.note_miss("abcd", KIND);
    let Ok(Cached::Miss { kept_for, .. }) = cache.look_up("abcd", KIND) else { panic!("no miss") };
    assert_eq!(kept_for, Duration::from_secs(600));
    assert_eq!(fs::read(dir.path().join("cache/cache_miss_s")).expect("there"), b"600");
    cache.now += Duration::from_secs(500);
    fs::write(dir.path().join("cache/cache_miss_s"), "1000\n").expect("written");
    assert!(matches!(cache.look_up("abcd", KIND), Ok(Cached::Miss { age, .. }) if age.as_secs() >= 499));
    fs::write(dir.path().join("cache/cache_miss_s"), "100").expect("written");
    assert!(matches!(cache.look_up("abcd", KIND), Ok(Cached::Nothing)));
    assert_eq!(names(&dir.path().join("cache/abcd")), [""; 0]);
    // A file that was found meanwhile stands in the place of the miss.
    cache.note_miss("abcd", KIND);
    put(&cache, b"one");
    cache.note_miss("abcd", KIND);
    assert_eq!(bytes(cache.look_up("abcd", KIND).expect("it can be read")), b"one");
}

#[test]
fn no_planted_link_is_followed() {
    let (dir, cache) = cache();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("made");
    fs::write(elsewhere.join("executable"), "theirs").expect("written");
    fs::create_dir(dir.path().join("cache")).expect("made");
    symlink(&elsewhere, dir.path().join("cache/abcd")).expect("a link");
    assert!(matches!(cache.look_up("abcd", KIND), Err(FetchError::Cache { .. })));
    let new = cache.new_file().expect("a file");
    assert!(new.enter("abcd", KIND).is_err());
    fs::remove_file(dir.path().join("cache/abcd")).expect("removed");
    fs::create_dir(dir.path().join("cache/abcd")).expect("made");
    symlink(elsewhere.join("executable"), dir.path().join("cache/abcd/executable")).expect("a link");
    assert!(matches!(cache.look_up("abcd", KIND), Err(FetchError::Cache { .. })));
    // The link itself is replaced, and not what it leads to.
    put(&cache, b"one");
    assert_eq!(fs::read(elsewhere.join("executable")).expect("there"), b"theirs");
    assert_eq!(bytes(cache.look_up("abcd", KIND).expect("it can be read")), b"one");
}

#[test]
fn a_file_that_others_may_change_and_what_is_no_file_is_not_taken() {
    let (dir, cache) = cache();
    put(&cache, b"one");
    let file = dir.path().join("cache/abcd/executable");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o622)).expect("set");
    assert!(matches!(cache.look_up("abcd", KIND), Ok(Cached::Nothing)));
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("made");
    assert!(matches!(cache.look_up("abcd", KIND), Err(FetchError::Cache { .. })));
}
