//! Where things are in a store and in a bundle: the layout of perf's buildid-cache (`~/.debug`), in which
//! `.build-id/xx/yyyy` is a link to `PATH/ID`, and that a folder with the files of one build.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use bstr::BStr;
use perf_format::BuildId;

use crate::limits::{COMPONENT_AT_MOST, NAME_AT_MOST};

/// The recording's name in a bundle.
pub const RECORDING_NAME: &str = "perf.data";
/// The manifest's name in a bundle.
pub(crate) const MANIFEST_NAME: &str = "manifest.json";
/// The folder of links by build-ids.
pub(crate) const BUILD_ID_DIR: &str = ".build-id";
/// The folder in a bundle in which files have their own names, for `perf report --symfs`.
pub const SYMFS_DIR: &str = ".symfs";
/// The folder below that in which perf looks for builds, whatever `--buildid-dir` says. A link to all of them.
const SYMFS_CACHE: &str = ".debug";
/// Where builds are whose names cannot be a path in the store.
const UNNAMED_DIR: &str = ".unnamed";

/// What a file of a build is, which decides its name in the build's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FileRole {
    /// A program, a library, a module or an image of the kernel.
    Elf,
    /// What was taken out of an object file when it was stripped.
    Debug,
    /// What several debug files share (`dwz -m`), under a name and a build-id of its own.
    Alternate,
    /// The kernel's symbols, as `/proc/kallsyms` has them.
    Kallsyms,
    /// The image that the kernel maps into processes.
    Vdso,
}

impl FileRole {
    /// The name of such a file in the folder of its build.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Elf => "elf",
            // Readers look by its id for a debug file.
            Self::Debug | Self::Alternate => "debug",
            Self::Kallsyms => "kallsyms",
            Self::Vdso => "vdso",
        }
    }

    /// Whether it carries the build-id in itself.
    pub(crate) fn has_build_id(self) -> bool {
        self != Self::Kallsyms
    }
}

impl fmt::Display for FileRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Alternate => "alternate",
            role => role.name(),
        })
    }
}

/// The folder of a build in a store: the DSO's name without its leading slash, and the id. A name that cannot be a path
/// there has no part in it.
pub(crate) fn build_dir(name: &BStr, id: BuildId) -> PathBuf {
    plain_path(name).unwrap_or_else(|| PathBuf::from(UNNAMED_DIR)).join(id.to_string())
}

/// Where a file without a build-id is in a bundle: below the folder for `--symfs`, by its name alone. `None` for a name that
/// cannot be a path there, or is none.
pub(crate) fn symfs_file(name: &BStr) -> Option<PathBuf> {
    let path = plain_path(name)?;
    (!name.starts_with(b"[")).then(|| Path::new(SYMFS_DIR).join(path))
}

/// A DSO's name as a path below a folder; `None` for one with `..`, with a part that is too long, or with a first part that
/// means something else there.
fn plain_path(name: &BStr) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(name));
    let parts: Vec<_> =
        path.components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir)).collect();
    let is_plain = |part: &Component<'_>| match part {
        Component::Normal(part) => part.len() <= COMPONENT_AT_MOST,
        _ => false,
    };
    let is_reserved = |part: &Component<'_>| {
        let part = part.as_os_str();
        [RECORDING_NAME, MANIFEST_NAME, BUILD_ID_DIR, SYMFS_DIR, SYMFS_CACHE, UNNAMED_DIR]
            .iter()
            .any(|name| part == *name)
    };
    let fits = name.len() <= NAME_AT_MOST && !name.contains(&0);
    let is_path = fits && parts.iter().all(is_plain) && parts.first().is_some_and(|part| !is_reserved(part));
    is_path.then(|| parts.iter().collect())
}

/// The folder of a build whose own one is taken by something that is none.
pub(crate) fn unnamed_dir(id: BuildId) -> PathBuf {
    Path::new(UNNAMED_DIR).join(id.to_string())
}

/// The link by which a build is found, and its target; `None` for an id of one byte, for which the layout has no link.
pub(crate) fn id_link(id: BuildId, dir: &Path) -> Option<(PathBuf, PathBuf)> {
    let hex = id.to_string();
    let (first, rest) = hex.split_at_checked(2).filter(|(_, rest)| !rest.is_empty())?;
    Some((Path::new(BUILD_ID_DIR).join(first).join(rest), Path::new("../..").join(dir)))
}

/// The links below the folder for `--symfs`, and their targets, of files that are in these folders of builds: object files
/// have their own names, the first of each name; debug files are where systems keep them, and those that several share have
/// both names. A name that would be a folder on the way to another has none, and none has one that is in the way of the
/// [files](symfs_file) that are there themselves.
pub(crate) fn symfs_links<'d>(
    files: impl IntoIterator<Item = (&'d Path, BuildId, FileRole)>,
    themselves: &BTreeSet<PathBuf>,
) -> Vec<(PathBuf, PathBuf)> {
    let mut links = BTreeMap::new();
    for (dir, id, role) in files {
        let names = match role {
            FileRole::Elf => [own_name(dir), None],
            FileRole::Debug => [debug_name(id), None],
            FileRole::Alternate => [own_name(dir), debug_name(id)],
            FileRole::Kallsyms | FileRole::Vdso => [None, None],
        };
        for name in names.into_iter().flatten() {
            links.entry(name).or_insert_with_key(|name| {
                let up: PathBuf = name.iter().map(|_| "..").collect();
                up.join(dir).join(role.name())
            });
        }
    }
    let names: Vec<_> = links.keys().cloned().collect();
    // In the order of paths, what is below a name stands right behind it.
    for (name, next) in names.iter().zip(names.iter().skip(1)) {
        if next.starts_with(name) {
            links.remove(name);
        }
    }
    let links = links.into_iter().map(|(name, target)| (Path::new(SYMFS_DIR).join(name), target));
    let mut links: Vec<_> = links.filter(|(link, _)| !is_taken(link, themselves)).collect();
    if !links.is_empty() || !themselves.is_empty() {
        links.push((Path::new(SYMFS_DIR).join(SYMFS_CACHE), PathBuf::from("..")));
    }
    links
}

