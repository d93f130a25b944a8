//! Images as their readers see them.

use std::ops::Range;

use gimli::{
    BaseAddresses, CallFrameInstruction, CieOrFde, EhFrame, EndianSlice, UnwindSection as _, Vendor,
};
use jit_image::Target;
use object::{File, Object as _, ObjectSection as _};

use crate::made::{ARM64, address_size, gimli_endian};

/// An instruction, and from where on it holds, in bytes from the start of the function.
pub(crate) type Instruction = (u64, CallFrameInstruction<usize>);

/// What the table of lines says of an address: line and file.
pub(crate) fn line_of(file: &File<'_>, target: Target, address: u64) -> Option<(u64, String)> {
    let endian = gimli_endian(target);
    let section = |id: gimli::SectionId| -> Result<_, gimli::Error> {
        let section = file.section_by_name(id.name()).map(|section| section.data().unwrap());
        Ok(EndianSlice::new(section.unwrap_or_default(), endian))
    };
    let dwarf = gimli::Dwarf::load(section).unwrap();
    let header = dwarf.units().next().unwrap()?;
    let unit = dwarf.unit(header).unwrap();
    let (program, sequences) = unit.line_program.clone()?.sequences().unwrap();
    let sequence = sequences.iter().find(|sequence| (sequence.start..sequence.end).contains(&address))?;
    let mut rows = program.resume_from(sequence);
    let mut found = None;
    while let Some((header, row)) = rows.next_row().unwrap() {
        if row.address() > address || row.end_sequence() {
            break;
        }
        let name = row.file(header).unwrap().path_name().string_value(&dwarf.debug_str).unwrap();
        let name = String::from_utf8(name.slice().to_vec()).unwrap();
        found = Some((row.line().map_or(0, std::num::NonZero::get), name));
    }
    found
}

/// The entry of an address, found as an unwinder finds it, by the search table.
pub(crate) fn entry_of(
    file: &File<'_>,
    target: Target,
    address: u64,
) -> Option<(Range<u64>, Vec<Instruction>)> {
    let (frames, header) = (file.section_by_name(".eh_frame")?, file.section_by_name(".eh_frame_hdr")?);
    let bases = BaseAddresses::default().set_eh_frame(frames.address()).set_eh_frame_hdr(header.address());
    let section = section(frames.data().unwrap(), target);
    let header = gimli::EhFrameHdr::new(header.data().unwrap(), gimli_endian(target));
    let header = header.parse(&bases, address_size(target)).unwrap();
    assert_eq!(header.eh_frame_ptr(), gimli::Pointer::Direct(frames.address()));
    let table = header.table().unwrap();
    let fde = table.fde_for_address(&section, &bases, address, EhFrame::cie_from_offset).ok()?;
    let instructions = all(fde.instructions(&section, &bases));
    Some((fde.initial_address()..fde.end_address(), instructions))
}

/// The instructions of the first entry of a section.
pub(crate) fn first_entry(frames: &[u8], target: Target) -> Vec<Instruction> {
    let section = section(frames, target);
    let bases = BaseAddresses::default().set_eh_frame(0x1000);
    let mut entries = section.entries(&bases);
    loop {
        if let CieOrFde::Fde(fde) = entries.next().unwrap().unwrap() {
            let fde = fde.parse(EhFrame::cie_from_offset).unwrap();
            return all(fde.instructions(&section, &bases));
        }
    }
}

fn section(frames: &[u8], target: Target) -> EhFrame<EndianSlice<'_, gimli::RunTimeEndian>> {
    let mut section = EhFrame::new(frames, gimli_endian(target));
    section.set_address_size(address_size(target));
    if target == ARM64 {
        section.set_vendor(Vendor::AArch64);
    }
    section
}

fn all<R: gimli::Reader<Offset = usize>>(
    mut instructions: gimli::CallFrameInstructionIter<'_, R>,
) -> Vec<Instruction> {
    let mut offset = 0;
    let mut found = Vec::new();
    while let Some(instruction) = instructions.next().unwrap() {
        match instruction {
            CallFrameInstruction::AdvanceLoc { delta } => offset += u64::from(delta),
            CallFrameInstruction::Nop => {}
            other => found.push((offset, other)),
        }
    }
    found
}
