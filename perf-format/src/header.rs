//! The headers of perf data: the sixteen bytes before a pipe's records, and the header of a file.

use std::io::Read;

use crate::attr::Attr;
use crate::codec::{Decoder, Encoder, Fixed as _, layout};
use crate::misc::Misc;
use crate::raw::RecordHeader;
use crate::read::read_full;
use crate::record_type::RecordType;
use crate::{Endian, Error, Feature};

/// `PERFILE2`, as a machine stores it in its own order: read as a little-endian word, this is the magic.
const MAGIC2: u64 = 0x3245_4c49_4652_4550;

/// `PERFFILE`: version 1, before Linux 2.6.38. Its byte order is not in the magic.
const MAGIC1: &[u8; 8] = b"PERFFILE";

/// All that perf data may start with.
pub(crate) const MAGICS: [&[u8; 8]; 3] = [b"PERFILE2", b"2ELIFREP", MAGIC1];

/// Bytes before a pipe's first record: magic and the header's size.
pub const PIPE_HEADER_SIZE: usize = 16;

/// Bytes of a file's header.
pub const FILE_HEADER_LEN: usize = 104;

/// The value of a file header's own size field.
pub const FILE_HEADER_SIZE: u64 = FILE_HEADER_LEN as u64;

/// The file header's size before there were features: it ends where the bitmap would start.
const FILE_HEADER_SIZE_OLD: u64 = 72;

/// The format of an input, which its first sixteen bytes declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Records follow at once: `struct perf_pipe_file_header`.
    Pipe(Endian),
    /// The header of a file: `struct perf_file_header`.
    File(Endian),
}

impl Format {
    /// Detects whether an input is a pipe's stream or a file, and its byte order.
    ///
    /// # Errors
    /// Where the bytes start with no magic of perf's, or with a header size that neither has.
    pub fn detect(head: &[u8]) -> Result<Self, Error> {
        let magic = head.get(..8).unwrap_or(head);
        let endian = match magic.first_chunk().map(|magic| u64::from_le_bytes(*magic)) {
            Some(MAGIC2) => Some(Endian::Little),
            Some(word) if word == MAGIC2.swap_bytes() => Some(Endian::Big),
            _ if magic == MAGIC1 => None,
            _ => return Err(Error::NotPerfData { magic: magic.to_vec() }),
        };
        let truncated = Error::HeaderTruncated { have: head.len(), need: PIPE_HEADER_SIZE };
        let Some(size) = head.get(8..16).and_then(|size| size.first_chunk()) else { return Err(truncated) };
        // The old magic has no byte order; the size, a small number, shows it.
        let endian = endian.unwrap_or_else(|| {
            let little = u64::from_le_bytes(*size);
            if little <= little.swap_bytes() { Endian::Little } else { Endian::Big }
        });
        match endian.u64(*size) {
            16 => Ok(Self::Pipe(endian)),
            FILE_HEADER_SIZE | FILE_HEADER_SIZE_OLD => Ok(Self::File(endian)),
            size => Err(Error::HeaderSize { size }),
        }
    }

    /// The byte order.
    #[must_use]
    pub fn endian(self) -> Endian {
        match self {
            Self::Pipe(endian) | Self::File(endian) => endian,
        }
    }
}

/// The first sixteen bytes of an input and the format that they declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The format.
    pub format: Format,
    /// The bytes: all of a pipe's header, the start of a file's, or, where the header is missing, the start of the first
    /// record.
    pub bytes: [u8; PIPE_HEADER_SIZE],
    /// Whether the header is missing: perf 6.1's `inject -i FILE` leaves that of a pipe out.
    pub is_missing: bool,
}

impl Head {
    /// Reads them from the start of a source. One that starts with the first record of a pipe's stream, an attr or a
    /// feature, is such a stream without its header.
    ///
    /// # Errors
    /// The errors of [`Format::detect`], or [`Error::Io`].
    pub fn read(source: &mut impl Read) -> Result<Self, Error> {
        let mut bytes = [0; PIPE_HEADER_SIZE];
        let have = read_full(source, &mut bytes, 0)?;
        match Format::detect(bytes.get(..have).unwrap_or_default()) {
            Ok(format) => Ok(Self { format, bytes, is_missing: false }),
            Err(error) => {
                let endian =
                    [Endian::Little, Endian::Big].into_iter().find(|endian| begins_a_pipe(&bytes, *endian));
                endian
                    .map(|endian| Self { format: Format::Pipe(endian), bytes, is_missing: true })
                    .ok_or(error)
            }
        }
    }

    /// Where the records of a pipe's stream start, in bytes from the start of the input.
    #[must_use]
    pub fn records_at(&self) -> u64 {
        if self.is_missing { 0 } else { PIPE_HEADER_SIZE as u64 }
    }

