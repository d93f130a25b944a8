//! Files that are missing here, from elsewhere by their build-ids. Who has them, such as a client of debuginfod, is behind
//! [`RemoteFiles`]: nothing here knows of a network.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bstr::BString;
use perf_format::BuildId;
use perf_session::build_id::{Origin, elf_extent};

use crate::contents::FileContents;
use crate::gather::{Bundle, BundledFile, MissingFile};
use crate::layout::FileRole;
use crate::limits::FETCHED_AT_ONCE;
use crate::survey::SurveyScope;

/// Has files by their build-ids. Several threads ask at once.
pub trait RemoteFiles: Sync {
    /// The file of a build, which has its id: the object file ([`FileRole::Elf`]) or its debug file ([`FileRole::Debug`]).
    ///
    /// # Errors
    /// Why there is none, as a line: who was asked, and what came of it.
    fn fetch(&self, build_id: BuildId, role: FileRole) -> Result<File, String>;
}

/// What is wanted of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// The object file, and its debug file if it is stripped.
    Object,
    /// An image of the kernel. The debug file of one is the image, too, and often the only one.
    Kernel,
    /// The debug file of an object file that is here and was stripped.
    Debug,
}

/// What came of it; `None` for what was not asked for.
#[derive(Debug, Default)]
struct Answer {
    object: Option<Result<File, String>>,
    debug: Option<Result<File, String>>,
}

impl Bundle {
    /// Asks for the files that are missing here and whose ids the recording carries, and for the debug files of object
    /// files that are here without their symbols. What is not there either stays missing, with both reasons.
    ///
    /// Where `scope` is [`SurveyScope::Hit`], only what samples hit is asked for. Several files are fetched at once.
    pub fn fetch_missing(&mut self, remote: &dyn RemoteFiles, scope: SurveyScope) {
        let wants = self.wants(scope);
        let next = AtomicUsize::new(0);
        let answers = Mutex::new(Vec::new());
        let work = || {
            while let Some((id, want)) = wants.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = answer(remote, *id, *want);
                answers.lock().unwrap_or_else(PoisonError::into_inner).push((*id, *want, answer));
            }
        };
        thread::scope(|scope| {
            for _ in 1..FETCHED_AT_ONCE.min(wants.len()) {
                // Where there can be no more threads, this one does the work.
                thread::Builder::new().name("fetch".to_owned()).spawn_scoped(scope, work).ok();
            }
            work();
        });
        for (id, want, answer) in answers.into_inner().unwrap_or_else(PoisonError::into_inner) {
            match want {
                Want::Debug => self.take_debug(id, answer.debug),
                Want::Object | Want::Kernel => self.take_object(id, answer),
            }
        }
        self.sort();
    }

    /// Each build once.
    fn wants(&self, scope: SurveyScope) -> Vec<(BuildId, Want)> {
        let is_asked = |samples: u64| samples > 0 || scope == SurveyScope::Mapped;
        let mut wants = Vec::new();
        let mut wanted = BTreeSet::new();
        let missing = self.missing.iter().filter(|missing| is_asked(missing.samples));
        for MissingFile { build_id, role, .. } in missing {
            let want = match role {
                FileRole::Elf => Want::Object,
                FileRole::Kallsyms => Want::Kernel,
                FileRole::Debug | FileRole::Alternate | FileRole::Vdso => continue,
            };
            if let Some(id) = *build_id
                && wanted.insert(id)
            {
                wants.push((id, want));
            }
        }
        let debugs = self.files.iter().filter(|file| file.role == FileRole::Debug);
        let debugs: BTreeSet<_> = debugs.filter_map(|file| file.build_id).collect();
        for file in self.files.iter().filter(|file| file.role == FileRole::Elf && is_asked(file.samples)) {
            if let (FileContents::File(object), Some(id)) = (&file.contents, file.build_id)
                && !debugs.contains(&id)
                && is_stripped(object)
            {
                wants.push((id, Want::Debug));
            }
        }
        wants
    }

    /// Takes in what came for a file that was missing.
    fn take_object(&mut self, id: BuildId, Answer { object, debug }: Answer) {
        let of_build = |missing: &MissingFile| {
            missing.build_id == Some(id) && matches!(missing.role, FileRole::Elf | FileRole::Kallsyms)
        };
        let mut names: Vec<BString> = Vec::new();
        let mut samples = 0;
        for missing in self.missing.iter().filter(|missing| of_build(missing)) {
            samples += missing.samples;
            if !names.contains(&missing.name) {
                names.push(missing.name.clone());
            }
        }
        let mut names = names.into_iter();
        let Some(name) = names.next() else { return };
        let also: Vec<_> = names.collect();
        let refused = match object
            .map(|object| object.and_then(|file| fetched(&name, &also, id, FileRole::Elf, samples, file)))
        {
            Some(Ok(file)) => {
                self.files.push(file);
                self.missing.retain(|missing| !of_build(missing));
                None
            }
            Some(Err(reason)) => Some(reason),
            None => None,
        };
        let is_here = refused.is_none();
        if let Some(refused) = refused {
            for missing in self.missing.iter_mut().filter(|missing| of_build(missing)) {
                missing.reason = format!("{}; {refused}", missing.reason);
            }
        }
        match debug
            .map(|debug| debug.and_then(|file| fetched(&name, &also, id, FileRole::Debug, samples, file)))
        {
            Some(Ok(file)) => self.files.push(file),
            Some(Err(reason)) if is_here => self.missing.push(MissingFile {
                name,
                build_id: Some(id),
                role: FileRole::Debug,
                samples,
                reason: without_symbols(&reason),
            }),
            // That the object file is missing says it.
            Some(Err(_)) | None => {}
        }
    }

    /// Takes in what came for an object file that is here.
    fn take_debug(&mut self, id: BuildId, debug: Option<Result<File, String>>) {
        let object = self.files.iter().find(|file| file.build_id == Some(id) && file.role == FileRole::Elf);
        let (Some(object), Some(debug)) = (object, debug) else { return };
        let (name, samples) = (object.name.clone(), object.samples);
        let file = debug.and_then(|file| fetched(&name, &object.also, id, FileRole::Debug, samples, file));
        match file.map(|file| BundledFile { is_recorded: object.is_recorded, ..file }) {
            Ok(file) => self.files.push(file),
            Err(reason) => self.missing.push(MissingFile {
                name,
                build_id: Some(id),
                role: FileRole::Debug,
                samples,
                reason: without_symbols(&reason),
            }),
        }
    }
}

