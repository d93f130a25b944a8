//! What is one DSO: a session is told ids by a table and by records, and maps by records; a test says which DSO has which
//! id then, and which one a sample hits.

use bstr::ByteSlice as _;
use perf_format::record::{
    BuildIdRecord, CpuMode, HOST_PID, Inode, MapFile, Misc, Mmap, Mmap2, Record, RecordType, SizedBuildId,
};
use perf_format::testing::{At, StreamBuilder};
use perf_format::{BuildId, Endian, RawRecord, build_id_table, push_build_id};
use perf_session::Session;
use perf_session::dso::{DsoId, DsoKind};
use perf_session::hits::hits_of;

fn stream() -> StreamBuilder {
    StreamBuilder::with_callchains(Endian::Little)
}

fn id(byte: u8) -> BuildId {
    BuildId::new(&[byte; 20]).expect("an id")
}

/// The byte of ids that are written as zeros.
const ZEROS: u8 = 0xee;

/// The same bytes, with zeros where the id of [`ZEROS`] stands.
fn zeroed(mut bytes: Vec<u8>) -> Vec<u8> {
    while let Some(at) = bytes.find([ZEROS; 20]) {
        bytes[at..at + 20].fill(0);
    }
    bytes
}

/// A session that has read a file's table.
fn with_table(entries: &[(CpuMode, &str, u8)]) -> Session {
    let (mut session, mut table) = (Session::new(), Vec::new());
    for (mode, name, byte) in entries {
        let build_id = SizedBuildId(Some(id(*byte)));
        let entry = BuildIdRecord { pid: HOST_PID, build_id, filename: (*name).into() };
        push_build_id(&mut table, Misc::of(*mode), entry, Endian::Little).expect("it fits");
    }
    for entry in build_id_table(&zeroed(table), 0, Endian::Little) {
        let (misc, entry) = entry.expect("a whole entry");
        session.add_build_id(misc, &entry).expect("a mode that has DSOs");
    }
    session
}

/// The DSOs that samples hit, after the session has taken in a stream.
fn hits(session: &mut Session, stream: StreamBuilder) -> Vec<DsoId> {
    let (bytes, mut hit) = (zeroed(stream.bytes()), Vec::new());
    let mut rest = &bytes[16..];
    while let Some(record) = RawRecord::first(rest, 0, Endian::Little) {
        session.update(&record).expect("a test's records are sound");
        if record.record_type() == RecordType::SAMPLE {
            hits_of(&record, session, |found| hit.push(found.dso));
        }
        rest = &rest[record.bytes.len()..];
    }
    hit
}

/// A DSO's name, and the byte of the id that the recording has for it.
type Named = (String, Option<u8>);

fn named(session: &Session, dso: DsoId) -> Named {
    let dso = session.dso(dso).expect("one of the session's");
    (dso.name.to_string(), dso.build_id.map(|id| id.as_bytes()[0]))
}

/// All DSOs of a session.
fn all(session: &Session) -> Vec<Named> {
    session.dsos.iter().map(|(dso, _)| named(session, dso)).collect()
}

fn dso(name: &str, byte: impl Into<Option<u8>>) -> Named {
    (name.to_owned(), byte.into())
}

#[test]
fn zeros_are_no_id_wherever_they_stand() {
    let at = At::new(1, 1);
    let mut session = with_table(&[(CpuMode::User, "/lib/a.so", ZEROS)]);
    let zeros = MapFile::BuildId(Some(id(ZEROS)));
    let stream = stream()
        .mapped(at, 0x1000, 0x1000, "/lib/b.so", zeros)
        .mapped(at, 0x2000, 0x1000, "/lib/c.so", MapFile::BuildId(Some(id(3))))
        .mapped(at, 0x3000, 0x1000, "/lib/c.so", zeros)
        .build_id(CpuMode::User, id(4), "/lib/d.so")
        .build_id(CpuMode::User, id(ZEROS), "/lib/d.so")
        .build_id(CpuMode::Kernel, id(ZEROS), "[ext4]")
        .build_id(CpuMode::Kernel, id(ZEROS), "[xfs]");
    hits(&mut session, stream);
    let none = ["/lib/a.so", "/lib/b.so", "[ext4]", "[xfs]"].map(|name| dso(name, None));
    let [a, b, ext4, xfs] = none;
    assert_eq!(all(&session), [a, b, dso("/lib/c.so", 3), dso("/lib/d.so", 4), ext4, xfs]);
    assert!(session.dsos.iter().all(|(_, dso)| !dso.shares_id), "modules without ids share none");
}

/// The kernel's image; its name has the symbol that perf refers to.
fn kernel() -> StreamBuilder {
    stream().kernel(0xffff_ffff_8100_0000, 0x140_0000)
}

