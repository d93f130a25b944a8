//! Reads a bundle that may be anybody's, and puts what is in it into a store. No path of the tar is used: the manifest says
//! what each file is, and the [store](crate::store) where that belongs. Folders and links of the tar are passed over, and
//! made anew.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bstr::ByteSlice as _;
use perf_session::unpack::Packing;
use tar::{Archive, Entry, EntryType};

use crate::hash::{Sha256Hash, hash_of};
use crate::layout::{FileRole, MANIFEST_NAME, RECORDING_NAME, SYMFS_DIR, symfs_file};
use crate::limits::{ENTRY_NAME_AT_MOST, MANIFEST_AT_MOST, OVERHEAD_A_FILE};
use crate::manifest::{FORMAT_VERSION, Manifest, ManifestFile, ManifestRecording};
use crate::packing::UnpackingReader;
use crate::store::{Folder, Store, StoreError, Stored};

/// How much a bundle may make a reader write.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct UnbundleLimits {
    /// The most bytes of all files together, unpacked.
    pub total: u64,
}

impl UnbundleLimits {
    /// At most this many bytes.
    #[must_use]
    pub fn total(total: u64) -> Self {
        Self { total }
    }
}

/// What was unpacked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unbundled {
    /// What the bundle says of itself.
    pub manifest: Manifest,
    /// How many files are new in the store.
    pub new: u64,
    /// How many were in it already.
    pub known: u64,
    /// The recording: a file, or a directory; `None` where the bundle has none.
    pub recording: Option<PathBuf>,
    /// The folder for `--symfs`, if files are in it that have no build-id, which readers find there alone.
    pub symfs: Option<PathBuf>,
}

/// Why a bundle is not unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnbundleError {
    /// It cannot be read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// It is no bundle, or a damaged one.
    #[error("it is no bundle of perftool: {0}")]
    NoBundle(String),
    /// It is of a later version.
    #[error("it is of version {0}, and this program knows {FORMAT_VERSION}: a newer one reads it")]
    Version(u32),
    /// It unpacks to more than is allowed.
    #[error("it unpacks to {size} bytes, and {limit} are allowed")]
    TooLarge {
        /// How many bytes its manifest says.
        size: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// A file in it is not what its manifest says.
    #[error("{name} in it is damaged: {reason}")]
    Damaged {
        /// The name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be put into the store.
    #[error("cannot unpack {name}")]
    Store {
        /// The name.
        name: String,
        /// Why.
        source: StoreError,
    },
}

fn no_bundle(reason: impl Into<String>) -> UnbundleError {
    UnbundleError::NoBundle(reason.into())
}

/// Unpacks a bundle: what symbols are in into the store, the recording into a folder, which may be the store's. `progress`
/// is told how many bytes were read of the bundle, and may end the run with an error.
///
/// # Errors
/// Files that were whole before may be in the store then.
pub fn unpack(
    source: impl Read,
    store: &Store,
    folder: &Path,
    limits: UnbundleLimits,
    progress: &mut dyn FnMut(u64) -> io::Result<()>,
) -> Result<Unbundled, UnbundleError> {
    let failure = Rc::default();
    let source = ProgressReader { inner: source, progress, failure: Rc::clone(&failure) };
    let unpacked = unpack_from(source, store, folder, limits);
    // What comes of it elsewhere looks like damage.
    match failure.take() {
        Some(error) => Err(UnbundleError::Read(error)),
        None => unpacked,
    }
}

fn unpack_from(
    mut source: impl Read,
    store: &Store,
    folder: &Path,
    limits: UnbundleLimits,
) -> Result<Unbundled, UnbundleError> {
    let mut magic = Vec::new();
    (&mut source).take(Packing::MAGIC_SIZE as u64).read_to_end(&mut magic).map_err(UnbundleError::Read)?;
    let packing = Packing::detect(&magic).ok_or_else(|| no_bundle("it is not packed"))?;
    let source = UnpackingReader::new(packing, io::Cursor::new(magic).chain(source));
    // How much that may be shows in the manifest.
    let source = BoundedReader { inner: source, left: Rc::new(Cell::new(2 * MANIFEST_AT_MOST)) };
    let left = Rc::clone(&source.left);
    let mut archive = Archive::new(source);
    let mut entries = Files { entries: archive.entries().map_err(UnbundleError::Read)?.raw(true) };
    let mut first = entries.next()?.ok_or_else(|| no_bundle("it is empty"))?;
    let (manifest, text) = manifest(&mut first)?;
    let files = manifest.files.len() + manifest.recording.len();
    let size = total(&manifest)
        .filter(|size| *size <= limits.total)
        .ok_or(UnbundleError::TooLarge { size: total(&manifest).unwrap_or(u64::MAX), limit: limits.total })?;
    left.set(left.get().saturating_add(size).saturating_add(OVERHEAD_A_FILE.saturating_mul(files as u64)));
    let own = Folder::make_at(folder).map_err(io_of(RECORDING_NAME))?;
    let own = own.ok_or_else(|| store_error(RECORDING_NAME, StoreError::NotOwn(folder.to_owned())))?;
    let mut kept = own.new_file().map_err(io_of(MANIFEST_NAME))?;
    kept.file.write_all(&text).map_err(io_of(MANIFEST_NAME))?;
    kept.give_name(MANIFEST_NAME).map_err(io_of(MANIFEST_NAME))?;
    for part in &manifest.recording {
        let mut entry = entries.next()?.ok_or_else(|| no_bundle("it is cut"))?;
        recording(&mut entry, &own, part)?;
    }
    let (mut new, mut known) = (0, 0);
    let mut by_name = BTreeSet::new();
    for file in &manifest.files {
        let mut entry = entries.next()?.ok_or_else(|| no_bundle("it is cut"))?;
        if file.build_id.is_none() {
            by_name.insert(put_by_name(&mut entry, &own, file)?);
            new += 1;
            continue;
        }
        match put(&mut entry, store, file)? {
            Stored::New => new += 1,
            Stored::Known => known += 1,
        }
    }
    if entries.next()?.is_some() {
        return Err(no_bundle("it has files that are not in its manifest"));
    }
    // The checksum is at the end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(unreadable)?;
    // The cache is perf's own.
    if store.path() == folder {
        let files: Vec<_> = manifest.files.iter().filter_map(|file| Some((file.id()?, file.kind))).collect();
        store.link_names(&files, &by_name).map_err(|source| store_error(".symfs", source))?;
    }
    let recording = (!manifest.recording.is_empty()).then(|| folder.join(RECORDING_NAME));
    let symfs = (!by_name.is_empty()).then(|| folder.join(SYMFS_DIR));
    Ok(Unbundled { manifest, new, known, recording, symfs })
}

/// The regular files of the tar, in their order.
struct Files<'a, R: Read> {
    entries: tar::Entries<'a, R>,
}

