//! Gathers the files that a recording needs, by the checks of [`perf_session::object_files`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice as _};
use perf_format::BuildId;
use perf_session::build_id::Origin;
use perf_session::dso::{Dso, DsoKind};
use perf_session::object_files::{
    AlternateFile, KernelSymbols, NoObjectFile, ObjectFile, ObjectFiles, ObjectImage,
};

use crate::contents::{FileContents, FileState};
use crate::layout::{FileRole, id_link, is_taken, symfs_file};
use crate::limits::MODULE_AT_MOST;
use crate::manifest::{FORMAT_VERSION, Manifest, ManifestFile, ManifestMissing};
use crate::separate::SeparateFiles;
use crate::store::StoreError;
use crate::survey::{Survey, SurveyedDso};

/// What goes into a bundle.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Bundle {
    /// The files of the recording, with their names in its directory, or one file without a name.
    pub recording: Vec<(Option<String>, FileContents)>,
    /// The files that its symbols are in, each build once, by name and id. Those without an id have one name each, and none
    /// of them is a folder on the way to another.
    pub files: Vec<BundledFile>,
    /// What is missing, the most hit first.
    pub missing: Vec<MissingFile>,
}

/// A file that symbols are in.
#[derive(Debug)]
#[non_exhaustive]
pub struct BundledFile {
    /// The DSO's name.
    pub name: BString,
    /// Other names of the same build.
    pub also: Vec<BString>,
    /// The build-id: the recorded one where the recording carries one. `None` of an object file that has none, which readers
    /// find by its name alone.
    pub build_id: Option<BuildId>,
    /// What it is.
    pub role: FileRole,
    /// Its bytes.
    pub contents: FileContents,
    /// How many they are.
    pub size: u64,
    /// Where it was found.
    pub origin: Origin,
    /// Why nothing proves that it is the recorded one; `None` where that is proven.
    pub unproven: Option<String>,
    /// How many samples hit it.
    pub samples: u64,
    /// Whether the recording carries the id, without which readers do not find the file by it.
    pub is_recorded: bool,
    /// The state in which it was found to be the recorded one, where no id in it says so later.
    pub(crate) state: Option<FileState>,
}

impl BundledFile {
    /// A file that is proven, whose id the recording carries, and that no sample hit.
    ///
    /// # Errors
    /// Where its size cannot be found.
    pub fn new(
        name: &BStr,
        build_id: Option<BuildId>,
        role: FileRole,
        contents: FileContents,
        origin: Origin,
    ) -> io::Result<Self> {
        let (size, state) = (contents.size()?, contents.state()?);
        let (name, also) = (name.to_owned(), Vec::new());
        Ok(Self {
            name,
            also,
            build_id,
            role,
            contents,
            size,
            origin,
            unproven: None,
            samples: 0,
            is_recorded: true,
            state,
        })
    }

    /// Counts samples of the same build, under any name.
    fn found_as(&mut self, name: &BString, samples: u64) {
        self.samples += samples;
        if self.name != *name && !self.also.contains(name) {
            self.also.push(name.clone());
        }
    }
}

/// A file that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFile {
    /// The DSO's name.
    pub name: BString,
    /// The build-id that the recording carries, if it does.
    pub build_id: Option<BuildId>,
    /// What it is.
    pub role: FileRole,
    /// How many samples hit it; none for what only other files tell of.
    pub samples: u64,
    /// Why it is missing.
    pub reason: String,
}

/// A file that was found of a DSO.
struct Found {
    /// Its own name, where that is not the DSO's.
    name: Option<BString>,
    id: Option<BuildId>,
    role: FileRole,
    contents: FileContents,
    origin: Origin,
    unproven: Option<String>,
}

