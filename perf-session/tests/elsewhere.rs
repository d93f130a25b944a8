//! Sources of build-ids that are given by hand, and what the recording itself tells of files: roots, symfs, debug
//! directories, a memfd, modules that share an id, files that are read once.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use perf_format::record::{BuildIdRecord, CpuMode, MapFile, Misc, Mmap2, Record, SizedBuildId};
use perf_format::testing::{At, StreamBuilder};
use perf_format::{BuildId, Endian, RawRecord};
use perf_session::build_id::{
    BuildIdCache, BuildIdSource, Chain, DebugDir, FileSource, FoundId, InRoot, LiveSource, ModuleSource,
    NoBuildId, Origin, RootSource, SourceConfig, SymfsSource, VdsoSource,
};
use perf_session::dso::{Dso, DsoKind};
use perf_session::evidence::{Clue, Evidence, EvidenceConfig, Place, Unproven};
use perf_session::machine::HOST;
use perf_session::testing::{Elf, recorded_here, trusting, wait_for_map};
use perf_session::{Recording, Session};

fn dso(kind: DsoKind, name: &str) -> Dso {
    Dso::new(HOST, kind, name.into())
}

fn id(byte: u8) -> BuildId {
    BuildId::new(&[byte; 20]).expect("an id")
}

/// Puts an ELF file with this id below a directory.
fn put(dir: &Path, name: &str, byte: u8) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(&path, Elf::with_build_id(&[byte; 20]).bytes()).expect("written");
    path
}

/// A recording of a machine with this kernel's release.
fn of_release(release: &str) -> Recording {
    let mut recording = Recording::default();
    recording.release = Some(release.into());
    recording
}

fn find_id(source: &mut dyn BuildIdSource, dso: &Dso) -> Result<Option<FoundId>, NoBuildId> {
    let recording = of_release("9.9.9");
    source.build_id(dso, &recording)
}

#[test]
fn the_files_of_another_machine_are_found_below_a_directory_and_nowhere_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let (inside, outside) = (dir.path().join("symfs"), put(dir.path(), "outside", 9));
    put(&inside, "bin/a", 1);
    put(&inside, "boot/vmlinux-9.9.9", 2);
    symlink("/bin/a", inside.join("absolute")).expect("linked");
    symlink("../outside", inside.join("up")).expect("linked");
    symlink(&outside, inside.join("out")).expect("linked");
    let symfs = InRoot::open(&inside).expect("there");
    let mut chain = Chain::of_recording(SourceConfig { symfs: Some(symfs), ..SourceConfig::default() });
    let mut found = |kind, name: &str| find_id(&mut chain, &dso(kind, name));
    for name in ["/bin/a", "/absolute", "/../../bin/a", "/bin/../../bin/a"] {
        let at = found(DsoKind::File, name).expect(name).expect(name);
        assert_eq!(
            (at.build_id, at.origin, at.unproven),
            (id(1), Origin::Symfs, Some(Unproven::Named)),
            "{name}"
        );
    }
    let kernel = found(DsoKind::Kernel, "[kernel.kallsyms]").expect("its image").expect("its image");
    assert_eq!(kernel.build_id, id(2));
    // No way leads out, neither by a link nor to this machine's own.
    for name in ["/up", "/out", "/../outside", "/bin/sh", "/proc/self/exe"] {
        assert!(found(DsoKind::File, name).is_err(), "{name}");
    }
    assert!(found(DsoKind::Vdso, "[vdso]").is_err(), "this machine's is another");
    assert!(found(DsoKind::File, "[anon:x]").is_err());
    let sneaky = of_release("../../outside");
    assert!(chain.build_id(&dso(DsoKind::Kernel, "[kernel.kallsyms]"), &sneaky).is_err());
}

#[test]
fn what_is_no_regular_file_is_not_opened_below_a_directory_either() {
    let dir = tempfile::tempdir().expect("a directory");
    let fifo = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).expect("a FIFO");
    let mut source = SymfsSource::new(
        InRoot::open(dir.path()).expect("there"),
        Evidence::default(),
        BuildIdCache::default(),
    );
    for name in ["/fifo", "/"] {
        assert!(
            matches!(find_id(&mut source, &dso(DsoKind::File, name)), Err(NoBuildId::NotAFile)),
            "{name}"
        );
    }
    assert!(InRoot::open(&fifo).is_err());
}

