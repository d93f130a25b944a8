//! Images of one function: what readers that load a file once need of them.

use jit_image::{FUNCTION_OFFSET, Function, ImageWriter, UnwindInfo};
use object::{File, Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, SectionFlags};

use crate::made::{HEADER, TARGETS, frames};

/// The image of a function with unwinding information at [`FUNCTION_OFFSET`], and the end of its segment.
fn image(target: jit_image::Target) -> (Vec<u8>, u64) {
    let mut frames = frames(0x20, target, &[]);
    frames.extend(HEADER);
    let mut out = std::io::Cursor::new(Vec::new());
    let mut image = ImageWriter::of_function(&mut out, target);
    let unwinding = Some(UnwindInfo { frames: &frames, header_size: HEADER.len() as u64 });
    let (name, code) = ("one".into(), [0x90; 0x20]);
    let function =
        Function { name, address: 0x7000, offset: FUNCTION_OFFSET, code: &code, lines: &[], unwinding };
    image.add(&function).unwrap();
    let written = image.finish().unwrap();
    (out.into_inner(), written.segment_end)
}

#[test]
fn all_that_is_loaded_is_in_one_segment_that_begins_where_the_file_does() {
    for target in TARGETS {
        let (bytes, end) = image(target);
        let file = File::parse(&*bytes).unwrap();
        let segments: Vec<_> = file.segments().map(|part| (part.address(), part.file_range())).collect();
        assert_eq!(segments, [(0, (0, end))], "{target:?}");
        let loaded = file.sections().filter(|section| match section.flags() {
            SectionFlags::Elf { sh_flags, .. } => sh_flags.contains(object::elf::SHF_ALLOC),
            _ => false,
        });
        let names: Vec<_> = loaded
            .map(|section| {
                let (offset, size) = section.file_range().unwrap();
                assert!(offset == section.address() && offset + size <= end, "{target:?}");
                section.name().unwrap().to_owned()
            })
            .collect();
        assert_eq!(names, [".text", ".eh_frame", ".eh_frame_hdr"], "{target:?}");
        let symbol = file.symbols().next().unwrap();
        assert_eq!((symbol.address(), symbol.size()), (FUNCTION_OFFSET, 0x20));
        assert_eq!(file.build_id().unwrap().unwrap().len(), 20);
    }
}
