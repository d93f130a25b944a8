//! The object files of DSOs: which file is opened for one, which is not, and where its debug file is found.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use perf_format::BuildId;
use perf_format::record::Inode;
use perf_session::Recording;
use perf_session::build_id::{BuildIdSource as _, Chain, InRoot, Known, NoBuildId, Origin, SourceConfig};
use perf_session::dso::{Dso, DsoKind, MappedBy};
use perf_session::evidence::{EvidenceConfig, FileFacts, Mismatch, Unproven};
use perf_session::machine::HOST;
use perf_session::object_files::{AlternateFile, NoObjectFile, ObjectFile, ObjectFiles, ObjectImage};
use perf_session::testing::{Elf, recorded_here, wait_for_map, wall_time};

fn id(byte: u8) -> BuildId {
    BuildId::new(&[byte; 20]).expect("an id")
}

fn dso(path: &Path) -> Dso {
    Dso::new(HOST, DsoKind::File, path.to_str().expect("text").into())
}

/// A DSO of which the recording carries an id.
fn with_id(dso: Dso, byte: u8) -> Dso {
    Dso { build_id: Some(id(byte)), ..dso }
}

/// Puts a file below a directory.
fn put(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(&path, bytes).expect("written");
    path
}

fn elf(byte: u8) -> Vec<u8> {
    Elf::with_build_id(&[byte; 20]).bytes()
}

/// Puts an ELF file with this id below a directory.
fn put_elf(dir: &Path, name: &str, byte: u8) -> PathBuf {
    put(dir, name, &elf(byte))
}

fn open_dir(path: &Path) -> InRoot {
    InRoot::open(path).expect("there")
}

/// A recording of another machine.
fn of_elsewhere() -> Recording {
    let mut recording = Recording::default();
    recording.hostname = Some("elsewhere".into());
    recording.release = Some("2.6.32".into());
    recording
}

/// What is opened for a DSO of a recording of another machine.
fn open_of_elsewhere(config: SourceConfig, dso: &Dso) -> Result<ObjectFile, NoObjectFile> {
    ObjectFiles::of_recording(config).open(dso, &of_elsewhere())
}

/// What is in a file, read from where it stands.
fn contents(object: ObjectFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    match object.image {
        ObjectImage::File(mut file) => file.read_to_end(&mut bytes).expect("read"),
        ObjectImage::Memory(image) => image.as_slice().read_to_end(&mut bytes).expect("read"),
        _ => panic!("no other kind is known"),
    };
    bytes
}

/// A DSO as it is recorded of a file, and mapped at that time.
fn recorded(path: &Path, mapped: SystemTime) -> Dso {
    let facts = FileFacts::of(&fs::File::open(path).expect("there")).expect("it answers");
    let (maj, min) = facts.device;
    let generation = facts.generation.unwrap_or(0).into();
    Dso {
        inode: Some(Inode { maj, min, ino: facts.ino, ino_generation: generation }),
        mapped_by: Some(MappedBy { pid: -7, start: 0, end: 0x1000, pgoff: 0, is_exec: true, root: None }),
        mapped_at: Some(wall_time(mapped)),
        ..dso(path)
    }
}

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn the_recorded_file_is_opened_and_one_in_its_place_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = put_elf(dir.path(), "program", 1);
    let mapped = SystemTime::now() + LONG;
    let recorded = recorded(&path, mapped);
    let (evidence, recording) = recorded_here(mapped);
    let config = SourceConfig { evidence, ..SourceConfig::default() };
    let mut files = ObjectFiles::of_recording(config);
    let opened = files.open(&recorded, &recording).expect("it is the recorded one");
    assert_eq!((opened.build_id, opened.origin), (Some(id(1)), Origin::File));
    assert_eq!(contents(opened), elf(1));
    // Mapped before it was last changed, or another inode now.
    let early = Dso { mapped_at: Some(wall_time(SystemTime::now() - LONG)), ..recorded.clone() };
    let refused = files.open(&early, &recording).expect_err("it was changed");
    assert_eq!(refused.to_string(), "it was changed after it was mapped");
    fs::rename(put_elf(dir.path(), "new", 2), &path).expect("renamed");
    let refused = files.open(&recorded, &recording).expect_err("it is another");
    assert!(refused.to_string().starts_with("another file is there now (inode "), "{refused}");
}

