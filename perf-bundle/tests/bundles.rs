//! Bundles: what is packed is unpacked, and what is no bundle does no harm.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use bstr::ByteSlice as _;
use perf_bundle::{
    Bundle, BundledFile, FileContents, FileRole, Manifest, MissingFile, PackError, Store, StoreError,
    UnbundleError, UnbundleLimits, Unbundled, pack, unpack,
};
use perf_format::BuildId;
use perf_session::build_id::Origin;
use perf_session::testing::Elf;
use tar::{Builder, EntryType, Header};

const LIMITS: u64 = 1 << 24;

fn id(byte: u8) -> BuildId {
    BuildId::new(&[byte; 20]).unwrap()
}

fn file(name: &[u8], byte: u8, role: FileRole) -> BundledFile {
    let bytes = match role {
        FileRole::Kallsyms => b"ffffffff81000000 T _text\n".to_vec(),
        _ => Elf::with_build_id(&[byte; 20]).bytes(),
    };
    BundledFile::new(name.as_bstr(), Some(id(byte)), role, FileContents::Memory(bytes), Origin::File).unwrap()
}

/// A file that has no build-id.
fn unidentified(name: &[u8]) -> BundledFile {
    let contents = FileContents::Memory([b"\x7fELF of ", name].concat());
    BundledFile::new(name.as_bstr(), None, FileRole::Elf, contents, Origin::File).unwrap()
}

fn bundle() -> Bundle {
    let mut bundle = Bundle::default();
    bundle.recording = vec![(None, FileContents::Memory(b"PERFILE2 and so on".to_vec()))];
    bundle.files = vec![
        file(b"/usr/bin/a", 1, FileRole::Elf),
        file(b"/usr/bin/a", 1, FileRole::Debug),
        file(b"/usr/bin/a", 2, FileRole::Elf),
        file(b"/usr/bin/\xff\xfe", 3, FileRole::Elf),
        file(b"[kernel.kallsyms]", 4, FileRole::Kallsyms),
        file(b"[vdso]", 5, FileRole::Vdso),
        file(b"/../../etc/passwd", 6, FileRole::Elf),
        file(format!("/usr/bin/a/{}/elf/below", "01".repeat(20)).as_bytes(), 7, FileRole::Elf),
        file(format!("/long{}", "/long".repeat(60)).as_bytes(), 8, FileRole::Elf),
        file(b"/opt/app", 9, FileRole::Elf),
        // It lies where a link to the build before would.
        unidentified(b"/opt/app/go"),
        unidentified(b"/opt/\xff go"),
    ];
    bundle.missing = vec![MissingFile {
        name: "/gone".into(),
        build_id: Some(id(9)),
        role: FileRole::Elf,
        samples: 12,
        reason: "no such file".to_owned(),
    }];
    bundle
}

fn packed(bundle: &Bundle) -> Vec<u8> {
    let mut out = Vec::new();
    pack(bundle, &mut out, &mut |_| Ok(())).unwrap();
    out
}

fn unpacked(bytes: &[u8], dir: &Path, limit: u64) -> Result<Unbundled, UnbundleError> {
    let store = Store::open(dir).unwrap();
    unpack(bytes, &store, dir, UnbundleLimits::total(limit), &mut |_| Ok(()))
}

