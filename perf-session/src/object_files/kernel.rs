//! What there is of the kernel: its symbols, its image, the files of its modules.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bstr::ByteSlice as _;
use perf_format::BuildId;

use super::{NoObjectFile, ObjectFile, ObjectFiles};
use crate::build_id::{
    BuildIdSource as _, ModuleSource, NoBuildId, Origin, WantedFile, by_build_id, kernel_images,
    module_files, open_regular, part_of_path, running_kernel,
};
use crate::dso::{Dso, DsoKind};
use crate::evidence::Proof;
use crate::limits::KALLSYMS_AT_MOST;
use crate::machine::HOST;
use crate::module_name::module_name;
use crate::recording::Recording;

/// The symbols of the recorded kernel.
#[derive(Debug)]
#[non_exhaustive]
pub struct KernelSymbols {
    /// Lines as `/proc/kallsyms` has them.
    pub text: Vec<u8>,
    /// The build-id of the kernel's image.
    pub build_id: BuildId,
    /// Where they were found: the running kernel, or a directory of files kept for their symbols.
    pub origin: Origin,
    /// Whether the symbols of modules were left out, which stand elsewhere in each boot: nothing shows that the recording is of
    /// this one.
    pub without_modules: bool,
}

/// What the running kernel says of its symbols.
const KALLSYMS: &str = "/proc/kallsyms";

/// The symbols of the running kernel, those of its modules included, if it has this build-id.
///
/// # Errors
/// Where it is another one, or hides its addresses.
pub fn running_kernel_symbols(id: BuildId) -> Result<Vec<u8>, NoObjectFile> {
    WantedFile::OfBuild(id).check(Some(running_kernel()?))?;
    let text = lines(File::open(KALLSYMS).map_err(NoBuildId::Io)?)?;
    if has_hidden_addresses(&text) { Err(NoObjectFile::HiddenAddresses) } else { Ok(text) }
}

impl ObjectFiles {
    /// The symbols of the kernel's image: those of the running kernel, if it is the recorded one, or those that perf's cache
    /// has of that build.
    ///
    /// # Errors
    /// Why there are none.
    pub fn kernel_symbols(&self, dso: &Dso, recording: &Recording) -> Result<KernelSymbols, NoObjectFile> {
        let recorded = self.kernel_id(dso)?;
        let refused = match self.running_symbols(recorded, recording) {
            Ok(symbols) => return Ok(symbols),
            Err(refused) => refused,
        };
        let Some(build_id) = recorded else { return Err(refused) };
        for dir in &self.debug_dirs {
            let Ok(file) = dir.open_regular(&by_build_id(build_id, "").join("kallsyms")) else { continue };
            let Ok(text) = lines(file) else { continue };
            if !has_hidden_addresses(&text) {
                let (origin, without_modules) = (Origin::DebugDir, false);
                return Ok(KernelSymbols { text, build_id, origin, without_modules });
            }
        }
        Err(refused)
    }

    /// The recorded id of the kernel's image, where the DSO is the host's.
    fn kernel_id(&self, dso: &Dso) -> Result<Option<BuildId>, NoObjectFile> {
        match dso {
            Dso { kind: DsoKind::Kernel, machine: HOST, .. } => Ok(self.known.id_of(dso).or(dso.build_id)),
            Dso { machine: HOST, .. } => Err(NoObjectFile::NotFound),
            _ => Err(NoBuildId::OtherMachine.into()),
        }
    }

    fn running_symbols(
        &self,
        recorded: Option<BuildId>,
        recording: &Recording,
    ) -> Result<KernelSymbols, NoObjectFile> {
        let running = running_kernel()?;
        if let Some(id) = recorded {
            WantedFile::OfBuild(id).check(Some(running))?;
        }
        let without_modules = match self.evidence.kernel(recording) {
            Ok(()) => false,
            // Only the id tells that it is this build, and where modules stood then nobody knows.
            Err(_) if recorded.is_some() => true,
            Err(refused) => return Err(refused.into()),
        };
        let mut text = running_kernel_symbols(running)?;
        if without_modules {
            text = text
                .lines_with_terminator()
                .filter(|line| !line.contains(&b'\t'))
                .flatten()
                .copied()
                .collect();
        }
        let build_id = recorded.unwrap_or(running);
        Ok(KernelSymbols { text, build_id, origin: Origin::Kernel, without_modules })
    }

