//! What a run makes of files that are damaged, cut, or were never closed.

use std::io::{self, Read, Seek};

use perf_format::{Feature, PerfFile, Section};
use perf_session::Error;

use super::Run;

impl Run<'_> {
    /// Parts of a file that lie over one another are an error, except with [`Plan::recover`]: of the records what is
    /// whole is taken. perf 6.1's `inject -o FILE` writes the attrs of a pipe over its first records.
    pub(super) fn check_overlaps<S: Read + Seek>(&self, file: &PerfFile<S>) -> Result<(), Error> {
        match file.check_overlaps() {
            Err(error) if self.plan.recover => {
                log::warn!("what can be read is taken: {error}");
                Ok(())
            }
            checked => Ok(checked?),
        }
    }

    /// A file that is cut inside its features ends the run, except with [`Plan::recover`].
    pub(super) fn without_the_rest(&self, cut: Option<perf_format::Error>) -> Result<(), Error> {
        match cut {
            Some(error) if self.plan.recover => {
                log::warn!("features are left out: {error}");
                Ok(())
            }
            cut => cut.map_or(Ok(()), |error| Err(error.into())),
        }
    }

    /// A file that ends between two records, before the end that its header has, became shorter since it was opened.
    pub(super) fn all_was_read<S: Read + Seek>(&self, file: &PerfFile<S>) -> Result<(), Error> {
        let Section { offset, size } = file.header.words.data;
        let read = self.report.passed.read;
        if self.plan.recover || !file.is_closed() || read == size {
            return Ok(());
        }
        Err(shorter(offset + read))
    }

    /// A recording that was never closed ends where its last whole record does, and that is no fault of the run.
    pub(super) fn tolerate_unclosed(&self, closed: bool, processed: Result<(), Error>) -> Result<(), Error> {
        match processed {
            Err(Error::Format(error @ perf_format::Error::Truncated { .. })) if !closed => {
                log::warn!("the recording was never closed, and {error}");
                Ok(())
            }
            Ok(()) if !closed => {
                log::warn!("the recording was never closed; all that is in it is kept");
                Ok(())
            }
            processed => processed,
        }
    }
}

/// Warns of features that are damaged, and taken for absent.
pub(super) fn without_features(damaged: &[(Feature, perf_format::Error)]) {
    for (feature, error) in damaged {
        log::warn!("the {feature} feature is damaged, and left out: {error}");
    }
}

/// The error of a file that ends before the end that it had when it was opened.
pub(super) fn shorter(offset: u64) -> Error {
    let source = io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read");
    perf_format::Error::Io { offset, source }.into()
}
