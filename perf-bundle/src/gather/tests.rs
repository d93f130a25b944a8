//! What is gathered of files below a made root.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use perf_session::Recording;
use perf_session::build_id::{InRoot, SourceConfig};
use perf_session::machine::HOST;
use perf_session::testing::Elf;

use super::*;

fn id(byte: u8) -> BuildId {
    BuildId::new(&[byte; 20]).unwrap()
}

fn put(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What is gathered of files with these ids below a root.
fn gathered(root: &Path, dsos: &[(DsoKind, &str, u8)], recording: Recording) -> Bundle {
    let dsos = dsos.iter().map(|(kind, name, byte)| SurveyedDso {
        dso: Dso { build_id: Some(id(*byte)), ..Dso::new(HOST, *kind, (*name).into()) },
        samples: 3,
    });
    let survey = Survey { dsos: dsos.collect(), recording, damage: None };
    let symfs = Some(InRoot::open(root).unwrap());
    gather(&survey, &mut ObjectFiles::of_recording(SourceConfig { symfs, ..SourceConfig::default() }))
}

fn listed(bundle: &Bundle) -> Vec<(&str, FileRole, BuildId)> {
    let files = bundle.files.iter();
    files.map(|file| (file.name.to_str().unwrap(), file.role, file.build_id.unwrap())).collect()
}

const ALTERNATE: &str = "/usr/lib/debug/.dwz/both.debug";

#[test]
fn what_the_debug_information_of_several_files_refers_to_is_in_a_bundle_once() {
    let root = tempfile::tempdir().unwrap();
    let shares = |byte| Elf {
        alternate_link: Some((ALTERNATE.into(), vec![7; 20])),
        ..Elf::with_build_id(&[byte; 20])
    };
    // The one has its debug information in itself, the other in a debug file.
    put(root.path(), "bin/a", &shares(1).bytes());
    put(root.path(), "bin/b", &Elf::with_build_id(&[2; 20]).bytes());
    let debug = format!("usr/lib/debug/.build-id/02/{}.debug", "02".repeat(19));
    put(root.path(), &debug, &Elf { is_separate: true, ..shares(2) }.bytes());
    let dsos = [(DsoKind::File, "/bin/a", 1), (DsoKind::File, "/bin/b", 2)];
    let programs = [
        ("/bin/a", FileRole::Elf, id(1)),
        ("/bin/b", FileRole::Elf, id(2)),
        ("/bin/b", FileRole::Debug, id(2)),
    ];
    for other in [None, Some(8)] {
        if let Some(byte) = other {
            put(root.path(), ALTERNATE.trim_start_matches('/'), &Elf::with_build_id(&[byte; 20]).bytes());
        }
        let bundle = gathered(root.path(), &dsos, Recording::default());
        assert_eq!(listed(&bundle), programs);
        let [MissingFile { name, build_id, role, samples: 0, reason }] = bundle.missing.as_slice() else {
            panic!("{:?}", bundle.missing)
        };
        assert_eq!((name.as_bstr(), *build_id), (ALTERNATE.into(), Some(id(7))));
        assert!(*role == FileRole::Alternate && reason.contains("/bin/a refers to it"), "{reason}");
    }
    put(root.path(), ALTERNATE.trim_start_matches('/'), &Elf::with_build_id(&[7; 20]).bytes());
    let bundle = gathered(root.path(), &dsos, Recording::default());
    assert_eq!(listed(&bundle), [&programs[..], &[(ALTERNATE, FileRole::Alternate, id(7))]].concat());
    assert_eq!(bundle.missing, []);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn modules_of_a_made_root_are_unpacked_and_only_the_recorded_builds_enter() {
    let root = tempfile::tempdir().unwrap();
    let module = |byte| Elf::with_build_id(&[byte; 20]).bytes();
    let of_release = |name: &str| format!("/lib/modules/6.1/kernel/{name}");
    for (name, bytes) in [
        ("plain.ko", module(1)),
        ("of-gzip.ko.gz", gzip(&module(2))),
        ("of-xz.ko.xz", xz(&module(3))),
        ("of-zstd.ko.zst", zstd::encode_all(&module(4)[..], 1).unwrap()),
        ("other.ko.xz", xz(&module(99))),
        ("cut.ko.gz", gzip(&module(6))[..30].to_vec()),
    ] {
        put(root.path(), of_release(name).trim_start_matches('/'), &bytes);
    }
    let mut recording = Recording::default();
    recording.release = Some("6.1".into());
    let own_name = of_release("of-xz.ko.xz");
    // perf has the name of the file, or that of the module in brackets.
    let dsos = [
        (DsoKind::Module, "[plain]", 1),
        (DsoKind::Module, "[of_gzip]", 2),
        (DsoKind::Module, own_name.as_str(), 3),
        (DsoKind::Module, "[of_zstd]", 4),
        (DsoKind::Module, "[other]", 5),
        (DsoKind::Module, "[cut]", 6),
        (DsoKind::Module, "[nowhere]", 7),
    ];
    let bundle = gathered(root.path(), &dsos, recording);
    let mut missing: Vec<_> = bundle.missing.iter().map(|missing| missing.name.to_str().unwrap()).collect();
    missing.sort_unstable();
    assert_eq!(missing, ["[cut]", "[nowhere]", "[other]"]);
    assert_eq!(bundle.files.len(), 4);
    for file in &bundle.files {
        let byte = file.build_id.unwrap().as_bytes()[0];
        let mut bytes = Vec::new();
        file.contents.reader().read_to_end(&mut bytes).unwrap();
        assert!(bytes == module(byte), "{} is unpacked", file.name);
        assert_eq!((file.size, file.role, file.origin), (bytes.len() as u64, FileRole::Elf, Origin::Symfs));
    }
}

#[test]
fn a_name_whose_file_is_gone_is_another_one_of_the_build_where_that_is_there() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "bin/b", &Elf::with_build_id(&[1; 20]).bytes());
    for names in [["/bin/a", "/bin/b"], ["/bin/b", "/bin/a"]] {
        let dsos = names.map(|name| (DsoKind::File, name, 1));
        let bundle = gathered(root.path(), &dsos, Recording::default());
        assert_eq!(listed(&bundle), [("/bin/b", FileRole::Elf, id(1))]);
        assert_eq!((bundle.files[0].also.as_slice(), bundle.files[0].samples), (&["/bin/a".into()][..], 6));
        assert_eq!(bundle.missing, []);
    }
}

