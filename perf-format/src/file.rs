//! A perf.data file: its header, its events, its feature sections, and a reader of its records. The source is anything
//! that is `Read` and `Seek`: nothing here opens a file by name.

use std::io::{Read, Seek, SeekFrom, Take};

use crate::attr::Attr;
use crate::codec::{Decoder, Fixed as _};
use crate::header::{FILE_HEADER_LEN, FileHeader, FileHeaderWords, Format, PIPE_HEADER_SIZE, Section};
use crate::limits::{SECTION_AT_LEAST, SECTION_AT_MOST, SECTIONS_READ_AT_MOST, SLACK_AT_MOST};
use crate::misc::Misc;
use crate::preamble::{EventAttr, Preamble};
use crate::read::read_full;
use crate::reader::RecordReader;
use crate::{Error, Feature, SectionProblem, build_id_table};

/// An open perf.data file whose header has been read.
#[derive(Debug)]
pub struct PerfFile<S> {
    source: S,
    /// The file's length in bytes.
    len: u64,
    /// Bytes of sections that have been read.
    sections: u64,
    /// The header.
    pub header: FileHeader,
}

/// The preamble of a file as far as it can be read, and why no more of it.
#[derive(Debug)]
pub struct FilePreamble {
    /// The events, and the features that are whole.
    pub preamble: Preamble,
    /// The features that are damaged, and what is wrong with each.
    pub damaged: Vec<(Feature, Error)>,
    /// The first part that the file ends before: it is cut.
    pub cut: Option<Error>,
}

impl<S: Read + Seek> PerfFile<S> {
    /// Reads the header at the start of the source.
    ///
    /// # Errors
    /// Where it is no perf.data file, or its records lie outside it.
    pub fn open(mut source: S) -> Result<Self, Error> {
        let io = |source| Error::Io { offset: 0, source };
        let len = source.seek(SeekFrom::End(0)).map_err(io)?;
        source.rewind().map_err(io)?;
        let mut head = [0; FILE_HEADER_LEN];
        let have = read_full(&mut source, &mut head, 0)?;
        let header = FileHeader::parse(head.get(..have).unwrap_or_default())?;
        Ok(Self { source, len, sections: 0, header })
    }

    /// The bytes of a section.
    fn section(&mut self, name: &'static str, section: Section) -> Result<Vec<u8>, Error> {
        let Section { offset, size } = section;
        let wrong = |problem| Error::Section { section: name, offset, size, problem };
        if offset.checked_add(size).is_none_or(|end| end > self.len) {
            return Err(wrong(SectionProblem::Outside { len: self.len }));
        }
        // Sections that lie over each other may add up to anything.
        self.sections = self.sections.saturating_add(size);
        let enough = self.len.saturating_mul(SECTIONS_READ_AT_MOST).max(SECTION_AT_LEAST);
        let len = usize::try_from(size).ok().filter(|_| size <= SECTION_AT_MOST && self.sections <= enough);
        let mut bytes = vec![0; len.ok_or_else(|| wrong(SectionProblem::TooLong))?];
        self.source.seek(SeekFrom::Start(offset)).map_err(|source| Error::Io { offset, source })?;
        if read_full(&mut self.source, &mut bytes, offset)? < bytes.len() {
            return Err(wrong(SectionProblem::Outside { len: self.len }));
        }
        Ok(bytes)
    }

    /// The events.
    ///
    /// # Errors
    /// Where the attrs or their ids lie outside the file.
    pub fn events(&mut self) -> Result<Vec<EventAttr>, Error> {
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
        let mut events = Vec::new();
        for entry in bytes.chunks_exact(stride) {
            let (attr, ids) = entry.split_at(stride - Section::SIZE);
            let ids = Decoder::new(ids, 0, self.header.endian, Misc::default()).get();
            let ids = self.section("ids", ids.map_err(|_| wrong(SectionProblem::Entries))?)?;
            let ids = ids.chunks_exact(8).filter_map(|id| self.header.endian.u64_at(id, 0)).collect();
            events.push(EventAttr { attr: attr.to_vec(), ids });
        }
        Ok(events)
    }

