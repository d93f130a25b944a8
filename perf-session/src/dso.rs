//! DSOs: the files and images that are mapped, each once for each machine.

use bstr::{BStr, BString, ByteSlice as _};
use hashbrown::{Equivalent, HashMap};
use perf_format::record::{Inode, MapFile};
use perf_format::{BuildId, CpuMode};

use crate::module_name::module_name;

/// The number of a machine, as BUILD_ID records have it: -1 the host ([`HOST`](crate::machine::HOST)), 0 a guest that is
/// not named ([`DEFAULT_GUEST`](crate::machine::DEFAULT_GUEST)), otherwise the pid of the guest's process on the host.
pub type MachinePid = i32;

/// The number of a DSO in its session: [`Session::dso`](crate::Session::dso) has the DSO, [`PerDso`] is a table by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DsoId(u32);

impl DsoId {
    /// A number for tables, counted from 0.
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The kind of a DSO, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DsoKind {
    /// The kernel's image, `[kernel.kallsyms]`.
    Kernel,
    /// A kernel module: a path, or a name in brackets.
    Module,
    /// The code that the kernel maps into every process.
    Vdso,
    /// A file.
    File,
    /// Anonymous memory, which has no file and so no build-id.
    Anonymous,
}

impl DsoKind {
    /// Whether it is code of the kernel.
    #[must_use]
    pub fn is_kernel(self) -> bool {
        matches!(self, Self::Kernel | Self::Module)
    }

    /// The kind of the DSO that a process maps, by its name.
    #[must_use]
    pub fn of_user_map(name: &BStr) -> Self {
        match name.as_bytes() {
            b"[vdso]" | b"[vdso32]" | b"[vdsox32]" => Self::Vdso,
            b"//anon" => Self::Anonymous,
            name if ANONYMOUS.iter().any(|prefix| name.starts_with(prefix)) => Self::Anonymous,
            _ => Self::File,
        }
    }

    /// The kind of the DSO that a BUILD_ID record or an entry of a file's table names; `None` in modes that have no DSOs.
    /// What is the kernel's and no module is its image, whatever it is called: `perf record` writes the path of the
    /// vmlinux that it found in the place of `[kernel.kallsyms]`.
    #[must_use]
    pub(crate) fn of_build_id(mode: CpuMode, name: &BStr) -> Option<Self> {
        match mode {
            CpuMode::Kernel | CpuMode::GuestKernel if is_module(name) => Some(Self::Module),
            CpuMode::Kernel | CpuMode::GuestKernel => Some(Self::Kernel),
            CpuMode::User | CpuMode::GuestUser => Some(Self::of_user_map(name)),
            CpuMode::Unknown | CpuMode::Hypervisor => None,
        }
    }
}

/// Whether code of the kernel with that name is a module: in brackets, or a file `.ko`, which may be packed. Programs of
/// BPF are not the kernel's image either.
fn is_module(name: &BStr) -> bool {
    let base = name.rsplit_str("/").next().unwrap_or_default().as_bstr();
    let is_object = |end: &[u8]| matches!(end, b"" | b".gz" | b".xz" | b".zst" | b".bz2" | b".lzma");
    match base.first() {
        Some(b'[') => kernel_name(base).is_none(),
        _ => base.starts_with(b"bpf_") || base.rsplit_once_str(".ko").is_some_and(|(_, end)| is_object(end)),
    }
}

/// The starts of the names of anonymous maps. Files have paths: what is in brackets is none, or the vdso.
const ANONYMOUS: [&[u8]; 4] = [b"[", b"/SYSV", b"/dev/zero", b"/anon_hugepage"];

/// Whether perf names executable memory with that name after the file in which its runtime may leave symbols. Memory that
/// a process named itself (`[anon:v8]`, by `PR_SET_VMA_ANON_NAME`) keeps its name, as does the kernel's (`[vsyscall]`).
#[must_use]
pub(crate) fn has_perf_map(name: &BStr) -> bool {
    let starts: [&[u8]; 4] = [b"[stack", b"/SYSV", b"/dev/zero", b"/anon_hugepage"];
    name == "//anon" || name == "[heap]" || starts.iter().any(|start| name.starts_with(start))
}

/// The kernel's image, whatever symbol its map's name ends with: `[kernel.kallsyms]_text`,
/// `[guest.kernel.kallsyms.1234]_stext`. `None` for other names.
#[must_use]
pub fn kernel_name(name: &BStr) -> Option<&BStr> {
    if !name.starts_with(b"[kernel.kallsyms") && !name.starts_with(b"[guest.kernel.kallsyms") {
        return None;
    }
    let end = name.find_byte(b']')?;
    name.get(..=end).map(BStr::new)
}

/// A file or an image that is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dso {
    /// The machine it is on.
    pub machine: MachinePid,
    /// Its kind.
    pub kind: DsoKind,
    /// Its name (perf's long name): a path, or a name in brackets.
    pub name: BString,
    /// The device and inode that its first map recorded; `None` where MMAP2 records have build-ids in their place.
    pub inode: Option<Inode>,
    /// The build-id of its first MMAP2 record that has one.
    pub mapped_id: Option<BuildId>,
    /// When it was first mapped, in ns of the recording's clock, or 0 for before the recording; `None` where the
    /// recording has no times.
    pub mapped_at: Option<u64>,
    /// The first map of it in a process, an executable one if there is any; `None` where the kernel maps it, or the process
    /// is not known.
    pub mapped_by: Option<MappedBy>,
    /// The build-id that the recording carries for it, wherever: where nothing does, [sources](crate::build_id) may find
    /// one.
    pub build_id: Option<BuildId>,
    /// The file under whose name the recording carries the kernel's id (`/usr/lib/debug/boot/vmlinux-6.1`), if it does.
    pub kernel_file: Option<BString>,
    /// Whether the recording carries the same id for another module, too: then at most one of them
    /// has it.
    pub shares_id: bool,
    /// The first DSO of this name on its machine, where this one is another file: a program that was built again while it
    /// was recorded, or one in a container. BUILD_ID records, which have names alone, mean the first.
    pub namesake_of: Option<DsoId>,
}

