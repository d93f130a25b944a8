//! Unwinding information: that of each function is read relative to where it ran, and rewritten relative to where it
//! stands in the image, with one search table over all of it.

use gimli::write::{
    Address, CieId, CommonInformationEntry, EhFrame as WrittenFrames, EndianVec, FrameDescriptionEntry,
    FrameTable,
};
use gimli::{BaseAddresses, CieOrFde, DwEhPe, EhFrame, UnwindSection as _, Vendor};
use hashbrown::HashMap;
use object::elf;

use crate::error::ImageError;
use crate::function::Function;
use crate::target::Target;

mod instructions;
mod omitted;

use instructions::{Cie, EhFrameSection, Instruction, advanced, rewrite};
pub use omitted::take_out_omitted;

/// The version of `.eh_frame`.
const VERSION: u16 = 1;

/// What `.eh_frame` is aligned to, in bytes.
pub(crate) const ALIGN: u64 = 8;

/// What `.eh_frame_hdr` is aligned to, in bytes.
pub(crate) const TABLE_ALIGN: u64 = 4;

/// The most bytes that a function's unwinding information may have; some fifty are usual.
const BYTES_AT_MOST: usize = 1 << 20;

/// How far before the section a function may stand, in bytes: pointers of four bytes and a sign reach twice as far,
/// and so over the section as well.
const REACH: u64 = 1 << 30;

/// Instructions that are held at once: one takes up many times the bytes that it has in the file.
const HELD_AT_MOST: usize = 1 << 16;

/// The most CIEs that one function may have, and that are compared with one another; one is usual.
const CIES_AT_MOST: usize = 1 << 8;

/// How pointers to functions are written: from where they stand, in four bytes.
const POINTERS: DwEhPe = DwEhPe(gimli::DW_EH_PE_pcrel.0 | gimli::DW_EH_PE_sdata4.0);

/// The unwinding information of all functions, as it was given.
#[derive(Debug)]
pub(crate) struct Frames {
    target: Target,
    bytes: Vec<u8>,
    functions: Vec<Brought>,
    left_out: u64,
}

/// A function that brings unwinding information.
#[derive(Debug)]
struct Brought {
    address: u64,
    offset: u64,
    size: u64,
    /// Bytes of its `.eh_frame`.
    len: usize,
}

/// The sections of an image.
#[derive(Debug)]
pub(crate) struct Sections {
    /// `.eh_frame`.
    pub(crate) frames: Vec<u8>,
    /// `.eh_frame_hdr`, which follows it.
    pub(crate) table: Vec<u8>,
}

impl Frames {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, bytes: Vec::new(), functions: Vec::new(), left_out: 0 }
    }

    /// Adds what a function brings, if it does.
    pub(crate) fn add(&mut self, function: &Function<'_>) {
        let Some(unwinding) = function.unwinding else { return };
        let header_size = usize::try_from(unwinding.header_size).ok();
        let len = header_size.and_then(|size| unwinding.frames.len().checked_sub(size));
        let frames = len.filter(|len| *len <= BYTES_AT_MOST).and_then(|len| unwinding.frames.get(..len));
        let Some(frames) = frames else {
            self.left_out += 1;
            return;
        };
        self.bytes.extend_from_slice(frames);
        self.functions.push(Brought {
            address: function.address,
            offset: function.offset,
            size: function.code.len() as u64,
            len: frames.len(),
        });
    }

    /// The sections for a place in the image, if any function has entries or `in_any_case` is set; and how many
    /// functions have none.
    ///
    /// # Errors
    /// Where they are too large for their pointers.
    pub(crate) fn write(self, at: u64, in_any_case: bool) -> Result<(Option<Sections>, u64), ImageError> {
        let Self { target, mut bytes, functions, mut left_out } = self;
        let mut section = WrittenFrames(EndianVec::new(target.gimli_endian()));
        let mut table = FrameTable::default();
        let mut held = 0;
        let mut rest = bytes.as_mut_slice();
        for function in functions {
            let (frames, behind) = rest.split_at_mut_checked(function.len).unwrap_or_default();
            rest = behind;
            take_out_omitted(frames, target.endian);
            let Some(Converted { cies, fdes, instructions }) = convert(&function, frames, at, target) else {
                left_out += 1;
                continue;
            };
            if held + instructions > HELD_AT_MOST || table.cie_count() + cies.len() > CIES_AT_MOST {
                std::mem::take(&mut table).write_eh_frame(&mut section).map_err(written)?;
                held = 0;
            }
            held += instructions;
            let cies: Vec<CieId> = cies.into_iter().map(|cie| table.add_cie(cie)).collect();
            for (cie, fde) in fdes {
                if let Some(cie) = cies.get(cie) {
                    table.add_fde(*cie, fde);
                }
            }
        }
        table.write_eh_frame(&mut section).map_err(written)?;
        let mut frames = section.0.into_vec();
        if frames.is_empty() && !in_any_case {
            return Ok((None, left_out));
        }
        // The end, for those who read on until one comes.
        frames.extend([0; 4]);
        let table = search_table(&frames, at, target)?;
        Ok((Some(Sections { frames, table }), left_out))
    }
}

fn written(error: gimli::write::Error) -> ImageError {
    ImageError::Frames(gimli::write::ConvertError::from(error).into())
}

/// `.eh_frame` as a reader sees it.
fn read_section(bytes: &[u8], target: Target) -> EhFrameSection<'_> {
    let mut section = EhFrame::new(bytes, target.gimli_endian());
    section.set_address_size(target.address_size());
    if target.machine() == elf::EM_AARCH64 {
        section.set_vendor(Vendor::AArch64);
    }
    section
}

