//! Parses whole records of a dump: each size and count in one is checked against the record's own size.

use std::io::{Read, Seek};

use bstr::ByteSlice as _;

use super::record::{
    DebugInfo, DebugInfoWords, Extent, Id, JitRecord, Kind, Load, LoadWords, Move, Prefix, Unwinding,
    UnwindingWords,
};
use super::window::Window;
use crate::codec::{Decoder, FieldError, Fixed, Layout, Problem};
use crate::misc::Misc;
use crate::{Endian, Error};

/// Bytes in which a name's end is looked for first.
const NAME_MOSTLY: usize = 512;

/// A record that is whole, and where it stands in the dump.
pub(super) struct WholeRecord {
    pub(super) offset: u64,
    pub(super) size: usize,
    pub(super) prefix: Prefix,
    pub(super) endian: Endian,
}

impl WholeRecord {
    /// Reads the small fields; `None` where the source has lost what it had.
    pub(super) fn read<'w, S: Read + Seek>(
        &self,
        window: &'w mut Window<S>,
    ) -> Result<Option<JitRecord<'w>>, Error> {
        let kind = match self.prefix.id {
            Id::CODE_LOAD => self.load(window)?.map(Kind::Load),
            Id::CODE_MOVE => self.moved(window)?.map(Kind::Move),
            Id::CODE_DEBUG_INFO => self.debug_info(window)?.map(Kind::DebugInfo),
            Id::CODE_CLOSE => Some(Kind::Close),
            Id::CODE_UNWINDING_INFO => self.unwinding(window)?.map(Kind::Unwinding),
            id => Some(Kind::Unknown(id)),
        };
        let (size, timestamp) = (self.prefix.total_size, self.prefix.timestamp);
        Ok(kind.map(|kind| JitRecord { offset: self.offset, size, timestamp, kind }))
    }

    fn load<'w, S: Read + Seek>(&self, window: &'w mut Window<S>) -> Result<Option<Load<'w>>, Error> {
        let Some(words) = self.words::<LoadWords, _>(window)? else { return Ok(None) };
        let LoadWords { pid, tid, vma, code_addr, code_size, code_index } = words;
        let behind = self.size - Prefix::SIZE - LoadWords::SIZE;
        let code_len = self.part(code_size, behind, "code_size")?;
        self.ends(code_addr, code_size, "code_addr")?;
        // The code is what the record ends with; between the name and it there may be padding.
        let room = Extent { offset: self.at(Prefix::SIZE + LoadWords::SIZE), len: behind - code_len };
        let Some(len) = self.name_len(window, room)? else { return Ok(None) };
        let name_at = Extent { len, ..room };
        let code = Extent { offset: self.at(self.size - code_len), len: code_len };
        let Some(name) = window.get(name_at.offset, len)? else { return Ok(None) };
        let name = name.as_bstr();
        Ok(Some(Load { pid, tid, vma, code_addr, code_index, name, name_at, code }))
    }

    /// How many bytes come before the first NUL. All of the room is looked at only where there is none at its start.
    fn name_len<S: Read + Seek>(&self, window: &mut Window<S>, room: Extent) -> Result<Option<usize>, Error> {
        let mut looked_at = room.len.min(NAME_MOSTLY);
        loop {
            let Some(bytes) = window.get(room.offset, looked_at)? else { return Ok(None) };
            match bytes.find_byte(0) {
                Some(len) => return Ok(Some(len)),
                None if looked_at == room.len => return Err(self.wrong("name", Problem::NoNul)),
                None => looked_at = room.len.min(looked_at.saturating_mul(4)),
            }
        }
    }

    fn moved<S: Read + Seek>(&self, window: &mut Window<S>) -> Result<Option<Move>, Error> {
        let Some(words) = self.words::<Move, _>(window)? else { return Ok(None) };
        self.ends(words.old_code_addr, words.code_size, "old_code_addr")?;
        self.ends(words.new_code_addr, words.code_size, "new_code_addr")?;
        Ok(Some(words))
    }

    fn debug_info<S: Read + Seek>(&self, window: &mut Window<S>) -> Result<Option<DebugInfo>, Error> {
        let Some(words) = self.words::<DebugInfoWords, _>(window)? else { return Ok(None) };
        let DebugInfoWords { code_addr, nr_entry } = words;
        let fixed = Prefix::SIZE + DebugInfoWords::SIZE;
        let entries = Extent { offset: self.at(fixed), len: self.size - fixed };
        if nr_entry > (entries.len / super::lines::ENTRY_AT_LEAST) as u64 {
            return Err(self.wrong("nr_entry", Problem::Count(nr_entry)));
        }
        Ok(Some(DebugInfo { code_addr, nr_entry, entries, endian: self.endian }))
    }

    fn unwinding<S: Read + Seek>(&self, window: &mut Window<S>) -> Result<Option<Unwinding>, Error> {
        let Some(words) = self.words::<UnwindingWords, _>(window)? else { return Ok(None) };
        let UnwindingWords { unwinding_size, eh_frame_hdr_size, mapped_size } = words;
        let fixed = Prefix::SIZE + UnwindingWords::SIZE;
        let size = self.part(unwinding_size, self.size - fixed, "unwinding_size")?;
        let hdr = self.part(eh_frame_hdr_size, size, "eh_frame_hdr_size")?;
        let eh_frame = Extent { offset: self.at(fixed), len: size - hdr };
        let eh_frame_hdr = Extent { offset: self.at(fixed + size - hdr), len: hdr };
        Ok(Some(Unwinding { mapped_size, eh_frame, eh_frame_hdr }))
    }

    /// The fixed words behind the prefix.
    fn words<T, S>(&self, window: &mut Window<S>) -> Result<Option<T>, Error>
    where
        T: for<'a> Layout<'a> + Fixed,
        S: Read + Seek,
    {
        let Some(head) = window.get(self.offset, self.size.min(Prefix::SIZE + T::SIZE))? else {
            return Ok(None);
        };
        let mut d = Decoder::new(head, Prefix::SIZE, self.endian, Misc::default());
        T::read(&mut d).map(Some).map_err(|error| self.malformed(error))
    }

    /// A size, if no more than `whole` bytes.
    fn part(&self, size: u64, whole: usize, field: &'static str) -> Result<usize, Error> {
        let part = usize::try_from(size).ok().filter(|part| *part <= whole);
        part.ok_or_else(|| self.wrong(field, Problem::Size(size)))
    }

    /// Refuses code that goes on behind the address space's end.
    fn ends(&self, addr: u64, size: u64, field: &'static str) -> Result<(), Error> {
        addr.checked_add(size).map(|_| ()).ok_or_else(|| self.wrong(field, Problem::Value(addr)))
    }

    /// Where in the dump a byte of the record is.
    fn at(&self, into: usize) -> u64 {
        self.offset.saturating_add(into as u64)
    }

    #[cold]
    fn wrong(&self, field: &'static str, problem: Problem) -> Error {
        self.malformed(FieldError { field, problem })
    }

    #[cold]
    fn malformed(&self, error: FieldError) -> Error {
        Error::structure(self.prefix.id.what(), self.offset, error)
    }
}
