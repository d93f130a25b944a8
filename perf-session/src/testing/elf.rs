//! ELF files with notes, of either class and byte order.

use object::Endianness;
use object::elf::{self, Machine, NoteType};
use object::write::elf::{Encoder, FileHeader, FileHeaderLayout, ProgramHeader, SectionHeader};

/// An ELF file with nothing in it but notes and the names of debug files.
#[derive(Debug, Clone)]
pub struct Elf {
    /// The byte order.
    pub endian: Endianness,
    /// 64 bits or 32.
    pub is_64: bool,
    /// Whether a program header has the place of the notes.
    pub segments: bool,
    /// The executable segments that a loader maps: offsets and sizes in the file, in bytes.
    pub loads: Vec<(u64, u64)>,
    /// Whether a section header has the place of the notes.
    pub sections: bool,
    /// The name and the CRC-32 in a section `.gnu_debuglink`, where there are sections.
    pub debug_link: Option<(Vec<u8>, u32)>,
    /// The name and the build-id in a section `.gnu_debugaltlink`, beside a `.debug_info`, where there are sections.
    pub alternate_link: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether a section tells that its code is not in it (`SHT_NOBITS`), as in a debug file, where there are sections.
    pub is_separate: bool,
    /// How many headers of a kind there are, all with the same place of the notes.
    pub headers: u16,
    /// The notes; alone, they are what the kernel has in sysfs.
    pub notes: Vec<u8>,
}

/// The type of a note that is a build-id, where its owner is `GNU`.
pub const BUILD_ID: NoteType = elf::NT_GNU_BUILD_ID;

/// The names of sections.
const NAMES: &[u8] = b"\0.gnu_debuglink\0.gnu_debugaltlink\0.debug_info\0";

impl Elf {
    /// An ELF file without notes.
    #[must_use]
    pub fn new(endian: Endianness, is_64: bool) -> Self {
        Self {
            endian,
            is_64,
            segments: true,
            loads: vec![(0, 0x1000)],
            sections: true,
            debug_link: None,
            alternate_link: None,
            is_separate: false,
            headers: 1,
            notes: Vec::new(),
        }
    }

    /// A file of this machine with a build-id.
    #[must_use]
    pub fn with_build_id(id: &[u8]) -> Self {
        Self::new(Endianness::default(), true).note(b"GNU\0", BUILD_ID, id)
    }

    /// Adds a note; `owner` has its NUL.
    #[must_use]
    pub fn note(mut self, owner: &[u8], note_type: NoteType, desc: &[u8]) -> Self {
        for word in [owner.len(), desc.len(), note_type.0 as usize] {
            let word = u32::try_from(word).expect("a test's note is small");
            let bytes = match self.endian {
                Endianness::Little => word.to_le_bytes(),
                Endianness::Big => word.to_be_bytes(),
            };
            self.notes.extend(bytes);
        }
        for part in [owner, desc] {
            self.notes.extend(part);
            self.notes.resize(self.notes.len().next_multiple_of(4), 0);
        }
        self
    }

    /// Takes bytes off the end of the notes, behind the headers' backs.
    #[must_use]
    pub fn cut_notes(mut self, bytes: usize) -> Self {
        self.notes.truncate(self.notes.len().saturating_sub(bytes));
        self
    }