#[test]
fn a_file_without_an_id_is_opened_as_well() {
    let dir = tempfile::tempdir().expect("a directory");
    let without = Elf { notes: Vec::new(), ..Elf::with_build_id(&[1; 20]) }.bytes();
    let path = put(dir.path(), "program", &without);
    let mapped = SystemTime::now() + LONG;
    let (evidence, recording) = recorded_here(mapped);
    let mut files = ObjectFiles::of_recording(SourceConfig { evidence, ..SourceConfig::default() });
    let opened = files.open(&recorded(&path, mapped), &recording).expect("it is the recorded one");
    assert_eq!(opened.build_id, None);
    assert_eq!(contents(opened), without);
}

#[test]
fn a_file_is_opened_where_an_id_would_be_taken_of_it_and_refused_for_the_same_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = put_elf(dir.path(), "program", 1);
    let missing = dir.path().join("missing");
    let later = SystemTime::now() + LONG;
    let right = recorded(&path, later);
    let dsos = [
        right.clone(),
        Dso { mapped_at: Some(wall_time(SystemTime::now() - LONG)), ..right.clone() },
        Dso { mapped_at: None, ..right.clone() },
        Dso { inode: right.inode.map(|inode| Inode { ino: inode.ino + 1, ..inode }), ..right.clone() },
        Dso { inode: None, ..right.clone() },
        Dso { mapped_by: right.mapped_by.map(|by| MappedBy { pgoff: 0x1000, ..by }), ..right.clone() },
        Dso { name: "program".into(), ..right.clone() },
        Dso { name: "/dev/null".into(), ..right.clone() },
        Dso { kind: DsoKind::Anonymous, ..right.clone() },
        Dso { machine: 1234, ..right.clone() },
        dso(&path),
        dso(&missing),
        dso(&put(dir.path(), "script", b"#!/bin/sh")),
    ];
    let (evidence, recording) = recorded_here(later);
    for allow_changed in [false, true] {
        for strict in [false, true] {
            for recording in [&recording, &of_elsewhere(), &Recording::default()] {
                let evidence = EvidenceConfig { allow_changed, strict, ..evidence.clone() };
                let config = SourceConfig { evidence, ..SourceConfig::default() };
                let mut ids = Chain::of_recording(config.clone());
                let mut files = ObjectFiles::of_recording(config);
                for dso in &dsos {
                    let found = ids.build_id(dso, recording).map(|found| found.expect("or a reason"));
                    let found = found.map(|found| (Some(found.build_id), found.origin, found.unproven));
                    let opened = files.open(dso, recording);
                    let opened = opened.map(|object| (object.build_id, object.origin, object.unproven));
                    assert_eq!(
                        opened.map_err(|reason| reason.to_string()),
                        found.map_err(|reason| reason.to_string()),
                        "{dso:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_file_with_the_recorded_id_is_the_recorded_one_whatever_its_times_and_its_machine() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = put_elf(dir.path(), "program", 1);
    let changed_since = recorded(&path, SystemTime::now() - LONG);
    let other =
        Dso { inode: changed_since.inode.map(|inode| Inode { ino: 1, ..inode }), ..changed_since.clone() };
    for dso in [dso(&path), changed_since, other] {
        let refused = open_of_elsewhere(SourceConfig::default(), &dso).expect_err("nothing proves it");
        assert!(matches!(refused, NoObjectFile::Refused(NoBuildId::NotHere(_))), "{refused:?}");
        let opened =
            open_of_elsewhere(SourceConfig::default(), &with_id(dso.clone(), 1)).expect("the id proves it");
        assert_eq!((opened.unproven, opened.origin), (None, Origin::File));
        assert_eq!(contents(opened), elf(1));
        // What several DSOs carry proves nothing.
        let shared = Dso { shares_id: true, ..with_id(dso, 1) };
        assert!(open_of_elsewhere(SourceConfig::default(), &shared).is_err());
    }
}

#[test]
fn a_file_with_another_id_than_the_recorded_one_is_never_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = put_elf(dir.path(), "program", 1);
    let mapped = SystemTime::now() + LONG;
    let (evidence, recording) = recorded_here(mapped);
    let evidence = EvidenceConfig { allow_changed: true, ..evidence };
    let config = SourceConfig { evidence, ..SourceConfig::default() };
    let mut files = ObjectFiles::of_recording(config.clone());
    let other = with_id(recorded(&path, mapped), 2);
    let refused = files.open(&other, &recording).expect_err("it is another build");
    let [here, was] = [1, 2].map(|byte| format!("{byte:02x}").repeat(20));
    assert_eq!(refused.to_string(), format!("another build is there now ({here}, recorded was {was})"));
    assert!(matches!(refused, NoObjectFile::Refused(NoBuildId::Changed(Mismatch::Build { .. }))));
    fs::write(&path, Elf { notes: Vec::new(), ..Elf::with_build_id(&[1; 20]) }.bytes()).expect("written");
    let refused = files.open(&other, &recording).expect_err("it is another build");
    assert_eq!(
        refused.to_string(),
        format!("another build is there now (without a build-id, recorded was {was})")
    );
    // The id that the user gives comes before the recorded one, as in the chain.
    put_elf(dir.path(), "program", 3);
    let known = Known::parse(format!("{} {}", id(3), path.display()).as_str().into(), b',').expect("a list");
    let mut files = ObjectFiles::of_recording(SourceConfig { known, ..config });
    assert_eq!(files.open(&other, &recording).expect("it is known").build_id, Some(id(3)));
}

#[test]
fn an_id_that_was_filled_up_with_zeros_is_that_of_a_shorter_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = put(dir.path(), "program", &Elf::with_build_id(&[7; 8]).bytes());
    let padded = BuildId::new(&[[7; 8].as_slice(), &[0; 12]].concat()).expect("an id");
    let recorded = Dso { build_id: Some(padded), ..dso(&path) };
    assert!(open_of_elsewhere(SourceConfig::default(), &recorded).is_ok());
}

#[test]
fn below_a_symfs_are_the_only_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let outside = put_elf(dir.path(), "program", 1);
    let symfs = dir.path().join("symfs");
    put_elf(&symfs, "bin/a", 2);
    let config = SourceConfig { symfs: Some(open_dir(&symfs)), ..SourceConfig::default() };
    let opened = open_of_elsewhere(config.clone(), &dso(Path::new("/bin/a"))).expect("there");
    assert_eq!((opened.origin, opened.unproven), (Origin::Symfs, Some(Unproven::Named)));
    let proven = open_of_elsewhere(config.clone(), &with_id(dso(Path::new("/bin/a")), 2)).expect("there");
    assert_eq!((proven.origin, proven.unproven), (Origin::Symfs, None));
    for missing in [with_id(dso(Path::new("/bin/a")), 3), dso(&outside), with_id(dso(&outside), 1)] {
        assert!(open_of_elsewhere(config.clone(), &missing).is_err(), "{missing:?}");
    }
    let vdso = Dso::new(HOST, DsoKind::Vdso, "[vdso]".into());
    assert!(matches!(open_of_elsewhere(config, &vdso), Err(NoObjectFile::NotFound)));
}

#[test]
fn a_process_with_a_root_has_its_files_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let here = put_elf(dir.path(), "program", 1);
    let root = dir.path().join("root");
    let inside = put_elf(&root, &here.to_str().expect("text")[1..], 2);
    let config = SourceConfig { roots: vec![(100, open_dir(&root))], ..SourceConfig::default() };
    let by = MappedBy { pid: 101, start: 0, end: 0x1000, pgoff: 0, is_exec: true, root: Some(100) };
    let recorded = Dso { mapped_by: Some(by), ..dso(&here) };
    let opened = open_of_elsewhere(config.clone(), &recorded).expect("there");
    assert_eq!((opened.origin, opened.build_id), (Origin::Root, Some(id(2))));
    fs::remove_file(inside).expect("removed");
    let refused = open_of_elsewhere(config.clone(), &recorded).expect_err("the file outside is another");
    assert!(refused.to_string().starts_with("below the root of its process: "), "{refused}");
    // Its id shows that it is the same all the same.
    assert_eq!(open_of_elsewhere(config, &with_id(recorded, 1)).expect("the same").origin, Origin::File);
}

