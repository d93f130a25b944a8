//! What may stand where a record must and is none: the header of another recording, or text that something printed into
//! the stream. Both are told by bytes that are no record's: its type would have four bytes of text.

use crate::Error;
use crate::header::MAGICS;
use crate::raw::RecordHeader;

/// The most bytes of text that an error shows.
const TEXT_SHOWN: usize = 64;

/// Four bytes of text are no smaller number, in either order: no record has such a type.
const TEXT_AT_LEAST: u32 = 0x0909_0909;

/// What stands in the place of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// The magic of perf data.
    Recording,
    /// Four bytes of text at the least.
    Text,
}

impl Foreign {
    /// What the bytes of a record's header are, if they are none.
    #[inline]
    pub(crate) fn at(head: [u8; RecordHeader::SIZE]) -> Option<Self> {
        let [a, b, c, d, ..] = head;
        let word = u32::from_le_bytes([a, b, c, d]);
        if word < TEXT_AT_LEAST || word.swap_bytes() < TEXT_AT_LEAST {
            None
        } else {
            Self::of_large_type(head)
        }
    }

    /// What less than a record's header at the end of the input is, if it is no start of one.
    pub(crate) fn at_the_end(rest: &[u8]) -> Option<Self> {
        let is_text = (4..RecordHeader::SIZE).contains(&rest.len()) && text(rest).len() == rest.len();
        is_text.then_some(Self::Text)
    }

    #[cold]
    fn of_large_type(head: [u8; RecordHeader::SIZE]) -> Option<Self> {
        match head {
            _ if MAGICS.contains(&&head) => Some(Self::Recording),
            _ if text(&head).len() >= 4 => Some(Self::Text),
            _ => None,
        }
    }

    /// How many bytes an error needs: as many however the input is cut into reads.
    pub(crate) fn need(self) -> usize {
        match self {
            Self::Recording => RecordHeader::SIZE,
            Self::Text => TEXT_SHOWN,
        }
    }

    /// The error of finding it at an offset, where these bytes stand.
    #[cold]
    pub(crate) fn error(self, offset: u64, bytes: &[u8]) -> Error {
        match self {
            Self::Recording => Error::AnotherRecording { offset },
            Self::Text => {
                let text = text(bytes.get(..TEXT_SHOWN).unwrap_or(bytes));
                let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or(text);
                Error::Text { offset, text: line.trim().to_owned() }
            }
        }
    }
}

/// The text that bytes begin with.
fn text(bytes: &[u8]) -> &str {
    let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let is_no_text = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x1b');
    text.get(..text.find(is_no_text).unwrap_or(text.len())).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_types_that_are_not_known_yet() {
        let at = |head: &[u8; 8]| Foreign::at(*head);
        assert_eq!(at(b"[ perf r"), Some(Foreign::Text));
        assert_eq!(at(b"\nDone.\n\x09"), Some(Foreign::Text));
        assert_eq!(at(b"done\x09\0\0\0"), Some(Foreign::Text));
        assert_eq!(at("größer".as_bytes().first_chunk().unwrap()), Some(Foreign::Text));
        assert_eq!(at(b"PERFILE2"), Some(Foreign::Recording));
        assert_eq!(at(b"2ELIFREP"), Some(Foreign::Recording));
        assert_eq!(at(b"PERFFILE"), Some(Foreign::Recording));
        assert_eq!(at(b"PERFILE3"), Some(Foreign::Text));
        assert_eq!(at(b"\x09\0\0\0\x02\0\x28\0"), None);
        assert_eq!(at(b"\0\0\0\x43\0\x02\0\x28"), None);
        assert_eq!(at(b"abc\0\0\0\x28\0"), None);
        assert_eq!(at(&[0xff; 8]), None);
    }

    #[test]
    fn the_first_line_of_a_text_is_shown() {
        let shown = |bytes: &[u8]| Foreign::Text.error(5, bytes).to_string();
        let long = [b'x'; 100];
        assert_eq!(
            shown(b"\n\n[ one ]\ntwo\n"),
            "text stands where a record must, at offset 0x5: \"[ one ]\""
        );
        assert_eq!(shown(b"one\0two\n"), "text stands where a record must, at offset 0x5: \"one\"");
        assert_eq!(
            shown(b"\x1b[31mred \"text\""),
            "text stands where a record must, at offset 0x5: \"\\u{1b}[31mred \\\"text\\\"\""
        );
        assert!(shown(&long).ends_with(&format!("\"{}\"", "x".repeat(64))));
    }
}