/// `.eh_frame_hdr` for the `.eh_frame` at an address, which it follows: where the entry of each function is, in the
/// order of their addresses.
fn search_table(frames: &[u8], at: u64, target: Target) -> Result<Vec<u8>, ImageError> {
    const COUNT: DwEhPe = gimli::DW_EH_PE_udata4;
    const PAIRS: DwEhPe = DwEhPe(gimli::DW_EH_PE_datarel.0 | gimli::DW_EH_PE_sdata4.0);
    let read = |error: gimli::Error| ImageError::Frames(gimli::write::ConvertError::from(error).into());
    let section = read_section(frames, target);
    let bases = BaseAddresses::default().set_eh_frame(at);
    let mut entries = section.entries(&bases);
    let mut pairs = Vec::new();
    while let Some(entry) = entries.next().map_err(read)? {
        if let CieOrFde::Fde(fde) = entry {
            let fde = fde.parse(EhFrameSection::cie_from_offset).map_err(read)?;
            pairs.push((fde.initial_address(), at.saturating_add(fde.offset() as u64)));
        }
    }
    pairs.sort_unstable();

    let here = at.saturating_add(frames.len() as u64);
    let relative = |address: u64, from: u64| {
        let distance = i32::try_from(address.wrapping_sub(from).cast_signed());
        distance
            .map(|distance| target.endian.put_u32(distance.cast_unsigned()))
            .map_err(|_| ImageError::TooLarge)
    };
    let mut table = vec![1, POINTERS.0, COUNT.0, PAIRS.0];
    // The first pointer is relative to where it stands, the others to where the table does.
    table.extend(relative(at, here.saturating_add(4))?);
    let count = u32::try_from(pairs.len()).map_err(|_| ImageError::TooLarge)?;
    table.extend(target.endian.put_u32(count));
    for (function, entry) in pairs {
        table.extend(relative(function, here)?);
        table.extend(relative(entry, here)?);
    }
    Ok(table)
}

/// The entries of one function, rewritten for the image.
struct Converted {
    cies: Vec<CommonInformationEntry>,
    /// Each with the index of its CIE.
    fdes: Vec<(usize, FrameDescriptionEntry)>,
    /// How many instructions there are in all of them, an entry counted as one.
    instructions: usize,
}

/// Reads the entries of a function, and rewrites them for its place in an image whose `.eh_frame` is `at` an address.
/// `None` where they cannot be read, or cannot be rewritten in full.
fn convert(function: &Brought, frames: &[u8], at: u64, target: Target) -> Option<Converted> {
    if function.size > REACH || at.checked_sub(function.offset)? > REACH {
        return None;
    }
    // Where perf puts it, and so where runtimes take it to be.
    let place = function.address.checked_add(function.size.checked_next_multiple_of(8)?)?;
    let section = read_section(frames, target);
    let bases = BaseAddresses::default().set_eh_frame(place);
    let mut entries = section.entries(&bases);
    let mut known: HashMap<usize, (usize, Cie<'_>)> = HashMap::new();
    let mut converted = Converted { cies: Vec::new(), fdes: Vec::new(), instructions: 0 };
    while let Some(entry) = entries.next().ok()? {
        match entry {
            CieOrFde::Cie(cie) => {
                let index = converted.cies.len();
                if index == CIES_AT_MOST {
                    return None;
                }
                let mut written = header(&cie, target)?;
                let mut instructions = cie.instructions(&section, &bases);
                while let Some(instruction) = instructions.next().ok()? {
                    if instruction != Instruction::Nop {
                        written.add_instruction(rewrite(&instruction, &cie, &section)?);
                        converted.instructions += 1;
                    }
                }
                converted.cies.push(written);
                known.insert(cie.offset(), (index, cie));
            }
            CieOrFde::Fde(fde) => {
                // One that stands before it: none is read twice.
                let (index, cie) = known.get(&fde.cie_offset().0)?;
                let fde = fde.parse(|_, _, _| Ok(cie.clone())).ok()?;
                let start = fde.initial_address().checked_sub(function.address)?;
                let len = fde.len().min(function.size.checked_sub(start)?);
                if len == 0 {
                    continue;
                }
                // The image's own pointers count from the start of the section.
                let address = Address::Constant(function.offset.checked_add(start)?.wrapping_sub(at));
                let mut written = FrameDescriptionEntry::new(address, u32::try_from(len).ok()?);
                let mut offset = 0;
                let mut instructions = fde.instructions(&section, &bases);
                while let Some(instruction) = instructions.next().ok()? {
                    if let Some(next) = advanced(&instruction, cie, fde.initial_address(), offset)? {
                        offset = next;
                    } else if instruction != Instruction::Nop {
                        written.add_instruction(offset, rewrite(&instruction, cie, &section)?);
                        converted.instructions += 1;
                    }
                }
                converted.fdes.push((*index, written));
                converted.instructions += 1;
            }
        }
    }
    Some(converted)
}

/// A CIE without its instructions. Its pointers for exceptions are left out: they are addresses in the process, and no
/// reader of an image throws.
fn header(cie: &Cie<'_>, target: Target) -> Option<CommonInformationEntry> {
    // By both of them is divided.
    let code = u8::try_from(cie.code_alignment_factor()).ok().filter(|factor| *factor != 0)?;
    let data = i8::try_from(cie.data_alignment_factor()).ok().filter(|factor| *factor != 0)?;
    // In this version it has one byte, which the writer takes for the first of several if its highest bit is set.
    let register = cie.return_address_register();
    if register.0 >= 0x80 {
        return None;
    }
    let mut written = CommonInformationEntry::new(target.dwarf(VERSION), code, data, register);
    written.fde_address_encoding = POINTERS;
    written.signal_trampoline = cie.is_signal_trampoline();
    Some(written)
}
