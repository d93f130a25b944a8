//! Where the running kernel and its modules are, and which builds they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString};
use perf_format::BuildId;

use super::module::loaded_module;
use super::running_kernel;
use crate::module_name::module_name;

/// An image of the running kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelMap {
    /// Its build-id, where it has one.
    pub build_id: Option<BuildId>,
    /// First address; 0 where the kernel hides it.
    pub start: u64,
    /// One past the last; the highest there is where the kernel hides it.
    pub end: u64,
    /// `[kernel.kallsyms]`, the module's file, or its name in brackets.
    pub name: BString,
}

/// The running kernel's image, then its modules.
///
/// # Errors
/// Where `/proc/kallsyms` cannot be read.
pub fn kernel_maps() -> io::Result<Vec<KernelMap>> {
    let mut maps = vec![image(&fs::read_to_string("/proc/kallsyms")?)];
    // A kernel without modules has no such file.
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let files = module_files(&Path::new("/lib/modules").join(release.trim_end()));
    maps.extend(modules.lines().filter_map(|line| module(line, &files)));
    Ok(maps)
}

fn image(kallsyms: &str) -> KernelMap {
    let address = |symbol: &str| {
        kallsyms.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = words.next()?;
            let is_it = words.nth(1)? == symbol && words.next().is_none();
            u64::from_str_radix(address, 16).ok().filter(|_| is_it)
        })
    };
    KernelMap {
        build_id: running_kernel().ok(),
        start: address("_text").or_else(|| address("_stext")).unwrap_or(0),
        end: address("_etext").filter(|end| *end != 0).unwrap_or(u64::MAX),
        name: "[kernel.kallsyms]".into(),
    }
}

/// A line of `/proc/modules`: name, size in bytes, users, who uses it, state, address.
fn module(line: &str, files: &[PathBuf]) -> Option<KernelMap> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [name, size, _, _, _, address, ..] = *words.as_slice() else { return None };
    let start = u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()?;
    let end = start.saturating_add(size.parse().ok()?);
    let bracketed = BString::from(format!("[{name}]"));
    let file = files.iter().find(|file| {
        module_name(file.as_os_str().as_encoded_bytes().into()).is_some_and(|module| module == name)
    });
    let build_id = loaded_module(BStr::new(name)).ok();
    let name = file.map_or(bracketed, |file| file.as_os_str().as_encoded_bytes().into());
    Some(KernelMap { build_id, start, end, name })
}

/// The modules' files under a folder, its folders included; links are not followed.
pub(crate) fn module_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(entries) = folders.pop().map(fs::read_dir) {
        for entry in entries.into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.retain(|file| module_name(file.as_os_str().as_encoded_bytes().into()).is_some());
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_from_text_to_etext() {
        let kallsyms = "0 A fixed_percpu_data\nffffffff81000000 T _stext\nffffffff80000000 T _text\nffffffff82000b08 T _etext\nffffffffa0000000 t _text\t[module]\n";
        let map = image(&kallsyms.replace("\\\n", "\n").replace("\\\t", "\t"));
        assert_eq!((map.start, map.end), (0xffff_ffff_8000_0000, 0xffff_ffff_8200_0b08));
    }

    #[test]
    fn a_module_is_found_by_its_name_whatever_its_file_is_called() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("kernel/net")).unwrap();
        let path = dir.path().join("kernel/net/nf-nat.ko.xz");
        fs::write(&path, "").unwrap();
        let files = module_files(dir.path());
        let line = "nf_nat 61440 2 nft_chain_nat,xt_MASQUERADE, Live 0xffffffffc0a00000";
        let map = module(line, &files).unwrap();
        assert_eq!((map.start, map.end), (0xffff_ffff_c0a0_0000, 0xffff_ffff_c0a0_f000));
        assert_eq!(map.name, path.to_str().unwrap());
        assert_eq!(module(line, &[]).unwrap().name, "[nf_nat]");
        assert_eq!(module("nf_nat 61440", &[]), None);
    }
}