/// Opens the files of the DSOs of a survey. The recording is still to be added.
#[must_use]
pub fn gather(survey: &Survey, files: &mut ObjectFiles) -> Bundle {
    let mut builds: BTreeMap<(BuildKey, FileRole), BundledFile> = BTreeMap::new();
    let mut missing = Vec::new();
    for SurveyedDso { dso, samples } in &survey.dsos {
        let recorded = dso.build_id.filter(|_| !dso.shares_id);
        let found = match find(dso, survey, files) {
            Ok(found) => found,
            Err((role, reason)) => {
                missing.push(MissingFile {
                    name: dso.name.clone(),
                    build_id: recorded,
                    role,
                    samples: *samples,
                    reason,
                });
                continue;
            }
        };
        let Files { found, alternates_missing } = found;
        missing.extend(alternates_missing);
        for Found { name, id, role, contents, origin, unproven } in found {
            let name = name.unwrap_or_else(|| dso.name.clone());
            let size = match contents.size().and_then(|size| Ok((size, contents.state()?))) {
                // It would have no link by which anybody finds it.
                Ok(_) if id.is_some_and(|id| id_link(id, Path::new("")).is_none()) => {
                    Err(StoreError::ShortId.to_string())
                }
                size => size.map_err(|error| error.to_string()),
            };
            let (size, state) = match size {
                Ok(found) => found,
                Err(reason) => {
                    missing.push(MissingFile { name, build_id: id, role, samples: *samples, reason });
                    continue;
                }
            };
            let key = match id {
                Some(id) => BuildKey::Id(id),
                None => BuildKey::Name(name.clone()),
            };
            // An alternate file is found by the id that the debug file tells.
            let is_recorded = recorded.is_some_and(|recorded| {
                role == FileRole::Alternate || id.is_some_and(|id| recorded.padded() == id.padded())
            });
            builds
                .entry((key, role))
                .and_modify(|known| {
                    known.is_recorded |= is_recorded;
                    known.found_as(&name, *samples);
                })
                .or_insert_with(|| BundledFile {
                    name,
                    also: Vec::new(),
                    build_id: id,
                    role,
                    contents,
                    size,
                    origin,
                    unproven,
                    samples: *samples,
                    is_recorded,
                    state,
                });
        }
    }
    // Whoever has the build under another name finds it by its id; and several tell of one alternate file.
    let mut alternates = BTreeSet::new();
    missing.retain(|MissingFile { name, build_id, role, samples, .. }| {
        match build_id.and_then(|id| builds.get_mut(&(BuildKey::Id(id), *role))) {
            Some(known) => {
                known.found_as(name, *samples);
                false
            }
            None => *role != FileRole::Alternate || alternates.insert((name.clone(), *build_id)),
        }
    });
    let mut bundle = Bundle { recording: Vec::new(), files: builds.into_values().collect(), missing };
    bundle.leave_out_what_has_no_place();
    bundle
}

/// What makes a build one: its id, or where it has none, its name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum BuildKey {
    Id(BuildId),
    Name(BString),
}

/// Why a file without a build-id has no place in a bundle, in which `taken` are the places of others.
fn no_place(file: &BundledFile, taken: &mut BTreeSet<PathBuf>) -> Option<&'static str> {
    if file.build_id.is_some() {
        return None;
    }
    let Some(place) = symfs_file(file.name.as_bstr()).filter(|_| file.role == FileRole::Elf) else {
        return Some("it has no build-id and no path, by which readers would find it");
    };
    if is_taken(&place, taken) {
        return Some("it has no build-id, and another file has its place");
    }
    taken.insert(place);
    None
}

/// The files of a DSO.
#[derive(Default)]
struct Files {
    found: Vec<Found>,
    /// What its debug file shares with others and is nowhere.
    alternates_missing: Vec<MissingFile>,
}

impl From<Found> for Files {
    fn from(found: Found) -> Self {
        Self { found: vec![found], ..Self::default() }
    }
}

/// The files of a DSO; or why its first one is missing.
fn find(dso: &Dso, survey: &Survey, files: &mut ObjectFiles) -> Result<Files, (FileRole, String)> {
    let recording = &survey.recording;
    let because = |role, error: &NoObjectFile| (role, error.to_string());
    match dso.kind {
        DsoKind::Kernel => {
            let refused = match files.kernel_symbols(dso, recording) {
                Ok(KernelSymbols { text, build_id, origin, without_modules, .. }) => {
                    let without = "it is of another boot, or nothing shows that it is of this one: symbols of modules are left out";
                    return Ok(Files::from(Found {
                        name: None,
                        id: Some(build_id),
                        role: FileRole::Kallsyms,
                        contents: FileContents::Memory(text),
                        origin,
                        unproven: without_modules.then(|| without.to_owned()),
                    }));
                }
                Err(refused) => refused,
            };
            let image =
                files.kernel_image(dso, recording).map_err(|_| because(FileRole::Kallsyms, &refused))?;
            with_debug(image, dso, files)
        }
        DsoKind::Module => {
            let object = files.module(dso, recording).map_err(|error| because(FileRole::Elf, &error))?;
            with_debug(object, dso, files)
        }
        DsoKind::Vdso => {
            let object = files.open(dso, recording).map_err(|error| because(FileRole::Vdso, &error))?;
            Ok(of_object(object, dso, FileRole::Vdso).map_err(|reason| (FileRole::Vdso, reason))?.into())
        }
        _ => {
            let object = files.open(dso, recording).map_err(|error| because(FileRole::Elf, &error))?;
            with_debug(object, dso, files)
        }
    }
}

