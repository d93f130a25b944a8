//! A packed input, read as what it unpacks to. Where it cannot be unpacked any further it ends, as a plain one ends that is
//! cut: all that is whole before that goes its way. Why it ended there is asked for afterwards.

use std::cell::RefCell;
use std::io::{self, Chain, Cursor, Read};
use std::rc::Rc;

use anyhow::anyhow;
use perf_session::unpack::{Packing, UnpackFailure, Unpacked};

use crate::progress::Watched;

/// What a packed input unpacks to.
#[derive(Debug)]
pub(crate) struct PackedInput {
    unpacked: Unpacked<Chain<Cursor<Vec<u8>>, Watched>>,
    end: PackedEnd,
}

/// How a packed input ended.
#[derive(Debug, Clone)]
pub(crate) struct PackedEnd {
    packing: Packing,
    failure: Rc<RefCell<Option<anyhow::Error>>>,
}

impl PackedInput {
    /// Unpacks an input whose first bytes have been read.
    pub(super) fn new(packing: Packing, beginning: Vec<u8>, rest: Watched) -> Self {
        let unpacked = Unpacked::new(packing, Cursor::new(beginning).chain(rest));
        Self { unpacked, end: PackedEnd { packing, failure: Rc::default() } }
    }

    /// What tells how it ended, as soon as it has.
    pub(super) fn end(&self) -> PackedEnd {
        self.end.clone()
    }
}

impl Read for PackedInput {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let failure = match self.unpacked.read(buf) {
            Ok(read) => return Ok(read),
            Err(UnpackFailure::Source(error)) => return Err(error),
            Err(failure) => failure,
        };
        let (packing, taken) = (self.end.packing, self.unpacked.taken());
        let text = match &failure {
            UnpackFailure::Cut => format!("what is packed with {packing} is cut after {taken} bytes"),
            failure => {
                format!(
                    "what is packed with {packing} cannot be unpacked on, at offset {taken:#x} or before: {failure}"
                )
            }
        };
        self.end.failure.replace(Some(anyhow!(text)));
        Ok(0)
    }
}

impl PackedEnd {
    /// Why it could not be unpacked to its end, once.
    pub(crate) fn failure(&self) -> Option<anyhow::Error> {
        self.failure.take()
    }
}

/// The end of a run over an input of this name that could not be unpacked to its end, if there is a reason: the cause of
/// what was wrong with its records.
pub(crate) fn ended(
    done: anyhow::Result<()>,
    failure: Option<anyhow::Error>,
    name: &str,
) -> anyhow::Result<()> {
    let Some(failure) = failure else { return done };
    match done {
        Ok(()) => Err(failure.context(format!("cannot read {name} to its end"))),
        // What the system says is of something else.
        Err(error) if error.chain().any(|cause| cause.is::<io::Error>()) => Err(error),
        Err(error) => Err(error.chain().rev().fold(failure, |cause, error| cause.context(error.to_string()))),
    }
}