/// The map by which a process has a DSO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedBy {
    /// The process.
    pub pid: i32,
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Where in the file the first address is, in bytes.
    pub pgoff: u64,
    /// Whether it may be executed.
    pub is_exec: bool,
    /// The process with a known root ([`Session::roots`](crate::Session::roots)) that it is or descends from.
    pub root: Option<i32>,
}

impl Dso {
    /// Whether nothing shows that it is another file than the one with this identity.
    fn may_be(&self, identity: FileIdentity) -> bool {
        let own = match identity {
            FileIdentity::Inode { .. } => {
                self.inode.and_then(|inode| FileIdentity::of(MapFile::Inode(inode)))
            }
            FileIdentity::Build(_) => self.mapped_id.map(FileIdentity::Build),
        };
        own.is_none_or(|own| own.may_be(identity))
    }

    /// A DSO of which the name alone is known.
    #[must_use]
    pub fn new(machine: MachinePid, kind: DsoKind, name: &BStr) -> Self {
        let name = name.to_owned();
        Self {
            machine,
            kind,
            name,
            inode: None,
            mapped_id: None,
            mapped_at: None,
            mapped_by: None,
            build_id: None,
            kernel_file: None,
            shares_id: false,
            namesake_of: None,
        }
    }
}

/// The DSOs of a session. A DSO is identified by its machine, whether it is the kernel's, and its name, which is all
/// that a BUILD_ID record has. Files of one name are distinguished where their maps have inodes or build-ids. A module
/// is one DSO, whether it is named by its file or in brackets; what is in brackets is one DSO in the kernel's mode and in
/// that of users, since old versions of perf (4.4) write modules in the latter.
#[derive(Debug, Default)]
pub struct Dsos {
    all: Vec<Dso>,
    by_name: HashMap<(MachinePid, bool, BString), DsoId>,
    namesakes: HashMap<(DsoId, FileIdentity), DsoId>,
}

/// The key of a DSO with a borrowed name: every map looks one up.
#[derive(Hash)]
struct DsoKey<'n> {
    machine: MachinePid,
    is_kernel: bool,
    name: &'n BStr,
}

