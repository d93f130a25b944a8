//! CIEs whose encoding of pointers to exception tables is "omitted" (`DW_EH_PE_omit`), as in V8's. gimli takes that for
//! a pointer that it cannot read in each FDE, so that it is taken out of the CIEs first.

use perf_format::Endian;

/// Where the version stands in a CIE, behind its length; the augmentation follows it.
const VERSION: usize = 4;
const AUGMENTATION: usize = VERSION + 1;

/// Takes pointers to exception tables that are encoded as "omitted" out of all CIEs of an `.eh_frame`, as V8 writes them and
/// gimli does not read them; no entry changes its place or its length.
pub fn take_out_omitted(mut frames: &mut [u8], endian: Endian) {
    while let Some((length, rest)) = frames.split_first_chunk_mut() {
        let len = usize::try_from(endian.u32(*length)).unwrap_or(usize::MAX);
        let Some((entry, behind)) = rest.split_at_mut_checked(len) else { return };
        if entry.is_empty() {
            return;
        }
        if let Some(pointer) = omitted(entry) {
            // What follows moves up, first behind the pointer's encoding, then behind its letter.
            for place in [pointer, AUGMENTATION + 1] {
                remove(entry, place);
            }
        }
        frames = behind;
    }
}

/// Where the encoding of pointers to exception tables stands in a CIE, if it is the first in its augmentation, and is
/// that there are none. What it takes from the length of the augmentation's data is taken.
fn omitted(cie: &mut [u8]) -> Option<usize> {
    let [0, 0, 0, 0, version @ (1 | 3), b'z', b'L', ..] = *cie else { return None };
    let mut at = AUGMENTATION + cie.get(AUGMENTATION..)?.iter().position(|byte| *byte == 0)? + 1;
    // The alignment of code and of data, then the register of the return address, which had one byte at first.
    for is_one_byte in [false, false, version == 1] {
        at += cie.get(at..)?.iter().position(|byte| is_one_byte || byte & 0x80 == 0)? + 1;
    }
    let [len @ 1..0x80, encoding] = cie.get_mut(at..)?.first_chunk_mut::<2>()? else { return None };
    if *encoding != gimli::DW_EH_PE_omit.0 {
        return None;
    }
    *len -= 1;
    Some(at + 1)
}

/// Takes a byte out, and fills up the end with an instruction that does nothing.
fn remove(cie: &mut [u8], place: usize) {
    if place < cie.len() {
        cie.copy_within(place + 1.., place);
        cie.last_mut().into_iter().for_each(|last| *last = gimli::DW_CFA_nop.0);
    }
}
