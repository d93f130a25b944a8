//! The ELF structure round the code: sections behind it, and headers, segments and the build-id's note before it; in an
//! image of one function, the file's header alone stands before it.

use std::io::{Seek, Write};
use std::ops::Range;

use object::Endianness;
use object::elf;
use object::write::elf::{Encoder, FileHeader, FileHeaderLayout, ProgramHeader, SectionHeader};
use perf_format::BuildId;

use crate::error::ImageError;
use crate::frames;
use crate::layout::{FUNCTION_OFFSET, TEXT_ALIGN, TEXT_OFFSET};
use crate::output::SparseWriter;
use crate::symbols::Symbols;
use crate::target::Target;

/// What segments are aligned to, in bytes.
const PAGE: u64 = 0x1000;

/// The section that has a segment of its own, by which it is found.
const EH_FRAME_HDR: &str = ".eh_frame_hdr";

/// The next multiple of an alignment.
pub(crate) fn aligned(offset: u64, align: u64) -> Result<u64, ImageError> {
    offset.checked_next_multiple_of(align).ok_or(ImageError::TooLarge)
}

/// The sections of a file whose code is written already.
#[derive(Debug)]
pub(crate) struct Parts {
    target: Target,
    encoder: Encoder<Endianness>,
    sections: Vec<Section>,
    /// Whether it is of one function.
    of_function: bool,
    /// Where the executable segment ends.
    segment_end: u64,
    /// How far the file is spoken for.
    end: u64,
}

#[derive(Debug)]
struct Section {
    name: &'static str,
    header: SectionHeader,
    /// What is still to be written: nothing of `.text`.
    data: Vec<u8>,
}

impl Parts {
    /// The parts that every image has before its symbols: the build-id's note, as yet without the id, and the code.
    pub(crate) fn new(target: Target, text: &Range<u64>) -> Self {
        let encoder = Encoder::new(target.object_endian(), target.is_64(), target.machine());
        let of_function = text.start == FUNCTION_OFFSET;
        let note_flags = if of_function { elf::SectionFlags(0) } else { elf::SHF_ALLOC };
        let note = SectionHeader { sh_flags: note_flags, sh_addralign: 4, ..header(elf::SHT_NOTE) };
        let code = SectionHeader {
            sh_flags: elf::SHF_ALLOC | elf::SHF_EXECINSTR,
            sh_addr: text.start,
            sh_offset: text.start,
            sh_size: text.end - text.start,
            sh_addralign: TEXT_ALIGN,
            ..header(elf::SHT_PROGBITS)
        };
        let sections = vec![
            Section { name: ".note.gnu.build-id", header: note, data: Vec::new() },
            Section { name: ".text", header: code, data: Vec::new() },
        ];
        Self { target, encoder, sections, of_function, segment_end: text.end, end: text.end }
    }

    /// Puts a section behind those that are there.
    fn add(
        &mut self,
        name: &'static str,
        mut header: SectionHeader,
        data: Vec<u8>,
    ) -> Result<(), ImageError> {
        header.sh_offset = aligned(self.end, header.sh_addralign)?;
        header.sh_size = data.len() as u64;
        self.end = header.sh_offset.checked_add(header.sh_size).ok_or(ImageError::TooLarge)?;
        if header.sh_flags.contains(elf::SHF_ALLOC) {
            header.sh_addr = header.sh_offset;
            self.segment_end = self.end;
        }
        self.sections.push(Section { name, header, data });
        Ok(())
    }

    /// Unwinding information goes behind the code, into its segment: what maps the code of an image maps this
    /// as well, which libunwind asks for. Where it stands apart it is mapped apart, and the segment ends with the code, so
    /// that what has other files in between is not in their way.
    pub(crate) fn add_frames(&mut self, frames: Vec<u8>, table: Vec<u8>, at: u64) -> Result<(), ImageError> {
        let apart = at.saturating_sub(self.end) >= PAGE;
        let text_end = self.segment_end;
        self.end = self.end.max(at);
        let of = |align| SectionHeader {
            sh_flags: elf::SHF_ALLOC,
            sh_addralign: align,
            ..header(elf::SHT_PROGBITS)
        };
        self.add(".eh_frame", of(frames::ALIGN), frames)?;
        self.add(EH_FRAME_HDR, of(frames::TABLE_ALIGN), table)?;
        if apart {
            self.segment_end = text_end;
        }
        Ok(())
    }

    pub(crate) fn add_lines(&mut self, sections: Vec<(&'static str, Vec<u8>)>) -> Result<(), ImageError> {
        sections.into_iter().try_for_each(|(name, data)| self.add(name, header(elf::SHT_PROGBITS), data))
    }

    pub(crate) fn add_symbols(&mut self, symbols: Symbols) -> Result<(), ImageError> {
        // The names come next, and the null section is the first of all.
        let names = self.count()? + 1;
        let table = self.encoder.symtab_section_header(names, symbols.count);
        self.add(".symtab", table, symbols.table)?;
        self.add(".strtab", self.encoder.strtab_section_header(), symbols.names)
    }

    /// The sections so far, the null section among them.
    fn count(&self) -> Result<u32, ImageError> {
        u32::try_from(self.sections.len() + 1).map_err(|_| ImageError::TooLarge)
    }

    /// Where the executable segment ends.
    pub(crate) fn segment_end(&self) -> u64 {
        self.segment_end
    }

    /// What stands behind the code.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.sections.iter().map(|section| (section.name, section.data.as_slice()))
    }

