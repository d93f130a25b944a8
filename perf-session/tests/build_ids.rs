//! Sources of build-ids, on real files: what is one, what is none, and what nobody opens.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use object::Endianness;
use object::elf::NoteType;
use perf_format::BuildId;
use perf_format::record::Inode;
use perf_session::Recording;
use perf_session::build_id::{
    BuildIdCache, BuildIdSource, Chain, FileSource, KernelSource, LiveSource, ModuleSource, NoBuildId,
    SourceConfig, VdsoSource, gnu_build_id,
};
use perf_session::dso::{Dso, DsoKind, MappedBy};
use perf_session::evidence::{Evidence, EvidenceConfig};
use perf_session::machine::HOST;
use perf_session::testing::{BUILD_ID, Elf, recorded_here, trusting, wait_for_map, wall_time};

fn dso(kind: DsoKind, name: &str) -> Dso {
    Dso::new(HOST, kind, name.into())
}

/// A file in a directory of its own.
struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn file(bytes: &[u8]) -> File {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    fs::write(&path, bytes).expect("written");
    File { _dir: dir, path }
}

/// Asks a source, of a recording that says nothing of itself.
fn find_id(source: &mut impl BuildIdSource, dso: &Dso) -> Result<Option<BuildId>, NoBuildId> {
    let found = source.build_id(dso, &Recording::default())?;
    Ok(found.map(|found| found.build_id))
}

fn id_at(path: &Path) -> Result<Option<BuildId>, NoBuildId> {
    find_id(
        &mut FileSource::new(trusting(), BuildIdCache::default()),
        &dso(DsoKind::File, path.to_str().expect("text")),
    )
}

fn id_in(elf: &Elf) -> Option<BuildId> {
    match id_at(&file(&elf.bytes()).path) {
        Ok(id) => id,
        Err(NoBuildId::NoNote) => None,
        Err(error) => panic!("{error}"),
    }
}

fn id(bytes: &[u8]) -> Option<BuildId> {
    Some(BuildId::new(bytes).expect("an id"))
}

#[test]
fn ids_of_every_length_are_found_in_every_kind_of_file() {
    for endian in [Endianness::Little, Endianness::Big] {
        for is_64 in [true, false] {
            for (segments, sections) in [(true, true), (true, false), (false, true)] {
                for len in 1..=BuildId::MAX {
                    let bytes = vec![0xa0 | u8::try_from(len % 16).expect("small"); len];
                    let elf = Elf {
                        segments,
                        sections,
                        ..Elf::new(endian, is_64).note(b"GNU\0", BUILD_ID, &bytes)
                    };
                    assert_eq!(id_in(&elf), id(&bytes), "{endian:?} {is_64} {segments} {sections} {len}");
                }
            }
        }
    }
}

#[test]
fn of_a_note_of_more_than_20_bytes_the_first_20_are_the_id() {
    let bytes: Vec<u8> = (1..=32).collect();
    let elf = |len| Elf::new(Endianness::Little, true).note(b"GNU\0", BUILD_ID, &bytes[..len]);
    for len in [21, 24, 32] {
        assert_eq!(id_in(&elf(len)), id(&bytes[..20]), "{len}");
    }
}

#[test]
fn only_a_gnu_note_of_the_right_type_is_an_id() {
    let elf = || Elf::new(Endianness::Little, true);
    // Type 3 of other owners is something else; type 1 of GNU is the ABI.
    assert_eq!(id_in(&elf().note(b"CORE\0", BUILD_ID, &[1; 20])), None);
    assert_eq!(id_in(&elf().note(b"GNU\0", NoteType(1), &[1; 20])), None);
    assert_eq!(id_in(&elf().note(b"GNU\0", BUILD_ID, &[])), None);
    assert_eq!(id_in(&elf()), None);
    let behind_others = elf()
        .note(b"GNU\0", NoteType(1), &[0; 16])
        .note(b"stapsdt\0", BUILD_ID, &[9; 33])
        .note(b"GNU\0", BUILD_ID, &[7; 20]);
    assert_eq!(id_in(&behind_others), id(&[7; 20]));
}

#[test]
fn damaged_files_have_no_id_and_hurt_nobody() {
    let whole = Elf::with_build_id(&[7; 20]).bytes();
    for cut in 0..whole.len() {
        let read = id_at(&file(&whole[..cut]).path);
        assert!(!matches!(read, Ok(Some(_))), "cut at {cut}");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        // Any answer will do that is one.
        id_at(&file(&bytes).path).ok();
    }
    assert_eq!(id_in(&Elf::with_build_id(&[7; 20]).cut_notes(4)), None);
}