    /// The image of the kernel (vmlinux) that has the recorded build-id, where debug packages and perf's cache have it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn kernel_image(&self, dso: &Dso, recording: &Recording) -> Result<ObjectFile, NoObjectFile> {
        let Some(id) = self.kernel_id(dso)? else { return Err(NoObjectFile::NotFound) };
        let cached = by_build_id(id, "").join("elf");
        let kept = self
            .debug_dirs
            .iter()
            .filter_map(|dir| Some((dir.open_regular(&cached).ok()?, Origin::DebugDir)));
        let named = dso.kernel_file.iter().map(|name| PathBuf::from(OsStr::from_bytes(name)));
        let of_release = recording.release.iter().flat_map(|release| kernel_images(release.as_bstr()));
        let by_id = Path::new("/usr/lib/debug").join(by_build_id(id, ".debug"));
        let by_name = named.chain([by_id]).chain(of_release).filter(|path| path.is_absolute());
        let here = by_name.filter_map(|path| self.open_in_system(&path));
        for (file, origin) in kept.chain(here) {
            if self.cache.notes_in(&file, WantedFile::OfBuild(id)).is_ok() {
                return Ok(ObjectFile::of(file, Some(id), origin, Proof::Proven));
            }
        }
        Err(NoObjectFile::NotFound)
    }

    /// A file of the recorded system: of this machine, or below the directory that stands for it.
    fn open_in_system(&self, path: &Path) -> Option<(File, Origin)> {
        match &self.symfs {
            Some(symfs) => Some((symfs.open_regular(path).ok()?, Origin::Symfs)),
            None => Some((open_regular(path).ok()?, Origin::File)),
        }
    }

    /// The file of a module of the kernel, which may be packed: the one that has the recorded build-id, or that of the loaded
    /// module where the recording is of this boot. Below the directory that stands for the recorded machine it is one of its name
    /// where the recording has no id.
    ///
    /// # Errors
    /// Why there is none.
    pub fn module(&self, dso: &Dso, recording: &Recording) -> Result<ObjectFile, NoObjectFile> {
        if dso.machine != HOST {
            return Err(NoBuildId::OtherMachine.into());
        }
        let recorded = self.known.id_of(dso).or(dso.build_id.filter(|_| !dso.shares_id));
        let loaded = || ModuleSource::new(self.evidence.clone()).build_id(dso, recording);
        let wanted = match (recorded, &self.symfs) {
            (Some(id), _) => WantedFile::OfBuild(id),
            (None, Some(_)) => WantedFile::WithId,
            (None, None) => WantedFile::OfBuild(loaded()?.ok_or(NoObjectFile::NotFound)?.build_id),
        };
        let kept = self.debug_dirs.iter().filter_map(|dir| {
            let WantedFile::OfBuild(id) = wanted else { return None };
            Some((dir.open_regular(&by_build_id(id, "").join("elf")).ok()?, Origin::DebugDir))
        });
        let candidates = self.module_candidates(dso, recording);
        if !wanted.proves() && candidates.len() > 1 {
            return Err(NoBuildId::Ambiguous(candidates.len()).into());
        }
        let here = candidates.iter().filter_map(|path| self.open_in_system(path));
        let mut reason = NoObjectFile::NotFound;
        for (file, origin) in here.chain(kept) {
            let object = self.cache.notes_in(&file, wanted).and_then(|notes| {
                let proof = self.evidence.copy(dso, &notes.layout, wanted, recording)?;
                let id = if let WantedFile::OfBuild(id) = wanted { Some(id) } else { notes.build_id };
                Ok(ObjectFile::of(file, id, origin, proof))
            });
            match object {
                Ok(object) => return Ok(object),
                Err(error) => reason = error.into(),
            }
        }
        Err(reason)
    }

    /// The files that a module may be in: the one of its name, and those of its module's name below the recorded kernel's
    /// modules.
    fn module_candidates(&self, dso: &Dso, recording: &Recording) -> Vec<PathBuf> {
        let own = Path::new(OsStr::from_bytes(&dso.name));
        if own.is_absolute() {
            return vec![own.to_owned()];
        }
        let release = recording.release.as_ref().and_then(|release| part_of_path(release.as_bstr()));
        let (Some(name), Some(release)) = (module_name(dso.name.as_bstr()), release) else {
            return Vec::new();
        };
        let folder = Path::new("/lib/modules").join(release);
        let mut files = match &self.symfs {
            Some(symfs) => symfs.files_below(&folder),
            None => module_files(&folder),
        };
        files.retain(|file| module_name(file.as_os_str().as_bytes().as_bstr()).as_ref() == Some(&name));
        files.sort();
        files
    }
}

