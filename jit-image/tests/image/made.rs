//! Functions as a runtime could have made them, and the images of them.

use std::io::Cursor;

use bstr::BStr;
use gimli::RunTimeEndian;
use gimli::write::{Address, CallFrameInstruction, EhFrame, EndianVec, FrameDescriptionEntry, FrameTable};
use gimli::{DwEhPe, Register};
use jit_image::{Function, ImageError, ImageWriter, LineRow, PackedLayout, Target, UnwindInfo, Written};
use perf_format::Endian;

pub(crate) const X86_64: Target = Target { machine: 62, endian: Endian::Little };
pub(crate) const I386: Target = Target { machine: 3, endian: Endian::Little };
pub(crate) const S390: Target = Target { machine: 22, endian: Endian::Big };
pub(crate) const PPC: Target = Target { machine: 20, endian: Endian::Big };
pub(crate) const ARM64: Target = Target { machine: 183, endian: Endian::Little };
pub(crate) const TARGETS: [Target; 4] = [X86_64, I386, S390, PPC];

/// `.eh_frame_hdr` as a dump may have it; nobody reads it.
pub(crate) const HEADER: [u8; 12] = [1, 0x1b, 3, 0x3b, 0, 0, 0, 0, 0, 0, 0, 0];

/// A function that owns what it is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) code: Vec<u8>,
    /// Where, which line, of which file.
    pub(crate) lines: Vec<(u64, u32, String)>,
    pub(crate) frames: Option<Vec<u8>>,
}

pub(crate) fn gimli_endian(target: Target) -> RunTimeEndian {
    if target.endian == Endian::Little { RunTimeEndian::Little } else { RunTimeEndian::Big }
}

pub(crate) fn address_size(target: Target) -> u8 {
    if target == I386 || target == PPC { 4 } else { 8 }
}

/// The instructions that each function's entry has, and where.
pub(crate) fn instructions() -> Vec<(u32, CallFrameInstruction)> {
    let bp = Register(6);
    vec![
        (1, CallFrameInstruction::CfaOffset(16)),
        (1, CallFrameInstruction::Offset(bp, -16)),
        (4, CallFrameInstruction::CfaRegister(bp)),
        (4, CallFrameInstruction::RememberState),
        (9, CallFrameInstruction::SameValue(Register(3))),
        (9, CallFrameInstruction::Undefined(Register(12))),
        (9, CallFrameInstruction::Register(Register(13), Register(3))),
        (9, CallFrameInstruction::ValOffset(Register(14), -24)),
        (9, CallFrameInstruction::Offset(Register(15), 8)),
        (10, CallFrameInstruction::ArgsSize(32)),
        (14, CallFrameInstruction::RestoreState),
        (14, CallFrameInstruction::Restore(bp)),
        (15, CallFrameInstruction::Cfa(Register(7), 8)),
    ]
}

/// Unwinding information of a function of this size, relative to where it stands itself.
pub(crate) fn frames(size: u64, target: Target, instructions: &[(u32, CallFrameInstruction)]) -> Vec<u8> {
    let address_size = address_size(target);
    let encoding = gimli::Encoding { format: gimli::Format::Dwarf32, version: 1, address_size };
    let mut cie = gimli::write::CommonInformationEntry::new(encoding, 1, -8, Register(16));
    cie.fde_address_encoding = DwEhPe(gimli::DW_EH_PE_pcrel.0 | gimli::DW_EH_PE_sdata4.0);
    cie.add_instruction(CallFrameInstruction::Cfa(Register(7), 8));
    cie.add_instruction(CallFrameInstruction::Offset(Register(16), -8));
    let mut table = FrameTable::default();
    let cie = table.add_cie(cie);
    let start = size.next_multiple_of(8).wrapping_neg();
    let mut fde = FrameDescriptionEntry::new(Address::Constant(start), u32::try_from(size).unwrap());
    for (offset, instruction) in instructions {
        fde.add_instruction(*offset, instruction.clone());
    }
    table.add_fde(cie, fde);
    let mut section = EhFrame(EndianVec::new(gimli_endian(target)));
    table.write_eh_frame(&mut section).unwrap();
    let mut frames = section.0.into_vec();
    frames.extend([0; 4]);
    frames.extend(HEADER);
    frames
}

/// Functions of all kinds, one behind the other.
pub(crate) fn some(target: Target) -> Vec<Made> {
    let mut layout = PackedLayout::default();
    let mut functions = Vec::new();
    for (index, size) in (0_u64..).zip([0x40_u64, 0x33, 0x1000, 0x10, 0x11]) {
        let address = 0x7f00_0000 + index * 0x2340;
        let lines = [(0, 10, "one"), (4, 12, "one"), (9, 3, "two"), (9, 700_000, "two")];
        let lines = lines.map(|(at, line, file)| (address + at, line, format!("/src/{file}.js")));
        functions.push(Made {
            name: format!("jit:function {index}"),
            address,
            offset: layout.place(size).unwrap(),
            code: (0..=250).cycle().take(usize::try_from(size).unwrap()).collect(),
            lines: if index == 3 { Vec::new() } else { lines.to_vec() },
            frames: (index != 1).then(|| frames(size, target, &instructions())),
        });
    }
    functions
}

/// The image of functions.
pub(crate) fn image(target: Target, functions: &[Made]) -> (Vec<u8>, Written) {
    let mut bytes = Vec::new();
    let mut image = ImageWriter::new(Cursor::new(&mut bytes), target);
    for made in functions {
        add(&mut image, made).unwrap();
    }
    let written = image.finish().unwrap();
    (bytes, written)
}

pub(crate) fn add(image: &mut ImageWriter<Cursor<&mut Vec<u8>>>, made: &Made) -> Result<(), ImageError> {
    let lines: Vec<_> = made.lines.iter().map(line).collect();
    image.add(&Function {
        name: BStr::new(&made.name),
        address: made.address,
        offset: made.offset,
        code: &made.code,
        lines: &lines,
        unwinding: made
            .frames
            .as_deref()
            .map(|frames| UnwindInfo { frames, header_size: HEADER.len() as u64 }),
    })
}

fn line((address, line, file): &(u64, u32, String)) -> LineRow<'_> {
    LineRow { address: *address, line: *line, discriminator: line % 3, file: BStr::new(file) }
}