#[test]
fn what_is_no_elf_file_is_said_to_be_none() {
    let said = |bytes: &[u8]| id_at(&file(bytes).path).expect_err("no id").to_string();
    assert_eq!(said(b"#!/bin/sh"), "it is no ELF file");
    assert_eq!(said(b""), "it is no ELF file");
    assert!(said(&Elf::with_build_id(&[7; 20]).bytes()[..30]).starts_with("it is a damaged ELF file"));
}

#[test]
fn only_regular_files_are_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let fifo = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).expect("a FIFO");
    // Opening a FIFO without a writer would wait for ever.
    for path in [&fifo, dir.path(), Path::new("/dev/zero")] {
        assert!(matches!(id_at(path), Err(NoBuildId::NotAFile)), "{}", path.display());
    }
    assert!(matches!(id_at(Path::new("/nowhere/at all")), Err(NoBuildId::Io(_))));
    assert!(matches!(id_at(Path::new("[anon:x]")), Err(NoBuildId::NotAPath)));
    assert!(matches!(id_at(Path::new("a.out (deleted)")), Err(NoBuildId::NotAPath)));
}

#[test]
fn a_file_without_permission_is_an_error_that_says_so() {
    let file = file(&Elf::with_build_id(&[7; 20]).bytes());
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o000)).expect("it is ours");
    match (id_at(&file.path), rustix::process::geteuid().is_root()) {
        (Ok(found), true) => assert_eq!(found, id(&[7; 20]), "root reads everything"),
        (Err(NoBuildId::Io(error)), false) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
        (other, _) => panic!("{other:?}"),
    }
}

#[test]
fn the_running_kernel_and_its_vdso_have_their_ids() {
    let notes = fs::read("/sys/kernel/notes").expect("Linux shows its notes");
    let kernel = gnu_build_id(&notes).expect("the kernel has an id");
    let mut source = KernelSource::new(trusting());
    assert_eq!(
        find_id(&mut source, &dso(DsoKind::Kernel, "[kernel.kallsyms]")).expect("found"),
        Some(kernel)
    );
    assert_eq!(find_id(&mut source, &dso(DsoKind::File, "/bin/sh")).expect("not its business"), None);
    let vdso = find_id(&mut VdsoSource::new(trusting()), &dso(DsoKind::Vdso, "[vdso]"))
        .expect("found")
        .expect("the vdso has an id");
    assert_ne!(vdso, kernel);
    assert_eq!(
        find_id(&mut VdsoSource::new(trusting()), &dso(DsoKind::Vdso, "[vdso32]")).expect("another image"),
        None
    );
}

#[test]
fn a_modules_id_is_what_the_kernel_keeps_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let notes = dir.path().join("nf_nat/notes");
    fs::create_dir_all(&notes).expect("made");
    fs::write(notes.join(".note.gnu.build-id"), Elf::with_build_id(&[5; 20]).notes).expect("written");
    let mut source = ModuleSource::new(trusting()).at(dir.path().to_owned());
    for name in ["[nf_nat]", "/lib/modules/6.1/kernel/net/nf-nat.ko.zst"] {
        assert_eq!(find_id(&mut source, &dso(DsoKind::Module, name)).expect("found"), id(&[5; 20]), "{name}");
    }
    assert!(find_id(&mut source, &dso(DsoKind::Module, "[ext4]")).is_err());
    assert_eq!(find_id(&mut source, &dso(DsoKind::File, "/x/nf_nat.ko")).expect("not its business"), None);
}

#[test]
fn the_chain_asks_in_order_and_says_the_first_reason() {
    let elf = file(&Elf::with_build_id(&[7; 20]).bytes());
    let name = elf.path.to_str().expect("text");
    let mut chain = Chain::of_recording(SourceConfig {
        evidence: EvidenceConfig { allow_changed: true, ..EvidenceConfig::default() },
        ..SourceConfig::default()
    });
    assert_eq!(find_id(&mut chain, &dso(DsoKind::File, name)).expect("found"), id(&[7; 20]));
    // What the recording says itself comes first.
    let recorded = Dso { build_id: id(&[1; 3]), ..dso(DsoKind::File, name) };
    assert_eq!(find_id(&mut chain, &recorded).expect("recorded"), id(&[1; 3]));
    // This machine's files say nothing of a guest's, nor of memory that is of no file.
    let guest = Dso { machine: 1234, ..dso(DsoKind::File, name) };
    assert!(matches!(find_id(&mut chain, &guest), Err(NoBuildId::OtherMachine)));
    assert!(matches!(find_id(&mut chain, &dso(DsoKind::Anonymous, "//anon")), Err(NoBuildId::Anonymous)));
    // An id of this machine's would take its names from it.
    for vdso in ["[vdso]", "[vdso32]"] {
        assert!(matches!(find_id(&mut chain, &dso(DsoKind::Vdso, vdso)), Err(NoBuildId::FoundByName)));
    }
    // A module that is not loaded here may still have its file.
    let module = file(&Elf { segments: false, ..Elf::with_build_id(&[8; 20]) }.bytes());
    let path = module.path.with_extension("ko");
    fs::rename(&module.path, &path).expect("renamed");
    assert_eq!(
        find_id(&mut chain, &dso(DsoKind::Module, path.to_str().expect("text"))).expect("found"),
        id(&[8; 20])
    );
}