#[test]
fn a_file_that_nobody_could_unpack_is_missing_or_the_bundle_is_not_made() {
    let root = tempfile::tempdir().unwrap();
    let short = BuildId::new(&[7]).unwrap();
    put(root.path(), "bin/short", &Elf::with_build_id(&[7]).bytes());
    put(root.path(), "bin/changed", &Elf::with_build_id(&[1; 20]).bytes());
    let of = |name: &str, id| SurveyedDso {
        dso: Dso { build_id: Some(id), ..Dso::new(HOST, DsoKind::File, name.into()) },
        samples: 3,
    };
    let dsos = vec![of("/bin/short", short), of("/bin/changed", id(1))];
    let survey = Survey { dsos, recording: Recording::default(), damage: None };
    let symfs = Some(InRoot::open(root.path()).unwrap());
    let bundle =
        gather(&survey, &mut ObjectFiles::of_recording(SourceConfig { symfs, ..SourceConfig::default() }));
    assert_eq!(listed(&bundle), [("/bin/changed", FileRole::Elf, id(1))]);
    assert_eq!(bundle.missing[0].build_id, Some(short));
    assert!(bundle.missing[0].reason.contains("of one byte"), "{}", bundle.missing[0].reason);
    let packed = || crate::pack(&bundle, std::io::sink(), &mut |_| Ok(()));
    assert!(packed().is_ok());
    // In place, so that it is the open file that is another build.
    put(root.path(), "bin/changed", &Elf::with_build_id(&[2; 20]).bytes());
    let refused = packed();
    assert!(
        matches!(&refused, Err(crate::PackError::Changed(name)) if name == "/bin/changed"),
        "{refused:?}"
    );
}

#[test]
fn what_has_no_build_id_is_found_by_its_name_if_it_is_an_object_file_and_the_name_is_its_own() {
    let root = tempfile::tempdir().unwrap();
    let (here, unnamed) = (root.path(), Elf { notes: Vec::new(), ..Elf::with_build_id(&[1; 20]) }.bytes());
    put(here, "opt/go", &unnamed);
    put(here, "etc/secret", b"a line of text\n");
    let dsos = ["/opt/go", "/opt//go", "/etc/secret", "[heap of a kind]"]
        .map(|name| SurveyedDso { dso: Dso::new(HOST, DsoKind::File, name.into()), samples: 3 });
    let survey = Survey { dsos: dsos.into(), recording: Recording::default(), damage: None };
    let symfs = Some(InRoot::open(here).unwrap());
    let files = &mut ObjectFiles::of_recording(SourceConfig { symfs, ..SourceConfig::default() });
    let bundle = gather(&survey, files);
    let found: Vec<_> = bundle.files.iter().map(|file| (file.name.as_bstr(), file.build_id)).collect();
    assert_eq!(found, [("/opt//go".into(), None)]);
    let missing: Vec<_> = bundle.missing.iter().map(|missing| missing.name.as_bstr()).collect();
    assert_eq!(missing, ["/etc/secret", "/opt/go", "[heap of a kind]"]);
    assert!(bundle.missing[1].reason.contains("another file has its place"), "{:?}", bundle.missing);
    crate::pack(&bundle, std::io::sink(), &mut |_| Ok(())).unwrap();
    // No id would tell that it is another file now.
    fs::write(here.join("opt/go"), [&unnamed[..], b"more"].concat()).unwrap();
    let changed = crate::pack(&bundle, std::io::sink(), &mut |_| Ok(()));
    assert!(matches!(changed, Err(crate::PackError::Changed(_))), "{changed:?}");
}