fn in_kernel(stream: StreamBuilder, ip: u64) -> StreamBuilder {
    stream.sample(CpuMode::Kernel, At::new(1, 2), ip, &[])
}

#[test]
fn the_kernel_has_the_id_that_stands_under_its_files_name() {
    const FILE: &str = "/lib/modules/5.15.0-91-generic/build/vmlinux";
    let image = dso("[kernel.kallsyms]", 4);
    // In a table, in front of its map, and behind it.
    let mut told = with_table(&[(CpuMode::Kernel, FILE, 4)]);
    let hit = hits(&mut told, in_kernel(kernel(), 0xffff_ffff_8100_1000));
    assert_eq!((named(&told, hit[0]), told.dsos.iter().count()), (image.clone(), 1));
    let mut told = Session::new();
    let hit =
        hits(&mut told, in_kernel(kernel().build_id(CpuMode::Kernel, id(4), FILE), 0xffff_ffff_8100_1000));
    assert_eq!((named(&told, hit[0]), told.dsos.iter().count()), (image, 1));
    // Modules are what they were, and so is a user's file of that name.
    let others =
        [(CpuMode::Kernel, "[ext4]", 1), (CpuMode::Kernel, "/lib/x.ko.zst", 2), (CpuMode::User, FILE, 3)];
    let told = with_table(&others);
    assert_eq!(all(&told), others.map(|(_, name, byte)| dso(name, byte)));
}

#[test]
fn of_a_kernel_with_several_ids_it_is_that_of_the_first_file() {
    let (file, other, own) = ("/boot/vmlinux-6.1", "/usr/lib/debug/vmlinux", "[kernel.kallsyms]");
    for names in [[file, other, own], [own, file, other], [file, own, other]] {
        let byte = |name| if name == file { 4 } else { 5 };
        let told = with_table(&names.map(|name| (CpuMode::Kernel, name, byte(name))));
        assert_eq!(all(&told), [dso(own, 4)], "{names:?}");
    }
}

#[test]
fn a_guests_kernel_file_is_that_guests_kernel() {
    let guest = |pid: i32, byte, name: &'static str| {
        let build_id = SizedBuildId(Some(id(byte)));
        BuildIdRecord { pid, build_id, filename: name.into() }
    };
    let mut session = Session::new();
    for record in [guest(0, 1, "/guest/vmlinux"), guest(7, 2, "/guest/vmlinux"), guest(7, 3, "[ext4]")] {
        session.add_build_id(Misc::of(CpuMode::GuestKernel), &record);
    }
    let (one, seven) = ("[guest.kernel.kallsyms]", "[guest.kernel.kallsyms.7]");
    assert_eq!(all(&session), [dso(one, 1), dso(seven, 2), dso("[ext4]", 3)]);
}

#[test]
fn a_map_of_the_kernels_file_is_of_its_image() {
    let start = 0xffff_ffff_8100_0000;
    let map = |filename: &'static str| {
        let map = Mmap { pid: u32::MAX, tid: 0, start, len: 0x1000, pgoff: 0, filename: filename.into() };
        let at = At { pid: u32::MAX, tid: 0, time: 0 };
        stream().traced(Misc::of(CpuMode::Kernel), &Record::Mmap(map), at)
    };
    for (mapped, name) in [("/boot/vmlinux", "[kernel.kallsyms]"), ("/lib/x.ko", "/lib/x.ko"), ("[x]", "[x]")]
    {
        let mut session = Session::new();
        let stream = map(mapped).build_id(CpuMode::Kernel, id(4), mapped);
        let hit = hits(&mut session, in_kernel(stream, start));
        assert_eq!((named(&session, hit[0]), session.dsos.iter().count()), (dso(name, 4), 1));
    }
}

/// A module of the kernel.
fn module(stream: StreamBuilder, start: u64, name: &str) -> StreamBuilder {
    let filename = name.into();
    let map = Mmap { pid: u32::MAX, tid: 0, start, len: 0x1000, pgoff: 0, filename };
    stream.traced(Misc::of(CpuMode::Kernel), &Record::Mmap(map), At { pid: u32::MAX, tid: 0, time: 0 })
}

