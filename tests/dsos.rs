//! What is one DSO, through the program: files with a table, as recorders other than today's perf have left them.

mod common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{oracle, perftool, stderr};
use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::record::{
    BuildIdRecord, CpuMode, HOST_PID, Inode, MapFile, Misc, Mmap, Mmap2, Record, SizedBuildId,
};
use perf_format::testing::{At, StreamBuilder, ids_in, records};
use perf_format::{BuildId, Endian, Feature, PipeStream, Preamble, push_build_id};

fn stream() -> StreamBuilder {
    StreamBuilder::with_callchains(Endian::Little).kernel(0xffff_ffff_8100_0000, 0x140_0000)
}

/// A sample at an address.
fn sample(stream: StreamBuilder, mode: CpuMode, pid: u32, ip: u64) -> StreamBuilder {
    stream.sample(mode, At::new(pid, 5), ip, &[])
}

/// A recording in a file, whose table has these entries.
struct Recording {
    dir: tempfile::TempDir,
    path: PathBuf,
}

fn recording(table: &[(CpuMode, &str, u8)], stream: StreamBuilder) -> Recording {
    let bytes = stream.bytes();
    let mut pipe = PipeStream::open(&bytes[..]).expect("a stream").records();
    let mut preamble = Preamble::read_from_pipe(&mut pipe).expect("an event");
    let mut entries = Vec::new();
    for (mode, name, byte) in table {
        let build_id = SizedBuildId(BuildId::new(&[*byte; 20]).ok());
        let entry = BuildIdRecord { pid: HOST_PID, build_id, filename: (*name).into() };
        push_build_id(&mut entries, Misc::of(*mode), entry, Endian::Little).expect("it fits");
    }
    preamble.features.insert(Feature::BUILD_ID, entries);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("perf.data");
    let mut out = File::options().write(true).create_new(true).open(&path).expect("made");
    let before = preamble.write_before(&mut out).expect("written");
    let data = &bytes[PIPE_HEADER_SIZE + records(&bytes)[0].bytes.len()..];
    out.write_all(data).expect("written");
    preamble.write_behind(&mut out, before, data.len() as u64).expect("written");
    Recording { dir, path }
}

