//! What is known of this machine: its name, its kernel and where that is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind};

use bstr::{BStr, BString, ByteSlice};
use perf_format::BuildId;

/// This machine, in this boot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThisMachine {
    /// Its host name (`uname -n`).
    pub hostname: BString,
    /// The release of its kernel (`uname -r`).
    pub release: BString,
    /// Its architecture (`uname -m`).
    pub arch: BString,
    /// Where the kernel's reference symbols are, `_text` and `_stext`; none where that is hidden.
    pub references: Vec<u64>,
    /// The kernel's build-id, if it has one.
    pub kernel_id: Option<BuildId>,
    /// The loaded modules, and where they are, 0 where that is hidden; `None` where they cannot be read.
    pub modules: Option<BTreeMap<BString, u64>>,
}

impl ThisMachine {
    /// Asks the running kernel.
    #[must_use]
    pub fn this() -> Self {
        let uname = rustix::system::uname();
        Self {
            hostname: uname.nodename().to_bytes().into(),
            release: uname.release().to_bytes().into(),
            arch: uname.machine().to_bytes().into(),
            references: references(),
            kernel_id: crate::build_id::running_kernel().ok(),
            modules: match fs::read("/proc/modules") {
                Ok(list) => Some(modules(list.as_bstr())),
                // A kernel without modules has no such file.
                Err(error) if error.kind() == ErrorKind::NotFound => Some(BTreeMap::new()),
                Err(_) => None,
            },
        }
    }
}

/// The addresses of the symbols that perf refers to. They are among the first of the image, and the list is long.
fn references() -> Vec<u64> {
    let Ok(kallsyms) = File::open("/proc/kallsyms") else { return Vec::new() };
    let lines = BufReader::new(kallsyms).lines().map_while(Result::ok);
    let of = |line: String| {
        let (address, symbol) = line.split_once(' ')?;
        let is_it = matches!(symbol, "T _text" | "T _stext");
        is_it.then(|| u64::from_str_radix(address, 16).unwrap_or(0))
    };
    lines.filter_map(of).take(2).filter(|address| *address != 0).collect()
}

/// The names and addresses in `/proc/modules`: name, size in bytes, users, who uses it, state, address.
fn modules(list: &BStr) -> BTreeMap<BString, u64> {
    let line = |line: &[u8]| {
        let mut words = line.split_str(" ");
        let name = words.next()?;
        let address = words.nth(4)?.strip_prefix(b"0x")?.to_str().ok()?;
        Some((name.into(), u64::from_str_radix(address, 16).ok()?))
    };
    ByteSlice::lines(list.as_bytes()).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_read_with_their_addresses() {
        let list = "nf_nat 61440 2 nft_chain_nat,xt_MASQUERADE, Live 0xffffffffc0a00000\n\
                    hidden 4096 0 - Live 0x0000000000000000\nshort 4096\n";
        let modules = modules(list.into());
        assert_eq!(modules.get(BStr::new("nf_nat")), Some(&0xffff_ffff_c0a0_0000));
        assert_eq!(modules.get(BStr::new("hidden")), Some(&0));
        assert_eq!(modules.len(), 2);
    }
}