    /// Those of the bytes that are of the first record.
    #[must_use]
    pub fn record_bytes(&self) -> &[u8] {
        if self.is_missing { &self.bytes } else { &[] }
    }

    /// The header of a pipe, as it stood or should have stood.
    #[must_use]
    pub fn pipe_header(&self) -> [u8; PIPE_HEADER_SIZE] {
        if self.is_missing { pipe_header(self.format.endian()) } else { self.bytes }
    }
}

/// Whether bytes are the start of a record that the records of a pipe start with: of an attr, or of a feature.
fn begins_a_pipe(bytes: &[u8; PIPE_HEADER_SIZE], endian: Endian) -> bool {
    let Some(head) = bytes.first_chunk() else { return false };
    let RecordHeader { record_type, misc, size } = RecordHeader::from_bytes(*head, endian);
    let size = usize::from(size);
    let body_fits = match record_type {
        RecordType::HEADER_ATTR => {
            let attr_size = endian.u32_at(bytes, 12).and_then(|size| usize::try_from(size).ok());
            attr_size.is_some_and(|attr| {
                attr >= Attr::MIN_SIZE && attr % 8 == 0 && RecordHeader::SIZE + attr <= size
            })
        }
        RecordType::HEADER_FEATURE => {
            size >= PIPE_HEADER_SIZE
                && endian.u64_at(bytes, 8).is_some_and(|feature| feature < FileHeader::FEATURES)
        }
        _ => false,
    };
    misc == Misc::default() && body_fits
}

/// The bytes of a pipe's header in the given order.
#[must_use]
pub fn pipe_header(endian: Endian) -> [u8; PIPE_HEADER_SIZE] {
    let [a, b, c, d, e, f, g, h] = endian.put_u64(MAGIC2);
    let [i, j, k, l, m, n, o, p] = endian.put_u64(PIPE_HEADER_SIZE as u64);
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

layout! {
    /// Where a part of a file is, `struct perf_file_section`.
    pub fixed struct Section {
        /// Bytes from the start of the file.
        pub offset: u64 as Hex,
        /// Its length in bytes.
        pub size: u64 as Hex,
    }
}

layout! {
    /// The fixed words of `struct perf_file_header`.
    pub fixed struct FileHeaderWords {
        /// The magic, as it stands.
        pub magic: [u8; 8] as Text,
        /// The header's own size in bytes.
        pub size: u64 as Hex,
        /// Bytes from one attr to the next: an attr and a [`Section`] of ids.
        pub attr_size: u64 as Number,
        /// The attrs.
        pub attrs: Section,
        /// The records.
        pub data: Section,
        /// Event types, which perf no longer writes.
        pub event_types: Section,
    }
}

/// The header of a file, `struct perf_file_header`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHeader {
    /// The words before the bitmap.
    pub words: FileHeaderWords,
    /// The byte order of the file.
    pub endian: Endian,
    features: [u64; 4],
}

impl FileHeader {
    /// How many features the bitmap has bits for.
    pub const FEATURES: u64 = 256;

    /// A header with these features; those that the bitmap has no bit for are left out.
    #[must_use]
    pub fn new(words: FileHeaderWords, endian: Endian, features: impl IntoIterator<Item = Feature>) -> Self {
        let mut bits = [0; 4];
        for Feature(bit) in features {
            if let Some(word) = bits.get_mut(bit as usize / 64) {
                *word |= 1_u64 << (bit % 64);
            }
        }
        let words = FileHeaderWords { magic: endian.put_u64(MAGIC2), size: FILE_HEADER_SIZE, ..words };
        Self { words, endian, features: bits }
    }

    /// The header's bytes, [`FILE_HEADER_SIZE`] of them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut e = Encoder::new(&mut bytes, self.endian, Misc::default());
        e.put(&self.words);
        self.features.iter().for_each(|word| e.put(word));
        bytes
    }

    /// Reads the header at the start of a file.
    ///
    /// # Errors
    /// Where it is no perf data, a pipe's stream, or cut short.
    pub fn parse(head: &[u8]) -> Result<Self, Error> {
        let endian = match Format::detect(head)? {
            Format::File(endian) => endian,
            Format::Pipe(_) => return Err(Error::HeaderSize { size: PIPE_HEADER_SIZE as u64 }),
        };
        let need = match endian.u64_at(head, 8) {
            Some(FILE_HEADER_SIZE_OLD) => FileHeaderWords::SIZE,
            _ => FileHeaderWords::SIZE + 32,
        };
        let truncated = || Error::HeaderTruncated { have: head.len(), need };
        let mut d = Decoder::new(head.get(..need).ok_or_else(truncated)?, 0, endian, Misc::default());
        let words: FileHeaderWords = d.get().map_err(|_| truncated())?;
        let bitmap = d.rest().first_chunk::<32>().copied().unwrap_or_default();
        Ok(Self { words, endian, features: features(&bitmap, endian) })
    }

    /// The features that the file has, in the order of its table.
    pub fn features(&self) -> impl Iterator<Item = Feature> {
        let words = self.features;
        (0u32..256).filter(move |bit| bit_of(&words, *bit)).map(Feature)
    }

    /// Where the feature table starts: right behind the records.
    #[must_use]
    pub fn feature_table(&self) -> Option<u64> {
        self.words.data.offset.checked_add(self.words.data.size)
    }
}