#[test]
fn a_module_is_one_dso_however_its_id_is_written() {
    const MODULE: u64 = 0xffff_ffff_c004_8000;
    for (mode, in_table, mapped) in [
        (CpuMode::User, "[nvidia]", "[nvidia]"),
        (CpuMode::User, "[nf_nat]", "/lib/modules/4.4.0/kernel/net/nf-nat.ko"),
        (CpuMode::Kernel, "[nf_nat]", "/lib/modules/4.4.0/kernel/net/nf-nat.ko.xz"),
        (CpuMode::Kernel, "/lib/modules/4.4.0/updates/nvidia.ko", "[nvidia]"),
    ] {
        let mut session = with_table(&[(mode, in_table, 7)]);
        let hit = hits(&mut session, in_kernel(module(kernel(), MODULE, mapped), MODULE + 0x10));
        assert_eq!(named(&session, hit[0]), dso(in_table, 7), "{mapped}");
        let hit = hits(&mut session, in_kernel(module(stream(), MODULE, "[other]"), MODULE + 0x10));
        assert_eq!(named(&session, hit[0]), dso("[other]", None), "it is no other module's");
    }
}

#[test]
fn modules_that_share_an_id_are_found_out_in_whatever_mode_it_stands() {
    let mut session = with_table(&[(CpuMode::User, "[ext4]", 7), (CpuMode::User, "[nvidia]", 7)]);
    hits(
        &mut session,
        module(module(kernel(), 0xffff_ffff_c000_0000, "[ext4]"), 0xffff_ffff_c004_8000, "[nvidia]"),
    );
    let modules: Vec<_> = session.dsos.iter().filter(|(_, dso)| dso.kind == DsoKind::Module).collect();
    assert_eq!(modules.len(), 2);
    assert!(modules.iter().all(|(_, dso)| dso.shares_id));
}

#[test]
fn executable_memory_is_named_after_its_process_unless_it_has_a_name_of_its_own() {
    let memory = [
        "//anon",
        "[heap]",
        "[stack:12]",
        "/SYSV0 (deleted)",
        "/dev/zero (deleted)",
        "/anon_hugepage (deleted)",
    ];
    let named =
        ["[anon:v8]", "[anon:dalvik-jit-code-cache]", "[vsyscall]", "[uprobes]", "/memfd:jit (deleted)"];
    for (name, is_named) in memory.map(|name| (name, false)).into_iter().chain(named.map(|name| (name, true)))
    {
        let mut session = Session::new();
        session.jit_names = true;
        hits(&mut session, stream().mmap2(At::new(77, 1), 0x1000, 0x1000, name));
        let expected = if is_named { name } else { "/tmp/perf-77.map" };
        assert_eq!(all(&session), [dso(expected, None)]);
    }
}

#[test]
fn samples_of_processes_outside_the_recorders_pid_namespace_hit_nothing() {
    // All have the pid 0: what one maps another seems to hit.
    let outside = stream()
        .mmap2(At::new(0, 1), 0x40_0000, 0x1000, "/usr/bin/minikube")
        .sample(CpuMode::User, At::new(0, 2), 0x40_0100, &[])
        .fork(At::new(7, 3), 0)
        .sample(CpuMode::User, At::new(7, 4), 0x40_0100, &[])
        .mmap2(At::new(7, 5), 0x40_0000, 0x1000, "/bin/inside")
        .sample(CpuMode::User, At::new(7, 6), 0x40_0100, &[]);
    let mut session = Session::new();
    let hit = hits(&mut session, outside);
    assert_eq!(hit.iter().map(|dso| named(&session, *dso)).collect::<Vec<_>>(), [dso("/bin/inside", None)]);
    let minikube = session.dsos.iter().next().expect("it is mapped").1;
    assert_eq!((minikube.name.to_string().as_str(), minikube.mapped_by), ("/usr/bin/minikube", None));
}

/// A map of a library at an offset in it, by its device and inode.
fn part(
    stream: StreamBuilder,
    at: At,
    start: u64,
    pgoff: u64,
    device: (u32, u32),
    ino: u64,
) -> StreamBuilder {
    let file = MapFile::Inode(Inode { maj: device.0, min: device.1, ino, ino_generation: 0x50_0e58 });
    let (At { pid, tid, .. }, filename) = (at, "/lib/a.so".into());
    let map = Mmap2 { pid, tid, start, len: 0x1000, pgoff, file, prot: 5, flags: 2, filename };
    stream.traced(Misc::of(CpuMode::User), &Record::Mmap2(map), at)
}

/// How many files of that library a stream maps, and the id that the one has which is sampled at an address.
fn parts(stream: StreamBuilder, pid: u32, ip: u64) -> (usize, Option<u8>) {
    let mut session = with_table(&[(CpuMode::User, "/lib/a.so", 7)]);
    let hit = hits(&mut session, stream.sample(CpuMode::User, At::new(pid, 9), ip, &[]));
    (session.dsos.iter().count(), named(&session, hit[0]).1)
}

