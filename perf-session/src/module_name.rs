//! The names of kernel modules, which recordings write in several ways.

use bstr::{BStr, BString, ByteSlice as _};

/// The name that the kernel gives a module: `/lib/modules/6.1/kernel/net/nf-nat.ko.xz` and `[nf_nat]` are both
/// `nf_nat`. `None` for what is no module's name.
#[must_use]
pub(crate) fn module_name(name: &BStr) -> Option<BString> {
    let stem = match name.strip_prefix(b"[") {
        Some(bracketed) => bracketed.strip_suffix(b"]")?,
        None => {
            let file = name.rsplit_str("/").next()?;
            file.get(..file.find(".ko")?)?
        }
    };
    // It becomes a part of a path, so that only a plain name may pass.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let named = !stem.is_empty() && stem.iter().all(plain);
    named.then(|| stem.replace("-", "_").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_one_name_however_it_is_written() {
        let name = |text: &str| module_name(text.into()).map(|name| name.to_string());
        for text in ["[nf_nat]", "[nf-nat]", "/lib/modules/6.1/kernel/net/nf-nat.ko", "/x/nf_nat.ko.zst"] {
            assert_eq!(name(text).as_deref(), Some("nf_nat"), "{text}");
        }
        for text in ["[../../etc]", "[]", "/boot/vmlinux", "[kernel.kallsyms]", "/x/..ko", "[a/b]"] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
