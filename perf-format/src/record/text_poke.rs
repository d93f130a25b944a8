//! TEXT_POKE: the kernel changed its own code.

use crate::codec::{Decoder, Encoder, FieldError, Layout};
use crate::visit::{FieldData, FieldKind, FieldVisitor, VisitField as _, VisitFields};

/// `PERF_RECORD_TEXT_POKE`, `struct perf_record_text_poke_event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPoke<'a> {
    /// Where the code changed.
    pub addr: u64,
    /// The bytes before; none where the code is new.
    pub old: &'a [u8],
    /// The bytes after; none where the code went.
    pub new: &'a [u8],
}

impl<'a> Layout<'a> for TextPoke<'a> {
    fn read(d: &mut Decoder<'a>) -> Result<Self, FieldError> {
        let addr = d.field("addr")?;
        let old_len: u16 = d.field("old_len")?;
        let new_len: u16 = d.field("new_len")?;
        let mut bytes = |field, len: u16| d.take(len.into()).map_err(|problem| FieldError { field, problem });
        Ok(Self { addr, old: bytes("old bytes", old_len)?, new: bytes("new bytes", new_len)? })
    }

    /// Lengths are `u16`: longer code is cut, which no record could hold anyway.
    fn write(&self, e: &mut Encoder<'_>) {
        let len = |code: &[u8]| u16::try_from(code.len()).unwrap_or(u16::MAX);
        e.put(&self.addr);
        e.put(&len(self.old));
        e.put(&len(self.new));
        e.bytes(self.old);
        e.bytes(self.new);
        e.align();
    }
}

impl VisitFields for TextPoke<'_> {
    fn visit(&self, v: &mut dyn FieldVisitor) {
        self.addr.visit_as("addr", FieldKind::Address, v);
        for (name, code) in [("old_len", self.old), ("new_len", self.new)] {
            v.field(name, FieldKind::Number, FieldData::Unsigned(code.len() as u64));
        }
        self.old.visit_as("old_bytes", FieldKind::Memory, v);
        self.new.visit_as("new_bytes", FieldKind::Memory, v);
    }
}
