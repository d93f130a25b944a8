//! DSOs: the files and images that maps are of, each once a machine.

use bstr::{BStr, BString, ByteSlice as _};
use hashbrown::HashMap;
use perf_format::BuildId;
use perf_format::record::Inode;

/// A machine: -1 the host, 0 a guest that nobody named, a guest's own pid otherwise.
pub type MachinePid = i32;

/// Which DSO of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DsoId(u32);

impl DsoId {
    /// A number for tables, counted from 0.
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a DSO is, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DsoKind {
    /// The kernel's image, `[kernel.kallsyms]`.
    Kernel,
    /// A kernel module: a path, or a name in brackets.
    Module,
    /// The code that the kernel maps into every process.
    Vdso,
    /// A file.
    File,
    /// Memory that is of no file: it has no build-id and never will.
    NoDso,
}

impl DsoKind {
    /// Whether the kernel runs it.
    #[must_use]
    pub fn is_kernel(self) -> bool {
        matches!(self, Self::Kernel | Self::Module)
    }

    /// What a map of a process is of, by its name.
    #[must_use]
    pub fn of_user_map(name: &BStr) -> Self {
        match name.as_bytes() {
            b"[vdso]" | b"[vdso32]" | b"[vdsox32]" => Self::Vdso,
            b"//anon" | b"[heap]" => Self::NoDso,
            name if NO_DSO.iter().any(|prefix| name.starts_with(prefix)) => Self::NoDso,
            _ => Self::File,
        }
    }
}

/// What the names of maps that are of no file start with.
const NO_DSO: [&[u8]; 7] =
    [b"[stack", b"/SYSV", b"/dev/zero", b"/anon_hugepage", b"[anon:", b"[vsyscall]", b"[uprobes]"];

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

/// A file or an image that maps are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dso {
    /// The machine it is on.
    pub machine: MachinePid,
    /// What it is.
    pub kind: DsoKind,
    /// Its long name: a path, or a name in brackets.
    pub name: BString,
    /// Which file of that name it was, as its first map told.
    pub inode: Option<Inode>,
    /// When it was first mapped, in ns of the recording's clock; `None` where that is not known.
    pub mapped_at: Option<u64>,
    /// Who first mapped it, and where; `None` for what the kernel maps.
    pub mapped_by: Option<MappedBy>,
    /// Where the kernel's reference symbol was, as its map told; `None` where it did not.
    pub reference: Option<u64>,
    /// The id that the recording itself carries for it.
    pub build_id: Option<BuildId>,
}

/// A map of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedBy {
    /// The process.
    pub pid: i32,
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
}

impl Dso {
    /// A DSO of which nothing but its name is known.
    #[must_use]
    pub fn new(machine: MachinePid, kind: DsoKind, name: &BStr) -> Self {
        let name = name.to_owned();
        Self {
            machine,
            kind,
            name,
            inode: None,
            mapped_at: None,
            mapped_by: None,
            reference: None,
            build_id: None,
        }
    }
}

/// The DSOs of a session. A DSO is known by its machine, whether it is the kernel's, and its name: that is all
/// that a BUILD_ID record says of it.
#[derive(Debug, Default)]
pub struct Dsos {
    all: Vec<Dso>,
    by_name: HashMap<(MachinePid, bool, BString), DsoId>,
}

impl Dsos {
    /// The DSO of that name, made if it is new.
    pub fn find_or_create(&mut self, machine: MachinePid, kind: DsoKind, name: &BStr) -> DsoId {
        let key = (machine, kind.is_kernel(), name.to_owned());
        *self.by_name.entry(key).or_insert_with(|| {
            let id = DsoId(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
            self.all.push(Dso::new(machine, kind, name));
            id
        })
    }

    /// A DSO.
    #[must_use]
    pub fn get(&self, id: DsoId) -> Option<&Dso> {
        self.all.get(id.index())
    }

    pub(crate) fn get_mut(&mut self, id: DsoId) -> Option<&mut Dso> {
        self.all.get_mut(id.index())
    }

    /// All of them, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (DsoId, &Dso)> {
        (0..).map(DsoId).zip(&self.all)
    }
}

/// Something that a tool notes of each DSO.
#[derive(Debug, Clone)]
pub struct PerDso<T> {
    notes: Vec<T>,
}

impl<T> Default for PerDso<T> {
    fn default() -> Self {
        Self { notes: Vec::new() }
    }
}

impl<T: Default> PerDso<T> {
    /// What is noted of a DSO; the default until something is.
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
            ("//anon", DsoKind::NoDso),
            ("[heap]", DsoKind::NoDso),
            ("[stack:12]", DsoKind::NoDso),
            ("/SYSV0000 (deleted)", DsoKind::NoDso),
            ("/dev/zero (deleted)", DsoKind::NoDso),
            ("/anon_hugepage (deleted)", DsoKind::NoDso),
            ("[anon:code]", DsoKind::NoDso),
        ];
        for (name, kind) in kinds {
            assert_eq!(DsoKind::of_user_map(name.into()), kind, "{name}");
        }
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
}
