//! The output of a pipeline: where the stream is written to, and counts of what was written.

use std::io::{self, Write};

use crate::error::Error;

/// Whether the stream is repiped, which is to write what passes, and where to.
pub enum Repipe<'w> {
    /// The stream is only read.
    Off,
    /// The stream is written to this output, the bytes of each read before the next read.
    To(&'w mut dyn Write),
    /// The stream is written by a [`Pass`], which can move the input's own bytes within the kernel.
    Through(&'w mut dyn Pass),
}

/// An output that can move bytes from the input by itself, without the pipeline's copy of them (`splice(2)`).
pub trait Pass {
    /// Passes on bytes of the input, of which the first stands at `offset`; returns how many. Bytes before them that
    /// were not passed on never will be.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn pass(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Writes bytes that are not of the input; returns how many.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

impl std::fmt::Debug for Repipe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Off => "Repipe::Off",
            Self::To(_) => "Repipe::To",
            Self::Through(_) => "Repipe::Through",
        })
    }
}

/// Counts of the records and bytes that were read, written and injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Passed {
    /// Records read.
    pub records: u64,
    /// Of those, samples; those inside compressed records are not counted.
    pub samples: u64,
    /// Bytes read as whole records and payloads.
    pub read: u64,
    /// Bytes written, header and payloads included.
    pub written: u64,
    /// Of those, bytes of injected records.
    pub injected: u64,
}

impl Passed {
    /// Adds what passed elsewhere.
    pub(crate) fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.samples += other.samples;
        self.read += other.read;
        self.written += other.written;
        self.injected += other.injected;
    }
}

/// Counts what is written, and knows how much was when it fails.
pub(crate) struct Sink<'w, 'p> {
    repipe: Repipe<'w>,
    pub(crate) passed: &'p mut Passed,
}

impl<'w, 'p> Sink<'w, 'p> {
    pub(crate) fn new(repipe: Repipe<'w>, passed: &'p mut Passed) -> Self {
        Self { repipe, passed }
    }

    /// Writes bytes of the input, of which the first stands at `offset`.
    pub(crate) fn pass(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(bytes, |repipe, done, rest| match repipe {
            Repipe::Off => Ok(rest.len()),
            Repipe::To(out) => out.write(rest),
            Repipe::Through(out) => out.pass(offset + done, rest),
        })
    }

    /// Writes bytes that are not of the input.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(bytes, |repipe, _, rest| match repipe {
            Repipe::Off => Ok(rest.len()),
            Repipe::To(out) => out.write(rest),
            Repipe::Through(out) => out.put(rest),
        })
    }

    /// Writes injected records, and takes them out of the buffer.
    pub(crate) fn inject(&mut self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        self.put(bytes)?;
        if !matches!(self.repipe, Repipe::Off) {
            self.passed.injected += bytes.len() as u64;
        }
        bytes.clear();
        Ok(())
    }

    fn write_all(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&mut Repipe<'_>, u64, &[u8]) -> io::Result<usize>,
    ) -> Result<(), Error> {
        if bytes.is_empty() || matches!(self.repipe, Repipe::Off) {
            return Ok(());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let done = (bytes.len() - rest.len()) as u64;
            let written = match write(&mut self.repipe, done, rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => written,
            };
            let written = written.map_err(|source| Error::Write { written: self.passed.written, source })?;
            self.passed.written += written as u64;
            rest = rest.get(written..).unwrap_or_default();
        }
        let flushed = if let Repipe::To(out) = &mut self.repipe { out.flush() } else { Ok(()) };
        flushed.map_err(|source| Error::Write { written: self.passed.written, source })
    }
}
