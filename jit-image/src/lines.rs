//! Lines: one line program for all functions, each a sequence of its own, in one unit.

use std::ops::Range;

use gimli::LineEncoding;
use gimli::write::{
    Address, AttributeValue, DwarfUnit, EndianVec, FileId, LineProgram, LineString, Sections,
};
use hashbrown::HashMap;

use crate::error::ImageError;
use crate::function::{Function, LineRow};
use crate::symbols::up_to_nul;
use crate::target::Target;

/// The version of DWARF: 4 is the first with discriminators, all that reads DWARF reads it, and 5 has nothing that an
/// image would need.
const VERSION: u16 = 4;

/// The most files that are distinguished. The table of files has a hash of no secret: names made up to collide in it
/// would otherwise take time without bound.
const FILES_AT_MOST: usize = 1 << 16;

/// What the unit is called: there is no one file that it was made of.
const UNIT_NAME: &[u8] = b"jitted code";

/// The line program so far.
#[derive(Debug)]
pub(crate) struct Lines {
    target: Target,
    program: LineProgram,
    files: HashMap<Box<[u8]>, FileId>,
    left_out: u64,
}

impl Lines {
    pub(crate) fn new(target: Target) -> Self {
        let (directory, name) = (Vec::new(), UNIT_NAME.to_vec());
        let program = LineProgram::new(
            target.dwarf(VERSION),
            LineEncoding::default(),
            LineString::String(directory),
            None,
            LineString::String(name),
            None,
        );
        Self { target, program, files: HashMap::new(), left_out: 0 }
    }

    /// Lines that were left out.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Adds the lines of a function.
    pub(crate) fn add(&mut self, function: &Function<'_>) {
        let size = function.code.len() as u64;
        let mut last = 0;
        for line in function.lines {
            let offset = line.address.checked_sub(function.address);
            let offset = offset.filter(|offset| (last..size).contains(offset));
            let Some((offset, file)) = offset.and_then(|offset| Some((offset, self.file(line)?))) else {
                self.left_out += 1;
                continue;
            };
            last = offset;
            if !self.program.in_sequence() {
                self.program.begin_sequence(Some(Address::Constant(function.offset)));
            }
            let row = self.program.row();
            row.address_offset = offset;
            row.file = file;
            row.line = line.line.into();
            row.discriminator = line.discriminator.into();
            self.program.generate_row();
        }
        if self.program.in_sequence() {
            self.program.end_sequence(size);
        }
    }

    /// The number of a line's file, if it has one.
    fn file(&mut self, line: &LineRow<'_>) -> Option<FileId> {
        let name = up_to_nul(line.file);
        if let Some(file) = self.files.get(name) {
            return Some(*file);
        }
        if name.is_empty() || self.files.len() == FILES_AT_MOST {
            return None;
        }
        let directory = self.program.default_directory();
        let file = self.program.add_file(LineString::String(name.to_vec()), directory, None);
        self.files.insert(name.into(), file);
        Some(file)
    }

    /// The sections, if any function has lines; `text` is where functions are.
    ///
    /// # Errors
    /// Where a section is too large for its format.
    pub(crate) fn write(self, text: &Range<u64>) -> Result<Vec<(&'static str, Vec<u8>)>, ImageError> {
        let mut written = Vec::new();
        if self.program.is_empty() {
            return Ok(written);
        }
        let mut dwarf = DwarfUnit::new(self.program.encoding());
        dwarf.unit.line_program = self.program;
        let unit = dwarf.unit.get_mut(dwarf.unit.root());
        unit.set(gimli::DW_AT_name, AttributeValue::String(UNIT_NAME.to_vec()));
        unit.set(gimli::DW_AT_low_pc, AttributeValue::Address(Address::Constant(text.start)));
        unit.set(gimli::DW_AT_high_pc, AttributeValue::Udata(text.end - text.start));

        let mut sections = Sections::new(EndianVec::new(self.target.gimli_endian()));
        dwarf.write(&mut sections).map_err(failed)?;
        sections
            .for_each_mut(|id, section| {
                let data = section.take();
                if !data.is_empty() {
                    written.push((id.name(), data));
                }
                Ok::<(), gimli::write::Error>(())
            })
            .map_err(failed)?;
        written.push((".debug_aranges", ranges(self.target, text)));
        Ok(written)
    }
}

fn failed(error: gimli::write::Error) -> ImageError {
    ImageError::Lines(error.into())
}

/// Where the code of the one unit is (`.debug_aranges`), by which libdw finds it.
fn ranges(target: Target, text: &Range<u64>) -> Vec<u8> {
    const VERSION: u16 = 2;
    let (endian, address_size) = (target.endian, target.address_size());
    let mut section = Vec::new();
    section.extend(endian.put_u16(VERSION));
    // The unit is the first, and segments have no selectors.
    section.extend(endian.put_u32(0));
    section.extend([address_size, 0]);
    // Up to a multiple of a pair's size, with the length in front, whichever size addresses have.
    section.extend([0; 4]);
    for number in [text.start, text.end - text.start, 0, 0] {
        match u32::try_from(number) {
            Ok(number) if !target.is_64() => section.extend(endian.put_u32(number)),
            _ => section.extend(endian.put_u64(number)),
        }
    }
    let length = 12 + 4 * u32::from(address_size);
    [&endian.put_u32(length)[..], &section].concat()
}
