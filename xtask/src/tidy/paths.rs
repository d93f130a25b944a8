//! Paths of one person's machine, which mean nothing on another. Binary files are looked through as well: a
//! recording is full of paths.

use super::File;

/// In two parts, or this file would be the first finding.
const PRIVATE: &[&str] = &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];

pub(super) fn check(file: &File) -> Vec<String> {
    let lines = (1..).zip(file.bytes.split(|&byte| byte == b'\n'));
    let found = lines.filter_map(|(number, line)| Some((number, private(line)?)));
    found.map(|(number, path)| format!("{}:{number}: a path in somebody's {path}", file.path)).collect()
}

/// The start of a private path, if one is in there.
pub(crate) fn private(bytes: &[u8]) -> Option<&'static str> {
    PRIVATE.iter().copied().find(|path| bytes.windows(path.len()).any(|window| window == path.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::findings;

    #[test]
    fn a_private_path_is_found_in_text_and_in_binary_files() {
        for path in PRIVATE {
            let text = format!("all\nin {path}me\n");
            assert_eq!(findings(check, "a.md", &text), [format!("a.md:2: a path in somebody's {path}")]);
            assert_eq!(findings(check, "a.pipe", &format!("\0{path}\0")).len(), 1);
        }
    }

    #[test]
    fn paths_that_everybody_has_pass() {
        assert_eq!(findings(check, "a.md", "/usr/lib/debug and /roots and tests/data\n"), [""; 0]);
    }
}
