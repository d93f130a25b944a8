//! A process with jitted code: what tells of its functions, and the images that those go into which are hit.

use std::io::BufWriter;

use bstr::{BString, ByteSlice as _};
use perf_format::Endian;
use perf_format::record::{MapFile, Mmap2};

use super::Images;
use super::code::{Code, Function, Kept, Name};
use super::dump::{Body, Dump};
use super::image::{self, Image, ImageError, Layout, Target, Written};
use super::perf_map::PerfMap;
use super::summary::JitSummary;
use crate::limits::NO_CODE_AT_MOST;

/// What tells of functions.
#[derive(Debug)]
pub(super) enum Source {
    Dump(Box<Dump>),
    PerfMap(PerfMap),
}

/// An image that functions still go into.
#[derive(Debug)]
struct Open {
    image: usize,
    target: Target,
    layout: Layout,
    functions: Vec<usize>,
}

/// What is known of a process.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) code: Code,
    sources: Vec<Source>,
    /// The dumps that it mapped, whether or not they could be read.
    markers: Vec<(BString, MapFile)>,
    pub(super) asked_for_map: bool,
    /// Whether a sample hit code that nothing told of.
    pub(super) missed: bool,
    /// Why there are no names, or fewer.
    pub(super) missing: Option<String>,
    /// The names of its images, as readers find them.
    images: Vec<BString>,
    open: Option<Open>,
    samples: u64,
    named_before: u64,
    named_after: u64,
}

/// Whether something has a name for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Named {
    /// A file, in the recording as it was.
    pub(super) before: bool,
    /// A file or a function.
    pub(super) after: bool,
}

impl Process {
    pub(super) fn is_marked_by(&self, map: &Mmap2<'_>) -> bool {
        self.markers.iter().any(|(name, file)| name == map.filename && *file == map.file)
    }

    pub(super) fn mark(&mut self, map: &Mmap2<'_>) {
        self.markers.push((map.filename.to_owned(), map.file));
    }

    pub(super) fn add(&mut self, source: Source) {
        self.sources.push(source);
    }

    /// Reads on what tells of functions. Tells whether there was anything.
    pub(super) fn read_on(&mut self) -> bool {
        let mut any = false;
        for (number, source) in self.sources.iter_mut().enumerate() {
            any |= match source {
                Source::Dump(dump) => dump.read_on(number, &mut self.code),
                Source::PerfMap(map) => match map.read_on(number, &mut self.code) {
                    Ok(any) => any,
                    Err(error) => {
                        self.missing.get_or_insert_with(|| format!("{}: {error}", map.path.display()));
                        false
                    }
                },
            };
        }
        any
    }

    pub(super) fn has_dump(&self) -> bool {
        !self.markers.is_empty()
    }

    /// Counts so many samples.
    pub(super) fn count(&mut self, named: Named, samples: u64) {
        self.samples += samples;
        self.named_before += if named.before { samples } else { 0 };
        self.named_after += if named.after { samples } else { 0 };
    }

    /// What is wrong with its dumps, if that was not asked for before.
    pub(super) fn take_damage(&mut self) -> Option<String> {
        if self.missing.is_some() {
            return None;
        }
        let damage = self.sources.iter().find_map(|source| {
            let Source::Dump(dump) = source else { return None };
            let path = dump.path.display();
            match (&dump.damage, dump.crowded) {
                (Some(error), _) => Some(format!("{path}: {error}")),
                (None, true) => Some(format!("{path}: it has more functions than are remembered")),
                (None, false) => None,
            }
        });
        self.missing.clone_from(&damage);
        damage
    }

