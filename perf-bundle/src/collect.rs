//! Collects files into a store while a stream passes: each whose id is found is opened at that moment, since its process and
//! its root may be gone soon, and copied by a thread beside the stream.

use std::fs::File;
use std::sync::mpsc::{Receiver, SendError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::{fmt, io, thread};

use bstr::{BStr, BString};
use perf_format::BuildId;
use perf_session::Recording;
use perf_session::build_id::{BuildIdSource, Chain, FoundId, NoBuildId};
use perf_session::dso::{Dso, DsoKind};
use perf_session::object_files::{AlternateFile, ObjectFiles, ObjectImage, running_kernel_symbols};

use crate::contents::FileContents;
use crate::layout::FileRole;
use crate::limits::{MODULE_AT_MOST, QUEUED_AT_MOST, REFUSALS_AT_MOST};
use crate::separate::SeparateFiles;
use crate::store::{Store, StoreError, Stored};

/// Copies files into a store, by a thread of its own.
#[derive(Debug)]
pub struct Collector {
    queue: CollectQueue,
    thread: JoinHandle<CollectReport>,
}

/// What was collected.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CollectReport {
    /// How many files are new in the store.
    pub new: u64,
    /// How many were in it already.
    pub known: u64,
    /// How many bytes the new ones have.
    pub bytes: u64,
    /// Files that did not enter, and why: the first of them.
    pub refused: Vec<(BString, String)>,
    /// How many did not enter.
    pub refused_count: u64,
    /// Why the store could take no more, such as a full disk; `None` where each that did not enter has a reason of its own.
    pub store_failure: Option<String>,
}

/// A file that is to be copied.
struct Job {
    name: BString,
    id: BuildId,
    role: FileRole,
    /// `None` for the running kernel's symbols, which take a while to be read.
    contents: Option<FileContents>,
}

/// Gives files to a [`Collector`]. A clone gives them to the same one.
#[derive(Clone)]
pub struct CollectQueue(Arc<Mutex<Queue>>);

/// The way to the thread, and what did not get onto it.
struct Queue {
    /// `None` at the end.
    sender: Option<SyncSender<Job>>,
    /// Whether a file waits for room, in place of being refused.
    waits: bool,
    refused: CollectReport,
}

impl fmt::Debug for CollectQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CollectQueue")
    }
}

impl CollectQueue {
    fn new(sender: SyncSender<Job>) -> Self {
        Self(Arc::new(Mutex::new(Queue {
            sender: Some(sender),
            waits: false,
            refused: CollectReport::default(),
        })))
    }

    /// Has an object file of this build copied, such as an image that was just written.
    pub fn file(&self, name: &BStr, id: BuildId, file: File) {
        let contents = Some(FileContents::File(file));
        self.send(Job { name: name.to_owned(), id, role: FileRole::Elf, contents });
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nobody panics with it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, name: BString, reason: String) {
        self.lock().refused.refuse(name, reason);
    }

    /// Sends a job, if there is room for it.
    fn send(&self, job: Job) {
        let Queue { sender, waits, refused } = &mut *self.lock();
        let Some(sender) = sender else { return };
        // The thread takes out without this lock.
        let sent = match waits {
            true => sender.send(job).map_err(|SendError(job)| TrySendError::Disconnected(job)),
            false => sender.try_send(job),
        };
        match sent {
            Ok(()) => {}
            Err(TrySendError::Full(Job { name, .. })) => {
                refused.refuse(name, "the copying is behind, and the stream does not wait for it".to_owned());
            }
            Err(TrySendError::Disconnected(Job { name, .. })) => {
                refused.refuse(name, "the copying has ended".to_owned());
            }
        }
    }
}

impl CollectReport {
    fn refuse(&mut self, name: BString, reason: String) {
        self.refused_count += 1;
        if self.refused.len() < REFUSALS_AT_MOST {
            self.refused.push((name, reason));
        }
    }
}