#[test]
fn a_build_that_is_kept_is_found_by_its_id_under_any_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let hex = |byte: u8| id(byte).to_string();
    let by_id = |byte: u8, end: &str| format!(".build-id/{}/{}{end}", &hex(byte)[..2], &hex(byte)[2..]);
    // As perf's cache has it, of which the first directory is a link to the second.
    put_elf(dir.path(), &format!("opt/a/{}/elf", hex(1)), 1);
    put_elf(dir.path(), &format!("opt/a/{}/elf", hex(2)), 2);
    fs::create_dir_all(dir.path().join(by_id(1, "")).parent().expect("a directory")).expect("made");
    std::os::unix::fs::symlink(format!("../../opt/a/{}", hex(1)), dir.path().join(by_id(1, "")))
        .expect("linked");
    put_elf(dir.path(), &by_id(3, ""), 3);
    put_elf(dir.path(), "opt/whole", 4);
    let debug = Elf { is_separate: true, ..Elf::with_build_id(&[5; 20]) }.bytes();
    put(dir.path(), "opt/stripped", &debug);
    put(dir.path(), &by_id(5, ""), &debug);
    put_elf(dir.path(), &by_id(6, "/elf"), 7);
    let config = SourceConfig { debug_dirs: vec![open_dir(dir.path())], ..SourceConfig::default() };
    let open = |path: &str, byte: Option<u8>| {
        let dso = dso(Path::new(path));
        open_of_elsewhere(config.clone(), &byte.map_or(dso.clone(), |byte| with_id(dso, byte)))
    };
    for (path, byte) in [
        ("/elsewhere/x", 1),
        ("/opt/a", 1),
        ("/opt/a", 2),
        ("/elsewhere/x", 3),
        ("no path", 3),
        ("/opt/whole", 4),
    ] {
        let opened = open(path, Some(byte)).expect(path);
        assert_eq!((opened.origin, opened.unproven), (Origin::DebugDir, None), "{path} {byte}");
        assert_eq!(contents(opened), elf(byte), "{path} {byte}");
    }
    // What is kept for its symbols alone has no code, and what is in the place of a build may be another.
    for (path, byte) in [("/opt/stripped", 5), ("/opt/whole", 3 + 5), ("/opt/x", 6)] {
        assert!(open(path, Some(byte)).is_err(), "{path} {byte}");
    }
    let mut trusting = config.clone();
    trusting.symfs = Some(open_dir(dir.path().join("opt").as_path()));
    let by_name = |path: &str| open_of_elsewhere(trusting.clone(), &dso(Path::new(path)));
    assert_eq!(by_name("/opt/whole").expect("kept").unproven, Some(Unproven::Named));
    assert!(matches!(by_name("/opt/a"), Err(NoObjectFile::Refused(NoBuildId::Ambiguous(2)))));
    assert!(by_name("/opt/stripped").is_err());
}