impl<'a, R: Read> Files<'a, R> {
    fn next(&mut self) -> Result<Option<Entry<'a, R>>, UnbundleError> {
        for entry in &mut self.entries {
            let entry = entry.map_err(unreadable)?;
            let size = entry.size();
            match entry.header().entry_type() {
                EntryType::Regular => return Ok(Some(entry)),
                EntryType::Directory | EntryType::Symlink if size == 0 => {}
                // Long names of folders, links and files; none is needed.
                EntryType::GNULongName | EntryType::GNULongLink if size <= ENTRY_NAME_AT_MOST => {}
                other => return Err(no_bundle(format!("it has an entry of the type {other:?}"))),
            }
        }
        Ok(None)
    }
}

/// An error of reading the tar: its own are of its contents.
fn unreadable(error: io::Error) -> UnbundleError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            no_bundle(error.to_string())
        }
        _ => UnbundleError::Read(error),
    }
}

fn manifest<R: Read>(entry: &mut Entry<'_, R>) -> Result<(Manifest, Vec<u8>), UnbundleError> {
    if entry.path_bytes() != MANIFEST_NAME.as_bytes() {
        return Err(no_bundle(format!("it does not begin with {MANIFEST_NAME}")));
    }
    let size = entry.size();
    if size > MANIFEST_AT_MOST {
        return Err(no_bundle(format!("its manifest has {size} bytes")));
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(unreadable)?;
    let version: VersionOfManifest =
        serde_json::from_slice(&text).map_err(|error| no_bundle(error.to_string()))?;
    if version.version != FORMAT_VERSION {
        return Err(UnbundleError::Version(version.version));
    }
    let manifest = serde_json::from_slice(&text).map_err(|error| no_bundle(error.to_string()))?;
    Ok((manifest, text))
}

/// What manifests of all versions have.
#[derive(serde::Deserialize)]
struct VersionOfManifest {
    version: u32,
}

/// How many bytes a manifest says that there are.
fn total(manifest: &Manifest) -> Option<u64> {
    let recording = manifest.recording.iter().map(|part| part.size);
    let files = manifest.files.iter().map(|file| file.size);
    recording.chain(files).try_fold(0_u64, u64::checked_add)
}

fn recording<R: Read>(
    entry: &mut Entry<'_, R>,
    folder: &Folder,
    part: &ManifestRecording,
) -> Result<(), UnbundleError> {
    let name = part.name.as_deref().unwrap_or(RECORDING_NAME);
    let damaged = damaged(name);
    let expected = Sha256Hash::from_hex(&part.sha256).ok_or_else(|| damaged("its hash is none"))?;
    let is_plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    if !is_plain || entry.size() != part.size {
        return Err(damaged("it is not what the manifest says"));
    }
    let made;
    let folder = match part.name {
        Some(_) => {
            made = folder.make(Path::new(RECORDING_NAME)).map_err(io_of(name))?;
            &made
        }
        None => folder,
    };
    new_file(entry, folder, name.as_ref(), expected, part.size, name)
}

/// Makes a file of an entry, if it is what was hashed.
fn new_file<R: Read>(
    entry: &mut Entry<'_, R>,
    folder: &Folder,
    own_name: &OsStr,
    expected: Sha256Hash,
    size: u64,
    name: &str,
) -> Result<(), UnbundleError> {
    let mut new = folder.new_file().map_err(io_of(name))?;
    io::copy(entry, &mut new.file).map_err(io_of(name))?;
    check_hash(&mut new.file, expected, size).map_err(|source| match source {
        StoreError::Io(error) => io_of(name)(error),
        _ => damaged(name)("its hash is another one"),
    })?;
    new.give_name(own_name).map_err(io_of(name))
}

fn put<R: Read>(
    entry: &mut Entry<'_, R>,
    store: &Store,
    file: &ManifestFile,
) -> Result<Stored, UnbundleError> {
    let damaged = damaged(&file.name);
    let expected = file.hash().ok_or_else(|| damaged("its hash is none"))?;
    let id = file.id().ok_or_else(|| damaged("its build-id is none"))?;
    let name = file.name_bytes().ok_or_else(|| damaged("its name is none"))?;
    if entry.size() != file.size {
        return Err(damaged("it has another size"));
    }
    let check = |copy: &mut File| check_hash(copy, expected, file.size);
    store.put_read(name.as_bstr(), id, file.kind, entry, file.size, check).map_err(|error| match error {
        StoreError::Changed => damaged("its hash is another one"),
        StoreError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => damaged("it is cut"),
        source => store_error(&file.name, source),
    })
}

/// Puts a file that has no build-id where `--symfs` finds it by its name.
fn put_by_name<R: Read>(
    entry: &mut Entry<'_, R>,
    folder: &Folder,
    file: &ManifestFile,
) -> Result<PathBuf, UnbundleError> {
    let damaged = damaged(&file.name);
    let expected = file.hash().ok_or_else(|| damaged("its hash is none"))?;
    let name = file.name_bytes().ok_or_else(|| damaged("its name is none"))?;
    let path = symfs_file(name.as_bstr()).filter(|_| file.kind == FileRole::Elf);
    let path = path.ok_or_else(|| damaged("it has no build-id, and its name is no path"))?;
    if entry.size() != file.size {
        return Err(damaged("it has another size"));
    }
    let (dir, own_name) = (path.parent(), path.file_name());
    let dir = folder.make(dir.unwrap_or(Path::new(""))).map_err(io_of(&file.name))?;
    new_file(entry, &dir, own_name.unwrap_or_default(), expected, file.size, &file.name)?;
    Ok(path)
}

/// Whether a file is what was hashed, by reading it again: so what is on the disk is what was meant.
fn check_hash(file: &mut File, expected: Sha256Hash, size: u64) -> Result<(), StoreError> {
    file.flush()?;
    file.rewind()?;
    let (hash, len) = hash_of(&*file, &mut |_| Ok(()))?;
    if hash == expected && len == size { Ok(()) } else { Err(StoreError::Changed) }
}

fn damaged(name: &str) -> impl Fn(&str) -> UnbundleError {
    move |reason| UnbundleError::Damaged { name: name.to_owned(), reason: reason.to_owned() }
}

fn store_error(name: &str, source: StoreError) -> UnbundleError {
    UnbundleError::Store { name: name.to_owned(), source }
}

fn io_of(name: &str) -> impl Fn(io::Error) -> UnbundleError {
    move |error| store_error(name, StoreError::Io(error))
}

/// Tells of what is read, and keeps the reason why it cannot be read on.
struct ProgressReader<'p, R> {
    inner: R,
    progress: &'p mut dyn FnMut(u64) -> io::Result<()>,
    failure: Rc<RefCell<Option<io::Error>>>,
}

impl<R: Read> Read for ProgressReader<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf).and_then(|read| {
            (self.progress)(read as u64)?;
            Ok(read)
        });
        match read {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.failure.replace(Some(error));
                Err(io::Error::other("it cannot be read"))
            }
            read => read,
        }
    }
}

/// Ends with an error where there is more than there may be.
struct BoundedReader<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for BoundedReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        let left = self.left.get().checked_sub(read as u64);
        self.left.set(left.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it has more than its manifest says")
        })?);
        Ok(read)
    }
}
