//! What gzip, xz and zstd packed, unpacked as a stream: kernel modules, and recordings that are kept packed. The first
//! bytes tell how something is packed, not its name. Of a stream that is cut or damaged all comes out that was whole
//! before; several behind one another are one.

use std::fmt;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use lzma_rust2::{Action, Status, XzStream, lzma2_get_memory_usage};

#[cfg(feature = "zstd")]
use self::zstd::ZstdCodec;
use crate::limits::XZ_DICTIONARY_AT_MOST;

#[cfg(feature = "zstd")]
mod zstd;

mod file;

pub(crate) use file::{UnpackedFile, UnpackedStream};

/// How something is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packing {
    /// By gzip, RFC 1952.
    Gzip,
    /// By xz.
    Xz,
    /// By zstd, RFC 8878.
    Zstd,
}

impl Packing {
    /// How many first bytes are enough to tell.
    pub const MAGIC_SIZE: usize = 6;

    /// How something is packed that begins with these bytes; `None` where it is not.
    #[must_use]
    pub fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// Why something packed cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackFailure {
    /// Its source failed.
    #[error(transparent)]
    Source(io::Error),
    /// The source ends before what is packed does.
    #[error("it is cut")]
    Cut,
    /// It is damaged; the text is the decompressor's.
    #[error("{0}")]
    Damaged(String),
    /// It refers back further than 64 MiB (xz) or 128 MiB (zstd), which would be memory.
    #[error("it refers further back than `xz -9` and `zstd --ultra -22` do, and takes as much memory")]
    FarBack,
    /// It is packed with zstd, and the crate was built without its feature of that name.
    #[error("this build does not unpack zstd")]
    WithoutZstd,
}

/// What a packed source unpacks to.
pub struct Unpacked<R> {
    decoder: Decoder<R>,
    /// What comes behind the bytes that were given out last.
    failure: Option<UnpackFailure>,
    is_at_end: bool,
}

impl<R> fmt::Debug for Unpacked<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacked").field("is_at_end", &self.is_at_end).finish_non_exhaustive()
    }
}

enum Decoder<R> {
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Other(Box<Buffered<R>>),
    #[cfg(not(feature = "zstd"))]
    Missing(Source<R>),
}

impl<R: Read> Unpacked<R> {
    /// Unpacks a source from where it is.
    pub fn new(packing: Packing, source: R) -> Self {
        let source = Source { inner: source, taken: 0, failure: None };
        let decoder = match packing {
            Packing::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(source))),
            Packing::Xz => Decoder::Other(Box::new(Buffered::new(source, Codec::xz()))),
            #[cfg(feature = "zstd")]
            Packing::Zstd => {
                Decoder::Other(Box::new(Buffered::new(source, Codec::Zstd(ZstdCodec::default()))))
            }
            #[cfg(not(feature = "zstd"))]
            Packing::Zstd => Decoder::Missing(source),
        };
        Self { decoder, failure: None, is_at_end: false }
    }

    /// The next unpacked bytes, as many as there are without waiting for more; none at the end, and after an error.
    ///
    /// # Errors
    /// Why there are no more, once.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, UnpackFailure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.is_at_end || buf.is_empty() {
            return Ok(0);
        }
        let (unpacked, failure) = match &mut self.decoder {
            Decoder::Gzip(decoder) => unzip(decoder, buf),
            Decoder::Other(buffered) => buffered.read(buf),
            #[cfg(not(feature = "zstd"))]
            Decoder::Missing(_) => (0, Some(UnpackFailure::WithoutZstd)),
        };
        self.is_at_end = unpacked == 0 || failure.is_some();
        match failure {
            Some(failure) if unpacked == 0 => return Err(failure),
            failure => self.failure = failure,
        }
        Ok(unpacked)
    }

    /// How many bytes of the source were taken; not all of them have been unpacked yet.
    #[must_use]
    pub fn taken(&self) -> u64 {
        match &self.decoder {
            Decoder::Gzip(decoder) => decoder.get_ref().taken,
            Decoder::Other(buffered) => buffered.source.taken,
            #[cfg(not(feature = "zstd"))]
            Decoder::Missing(source) => source.taken,
        }
    }
}

/// Unpacked bytes, and what ends them.
type Step = (usize, Option<UnpackFailure>);