impl Recording {
    /// What a program's `buildid-list` prints, with ids of twenty times one byte cut to that.
    fn list(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Vec<String> {
        let mut command = Command::new(program);
        command.arg("buildid-list").args(args).arg("-i").arg(&self.path).env("HOME", self.dir.path());
        let output = command.stdin(Stdio::null()).output().expect("it runs");
        let lines = String::from_utf8(output.stdout).expect("text");
        lines.lines().map(|line| format!("{} {}", line[..2].trim(), &line[41..])).collect()
    }

    fn table(&self) -> Vec<String> {
        self.list(perftool(&[]).get_program(), &[])
    }

    /// The DSOs that are hit.
    fn hit(&self) -> Vec<String> {
        self.list(perftool(&[]).get_program(), &["-H"])
    }

    /// Whether the lists are those of a perf from 7 on, where there is one.
    fn assert_lists_are_perfs(&self) {
        for perf in oracle::perfs_from_7_on("lists of files with a table") {
            assert_eq!(self.table(), self.list(&perf.program, &[]), "{perf}");
            assert_eq!(self.hit(), self.list(&perf.program, &["-H"]), "{perf}");
        }
    }

    /// The file that `inject` makes of it.
    fn injected(&self, args: &[&str]) -> Vec<u8> {
        let out = self.dir.path().join("out");
        let mut command = perftool(&["inject"]);
        let done =
            command.args(args).arg("-i").arg(&self.path).arg("-o").arg(&out).output().expect("it runs");
        assert!(done.status.success(), "{}", stderr(&done));
        fs::read(&out).expect("it is there")
    }

    /// The names of the ids that `inject -b` writes into a pipe, and their bytes.
    fn in_pipe(&self) -> Vec<String> {
        let mut command = perftool(&["inject", "-b", "-i"]);
        let done = command.arg(&self.path).args(["-o", "-"]).output().expect("it runs");
        assert!(done.status.success(), "{}", stderr(&done));
        let ids = ids_in(&records(&done.stdout), Endian::Little);
        ids.iter().map(|(name, id)| format!("{} {name}", &id.to_string()[..2])).collect()
    }
}

#[test]
fn the_kernel_is_one_dso_where_the_table_names_its_file() {
    const FILE: &str = "/lib/modules/5.15.0-91-generic/build/vmlinux";
    let stream = sample(stream(), CpuMode::Kernel, 1, 0xffff_ffff_8100_1000);
    let recording = recording(&[(CpuMode::Kernel, FILE, 0x45)], stream);
    assert_eq!(recording.table(), [format!("45 {FILE}")]);
    assert_eq!(recording.hit(), ["45 [kernel.kallsyms]"]);
    recording.assert_lists_are_perfs();
    // There is nothing to add.
    assert!(recording.injected(&["-b"]) == fs::read(&recording.path).expect("a recording"));
    assert!(recording.in_pipe().iter().all(|id| id.starts_with("45 ")), "{:?}", recording.in_pipe());
    // The map of the kernel gets that id.
    for style in ["-B", "--mmap2-buildid-all"] {
        let styled =
            Recording { path: recording.dir.path().join("styled"), ..self::recording(&[], self::stream()) };
        fs::write(&styled.path, recording.injected(&[style])).expect("written");
        let json =
            perftool(&["buildid-list", "--json", "-i"]).arg(&styled.path).output().expect("it runs").stdout;
        let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(json["dsos"].as_array().expect("DSOs").len(), 1, "{style}");
        let sources = json["dsos"][0]["sources"].as_array().expect("sources");
        let told: Vec<_> = sources.iter().map(|source| (&source["place"], &source["build_id"])).collect();
        let id = &serde_json::Value::from("45".repeat(20));
        assert_eq!(told, [(&"header".into(), id), (&"mmap2".into(), id)], "{style}");
    }
}

#[test]
fn a_module_has_the_id_that_a_table_has_for_a_users_file_of_its_name() {
    let map = Mmap {
        pid: u32::MAX,
        tid: 0,
        start: 0xffff_ffff_c004_8000,
        len: 0xb6_2000,
        pgoff: 0,
        filename: "[nvidia]".into(),
    };
    let at = At { pid: u32::MAX, tid: 0, time: 0 };
    let stream = stream().traced(Misc::of(CpuMode::Kernel), &Record::Mmap(map), at);
    let table = [(CpuMode::Kernel, "[kernel.kallsyms]", 0x45), (CpuMode::User, "[nvidia]", 0xe1)];
    let recording = recording(&table, sample(stream, CpuMode::Kernel, 1, 0xffff_ffff_c004_9000));
    assert_eq!(recording.table(), ["45 [kernel.kallsyms]", "e1 [nvidia]"]);
    assert_eq!(recording.hit(), ["e1 [nvidia]"]);
    recording.assert_lists_are_perfs();
    assert!(recording.injected(&["-b"]) == fs::read(&recording.path).expect("a recording"));
}

#[test]
fn memory_that_a_process_named_keeps_its_name_in_lists() {
    let stream = stream().mmap2(At::new(77, 1), 0x1000, 0x1000, "[anon:v8]").mmap2(
        At::new(77, 1),
        0x2000,
        0x1000,
        "//anon",
    );
    let stream = [0x1800, 0x2800].iter().fold(stream, |stream, ip| sample(stream, CpuMode::User, 77, *ip));
    let recording = recording(&[(CpuMode::User, "/bin/other", 3)], stream);
    assert_eq!(recording.hit(), [" /tmp/perf-77.map", " [anon:v8]"]);
    recording.assert_lists_are_perfs();
}

#[test]
fn a_recording_from_inside_a_container_has_no_ids_of_processes_outside() {
    let at = At::new(0, 1);
    let stream = stream().mmap2(at, 0x40_0000, 0x162_d000, "/usr/bin/minikube").fork(At::new(0, 3), 0);
    let recording = recording(&[], sample(stream, CpuMode::User, 0, 0x40_1000));
    assert_eq!(recording.hit(), [""; 0]);
    recording.assert_lists_are_perfs();
    assert_eq!(recording.in_pipe(), [""; 0]);
}

#[test]
fn a_library_whose_segments_have_garbage_for_inodes_is_one_dso() {
    const NAME: &str = "/system/lib64/libbinder.so";
    let at = At::new(77, 1);
    let segment = |start, len, pgoff, inode, prot| {
        let (At { pid, tid, .. }, file) = (at, MapFile::Inode(inode));
        Record::Mmap2(Mmap2 { pid, tid, start, len, pgoff, file, prot, flags: 2, filename: NAME.into() })
    };
    let inode = |maj, min, ino| Inode { maj, min, ino, ino_generation: 0x50_0e58 };
    let data = segment(0x7d_bab9_7000, 0x4_a000, 0, inode(0x1e6e_0368, 0x682e_dc61, 0x7a_c420_d068), 1);
    let text = segment(0x7d_babe_1000, 0x3_f000, 0x4_a000, inode(1, 0, 0x7ac4_20d0), 5);
    let user = Misc::of(CpuMode::User);
    let stream = stream().traced(user, &data, at).traced(user, &text, at);
    let recording =
        recording(&[(CpuMode::User, NAME, 0x84)], sample(stream, CpuMode::User, 77, 0x7d_babe_2000));
    assert_eq!(recording.hit(), [format!("84 {NAME}")]);
    assert!(recording.injected(&["-b"]) == fs::read(&recording.path).expect("a recording"));
}
