//! Reads a recording, wherever it is, and gives its records with what they add up to: the session's front door. The one
//! file here that opens recordings by name.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use perf_format::{FilePreamble, PerfData, PerfFile, PipeStream, Preamble, RecordReader, Section};

use crate::data_files::DataFiles;
use crate::error::Error;
use crate::ordered::{Ordered, Wants};
use crate::session::Session;
use crate::session_record::SessionRecord;
use crate::sink::Passed;
use crate::unpack::{Packing, UnpackedFile, UnpackedStream};

/// Where records come from.
type Source<'s> = Box<dyn Read + Send + 's>;

/// Reads the records of a recording in the order of time, each after the session has taken it in.
///
/// It lends: a record can be used until the next call of [`next`](Self::next).
///
/// ```no_run
/// # fn main() -> Result<(), perf_session::Error> {
/// let mut reader = perf_session::SessionReader::open("perf.data")?;
/// while let Some(record) = reader.next()? {
///     if let Some(sample) = record.sample()? {
///         println!("{:?} {:x?}", record.time(), sample.ip);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// The order is that of perf: records of the kernel are sorted by their times, as far as FINISHED_ROUND records say that
/// no earlier one can come; those of one time stay in the order of the stream. Records that have no time, such as those
/// that perf itself writes, come where they stand. Records inside COMPRESSED and COMPRESSED2 records take the place of
/// these. The records in front of a pipe's stream that a file has as its header (HEADER_ATTR, HEADER_FEATURE,
/// TRACING_DATA) go into the session and are not given. At most 64 MiB of records wait for their time; of more, the
/// earlier half is given.
pub struct SessionReader<'s> {
    session: Session,
    preamble: Preamble,
    readers: Vec<RecordReader<Source<'s>>>,
    ordered: Ordered,
    /// Whether the recorder came to its end, as far as is known.
    is_closed: bool,
    /// What is wrong with the recording as a whole.
    incomplete: Option<perf_format::Error>,
}

impl fmt::Debug for SessionReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionReader").field("session", &self.session).finish_non_exhaustive()
    }
}

impl SessionReader<'static> {
    /// Opens a recording by its name: a file in perf's file format, a pipe's stream in a file or a FIFO, either of them
    /// packed by gzip, xz or zstd, or the directory of `perf record --threads`.
    ///
    /// A packed file in perf's file format is unpacked three times, since what its records mean stands behind them.
    ///
    /// # Errors
    /// [`Error::Open`] where there is no such file, or no recording in the directory; otherwise as
    /// [`from_source`](Self::from_source).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Self::of_file(open(path)?);
        }
        let Some(DataFiles { first, others }) = DataFiles::find(path) else {
            return Self::of_file(open(&path.join("data"))?);
        };
        let mut reader = Self::of_file(open(&first)?)?;
        let others = others.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        let endian = reader.ordered.endian();
        reader.readers.extend(others.into_iter().map(|file| RecordReader::records(boxed(file), endian, 0)));
        reader.ordered = Ordered::new(reader.readers.len(), endian, Wants::All);
        Ok(reader)
    }

    fn of_file(mut file: File) -> Result<Self, Error> {
        let mut magic = Vec::new();
        let io = |source| perf_format::Error::Io { offset: 0, source };
        (&mut file).take(Packing::MAGIC_SIZE as u64).read_to_end(&mut magic).map_err(io)?;
        let packing = Packing::detect(&magic);
        let is_pipe =
            file.metadata().is_ok_and(|meta| meta.file_type().is_fifo() || meta.file_type().is_socket());
        if is_pipe || file.rewind().is_err() {
            let stream = io::Cursor::new(magic).chain(file);
            return match packing {
                Some(packing) => Self::from_stream(UnpackedStream::new(packing, stream)),
                None => Self::from_stream(stream),
            };
        }
        match packing {
            None => Self::from_source(file),
            Some(packing) => Self::from_source(UnpackedFile::new(packing, file)),
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })
}

fn boxed<'s>(source: impl Read + Send + 's) -> Source<'s> {
    Box::new(source)
}

