//! Images of jitted code, read back by the libraries that readers of recordings use, and by binutils.

use std::io::{BufWriter, Cursor, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use bstr::BStr;
use gimli::write::{CallFrameInstruction, Expression};
use jit_image::{Function, ImageError, ImageWriter, PackedLayout, TEXT_OFFSET, UnwindInfo};
use object::{File, Object as _, ObjectKind, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _};
use perf_format::strategies::config;
use proptest::prelude::*;

#[path = "image/made.rs"]
mod made;
#[path = "image/of_function.rs"]
mod of_function;
#[path = "image/read.rs"]
mod read;

use made::{ARM64, HEADER, I386, Made, TARGETS, X86_64, add, frames, image, instructions, some};
use read::{entry_of, first_entry, line_of};

#[test]
fn each_function_is_found_by_name_and_by_address() {
    for target in TARGETS {
        let functions = some(target);
        let (bytes, written) = image(target, &functions);
        let file = File::parse(&*bytes).unwrap();
        assert_eq!(file.build_id().unwrap().unwrap(), written.build_id.as_bytes());
        assert_eq!(file.kind(), ObjectKind::Dynamic);
        assert_eq!((written.without_unwinding, written.lines_left_out), (0, 0));
        let text = file.section_by_name(".text").unwrap();
        for made in &functions {
            let size = made.code.len() as u64;
            let symbol = file.symbols().find(|symbol| symbol.name() == Ok(&made.name)).unwrap();
            assert_eq!((symbol.address(), symbol.size()), (made.offset, size));
            assert_eq!(symbol.section_index(), Some(text.index()));
            assert_eq!(text.data_range(made.offset, size).unwrap(), Some(&*made.code));
            let at = usize::try_from(made.offset).unwrap();
            assert_eq!(bytes[at..at + made.code.len()], made.code);
            let entry = entry_of(&file, target, made.offset + size / 2);
            let expected = made.frames.is_some().then_some(made.offset..made.offset + size);
            assert_eq!(entry.map(|(place, _)| place), expected, "{}", made.name);
        }
        let segment = file.segments().last().unwrap();
        let segment = segment.address()..segment.address() + segment.size();
        assert_eq!(segment, TEXT_OFFSET..written.segment_end);
    }
}

#[test]
fn each_address_has_its_line() {
    for target in TARGETS {
        let functions = some(target);
        let (bytes, _) = image(target, &functions);
        let file = File::parse(&*bytes).unwrap();
        for made in &functions {
            let last = made.code.len() as u64 - 1;
            for (offset, line, name) in
                [(0, 10, "one"), (3, 10, "one"), (4, 12, "one"), (9, 700_000, "two"), (last, 700_000, "two")]
            {
                let expected = (!made.lines.is_empty()).then(|| (line, format!("/src/{name}.js")));
                assert_eq!(line_of(&file, target, made.offset + offset), expected);
            }
        }
        assert_eq!(line_of(&file, target, TEXT_OFFSET + 0x40 + 0x33), None, "between two functions");
    }
}

#[test]
fn lines_out_of_order_or_place_are_left_out() {
    let lines = [
        (0xfff, 1, "a"),
        (0x1008, 2, "a"),
        (0x1004, 3, "a"),
        (0x1010, 4, ""),
        (0x1010, 5, "a\0b"),
        (0x1020, 6, "a"),
    ];
    let made = Made {
        address: 0x1000,
        offset: TEXT_OFFSET,
        code: vec![0x90; 0x20],
        lines: lines.map(|(address, line, file)| (address, line, file.to_owned())).to_vec(),
        ..Made::default()
    };
    let (bytes, written) = image(X86_64, &[made]);
    assert_eq!(written.lines_left_out, 4);
    let file = File::parse(&*bytes).unwrap();
    let of = |offset| line_of(&file, X86_64, TEXT_OFFSET + offset);
    assert_eq!(of(0), None);
    assert_eq!(of(8), Some((2, "a".to_owned())));
    assert_eq!(of(0x1f), Some((5, "a".to_owned())));
}

#[test]
fn an_entry_keeps_all_of_its_instructions() {
    for target in TARGETS {
        let functions = some(target);
        let (bytes, _) = image(target, &functions);
        let file = File::parse(&*bytes).unwrap();
        for made in &functions {
            let Some(brought) = &made.frames else { continue };
            let (_, found) = entry_of(&file, target, made.offset).unwrap();
            assert_eq!(found.len(), instructions().len());
            assert_eq!(found, first_entry(brought, target));
        }
    }
}

#[test]
fn signed_return_addresses_are_of_arm64_alone() {
    let signed = [(4, CallFrameInstruction::NegateRaState), (8, CallFrameInstruction::CfaOffset(16))];
    for (target, without) in [(ARM64, 0), (X86_64, 1)] {
        let frames = Some(frames(0x20, target, &signed));
        let made = Made { offset: TEXT_OFFSET, code: vec![0; 0x20], frames, ..Made::default() };
        let (bytes, written) = image(target, &[made]);
        assert_eq!(written.without_unwinding, without);
        let entry = entry_of(&File::parse(&*bytes).unwrap(), target, TEXT_OFFSET);
        let found = entry.map(|(_, found)| found).unwrap_or_default();
        let is_kept = found.contains(&(4, gimli::CallFrameInstruction::NegateRaState));
        assert_eq!(is_kept, target == ARM64);
    }
}

#[test]
fn an_expression_is_kept_unless_it_is_of_an_address() {
    // What register 7 and 8 bytes lead to; then an address of the process, and what is no operation.
    for (code, without) in [(&[0x77, 8, 6][..], 0), (&[0x03, 1, 2, 3, 4, 5, 6, 7, 8], 1), (&[0x01], 1)] {
        let expression = CallFrameInstruction::CfaExpression(Expression::raw(code.to_vec()));
        let made = Made {
            address: 0x5000,
            offset: TEXT_OFFSET,
            code: vec![0; 0x10],
            frames: Some(frames(0x10, X86_64, &[(2, expression)])),
            ..Made::default()
        };
        let (bytes, written) = image(X86_64, &[made]);
        assert_eq!(written.without_unwinding, without, "{code:x?}");
        let file = File::parse(&*bytes).unwrap();
        let entry = entry_of(&file, X86_64, TEXT_OFFSET);
        assert_eq!(entry.is_some(), without == 0);
        let Some((_, found)) = entry else { continue };
        let [(2, gimli::CallFrameInstruction::DefCfaExpression { expression })] = *found else {
            panic!("{found:?}");
        };
        let section = file.section_by_name(".eh_frame").unwrap().data().unwrap();
        assert_eq!(section[expression.offset..expression.offset + expression.length], *code);
    }
}

#[test]
fn pointers_to_exception_tables_that_are_said_to_be_omitted_are_no_hindrance() {
    // As V8 writes it of a function of 0x1b4 bytes: a CIE with the augmentation zLR, and an FDE.
    let frames = [
        &[0x18, 0, 0, 0, 0, 0, 0, 0, 3][..],
        b"zLR\0",
        &[1, 0x78, 0x10, 2, 0xff, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0, 0, 0],
        &[0x20, 0, 0, 0, 0x20, 0, 0, 0, 0x24, 0xfe, 0xff, 0xff, 0xb4, 1, 0, 0, 0],
        &[0x4f, 0x0e, 0x10, 0x86, 2, 0x43, 0x0d, 6, 2, 0xcb, 0x0d, 7, 0x41, 0x0e, 8, 0x52, 0x0c, 6, 0],
        &[0; 4],
        &HEADER,
    ]
    .concat();
    let made = Made {
        address: 0x7f12_3456_7040,
        offset: TEXT_OFFSET,
        code: vec![0xcc; 0x1b4],
        frames: Some(frames),
        ..Made::default()
    };
    let (bytes, written) = image(X86_64, &[made]);
    assert_eq!(written.without_unwinding, 0);
    let file = File::parse(&*bytes).unwrap();
    let (place, found) = entry_of(&file, X86_64, TEXT_OFFSET + 0x100).unwrap();
    assert_eq!(place, TEXT_OFFSET..TEXT_OFFSET + 0x1b4);
    assert_eq!(found.len(), 6);
}

#[test]
fn an_entry_of_other_code_is_left_out_with_its_function() {
    let mut functions = some(X86_64);
    // It says that it begins sixteen bytes before the function.
    functions[0].code.truncate(0x30);
    let (bytes, written) = image(X86_64, &functions);
    assert_eq!(written.without_unwinding, 1);
    let file = File::parse(&*bytes).unwrap();
    assert_eq!(entry_of(&file, X86_64, TEXT_OFFSET), None);
    assert!(entry_of(&file, X86_64, functions[2].offset).is_some());
}

#[test]
fn an_image_without_lines_or_unwinding_has_no_sections_for_them() {
    let made = Made { name: "f".to_owned(), offset: TEXT_OFFSET, code: vec![0xc3], ..Made::default() };
    for functions in [&[made][..], &[]] {
        let (bytes, written) = image(X86_64, functions);
        assert_eq!(written.segment_end, TEXT_OFFSET + functions.len() as u64);
        let file = File::parse(&*bytes).unwrap();
        let names: Vec<_> = file.sections().map(|section| section.name().unwrap().to_owned()).collect();
        assert_eq!(names, [".note.gnu.build-id", ".text", ".symtab", ".strtab", ".shstrtab"]);
    }
}

#[test]
fn the_same_functions_give_the_same_bytes_and_others_another_id() {
    let functions = some(X86_64);
    let (bytes, written) = image(X86_64, &functions);
    assert_eq!((bytes, written), image(X86_64, &functions));
    let changes: [fn(&mut Made); 5] = [
        |made| made.name.push('!'),
        |made| made.code[3] ^= 1,
        |made| made.offset += 0x10,
        |made| made.lines[1].1 += 1,
        |made| made.frames = None,
    ];
    for change in changes {
        let mut functions = functions.clone();
        change(functions.last_mut().unwrap());
        assert_ne!(image(X86_64, &functions).1.build_id, written.build_id);
    }
    // Where it ran is no part of the image.
    let mut elsewhere = functions;
    for made in &mut elsewhere {
        made.address += 0x1_0000_0000;
        made.lines.iter_mut().for_each(|line| line.0 += 0x1_0000_0000);
    }
    assert_eq!(image(X86_64, &elsewhere).1, written);
}

#[test]
fn functions_that_overlap_or_have_no_room_are_refused() {
    let mut bytes = Vec::new();
    let mut image = ImageWriter::new(Cursor::new(&mut bytes), I386);
    let mut add = |offset| add(&mut image, &Made { offset, code: vec![0; 0x10], ..Made::default() });
    assert!(matches!(add(0xff0), Err(ImageError::Offset { offset: 0xff0, end: TEXT_OFFSET })));
    add(0x1008).unwrap();
    assert!(matches!(add(0x1017), Err(ImageError::Offset { offset: 0x1017, end: 0x1018 })));
    add(0x1018).unwrap();
    assert!(matches!(add(0xffff_fff8), Err(ImageError::TooLarge)));
    assert!(matches!(add(u64::MAX - 4), Err(ImageError::TooLarge)));
}

#[test]
fn offsets_are_aligned_and_come_to_an_end() {
    let mut layout = PackedLayout::default();
    let places = [1, 16, 0, 17, 5].map(|size| layout.place(size).unwrap() - TEXT_OFFSET);
    assert_eq!(places, [0, 0x10, 0x20, 0x20, 0x40]);
    assert_eq!((layout.place(u64::MAX), layout.place(1 << 31)), (None, None));
    assert_eq!(layout.place(1), Some(TEXT_OFFSET + 0x50), "what has no room takes none");
}

#[test]
fn what_is_between_functions_is_a_hole() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut image = ImageWriter::new(BufWriter::new(file.as_file()), X86_64);
    for index in 0..4_u64 {
        let offset = TEXT_OFFSET + (index << 28);
        let (name, lines) = (BStr::new("f"), &[][..]);
        image.add(&Function { name, address: 0, offset, code: &[0xc3; 64], lines, unwinding: None }).unwrap();
    }
    image.finish().unwrap();
    let metadata = file.as_file().metadata().unwrap();
    assert!(metadata.len() > 3 << 28);
    assert!(metadata.blocks() * 512 < 1 << 20, "{} blocks", metadata.blocks());
}

