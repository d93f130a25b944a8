//! What `-o` does to the names that it is given: what is replaced, what is refused, and what is left where something
//! fails. Files, attributes, mounts and users are real ones.
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::running::{Ended, Running, pipe};
use common::{data, perftool};
use insta::assert_snapshot;
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::io::ioctl_fionread;

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
    // Of one that is new only its user may read the recording.
    let new = dir.path().join("new");
    inject(&input, &new).well();
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
    assert_eq!((mode(&new), mode(&new.join("data"))), (0o700, 0o600));
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
    assert!(fs::symlink_metadata(&output).is_ok_and(|meta| meta.is_dir()));
}

/// A recording in a pipe.
fn recording() -> Vec<u8> {
    fs::read(data().join("callchain.pipe")).expect("a recording")
}

/// What a recording comes to in a file of its own.
fn expected(dir: &Path) -> Vec<u8> {
    let output = dir.join("expected");
    inject(&data().join("callchain.pipe"), &output).well();
    let expected = fs::read(&output).expect("there");
    fs::remove_file(output).expect("it was there");
    expected
}

/// The program with a live recording on its standard input, which it refuses without having read any of it: what it
/// said.
fn refused(command: &mut Command, dir: &Path) -> String {
    let before = below(dir);
    let (stdin, mut to) = pipe();
    let recording = recording();
    to.write_all(&recording).expect("there is room");
    let ended = Running::start(command.stdin(stdin.try_clone().expect("the same pipe"))).end();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.told);
    assert_eq!(ioctl_fionread(&stdin).expect("a pipe"), recording.len() as u64, "all of it is still there");
    assert_eq!(below(dir), before, "{}", ended.told);
    said(&ended, dir)
}

fn inject_to(output: impl AsRef<Path>) -> Command {
    let mut command = perftool(&["inject", "-o"]);
    command.arg(output.as_ref());
    command
}

#[test]
fn a_name_that_no_file_can_have_is_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "somebody's").expect("written");
    symlink("loop", at("loop")).expect("a link");
    let long = "n".repeat(256);
    let mut all = String::new();
    for name in [
        "missing/out",
        "missing/and/more/out",
        "missing/..",
        "file/out",
        "file/",
        "new/",
        "new/.",
        "loop",
        "loop/out",
        &*long,
    ] {
        all += &refused(&mut inject_to(format!("{}/{name}", dir.path().display())), dir.path());
    }
    for name in ["missing/out", "file/out", "/proc/nothing"] {
        all += &refused(inject_to(name).current_dir(dir.path()), dir.path());
    }
    assert_snapshot!(all.replace(&long, "NNN"));
    // One of 255 bytes is one that a file can have, new or not.
    let longest = at(&long[1..]);
    for _ in 0..2 {
        inject(&data().join("callchain.pipe"), &longest).well();
        assert!(fs::read(&longest).expect("there") == expected(dir.path()));
    }
    // And so is one without a directory.
    let mut relative = inject_to("relative");
    relative.current_dir(dir.path()).stdin(File::open(data().join("callchain.pipe")).expect("there"));
    Running::start(&mut relative).end().well();
    assert!(at("relative").is_file());
}

/// An attribute of a file, for as long as this lives; `None` where the file system or the user has none.
struct Attribute<'p>(&'static str, &'p Path);

impl<'p> Attribute<'p> {
    fn give(attribute: &'static str, path: &'p Path) -> Option<Self> {
        let given = Command::new("chattr").arg(format!("+{attribute}")).arg(path).output();
        if given.is_ok_and(|output| output.status.success()) {
            return Some(Self(attribute, path));
        }
        eprintln!("left out, since chattr +{attribute} cannot be had here");
        None
    }
}

impl Drop for Attribute<'_> {
    fn drop(&mut self) {
        Command::new("chattr").arg(format!("-{}", self.0)).arg(self.1).status().expect("it could before");
    }
}

#[test]
fn what_cannot_be_replaced_is_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let (output, link) = (dir.path().join("out"), dir.path().join("link"));
    fs::write(&output, "what was there").expect("written");
    symlink("out", &link).expect("a link");
    let mut all = String::new();
    for (attribute, path) in [("i", &*output), ("a", &*output), ("a", dir.path()), ("i", dir.path())] {
        let Some(_attribute) = Attribute::give(attribute, path) else { return };
        all += &format!("--- +{attribute} {}\n", if path == output { "out" } else { "DIR" });
        all += &refused(&mut inject_to(&output), dir.path());
        assert_eq!(refused(&mut inject_to(&link), dir.path()).lines().count(), 3);
    }
    assert_snapshot!(all);
    assert_eq!(fs::read(&output).expect("there"), b"what was there");
}

