//! `jit`: names for jitted code, whatever a dump or a perf map says, and whatever passes beside it.

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use arbitrary::Unstructured;
use bstr::{BString, ByteSlice as _};
use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::record::{BuildIdRecord, Mmap2};
use perf_format::{Endian, PerfFile, PipeStream, RawRecord, RecordType};
use perf_inject::jit::{Finder, JitOptions};
use perf_inject::{Jit, Plan, Run, RunReport};
use perf_session::{Error, Repipe};

use crate::folder::folder;
use crate::laws::FuzzRun;
use crate::sources::{JIT, JIT_AND_HIT, sources};
use crate::{FuzzPieces, cut};

mod images;
mod made;

use images::{DIR, Image, Memory};
use made::{FILE, MARKER, Made};

pub(crate) use made::frames;

/// What a run may be asked for, by its flags' bits.
const BOTH_KINDS: u8 = 1;
const PER_FUNCTION: u8 = 1 << 1;
const STRICT: u8 = 1 << 2;
const GUESS_CLOCK: u8 = 1 << 3;
const READ_AT_ONCE: u8 = 1 << 4;
const WITH_IDS: u8 = 1 << 5;
const TO_A_FILE: u8 = 1 << 6;

/// Bytes become a file that tells of a process's code, and a stream of samples that hit it.
pub fn jit(data: &[u8]) {
    let Ok(made) = Made::of(&mut Unstructured::new(data)) else { return };
    let dir = folder();
    let (name, bytes) = &made.file;
    fs::write(dir.path().join(name), bytes).expect("it is written");
    let (ran, images) = to_a_pipe(&made, dir.path(), &made.stream[..]);
    let (pieces, its_images) = to_a_pipe(&made, dir.path(), FuzzPieces::of(&made.stream));
    if made.has_flag(TO_A_FILE) {
        to_a_file(&made, dir.path());
    }
    // A law that is broken may end the program at once.
    drop(dir);
    ended_well(&made, ran.error.as_ref());
    only_names_are_added(&made, &ran, &images);
    assert_eq!(pieces.message(), ran.message());
    assert!(pieces.out == ran.out, "the same again, in pieces");
    assert_eq!(pieces.report.passed, ran.report.passed);
    assert_eq!(its_images.images(), images.images());
}

impl Made {
    fn has_flag(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn tool(&self, dir: &Path, images: &Memory) -> Jit {
        let is_map = self.file.0.ends_with(".map");
        let both = self.has_flag(BOTH_KINDS);
        let options = JitOptions {
            dumps: both || !is_map,
            perf_maps: both || is_map,
            per_process: !self.has_flag(PER_FUNCTION),
            strict: self.has_flag(STRICT),
            guess_clock: self.has_flag(GUESS_CLOCK),
            finder: Finder { dir: Some(dir.to_owned()), any_owner: false },
        };
        Jit::new(options, Box::new(images.clone()), self.has_flag(READ_AT_ONCE))
    }

    fn run(&self, dir: &Path, images: &Memory) -> Run<'static> {
        let plan: Plan = if self.has_flag(WITH_IDS) { JIT_AND_HIT } else { JIT };
        Run::new(plan, sources()).with_jit(self.tool(dir, images))
    }
}

fn to_a_pipe(made: &Made, dir: &Path, source: impl Read) -> (FuzzRun, Memory) {
    let images = Memory::default();
    let mut run = made.run(dir, &images);
    let mut out = Vec::new();
    let mut records = PipeStream::open(source).expect("a pipe's header").records();
    let error = run.pipe_to_pipe(&mut records, Repipe::To(&mut out)).err();
    (FuzzRun { out, report: run.into_report(), error }, images)
}

/// The same names are in a file, where there is one.
fn to_a_file(made: &Made, dir: &Path) {
    let images = Memory::default();
    let mut run = made.run(dir, &images);
    let mut out = Cursor::new(Vec::new());
    let mut records = PipeStream::open(&made.stream[..]).expect("a pipe's header").records();
    let ended = run.pipe_to_file(&mut records, &mut out).err();
    ended_well(made, ended.as_ref());
    let RunReport { framed, passed, .. } = run.into_report();
    assert!(framed);
    out.set_position(0);
    let mut file = PerfFile::open(out).expect("it can be read");
    assert_eq!(file.header.words.data.size, passed.written);
    let table = file.preamble().expect("its preamble").build_ids().filter_map(Result::ok).count();
    assert!(ended.is_some() || table >= images.images().len(), "the images' ids stand in the table");
}