fn bit_of(words: &[u64; 4], bit: u32) -> bool {
    words.get(bit as usize / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

/// The bitmap is an array of longs: words of eight bytes where a long had eight, of four where it had four. A
/// recording always has a host name, which tells them apart where the order is not ours; where neither has it,
/// only the build-ids can be trusted to be there.
fn features(bitmap: &[u8; 32], endian: Endian) -> [u64; 4] {
    let words = |read: &dyn Fn(&[u8]) -> u64| {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bitmap.chunks_exact(8)) {
            *word = read(bytes);
        }
        words
    };
    let wide = words(&|bytes| endian.u64_at(bytes, 0).unwrap_or_default());
    // Where there is none at all, it is no matter how wide the words are.
    if endian == Endian::NATIVE || bit_of(&wide, Feature::HOSTNAME.0) || wide == [0; 4] {
        return wide;
    }
    let narrow = words(&|bytes| {
        let half = |at| u64::from(endian.u32_at(bytes, at).unwrap_or_default());
        half(0) | half(4) << 32
    });
    if bit_of(&narrow, Feature::HOSTNAME.0) {
        return narrow;
    }
    [1 << Feature::BUILD_ID.0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_header_is_told_in_both_orders() {
        for endian in [Endian::Little, Endian::Big] {
            assert_eq!(Format::detect(&pipe_header(endian)).unwrap(), Format::Pipe(endian));
        }
        assert_eq!(&pipe_header(Endian::Little)[..8], b"PERFILE2");
        assert_eq!(&pipe_header(Endian::Big)[..8], b"2ELIFREP");
    }

    #[test]
    fn a_pipe_without_its_header_is_told_by_its_first_record() {
        for endian in [Endian::Little, Endian::Big] {
            let head = |record_type, size, at_eight: [u8; 8]| {
                let header = RecordHeader { record_type, misc: Misc::default(), size };
                let bytes = [header.to_bytes(endian), at_eight].concat();
                Head::read(&mut &bytes[..]).map(|head| (head.format, head.is_missing))
            };
            let attr = |size| {
                let [a, b, c, d] = endian.put_u32(size);
                [1, 2, 3, 4, a, b, c, d]
            };
            let is_it = Some((Format::Pipe(endian), true));
            assert_eq!(head(RecordType::HEADER_ATTR, 152, attr(128)).ok(), is_it);
            assert_eq!(head(RecordType::HEADER_FEATURE, 84, endian.put_u64(3)).ok(), is_it);
            for (record_type, size, at_eight) in [
                (RecordType::HEADER_ATTR, 135, attr(128)),
                (RecordType::HEADER_ATTR, 152, attr(63)),
                (RecordType::HEADER_FEATURE, 84, endian.put_u64(256)),
                (RecordType::HEADER_FEATURE, 15, endian.put_u64(3)),
                (RecordType::SAMPLE, 152, attr(128)),
            ] {
                assert!(matches!(head(record_type, size, at_eight), Err(Error::NotPerfData { .. })));
            }
        }
    }

    #[test]
    fn the_old_magic_tells_its_order_by_the_size() {
        let old = |size: [u8; 8]| [*MAGIC1, size].concat();
        assert_eq!(Format::detect(&old(16u64.to_be_bytes())).unwrap(), Format::Pipe(Endian::Big));
        assert_eq!(Format::detect(&old(104u64.to_le_bytes())).unwrap(), Format::File(Endian::Little));
    }

    #[test]
    fn what_is_no_perf_data_is_said_to_be_none() {
        let message = |head: &[u8]| Format::detect(head).unwrap_err().to_string();
        assert_eq!(
            message(b"\x7fELF\x02\x01\x01\0\0"),
            "not perf data: it starts with \"\\x7fELF\\x02\\x01\\x01\\x00\", not PERFILE2"
        );
        assert_eq!(message(b""), "not perf data: it starts with nothing (it is empty), not PERFILE2");
        assert_eq!(message(b"PERFILE2\x10"), "the input ends inside its header: 9 of 16 bytes");
        assert_eq!(
            message(&[*b"PERFILE2", 17u64.to_le_bytes()].concat()),
            "the header's size is 0x11; a pipe header has 16 bytes, a file header 104 or 72"
        );
    }
}