    /// Where a function stands in an image, and the image's name. It gets a place if it has none.
    pub(super) fn keep(
        &mut self,
        pid: i32,
        id: usize,
        machine: u16,
        per_function: bool,
        images: &dyn Images,
    ) -> Option<(Kept, &BString)> {
        let function = self.code.functions.get(id)?;
        let kept = match function.kept {
            Some(kept) => kept,
            None => {
                let (size, index) = (function.size, function.index);
                let target = match self.sources.get(function.source)? {
                    Source::Dump(dump) => {
                        let header = dump.header();
                        Target { machine: u16::try_from(header.elf_mach).unwrap_or(0), endian: header.endian }
                    }
                    Source::PerfMap(_) => Target { machine, endian: Endian::NATIVE },
                };
                if self.open.as_ref().is_none_or(|open| open.target != target) {
                    let name = image_name(pid, self.images.len(), per_function.then_some(index));
                    self.open = Some(Open {
                        image: self.images.len(),
                        target,
                        layout: Layout::default(),
                        functions: Vec::new(),
                    });
                    self.images.push(images.path(&name));
                }
                let open = self.open.as_mut()?;
                let kept = Kept { image: open.image, offset: open.layout.place(size)? };
                open.functions.push(id);
                self.code.functions.get_mut(id)?.kept = Some(kept);
                kept
            }
        };
        Some((kept, self.images.get(kept.image)?))
    }

    /// Writes the image that functions went into since the last one. `None` where there were none.
    pub(super) fn close_image(
        &mut self,
        images: &mut dyn Images,
    ) -> Option<(&BString, Result<Written, ImageError>)> {
        let Open { image, target, functions, .. } = self.open.take()?;
        let path = self.images.get(image)?;
        let name = path.rsplit(|byte| *byte == b'/').next()?.to_str_lossy().into_owned();
        let Self { code, sources, missing, .. } = self;
        let written = images.write(&name, &mut |file| {
            let mut image = Image::new(BufWriter::new(file), target);
            for id in &functions {
                let Some(function) = code.functions.get(*id) else { continue };
                match body(sources, function) {
                    Ok(body) => add(&mut image, function, &body)?,
                    Err(why) => _ = missing.get_or_insert(why),
                }
            }
            image.finish()
        });
        Some((path, written))
    }

    /// What was found; `None` where there was nothing to find.
    pub(super) fn summary(&self, pid: i32) -> Option<JitSummary> {
        if self.markers.is_empty() && self.sources.is_empty() && self.missing.is_none() {
            return None;
        }
        let path = self.sources.first().map(|source| match source {
            Source::Dump(dump) => dump.path.clone(),
            Source::PerfMap(map) => map.path.clone(),
        });
        Some(JitSummary {
            pid,
            path,
            missing: self.missing.clone(),
            functions: self.code.functions.len() as u64,
            kept: self.code.functions.iter().filter(|function| function.kept.is_some()).count() as u64,
            images: self.images.clone(),
            samples: self.samples,
            named_before: self.named_before,
            named_after: self.named_after,
        })
    }
}

/// What an image needs of a function, or why it cannot be read.
fn body(sources: &mut [Source], function: &Function) -> Result<Body, String> {
    match (sources.get_mut(function.source), &function.name) {
        (Some(Source::Dump(dump)), _) => {
            dump.body(function).map_err(|error| format!("{}: {error}", dump.path.display()))
        }
        (_, Name::Is(name)) => {
            let size = usize::try_from(function.size.min(NO_CODE_AT_MOST)).unwrap_or(0);
            Ok(Body { name: name.clone(), code: vec![0; size], ..Body::default() })
        }
        (_, Name::At(_)) => Err("its dump is gone".to_owned()),
    }
}

fn add<W: std::io::Write + std::io::Seek>(
    image: &mut Image<W>,
    function: &Function,
    body: &Body,
) -> Result<(), ImageError> {
    let Some(Kept { offset, .. }) = function.kept else { return Ok(()) };
    let lines = body.lines(function);
    let lines: Vec<_> = lines
        .iter()
        .map(|line| image::Line {
            address: line.addr,
            line: line.line,
            discriminator: line.discriminator,
            file: line.file,
        })
        .collect();
    let unwinding = (!body.frames.is_empty())
        .then_some(image::Unwinding { frames: &body.frames, header_size: body.header_size });
    image.add(&image::Function {
        name: body.name.as_bstr(),
        address: function.address,
        offset,
        code: &body.code,
        lines: &lines,
        unwinding,
    })
}

/// The name of a process's image: of the first, of a later one, or of a function's own.
fn image_name(pid: i32, number: usize, of_function: Option<u64>) -> String {
    match (of_function, number) {
        (Some(index), _) => format!("jitted-{pid}-{index}.so"),
        (None, 0) => format!("jitted-{pid}.so"),
        (None, later) => format!("jitted-{pid}.{later}.so"),
    }
}