#[test]
fn where_names_can_only_be_added_a_new_one_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = dir.path().join("out");
    let expected = expected(dir.path());
    let Some(attribute) = Attribute::give("a", dir.path()) else { return };
    let ended = inject(&data().join("callchain.pipe"), &output);
    // What is made in a directory of its own takes two names.
    let (input, other) = (tempfile::tempdir().expect("a directory"), dir.path().join("other"));
    recording_dir(&input.path().join("in"));
    let refused = inject(&input.path().join("in"), &other);
    drop(attribute);
    ended.well();
    assert!(fs::read(&output).expect("there") == expected);
    assert_eq!(below(dir.path()).len(), 1, "and nothing else is left");
    assert_eq!(refused.causes().last(), Some(&"Operation not permitted (os error 1)"));
}

/// Whether this may be tried as root. Where not, a test that needs it says that it was left out; in CI that is a failure.
fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_root || std::env::var_os("CI").is_none(), "CI has to run as root");
    if !is_root {
        eprintln!("left out, since only root may: {test}");
    }
    is_root
}

#[test]
fn what_is_mounted_is_not_replaced_and_nothing_is_read() {
    if !is_root("mounting something on an output") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("out"), "what was there").expect("written");
    recording_dir(&dir.path().join("recording"));
    let script = "mount --bind \"$dir/out\" \"$dir/out\" && mount --bind \"$dir/recording\" \"$dir/recording\" || exit 9
        if test -n \"$input\"; then exec \"$perftool\" inject -i \"$input\" -o \"$dir/recording\"; fi
        exec \"$perftool\" inject -o \"$dir/out\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script]).env("dir", dir.path()).env("input", "");
    unshare.env("perftool", env!("CARGO_BIN_EXE_perftool"));
    let mut all = refused(&mut unshare, dir.path());
    let other = tempfile::tempdir().expect("a directory");
    recording_dir(&other.path().join("in"));
    unshare.env("input", other.path().join("in"));
    all += &refused(&mut unshare, dir.path());
    assert_snapshot!(all);
}

/// A user that owns nothing.
const NOBODY: u32 = 65534;

/// The program as that user, who may not look into a target folder.
fn as_nobody(home: &Path) -> Command {
    let program = home.join("perftool");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_perftool"), &program).expect("copied");
    }
    fs::set_permissions(home, fs::Permissions::from_mode(0o755)).expect("ours");
    let mut setpriv = Command::new("setpriv");
    let nobody = NOBODY.to_string();
    setpriv.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--"]).arg(program);
    setpriv.arg("inject");
    setpriv
}

#[test]
fn of_what_belongs_to_somebody_else_in_a_sticky_directory_nothing_is_read() {
    if !is_root("acting as another user") {
        return;
    }
    let (home, dir) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).expect("ours");
    fs::write(dir.path().join("out"), "what was there").expect("written");
    assert_snapshot!(refused(as_nobody(home.path()).arg("-o").arg(dir.path().join("out")), dir.path()));
}

#[test]
fn what_is_replaced_hands_over_its_owner_and_its_mode() {
    if !is_root("giving files away") {
        return;
    }
    let (home, dir) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let output = dir.path().join("out");
    let is = |path: &Path| {
        let meta = fs::metadata(path).expect("there");
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    };
    let old = |mode: u32, owner: u32, group: u32| {
        fs::write(&output, "what was there").expect("written");
        chown(&output, Some(owner), Some(group)).expect("root may");
        fs::set_permissions(&output, fs::Permissions::from_mode(mode)).expect("root may");
    };
    for (mode, owner, group) in [(0o640, 0, 0), (0o664, 1234, 5678), (0o400, 1234, 0), (0o6755, 0, 5678)] {
        old(mode, owner, group);
        inject(&data().join("callchain.pipe"), &output).well();
        assert_eq!(is(&output), (owner, group, mode & 0o777));
    }
    // Who may not give files away has it as his own, and his group gets no more than everybody had.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("ours");
    for (mode, given) in [(0o660, 0o600), (0o664, 0o644), (0o777, 0o777), (0o640, 0o600)] {
        old(mode, 1234, 5678);
        let stdin = File::open(data().join("callchain.pipe")).expect("there");
        Running::start(as_nobody(home.path()).arg("-o").arg(&output).stdin(stdin)).end().well();
        assert_eq!(is(&output), (NOBODY, NOBODY, given), "{mode:o}");
    }
    // And so do the files of a directory.
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    recording_dir(&from);
    recording_dir(&to);
    let files = ["", "data", "data.1", "kcore_dir", "kcore_dir/kcore"];
    for file in files {
        chown(to.join(file), Some(1234), Some(5678)).expect("root may");
        fs::set_permissions(to.join(file), fs::Permissions::from_mode(0o750)).expect("root may");
    }
    inject(&from, &to).well();
    for file in files {
        assert_eq!(is(&to.join(file)), (1234, 5678, 0o750), "{file}");
    }
    assert_eq!(is(&to.join("data.0")), is(&from.join("data.0")), "which was nobody else's");
}

