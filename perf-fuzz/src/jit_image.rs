//! `jit_image`: an image of jitted functions is read back as it was made, whatever the functions bring along.

use std::io::Cursor;

use ::jit_image::{Function, ImageError, ImageWriter, LineRow, TEXT_OFFSET, Target, UnwindInfo, Written};
use arbitrary::{Result, Unstructured};
use bstr::{BStr, BString, ByteSlice as _};
use gimli::{
    BaseAddresses, CieOrFde, EhFrame, EhFrameHdr, Pointer, RunTimeEndian, UnwindSection as _, Vendor,
};
use object::elf;
use object::{File, Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _};
use perf_format::Endian;

use crate::pieces::some;

/// The most functions of an image: more of them say nothing new.
const FUNCTIONS_AT_MOST: usize = 16;

/// The most bytes between two functions, and from the last to the unwinding tables: what is nowhere written costs
/// memory here.
const GAP_AT_MOST: u64 = 1 << 15;

/// The most bytes that an image has for each byte that it is made of, and for what stands in all images.
const BYTES_EACH: usize = 64;
const BYTES_IN_ALL: usize = 1 << 13;

/// Machines of either size, and one that nobody knows.
const MACHINES: [u16; 9] = [62, 183, 3, 22, 20, 40, 243, 8, 0xfffe];

/// A target, perhaps a place for the unwinding tables, and functions.
pub fn jit_image(data: &[u8]) {
    let Ok(made) = Made::of(&mut Unstructured::new(data)) else { return };
    let (bytes, written) = made.image();
    assert!(made.image() == (bytes.clone(), written), "the same twice");
    let end = made.end().max(made.frames_at.unwrap_or(0));
    let end = usize::try_from(end).expect("a small image");
    assert!(bytes.len() <= end + BYTES_IN_ALL + BYTES_EACH * data.len(), "{} bytes", bytes.len());
    made.is_told(&written);
    let file = File::parse(&*bytes).expect("it can be read");
    assert_eq!(file.build_id().expect("notes"), Some(written.build_id.as_bytes()));
    made.has_its_functions(&file, &bytes);
    made.has_its_tables(&file, &written);
}

/// A function that owns what it is made of.
struct MadeFunction {
    name: BString,
    address: u64,
    offset: u64,
    code: Vec<u8>,
    lines: Vec<(u64, u32, BString)>,
    /// Tables, and the bytes of the second of them.
    unwinding: Option<(Vec<u8>, u64)>,
}

/// What an image is made of.
struct Made {
    target: Target,
    frames_at: Option<u64>,
    functions: Vec<MadeFunction>,
}

impl Made {
    fn of(u: &mut Unstructured<'_>) -> Result<Self> {
        let flags: u8 = u.arbitrary()?;
        let endian = if flags & 1 == 0 { Endian::Little } else { Endian::Big };
        let target = Target { machine: *u.choose(&MACHINES)?, endian };
        let mut made = Self { target, frames_at: None, functions: Vec::new() };
        while !u.is_empty() && made.functions.len() < FUNCTIONS_AT_MOST {
            match function(made.end(), u) {
                Ok(function) => made.functions.push(function),
                Err(_) => break,
            }
        }
        if flags & 2 != 0 {
            // Before, at, or behind the end of the code.
            made.frames_at = Some((made.end() + u64::from(flags >> 2) * 0x123).saturating_sub(0x400));
        }
        Ok(made)
    }

    /// Where the code ends.
    fn end(&self) -> u64 {
        self.functions.last().map_or(TEXT_OFFSET, |last| last.offset + last.code.len() as u64)
    }

    fn image(&self) -> (Vec<u8>, Written) {
        let mut bytes = Vec::new();
        let mut image = ImageWriter::new(Cursor::new(&mut bytes), self.target);
        let mut end = TEXT_OFFSET;
        if let Some(offset) = self.frames_at {
            image = image.with_frames_at(offset);
        }
        for made in &self.functions {
            let lines: Vec<_> = made.lines.iter().map(line).collect();
            let unwinding = made.unwinding.as_ref();
            let unwinding = unwinding.map(|(frames, size)| UnwindInfo { frames, header_size: *size });
            let &MadeFunction { ref name, address, offset, ref code, .. } = made;
            let whole = Function { name: name.as_bstr(), address, offset, code, lines: &lines, unwinding };
            let refused = image.add(&Function { offset: end - 1, ..whole });
            assert!(matches!(refused, Err(ImageError::Offset { .. })), "that place is taken");
            image.add(&whole).expect("its place is free");
            end = offset + code.len() as u64;
        }
        let written = image.finish().expect("there is room for all of it");
        (bytes, written)
    }

    /// What is said of it is about what was given.
    fn is_told(&self, written: &Written) {
        let lines: usize = self.functions.iter().map(|function| function.lines.len()).sum();
        let unwound = self.functions.iter().filter(|function| function.unwinding.is_some()).count();
        assert!(written.lines_left_out <= lines as u64);
        assert!(written.without_unwinding <= unwound as u64);
        assert!(written.segment_end >= self.end());
    }

