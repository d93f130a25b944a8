//! Reads a recording record by record, whatever holds it: a file, a pipe's stream, compressed or not.

use std::io::{Read, Seek, Take};

use crate::compressed::Inflater;
use crate::header::FileHeader;
use crate::open::PerfData;
use crate::raw::{RawRecord, RecordPlace};
use crate::reader::RecordReader;
use crate::record_type::RecordType;
use crate::{Endian, Error, FilePreamble, PerfFile, PipeStream, Preamble};

/// A recording that is open: its events and features, and its records one after the other.
///
/// Records come in the order of the recording, which is that of time only within limits (FINISHED_ROUND). Those inside
/// COMPRESSED and COMPRESSED2 records are given in the place of these, and the data behind TRACING_DATA and AUXTRACE
/// records is skipped. Where a recording is to be written again as it stood, [`RecordReader`] is what shows that.
///
/// ```
/// use perf_format::{PerfReader, Record};
///
/// # let bytes = perf_format::testing::StreamBuilder::new(perf_format::Endian::Little).finished_round().bytes();
/// let mut reader = PerfReader::open_stream(&bytes[..])?;
/// println!("{} events", reader.preamble().events.len());
/// while let Some(record) = reader.next_record()? {
///     if let Record::Comm(comm) = record.parse()? {
///         println!("{} is {}", comm.tid, comm.comm);
///     }
/// }
/// # Ok::<(), perf_format::Error>(())
/// ```
#[derive(Debug)]
pub struct PerfReader<S> {
    records: RecordReader<Take<S>>,
    preamble: Preamble,
    file: Option<FileHeader>,
    problems: Vec<Error>,
    inflater: Option<Inflater>,
    /// The compressed record that is being inflated.
    outer: Option<RecordPlace>,
}

impl<S: Read + Seek> PerfReader<S> {
    /// Opens a perf.data file or a pipe's stream; the first bytes say which it is. A file is read from the start of the
    /// source, a pipe's stream from where the source is. The source need not be buffered: it is read 1 MiB at a time.
    ///
    /// Features of a file that are damaged are left out of the [`preamble`](Self::preamble), see
    /// [`problems`](Self::problems). A file that was never closed has events and no features, and its records are read to
    /// its end.
    ///
    /// # Errors
    /// Where the source holds no recording, its events cannot be read, or it cannot be read or sought.
    pub fn open(source: S) -> Result<Self, Error> {
        let source = match PerfData::open(source)? {
            PerfData::Pipe(stream) => return Self::pipe(stream),
            PerfData::File(source) => source,
        };
        let mut file = PerfFile::open(source)?;
        let FilePreamble { preamble, damaged, cut } = file.preamble_as_far()?;
        let header = file.header.clone();
        let (offset, endian) = (header.words.data.offset, header.endian);
        Ok(Self {
            records: RecordReader::records(file.into_record_bytes()?, endian, offset),
            preamble,
            file: Some(header),
            problems: damaged.into_iter().map(|(_, error)| error).chain(cut).collect(),
            inflater: None,
            outer: None,
        })
    }
}

impl<S: Read> PerfReader<S> {
    /// Opens a pipe's stream, what `perf record -o -` writes: standard input, a socket, a file that holds such a stream.
    ///
    /// # Errors
    /// [`Error::NotPipe`] where the source holds a file, for which a reader has to seek: see [`open`](Self::open). Where
    /// it holds no recording or cannot be read.
    pub fn open_stream(source: S) -> Result<Self, Error> {
        Self::pipe(PipeStream::open(source)?)
    }

    fn pipe(stream: PipeStream<S>) -> Result<Self, Error> {
        let (source, head) = stream.into_parts();
        let mut records = RecordReader::pipe(source.take(u64::MAX), head);
        let preamble = Preamble::read_from_pipe(&mut records)?;
        Ok(Self { records, preamble, file: None, problems: Vec::new(), inflater: None, outer: None })
    }

    /// The events and the features. Of a pipe's stream, those that stand in front of all other records
    /// ([`Preamble::read_from_pipe`]); others, which only writers other than perf put there, come as records.
    #[must_use]
    pub fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    /// The header of a file; `None` for a pipe's stream.
    #[must_use]
    pub fn file_header(&self) -> Option<&FileHeader> {
        self.file.as_ref()
    }

    /// What is wrong with the features of a file that are not in the [`preamble`](Self::preamble): damage to one of them, or
    /// the end of the file before them.
    #[must_use]
    pub fn problems(&self) -> &[Error] {
        &self.problems
    }

    /// The byte order of the records.
    #[must_use]
    pub fn endian(&self) -> Endian {
        self.records.endian()
    }

    /// The next record; `None` at the end of the recording. A record that was compressed has the offset of the one that it
    /// was in.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Truncated`] and [`Error::PayloadTruncated`] where the recording ends inside a record or the
    /// data behind it; [`Error::RecordTooSmall`], [`Error::AnotherRecording`] and [`Error::Text`] where something stands
    /// that is no record: nothing can be read behind it, and the error comes again. Behind [`Error::Inflate`] the next
    /// call gives the record after the compressed one.
    #[inline]
    pub fn next_record(&mut self) -> Result<Option<RawRecord<'_>>, Error> {
        if self.outer.is_none() {
            let Some(place) = self.records.step()? else { return Ok(None) };
            if !is_compressed(place) {
                return Ok(Some(self.records.at(place)));
            }
            self.begin(place)?;
        }
        self.next_inside()
    }

    /// The reader of the records and what was read in front of them, for a loop that takes batches of them or leaves the
    /// compressed ones as they are.
    #[must_use]
    pub fn into_parts(self) -> (Preamble, RecordReader<Take<S>>) {
        (self.preamble, self.records)
    }

    fn begin(&mut self, place: RecordPlace) -> Result<(), Error> {
        self.inflater.get_or_insert_default().begin(&self.records.at(place))?;
        self.outer = Some(place);
        Ok(())
    }

    /// The next record inside the compressed ones, or the next behind them.
    fn next_inside(&mut self) -> Result<Option<RawRecord<'_>>, Error> {
        loop {
            if let Some(outer) = self.outer {
                match self.step_inside(outer).inspect_err(|_| self.outer = None)? {
                    Some(place) => {
                        let outer = self.records.at(outer);
                        return Ok(self.inflater.as_ref().map(|inflater| inflater.at(place, &outer)));
                    }
                    None => self.outer = None,
                }
            }
            let Some(place) = self.records.step()? else { return Ok(None) };
            if !is_compressed(place) {
                return Ok(Some(self.records.at(place)));
            }
            self.begin(place)?;
        }
    }

    fn step_inside(&mut self, outer: RecordPlace) -> Result<Option<RecordPlace>, Error> {
        let outer = self.records.at(outer);
        let inflater = self.inflater.get_or_insert_default();
        loop {
            if let Some(place) = inflater.step(&outer)? {
                return Ok(Some(place));
            }
            if !inflater.inflate_more(&outer)? {
                return Ok(None);
            }
        }
    }
}

fn is_compressed(place: RecordPlace) -> bool {
    matches!(place.header.record_type, RecordType::COMPRESSED | RecordType::COMPRESSED2)
}
