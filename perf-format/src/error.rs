//! Errors of reading perf data. Every variant carries the offset at which one looks for its cause.

use std::io;

use crate::codec::{FieldError, Problem};
use crate::limits::JIT_RECORD_AT_MOST;
use crate::record_type::RecordType;

/// An error of reading perf data. Offsets are bytes from the start of the input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input does not start with perf's magic.
    #[error("not perf data: it starts with {}, not PERFILE2", shown(.magic))]
    NotPerfData {
        /// The first bytes, eight at most.
        magic: Vec<u8>,
    },
    /// The input does not start with a jitdump's magic.
    #[error("not a jitdump: it starts with {}, not JiTD or DTiJ", shown(.magic))]
    NotJitDump {
        /// The first bytes, four at most.
        magic: Vec<u8>,
    },
    /// A record of a jitdump has a size that none can have; nothing after it can be found.
    #[error(
        "a jitdump record with id {id} at offset {offset:#x} has size {size}; a record has 16 bytes at least and \
         {} at most",
        JIT_RECORD_AT_MOST
    )]
    JitRecordSize {
        /// Where the record starts.
        offset: u64,
        /// Its id.
        id: u32,
        /// Its size.
        size: u32,
    },
    /// The input is a file where a pipe's stream must be.
    #[error("it is a file in perf's format, and no pipe's stream")]
    NotPipe,
    /// The input ends inside its header.
    #[error("the input ends inside its header: {have} of {need} bytes")]
    HeaderTruncated {
        /// Bytes that were there.
        have: usize,
        /// Bytes that the header has.
        need: usize,
    },
    /// The header's own size fits neither a pipe nor a file.
    #[error("the header's size is {size:#x}; a pipe header has 16 bytes, a file header 104 or 72")]
    HeaderSize {
        /// The size found at offset 8.
        size: u64,
    },
    /// A section of a file lies outside the file or does not fit what it must hold.
    #[error("the {section} section at offset {offset:#x}, {size} bytes long, {problem}")]
    Section {
        /// The section's name.
        section: &'static str,
        /// Where it should start.
        offset: u64,
        /// How long it should be, in bytes.
        size: u64,
        /// What is wrong with it.
        problem: SectionProblem,
    },
    /// A record whose size is less than a record header's eight bytes; nothing after it can be found.
    #[error("a record of type {record_type} at offset {offset:#x} has size {size}, less than its own header")]
    RecordTooSmall {
        /// Where the record starts.
        offset: u64,
        /// Its type.
        record_type: RecordType,
        /// Its size.
        size: u16,
    },
    /// Another recording begins where the next record must: two were put behind one another.
    #[error("another recording begins at offset {offset:#x}")]
    AnotherRecording {
        /// Where its header is.
        offset: u64,
    },
    /// Text stands where a record must: something printed into the recording.
    #[error("text stands where a record must, at offset {offset:#x}: {text:?}")]
    Text {
        /// Where it starts.
        offset: u64,
        /// Its first line, as far as it is shown.
        text: String,
    },
    /// The input ends inside a record.
    #[error("the input ends inside a record at offset {offset:#x}: {have} of {need} bytes")]
    Truncated {
        /// Where the record starts.
        offset: u64,
        /// Bytes that were there.
        have: usize,
        /// Bytes that the record has; 8 where not even its header is whole.
        need: usize,
    },
    /// The input ends inside the payload that follows a record.
    #[error(
        "the input ends inside the payload of the {record_type} record at offset {offset:#x}: \
         {have} of {need} bytes"
    )]
    PayloadTruncated {
        /// Where the record starts.
        offset: u64,
        /// Its type.
        record_type: RecordType,
        /// Payload bytes that were there.
        have: u64,
        /// Payload bytes that the record announces.
        need: u64,
    },
    /// A record that is whole but whose content does not fit its type.
    #[error("{record_type} record at offset {offset:#x}: field {field}: {problem}")]
    Malformed {
        /// Where the record starts.
        offset: u64,
        /// Its type.
        record_type: RecordType,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A structure outside any record that cannot be read.
    #[error("{what} at offset {offset:#x}: field {field}: {problem}")]
    Structure {
        /// The structure.
        what: &'static str,
        /// Where it starts.
        offset: u64,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A compressed record that cannot be inflated.
    #[error("{record_type} record at offset {offset:#x} does not inflate: {problem}")]
    Inflate {
        /// Where the record starts.
        offset: u64,
        /// Its type.
        record_type: RecordType,
        /// Why.
        problem: &'static str,
    },
    /// A record that would be longer than 65535 bytes, the most that the size in a header can hold.
    #[error("a {record_type} record of {size} bytes does not fit in a record's 65535")]
    RecordTooLarge {
        /// Its type.
        record_type: RecordType,
        /// The size that it would have.
        size: usize,
    },
    /// An event whose attr does not fit in a record, so that a pipe cannot have it.
    #[error("event {event} ({name}) has an attr of {size} bytes, which does not fit in a record's 65535")]
    EventTooLarge {
        /// Its number; the first is 1.
        event: usize,
        /// Its name, as far as the recording tells it.
        name: String,
        /// The size of its attr in bytes.
        size: usize,
    },
    /// The input could not be read.
    #[error("reading failed at offset {offset:#x}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

/// The problems of a section of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SectionProblem {
    /// The file ends before the section does.
    #[error("lies outside the file, which has {len} bytes")]
    Outside {
        /// The file's length in bytes.
        len: u64,
    },
    /// No such section is that long.
    #[error("is longer than any such section")]
    TooLong,
    /// Its size was never written, since the recording was not closed.
    #[error("was never completed: the recording was not closed")]
    NotClosed,
    /// It overlaps another section.
    #[error("overlaps the {0}")]
    Overlaps(&'static str),
    /// Its entries cannot be what they should be.
    #[error("has entries that cannot be read")]
    Entries,
}

impl Error {
    #[cold]
    pub(crate) fn malformed(offset: u64, record_type: RecordType, error: FieldError) -> Self {
        Self::Malformed { offset, record_type, field: error.field, problem: error.problem }
    }

    #[cold]
    pub(crate) fn structure(what: &'static str, offset: u64, error: FieldError) -> Self {
        Self::Structure { what, offset, field: error.field, problem: error.problem }
    }
}

/// The first bytes of something that is not perf data, as a person can read them.
fn shown(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "nothing (it is empty)".to_owned()
    } else {
        format!("\"{}\"", bytes.escape_ascii())
    }
}