impl<'s> SessionReader<'s> {
    /// Reads a source that can seek, from its start on: a file in perf's file format, or a pipe's stream. It is not
    /// unpacked.
    ///
    /// # Errors
    /// [`Error::Format`] where it cannot be read, is no perf data, or its events cannot be read. Of features that cannot, it
    /// is only logged which.
    pub fn from_source(mut source: impl Read + Seek + Send + 's) -> Result<Self, Error> {
        let io = |source| perf_format::Error::Io { offset: 0, source };
        source.rewind().map_err(io)?;
        let mut source = match PerfData::open(source)? {
            PerfData::Pipe(stream) => return Self::of_pipe(stream),
            PerfData::File(source) => source,
        };
        let mut file = PerfFile::open(&mut source)?;
        let FilePreamble { preamble, damaged, cut } = file.preamble_as_far()?;
        for (feature, error) in damaged {
            log::warn!("the {feature} feature is damaged, and left out: {error}");
        }
        let incomplete = file.check_complete_or_unclosed().err().or(cut);
        let (Section { offset, size }, is_closed) = (file.header.words.data, file.is_closed());
        source.seek(SeekFrom::Start(offset)).map_err(|source| perf_format::Error::Io { offset, source })?;
        let records = source.take(if is_closed { size } else { u64::MAX });
        let reader = RecordReader::records(boxed(records), preamble.endian, offset);
        Ok(Self { is_closed, incomplete, ..Self::new(reader, preamble)? })
    }

    /// Reads a pipe's stream. It is not unpacked.
    ///
    /// # Errors
    /// [`Error::Format`] where it cannot be read, is no perf data, or in perf's file format, which needs a source that
    /// can seek.
    pub fn from_stream(source: impl Read + Send + 's) -> Result<Self, Error> {
        Self::of_pipe(PipeStream::open(source)?)
    }

    fn of_pipe(stream: PipeStream<impl Read + Send + 's>) -> Result<Self, Error> {
        let (source, head) = stream.into_parts();
        let mut records = RecordReader::pipe(boxed(source), head);
        let preamble = Preamble::read_from_pipe(&mut records)?;
        Self::new(records, preamble)
    }

    fn new(reader: RecordReader<Source<'s>>, preamble: Preamble) -> Result<Self, Error> {
        let mut session = Session::new();
        session.keep_comms();
        session.load_preamble(&preamble)?;
        Ok(Self {
            session,
            preamble,
            ordered: Ordered::new(1, reader.endian(), Wants::All),
            readers: vec![reader],
            is_closed: true,
            incomplete: None,
        })
    }

    /// Makes the reader give the records in the order in which they stand in the stream: nothing waits, and nothing is
    /// copied. What the session knows at a record may then be later than the record; lookups as of a time are right all
    /// the same, for two rounds. Of a directory, one file is read after the other.
    #[must_use]
    pub fn unsorted(self) -> Self {
        Self { ordered: self.ordered.unsorted(), ..self }
    }

    /// The next record, after the session has taken it in; `None` at the end. One that does not fit its type is given as
    /// well, and counted in [`Session::anomalies`].
    ///
    /// # Errors
    /// [`Error::Format`] where the recording cannot be read on, once, behind the last record that can.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<SessionRecord<'_>>, Error> {
        let Self { session, readers, ordered, is_closed, incomplete, .. } = self;
        if !ordered.advance(readers, &session.evlist) {
            let error = match ordered.take_error() {
                Some(Error::Format(error @ perf_format::Error::Truncated { .. })) if !*is_closed => {
                    log::warn!("the recording was never closed, and {error}");
                    None
                }
                error => error.or(incomplete.take().map(Error::from)),
            };
            return error.map_or(Ok(None), Err);
        }
        let Some(record) = ordered.current(readers) else { return Ok(None) };
        session.take_in(&record);
        Ok(Some(SessionRecord { record, session }))
    }

    /// The events and features of the recording: a file's, or those in front of a pipe's stream. What is damaged of a file
    /// is not there.
    #[must_use]
    pub fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    /// The session: what the records so far add up to.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, to set how it treats records ([`Session::jit_names`]) before the first one is read.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Counts of what was read.
    #[must_use]
    pub fn passed(&self) -> Passed {
        self.ordered.passed
    }
}