impl Collector {
    /// Starts the thread. `at_most` is how many bytes the new files may have together. A stream does not wait for copies: what
    /// finds no room in the queue is not collected.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(store: Store, at_most: u64) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUED_AT_MOST);
        let copying = Copying { store, at_most, report: CollectReport::default() };
        let copying = move || copying.run(&receiver);
        let thread = thread::Builder::new().name("collect".to_owned()).spawn(copying)?;
        Ok(Self { queue: CollectQueue::new(sender), thread })
    }

    /// Has files wait for copies before them, for an input that nobody is writing meanwhile.
    #[must_use]
    pub fn waiting(self) -> Self {
        self.queue.lock().waits = true;
        self
    }

    /// The sources with a collector between: what they find an id for is opened by `files`, and collected.
    #[must_use]
    pub fn chain(&self, sources: Chain, files: ObjectFiles) -> Chain {
        Chain(vec![Box::new(CollectingSource { sources, files, queue: self.queue.clone() })])
    }

    /// The way in for files that no source finds.
    #[must_use]
    pub fn queue(&self) -> CollectQueue {
        self.queue.clone()
    }

    /// Waits until all that is in the queue is copied.
    #[must_use]
    pub fn finish(self) -> CollectReport {
        let Self { queue, thread } = self;
        // Others may still have the queue; it ends for them, too.
        let (sender, refused) = {
            let mut queue = queue.lock();
            (queue.sender.take(), std::mem::take(&mut queue.refused))
        };
        drop(sender);
        // It does not panic; what it had counted would be lost.
        let mut collected = thread.join().unwrap_or_default();
        collected.refused_count += refused.refused_count;
        collected.refused.extend(refused.refused);
        collected
    }
}

/// What the thread works with.
struct Copying {
    store: Store,
    at_most: u64,
    report: CollectReport,
}

impl Copying {
    /// The thread's work.
    fn run(mut self, jobs: &Receiver<Job>) -> CollectReport {
        // The kernel takes as long to write its symbols as others take to be copied.
        let mut symbols = Vec::new();
        for job in jobs {
            let Job { name, id, role, contents } = job;
            match contents {
                Some(contents) => self.put(name, id, role, &contents),
                None if self.store.contains(id, role) => self.report.known += 1,
                None => {
                    let read = move || running_kernel_symbols(id).map(FileContents::Memory);
                    match thread::Builder::new().name("kallsyms".to_owned()).spawn(read) {
                        Ok(reading) => symbols.push((name, id, role, reading)),
                        Err(error) => self.report.refuse(name, error.to_string()),
                    }
                }
            }
        }
        for (name, id, role, reading) in symbols {
            match reading.join() {
                Ok(Ok(contents)) => self.put(name, id, role, &contents),
                Ok(Err(error)) => self.report.refuse(name, error.to_string()),
                // It does not panic.
                Err(_) => self.report.refuse(name, "it was not read".to_owned()),
            }
        }
        self.report
    }

    fn put(&mut self, name: BString, id: BuildId, role: FileRole, contents: &FileContents) {
        let left = self.at_most - self.report.bytes;
        let stored = contents
            .size()
            .map_err(StoreError::from)
            .and_then(|size| Ok((self.store.put(name.as_ref(), id, role, contents, left)?, size)));
        match stored {
            Ok((Stored::New, size)) => {
                self.report.new += 1;
                self.report.bytes = (self.report.bytes + size).min(self.at_most);
            }
            Ok((Stored::Known, _)) => self.report.known += 1,
            Err(StoreError::TooLarge(left)) => {
                let size = contents.size().unwrap_or(left);
                self.report.refuse(name, format!("it has {size} bytes, and the limit leaves {left}"));
            }
            Err(error) => {
                let reason = error.to_string();
                if error.is_of_store() {
                    self.report.store_failure.get_or_insert_with(|| reason.clone());
                }
                self.report.refuse(name, reason);
            }
        }
    }
}

/// Opens what other sources find an id for.
struct CollectingSource {
    sources: Chain,
    files: ObjectFiles,
    queue: CollectQueue,
}

