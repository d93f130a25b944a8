//! A stream cut into its records by the simplest means there are: what the real reader must agree with.

use perf_format::Endian;

/// Records with the payloads behind them, and what could not be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut<'a> {
    /// Each record with its payload, as far as that is there.
    pub pieces: Vec<&'a [u8]>,
    /// What is behind the last whole record: nothing, a part of one, or what cannot be one.
    pub rest: &'a [u8],
    /// Whether the last payload is not whole.
    pub torn: bool,
}

impl Cut<'_> {
    /// Whether the stream ended where a record did.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.rest.is_empty() && !self.torn
    }

    /// The bytes of all pieces.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }

    /// Whether there is not one piece.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// Cuts records; a pipe's header is none.
#[must_use]
pub fn cut(records: &[u8], endian: Endian) -> Cut<'_> {
    let mut cut = Cut { pieces: Vec::new(), rest: records, torn: false };
    while let Some((len, payload)) = first(cut.rest, endian) {
        let behind = cut.rest.len() - len;
        let there = usize::try_from(payload).map_or(behind, |payload| payload.min(behind));
        cut.torn = (there as u64) < payload;
        let (piece, rest) = cut.rest.split_at(len + there);
        cut.pieces.push(piece);
        cut.rest = rest;
    }
    cut
}

/// The length of the first record and that of the payload behind it, in bytes.
fn first(bytes: &[u8], endian: Endian) -> Option<(usize, u64)> {
    if begins_with_text(bytes.get(..8)?) {
        return None;
    }
    let size = usize::from(endian.u16([*bytes.get(6)?, *bytes.get(7)?]));
    let record = bytes.get(..size).filter(|record| record.len() >= 8)?;
    let payload = match endian.u32_at(record, 0)? {
        66 => match endian.u32_at(record, 8)? {
            // Some hold it themselves.
            payload if size > 16 && size - 12 >= usize::try_from(payload).ok()? => 0,
            payload => payload.into(),
        },
        71 => endian.u64_at(record, 8)?,
        _ => 0,
    };
    Some((size, payload))
}

/// Whether four bytes or more are text, as the magic of another recording is.
fn begins_with_text(head: &[u8]) -> bool {
    let is_text = |c: &char| !c.is_control() || ['\t', '\n', '\r', '\x1b'].contains(c);
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).expect("valid up to there"),
    };
    valid.chars().take_while(is_text).map(char::len_utf8).sum::<usize>() >= 4
}