#[test]
fn a_map_that_goes_on_where_the_last_one_of_its_file_ended_is_of_the_same_file() {
    // As a recorder leaves them that lists a process's maps and has no inodes for them.
    let listed = |first, second| {
        let stream = part(stream(), At::new(1, 3), 0x1000, 0, first, 0x7a_c420_d068);
        part(stream, At::new(1, 3), 0x2000, 0x1000, second, 0x7ac4_20d0)
    };
    let (garbage, real) = ((0x1e6e_0368, 0x682e_dc61), (1, 0));
    for (first, second) in [(garbage, real), (real, garbage), (garbage, garbage), (real, real)] {
        assert_eq!(parts(listed(first, second), 1, 0x2800), (1, Some(7)), "{first:?} {second:?}");
    }
}

#[test]
fn two_files_of_one_name_are_told_apart_where_the_maps_prove_them_to_be_two() {
    let device = (8, 1);
    let first = || part(stream(), At::new(1, 3), 0x1000, 0x1000, device, 11);
    // A plugin that was built anew and loaded again: its code begins where that of the old one ended.
    assert_eq!(parts(part(first(), At::new(1, 4), 0x2000, 0x2000, device, 12), 1, 0x2800), (2, None));
    // In one list of maps the one that was replaced has another name, so that what goes on is the same file.
    assert_eq!(parts(part(first(), At::new(1, 3), 0x2000, 0x2000, device, 12), 1, 0x2800), (1, Some(7)));
    // What does not go on: at another offset, at another place, in another process.
    for (pid, start, pgoff) in [(1, 0x2000, 0x1000), (1, 0x3000, 0x2000), (2, 0x2000, 0x2000)] {
        let other = part(first(), At::new(pid, 3), start, pgoff, device, 12);
        assert_eq!(parts(other, pid, start + 0x800), (2, None), "{pid} {start:x} {pgoff:x}");
    }
    // Build-ids are never taken for garbage.
    let ids = |byte| MapFile::BuildId(Some(id(byte)));
    let mapped = stream().mapped(At::new(1, 3), 0x1000, 0x1000, "/lib/a.so", ids(7));
    let (At { pid, tid, .. }, filename) = (At::new(1, 3), "/lib/a.so".into());
    let map = Mmap2 {
        pid,
        tid,
        start: 0x2000,
        len: 0x1000,
        pgoff: 0x1000,
        file: ids(8),
        prot: 5,
        flags: 2,
        filename,
    };
    let mapped = mapped.traced(Misc::of(CpuMode::User), &Record::Mmap2(map), At::new(1, 3));
    assert_eq!(parts(mapped, 1, 0x2800), (2, Some(8)));
}

#[test]
fn one_device_that_cannot_be_shows_that_no_inode_of_the_recording_is_one() {
    let stream = part(stream(), At::new(1, 3), 0x1000, 0x1000, (1, 0), 0x7ac4_20d0);
    let stream = part(stream, At::new(2, 3), 0x5000, 0x1000, (0x1e6e_0368, 0), 1);
    let stream = part(stream, At::new(3, 3), 0x9000, 0x1000, (1, 0), 0x7ac4_3100);
    assert_eq!(parts(stream, 3, 0x9800), (1, Some(7)));
    // The flags in such a record are no flags either.
    let (At { pid, tid, .. }, filename) = (At::new(1, 3), "/lib/a.so".into());
    let file = MapFile::Inode(Inode { min: 1 << 20, ..Inode::default() });
    let map =
        Mmap2 { pid, tid, start: 0x1000, len: 0x1000, pgoff: 0, file, prot: 5, flags: u32::MAX, filename };
    let stream = self::stream().traced(Misc::of(CpuMode::User), &Record::Mmap2(map), At::new(1, 3));
    assert_eq!(parts(stream, 1, 0x1800), (1, Some(7)));
}

#[test]
fn kernel_addresses_behind_the_recorded_end_of_the_image_are_the_kernels() {
    let (init, modules) = (0xffff_ffff_8378_0b10, 0xffff_ffff_a000_0000);
    // Modules are what they are, whether their maps come before the kernel's or behind it.
    let before = module(stream(), modules, "[ext4]").kernel(0xffff_ffff_8100_0000, 0x140_0000);
    for stream in [before, module(kernel(), modules, "[ext4]")] {
        let mut session = Session::new();
        let ips = [init, modules, modules + 0x1000, 0xffff_ffff_80ff_ffff, 0xffff_8880_0000_1000];
        let hit = hits(&mut session, ips.into_iter().fold(stream, in_kernel));
        let hit: Vec<_> = hit.into_iter().map(|dso| named(&session, dso)).collect();
        assert_eq!(hit, [dso("[kernel.kallsyms]", None), dso("[ext4]", None)]);
    }
    let mut session = Session::new();
    let hit = hits(&mut session, in_kernel(module(stream().kernel(0, 0), modules, "[ext4]"), init));
    assert_eq!(named(&session, hit[0]), dso("[kernel.kallsyms]", None), "a map without a size");
}