impl Equivalent<(MachinePid, bool, BString)> for DsoKey<'_> {
    fn equivalent(&self, (machine, is_kernel, name): &(MachinePid, bool, BString)) -> bool {
        self.machine == *machine && self.is_kernel == *is_kernel && self.name == name.as_bstr()
    }
}

/// What identifies a file among those of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum FileIdentity {
    /// A generation of 0 is one that is not known: that of maps from before the recording.
    Inode {
        maj: u32,
        min: u32,
        ino: u64,
        generation: u64,
    },
    Build(BuildId),
}

/// Whether a device can have these numbers: Linux has 12 and 20 bits for them. Recorders that leave the fields of an MMAP2
/// record as they were in memory (simpleperf, in those that it makes up) write numbers that none has.
pub(crate) fn is_of_a_device(inode: &Inode) -> bool {
    inode.maj < 1 << 12 && inode.min < 1 << 20
}

impl FileIdentity {
    /// The identity in a map's record.
    fn of(file: MapFile) -> Option<Self> {
        match file {
            MapFile::Inode(Inode { ino: 0, .. }) | MapFile::BuildId(None) => None,
            MapFile::Inode(Inode { maj, min, ino, ino_generation }) => {
                Some(Self::Inode { maj, min, ino, generation: ino_generation })
            }
            MapFile::BuildId(Some(id)) => Some(Self::Build(id)),
        }
    }

    /// The same without the generation: a program that is built again often gets the inode number of the deleted one.
    fn of_any_generation(self) -> Self {
        match self {
            Self::Inode { maj, min, ino, .. } => Self::Inode { maj, min, ino, generation: 0 },
            Self::Build(_) => self,
        }
    }

    /// Whether both may be one file.
    fn may_be(self, other: Self) -> bool {
        let is_known = self != self.of_any_generation() && other != other.of_any_generation();
        if is_known { self == other } else { self.of_any_generation() == other.of_any_generation() }
    }
}

impl Dsos {
    /// The first DSO of that name, made if it is new.
    pub(crate) fn find_or_create(&mut self, machine: MachinePid, kind: DsoKind, name: &BStr) -> DsoId {
        let in_brackets = in_brackets(kind, name);
        let named = in_brackets.as_ref().map_or(name, |name| name.as_bstr());
        let is_kernel = kind.is_kernel() || named.starts_with(b"[");
        if let Some(known) = self.by_name.get(&DsoKey { machine, is_kernel, name: named }) {
            if let Some(dso) = self.all.get_mut(known.index()).filter(|dso| dso.kind == DsoKind::Anonymous) {
                dso.kind = kind;
            }
            return *known;
        }
        let id = push(&mut self.all, Dso::new(machine, kind, name));
        self.by_name.insert((machine, is_kernel, named.to_owned()), id);
        id
    }

    /// The DSO of that name and file, as far as the map identifies the file; made if it is new. Where the map does not
    /// show that the file is the first of its name, `continued` says whether it is the one that is mapped just before it.
    pub(crate) fn find_or_create_file(
        &mut self,
        machine: MachinePid,
        kind: DsoKind,
        name: &BStr,
        file: MapFile,
        continued: impl FnOnce(&Self) -> Option<DsoId>,
    ) -> DsoId {
        let first = self.find_or_create(machine, kind, name);
        if kind != DsoKind::File {
            return first;
        }
        let Some(identity) = FileIdentity::of(file) else {
            let is_alone = self.namesakes.is_empty();
            return if is_alone { first } else { continued(self).unwrap_or(first) };
        };
        if self.get(first).is_none_or(|dso| dso.may_be(identity)) {
            return first;
        }
        if let Some(before) = continued(self) {
            return before;
        }
        if let Some(known) = self.namesakes.get(&(first, identity)) {
            return *known;
        }
        let any_generation = (first, identity.of_any_generation());
        let alike = self.namesakes.get(&any_generation).copied();
        let id = match alike.filter(|alike| self.get(*alike).is_some_and(|dso| dso.may_be(identity))) {
            Some(alike) => alike,
            None => push(&mut self.all, Dso { namesake_of: Some(first), ..Dso::new(machine, kind, name) }),
        };
        self.namesakes.insert((first, identity), id);
        self.namesakes.entry(any_generation).or_insert(id);
        id
    }

