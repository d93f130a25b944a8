//! Writes a bundle: a tar that zstd packs, which plain `tar` unpacks into a folder that perf reads. The same input gives the
//! same bytes: names are in order, times are one second after 1970, and the owner is root.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use bstr::ByteSlice as _;
use perf_format::BuildId;
use tar::{Builder, EntryType, Header};
use zstd::stream::write::Encoder;

use crate::contents::FileContents;
use crate::gather::{Bundle, BundledFile};
use crate::hash::{HashingReader, Sha256Hash, hash_of};
use crate::layout::{
    MANIFEST_NAME, RECORDING_NAME, build_dir, id_link, is_taken, symfs_file, symfs_links, unnamed_dir,
};
use crate::manifest::{Manifest, ManifestRecording};
use crate::store::check_id;

/// How hard zstd tries: its own default.
const LEVEL: i32 = 3;

/// GNU tar warns of times that are 0.
const MTIME: u64 = 1;

/// Why a bundle is not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A file that goes into it cannot be read.
    #[error("cannot read {name}")]
    Read {
        /// Its name.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A file was changed since it was found, or between the two times that it is read.
    #[error("{0} was changed while it was read")]
    Changed(String),
    /// A file without a build-id has a name that can be no path, or that is another's.
    #[error("{0} has no build-id, and its name no place in a bundle")]
    NoPlace(String),
    /// The bundle cannot be written.
    #[error(transparent)]
    Write(io::Error),
}

/// Writes a bundle, and returns its manifest. All that goes in is read twice, first for the hashes in the manifest, which
/// stands first; `progress` is told how many bytes were read, and may end the run with an error.
///
/// # Errors
/// What was written until then is no bundle.
pub fn pack(
    bundle: &Bundle,
    out: impl Write,
    progress: &mut dyn FnMut(u64) -> io::Result<()>,
) -> Result<Manifest, PackError> {
    let mut manifest = bundle.manifest();
    for (name, contents) in &bundle.recording {
        let (hash, size) =
            hash_of(contents.reader(), progress).map_err(|source| unread(recording(name), source))?;
        let packing = contents.packing().map(|packing| packing.to_string());
        let (name, sha256) = (name.clone(), hash.to_string());
        manifest.recording.push(ManifestRecording { name, size, sha256, packing });
    }
    for (file, entry) in bundle.files.iter().zip(&mut manifest.files) {
        let (hash, size) =
            hash_of(file.contents.reader(), progress).map_err(|source| unread(&file.name, source))?;
        (entry.size, entry.sha256) = (size, Some(hash.to_string()));
        if !is_as_found(file).map_err(|source| unread(&file.name, source))? {
            return Err(PackError::Changed(file.name.to_string()));
        }
    }
    let mut encoder = Encoder::new(out, LEVEL).map_err(PackError::Write)?;
    encoder.include_checksum(true).map_err(PackError::Write)?;
    let mut tar = BundleTar { tar: Builder::new(encoder), dirs: BTreeSet::new(), progress };
    let mut text = serde_json::to_vec_pretty(&manifest).map_err(|error| PackError::Write(error.into()))?;
    text.push(b'\n');
    let memory = FileContents::Memory(text);
    let size = memory.size().map_err(PackError::Write)?;
    tar.file(Path::new(MANIFEST_NAME), &memory, size, None)?;
    for ((name, contents), entry) in bundle.recording.iter().zip(&manifest.recording) {
        let path = name.iter().fold(PathBuf::from(RECORDING_NAME), |path, name| path.join(name));
        tar.file(&path, contents, entry.size, Sha256Hash::from_hex(&entry.sha256))?;
    }
    let places = places_of(&bundle.files)?;
    for ((file, place), entry) in bundle.files.iter().zip(&places).zip(&manifest.files) {
        let path = match place {
            Place::OfBuild(_, dir) => dir.join(file.role.name()),
            Place::ByName(path) => path.clone(),
        };
        tar.file(&path, &file.contents, entry.size, entry.hash())?;
    }
    for (link, target) in links_to(&bundle.files, &places) {
        tar.link(&link, &target)?;
    }
    let encoder = tar.tar.into_inner().map_err(PackError::Write)?;
    encoder.finish().and_then(|mut out| out.flush()).map_err(PackError::Write)?;
    Ok(manifest)
}

/// Whether a file is still what it was when it was found: it may have become another build, which nobody could unpack as this one.
fn is_as_found(file: &BundledFile) -> io::Result<bool> {
    Ok(match (&file.contents, file.build_id, file.state) {
        (FileContents::File(open), Some(id), _) => check_id(open, id, file.role).is_ok(),
        // One that was deleted meanwhile is another only by its ctime.
        (contents, None, Some(found)) => contents.state()?.is_some_and(|now| found.looks_written_as(&now)),
        _ => true,
    })
}

fn recording(name: &Option<String>) -> &[u8] {
    name.as_deref().unwrap_or("the recording").as_bytes()
}

fn unread(name: &[u8], source: io::Error) -> PackError {
    PackError::Read { name: name.to_str_lossy().into_owned(), source }
}

