//! `unbundle`: a bundle that may be anything, as it is packed and as the tar that is packed.

use std::fs;
use std::path::Path;

use perf_bundle::{Store, UnbundleLimits, unpack};

use crate::folder::folder;

/// The most bytes that may come out.
const AT_MOST: u64 = 1 << 20;

/// Bytes that are a bundle, and bytes that are its tar.
pub fn unbundle(data: &[u8]) {
    check(data);
    let mut packed = vec![0; zstd_safe::compress_bound(data.len())];
    if let Ok(len) = zstd_safe::compress(packed.as_mut_slice(), data, 1) {
        packed.truncate(len);
        check(&packed);
    }
}

fn check(bundle: &[u8]) {
    let dir = folder();
    let out = dir.path().join("out");
    let store = Store::open(&out).expect("a new store");
    let done = unpack(bundle, &store, &out, UnbundleLimits::total(AT_MOST), &mut |_| Ok(()));
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 1, "nothing is beside the store");
    let size = files_below(&out);
    if let Ok(done) = done {
        let said = done.manifest.files.iter().map(|file| file.size).sum::<u64>()
            + done.manifest.recording.iter().map(|part| part.size).sum::<u64>();
        assert!(said <= AT_MOST && size <= said, "no more than was said, and than is allowed");
    }
}

/// How many bytes the files of a store have, without the manifest; links lead to what is in it.
fn files_below(root: &Path) -> u64 {
    let root = root.canonicalize().expect("there");
    let (mut size, mut dirs) = (0, vec![root.clone()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            let meta = path.symlink_metadata().expect("there");
            if meta.is_dir() {
                dirs.push(path);
            } else if meta.is_symlink() {
                let target = path.canonicalize().expect("it leads somewhere");
                assert!(target.starts_with(&root), "a link leads out of the store");
            } else if path != root.join("manifest.json") {
                size += meta.len();
            }
        }
    }
    size
}
