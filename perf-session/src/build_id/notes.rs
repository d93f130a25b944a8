//! ELF notes: which of them is a build-id.

use object::Endianness;
use object::elf::{ELF_NOTE_GNU, FileHeader64, NT_GNU_BUILD_ID};
use object::read::elf::{FileHeader, NoteIterator};
use perf_format::BuildId;

/// The build-id among notes in this machine's own byte order, as `/sys/kernel/notes` has them.
#[must_use]
pub fn gnu_build_id(notes: &[u8]) -> Option<BuildId> {
    let endian = Endianness::default();
    // The note header is three words in both classes; desc and name are padded to four bytes.
    let notes = NoteIterator::<FileHeader64<Endianness>>::new(endian, 4, notes).ok()?;
    first_build_id(endian, notes)
}

/// The first GNU build-id: owner and type must both be right, since the type alone means other things elsewhere.
/// A note that does not fit ends the search: what follows it cannot be found.
pub(super) fn first_build_id<Elf: FileHeader>(
    endian: Elf::Endian,
    mut notes: NoteIterator<'_, Elf>,
) -> Option<BuildId> {
    while let Ok(Some(note)) = notes.next() {
        if note.name() == ELF_NOTE_GNU && note.n_type(endian) == NT_GNU_BUILD_ID {
            // One of no bytes is none, and zeros are none; there may be another.
            if let Ok(id) = BuildId::new(note.desc()) {
                return Some(id);
            }
        }
    }
    None
}