/// The program with a live recording that has begun; what `meanwhile` does happens before its end.
fn meanwhile(command: &mut Command, meanwhile: impl FnOnce()) -> Ended {
    let (stdin, mut to) = pipe();
    let running = Running::start(command.stdin(stdin));
    let recording = recording();
    to.write_all(&recording[..5000]).expect("the program reads");
    running.wait_until_it_wants_more(&to);
    meanwhile();
    to.write_all(&recording[5000..]).expect("the program reads");
    drop(to);
    running.end()
}

/// The name under which an output was kept that could not have its own.
fn kept(ended: &Ended) -> PathBuf {
    let first = ended.told.lines().next().unwrap_or_default();
    let (_, kept) = first.split_once("; all of it is kept as ").unwrap_or_else(|| panic!("{}", ended.told));
    kept.into()
}

#[test]
fn an_output_that_cannot_have_its_name_any_more_is_kept_under_another() {
    let (dir, tmp) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let expected = expected(dir.path());
    let folder = dir.path().join("folder");
    let output = folder.join("out");
    // A directory has come in its way.
    fs::create_dir(&folder).expect("made");
    let ended = meanwhile(&mut inject_to(&output), || fs::create_dir(&output).expect("made"));
    assert_eq!(ended.causes(), ["Is a directory (os error 21)"]);
    assert!(ended.told.starts_with("perftool: error: cannot give the output its name, "), "{}", ended.told);
    assert_eq!(kept(&ended).parent(), Some(&*folder));
    assert!(fs::read(kept(&ended)).expect("there") == expected);
    // Its directory is gone, and there is only another one to keep it in.
    fs::remove_dir_all(&folder).expect("removed");
    fs::create_dir(&folder).expect("made");
    let mut command = inject_to(&output);
    let ended = meanwhile(command.env("TMPDIR", tmp.path()), || fs::remove_dir(&folder).expect("removed"));
    assert_eq!(ended.causes(), ["No such file or directory (os error 2)"]);
    assert_eq!(kept(&ended).parent(), Some(tmp.path()));
    assert!(fs::read(kept(&ended)).expect("there") == expected);
    assert_eq!(fs::metadata(kept(&ended)).expect("there").mode() & 0o777, 0o600);
    // Names can only be added by now: the one that it got first stays.
    fs::create_dir(&folder).expect("made");
    fs::write(&output, "what was there").expect("written");
    let mut attribute = None;
    let ended = meanwhile(&mut inject_to(&output), || attribute = Attribute::give("a", &folder));
    if attribute.is_some() {
        assert_eq!(ended.causes(), ["Operation not permitted (os error 1)"]);
        assert!(fs::read(kept(&ended)).expect("there") == expected);
        assert_eq!(fs::read(&output).expect("there"), b"what was there");
    }
}

#[test]
fn without_proc_an_output_takes_its_name_all_the_same() {
    if !is_root("mounting over /proc") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let expected = expected(dir.path());
    let output = dir.path().join("out");
    for _ in 0..2 {
        let script = "mount -t tmpfs none /proc || exit 9; exec \"$0\" inject -i \"$1\" -o \"$2\"";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_perftool")]);
        Running::start(unshare.arg(data().join("callchain.pipe")).arg(&output)).end().well();
        assert!(fs::read(&output).expect("there") == expected);
        assert_eq!(below(dir.path()).len(), 1, "and nothing else is left");
    }
}

#[test]
fn an_interrupt_ends_the_wait_for_a_fifos_reader() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = dir.path().join("out");
    mkfifoat(CWD, &output, Mode::RWXU).expect("a FIFO");
    let mut command = inject_to(&output);
    let running = Running::start(command.stdin(Stdio::null()));
    let fd = format!("/proc/{}/wchan", running.child.id());
    common::running::wait_until("it waits for a reader", || {
        fs::read_to_string(&fd).is_ok_and(|place| place == "wait_for_partner")
    });
    running.signal(rustix::process::Signal::TERM);
    running.end().by(rustix::process::Signal::TERM);
}