#[test]
fn what_is_no_regular_file_is_not_opened_in_any_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let fifo = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).expect("a FIFO");
    let evidence = EvidenceConfig { allow_changed: true, ..EvidenceConfig::default() };
    let here = SourceConfig { evidence, debug_dirs: vec![open_dir(dir.path())], ..SourceConfig::default() };
    let symfs = SourceConfig { symfs: Some(open_dir(dir.path())), ..SourceConfig::default() };
    let below = Path::new("/fifo");
    // Opening a FIFO without a writer would wait for ever.
    for (config, path) in
        [(&here, fifo.as_path()), (&here, below), (&symfs, below), (&here, Path::new("/dev/zero"))]
    {
        for dso in [dso(path), with_id(dso(path), 1)] {
            assert!(open_of_elsewhere(config.clone(), &dso).is_err(), "{dso:?}");
        }
    }
    let refused = open_of_elsewhere(symfs, &dso(below)).expect_err("it is a FIFO");
    assert_eq!(refused.to_string(), "it is no regular file");
    // Nor as a debug file.
    let stripped = Elf { debug_link: Some((b"fifo".to_vec(), 0)), ..Elf::with_build_id(&[1; 20]) };
    let path = put(dir.path(), "program", &stripped.bytes());
    let mut files = ObjectFiles::of_recording(here);
    let opened = files.open(&dso(&path), &of_elsewhere()).expect("trusted");
    assert!(files.debug_file(&opened, &dso(&path)).is_none());
}