    /// The file: headers, then the notes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let encoder = Encoder::new(self.endian, self.is_64, Machine(elf::EM_X86_64.0));
        let header_size = encoder.file_header_size();
        let loads = u32::try_from(self.loads.len()).expect("a few");
        let segments = if self.segments { u32::from(self.headers) + loads } else { 0 };
        let named = self.named_sections();
        let named_num = u32::try_from(named.len()).expect("a few");
        let section_num = if self.sections {
            1 + u32::from(self.headers) + u32::from(self.is_separate) + named_num
        } else {
            0
        };
        let e_shoff = header_size + u64::from(segments) * encoder.program_header_size();
        let offset = e_shoff + u64::from(section_num) * encoder.section_header_size();
        let size = self.notes.len() as u64;
        let layout = FileHeaderLayout {
            e_phoff: if self.segments { header_size } else { 0 },
            segment_num: segments,
            e_shoff: if self.sections { e_shoff } else { 0 },
            section_num,
            // The last one.
            shstrtab_index: if self.sections && !named.is_empty() { section_num - 1 } else { 0 },
        };
        let mut out = Vec::new();
        let header = FileHeader { e_type: elf::ET_DYN, e_machine: elf::EM_X86_64, ..FileHeader::default() };
        encoder.file_header(&mut out, &header, &layout).expect("a test's file is small");
        if self.segments {
            let segment = ProgramHeader {
                p_type: elf::PT_NOTE,
                p_flags: elf::PF_R,
                p_offset: offset,
                p_vaddr: offset,
                p_paddr: offset,
                p_filesz: size,
                p_memsz: size,
                p_align: 4,
            };
            for _ in 0..self.headers {
                encoder.program_header(&mut out, &segment);
            }
            for (offset, size) in &self.loads {
                let load = ProgramHeader {
                    p_type: elf::PT_LOAD,
                    p_flags: elf::PF_R | elf::PF_X,
                    p_offset: *offset,
                    p_vaddr: *offset,
                    p_paddr: *offset,
                    p_filesz: *size,
                    p_memsz: *size,
                    p_align: 4096,
                };
                encoder.program_header(&mut out, &load);
            }
        }
        if self.sections {
            encoder.section_header(&mut out, &SectionHeader::default());
            let section = SectionHeader {
                sh_type: elf::SHT_NOTE,
                sh_offset: offset,
                sh_size: size,
                sh_addralign: 4,
                ..SectionHeader::default()
            };
            for _ in 0..self.headers {
                encoder.section_header(&mut out, &section);
            }
        }
        if self.sections {
            if self.is_separate {
                let code = SectionHeader {
                    sh_type: elf::SHT_NOBITS,
                    sh_flags: elf::SHF_ALLOC | elf::SHF_EXECINSTR,
                    sh_size: 0x1000,
                    ..SectionHeader::default()
                };
                encoder.section_header(&mut out, &code);
            }
            let mut sh_offset = offset + size;
            for (sh_name, contents) in &named {
                let section = SectionHeader {
                    sh_name: *sh_name,
                    sh_type: elf::SHT_PROGBITS,
                    sh_offset,
                    sh_size: contents.len() as u64,
                    ..SectionHeader::default()
                };
                encoder.section_header(&mut out, &section);
                sh_offset += section.sh_size;
            }
        }
        out.extend_from_slice(&self.notes);
        out.extend(named.into_iter().flat_map(|(_, contents)| contents));
        out
    }

    /// The sections that are found by their names, and the names behind them: where each one's name is, and its contents.
    fn named_sections(&self) -> Vec<(u32, Vec<u8>)> {
        let alternate = self.alternate_link.as_ref().map(|(name, id)| (16, [name, &b"\0"[..], id].concat()));
        let debug_info = self.alternate_link.iter().map(|_| (34, b"information".to_vec()));
        let links: Vec<_> =
            self.debug_link.iter().map(|_| (1, self.link())).chain(alternate).chain(debug_info).collect();
        let names = (!links.is_empty()).then(|| (0, NAMES.to_vec()));
        links.into_iter().chain(names).collect()
    }

    /// The contents of `.gnu_debuglink`.
    fn link(&self) -> Vec<u8> {
        let Some((name, crc)) = &self.debug_link else { return Vec::new() };
        let mut link = name.clone();
        link.push(0);
        link.resize(link.len().next_multiple_of(4), 0);
        link.extend(match self.endian {
            Endianness::Little => crc.to_le_bytes(),
            Endianness::Big => crc.to_be_bytes(),
        });
        link
    }
}