/// Where a file is in the bundle.
enum Place {
    /// In the folder of its build.
    OfBuild(BuildId, PathBuf),
    /// Below the folder for `--symfs`, by its name.
    ByName(PathBuf),
}

/// Where each file is. The folder of a build is that of its first file; where that would lie below another file, it has no name.
fn places_of(files: &[BundledFile]) -> Result<Vec<Place>, PackError> {
    let mut of_build = BTreeMap::new();
    for file in files {
        let name = file.name.as_bstr();
        if let Some(id) = file.build_id {
            of_build.entry(id).or_insert_with(|| build_dir(name, id));
        }
    }
    let dir_of = |id: &BuildId| of_build.get(id).cloned().unwrap_or_else(|| unnamed_dir(*id));
    let paths: BTreeSet<PathBuf> =
        files.iter().filter_map(|file| Some(dir_of(&file.build_id?).join(file.role.name()))).collect();
    let mut by_name = BTreeSet::new();
    let place = |file: &BundledFile| match file.build_id {
        Some(id) => {
            let dir = dir_of(&id);
            let is_below = dir.ancestors().any(|above| paths.contains(above));
            Ok(Place::OfBuild(id, if is_below { unnamed_dir(id) } else { dir }))
        }
        None => {
            let path = symfs_file(file.name.as_bstr()).filter(|path| !is_taken(path, &by_name));
            let path = path.ok_or_else(|| PackError::NoPlace(file.name.to_str_lossy().into_owned()))?;
            by_name.insert(path.clone());
            Ok(Place::ByName(path))
        }
    };
    files.iter().map(place).collect()
}

/// The links by which builds are found: by their ids, and by their names below the folder for `--symfs`.
fn links_to(files: &[BundledFile], places: &[Place]) -> BTreeSet<(PathBuf, PathBuf)> {
    let (mut builds, mut by_name) = (Vec::new(), BTreeSet::new());
    for (file, place) in files.iter().zip(places) {
        match place {
            Place::OfBuild(id, dir) => builds.push((dir.as_path(), *id, file.role)),
            Place::ByName(path) => _ = by_name.insert(path.clone()),
        }
    }
    let mut links: BTreeSet<_> = builds.iter().filter_map(|(dir, id, _)| id_link(*id, dir)).collect();
    links.extend(symfs_links(builds, &by_name));
    links
}

/// The tar that is being written.
struct BundleTar<'p, W: Write> {
    tar: Builder<W>,
    /// The folders in it.
    dirs: BTreeSet<PathBuf>,
    progress: &'p mut dyn FnMut(u64) -> io::Result<()>,
}

impl<W: Write> BundleTar<'_, W> {
    fn file(
        &mut self,
        path: &Path,
        contents: &FileContents,
        size: u64,
        expected: Option<Sha256Hash>,
    ) -> Result<(), PackError> {
        self.folders(path)?;
        let mut header = header(EntryType::Regular, 0o600);
        header.set_size(size);
        let told = ToldReader { inner: contents.reader(), progress: self.progress, failed: false };
        let mut reader = HashingReader::new(told);
        let appended = self.tar.append_data(&mut header, path, (&mut reader).take(size));
        let name = || path.display().to_string();
        match appended {
            Ok(()) => {}
            Err(source) if reader.get_ref().failed => return Err(PackError::Read { name: name(), source }),
            Err(error) => return Err(PackError::Write(error)),
        }
        // It may have become longer, too, but what is in the bundle is what was hashed.
        let is_same = reader.len == size && expected.is_none_or(|expected| reader.finish() == expected);
        if is_same { Ok(()) } else { Err(PackError::Changed(name())) }
    }

    fn link(&mut self, path: &Path, target: &Path) -> Result<(), PackError> {
        self.folders(path)?;
        let mut header = header(EntryType::Symlink, 0o777);
        header.set_size(0);
        self.tar.append_link(&mut header, path, target).map_err(PackError::Write)
    }

    /// The folders above a path that are not in it yet.
    fn folders(&mut self, path: &Path) -> Result<(), PackError> {
        let mut above: Vec<_> = path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()).collect();
        above.reverse();
        for dir in above {
            if self.dirs.insert(dir.to_owned()) {
                let mut header = header(EntryType::Directory, 0o700);
                header.set_size(0);
                self.tar.append_data(&mut header, dir, io::empty()).map_err(PackError::Write)?;
            }
        }
        Ok(())
    }
}

fn header(entry_type: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(entry_type);
    header.set_mode(mode);
    header.set_mtime(MTIME);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Tells of what is read, and notes that reading failed, which writing may as well.
struct ToldReader<'p, R> {
    inner: R,
    progress: &'p mut dyn FnMut(u64) -> io::Result<()>,
    failed: bool,
}

impl<R: io::Read> io::Read for ToldReader<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf).and_then(|read| {
            (self.progress)(read as u64)?;
            Ok(read)
        });
        self.failed |= read.is_err();
        read
    }
}