impl BuildIdSource for CollectingSource {
    fn build_id(&mut self, dso: &Dso, recording: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        let found = self.sources.build_id(dso, recording)?;
        if let Some(FoundId { build_id, .. }) = found {
            self.collect(dso, recording, build_id);
        }
        Ok(found)
    }
}

impl CollectingSource {
    fn collect(&mut self, dso: &Dso, recording: &Recording, id: BuildId) {
        let name = || dso.name.clone();
        let (role, opened) = match dso.kind {
            DsoKind::Kernel => {
                return self.queue.send(Job { name: name(), id, role: FileRole::Kallsyms, contents: None });
            }
            DsoKind::Module => (FileRole::Elf, self.files.module(dso, recording)),
            DsoKind::Vdso => (FileRole::Vdso, self.files.open(dso, recording)),
            _ => (FileRole::Elf, self.files.open(dso, recording)),
        };
        let object = match opened {
            Ok(object) => object,
            Err(error) => return self.queue.refuse(name(), error.to_string()),
        };
        let SeparateFiles { debug, alternates } = match role {
            FileRole::Elf => SeparateFiles::of(&object, dso, &self.files),
            _ => SeparateFiles::default(),
        };
        let contents = match object.image {
            // Modules may be packed, and nobody unpacks what is in a store.
            ObjectImage::File(file) => FileContents::unpacking(file, MODULE_AT_MOST),
            ObjectImage::Memory(bytes) => Ok(FileContents::Memory(bytes)),
            _ => return,
        };
        match contents {
            Ok(contents) => self.queue.send(Job { name: name(), id, role, contents: Some(contents) }),
            Err(error) => return self.queue.refuse(name(), error.to_string()),
        }
        // What is small and needed most has its room by now.
        let debug = debug.map(|file| (name(), id, FileRole::Debug, file));
        let alternates =
            alternates.into_iter().filter_map(|AlternateFile { path, build_id, file, .. }| {
                Some((path, build_id, FileRole::Alternate, file?))
            });
        for (name, id, role, file) in debug.into_iter().chain(alternates) {
            self.queue.send(Job { name, id, role, contents: Some(FileContents::File(file)) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use perf_session::build_id::{InRoot, Recorded, SourceConfig};
    use perf_session::machine::HOST;
    use perf_session::testing::Elf;

    use super::*;

    fn id(byte: u8) -> BuildId {
        BuildId::new(&[byte; 20]).unwrap()
    }

    /// A file of a build, and the DSO whose file it is.
    fn dso(dir: &Path, byte: u8) -> Dso {
        let path = dir.join(format!("file-{byte}"));
        fs::write(&path, Elf::with_build_id(&[byte; 20]).bytes()).unwrap();
        Dso { build_id: Some(id(byte)), ..Dso::new(HOST, DsoKind::File, path.to_str().unwrap().into()) }
    }

    fn sources() -> (Chain, ObjectFiles) {
        (Chain(vec![Box::new(Recorded)]), ObjectFiles::of_recording(SourceConfig::default()))
    }

    #[test]
    fn what_has_an_id_is_in_the_store_at_the_end_and_a_deleted_file_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = || Store::open(&dir.path().join("store")).unwrap();
        for (new, known) in [(2, 0), (0, 2)] {
            let collector = Collector::start(store(), u64::MAX).unwrap();
            let (chain, files) = sources();
            let mut chain = collector.chain(chain, files);
            for byte in [1, 2] {
                let dso = dso(dir.path(), byte);
                let found = chain.build_id(&dso, &Recording::default()).unwrap().unwrap();
                assert_eq!(found.build_id, id(byte));
                fs::remove_file(dir.path().join(format!("file-{byte}"))).unwrap();
            }
            let collected = collector.finish();
            assert_eq!((collected.new, collected.known, collected.refused_count), (new, known, 0));
            assert!(store().contains(id(1), FileRole::Elf) && store().contains(id(2), FileRole::Elf));
        }
    }

    #[test]
    fn what_is_not_here_or_has_no_room_is_refused_and_its_id_found_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let size = Elf::with_build_id(&[1; 20]).bytes().len() as u64;
        let collector = Collector::start(Store::open(&dir.path().join("store")).unwrap(), size + 1).unwrap();
        let (chain, files) = sources();
        let mut chain = collector.chain(chain, files);
        let other = Dso { build_id: Some(id(9)), ..dso(dir.path(), 3) };
        for dso in [dso(dir.path(), 1), dso(dir.path(), 2), other] {
            assert!(chain.build_id(&dso, &Recording::default()).unwrap().is_some());
        }
        let collected = collector.finish();
        assert_eq!((collected.new, collected.bytes, collected.refused_count), (1, size, 2));
    }

    #[test]
    fn debug_files_and_what_they_share_are_collected_behind_their_files_as_far_as_there_is_room() {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str, elf: Elf| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, elf.bytes()).unwrap();
            elf.bytes().len() as u64
        };
        let shares = Some((b"/usr/lib/debug/.dwz/both".to_vec(), vec![7; 20]));
        let debug = Elf { is_separate: true, alternate_link: shares, ..Elf::with_build_id(&[1; 20]) };
        let sizes = [
            put("bin/a", Elf::with_build_id(&[1; 20])),
            put(&format!("usr/lib/debug/.build-id/01/{}.debug", "01".repeat(19)), debug),
            put("usr/lib/debug/.dwz/both", Elf::with_build_id(&[7; 20])),
        ];
        let dso = Dso { build_id: Some(id(1)), ..Dso::new(HOST, DsoKind::File, "/bin/a".into()) };
        let all: u64 = sizes.iter().sum();
        for (limit, new) in [(all, 3), (all - 1, 2), (sizes[0], 1)] {
            let dir = tempfile::tempdir().unwrap();
            let store = || Store::open(&dir.path().join("store")).unwrap();
            let collector = Collector::start(store(), limit).unwrap();
            let symfs = Some(InRoot::open(root.path()).unwrap());
            let files = ObjectFiles::of_recording(SourceConfig { symfs, ..SourceConfig::default() });
            let mut chain = collector.chain(sources().0, files);
            assert!(chain.build_id(&dso, &Recording::default()).unwrap().is_some());
            let collected = collector.finish();
            assert_eq!((collected.new, collected.refused_count), (new, 3 - new));
            let there = [(1, FileRole::Elf), (1, FileRole::Debug), (7, FileRole::Alternate)];
            let there = there.into_iter().filter(|(byte, role)| store().contains(id(*byte), *role));
            assert_eq!(there.count() as u64, new);
        }
    }

