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

/// The start of a private path, if one is in there. Inside another path (`/proc/PID` has a root too) it is none.
pub(crate) fn private(bytes: &[u8]) -> Option<&'static str> {
    let in_path = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-}/".contains(byte);
    let starts = |path: &str| {
        let found = |(at, window): (usize, &[u8])| {
            window == path.as_bytes() && !bytes[..at].last().is_some_and(in_path)
        };
        bytes.windows(path.len()).enumerate().any(found)
    };
    PRIVATE.iter().copied().find(|path| starts(path))
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
        let text = concat!("/usr/lib/debug and /roots and tests/data and /proc/7/ro", "ot/etc\n");
        assert_eq!(findings(check, "a.md", text), [""; 0]);
    }
}