#[test]
fn the_vdso_is_the_image_of_the_running_kernel_where_that_was_recorded() {
    let vdso = Dso::new(HOST, DsoKind::Vdso, "[vdso]".into());
    let (evidence, recording) = recorded_here(SystemTime::now());
    let mut files = ObjectFiles::of_recording(SourceConfig { evidence, ..SourceConfig::default() });
    let opened = files.open(&vdso, &recording).expect("it is this kernel's");
    let own = opened.build_id;
    assert_eq!((opened.origin, opened.unproven), (Origin::Vdso, None));
    assert!(contents(opened).starts_with(b"\x7fELF"));
    assert!(own.is_some());
    // Another kernel's may be the same build, and only its id can tell.
    let elsewhere = files.open(&vdso, &of_elsewhere());
    assert!(matches!(elsewhere, Err(NoObjectFile::Refused(NoBuildId::NotHere(_)))), "{elsewhere:?}");
    assert!(files.open(&Dso { build_id: own, ..vdso.clone() }, &of_elsewhere()).is_ok());
    let other = files.open(&with_id(vdso, 9), &recording).expect_err("it is another build");
    assert!(other.to_string().starts_with("another build is there now ("), "{other}");
    let vdso32 = Dso::new(HOST, DsoKind::Vdso, "[vdso32]".into());
    assert!(matches!(files.open(&vdso32, &recording), Err(NoObjectFile::NotFound)));
}

#[test]
fn of_the_kernel_guests_and_anonymous_memory_nothing_is_opened() {
    let (evidence, recording) = recorded_here(SystemTime::now());
    let mut files = ObjectFiles::of_recording(SourceConfig { evidence, ..SourceConfig::default() });
    let mut said = |dso: Dso| files.open(&dso, &recording).expect_err("nothing is there").to_string();
    for (kind, name) in [(DsoKind::Kernel, "[kernel.kallsyms]"), (DsoKind::Module, "/bin/sh")] {
        assert_eq!(
            said(Dso::new(HOST, kind, name.into())),
            "it is code of the kernel, whose files are not looked for"
        );
    }
    assert_eq!(said(Dso::new(HOST, DsoKind::Anonymous, "//anon".into())), "it is of no file");
    assert_eq!(said(Dso { machine: 7, ..dso(Path::new("/bin/sh")) }), "it is on a guest machine");
    assert_eq!(said(dso(Path::new("a.out (deleted)"))), "its name is no path");
}

/// A process that runs a copy of a program, and ends with the test.
struct Running {
    child: Child,
    mapped: MappedBy,
    inode: Inode,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts a program and finds its executable map.
fn run(path: &Path) -> Running {
    let child = Command::new(path).stdin(Stdio::piped()).spawn().expect("it starts");
    let pid = i32::try_from(child.id()).expect("a pid");
    let (mapped, inode) = wait_for_map(pid, path.to_str().expect("text"));
    Running { child, mapped, inode }
}

#[test]
fn a_program_that_was_deleted_while_it_runs_is_opened_through_its_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("program");
    fs::copy("/bin/cat", &path).expect("every system has it");
    let bytes = fs::read(&path).expect("there");
    let process = run(&path);
    fs::remove_file(&path).expect("removed");
    let by_inode = Dso {
        mapped_by: Some(process.mapped),
        mapped_at: Some(wall_time(SystemTime::now())),
        inode: Some(process.inode),
        ..dso(&path)
    };
    let (evidence, recording) = recorded_here(SystemTime::now());
    let mut files = ObjectFiles::of_recording(SourceConfig { evidence, ..SourceConfig::default() });
    let opened = files.open(&by_inode, &recording).expect("it runs");
    let own = opened.build_id;
    assert_eq!((opened.origin, contents(opened) == bytes), (Origin::Process, true));
    // Records of maps have an inode or an id; the id needs no inode, and no more than it.
    let by_id = Dso { inode: None, build_id: own, ..by_inode.clone() };
    assert!(own.is_some(), "distributions' programs have ids");
    let opened = files.open(&by_id, &recording).expect("it runs");
    assert_eq!((opened.origin, opened.unproven, contents(opened) == bytes), (Origin::Process, None, true));
    assert!(files.open(&with_id(by_id, 9), &recording).is_err(), "another process has that pid");
    drop(process);
    assert!(files.open(&by_inode, &recording).is_err(), "it is gone");
}

/// The CRC-32 of a file, bit by bit.
fn crc_of(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
        )
    })
}