    /// The preamble of the records: the events and all features that are whole. Of a file that was never closed, it is the
    /// events alone.
    ///
    /// # Errors
    /// Where the events lie outside the file, or the file is cut inside its features.
    pub fn preamble(&mut self) -> Result<Preamble, Error> {
        let FilePreamble { preamble, cut, .. } = self.preamble_as_far()?;
        cut.map_or(Ok(preamble), Err)
    }

    /// The preamble as far as it can be read, and what is wrong with the features that are not in it.
    ///
    /// # Errors
    /// Where the events lie outside the file, or it cannot be read.
    pub fn preamble_as_far(&mut self) -> Result<FilePreamble, Error> {
        let preamble = Preamble::new(self.header.endian, self.events()?);
        let mut read = FilePreamble { preamble, damaged: Vec::new(), cut: None };
        if !self.is_closed() {
            return Ok(read);
        }
        let mut sections = Vec::new();
        for feature in self.header.features().collect::<Vec<_>>() {
            match self.feature(feature) {
                Ok(section) => sections.extend(section.map(|section| (feature, section))),
                Err(error @ Error::Io { .. }) => return Err(error),
                // So it is with all behind it.
                Err(error) => read.cut = read.cut.or(Some(error)),
            }
        }
        let table = self.header.feature_table().unwrap_or_default();
        let table_end = table.saturating_add((sections.len() * Section::SIZE) as u64);
        // Writers put one section behind the other, so that a cut is told from sizes and offsets that are no more.
        let in_order = sections.iter().try_fold(table_end, |end, (_, section)| {
            section.offset.checked_add(section.size).filter(|_| section.offset >= end)
        });
        let mut first = u64::MAX;
        for (feature, section) in sections {
            match self.feature_section(feature, section) {
                Ok(bytes) => {
                    first = first.min(section.offset);
                    read.preamble.features.insert(feature, bytes);
                }
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(error @ Error::Section { problem: SectionProblem::Outside { .. }, .. })
                    if in_order.is_some() =>
                {
                    read.cut = read.cut.or(Some(error));
                }
                Err(error) => read.damaged.push((feature, error)),
            }
        }
        let slack = first.checked_sub(table_end).filter(|slack| *slack <= SLACK_AT_MOST);
        read.preamble.slack = slack.unwrap_or(0);
        Ok(read)
    }

    /// The bytes of a feature, where they are in the file and no other part of it lies over them. A table of build-ids is
    /// read to its end.
    fn feature_section(&mut self, feature: Feature, section: Section) -> Result<Vec<u8>, Error> {
        let name = feature.name().unwrap_or("feature");
        let bytes = self.section(name, section)?;
        let FileHeaderWords { size, attrs, data, .. } = self.header.words;
        let others = [("header", Section { offset: 0, size }), ("attrs", attrs), ("data", data)];
        if let Some((other, _)) = others.iter().find(|(_, other)| overlap(other, &section)) {
            let Section { offset, size } = section;
            let problem = SectionProblem::Overlaps(other);
            return Err(Error::Section { section: name, offset, size, problem });
        }
        if feature == Feature::BUILD_ID {
            build_id_table(&bytes, section.offset, self.header.endian)
                .try_for_each(|entry| entry.map(drop))?;
        }
        Ok(bytes)
    }