#[test]
fn a_process_and_its_descendants_have_the_root_that_is_given() {
    let dir = tempfile::tempdir().expect("a directory");
    put(dir.path(), "lib/c.so", 3);
    let bytes = StreamBuilder::with_callchains(Endian::Little)
        .fork(At::new(101, 1), 100)
        .fork(At::new(102, 2), 101)
        .mmap2(At::new(102, 3), 0x1000, 0x1000, "/lib/c.so")
        .mmap2(At::new(7, 3), 0x1000, 0x1000, "/lib/other.so")
        .mmap2(At::new(100, 4), 0x1000, 0x1000, "/bin/sh")
        .bytes();
    let mut session = Session::new();
    session.roots.insert(100);
    take(&mut session, &bytes[16..]);
    let root = || InRoot::open(dir.path()).expect("there");
    let mut source = RootSource::new(vec![(100, root())], Evidence::default(), BuildIdCache::default());
    let mut of = |name: &str| {
        let dso = session.dsos.iter().map(|(_, dso)| dso).find(|dso| dso.name == name).expect("mapped");
        find_id(&mut source, dso).expect("no error").map(|found| found.build_id)
    };
    assert_eq!(of("/lib/c.so"), Some(id(3)));
    assert_eq!(of("/lib/other.so"), None, "it is not that process's");
    // What is not in its root is nowhere: this machine's file of that name is another.
    let mut chain =
        Chain::of_recording(SourceConfig { roots: vec![(100, root())], ..SourceConfig::default() });
    let sh = session.dsos.iter().map(|(_, dso)| dso).find(|dso| dso.name == "/bin/sh").expect("mapped");
    let refused = find_id(&mut chain, sh);
    assert!(matches!(refused, Err(NoBuildId::BelowRoot(_))), "{refused:?}");
}

/// Shows a session all records.
fn take(session: &mut Session, mut bytes: &[u8]) {
    while let Some(record) = RawRecord::first(bytes, 0, Endian::Little) {
        session.update(&record).expect("a test's records are sound");
        bytes = &bytes[record.bytes.len()..];
    }
}

#[test]
fn what_is_kept_for_its_symbols_is_the_last_resort() {
    let dir = tempfile::tempdir().expect("a directory");
    let hex = |byte: u8| id(byte).to_string();
    put(dir.path(), &format!("opt/once/{}/elf", hex(4)), 4);
    put(dir.path(), &format!("opt/twice/{}/elf", hex(5)), 5);
    put(dir.path(), &format!("opt/twice/{}/elf", hex(6)), 6);
    fs::create_dir_all(dir.path().join(format!("opt/empty/{}", hex(7)))).expect("made");
    put(dir.path(), "opt/packaged.debug", 8);
    let kept = || DebugDir::new(InRoot::open(dir.path()).expect("there"), BuildIdCache::default());
    let mut source = kept();
    let mut of = |name: &str| find_id(&mut source, &dso(DsoKind::File, name));
    assert_eq!(of("/opt/once").expect("kept").map(|found| found.build_id), Some(id(4)));
    assert_eq!(of("/opt/packaged").expect("kept").map(|found| found.build_id), Some(id(8)));
    assert_eq!((of("/opt/empty").expect("nothing"), of("/opt/never").expect("nothing")), (None, None));
    assert!(matches!(of("/opt/twice"), Err(NoBuildId::Ambiguous(2))));
    // The file itself comes first.
    let here = put(dir.path(), "here", 1);
    put(dir.path(), &format!("{}/{}/elf", &here.display().to_string()[1..], hex(2)), 2);
    let places = SourceConfig {
        evidence: EvidenceConfig { allow_changed: true, ..EvidenceConfig::default() },
        debug_dirs: vec![InRoot::open(dir.path()).expect("there")],
        ..SourceConfig::default()
    };
    let found = find_id(&mut Chain::of_recording(places), &dso(DsoKind::File, here.to_str().expect("text")));
    assert_eq!(found.expect("there").map(|found| found.origin), Some(Origin::File));
}

#[test]
fn each_file_is_read_once_until_it_changes() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = put(dir.path(), "program", 1);
    let link = dir.path().join("link");
    fs::hard_link(&path, &link).expect("linked");
    let mut source = FileSource::new(trusting(), BuildIdCache::default());
    let mut of = |path: &Path| find_id(&mut source, &dso(DsoKind::File, path.to_str().expect("text")));
    let mut id_of = |path: &Path| of(path).expect("there").expect("an id").build_id;
    assert_eq!(id_of(&path), id(1));
    // Another's bytes in it, and the time of its contents as it was: that it was changed is seen all the same.
    let written = fs::metadata(&path).expect("there").modified().expect("a time");
    let mut file = File::options().write(true).open(&path).expect("there");
    file.write_all(&Elf::with_build_id(&[2; 20]).bytes()).expect("written");
    file.set_modified(written).expect("set");
    assert_eq!((id_of(&path), id_of(&link)), (id(2), id(2)));
}