/// An opened file that tells of a debug file, and whether that is found.
fn is_found(config: &SourceConfig, name: &Path) -> bool {
    let mut files = ObjectFiles::of_recording(config.clone());
    let opened = files.open(&dso(name), &of_elsewhere()).expect("there");
    files.debug_file(&opened, &dso(name)).is_some()
}

#[test]
fn a_debug_file_is_found_by_the_name_that_the_file_tells_where_debuggers_keep_it() {
    assert_eq!(crc_of(b"123456789"), 0xcbf4_3926, "the check value of CRC-32");
    // Without ids, as `ld --build-id=none` links.
    let debug = Elf { notes: Vec::new(), is_separate: true, ..Elf::with_build_id(&[1; 20]) }.bytes();
    let link = |name: &str, crc: u32| {
        Elf { notes: Vec::new(), debug_link: Some((name.into(), crc)), ..Elf::with_build_id(&[1; 20]) }
            .bytes()
    };
    let root = tempfile::tempdir().expect("a directory");
    let kept = tempfile::tempdir().expect("a directory");
    let config = SourceConfig {
        symfs: Some(open_dir(root.path())),
        debug_dirs: vec![open_dir(kept.path())],
        ..SourceConfig::default()
    };
    let name = Path::new("/opt/program");
    let places = [
        (root.path(), "opt/a.debug"),
        (root.path(), "opt/.debug/a.debug"),
        (root.path(), "usr/lib/debug/opt/a.debug"),
        (kept.path(), "opt/a.debug"),
    ];
    for (dir, place) in places {
        put(root.path(), "opt/program", &link("a.debug", crc_of(&debug)));
        assert!(!is_found(&config, name), "{place}");
        let at = put(dir, place, &debug);
        assert!(is_found(&config, name), "{place}");
        put(root.path(), "opt/program", &link("a.debug", !crc_of(&debug)));
        assert!(!is_found(&config, name), "the CRC of {place} is another");
        fs::remove_file(at).expect("removed");
    }
    // The name is no way into other directories, and none back to the file itself.
    put(root.path(), "etc/a.debug", &debug);
    for name_told in ["../etc/a.debug", "/etc/a.debug", "..", "", "program"] {
        put(root.path(), "opt/program", &link(name_told, crc_of(&debug)));
        assert!(!is_found(&config, name), "{name_told}");
    }
}

#[test]
fn a_debug_file_with_another_id_is_none_whatever_its_name_and_the_one_with_the_id_needs_no_crc() {
    let root = tempfile::tempdir().expect("a directory");
    let config = SourceConfig { symfs: Some(open_dir(root.path())), ..SourceConfig::default() };
    let (right, wrong) = (elf(1), elf(2));
    let name = Path::new("/opt/program");
    for (debug, crc, expected) in [(&right, 0, true), (&wrong, crc_of(&wrong), false)] {
        let program = Elf { debug_link: Some((b"a.debug".to_vec(), crc)), ..Elf::with_build_id(&[1; 20]) };
        put(root.path(), "opt/program", &program.bytes());
        put(root.path(), "opt/a.debug", debug);
        assert_eq!(is_found(&config, name), expected);
    }
    // The file itself is no debug file, under its own name or another.
    fs::remove_file(root.path().join("opt/a.debug")).expect("removed");
    for itself in ["program", "a.debug"] {
        let program = Elf { debug_link: Some((itself.into(), 0)), ..Elf::with_build_id(&[1; 20]) };
        let path = put(root.path(), "opt/program", &program.bytes());
        fs::hard_link(path, root.path().join("opt/a.debug")).ok();
        assert!(!is_found(&config, name), "{itself}");
    }
}

