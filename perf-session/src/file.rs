//! A perf.data file: its header, its events, its feature sections, and a reader of its records.

use std::io::{Read, Seek, SeekFrom, Take};

use perf_format::codec::{Decoder, Fixed as _};
use perf_format::header::Section;
use perf_format::{Attr, Error, Feature, FileHeader, Misc, RecordReader, SectionProblem, read_full};

/// An open perf.data file whose header has been read.
#[derive(Debug)]
pub struct PerfFile<S> {
    source: S,
    /// The file's length in bytes.
    len: u64,
    /// The header.
    pub header: FileHeader,
}

/// Bytes that the header of a file has at the most.
const HEADER_SIZE: usize = 104;

/// The most bytes that one section other than the records may have: a table of a million DSOs is smaller.
const SECTION_AT_MOST: u64 = 1 << 28;

impl<S: Read + Seek> PerfFile<S> {
    /// Reads the header at the start of the source.
    ///
    /// # Errors
    /// Where it is no perf.data file, or its records lie outside it.
    pub fn open(mut source: S) -> Result<Self, Error> {
        let io = |source| Error::Io { offset: 0, source };
        let len = source.seek(SeekFrom::End(0)).map_err(io)?;
        source.rewind().map_err(io)?;
        let mut head = [0; HEADER_SIZE];
        let have = read_full(&mut source, &mut head, 0)?;
        let header = FileHeader::parse(head.get(..have).unwrap_or_default())?;
        Ok(Self { source, len, header })
    }

    /// The bytes of a section.
    fn section(&mut self, name: &'static str, section: Section) -> Result<Vec<u8>, Error> {
        let Section { offset, size } = section;
        let wrong = |problem| Error::Section { section: name, offset, size, problem };
        if offset.checked_add(size).is_none_or(|end| end > self.len) {
            return Err(wrong(SectionProblem::Outside { len: self.len }));
        }
        let len = usize::try_from(size).ok().filter(|_| size <= SECTION_AT_MOST);
        let mut bytes = vec![0; len.ok_or_else(|| wrong(SectionProblem::TooLong))?];
        self.source.seek(SeekFrom::Start(offset)).map_err(|source| Error::Io { offset, source })?;
        if read_full(&mut self.source, &mut bytes, offset)? < bytes.len() {
            return Err(wrong(SectionProblem::Outside { len: self.len }));
        }
        Ok(bytes)
    }

    /// The events and their ids.
    ///
    /// # Errors
    /// Where the attrs or their ids lie outside the file, or an attr cannot be read.
    pub fn attrs(&mut self) -> Result<Vec<(Attr, Vec<u64>)>, Error> {
        let section = self.header.words.attrs;
        let bytes = self.section("attrs", section)?;
        let wrong = |problem| Error::Section {
            section: "attrs",
            offset: section.offset,
            size: section.size,
            problem,
        };
        let stride = usize::try_from(self.header.words.attr_size).unwrap_or(usize::MAX);
        if stride < Attr::MIN_SIZE + Section::SIZE {
            return Err(wrong(SectionProblem::Entries));
        }
        let endian = self.header.endian;
        let mut attrs = Vec::new();
        for entry in bytes.chunks_exact(stride) {
            let (attr, ids) = entry.split_at(stride - Section::SIZE);
            let mut d = Decoder::new(attr, 0, endian, Misc::default());
            let attr = d.get().map_err(|_| wrong(SectionProblem::Entries))?;
            let ids = Decoder::new(ids, 0, endian, Misc::default()).get();
            let ids = self.section("ids", ids.map_err(|_| wrong(SectionProblem::Entries))?)?;
            attrs.push((attr, ids.chunks_exact(8).filter_map(|id| endian.u64_at(id, 0)).collect()));
        }
        Ok(attrs)
    }

    /// Whether the file has a feature.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.header.features().any(|other| other == feature)
    }

    /// Where a feature's section is; `None` where the file does not have it.
    ///
    /// # Errors
    /// Where the feature table lies outside the file.
    pub fn feature(&mut self, feature: Feature) -> Result<Option<Section>, Error> {
        let Some(index) = self.header.features().position(|other| other == feature) else { return Ok(None) };
        let table = self.header.feature_table().and_then(|at| at.checked_add((index * Section::SIZE) as u64));
        let entry = Section { offset: table.unwrap_or(u64::MAX), size: Section::SIZE as u64 };
        let bytes = self.section("feature table", entry)?;
        Ok(Decoder::new(&bytes, 0, self.header.endian, Misc::default()).get().ok())
    }

    /// The bytes of a feature's section and where they stand; `None` where the file does not have it.
    ///
    /// # Errors
    /// Where the section or the table that says where it is lies outside the file.
    pub fn feature_bytes(&mut self, feature: Feature) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let Some(section) = self.feature(feature)? else { return Ok(None) };
        let name = feature.name().unwrap_or("feature");
        self.section(name, section).map(|bytes| Some((section.offset, bytes)))
    }

    /// A reader of the records, from the first. Where the header says that there are none, since whoever recorded
    /// did not live to write how many, what is behind the header is read to its end.
    ///
    /// # Errors
    /// Where the source cannot seek there.
    pub fn records(mut self) -> Result<RecordReader<Take<S>>, Error> {
        let Section { offset, size } = self.header.words.data;
        self.source.seek(SeekFrom::Start(offset)).map_err(|source| Error::Io { offset, source })?;
        let size = if size == 0 { self.len.saturating_sub(offset) } else { size };
        Ok(RecordReader::records(self.source.take(size), self.header.endian, offset))
    }

    /// Whether the records end where the header says.
    ///
    /// # Errors
    /// [`Error::Section`] where the file ends before, or the header was never completed.
    pub fn whole(&self) -> Result<(), Error> {
        let Section { offset, size } = self.header.words.data;
        let wrong = |problem| Err(Error::Section { section: "data", offset, size, problem });
        match offset.checked_add(size) {
            _ if size == 0 => wrong(SectionProblem::NotClosed),
            Some(end) if end <= self.len => Ok(()),
            _ => wrong(SectionProblem::Outside { len: self.len }),
        }
    }
}
