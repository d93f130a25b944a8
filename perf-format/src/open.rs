//! The front door: the first bytes of a source decide whether it holds a file or a pipe's stream.

use std::io::Read;

use crate::header::{Format, Head};
use crate::reader::RecordReader;
use crate::{Endian, Error};

/// Perf data in one of its two formats.
#[derive(Debug)]
pub enum PerfData<S> {
    /// A pipe's stream: its records follow at once.
    Pipe(PipeStream<S>),
    /// A file. Of the source the first sixteen bytes have been read; [`PerfFile::open`](crate::PerfFile::open) goes
    /// back to its start, which only a source that can seek can do.
    File(S),
}

impl<S: Read> PerfData<S> {
    /// Looks at the first bytes of a source that may hold a file or a pipe's stream.
    ///
    /// # Errors
    /// Where they are not perf's ([`Error::NotPerfData`], [`Error::HeaderTruncated`], [`Error::HeaderSize`]), or cannot
    /// be read.
    pub fn open(mut source: S) -> Result<Self, Error> {
        let head = Head::read(&mut source)?;
        Ok(match head.format {
            Format::Pipe(_) => Self::Pipe(PipeStream { source, head }),
            Format::File(_) => Self::File(source),
        })
    }
}

/// A pipe's stream whose header has been read: `struct perf_pipe_file_header`, and behind it records. Where the header is
/// missing, the records start at once.
#[derive(Debug)]
pub struct PipeStream<R> {
    source: R,
    head: Head,
}

impl<R: Read> PipeStream<R> {
    /// Reads the header of a source that must hold a pipe's stream.
    ///
    /// # Errors
    /// [`Error::NotPipe`] where it holds a file, and the errors of [`PerfData::open`].
    pub fn open(source: R) -> Result<Self, Error> {
        match PerfData::open(source)? {
            PerfData::Pipe(stream) => Ok(stream),
            PerfData::File(_) => Err(Error::NotPipe),
        }
    }

    /// The byte order of the records.
    #[must_use]
    pub fn endian(&self) -> Endian {
        self.head.format.endian()
    }

    /// Whether the header is missing.
    #[must_use]
    pub fn is_headless(&self) -> bool {
        self.head.is_missing
    }

    /// The reader of the records, which knows the header.
    #[must_use]
    pub fn records(self) -> RecordReader<R> {
        RecordReader::pipe(self.source, self.head)
    }

    /// The stream of a source that goes on behind what was read of it: of another one than it was opened from.
    #[must_use]
    pub fn from_parts(source: R, head: Head) -> Self {
        Self { source, head }
    }

    /// The source, and what was read of it: for a [`RecordReader::pipe`] out of another source that goes on where this one
    /// is.
    #[must_use]
    pub fn into_parts(self) -> (R, Head) {
        (self.source, self.head)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::PerfFile;
    use crate::header::{FileHeader, FileHeaderWords, pipe_header};

    const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

    #[test]
    fn a_source_is_told_by_its_first_bytes_and_need_not_seek() {
        for endian in ORDERS {
            let stream = [&pipe_header(endian)[..], &[0; 8]].concat();
            let PerfData::Pipe(pipe) = PerfData::open(&stream[..]).unwrap() else { panic!("a file") };
            assert_eq!(pipe.endian(), endian);
            let (rest, head) = pipe.into_parts();
            assert_eq!((rest, head.bytes), (&[0; 8][..], pipe_header(endian)));

            let file = FileHeader::new(FileHeaderWords::default(), endian, []).to_bytes();
            let PerfData::File(rest) = PerfData::open(&file[..]).unwrap() else { panic!("a pipe's stream") };
            assert_eq!(rest, &file[16..]);
        }
        let error = PerfData::open(&b"GIF89a; no perf data"[..]).unwrap_err();
        assert!(matches!(error, Error::NotPerfData { .. }));
    }

    #[test]
    fn a_file_is_opened_from_wherever_its_source_is() {
        for endian in ORDERS {
            let file = FileHeader::new(FileHeaderWords::default(), endian, []);
            let PerfData::File(source) = PerfData::open(Cursor::new(file.to_bytes())).unwrap() else {
                panic!("a pipe's stream")
            };
            assert_eq!(PerfFile::open(source).unwrap().header.endian, endian);
        }
    }

    #[test]
    fn a_file_is_no_pipes_stream() {
        let file = FileHeader::new(FileHeaderWords::default(), Endian::Little, []).to_bytes();
        assert!(matches!(PipeStream::open(&file[..]), Err(Error::NotPipe)));
        let cut = PipeStream::open(&file[..12]).unwrap_err();
        assert!(matches!(cut, Error::HeaderTruncated { have: 12, need: 16 }));
    }

    #[test]
    fn the_records_of_a_stream_stand_behind_its_header() {
        for endian in ORDERS {
            let stream = pipe_header(endian);
            let mut records = PipeStream::open(&stream[..]).unwrap().records();
            assert_eq!((records.offset(), records.endian()), (16, endian));
            assert_eq!(records.take_header(), Some(stream));
            assert_eq!(records.header(), None);
        }
    }
}
