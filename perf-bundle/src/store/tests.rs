//! The store on a real file system.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use perf_session::testing::Elf;

use super::*;

struct Scene {
    dir: tempfile::TempDir,
    store: Store,
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    Scene { dir, store }
}

fn id(byte: u8) -> BuildId {
    BuildId::new(&[byte; 20]).unwrap()
}

fn elf(byte: u8) -> FileContents {
    FileContents::Memory(Elf::with_build_id(&[byte; 20]).bytes())
}

/// All that is in a folder: paths, and what links lead to.
fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                assert_eq!(meta.mode() & 0o7777, 0o700, "{name}");
                dirs.push(path);
            } else if meta.is_symlink() {
                found.push(format!("{name} -> {}", fs::read_link(path).unwrap().display()));
            } else {
                assert_eq!(meta.mode() & 0o7777, 0o600, "{name}");
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

impl Scene {
    fn put(&self, name: &str, byte: u8, contents: &FileContents) -> Result<Stored, StoreError> {
        self.store.put(name.into(), id(byte), FileRole::Elf, contents, 1 << 20)
    }

    fn tree(&self) -> Vec<String> {
        tree(self.store.path())
    }
}

#[test]
fn a_file_of_two_names_is_kept_once_and_two_files_of_one_name_both() {
    let scene = scene();
    assert_eq!(scene.put("/usr/bin/a", 0xab, &elf(0xab)).unwrap(), Stored::New);
    assert_eq!(scene.put("/usr/bin/b", 0xab, &elf(0xab)).unwrap(), Stored::Known);
    assert_eq!(scene.put("/usr/bin/a", 0xcd, &elf(0xcd)).unwrap(), Stored::New);
    let (ab, cd) = ("ab".repeat(20), "cd".repeat(20));
    assert_eq!(
        scene.tree(),
        [
            format!(".build-id/ab/{} -> ../../usr/bin/a/{ab}", &ab[2..]),
            format!(".build-id/cd/{} -> ../../usr/bin/a/{cd}", &cd[2..]),
            format!("usr/bin/a/{ab}/elf"),
            format!("usr/bin/a/{cd}/elf"),
        ]
    );
    assert!(scene.store.contains(id(0xab), FileRole::Elf));
    assert!(!scene.store.contains(id(0xab), FileRole::Debug));
    assert!(!scene.store.contains(id(0xee), FileRole::Elf));
}

#[test]
fn what_is_not_of_the_build_does_not_enter_and_leaves_nothing() {
    let scene = scene();
    let without = Elf { notes: Vec::new(), ..Elf::with_build_id(&[1; 20]) }.bytes();
    for wrong in [
        elf(2),
        FileContents::Memory(b"text".to_vec()),
        FileContents::Memory(without),
        FileContents::Memory(Vec::new()),
    ] {
        let refused = scene.put("/a", 1, &wrong);
        assert!(
            matches!(refused, Err(StoreError::OtherBuild { .. } | StoreError::NoObject { .. })),
            "{refused:?}"
        );
    }
    let large = scene.store.put("/a".into(), id(1), FileRole::Elf, &elf(1), 100);
    assert!(matches!(large, Err(StoreError::TooLarge(100))), "{large:?}");
    assert_eq!(scene.tree(), [""; 0]);
}

#[test]
fn ids_of_every_length_but_one_byte_have_a_place() {
    let scene = scene();
    for len in 1..=20 {
        let bytes = vec![7; len];
        let contents = FileContents::Memory(Elf::with_build_id(&bytes).bytes());
        let put =
            scene.store.put("/a".into(), BuildId::new(&bytes).unwrap(), FileRole::Elf, &contents, 1 << 20);
        match len {
            1 => assert!(matches!(put, Err(StoreError::ShortId)), "{put:?}"),
            _ => assert_eq!(put.unwrap(), Stored::New, "{len} bytes"),
        }
    }
    // Old recordings fill an id up with zeros, and readers look for that.
    let padded = BuildId::new(&[&[9; 16][..], &[0; 4]].concat()).unwrap();
    let contents = FileContents::Memory(Elf::with_build_id(&[9; 16]).bytes());
    scene.store.put("/a".into(), padded, FileRole::Elf, &contents, 1 << 20).unwrap();
    assert!(scene.store.contains(padded, FileRole::Elf));
}

#[test]
fn no_planted_link_is_followed() {
    for planted in ["usr", "usr/bin", "usr/bin/a", ".build-id", ".build-id/ab"] {
        let scene = scene();
        let outside = scene.dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let at = scene.store.path().join(planted);
        let mut builder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(at.parent().unwrap()).unwrap();
        symlink(&outside, &at).unwrap();
        // Where the link is in the way of its name, it is put where no name is needed.
        let put = scene.put("/usr/bin/a", 0xab, &elf(0xab));
        assert_eq!(put.is_ok(), planted.starts_with("usr"), "{planted}: {put:?}");
        assert_eq!(tree(&outside), [""; 0], "{planted}");
    }
}

#[test]
fn a_link_by_id_leads_nowhere_but_down() {
    for target in ["/etc", "../../../outside", "../..", "../../usr/../../outside", "x", "../../gone"] {
        let scene = scene();
        fs::create_dir(scene.dir.path().join("outside")).unwrap();
        let link = scene.store.path().join(".build-id/ab").join("ab".repeat(19));
        scene.store.root.make(Path::new(".build-id/ab")).unwrap();
        symlink(target, &link).unwrap();
        let put = scene.put("/usr/bin/a", 0xab, &elf(0xab));
        if target == "../.." {
            // Its own folder, where an elf is put.
            continue;
        }
        assert!(matches!(put, Err(StoreError::Occupied(_))), "{target}: {put:?}");
        assert_eq!(tree(&scene.dir.path().join("outside")), [""; 0]);
    }
}

#[test]
fn what_is_there_is_never_overwritten() {
    let scene = scene();
    scene.store.root.make(&build_dir("/a".into(), id(1))).unwrap();
    let path = scene.store.path().join("a").join("01".repeat(20)).join("elf");
    fs::write(&path, "mine").unwrap();
    let put = scene.put("/a", 1, &elf(1));
    assert!(matches!(put, Err(StoreError::Occupied(_))), "{put:?}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    assert!(matches!(scene.put("/a", 1, &elf(1)), Err(StoreError::Occupied(_))));
}

#[test]
fn a_folder_that_others_may_change_is_refused() {
    let scene = scene();
    fs::set_permissions(scene.store.path(), Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(Store::open(scene.store.path()), Err(StoreError::NotOwn(_))));
    fs::set_permissions(scene.store.path(), Permissions::from_mode(0o755)).unwrap();
    Store::open(scene.store.path()).unwrap();
    scene.store.root.make(Path::new("usr")).unwrap();
    fs::set_permissions(scene.store.path().join("usr"), Permissions::from_mode(0o775)).unwrap();
    assert!(scene.put("/usr/a", 1, &elf(1)).is_err());
}

#[test]
fn a_name_in_the_folder_of_another_build_is_put_elsewhere() {
    let scene = scene();
    scene.put("/a", 1, &elf(1)).unwrap();
    let below = format!("/a/{}/elf/b", "01".repeat(20));
    scene.put(&below, 2, &elf(2)).unwrap();
    assert!(scene.store.contains(id(2), FileRole::Elf));
}

/// Puts in a file to which something happens while it is copied.
fn put_while(scene: &Scene, happens: impl FnOnce(&Path)) -> Result<Stored, StoreError> {
    let path = scene.dir.path().join("file");
    fs::write(&path, Elf::with_build_id(&[1; 20]).bytes()).unwrap();
    let contents = FileContents::File(File::open(&path).unwrap());
    let before = contents.state().unwrap();
    let checked = |copy: &mut File| {
        happens(&path);
        assert!(contents.state().unwrap() != before, "nothing tells that something happened");
        check_unchanged(&contents, before, copy)
    };
    let mut reader = contents.reader();
    scene.store.put_read("/a".into(), id(1), FileRole::Elf, &mut reader, 1 << 20, checked)
}

#[test]
fn a_file_that_is_changed_while_it_is_copied_does_not_enter() {
    let scene = scene();
    let other = Elf::with_build_id(&[2; 20]).bytes();
    let put = put_while(&scene, |path| fs::write(path, &other).unwrap());
    assert!(matches!(put, Err(StoreError::Changed)), "{put:?}");
    let put = put_while(&scene, |path| {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, &other).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
    });
    assert!(matches!(put, Err(StoreError::Changed)), "its time was set back: {put:?}");
    assert_eq!(scene.tree(), [""; 0]);
}

#[test]
fn a_file_that_is_deleted_while_it_is_copied_enters() {
    let put = put_while(&scene(), |path| fs::remove_file(path).unwrap());
    assert_eq!(put.unwrap(), Stored::New);
}

#[test]
fn a_copy_is_its_own() {
    let scene = scene();
    let path = scene.dir.path().join("file");
    fs::write(&path, Elf::with_build_id(&[1; 20]).bytes()).unwrap();
    let contents = FileContents::File(File::open(&path).unwrap());
    assert_eq!(scene.put("/a", 1, &contents).unwrap(), Stored::New);
    fs::write(&path, "other").unwrap();
    let kept = scene.store.path().join("a").join("01".repeat(20)).join("elf");
    assert_eq!(fs::read(kept).unwrap(), Elf::with_build_id(&[1; 20]).bytes());
}

#[test]
fn a_file_is_copied_whole_whatever_its_size_and_up_to_the_limit() {
    let scene = scene();
    for (byte, size) in [(1, 1000), (2, 1 << 16), (3, (1 << 18) + 1)] {
        let path = scene.dir.path().join("file");
        let mut bytes = Elf::with_build_id(&[byte; 20]).bytes();
        bytes.resize(size, byte);
        fs::write(&path, &bytes).unwrap();
        let contents = FileContents::File(File::open(&path).unwrap());
        let put =
            |at_most: usize| scene.store.put("/a".into(), id(byte), FileRole::Elf, &contents, at_most as u64);
        let refused = put(size - 1);
        assert!(
            matches!(refused, Err(StoreError::TooLarge(limit)) if limit == size as u64 - 1),
            "{refused:?}"
        );
        assert_eq!(put(size).unwrap(), Stored::New);
        let kept = scene.store.path().join("a").join(id(byte).to_string()).join("elf");
        assert!(fs::read(&kept).unwrap() == bytes, "{size} bytes");
        // Another name of the source's bytes would be changed with it.
        assert_eq!(fs::metadata(&kept).unwrap().nlink(), 1);
        fs::remove_file(path).unwrap();
    }
    // The kernel says that it has no bytes, and copies none.
    let path = "/proc/filesystems";
    let contents = FileContents::File(File::open(path).unwrap());
    scene.store.put("[kernel.kallsyms]".into(), id(9), FileRole::Kallsyms, &contents, 1 << 20).unwrap();
    let kept = scene.store.path().join("[kernel.kallsyms]").join(id(9).to_string()).join("kallsyms");
    assert!(fs::read(kept).unwrap() == fs::read(path).unwrap());
}