fn of_object(object: ObjectFile, dso: &Dso, role: FileRole) -> Result<Found, String> {
    let ObjectFile { image, build_id, origin, unproven, .. } = object;
    let recorded = dso.build_id.filter(|_| !dso.shares_id);
    // Readers look for the id as it was recorded, which may be filled up with zeros.
    let id = match (recorded, build_id) {
        (Some(recorded), Some(here)) if recorded.padded() == here.padded() => Some(recorded),
        // perf's cache has files of many machines and times.
        (None, _) if origin == Origin::DebugDir => {
            return Err("only its name says that the file that is kept for it is the recorded one".to_owned());
        }
        (Some(_), None) => return Err("it has no build-id, and the recorded one has".to_owned()),
        (_, here) => here,
    };
    let contents = match image {
        // Readers take what has no name that tells how it is packed for an ELF file.
        ObjectImage::File(file) => {
            FileContents::unpacking(file, MODULE_AT_MOST).map_err(|error| error.to_string())?
        }
        ObjectImage::Memory(bytes) => FileContents::Memory(bytes),
        _ => return Err("it is neither a file nor in memory".to_owned()),
    };
    Ok(Found {
        name: None,
        id,
        role,
        contents,
        origin,
        unproven: unproven.map(|unproven| unproven.to_string()),
    })
}

/// An object file, its debug file, and what these share with others.
fn with_debug(object: ObjectFile, dso: &Dso, files: &ObjectFiles) -> Result<Files, (FileRole, String)> {
    let SeparateFiles { debug, alternates } = SeparateFiles::of(&object, dso, files);
    let object = of_object(object, dso, FileRole::Elf).map_err(|reason| (FileRole::Elf, reason))?;
    let of_debug_dir = |name, id, role, file| {
        let (contents, origin) = (FileContents::File(file), Origin::DebugDir);
        Found { name, id, role, contents, origin, unproven: None }
    };
    let debug = debug.map(|file| of_debug_dir(None, object.id, FileRole::Debug, file));
    let mut files = Files { found: [object].into_iter().chain(debug).collect(), ..Files::default() };
    for AlternateFile { path, build_id, file, .. } in alternates {
        match file {
            Some(file) => {
                files.found.push(of_debug_dir(Some(path), Some(build_id), FileRole::Alternate, file));
            }
            None => files.alternates_missing.push(MissingFile {
                name: path,
                build_id: Some(build_id),
                role: FileRole::Alternate,
                samples: 0,
                reason: format!(
                    "the debug information of {} refers to it, and no place has this build",
                    dso.name
                ),
            }),
        }
    }
    Ok(files)
}

impl Bundle {
    /// How many bytes go into it, before they are packed.
    ///
    /// # Errors
    /// Where the recording cannot be looked at.
    pub fn size(&self) -> io::Result<u64> {
        let recording =
            self.recording.iter().map(|(_, contents)| contents.size()).sum::<io::Result<u64>>()?;
        Ok(recording + self.files.iter().map(|file| file.size).sum::<u64>())
    }

    /// Puts files and what is missing into their order.
    pub(crate) fn sort(&mut self) {
        self.files.sort_by(|a, b| (&a.name, a.build_id, a.role).cmp(&(&b.name, b.build_id, b.role)));
        self.missing.sort_by(|a, b| {
            (b.samples, &a.name, a.build_id, a.role).cmp(&(a.samples, &b.name, b.build_id, b.role))
        });
    }

    /// Takes out the files without a build-id that readers could not find by their names either.
    fn leave_out_what_has_no_place(&mut self) {
        // Of two that want one place the first by name has it, however they were found.
        self.sort();
        let mut taken = BTreeSet::new();
        let Self { files, missing, .. } = self;
        files.retain(|file| {
            let Some(reason) = no_place(file, &mut taken) else { return true };
            let (name, samples, reason) = (file.name.clone(), file.samples, reason.to_owned());
            missing.push(MissingFile { name, build_id: None, role: file.role, samples, reason });
            false
        });
        self.sort();
    }

    /// The manifest, as far as it is known before anything is read: without hashes, and without the recording.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        let files = self.files.iter().map(|file| {
            let (name, name_hex) = ManifestFile::named(file.name.as_bstr());
            ManifestFile {
                name,
                name_hex,
                also: file.also.iter().map(|name| name.to_str_lossy().into_owned()).collect(),
                build_id: file.build_id.map(|id| id.to_string()),
                kind: file.role,
                size: file.size,
                sha256: None,
                source: file.origin.to_string(),
                unproven: file.unproven.clone(),
                samples: file.samples,
            }
        });
        let missing = self.missing.iter().map(|missing| ManifestMissing {
            name: missing.name.to_str_lossy().into_owned(),
            build_id: missing.build_id.map(|id| id.to_string()),
            kind: missing.role,
            samples: missing.samples,
            reason: missing.reason.clone(),
        });
        Manifest {
            version: FORMAT_VERSION,
            recording: Vec::new(),
            files: files.collect(),
            missing: missing.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