/// All files and links below a folder, with what is in them.
fn tree(dir: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().as_os_str().as_encoded_bytes().to_vec();
            let kind = path.symlink_metadata().unwrap().file_type();
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_symlink() {
                found.push((name, fs::read_link(path).unwrap().as_os_str().as_encoded_bytes().to_vec()));
            } else {
                found.push((name, fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_packed_is_unpacked_and_plain_tar_unpacks_the_same() {
    let bytes = packed(&bundle());
    let dir = tempfile::tempdir().unwrap();
    let (ours, tars) = (dir.path().join("ours"), dir.path().join("tars"));
    let done = unpacked(&bytes, &ours, LIMITS).unwrap();
    assert_eq!((done.new, done.known, done.recording), (12, 0, Some(ours.join("perf.data"))));
    assert_eq!(done.symfs.as_deref(), Some(&*ours.join(".symfs")));
    assert_eq!(fs::read(ours.join(".symfs/opt/app/go")).unwrap(), b"\x7fELF of /opt/app/go");
    assert_eq!(fs::read(ours.join("perf.data")).unwrap(), b"PERFILE2 and so on");
    assert_eq!(done.manifest.missing[0].reason, "no such file");
    let store = Store::open(&ours).unwrap();
    for (byte, role) in [
        (1, FileRole::Elf),
        (1, FileRole::Debug),
        (5, FileRole::Vdso),
        (6, FileRole::Elf),
        (7, FileRole::Elf),
    ] {
        assert!(store.contains(id(byte), role), "{byte} {role}");
    }
    fs::create_dir(&tars).unwrap();
    let plain = zstd::decode_all(&bytes[..]).unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.args(["-x", "-C"]).arg(&tars).stdin(std::process::Stdio::piped());
    let mut tar = tar.spawn().unwrap();
    tar.stdin.take().unwrap().write_all(&plain).unwrap();
    assert!(tar.wait().unwrap().success());
    let (ours, tars) = (tree(&ours), tree(&tars));
    let names = |tree: &[(Vec<u8>, Vec<u8>)]| {
        tree.iter().map(|(name, _)| name.as_bstr().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&ours), names(&tars));
    assert!(ours == tars);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert!(packed(&bundle()) == packed(&bundle()));
}

#[test]
fn what_is_in_the_store_already_stays() {
    let bytes = packed(&bundle());
    let dir = tempfile::tempdir().unwrap();
    let (cache, first, second) = (dir.path().join("cache"), dir.path().join("1"), dir.path().join("2"));
    let store = Store::open(&cache).unwrap();
    for (folder, new) in [(first, 12), (second, 2)] {
        let done =
            unpack(&bytes[..], &store, &folder, UnbundleLimits::total(LIMITS), &mut |_| Ok(())).unwrap();
        assert_eq!((done.new, done.known), (new, 12 - new));
        // What has no id has no place in a cache.
        assert!(folder.join(".symfs/opt/app/go").exists());
        assert!(folder.join("perf.data").exists() && !folder.join(".build-id").exists());
    }
    assert!(!cache.join(".symfs").exists() && !cache.join("manifest.json").exists());
}

#[test]
fn a_recording_in_a_directory_comes_out_as_one() {
    let mut bundle = Bundle::default();
    let part = |name: &str, text: &str| (Some(name.to_owned()), FileContents::Memory(text.into()));
    bundle.recording = vec![part("data", "first"), part("data.0", "second")];
    let dir = tempfile::tempdir().unwrap();
    unpacked(&packed(&bundle), &dir.path().join("out"), LIMITS).unwrap();
    assert_eq!(fs::read(dir.path().join("out/perf.data/data.0")).unwrap(), b"second");
}

#[test]
fn a_bundle_that_is_cut_or_damaged_anywhere_is_no_bundle() {
    let bytes = packed(&bundle());
    for cut in (0..bytes.len()).step_by(31) {
        let dir = tempfile::tempdir().unwrap();
        assert!(unpacked(&bytes[..cut], &dir.path().join("out"), LIMITS).is_err(), "cut at {cut}");
    }
    for at in (0..bytes.len()).step_by(37) {
        let dir = tempfile::tempdir().unwrap();
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        assert!(unpacked(&damaged, &dir.path().join("out"), LIMITS).is_err(), "damaged at {at}");
    }
}

#[test]
fn a_damaged_tar_puts_nothing_beside_its_place() {
    let tar = zstd::decode_all(&packed(&one())[..]).unwrap();
    for at in (0..tar.len()).step_by(5) {
        let dir = tempfile::tempdir().unwrap();
        let mut damaged = tar.clone();
        damaged[at] = damaged[at].wrapping_add(1);
        // Any answer will do: not all bytes of a header mean something.
        unpacked(&zstd::encode_all(&damaged[..], 1).unwrap(), &dir.path().join("out"), LIMITS).ok();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "damaged at {at}");
    }
}

#[test]
fn a_bundle_larger_than_allowed_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let refused = unpacked(&packed(&bundle()), &out, 1000);
    assert!(matches!(refused, Err(UnbundleError::TooLarge { limit: 1000, .. })), "{refused:?}");
    assert_eq!(tree(&out), []);
}

/// A tar made by hand, packed.
struct Made(Builder<Vec<u8>>);

impl Made {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: EntryType, path: &str, contents: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        // Past the crate's own checks of paths.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
        header.set_entry_type(kind);
        header.set_size(contents.len() as u64);
        header.set_mode(0o4777);
        header.set_cksum();
        self.0.append(&header, contents).unwrap();
        self
    }

    fn manifest(self, change: impl FnOnce(&mut Manifest)) -> Self {
        let mut manifest = pack(&one(), Vec::new(), &mut |_| Ok(())).unwrap();
        change(&mut manifest);
        let text = serde_json::to_vec(&manifest).unwrap();
        self.entry(EntryType::Regular, "manifest.json", &text)
    }

    fn refused(self) -> String {
        let dir = tempfile::tempdir().unwrap();
        let bytes = zstd::encode_all(&self.0.into_inner().unwrap()[..], 1).unwrap();
        let result = unpacked(&bytes, &dir.path().join("out"), LIMITS);
        // Nothing is beside it.
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let error = result.expect_err("it is refused");
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        error.to_string() + &cause.unwrap_or_default()
    }
}

/// A bundle of one file.
fn one() -> Bundle {
    let mut bundle = Bundle::default();
    bundle.files = vec![file(b"/a", 1, FileRole::Elf)];
    bundle
}

fn elf() -> Vec<u8> {
    Elf::with_build_id(&[1; 20]).bytes()
}

#[test]
fn a_bundle_made_to_harm_is_refused() {
    let whole = || Made::new().manifest(|_| ()).entry(EntryType::Regular, "a", &elf());
    // Whatever its path is, it is put where the manifest's name says.
    let dir = tempfile::tempdir().unwrap();
    let escaping = Made::new().manifest(|_| ()).entry(EntryType::Symlink, "../x", b"").entry(
        EntryType::Regular,
        "../../a",
        &elf(),
    );
    let bytes = zstd::encode_all(&escaping.0.into_inner().unwrap()[..], 1).unwrap();
    unpacked(&bytes, &dir.path().join("out"), LIMITS).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let cases = [
        ("an entry of the type Char", Made::new().manifest(|_| ()).entry(EntryType::Char, "a", b"")),
        ("an entry of the type Link", Made::new().manifest(|_| ()).entry(EntryType::Link, "a", b"")),
        ("an entry of the type Fifo", Made::new().entry(EntryType::Fifo, "a", b"")),
        ("an entry of the type Symlink", Made::new().entry(EntryType::Symlink, "a", b"it has contents")),
        (
            "an entry of the type GNULongName",
            Made::new().entry(EntryType::GNULongName, "a", &[b'a'; 1 << 15]),
        ),
        ("it does not begin with manifest.json", Made::new().entry(EntryType::Regular, "a", b"")),
        ("it is empty", Made::new()),
        ("it is cut", Made::new().manifest(|_| ())),
        ("not in its manifest", whole().entry(EntryType::Regular, "b", b"")),
        ("another size", Made::new().manifest(|_| ()).entry(EntryType::Regular, "a", b"short")),
        ("its hash is another one", {
            let other = [&elf()[..elf().len() - 1], b"x"].concat();
            Made::new().manifest(|_| ()).entry(EntryType::Regular, "a", &other)
        }),
        ("it is not the build", {
            let made = Made::new().manifest(|manifest| manifest.files[0].build_id = Some("02".repeat(20)));
            made.entry(EntryType::Regular, "a", &elf())
        }),
        (
            "its build-id is none",
            Made::new().manifest(|manifest| manifest.files[0].build_id = Some("../..".into())).entry(
                EntryType::Regular,
                "a",
                &elf(),
            ),
        ),
        ("its name is no path", {
            let made = Made::new().manifest(|manifest| {
                (manifest.files[0].build_id, manifest.files[0].name) = (None, "/../a".into());
            });
            made.entry(EntryType::Regular, "a", &elf())
        }),
        ("its name is no path", {
            let made = Made::new().manifest(|manifest| {
                (manifest.files[0].build_id, manifest.files[0].kind) = (None, FileRole::Kallsyms);
            });
            made.entry(EntryType::Regular, "a", &elf())
        }),
        ("it is of version 2", Made::new().manifest(|manifest| manifest.version = 2)),
        ("are allowed", Made::new().manifest(|manifest| manifest.files[0].size = u64::MAX)),
        (
            "its name is none",
            Made::new().manifest(|manifest| manifest.files[0].name_hex = Some("zz".into())).entry(
                EntryType::Regular,
                "a",
                &elf(),
            ),
        ),
    ];
    for (reason, made) in cases {
        let said = made.refused();
        assert!(said.contains(reason), "{said:?} says not {reason:?}");
    }
}

#[test]
fn a_recording_with_a_name_that_leads_elsewhere_is_refused() {
    for name in ["../x", "", ".", "..", "a/b", "/etc/x"] {
        let mut bundle = Bundle::default();
        bundle.recording = vec![(Some("data".to_owned()), FileContents::Memory(b"text".to_vec()))];
        let mut manifest = pack(&bundle, Vec::new(), &mut |_| Ok(())).unwrap();
        manifest.recording[0].name = Some(name.to_owned());
        let text = serde_json::to_vec(&manifest).unwrap();
        let made = Made::new().entry(EntryType::Regular, "manifest.json", &text).entry(
            EntryType::Regular,
            "x",
            b"text",
        );
        let said = made.refused();
        assert!(said.contains("not what the manifest says"), "{name}: {said}");
    }
}

#[test]
fn a_stream_without_an_end_ends_with_an_error() {
    // Folders without an end take no room, and are passed over.
    let mut made = Made::new().manifest(|_| ());
    for _ in 0..300_000 {
        made = made.entry(EntryType::Directory, "a", b"");
    }
    assert!(made.refused().contains("more than its manifest says"));
}

#[test]
fn nothing_is_unpacked_through_a_link_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (out, outside) = (dir.path().join("out"), dir.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    let store = Store::open(&out).unwrap();
    symlink(&outside, out.join(".build-id")).unwrap();
    let refused = unpack(&packed(&one())[..], &store, &out, UnbundleLimits::total(LIMITS), &mut |_| Ok(()));
    assert!(
        matches!(&refused, Err(UnbundleError::Store { source: StoreError::Occupied(_), .. })),
        "{refused:?}"
    );
    assert_eq!(tree(&outside), []);
}

#[test]
fn what_ends_reading_is_the_error_and_no_damage() {
    let bytes = packed(&bundle());
    for at in [0, 100, bytes.len() - 1] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("out")).unwrap();
        let mut read = 0;
        let mut interrupted = |bytes| {
            read += bytes;
            if read > at as u64 { Err(std::io::Error::other("interrupted")) } else { Ok(()) }
        };
        let limits = UnbundleLimits::total(LIMITS);
        // In small parts, so that it is read until there.
        let parts = std::io::BufReader::with_capacity(16, &bytes[..]);
        let ended = unpack(parts, &store, store.path(), limits, &mut interrupted);
        assert!(
            matches!(&ended, Err(UnbundleError::Read(error)) if error.to_string() == "interrupted"),
            "{at}: {ended:?}"
        );
    }
}

#[test]
fn an_interrupt_ends_packing() {
    let mut interrupted = |_| Err(std::io::Error::other("interrupted"));
    let error = pack(&bundle(), Vec::new(), &mut interrupted).unwrap_err();
    assert!(
        matches!(&error, PackError::Read { source, .. } if source.to_string() == "interrupted"),
        "{error:?}"
    );
}