    /// Writes what stands behind the code, then what stands before it.
    pub(crate) fn write<W: Write + Seek>(
        mut self,
        out: &mut SparseWriter<W>,
        build_id: BuildId,
    ) -> Result<(), ImageError> {
        const NAMES: &str = ".shstrtab";
        let mut names = vec![0];
        let named = self.sections.iter_mut().map(|section| (section.name, &mut section.header.sh_name));
        let mut own_name = 0;
        for (name, place) in named.chain([(NAMES, &mut own_name)]) {
            *place = u32::try_from(names.len()).map_err(|_| ImageError::TooLarge)?;
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        }
        let shstrtab_index = self.count()?;
        let names_header = SectionHeader { sh_name: own_name, ..self.encoder.strtab_section_header() };
        self.add(NAMES, names_header, names)?;

        let segment_num = if self.of_function { 2 } else { 3 };
        let segment_num = segment_num + u32::from(self.header_of(EH_FRAME_HDR).is_some());
        let segments_size = u64::from(segment_num) * self.encoder.program_header_size();
        let note = self.note(build_id);
        let e_phoff = match self.of_function {
            true => aligned(self.end, self.encoder.address_size())?,
            false => self.encoder.file_header_size(),
        };
        let note_offset = e_phoff.checked_add(segments_size).ok_or(ImageError::TooLarge)?;
        if let Some(section) = self.sections.first_mut() {
            section.header.sh_addr = if self.of_function { 0 } else { note_offset };
            section.header.sh_offset = note_offset;
            section.header.sh_size = note.len() as u64;
        }
        if self.of_function {
            self.end = note_offset.checked_add(note.len() as u64).ok_or(ImageError::TooLarge)?;
        }

        let e_shoff = aligned(self.end, self.encoder.address_size())?;
        let layout =
            FileHeaderLayout { e_phoff, segment_num, e_shoff, section_num: self.count()?, shstrtab_index };
        let mut table = Vec::new();
        self.encoder.null_section_header(&mut table, &layout);
        for section in &self.sections {
            self.encoder.section_header(&mut table, &section.header);
        }
        if !e_shoff.checked_add(table.len() as u64).is_some_and(|end| self.target.has_offset(end)) {
            return Err(ImageError::TooLarge);
        }
        for section in &self.sections {
            out.write_at(section.header.sh_offset, &section.data)?;
        }
        let mut head = self.file_header(&layout)?;
        let mut segments = Vec::new();
        for segment in self.segments() {
            self.encoder.program_header(&mut segments, &segment);
        }
        segments.extend(note);
        match self.of_function {
            true => out.write_at(e_phoff, &segments)?,
            false => head.extend(segments),
        }
        out.write_at(e_shoff, &table)?;
        out.write_head(&head)?;
        Ok(())
    }

    fn file_header(&self, layout: &FileHeaderLayout) -> Result<Vec<u8>, ImageError> {
        let header = FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: elf::ET_DYN,
            e_machine: self.target.machine(),
            // Nothing runs it.
            e_entry: 0,
            e_flags: elf::FileFlags(0),
        };
        let mut head = Vec::new();
        // It objects to numbers of sections and segments that no image has.
        self.encoder.file_header(&mut head, &header, layout).map_err(|_| ImageError::TooLarge)?;
        Ok(head)
    }

    fn note(&self, build_id: BuildId) -> Vec<u8> {
        let endian = self.target.endian;
        let mut note = Vec::new();
        note.extend(endian.put_u32(4));
        note.extend(endian.put_u32(build_id.size().into()));
        note.extend(endian.put_u32(elf::NT_GNU_BUILD_ID.0));
        note.extend(b"GNU\0");
        note.extend(build_id.as_bytes());
        note
    }

    fn header_of(&self, name: &str) -> Option<&SectionHeader> {
        self.sections.iter().find(|section| section.name == name).map(|section| &section.header)
    }

    /// The segments: what stands before the code, the code, and then what is looked for by its segment.
    fn segments(&self) -> Vec<ProgramHeader> {
        let note =
            self.sections.first().map(|section| section.header.sh_offset..section_end(&section.header));
        let note = note.unwrap_or_default();
        let table = self.header_of(EH_FRAME_HDR);
        let table = table.map(|header| (elf::PT_GNU_EH_FRAME, header.sh_offset..section_end(header)));
        let read = elf::PF_R;
        let code = |start| segment(elf::PT_LOAD, read | elf::PF_X, start..self.segment_end, PAGE);
        let mut segments = match self.of_function {
            // Readers take it to be loaded where its first segment begins: at 0.
            true => vec![code(0)],
            false => vec![segment(elf::PT_LOAD, read, 0..note.end, PAGE), code(TEXT_OFFSET)],
        };
        segments.push(segment(elf::PT_NOTE, read, note, 4));
        segments.extend(table.map(|(kind, place)| segment(kind, read, place, frames::TABLE_ALIGN)));
        segments
    }
}

/// A section's header, as yet without its place.
fn header(sh_type: elf::SectionType) -> SectionHeader {
    SectionHeader {
        sh_name: 0,
        sh_type,
        sh_flags: elf::SectionFlags(0),
        sh_addr: 0,
        sh_offset: 0,
        sh_size: 0,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: 1,
        sh_entsize: 0,
    }
}

fn section_end(header: &SectionHeader) -> u64 {
    header.sh_offset.saturating_add(header.sh_size)
}

/// A segment that is loaded to where it stands in the file.
fn segment(
    p_type: elf::ProgramType,
    p_flags: elf::ProgramFlags,
    place: Range<u64>,
    p_align: u64,
) -> ProgramHeader {
    let size = place.end - place.start;
    ProgramHeader {
        p_type,
        p_flags,
        p_offset: place.start,
        p_vaddr: place.start,
        p_paddr: place.start,
        p_filesz: size,
        p_memsz: size,
        p_align,
    }
}