    #[test]
    fn where_files_wait_none_is_refused_for_want_of_room() {
        let dir = tempfile::tempdir().unwrap();
        let collector = Collector::start(Store::open(&dir.path().join("store")).unwrap(), u64::MAX).unwrap();
        let collector = collector.waiting();
        let queue = collector.queue();
        for number in 0..u16::try_from(2 * QUEUED_AT_MOST).unwrap() {
            let bytes = [&number.to_le_bytes()[..], &[1; 18]].concat();
            let mut image = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut image, &Elf::with_build_id(&bytes).bytes()).unwrap();
            queue.file(format!("/jitted-{number}.so").as_str().into(), BuildId::new(&bytes).unwrap(), image);
        }
        let collected = collector.finish();
        assert_eq!((collected.new, collected.refused_count), (2 * QUEUED_AT_MOST as u64, 0));
    }

    #[test]
    fn a_stream_does_not_wait_for_copies() {
        let dir = tempfile::tempdir().unwrap();
        // Nobody takes anything out of it.
        let (sender, _jobs) = sync_channel(1);
        let queue = CollectQueue::new(sender);
        let (sources, files) = sources();
        let mut source = CollectingSource { sources, files, queue: queue.clone() };
        for byte in [1, 2] {
            assert!(source.build_id(&dso(dir.path(), byte), &Recording::default()).unwrap().is_some());
        }
        let refused = &queue.lock().refused;
        assert_eq!(refused.refused_count, 1);
        assert!(refused.refused[0].1.contains("does not wait"), "{refused:?}");
    }
}