/// A whole stream ends well, unless what is wrong with names shall end it.
fn ended_well(made: &Made, error: Option<&Error>) {
    match error {
        Some(Error::Tool(_)) if made.has_flag(STRICT) => {}
        Some(error) => panic!("{}", chain(error)),
        None => {}
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

/// The output without maps and ids of images is the input without maps of memory; and what is told is in the images.
fn only_names_are_added(made: &Made, ran: &FuzzRun, images: &Memory) {
    let endian = PipeStream::open(&made.stream[..]).expect("a header").endian();
    let (input, out) = (records(&made.stream), records(&ran.out));
    let (input, out) = (cut(input, endian), cut(out, endian));
    assert!(out.is_whole(), "whole records are written");
    let mut expected = input.pieces.iter();
    let mut added = 0;
    let mut names = Vec::new();
    for piece in &out.pieces {
        if let Some(name) = added_by(piece, endian, made.has_flag(WITH_IDS)) {
            added += piece.len() as u64;
            names.extend(name);
            continue;
        }
        let memory = expected.clone().take_while(|next| *next != piece && is_of_memory(next, endian)).count();
        let is_next = expected.clone().nth(memory) == Some(piece);
        // Memory, or a file, is mapped once more so that functions can be mapped over it.
        if !is_next && (is_of_memory(piece, endian) || is_of_file(piece, endian)) {
            added += piece.len() as u64;
            continue;
        }
        assert!(is_next, "nothing else is added, and only maps of memory are left out");
        expected.nth(memory);
    }
    if ran.error.is_none() {
        assert!(expected.all(|piece| is_of_memory(piece, endian)), "all of the input is in the output");
        names.iter().for_each(|name| name.is_in(images));
        let mut named: Vec<_> = names.iter().map(|name| &name.name).collect();
        named.sort();
        named.dedup();
        assert_eq!(named.len(), images.images().len(), "no image is without a map");
    }
    assert_eq!(ran.report.passed.injected, added);
    assert_eq!(ran.report.passed.written, ran.out.len() as u64);
}

fn records(stream: &[u8]) -> &[u8] {
    stream.get(PIPE_HEADER_SIZE..).unwrap_or_default()
}

/// What an injected record tells.
#[derive(Debug)]
struct AddedName {
    name: BString,
    what: What,
}

#[derive(Debug)]
enum What {
    /// So many bytes at an offset.
    Map(u64, u64),
    Id(perf_format::BuildId),
}

impl AddedName {
    fn is_in(&self, images: &Memory) {
        let Some(image): Option<Image> = images.image(self.name.as_bstr()) else {
            panic!("{self:?}: there is no such image");
        };
        match &self.what {
            What::Map(offset, len) => {
                assert!(image.has(*offset, *len), "{self:x?} is not what {image:x?} has");
            }
            What::Id(id) => assert_eq!(*id, image.id),
        }
    }
}

/// What a record tells that was added; `None` where it was not. Other ids than those of images tell nothing here.
fn added_by(piece: &[u8], endian: Endian, with_ids: bool) -> Option<Option<AddedName>> {
    let raw = RawRecord::first(piece, 0, endian)?;
    match raw.record_type() {
        RecordType::MMAP2 => {
            let map = Mmap2::of_record(&raw).ok()?;
            let what = What::Map(map.pgoff, map.len);
            let is_added = map.filename.starts_with_str(DIR);
            is_added.then(|| Some(AddedName { name: map.filename.to_owned(), what }))
        }
        RecordType::BUILD_ID => {
            let record: BuildIdRecord<'_> = raw.parse_as().expect("an id");
            let is_image = record.filename.starts_with_str(DIR);
            assert!(is_image || with_ids, "an id of {}", record.filename);
            Some(is_image.then(|| AddedName {
                name: record.filename.to_owned(),
                what: What::Id(record.build_id.0.expect("an image has an id")),
            }))
        }
        _ => None,
    }
}

fn is_of_file(piece: &[u8], endian: Endian) -> bool {
    let raw = RawRecord::first(piece, 0, endian).expect("a whole record");
    let map = (raw.record_type() == RecordType::MMAP2).then(|| Mmap2::of_record(&raw));
    // A dump is a file like others where code lies in its map.
    map.is_some_and(|map| map.is_ok_and(|map| map.filename == FILE || map.filename == MARKER))
}

fn is_of_memory(piece: &[u8], endian: Endian) -> bool {
    let raw = RawRecord::first(piece, 0, endian).expect("a whole record");
    let map = (raw.record_type() == RecordType::MMAP2).then(|| Mmap2::of_record(&raw));
    map.is_some_and(|map| map.is_ok_and(|map| map.filename != FILE && map.filename != MARKER))
}