    /// The DSO of a number; `None` where the number is of another session.
    #[must_use]
    pub fn get(&self, id: DsoId) -> Option<&Dso> {
        self.all.get(id.index())
    }

    /// Notes the inode that a map of a DSO recorded. That of the first map counts, and the first generation that is known.
    pub(crate) fn note_inode(&mut self, id: DsoId, inode: Inode) {
        let Some(dso) = self.get_mut(id).filter(|_| inode.ino != 0) else { return };
        let known = dso.inode.get_or_insert(inode);
        if known.ino_generation == 0 && *known == (Inode { ino_generation: 0, ..inode }) {
            *known = inode;
        }
    }

    pub(crate) fn get_mut(&mut self, id: DsoId) -> Option<&mut Dso> {
        self.all.get_mut(id.index())
    }

    /// All DSOs, in the order in which they first appeared.
    pub fn iter(&self) -> impl Iterator<Item = (DsoId, &Dso)> {
        (0..).map(DsoId).zip(&self.all)
    }
}

/// The name in brackets of a module that is named in another way; a `-` in it is a `_`.
fn in_brackets(kind: DsoKind, name: &BStr) -> Option<BString> {
    let may_be = match name.first() {
        Some(b'[') => name.contains(&b'-'),
        _ => kind == DsoKind::Module,
    };
    may_be.then(|| module_name(name)).flatten().map(|module| format!("[{module}]").into())
}

fn push(all: &mut Vec<Dso>, dso: Dso) -> DsoId {
    let id = DsoId(u32::try_from(all.len()).unwrap_or(u32::MAX));
    all.push(dso);
    id
}

/// A table with a value for each DSO: counts, marks.
#[derive(Debug, Clone)]
pub struct PerDso<T> {
    notes: Vec<T>,
}

impl<T> Default for PerDso<T> {
    fn default() -> Self {
        Self { notes: Vec::new() }
    }
}

impl<T> PerDso<T> {
    /// All values that were touched.
    pub fn iter(&self) -> impl Iterator<Item = (DsoId, &T)> {
        (0..).map(DsoId).zip(&self.notes)
    }
}