#[test]
fn a_debug_file_is_found_by_the_id_of_the_file_below_the_root_that_the_file_was_below() {
    let (root, kept) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let name = Path::new("/opt/program");
    put_elf(root.path(), "opt/program", 1);
    let symfs = SourceConfig { symfs: Some(open_dir(root.path())), ..SourceConfig::default() };
    let with_dir = SourceConfig { debug_dirs: vec![open_dir(kept.path())], ..symfs.clone() };
    let by_id = |end: &str| format!(".build-id/01/{}{end}", "01".repeat(19));
    let in_root = format!("usr/lib/debug/{}", by_id(".debug"));
    assert!(!is_found(&symfs, name));
    for (config, dir, place) in [
        (&symfs, root.path(), in_root.as_str()),
        (&with_dir, kept.path(), &by_id(".debug")),
        (&with_dir, kept.path(), &by_id("/debug")),
    ] {
        put_elf(dir, place, 2);
        assert!(!is_found(config, name), "{place} is another build's");
        let at = put_elf(dir, place, 1);
        assert!(is_found(config, name), "{place}");
        fs::remove_file(at).expect("removed");
    }
    // The root of a process has its own.
    let by = MappedBy { pid: 101, start: 0, end: 0x1000, pgoff: 0, is_exec: true, root: Some(100) };
    let recorded = Dso { mapped_by: Some(by), ..dso(name) };
    let roots = SourceConfig { roots: vec![(100, open_dir(root.path()))], ..SourceConfig::default() };
    let mut files = ObjectFiles::of_recording(roots);
    let opened = files.open(&recorded, &of_elsewhere()).expect("there");
    assert!(files.debug_file(&opened, &recorded).is_none());
    put_elf(root.path(), &in_root, 1);
    assert!(files.debug_file(&opened, &recorded).is_some());
}

#[test]
fn an_alternate_file_is_found_by_its_id_or_by_the_path_from_where_the_debug_file_is() {
    let (root, kept) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let name = Path::new("/opt/program");
    put_elf(root.path(), "opt/program", 1);
    let symfs = SourceConfig { symfs: Some(open_dir(root.path())), ..SourceConfig::default() };
    let config = SourceConfig { debug_dirs: vec![open_dir(kept.path())], ..symfs };
    let by_id = |end: &str| format!(".build-id/07/{}{end}", "07".repeat(19));
    let in_system = "usr/lib/debug/.dwz/common.debug";
    for (told, dir, place) in [
        ("/gone", root.path(), format!("usr/lib/debug/{}", by_id(".debug"))),
        ("/gone", kept.path(), by_id(".debug")),
        ("/gone", kept.path(), by_id("/debug")),
        ("/usr/lib/debug/.dwz/common.debug", root.path(), in_system.to_owned()),
        ("/usr/lib/debug/.dwz/common.debug", kept.path(), ".dwz/common.debug".to_owned()),
        // From /usr/lib/debug/opt, whatever link led there.
        ("../.dwz/common.debug", root.path(), in_system.to_owned()),
        ("../../../../../usr/lib/debug/.dwz/common.debug", root.path(), in_system.to_owned()),
    ] {
        let alternate_link = Some((told.into(), vec![7; 20]));
        let debug = Elf { alternate_link, ..Elf::with_build_id(&[1; 20]) };
        let debug = put(root.path(), "usr/lib/debug/opt/program.debug", &debug.bytes());
        let link = root.path().join(format!("usr/lib/debug/.build-id/01/{}.debug", "01".repeat(19)));
        fs::create_dir_all(link.parent().expect("a directory")).expect("made");
        fs::remove_file(&link).ok();
        std::os::unix::fs::symlink("/usr/lib/debug/opt/program.debug", link).expect("linked");
        let found = || {
            let mut files = ObjectFiles::of_recording(config.clone());
            let opened = files.open(&dso(name), &of_elsewhere()).expect("there");
            let debug = files.debug_file(&opened, &dso(name)).expect("there");
            assert!(files.alternate_file(debug_image(&opened), &opened, &dso(name)).is_none());
            files.alternate_file(&debug, &opened, &dso(name)).expect("it is told")
        };
        assert!(found().file.is_none(), "{told}");
        put_elf(dir, &place, 2);
        assert!(found().file.is_none(), "{told}: {place} is another build's");
        put_elf(dir, &place, 7);
        let AlternateFile { path, build_id, file, .. } = found();
        assert!(file.is_some(), "{told}: {place}");
        assert_eq!(build_id, BuildId::new(&[7; 20]).expect("an id"));
        assert!(path == "/gone" || path == "/usr/lib/debug/.dwz/common.debug", "{path}");
        fs::remove_file(dir.join(place)).expect("removed");
        fs::remove_file(debug).expect("removed");
    }
}

fn debug_image(object: &ObjectFile) -> &File {
    match &object.image {
        ObjectImage::File(file) => file,
        _ => panic!("it is a file"),
    }
}