/// What a program says of an image, in the C locale; nothing where it is not installed, unless CI asks for it.
fn say(program: &str, arguments: &[&str], image: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).arg(image).env("LC_ALL", "C").output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    assert!(output.status.success(), "{program}: {output:?}");
    Some(String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn binutils_find_no_fault() {
    for target in TARGETS {
        let functions = some(target);
        let (bytes, written) = image(target, &functions);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        for arguments in ["-aW", "--debug-dump=frames-interp", "--debug-dump=decodedline,aranges"] {
            let Some(said) = say("readelf", &[arguments], file.path()) else { return };
            let lower = said.to_lowercase();
            assert!(!lower.contains("warning") && !lower.contains("error"), "{target:?}: {said}");
            if arguments == "-aW" {
                assert!(said.contains(&format!("Build ID: {}", written.build_id)), "{said}");
                assert!(said.contains("GNU_EH_FRAME"), "{said}");
            }
        }
        let Some(path) = file.path().to_str() else { return };
        let address = format!("{:#x}", functions[2].offset + 5);
        let Some(said) = say("addr2line", &["-f", "-e", path], Path::new(&address)) else { return };
        assert_eq!(said, "jit:function 2\n/src/one.js:12\n");
    }
}

fn functions() -> impl Strategy<Value = Vec<Made>> {
    let line = (0_u64..80, 0_u32..5, "[ab]{0,2}");
    let lines = prop::collection::vec(line, 0..5);
    let code = prop::collection::vec(any::<u8>(), 0..64);
    let function = (0_u64..0x2000, code, lines, any::<Option<bool>>());
    prop::collection::vec(function, 0..20).prop_map(|made| {
        let mut layout = PackedLayout::default();
        let made = (0_u64..).zip(made).map(|(index, (gap, code, mut lines, unwinds))| {
            layout.place(gap).unwrap();
            let size = code.len() as u64;
            let address = 0x10_0000 + index * 0x100;
            lines.iter_mut().for_each(|line| line.0 += address - 8);
            let frames = unwinds.map(|is_whole| {
                let mut frames = frames(size, X86_64, &instructions());
                frames.truncate(if is_whole { frames.len() } else { frames.len() / 2 });
                frames
            });
            Made {
                name: format!("f{index}"),
                address,
                offset: layout.place(size).unwrap(),
                code,
                lines,
                frames,
            }
        });
        made.collect()
    })
}

proptest! {
    #![proptest_config(config(256, "image"))]

    #[test]
    fn all_that_is_added_is_there(functions in functions()) {
        let (bytes, written) = image(X86_64, &functions);
        let file = File::parse(&*bytes).unwrap();
        prop_assert_eq!(file.symbols().count(), functions.len());
        let mut without = 0;
        for (made, symbol) in functions.iter().zip(file.symbols()) {
            let size = made.code.len() as u64;
            prop_assert_eq!(symbol.name(), Ok(made.name.as_str()));
            prop_assert_eq!((symbol.address(), symbol.size()), (made.offset, size));
            if size == 0 {
                continue;
            }
            let at = usize::try_from(made.offset).unwrap();
            prop_assert_eq!(&bytes[at..at + made.code.len()], &*made.code);
            let last = made.offset + size - 1;
            let entry = entry_of(&file, X86_64, last).map(|(place, _)| place);
            prop_assert!(entry.is_none() || entry == Some(made.offset..made.offset + size));
            without += u64::from(made.frames.is_some() && entry.is_none());
            let mut from = made.address;
            let mut expected = None;
            for (address, line, file) in &made.lines {
                if (from..made.address + size).contains(address) && !file.is_empty() {
                    from = *address;
                    expected = Some((u64::from(*line), file.clone()));
                }
            }
            prop_assert_eq!(line_of(&file, X86_64, last), expected);
        }
        prop_assert!(written.without_unwinding >= without);
    }

    #[test]
    fn unwinding_information_may_be_anything(
        address in prop_oneof![Just(0x1000_u64), any::<u64>()],
        size in 0_usize..0x100,
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        header_size in prop_oneof![Just(12_u64), 0_u64..200, any::<u64>()],
        whole in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
    ) {
        for target in TARGETS {
            let made = || frames(size as u64, target, &instructions());
            let mut frames = whole.clone().unwrap_or_else(made);
            for (place, byte) in &noise {
                if !frames.is_empty() {
                    let place = place.index(frames.len());
                    frames[place] = *byte;
                }
            }
            let mut bytes = Vec::new();
            let mut image = ImageWriter::new(Cursor::new(&mut bytes), target);
            let (name, code, lines) = (BStr::new("f"), &*vec![0; size], &[][..]);
            let unwinding = Some(UnwindInfo { frames: &frames, header_size });
            image.add(&Function { name, address, offset: TEXT_OFFSET, code, lines, unwinding }).unwrap();
            let written = image.finish().unwrap();
            prop_assert!(written.without_unwinding <= 1);
            // What is there can be read to its end.
            let file = File::parse(&*bytes).unwrap();
            if let Some((place, _)) = entry_of(&file, target, TEXT_OFFSET) {
                prop_assert!(place.start >= TEXT_OFFSET && place.end <= TEXT_OFFSET + size as u64);
            }
        }
    }
}