#[test]
fn packed_modules_are_unpacked_whatever_they_are_called() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for name in ["module.ko", "module.ko.gz", "module.ko.xz", "module.ko.zst"] {
        let bytes = fs::read(data.join(name)).expect("it is kept");
        assert_eq!(id_at(&file(&bytes).path).expect(name), id(&[0xcd; 20]), "{name}");
        // The end of a packed file is a checksum or nothing; half of one is no module.
        assert!(!matches!(id_at(&file(&bytes[..bytes.len() / 2]).path), Ok(Some(_))), "half of {name}");
    }
}

/// A process that runs a copy of a program, and ends with the test.
struct Running {
    child: std::process::Child,
    mapped: MappedBy,
    inode: Inode,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts a command and finds its executable map of a file of this name.
fn running(command: &mut std::process::Command, name: &str) -> Running {
    let child = command.stdin(std::process::Stdio::piped()).spawn().expect("it starts");
    let pid = i32::try_from(child.id()).expect("a pid");
    let (mapped, inode) = wait_for_map(pid, name);
    Running { child, mapped, inode }
}

/// What a source of live processes finds in a recording of now.
fn live_id(dso: &Dso) -> Option<BuildId> {
    let (evidence, recording) = recorded_here(SystemTime::now());
    let mut source = LiveSource::new(Evidence::new(evidence), BuildIdCache::default());
    source.build_id(dso, &recording).ok().flatten().map(|found| found.build_id)
}

#[test]
fn a_program_that_was_deleted_while_it_runs_still_has_its_id() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("program");
    fs::copy("/bin/cat", &path).expect("every system has it");
    let expected = id_at(&path).expect("it has an id");
    let process = running(&mut std::process::Command::new(&path), "program");
    fs::remove_file(&path).expect("removed");
    let recorded = Dso {
        mapped_by: Some(process.mapped),
        mapped_at: Some(wall_time(SystemTime::now())),
        inode: Some(process.inode),
        ..dso(DsoKind::File, path.to_str().expect("text"))
    };
    assert!(id_at(&path).is_err());
    assert_eq!(live_id(&recorded), expected);
    // Somebody else may have the pid and the address by now: then the file is another, or the process is younger.
    let ino = Inode { ino: process.inode.ino + 1, ..process.inode };
    let device = Inode { min: process.inode.min + 1, ..process.inode };
    for inode in [ino, device] {
        assert_eq!(live_id(&Dso { inode: Some(inode), ..recorded.clone() }), None, "{inode:?}");
    }
    let elsewhere = MappedBy { start: 0x1000, end: 0x2000, ..process.mapped };
    assert_eq!(live_id(&Dso { mapped_by: Some(elsewhere), ..recorded.clone() }), None);
    let before = SystemTime::now() - Duration::from_secs(3600);
    assert_eq!(live_id(&Dso { mapped_at: Some(wall_time(before)), ..recorded.clone() }), None);
    drop(process);
    assert_eq!(live_id(&recorded), None, "it is gone");
}

#[test]
fn a_file_in_a_process_s_own_mounts_is_found_through_it() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI runs as root");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let script = "mount -t tmpfs none \"$1\" && cp /bin/cat \"$1/program\" && exec \"$1/program\"";
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script, "sh"]).arg(dir.path());
    let process = running(&mut unshare, "/program");
    let path = dir.path().join("program");
    assert!(!path.exists(), "it is in the other's mounts alone");
    let recorded = Dso {
        mapped_by: Some(process.mapped),
        mapped_at: Some(wall_time(SystemTime::now())),
        inode: Some(process.inode),
        ..dso(DsoKind::File, path.to_str().expect("text"))
    };
    assert_eq!(live_id(&recorded), id_at(Path::new("/bin/cat")).expect("it has an id"));
}