/// Whether a path cannot be a file or link beside these files: it is one of them, leads through one, or is a folder of one.
pub(crate) fn is_taken(path: &Path, files: &BTreeSet<PathBuf>) -> bool {
    let is_folder = || {
        // In the order of paths, what is below one stands right behind it.
        let mut behind = files.range::<Path, _>((Bound::Excluded(path), Bound::Unbounded));
        behind.next().is_some_and(|next| next.starts_with(path))
    };
    path.ancestors().any(|above| files.contains(above)) || is_folder()
}

/// The name of the file that the folder of a build is of; what is in brackets is no file.
fn own_name(dir: &Path) -> Option<PathBuf> {
    let name = dir.parent().filter(|name| !name.starts_with(UNNAMED_DIR))?;
    let is_file = !name.as_os_str().is_empty() && !name.as_os_str().as_bytes().starts_with(b"[");
    is_file.then(|| name.to_owned())
}

/// Where systems keep the debug file of a build.
fn debug_name(id: BuildId) -> Option<PathBuf> {
    let (link, _) = id_link(id, Path::new(""))?;
    let mut name = Path::new("usr/lib/debug").join(link).into_os_string();
    name.push(".debug");
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(bytes: &[u8]) -> BuildId {
        BuildId::new(bytes).unwrap()
    }

    fn dir_of(name: &str) -> String {
        build_dir(name.into(), id(&[0xab, 0xcd])).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_build_is_where_perf_has_it() {
        assert_eq!(dir_of("/usr/bin/perf"), "usr/bin/perf/abcd");
        assert_eq!(dir_of("[kernel.kallsyms]"), "[kernel.kallsyms]/abcd");
        assert_eq!(dir_of("/memfd:jit (deleted)"), "memfd:jit (deleted)/abcd");
        let (link, target) = id_link(id(&[0xab, 0xcd]), Path::new("usr/bin/perf/abcd")).unwrap();
        assert_eq!(
            (link.to_str(), target.to_str()),
            (Some(".build-id/ab/cd"), Some("../../usr/bin/perf/abcd"))
        );
    }

    #[test]
    fn no_name_leads_out_of_the_store_or_onto_what_else_is_in_it() {
        for name in [
            "",
            "/",
            "/..",
            "../../etc/passwd",
            "/a/../b",
            "/.build-id/ab",
            "/perf.data",
            "manifest.json/x",
            "/.debug/x",
            "a\0b",
            &"/a".repeat(2000),
            &"a".repeat(256),
        ] {
            assert_eq!(dir_of(name), ".unnamed/abcd", "{name}");
        }
        // Doubled slashes and dots change nothing.
        assert_eq!(dir_of("//usr/./bin//x"), "usr/bin/x/abcd");
    }

    #[test]
    fn files_have_their_own_names_where_no_name_is_a_folder_of_another() {
        let dirs = ["usr/bin/a/01", "usr/bin/a/02", "[vdso]/03", ".unnamed/04", "b/05", "b/c/06"];
        let files = dirs.map(|dir| (Path::new(dir), id(&[0xab, 0xcd]), FileRole::Elf));
        let debug = (Path::new("usr/bin/a/01"), id(&[0xab, 0xcd]), FileRole::Debug);
        let links = symfs_links(files.into_iter().chain([debug]), &BTreeSet::new());
        let links: Vec<_> =
            links.iter().map(|(link, to)| (link.to_str().unwrap(), to.to_str().unwrap())).collect();
        assert_eq!(
            links,
            [
                (".symfs/b/c", "../../b/c/06/elf"),
                (".symfs/usr/bin/a", "../../../usr/bin/a/01/elf"),
                (".symfs/usr/lib/debug/.build-id/ab/cd.debug", "../../../../../../usr/bin/a/01/debug"),
                (".symfs/.debug", "..")
            ]
        );
    }

    #[test]
    fn what_debug_files_share_is_found_by_its_name_and_by_its_id() {
        let dir = build_dir("/usr/lib/debug/.dwz/a.debug".into(), id(&[0xab, 0xcd]));
        let links = symfs_links([(dir.as_path(), id(&[0xab, 0xcd]), FileRole::Alternate)], &BTreeSet::new());
        let names: Vec<_> = links.iter().map(|(link, _)| link.to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                ".symfs/usr/lib/debug/.build-id/ab/cd.debug",
                ".symfs/usr/lib/debug/.dwz/a.debug",
                ".symfs/.debug"
            ]
        );
        assert!(links.iter().take(2).all(|(_, to)| to.ends_with("usr/lib/debug/.dwz/a.debug/abcd/debug")));
    }

    #[test]
    fn an_id_of_one_byte_has_no_link() {
        assert_eq!(id_link(id(&[7]), Path::new("a/07")), None);
        assert!(id_link(id(&[7, 8]), Path::new("a/0708")).is_some());
    }
}
