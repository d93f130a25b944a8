//! Reads on past damage: whole records pass, bytes that are no record are left out and counted. A stream whose records
//! are whole passes as it is.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::Endian;
use crate::limits::{OVERFLOWN_AT_MOST, PAYLOAD_AT_MOST};
use crate::record::{RecordHeader, RecordType};

/// How much of a damaged stream was left out, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damage {
    /// Bytes that are in no whole record.
    pub bytes: u64,
    /// Places where bytes were left out. At each of them one record at the least was lost.
    pub places: u64,
    /// Where the first of them is, in bytes from the start of the input.
    pub first: Option<u64>,
    /// Records whose size did not fit in its field, and that were written again in pieces.
    pub mended: u64,
}

/// Bytes that are read at once.
const READ_AT_ONCE: usize = 1 << 16;

/// How many plausible records in a row make a place where one can go on.
const IN_A_ROW: usize = 3;

/// A source that passes whole records alone. It stands between a source of records and a
/// [`RecordReader`](crate::RecordReader), which finds no damage then.
#[derive(Debug)]
pub struct Recovering<R> {
    source: R,
    endian: Endian,
    /// Bytes read and not yet given out or left out; the first stands at `offset` in the input.
    read: Vec<u8>,
    offset: u64,
    is_over: bool,
    /// Whether the last bytes were left out, so that more of them are of the same place.
    in_damage: bool,
    /// Whole records, and how much of them was given out.
    whole: Vec<u8>,
    given: usize,
    damage: Rc<Cell<Damage>>,
}

/// The kind of data at the front of the bytes.
enum Front {
    /// A record of so many bytes, its payload included.
    Record(usize),
    /// A COMPRESSED2 record of so many bytes, more than its size says, and so many of them compressed.
    Overflown(usize, usize),
    /// Too little to say.
    Short,
    /// No record.
    Damage,
}

impl<R: Read> Recovering<R> {
    /// A source whose first record stands at `offset` in the input. The cell counts what is left out.
    pub fn new(source: R, endian: Endian, offset: u64) -> (Self, Rc<Cell<Damage>>) {
        let damage = Rc::default();
        let (read, whole) = (Vec::new(), Vec::new());
        let (is_over, in_damage, given) = (false, false, 0);
        let (shared, damage) = (Rc::clone(&damage), damage);
        (Self { source, endian, read, offset, is_over, in_damage, whole, given, damage: shared }, damage)
    }

    /// Takes whole records out of what was read.
    fn take_whole(&mut self) {
        let mut at = 0;
        loop {
            let rest = self.read.get(at..).unwrap_or_default();
            if self.in_damage {
                let (next, is_place) = self.next_place(rest);
                self.leave_out(at, next);
                at += next;
                if !is_place {
                    break;
                }
                self.in_damage = false;
                continue;
            }
            match self.front(rest) {
                Front::Record(len) => {
                    self.whole.extend_from_slice(rest.get(..len).unwrap_or_default());
                    at += len;
                }
                Front::Overflown(len, data) => {
                    let data = rest.get(16..16 + data).unwrap_or_default();
                    write_in_pieces(data, self.endian, &mut self.whole);
                    let mended = self.damage.get().mended + 1;
                    self.damage.set(Damage { mended, ..self.damage.get() });
                    at += len;
                }
                Front::Short if !self.is_over || rest.is_empty() => break,
                // Behind a torn record, or a payload that was cut, others may be whole: its size may be what is wrong.
                Front::Short | Front::Damage => {
                    let len = rest.len().min(RecordHeader::SIZE);
                    let damage = self.damage.get();
                    self.damage.set(Damage { places: damage.places + 1, ..damage });
                    self.leave_out(at, len);
                    self.in_damage = true;
                    at += len;
                }
            }
        }
        self.read.drain(..at);
        self.offset += at as u64;
    }

    fn leave_out(&mut self, at: usize, len: usize) {
        let damage = self.damage.get();
        let first = damage.first.or(Some(self.offset + at as u64));
        self.damage.set(Damage { bytes: damage.bytes + len as u64, first, ..damage });
    }