fn without_symbols(reason: &str) -> String {
    format!("the file has no symbols, and no debug file is here; {reason}")
}

fn answer(remote: &dyn RemoteFiles, id: BuildId, want: Want) -> Answer {
    let asked = unpadded(id);
    let fetch = |role| remote.fetch(asked, role);
    match want {
        Want::Debug => Answer { object: None, debug: Some(fetch(FileRole::Debug)) },
        Want::Kernel => {
            let image = fetch(FileRole::Elf).or_else(|reason| fetch(FileRole::Debug).map_err(|_| reason));
            Answer { object: Some(image), debug: None }
        }
        Want::Object => {
            let object = fetch(FileRole::Elf);
            let is_enough = object.as_ref().is_ok_and(|file| !is_stripped(file));
            Answer { debug: (!is_enough).then(|| fetch(FileRole::Debug)), object: Some(object) }
        }
    }
}

fn fetched(
    name: &BString,
    also: &[BString],
    id: BuildId,
    role: FileRole,
    samples: u64,
    file: File,
) -> Result<BundledFile, String> {
    let contents = FileContents::File(file);
    let new = BundledFile::new(name.as_ref(), Some(id), role, contents, Origin::Debuginfod);
    let new = new.map_err(|error| error.to_string())?;
    Ok(BundledFile { also: also.to_vec(), samples, ..new })
}

/// Whether an object file has no symbols but those that others link to.
fn is_stripped(file: &File) -> bool {
    elf_extent(file).is_ok_and(|extent| !extent.has_symbols)
}

/// The id as the linker wrote it: old recordings fill ids up with zeros, and who is asked takes these for a part of it.
fn unpadded(id: BuildId) -> BuildId {
    let bytes = id.as_bytes();
    // What linkers write besides SHA-1: MD5 and UUIDs, and 64 bits of a fast hash.
    let shorter = [8, 16].into_iter().find_map(|size| {
        let (start, rest) = bytes.split_at_checked(size)?;
        let is_filled_up = bytes.len() == BuildId::MAX && rest.iter().all(|byte| *byte == 0);
        is_filled_up.then(|| BuildId::new(start).ok())?
    });
    shorter.unwrap_or(id)
}

#[cfg(test)]
mod tests;
