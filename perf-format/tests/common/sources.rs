//! Sources that give their bytes in ways that a file does not.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Gives its bytes in pieces of these lengths, over and over.
pub(crate) struct Pieces<'a> {
    rest: &'a [u8],
    lens: Vec<usize>,
    turn: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(stream: &'a [u8], lens: &[usize]) -> Self {
        Self { rest: stream, lens: lens.to_vec(), turn: 0 }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let len = self.lens[self.turn % self.lens.len()].min(room.len()).min(self.rest.len());
        self.turn += 1;
        let (piece, rest) = self.rest.split_at(len);
        room[..len].copy_from_slice(piece);
        self.rest = rest;
        Ok(len)
    }
}

/// A source whose every other read a signal cuts short.
pub(crate) struct Interrupted<R>(R, bool);

impl<R> Interrupted<R> {
    pub(crate) fn new(source: R) -> Self {
        Self(source, false)
    }
}

impl<R: Read> Read for Interrupted<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(room) }
    }
}

/// A source that cannot be read.
pub(crate) struct Fails;

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk burns"))
    }
}

/// A source that is not to be read twice.
pub(crate) struct Once<'a>(pub(crate) Option<&'a [u8]>);

impl Read for Once<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.take().expect("no second read").read(room)
    }
}

/// A source that counts what it gave, and that is not to be read while a whole record or payload waits.
pub(crate) struct Live<'a> {
    pieces: Pieces<'a>,
    given: u64,
    /// Where records end, and payloads.
    ends: Vec<u64>,
    /// How far the reader has shown what it read.
    seen: Rc<Cell<u64>>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(pieces: Pieces<'a>, ends: Vec<u64>, seen: Rc<Cell<u64>>) -> Self {
        Self { pieces, given: 0, ends, seen }
    }
}

impl Read for Live<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let waits = |end: &&u64| (self.seen.get() + 1..=self.given).contains(*end);
        assert_eq!(
            self.ends.iter().find(waits),
            None,
            "seen {:#x}, given {:#x}",
            self.seen.get(),
            self.given
        );
        let len = self.pieces.read(room)?;
        self.given += len as u64;
        Ok(len)
    }
}