    fn has_its_functions(&self, file: &File<'_>, bytes: &[u8]) {
        let text = file.section_by_name(".text").expect("code");
        assert_eq!((text.address(), text.address() + text.size()), (TEXT_OFFSET, self.end()));
        assert_eq!(file.symbols().count(), self.functions.len());
        for (made, symbol) in self.functions.iter().zip(file.symbols()) {
            let name = made.name.split(|byte| *byte == 0).next().unwrap_or_default();
            assert_eq!(symbol.name_bytes().map(BStr::new), Ok(BStr::new(name)));
            assert_eq!((symbol.address(), symbol.size()), (made.offset, made.code.len() as u64));
            assert_eq!(symbol.section_index(), Some(text.index()));
            let at = usize::try_from(made.offset).expect("a small image");
            assert!(made.code.is_empty() || bytes[at..].starts_with(&made.code), "its code");
        }
    }

    /// The unwinding tables can be read to their end, and speak of the functions that brought some.
    fn has_its_tables(&self, file: &File<'_>, written: &Written) {
        let (Some(frames), Some(header)) =
            (file.section_by_name(".eh_frame"), file.section_by_name(".eh_frame_hdr"))
        else {
            assert_eq!(self.frames_at, None, "tables in any case");
            return;
        };
        assert!(frames.address() >= self.end().max(self.frames_at.unwrap_or(0)));
        // Tables a page behind the code or farther stand apart.
        let apart = frames.address() - self.end() >= 0x1000;
        let end = if apart { self.end() } else { header.address() + header.size() };
        assert_eq!(written.segment_end, end);
        let segment = file.segments().find(|segment| segment.address() == TEXT_OFFSET).expect("code");
        assert_eq!(segment.address() + segment.size(), written.segment_end);
        let endian = match self.target.endian {
            Endian::Little => RunTimeEndian::Little,
            Endian::Big => RunTimeEndian::Big,
        };
        let address_size = if file.is_64() { 8 } else { 4 };
        let mut section = EhFrame::new(frames.data().expect("its bytes"), endian);
        section.set_address_size(address_size);
        if self.target.machine == elf::EM_AARCH64.0 {
            section.set_vendor(Vendor::AArch64);
        }
        let bases = BaseAddresses::default().set_eh_frame(frames.address());
        let bases = bases.set_eh_frame_hdr(header.address());
        let table = EhFrameHdr::new(header.data().expect("its bytes"), endian);
        let table = table.parse(&bases, address_size).expect("it can be read");
        assert_eq!(table.eh_frame_ptr(), Pointer::Direct(frames.address()));
        let mut starts = Vec::new();
        let mut entries = section.entries(&bases);
        while let Some(entry) = entries.next().expect("an entry") {
            let CieOrFde::Fde(fde) = entry else { continue };
            let fde = fde.parse(EhFrame::cie_from_offset).expect("an entry of a function");
            let (start, end) = (fde.initial_address(), fde.end_address());
            let is_its = |made: &MadeFunction| {
                let range = made.offset..made.offset + made.code.len() as u64;
                made.unwinding.is_some() && range.contains(&start) && start < end && end <= range.end
            };
            assert!(
                self.functions.iter().any(is_its),
                "{start:#x}..{end:#x} is in no function that has tables"
            );
            let mut instructions = fde.instructions(&section, &bases);
            while instructions.next().expect("an instruction").is_some() {}
            starts.push((Pointer::Direct(start), Pointer::Direct(frames.address() + fde.offset() as u64)));
        }
        starts.sort_by_key(|(start, entry)| (start.pointer(), entry.pointer()));
        let mut searched = Vec::new();
        if let Some(table) = table.table() {
            let mut pairs = table.iter(&bases);
            searched.extend(std::iter::from_fn(|| pairs.next().expect("a pair")));
        }
        assert_eq!(searched, starts, "what is searched is all that there is, in order");
    }
}

/// A function behind what ends there.
fn function(end: u64, u: &mut Unstructured<'_>) -> Result<MadeFunction> {
    let flags: u8 = u.arbitrary()?;
    let gap = u64::from(u.arbitrary::<u16>()?) % GAP_AT_MOST;
    let offset = end + if flags & 1 == 0 { gap % 32 } else { gap };
    let address = match flags >> 1 & 3 {
        0 => offset + 0x7000_0000,
        1 => 0x7f12_3456_7000 + gap,
        2 => u64::from(flags),
        _ => u64::MAX - gap,
    };
    let name = some(u, 40)?.into();
    let mut code = some(u, 255)?.to_vec();
    if flags & 8 != 0 {
        code.resize(code.len() * 32, 0xcc);
    }
    let mut lines = Vec::new();
    for _ in 0..flags >> 4 & 7 {
        let into: i16 = u.arbitrary()?;
        let into = if into & 1 == 0 { into >> 8 } else { into };
        let file = some(u, 20)?.into();
        lines.push((address.wrapping_add_signed(into.into()), u.arbitrary()?, file));
    }
    let unwinding = match flags >> 7 {
        0 => None,
        _ => {
            let header_size: u8 = u.arbitrary()?;
            let header_size = if header_size == u8::MAX { u64::MAX } else { header_size.into() };
            let len: u16 = u.arbitrary()?;
            Some((u.bytes(usize::from(len % 1024).min(u.len()))?.to_vec(), header_size))
        }
    };
    Ok(MadeFunction { name, address, offset, code, lines, unwinding })
}

fn line((address, line, file): &(u64, u32, BString)) -> LineRow<'_> {
    LineRow { address: *address, line: *line, discriminator: line % 3, file: file.as_bstr() }
}
