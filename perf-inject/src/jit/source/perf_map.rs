//! Perf maps: text files of the functions of a process, an address, a size and a name a line, both in hex.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice as _};
use perf_format::{Endian, Error};

use super::find::{Finder, NoNames};
use super::{Body, FunctionSource};
use crate::jit::timeline::{JitFunction, Name, SourceId, Timeline, View};
use crate::limits::{NO_CODE_AT_MOST, PERF_MAP_AT_MOST};

/// A perf map that is being read.
#[derive(Debug)]
pub(crate) struct PerfMap {
    pid: u32,
    path: PathBuf,
    file: File,
    /// A line that is not whole yet.
    rest: Vec<u8>,
    read: u64,
    /// Lines so far: of functions at one address the last counts.
    lines: u64,
    /// Up to when the recording was read when the file was read before, in ns.
    before: Option<u64>,
}

impl PerfMap {
    /// Opens the perf map of a process, which may know itself by an `inner` pid.
    ///
    /// # Errors
    /// Where it is not found, or not to be trusted.
    pub(crate) fn open(pid: i32, inner: Option<u32>, finder: &Finder) -> Result<Self, NoNames> {
        let pid = pid.cast_unsigned();
        let (file, path) = finder.perf_map(pid, inner)?;
        Ok(Self { pid, path, file, rest: Vec::new(), read: 0, lines: 0, before: None })
    }

    fn load(&mut self, line: &[u8], id: SourceId, timeline: &mut Timeline) {
        self.lines += 1;
        let Some((address, size, name)) = parse(line) else { return };
        let function = JitFunction {
            name: Name::Is(name),
            source: id,
            index: self.lines,
            by: None,
            address,
            size: size.min(NO_CODE_AT_MOST),
            code: None,
            lines: None,
            unwinding: None,
        };
        // A map has no times. Of a line that was not there before, what stood at its address stood there until then.
        let taken = View { shared: Some(u64::MAX), ..View::own(u64::MAX) };
        let before = self.before.filter(|_| {
            timeline.sort();
            timeline.is_between(address, address.saturating_add(function.size), &taken)
        });
        timeline.load(function, before.unwrap_or(0));
    }
}

impl FunctionSource for PerfMap {
    fn path(&self) -> &Path {
        &self.path
    }

    fn machine(&self) -> Option<u16> {
        None
    }

    fn endian(&self) -> Endian {
        Endian::NATIVE
    }

    fn read_on(&mut self, id: SourceId, timeline: &mut Timeline, now: u64) -> io::Result<()> {
        let mut rest = std::mem::take(&mut self.rest);
        let read = (&self.file).take(PERF_MAP_AT_MOST - self.read).read_to_end(&mut rest);
        self.read += read.as_ref().map_or(0, |read| *read as u64);
        let whole = rest.rfind_byte(b'\n').map_or(0, |end| end + 1);
        for line in rest.get(..whole).unwrap_or_default().lines() {
            self.load(line, id, timeline);
        }
        rest.drain(..whole);
        // A process that is gone writes no more; one that runs may have the rest of a line in a buffer.
        if !rest.is_empty() && !is_running(self.pid) {
            self.load(&std::mem::take(&mut rest), id, timeline);
        }
        self.rest = rest;
        self.before = Some(now);
        read.map(|_| ())
    }

    fn damage(&self) -> Option<String> {
        None
    }

    fn body(&mut self, function: &JitFunction) -> Result<Body, Error> {
        let mut body = Body::default();
        if let Name::Is(name) = &function.name {
            body.name.clone_from(name);
        }
        // Nobody kept its code.
        body.code = vec![0; usize::try_from(function.size).unwrap_or(0)];
        Ok(body)
    }
}

fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// `START SIZE NAME`, with blanks or tabs before and between; a name may have them, too. Some writers put `0x` before
/// the numbers.
fn parse(line: &[u8]) -> Option<(u64, u64, BString)> {
    let mut rest = line.trim_ascii_start();
    let mut number = || {
        let (text, behind) = rest.split_at_checked(rest.find_byteset(b" \t")?)?;
        rest = behind.trim_ascii_start();
        let text = text.to_str().ok().filter(|text| !text.starts_with('+'))?;
        u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
    };
    let (start, size) = (number()?, number()?);
    let name = rest.trim_ascii_end();
    (size > 0 && !name.is_empty()).then(|| (start, size, name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_address_a_size_and_a_name() {
        let of = |line: &str| parse(line.as_bytes());
        assert_eq!(of("7f01 20 LazyCompile:~a b.js:1"), Some((0x7f01, 0x20, "LazyCompile:~a b.js:1".into())));
        assert_eq!(of(" \t7f01\t20\t a  b\t"), Some((0x7f01, 0x20, "a  b".into())));
        assert_eq!(of("0x10 0x1 py::f:/a b.py"), Some((16, 1, "py::f:/a b.py".into())));
        for line in ["", "7f01", "7f01 20", "7f01 0 f", "x 1 f", "1 2 ", "10000000000000000 1 f", "+1 1 f"] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