#[test]
fn a_memfd_that_is_executed_has_its_id() {
    let memfd = rustix::fs::memfd_create("jitted", rustix::fs::MemfdFlags::empty()).expect("a memfd");
    let mut memfd = File::from(memfd);
    memfd.write_all(&fs::read("/bin/cat").expect("every system has it")).expect("written");
    let itself = format!("/proc/{}/fd/{}", std::process::id(), memfd.as_raw_fd());
    let mut child = Command::new(itself).stdin(Stdio::piped()).spawn().expect("it starts");
    let pid = i32::try_from(child.id()).expect("a pid");
    let (mapped, inode) = wait_for_map(pid, "/memfd:jitted");
    let recorded =
        Dso { mapped_by: Some(mapped), inode: Some(inode), ..dso(DsoKind::File, "/memfd:jitted (deleted)") };
    let (evidence, recording) = recorded_here(std::time::SystemTime::now());
    let mut live = LiveSource::new(Evidence::new(evidence), BuildIdCache::default());
    let found = live.build_id(&recorded, &recording);
    let of_name = find_id(&mut FileSource::new(trusting(), BuildIdCache::default()), &recorded);
    let expected =
        find_id(&mut FileSource::new(trusting(), BuildIdCache::default()), &dso(DsoKind::File, "/bin/cat"));
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert!(of_name.is_err(), "its name leads nowhere");
    let (found, expected) =
        (found.expect("it runs").expect("an id"), expected.expect("there").expect("an id"));
    assert_eq!((found.build_id, found.origin), (expected.build_id, Origin::Process));
}

#[test]
fn another_machines_modules_and_vdso_are_not_this_ones() {
    let dir = tempfile::tempdir().expect("a directory");
    let notes = dir.path().join("nf_nat/notes");
    fs::create_dir_all(&notes).expect("made");
    fs::write(notes.join(".note.gnu.build-id"), Elf::with_build_id(&[5; 20]).notes).expect("written");
    let module = find_id(
        &mut ModuleSource::new(Evidence::default()).at(dir.path().to_owned()),
        &dso(DsoKind::Module, "[nf_nat]"),
    );
    let vdso = find_id(&mut VdsoSource::new(Evidence::default()), &dso(DsoKind::Vdso, "[vdso]"));
    for refused in [module, vdso] {
        assert!(
            matches!(refused, Err(NoBuildId::NotHere(Place::Elsewhere(Clue::Release(_))))),
            "{refused:?}"
        );
    }
}

/// A session that was told these ids of modules, by their maps or by BUILD_ID records.
fn session_with_ids(ids: &[(&str, u8)], by_maps: bool) -> Session {
    let (mut session, mut bytes) = (Session::new(), Vec::new());
    for (name, byte) in ids {
        let map = Mmap2 {
            pid: u32::MAX,
            tid: 0,
            start: 0xffff_ffff_c000_0000,
            len: 0x1000,
            pgoff: 0,
            file: MapFile::BuildId(Some(id(*byte))),
            prot: 5,
            flags: 2,
            filename: (*name).into(),
        };
        let by_name =
            BuildIdRecord { pid: HOST, build_id: SizedBuildId(Some(id(*byte))), filename: (*name).into() };
        let record = if by_maps { Record::Mmap2(map) } else { Record::BuildId(by_name) };
        record.encode(Misc::of(CpuMode::Kernel), &[], Endian::Little, &mut bytes).expect("it fits");
    }
    take(&mut session, &bytes);
    session
}

#[test]
fn an_id_that_several_modules_carry_is_not_believed_of_any() {
    for by_maps in [true, false] {
        let session = session_with_ids(
            &[("[ext4]", 1), ("[nf_nat]", 1), ("[xfs]", 2), ("/lib/xfs.ko.zst", 2)],
            by_maps,
        );
        let mut chain = Chain::of_recording(SourceConfig::default());
        let mut of = |name: &str| {
            let dso = session.dsos.iter().map(|(_, dso)| dso).find(|dso| dso.name == name).expect("mapped");
            chain.build_id(dso, &Recording::default())
        };
        for name in ["[ext4]", "[nf_nat]"] {
            let refused = of(name);
            assert!(matches!(refused, Err(NoBuildId::Shared(_))), "{name}: {refused:?}");
        }
        // Two names of one module are one module.
        assert_eq!(of("[xfs]").expect("believed").map(|found| found.build_id), Some(id(2)));
    }
}

#[test]
fn a_module_whose_recorded_id_cannot_be_right_gets_the_running_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let notes = dir.path().join("nf_nat/notes");
    fs::create_dir_all(&notes).expect("made");
    fs::write(notes.join(".note.gnu.build-id"), Elf::with_build_id(&[5; 20]).notes).expect("written");
    let session = session_with_ids(&[("[ext4]", 1), ("[nf_nat]", 1)], true);
    let mut chain = Chain(vec![
        Box::new(perf_session::build_id::Recorded),
        Box::new(ModuleSource::new(trusting()).at(dir.path().to_owned())),
    ]);
    let found: Vec<_> = session
        .dsos
        .iter()
        .map(|(_, dso)| chain.build_id(dso, &Recording::default()).ok().flatten().map(|found| found.build_id))
        .collect();
    assert_eq!(found, [None, Some(id(5))], "what is not loaded here has none");
}
