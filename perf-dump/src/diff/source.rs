//! Lines to compare: of a recording that is being dumped, or of a dump's text.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead};

use bstr::ByteSlice as _;

use crate::Dumper;

/// Appends lines; false at the end.
type NextLines<'s> = Box<dyn FnMut(&mut Vec<u8>) -> io::Result<bool> + 's>;

/// Where lines to compare come from.
pub struct DiffSource<'s> {
    next: NextLines<'s>,
    lines: VecDeque<Vec<u8>>,
}

impl fmt::Debug for DiffSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiffSource").finish_non_exhaustive()
    }
}

/// The lines of a recording. Its damage is to be asked of the dump afterwards.
pub fn dump_lines<'s>(dump: &'s mut Dumper<'_>) -> DiffSource<'s> {
    let next = move |out: &mut Vec<u8>| Ok(dump.next_line(out));
    DiffSource { next: Box::new(next), lines: VecDeque::new() }
}

/// The lines of a dump that was kept, text or JSON.
pub fn text_lines<'s>(mut text: impl BufRead + 's) -> DiffSource<'s> {
    let next = move |out: &mut Vec<u8>| Ok(text.read_until(b'\n', out)? > 0);
    DiffSource { next: Box::new(next), lines: VecDeque::new() }
}

impl DiffSource<'_> {
    /// The next line, without its offset and its newline.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        while self.lines.is_empty() {
            let mut out = Vec::new();
            if !(self.next)(&mut out)? {
                return Ok(None);
            }
            let text = out.strip_suffix(b"\n").unwrap_or(&out);
            self.lines.extend(text.split(|byte| *byte == b'\n').map(without_offset));
        }
        Ok(self.lines.pop_front())
    }
}

/// A record's line as it would be at another offset.
fn without_offset(line: &[u8]) -> Vec<u8> {
    if line.starts_with(b"0x")
        && let Some(space) = line.iter().position(|byte| *byte == b' ')
    {
        return line.get(space + 1..).unwrap_or_default().to_vec();
    }
    if line.starts_with(b"{\"record\":")
        && let Some((before, behind)) = line.split_once_str(",\"offset\":")
        && !before.contains_str("\"fields\"")
        && let Some(end) = behind.find_byte(b',')
    {
        return [before, behind.get(end..).unwrap_or_default()].concat();
    }
    let is_json = line.starts_with(b"{\"record\":\"HEADER\"");
    if is_json || line.starts_with(b"HEADER ") { without_format(line, is_json) } else { line.to_vec() }
}

/// The header's line without what says how the records are held: in a file or a stream, how long its structures are and
/// where they stand.
fn without_format(line: &[u8], is_json: bool) -> Vec<u8> {
    let groups: [&[u8]; 2] =
        if is_json { [b",\"attrs\":{", b",\"data\":{"] } else { [b" attrs={", b" data={"] };
    let fields: [&[u8]; 3] = match is_json {
        true => [b",\"format\":", b",\"size\":", b",\"attr_size\":"],
        false => [b" format=", b" size=", b" attr_size="],
    };
    let ends: &[u8] = if is_json { b",}" } else { b" " };
    let cut = |line: Vec<u8>, start: usize, len: usize| {
        [line.get(..start), line.get(start + len..)].map(Option::unwrap_or_default).concat()
    };
    let line = groups.iter().fold(line.to_vec(), |line, name| {
        let place = line.find(name).and_then(|at| Some((at, line.get(at..)?.find_byte(b'}')? + 1)));
        place.map_or_else(|| line.clone(), |(at, len)| cut(line.clone(), at, len))
    });
    fields.iter().fold(line, |line, name| {
        let Some(at) = line.find(name) else { return line };
        let value = line.get(at + name.len()..).unwrap_or_default();
        let len = name.len() + value.find_byteset(ends).unwrap_or(value.len());
        cut(line, at, len)
    })
}