    /// Classifies the front of the bytes.
    fn front(&self, bytes: &[u8]) -> Front {
        let Some(head) = bytes.first_chunk() else { return Front::Short };
        let header = RecordHeader::from_bytes(*head, self.endian);
        if header.record_type == RecordType::COMPRESSED2 {
            match self.endian.u64_at(bytes, 8) {
                None => return Front::Short,
                Some(data) => {
                    if let Some((len, data)) = overflown(header, data) {
                        return if bytes.len() < len { Front::Short } else { Front::Overflown(len, data) };
                    }
                }
            }
        }
        if !is_plausible(header) {
            return Front::Damage;
        }
        let size = usize::from(header.size);
        // Some records hold a size of their own, or of the payload behind them.
        let (payload, size_ends) = match header.record_type {
            RecordType::TRACING_DATA => {
                let behind = |size| if header.holds_tracing_data(size) { 0 } else { size.into() };
                (self.endian.u32_at(bytes, 8).map(behind), 12)
            }
            RecordType::AUXTRACE => (self.endian.u64_at(bytes, 8), 16),
            RecordType::COMPRESSED2 => (Some(0), 16),
            _ => (Some(0), 0),
        };
        if size < size_ends {
            return Front::Damage;
        }
        let Some(payload) = payload else { return Front::Short };
        let Some(len) = usize::try_from(payload).ok().filter(|_| payload <= PAYLOAD_AT_MOST) else {
            return Front::Damage;
        };
        if bytes.len() < size + len { Front::Short } else { Front::Record(size + len) }
    }

    /// How many bytes are no record, and whether one can go on behind them; otherwise more has to be read to say.
    fn next_place(&self, bytes: &[u8]) -> (usize, bool) {
        // Records behind features that are not aligned stand anywhere.
        for at in 0..bytes.len() {
            let mut next = at;
            let mut in_a_row = 0;
            while in_a_row < IN_A_ROW {
                let rest = bytes.get(next..).unwrap_or_default();
                match rest.first_chunk().map(|head| RecordHeader::from_bytes(*head, self.endian)) {
                    Some(header) if is_known(header) => next += usize::from(header.size),
                    None if !self.is_over => return (at, false),
                    // The end is a good place, if it comes where a record does.
                    None if next == bytes.len() && in_a_row > 0 => return (at, true),
                    Some(_) | None => break,
                }
                in_a_row += 1;
            }
            if in_a_row == IN_A_ROW {
                return (at, true);
            }
        }
        (bytes.len(), false)
    }
}

/// Whether a header can be one of a stream that was whole so far: records of newer kernels among them.
fn is_plausible(header: RecordHeader) -> bool {
    let RecordHeader { record_type, size, .. } = header;
    // The kernel's are aligned; of perf's own features and tracing data are not.
    let aligned = size % 8 == 0 || !record_type.is_kernel();
    (1..256).contains(&record_type.0) && usize::from(size) >= RecordHeader::SIZE && aligned
}

/// Whether a header is one that a stream can go on with after damage: of a type that is known.
fn is_known(header: RecordHeader) -> bool {
    is_plausible(header) && header.record_type.name().is_some() && header.misc.0 & 7 <= 5
}

/// The true size of a COMPRESSED2 record, and of what is compressed in it, where its own field holds but the low bits:
/// perf 6.16 compressed as much as it read, and did not look whether it fits.
fn overflown(header: RecordHeader, data: u64) -> Option<(usize, usize)> {
    let len = data.checked_add(16)?.checked_next_multiple_of(8).filter(|len| *len <= OVERFLOWN_AT_MOST)?;
    let is_it = len > u64::from(u16::MAX) && len & u64::from(u16::MAX) == u64::from(header.size);
    Some((usize::try_from(len).ok()?, usize::try_from(data).ok()?)).filter(|_| is_it)
}

/// Writes compressed bytes as records that are not too large: to what inflates them it is one stream all the same.
fn write_in_pieces(data: &[u8], endian: Endian, out: &mut Vec<u8>) {
    // What fits, with the header, the size, and filled up to a multiple of eight.
    for piece in data.chunks((1 << 16) - 8 - 16) {
        let padded = piece.len().next_multiple_of(8);
        let size = u16::try_from(16 + padded).unwrap_or(u16::MAX);
        let header = RecordHeader { record_type: RecordType::COMPRESSED2, misc: Default::default(), size };
        out.extend(header.to_bytes(endian));
        out.extend(endian.put_u64(piece.len() as u64));
        out.extend_from_slice(piece);
        out.resize(out.len() + padded - piece.len(), 0);
    }
}

impl<R: Read> Read for Recovering<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.given == self.whole.len() {
            self.whole.clear();
            self.given = 0;
            if self.is_over {
                return Ok(0);
            }
            let had = self.read.len();
            self.read.resize(had + READ_AT_ONCE, 0);
            let read = self.source.read(self.read.get_mut(had..).unwrap_or_default());
            self.read.truncate(had + *read.as_ref().unwrap_or(&0));
            self.is_over = read? == 0;
            self.take_whole();
        }
        let len = self.whole.get(self.given..).unwrap_or_default().read(buf)?;
        self.given += len;
        Ok(len)
    }
}