fn unzip<R: Read>(decoder: &mut MultiGzDecoder<Source<R>>, buf: &mut [u8]) -> Step {
    match decoder.read(buf) {
        Ok(unpacked) => (unpacked, None),
        Err(error) => {
            let of_source = decoder.get_mut().failure.take().map(UnpackFailure::Source);
            (0, Some(of_source.unwrap_or_else(|| of_decoder(&error))))
        }
    }
}

fn of_decoder(error: &io::Error) -> UnpackFailure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => UnpackFailure::Cut,
        io::ErrorKind::OutOfMemory => UnpackFailure::FarBack,
        _ => UnpackFailure::Damaged(error.to_string()),
    }
}

/// The source, and its error, which decoders would make theirs.
struct Source<R> {
    inner: R,
    taken: u64,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buf) {
                Ok(read) => {
                    self.taken += read as u64;
                    return Ok(read);
                }
                // Decoders need not come back where they were.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error);
                    return Err(io::Error::other("the source failed"));
                }
            }
        }
    }
}

/// Packed bytes that are read at a time.
const BUFFER_SIZE: usize = 1 << 16;

/// A decoder that takes bytes from one slice and puts them into another, and its source.
struct Buffered<R> {
    source: Source<R>,
    codec: Codec,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether the source has no more.
    is_at_end: bool,
}

enum Codec {
    Xz(Box<XzStream>),
    #[cfg(feature = "zstd")]
    Zstd(ZstdCodec),
}

impl<R: Read> Buffered<R> {
    fn new(source: Source<R>, codec: Codec) -> Self {
        Self { source, codec, buffer: vec![0; BUFFER_SIZE].into(), start: 0, end: 0, is_at_end: false }
    }

    fn read(&mut self, buf: &mut [u8]) -> Step {
        loop {
            let input = self.buffer.get(self.start..self.end).unwrap_or_default();
            let had = input.len();
            let Stepped { taken, unpacked, is_whole, failure } = self.codec.step(input, buf, self.is_at_end);
            self.start += taken;
            if unpacked > 0 || failure.is_some() {
                return (unpacked, failure);
            }
            if taken > 0 && taken < had {
                continue;
            }
            if self.is_at_end {
                let failure = match (is_whole, taken < had) {
                    (true, false) => None,
                    (_, true) => Some(UnpackFailure::Damaged("it cannot be unpacked any further".to_owned())),
                    (false, false) => Some(UnpackFailure::Cut),
                };
                return (0, failure);
            }
            if let Err(failure) = self.fill() {
                return (0, Some(failure));
            }
        }
    }

    /// Reads on behind what the decoder has left.
    fn fill(&mut self) -> Result<(), UnpackFailure> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        if room.is_empty() {
            return Err(UnpackFailure::Damaged("it cannot be unpacked any further".to_owned()));
        }
        match self.source.read(room) {
            Ok(read) => {
                self.end += read;
                self.is_at_end = read == 0;
                Ok(())
            }
            Err(error) => Err(UnpackFailure::Source(self.source.failure.take().unwrap_or(error))),
        }
    }
}

/// What came of a piece of input.
#[derive(Default)]
struct Stepped {
    taken: usize,
    unpacked: usize,
    /// Whether what is packed may end here.
    is_whole: bool,
    failure: Option<UnpackFailure>,
}

impl Codec {
    fn xz() -> Self {
        let memory = lzma2_get_memory_usage(XZ_DICTIONARY_AT_MOST);
        Self::Xz(Box::new(XzStream::new_mem_limit(true, memory)))
    }

    fn step(&mut self, input: &[u8], buf: &mut [u8], is_at_end: bool) -> Stepped {
        match self {
            Self::Xz(stream) => {
                let (taken, unpacked) = (stream.total_in(), stream.total_out());
                let action = if is_at_end { Action::Finish } else { Action::Run };
                let processed = stream.process(input, buf, action);
                // Of a step that failed there may be a part.
                let grown = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
                let is_whole = matches!(&processed, Ok(done) if done.status == Status::StreamEnd);
                Stepped {
                    taken: grown(stream.total_in(), taken),
                    unpacked: grown(stream.total_out(), unpacked),
                    is_whole,
                    failure: processed.err().map(|error| of_decoder(&error)),
                }
            }
            #[cfg(feature = "zstd")]
            Self::Zstd(codec) => codec.step(input, buf),
        }
    }
}