impl<T: Default> PerDso<T> {
    /// The value of a DSO, to read or change it; at first the default.
    #[expect(clippy::indexing_slicing, reason = "the table was made long enough a line before")]
    pub fn of(&mut self, dso: DsoId) -> &mut T {
        if self.notes.len() <= dso.index() {
            self.notes.resize_with(dso.index() + 1, T::default);
        }
        &mut self.notes[dso.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_map_is_of() {
        let kinds = [
            ("/usr/lib/libc.so.6", DsoKind::File),
            ("/memfd:jit (deleted)", DsoKind::File),
            ("[vdso]", DsoKind::Vdso),
            ("//anon", DsoKind::Anonymous),
            ("[heap]", DsoKind::Anonymous),
            ("[stack:12]", DsoKind::Anonymous),
            ("/SYSV0000 (deleted)", DsoKind::Anonymous),
            ("/dev/zero (deleted)", DsoKind::Anonymous),
            ("/anon_hugepage (deleted)", DsoKind::Anonymous),
            ("[anon:code]", DsoKind::Anonymous),
            ("[vvar]", DsoKind::Anonymous),
            // Old versions of simpleperf cut names at the first blank.
            ("[anon:dalvik-main", DsoKind::Anonymous),
            ("/dev/zero", DsoKind::Anonymous),
        ];
        for (name, kind) in kinds {
            assert_eq!(DsoKind::of_user_map(name.into()), kind, "{name}");
        }
    }

    #[test]
    fn files_of_one_name_are_told_apart_where_their_maps_tell() {
        let mut dsos = Dsos::default();
        let mut of = |file: MapFile| {
            let id = dsos.find_or_create_file(-1, DsoKind::File, "/bin/a".into(), file, |_| None);
            match file {
                MapFile::Inode(inode) => dsos.note_inode(id, inode),
                MapFile::BuildId(mapped) => {
                    let dso = dsos.get_mut(id).unwrap();
                    dso.mapped_id = dso.mapped_id.or(mapped);
                }
            }
            id
        };
        let of_generation =
            |ino, ino_generation| MapFile::Inode(Inode { ino, ino_generation, ..Inode::default() });
        let inode = |ino| of_generation(ino, 0);
        let build = |byte| MapFile::BuildId(BuildId::new(&[byte]).ok());
        let first = of(inode(0));
        assert_eq!([of(inode(7)), of(inode(7)), of(inode(0)), of(MapFile::BuildId(None))], [first; 4]);
        let other = of(inode(8));
        assert_ne!(other, first);
        assert_eq!(of(inode(8)), other);
        // A program that is built again often gets the inode number of the deleted one.
        assert_eq!([of(of_generation(7, 3)), of(of_generation(7, 3)), of(inode(7))], [first; 3]);
        let rebuilt = of(of_generation(7, 4));
        assert_ne!(rebuilt, first);
        assert_eq!(of(of_generation(7, 4)), rebuilt);
        assert_eq!([of(of_generation(8, 5)), of(inode(8))], [other; 2]);
        assert_ne!(of(of_generation(8, 6)), other);
        assert_eq!(of(build(1)), first, "nothing says that it is another");
        assert_ne!(of(build(2)), first);
        assert_eq!(dsos.get(other).unwrap().namesake_of, Some(first));
    }

    #[test]
    fn the_kernel_has_one_name_whatever_symbol_its_map_names() {
        for name in ["[kernel.kallsyms]_text", "[kernel.kallsyms]_stext", "[kernel.kallsyms]"] {
            assert_eq!(kernel_name(name.into()), Some("[kernel.kallsyms]".into()));
        }
        assert_eq!(
            kernel_name("[guest.kernel.kallsyms.12]_text".into()),
            Some("[guest.kernel.kallsyms.12]".into())
        );
        assert_eq!(kernel_name("[kernel.kallsyms".into()), None);
        assert_eq!(kernel_name("[ext4]".into()), None);
    }

    #[test]
    fn what_has_an_id_in_the_kernel_and_is_no_module_is_its_image() {
        for name in [
            "[kernel.kallsyms]",
            "[kernel.kallsyms]_text",
            "[guest.kernel.kallsyms.12]",
            "/lib/modules/5.15.0-91-generic/build/vmlinux",
            "/usr/lib/debug/boot/vmlinux-6.1.0-13-amd64",
            "/usr/lib/debug/lib/modules/4.18.0-348.el8.x86_64/vmlinux",
            "/boot/vmlinux-4.0.komodo",
            "/proc/kcore",
            "vmlinux",
        ] {
            assert_eq!(DsoKind::of_build_id(CpuMode::Kernel, name.into()), Some(DsoKind::Kernel), "{name}");
            assert_eq!(
                DsoKind::of_build_id(CpuMode::GuestKernel, name.into()),
                Some(DsoKind::Kernel),
                "{name}"
            );
        }
        for name in [
            "[ext4]",
            "[kernel.vmlinux]",
            "/lib/modules/6.1/x/nf-nat.ko",
            "x.ko.xz",
            "bpf_prog_6deef7357e7b4530",
        ] {
            assert_eq!(DsoKind::of_build_id(CpuMode::Kernel, name.into()), Some(DsoKind::Module), "{name}");
        }
        for (name, kind) in [
            ("/boot/vmlinux", DsoKind::File),
            ("/tmp/x.ko", DsoKind::File),
            ("/usr/bin/bpf_tool", DsoKind::File),
            ("[vdso]", DsoKind::Vdso),
        ] {
            assert_eq!(DsoKind::of_build_id(CpuMode::User, name.into()), Some(kind), "{name}");
        }
        assert_eq!(DsoKind::of_build_id(CpuMode::Hypervisor, "[kernel.kallsyms]".into()), None);
    }
}