    /// Whether the recording was closed: `perf record` writes the size of the data at its end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.header.words.data.size != 0
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
    /// Where the section or the table that says where it is lies outside the file, another part of the file lies over it, or
    /// it is a table of build-ids with entries that cannot be read.
    pub fn feature_bytes(&mut self, feature: Feature) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let Some(section) = self.feature(feature)? else { return Ok(None) };
        self.feature_section(feature, section).map(|bytes| Some((section.offset, bytes)))
    }

    /// A reader of the records, from the first. Where the header has a data size of 0, since the recorder ended before
    /// it could write the size, the file is read to its end.
    ///
    /// # Errors
    /// Where the source cannot seek there.
    pub fn records(&mut self) -> Result<RecordReader<Take<&mut S>>, Error> {
        let (offset, endian) = (self.header.words.data.offset, self.header.endian);
        Ok(RecordReader::records(self.record_bytes()?, endian, offset))
    }

    /// The bytes of the records, read as far as [`records`](Self::records) goes.
    ///
    /// # Errors
    /// Where the source cannot seek there.
    pub fn record_bytes(&mut self) -> Result<Take<&mut S>, Error> {
        let size = self.records_len();
        Ok(self.at_records()?.take(size))
    }

    /// The same, and the file with them.
    ///
    /// # Errors
    /// Where the source cannot seek there.
    pub fn into_record_bytes(mut self) -> Result<Take<S>, Error> {
        let size = self.records_len();
        self.at_records()?;
        Ok(self.source.take(size))
    }

    fn records_len(&self) -> u64 {
        let Section { offset, size } = self.header.words.data;
        if size == 0 { self.len.saturating_sub(offset) } else { size }
    }

    /// The source, at the first record, for a caller that copies the records.
    ///
    /// # Errors
    /// Where it cannot seek there.
    pub fn at_records(&mut self) -> Result<&mut S, Error> {
        let offset = self.header.words.data.offset;
        self.source.seek(SeekFrom::Start(offset)).map_err(|source| Error::Io { offset, source })?;
        Ok(&mut self.source)
    }

    /// Checks that the records end where the header says, or that the header was never completed.
    ///
    /// # Errors
    /// [`Error::Section`] where the file ends before.
    pub fn check_complete_or_unclosed(&self) -> Result<(), Error> {
        if self.is_closed() { self.check_complete() } else { Ok(()) }
    }

    /// Checks that the records end where the header says.
    ///
    /// # Errors
    /// [`Error::Section`] where the file ends before, or the header was never completed.
    pub fn check_complete(&self) -> Result<(), Error> {
        let Section { offset, size } = self.header.words.data;
        let wrong = |problem| Err(Error::Section { section: "data", offset, size, problem });
        match offset.checked_add(size) {
            _ if size == 0 => wrong(SectionProblem::NotClosed),
            Some(end) if end <= self.len => Ok(()),
            _ => wrong(SectionProblem::Outside { len: self.len }),
        }
    }

    /// Checks that no other recording stands behind this one. Where the file was never closed its records go to its end,
    /// and their reader finds it.
    ///
    /// # Errors
    /// [`Error::AnotherRecording`] where one does, and [`Error::Io`].
    pub fn check_alone(&mut self) -> Result<(), Error> {
        let features: Vec<_> = self.header.features().collect();
        let FileHeaderWords { size, attrs, data, .. } = self.header.words;
        let table = Section {
            offset: self.header.feature_table().unwrap_or(u64::MAX),
            size: (features.len() * Section::SIZE) as u64,
        };
        let mut sections = vec![Section { offset: 0, size }, attrs, data, table];
        sections.extend(features.into_iter().filter_map(|feature| self.feature(feature).ok().flatten()));
        let ends = sections.iter().map(|section| section.offset.saturating_add(section.size));
        let end = ends.max().unwrap_or(u64::MAX);
        if end >= self.len || !self.is_closed() {
            return Ok(());
        }
        let io = |source| Error::Io { offset: end, source };
        self.source.seek(SeekFrom::Start(end)).map_err(io)?;
        let mut head = [0; PIPE_HEADER_SIZE];
        let have = read_full(&mut self.source, &mut head, end)?;
        match Format::detect(head.get(..have).unwrap_or_default()) {
            Ok(_) => Err(Error::AnotherRecording { offset: end }),
            Err(_) => Ok(()),
        }
    }

    /// Checks that header, attrs and records each have their own place.
    ///
    /// # Errors
    /// [`Error::Section`] with the first that lies over another.
    pub fn check_overlaps(&self) -> Result<(), Error> {
        let FileHeaderWords { size, attrs, data, .. } = self.header.words;
        let header = Section { offset: 0, size };
        let places = [("header", header), ("attrs", attrs), ("data", data)];
        for (index, (section, place)) in places.iter().enumerate() {
            let Section { offset, size } = *place;
            if let Some((other, _)) = places.iter().take(index).find(|(_, other)| overlap(other, place)) {
                let problem = SectionProblem::Overlaps(other);
                return Err(Error::Section { section, offset, size, problem });
            }
        }
        Ok(())
    }
}

fn overlap(a: &Section, b: &Section) -> bool {
    let ends_before = |a: &Section, b: &Section| a.offset.saturating_add(a.size) <= b.offset;
    a.size > 0 && b.size > 0 && !ends_before(a, b) && !ends_before(b, a)
}