fn lines(file: File) -> Result<Vec<u8>, NoObjectFile> {
    let mut text = Vec::new();
    file.take(KALLSYMS_AT_MOST).read_to_end(&mut text).map_err(NoBuildId::Io)?;
    if text.is_empty() { Err(NoObjectFile::NotFound) } else { Ok(text) }
}

/// Whether all addresses are 0, which is what the kernel shows to those who may not see them.
fn has_hidden_addresses(kallsyms: &[u8]) -> bool {
    kallsyms.lines().all(|line| line.iter().take_while(|byte| **byte != b' ').all(|digit| *digit == b'0'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::build_id::{InRoot, SourceConfig};
    use crate::object_files::ObjectImage;
    use crate::testing::Elf;

    const SYMBOLS: &str = "0000000000000000 A fixed\nffffffff81000000 T _stext\n";

    fn id(byte: u8) -> BuildId {
        BuildId::new(&[byte; 20]).expect("an id")
    }

    fn dso(kind: DsoKind, name: &str, id: Option<BuildId>) -> Dso {
        Dso { build_id: id, ..Dso::new(HOST, kind, name.into()) }
    }

    fn files(debug_dirs: Vec<InRoot>) -> ObjectFiles {
        ObjectFiles::of_recording(SourceConfig { debug_dirs, ..SourceConfig::default() })
    }

    /// A directory in perf's layout with a file of a build.
    fn cache(of: u8, name: &str, contents: &[u8]) -> (tempfile::TempDir, InRoot) {
        let dir = tempfile::tempdir().expect("a directory");
        let build = dir.path().join(by_build_id(id(of), ""));
        fs::create_dir_all(&build).expect("made");
        fs::write(build.join(name), contents).expect("written");
        let root = InRoot::open(dir.path()).expect("there");
        (dir, root)
    }

    #[test]
    fn addresses_that_are_all_zero_are_hidden_ones() {
        assert!(has_hidden_addresses(b"0000000000000000 T _text\n0000000000000000 t a\t[ext4]\n"));
        assert!(has_hidden_addresses(b""));
        // The first symbols are offsets of variables of a CPU.
        assert!(!has_hidden_addresses(SYMBOLS.as_bytes()));
    }

    #[test]
    fn the_symbols_of_another_build_are_those_that_a_directory_keeps_for_it() {
        let kernel = dso(DsoKind::Kernel, "[kernel.kallsyms]", Some(id(1)));
        let recording = Recording::default();
        assert!(files(Vec::new()).kernel_symbols(&kernel, &recording).is_err());
        let (_other, other) = cache(2, "kallsyms", SYMBOLS.as_bytes());
        assert!(files(vec![other]).kernel_symbols(&kernel, &recording).is_err());
        let (_hidden, hidden) = cache(1, "kallsyms", b"0000000000000000 T _text\n");
        let (_dir, dir) = cache(1, "kallsyms", SYMBOLS.as_bytes());
        let found = files(vec![hidden, dir]).kernel_symbols(&kernel, &recording).expect("found");
        assert_eq!((found.text.as_slice(), found.build_id), (SYMBOLS.as_bytes(), id(1)));
        assert_eq!((found.origin, found.without_modules), (Origin::DebugDir, false));
    }

    #[test]
    fn a_running_kernel_of_the_recorded_build_gives_its_symbols_and_those_of_modules_only_for_this_boot() {
        let Ok(running) = running_kernel() else { return };
        let kernel = dso(DsoKind::Kernel, "[kernel.kallsyms]", Some(running));
        // Nothing shows that the recording is of this boot.
        match files(Vec::new()).kernel_symbols(&kernel, &Recording::default()) {
            Ok(found) => {
                assert!(found.without_modules && !found.text.contains(&b'\t'));
                assert_eq!((found.build_id, found.origin), (running, Origin::Kernel));
            }
            Err(error) => assert!(matches!(error, NoObjectFile::HiddenAddresses), "{error}"),
        }
        let unknown = dso(DsoKind::Kernel, "[kernel.kallsyms]", None);
        assert!(files(Vec::new()).kernel_symbols(&unknown, &Recording::default()).is_err());
        let guest = Dso { machine: 7, ..kernel };
        assert!(files(Vec::new()).kernel_symbols(&guest, &Recording::default()).is_err());
    }

    #[test]
    fn a_module_and_an_image_are_found_by_their_ids_alone() {
        let recording = Recording::default();
        let (dir, root) = cache(1, "elf", &Elf::with_build_id(&[1; 20]).bytes());
        let path = dir.path().join("nf-nat.ko");
        fs::write(&path, Elf::with_build_id(&[2; 20]).bytes()).expect("written");
        let path = path.to_str().expect("text");
        let files = files(vec![root]);
        for (name, byte, origin) in
            [("[nf_nat]", 1, Origin::DebugDir), (path, 1, Origin::DebugDir), (path, 2, Origin::File)]
        {
            let found = files.module(&dso(DsoKind::Module, name, Some(id(byte))), &recording).expect("found");
            assert_eq!((found.build_id, found.origin), (Some(id(byte)), origin), "{name}");
            assert!(matches!(found.image, ObjectImage::File(_)));
        }
        assert!(files.module(&dso(DsoKind::Module, path, Some(id(3))), &recording).is_err());
        assert!(files.module(&dso(DsoKind::Module, "[nf_nat]", None), &recording).is_err());
        let kernel = |byte| dso(DsoKind::Kernel, "[kernel.kallsyms]", Some(id(byte)));
        assert!(files.kernel_image(&kernel(1), &recording).is_ok());
        assert!(files.kernel_image(&kernel(3), &recording).is_err());
    }

    #[test]
    fn below_a_symfs_are_the_only_modules_and_images() {
        let root = tempfile::tempdir().expect("a directory");
        let put = |name: &str, byte: u8| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, Elf::with_build_id(&[byte; 20]).bytes()).expect("written");
        };
        // A merged /usr, as systems have it, and links that lead elsewhere.
        std::os::unix::fs::symlink("usr/lib", root.path().join("lib")).expect("linked");
        put("usr/lib/modules/6.1-x/kernel/net/nf-nat.ko", 1);
        put("usr/lib/modules/6.1-x/kernel/net/other.ko", 2);
        put("usr/lib/modules/6.2/kernel/net/nf_nat.ko", 3);
        put("boot/vmlinux-6.1-x", 4);
        let modules = root.path().join("usr/lib/modules/6.1-x");
        std::os::unix::fs::symlink("..", modules.join("up")).expect("linked");
        std::os::unix::fs::symlink("/", modules.join("build")).expect("linked");
        let symfs = Some(InRoot::open(root.path()).expect("there"));
        let files = ObjectFiles::of_recording(SourceConfig { symfs, ..SourceConfig::default() });
        let of_release = |release: &str| Recording { release: Some(release.into()), ..Recording::default() };
        let recording = of_release("6.1-x");
        let found = |name: &str, byte: Option<u8>| {
            let module = files.module(&dso(DsoKind::Module, name, byte.map(id)), &recording);
            module.ok().map(|found| (found.build_id, found.origin, found.unproven.is_some()))
        };
        let path = "/lib/modules/6.1-x/kernel/net/nf-nat.ko";
        for name in ["[nf_nat]", path] {
            assert_eq!(found(name, Some(1)), Some((Some(id(1)), Origin::Symfs, false)), "{name}");
            assert_eq!(found(name, Some(3)), None, "{name} is another build");
            assert_eq!(found(name, None), Some((Some(id(1)), Origin::Symfs, true)), "{name}");
        }
        put("usr/lib/modules/6.1-x/updates/nf_nat.ko", 5);
        assert_eq!(found("[nf_nat]", None), None, "any of two");
        assert_eq!(found("[nf_nat]", Some(5)), Some((Some(id(5)), Origin::Symfs, false)));
        let kernel = |byte| dso(DsoKind::Kernel, "[kernel.kallsyms]", Some(id(byte)));
        let image = files.kernel_image(&kernel(4), &recording).expect("found");
        assert_eq!(image.origin, Origin::Symfs);
        assert!(files.kernel_image(&kernel(1), &recording).is_err());
        let elsewhere = of_release("../modules/6.1-x");
        assert!(files.module(&dso(DsoKind::Module, "[nf_nat]", Some(id(1))), &elsewhere).is_err());
    }
}
