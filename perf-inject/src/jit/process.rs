//! A process with jitted code: what tells of its functions, and the images that those go into which are hit.

use std::io::BufWriter;
use std::ops::Range;

use bstr::{BString, ByteSlice as _};
use hashbrown::HashSet;
use jit_image::{ImageError, ImageWriter, LineRow, PackedLayout, Target, UnwindInfo, Written};
use perf_format::Endian;

use super::Images;
use super::arrange::{self, Arrangement, AsInMemory};
use super::code::{Code, Function, Kept, Name, Place};
use super::dump::{Body, Dump};
use super::find::Marker;
use super::perf_map::PerfMap;
use super::summary::JitSummary;
use crate::limits::{MISSED_AT_MOST, UNWINDING_IMAGES_AT_MOST};

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
    arrangement: Arrangement,
    /// Whether stacks will be unwound with its tables.
    unwinds: bool,
    /// Their offsets.
    functions: Vec<(u64, usize)>,
}

/// How functions are kept.
pub(super) struct Keep<'k> {
    pub(super) pid: i32,
    /// The machine of functions whose source does not say.
    pub(super) machine: u16,
    /// An image for each.
    pub(super) per_function: bool,
    /// Those with unwinding tables as far from each other as in memory.
    pub(super) as_in_memory: bool,
    /// Whether nothing is known to be mapped there.
    pub(super) is_free: &'k dyn Fn(&Range<u64>) -> bool,
    pub(super) images: &'k dyn Images,
}

/// Where readers find a function.
pub(super) struct Told<'t> {
    pub(super) image: &'t BString,
    /// Bytes from the image's start.
    pub(super) offset: u64,
    /// Where they find the unwinding tables of the image, if it is a new one.
    pub(super) tables: Option<Tables>,
}

/// Addresses that an image's unwinding tables get, and their offset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) offset: u64,
}

/// What is known of a process.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) code: Code,
    sources: Vec<Source>,
    /// The dumps that it mapped, whether or not they could be read.
    markers: Vec<Marker>,
    /// Of those, one whose dump has not even a header yet.
    pub(super) yet_to_begin: Option<Marker>,
    pub(super) asked_for_map: bool,
    /// What samples hit that nothing told of yet, and when.
    missed: Vec<(u64, u64)>,
    /// What it was told of the code that it was born with: whose, and which place.
    pub(super) told_of_others: HashSet<(i32, usize)>,
    /// Why there are no names, or fewer.
    pub(super) missing: Option<String>,
    /// The names of its images, as readers find them.
    images: Vec<BString>,
    open: Vec<Open>,
    /// The addresses that unwinding tables have got.
    tables: Vec<Range<u64>>,
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
    pub(super) fn is_marked_by(&self, marker: &Marker) -> bool {
        self.markers.iter().any(|known| known.name == marker.name && known.file == marker.file)
    }

    pub(super) fn mark(&mut self, marker: &Marker) {
        self.markers.push(marker.clone());
    }

    /// When its dump was mapped, in ns; 0 where that is not known.
    pub(super) fn marked_at(&self) -> u64 {
        self.markers.last().and_then(|marker| marker.time).unwrap_or(0)
    }

    pub(super) fn add(&mut self, source: Source) {
        self.sources.push(source);
    }

    /// Reads on what tells of functions.
    pub(super) fn read_on(&mut self) {
        for (number, source) in self.sources.iter_mut().enumerate() {
            match source {
                Source::Dump(dump) => dump.read_on(number, &mut self.code),
                Source::PerfMap(map) => {
                    if let Err(error) = map.read_on(number, &mut self.code) {
                        self.missing.get_or_insert_with(|| format!("{}: {error}", map.path.display()));
                    }
                }
            }
        }
        self.code.settle();
    }

    /// Whether unwinding tables have got an address between two, the second not included.
    pub(super) fn has_tables_between(&self, start: u64, end: u64) -> bool {
        self.tables.iter().any(|tables| tables.start < end && start < tables.end)
    }

    /// Notes an address that nothing tells of yet, at a time in ns.
    pub(super) fn miss(&mut self, addr: u64, time: u64) {
        if self.missed.len() < MISSED_AT_MOST {
            self.missed.push((addr, time));
        }
    }

    /// How many functions were told when samples of them had passed, of those that were noted.
    pub(super) fn told_late(&mut self) -> usize {
        let Self { code, missed, .. } = self;
        let late = missed.drain(..).filter_map(|(addr, time)| code.find(addr, time));
        let is_told = |place: &usize| code.places.get(*place).is_some_and(|place| place.told.is_some());
        let mut late: Vec<_> = late.filter(|place| !is_told(place)).collect();
        late.sort_unstable();
        late.dedup();
        late.len()
    }

    /// Whether there is an image to be closed.
    pub(super) fn has_open_images(&self) -> bool {
        !self.open.is_empty()
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

    /// Gives what stands at a place a place in an image, if it has none.
    pub(super) fn keep(&mut self, place: usize, how: &Keep<'_>) -> Option<Told<'_>> {
        let mut tables = None;
        if self.code.places.get(place)?.kept.is_none() {
            let kept = match how.as_in_memory.then(|| self.keep_as_in_memory(place, how)).flatten() {
                Some((kept, new)) => {
                    tables = new;
                    kept
                }
                None => self.keep_packed(place, how)?,
            };
            let Place { kept: place_kept, function, .. } = self.code.places.get_mut(place)?;
            *place_kept = Some(kept);
            self.code.functions.get_mut(*function)?.kept.get_or_insert(kept);
        }
        let kept = self.code.places.get(place)?.kept?;
        Some(Told { offset: kept.offset, image: self.images.get(kept.image)?, tables })
    }

    fn keep_packed(&mut self, place: usize, how: &Keep<'_>) -> Option<Kept> {
        let id = self.code.places.get(place)?.function;
        let function = self.code.functions.get(id)?;
        // An image for stacks has one distance: what has moved stands in it no more.
        if let Some(kept) = function.kept.filter(|_| !how.as_in_memory) {
            return Some(kept);
        }
        let (size, index, target) = (function.size, function.index, self.target(function, how)?);
        for open in self.open.iter_mut().filter(|open| open.target == target && !how.per_function) {
            if let Arrangement::Packed(layout) = &mut open.arrangement
                && let Some(offset) = layout.place(size)
            {
                open.functions.push((offset, id));
                return Some(Kept { image: open.image, offset });
            }
        }
        let mut layout = PackedLayout::default();
        let offset = layout.place(size)?;
        let of_function = how.per_function.then_some(index);
        let open = self.open(target, Arrangement::Packed(layout), of_function, how);
        let open = self.open.get_mut(open)?;
        open.functions.push((offset, id));
        Some(Kept { image: open.image, offset })
    }

    /// The same in an image whose functions are as far from each other as in memory, with the place of its tables if it
    /// is a new one.
    fn keep_as_in_memory(&mut self, place: usize, how: &Keep<'_>) -> Option<(Kept, Option<Tables>)> {
        let &Place { start, end, function: id, .. } = self.code.places.get(place)?;
        let function = self.code.functions.get(id)?;
        let its_tables = Some(function.tables()).filter(|tables| *tables > 0)?;
        let target = self.target(function, how)?;
        for open in self.open.iter_mut().filter(|open| open.target == target) {
            if let Arrangement::AsInMemory(image) = &mut open.arrangement
                && let Some(offset) = image.place(start, end - start, its_tables)
            {
                open.functions.push((offset, id));
                return Some((Kept { image: open.image, offset }, None));
            }
        }
        let of_memory = |open: &&Open| matches!(open.arrangement, Arrangement::AsInMemory(_));
        if self.open.iter().filter(of_memory).count() >= UNWINDING_IMAGES_AT_MOST {
            return None;
        }
        let is_free = |range: &Range<u64>| {
            (how.is_free)(range)
                && !self.code.is_between(range.start, range.end, u64::MAX)
                && !self.has_tables_between(range.start, range.end)
        };
        let functions = self.code.span(start, &arrange::window(start), arrange::GAP)?;
        let number = self.tables.len() as u64;
        let mut image = AsInMemory::new(functions, self.code.tables(), number, is_free)?;
        let offset = image.place(start, end - start, its_tables)?;
        let at = image.tables();
        let tables = Tables { start: at.start, len: at.end - at.start, offset: image.tables_at() };
        self.tables.push(at);
        let open = self.open(target, Arrangement::AsInMemory(image), None, how);
        let open = self.open.get_mut(open)?;
        open.functions.push((offset, id));
        Some((Kept { image: open.image, offset }, Some(tables)))
    }

    fn target(&self, function: &Function, how: &Keep<'_>) -> Option<Target> {
        Some(match self.sources.get(function.source)? {
            Source::Dump(dump) => {
                let header = dump.header();
                // CPython does not say.
                let said = u16::try_from(header.elf_mach).ok().filter(|machine| *machine != 0);
                Target { machine: said.unwrap_or(how.machine), endian: header.endian }
            }
            Source::PerfMap(_) => Target { machine: how.machine, endian: Endian::NATIVE },
        })
    }

    /// Opens an image; tells which of those that are open it is.
    fn open(
        &mut self,
        target: Target,
        arrangement: Arrangement,
        of_function: Option<u64>,
        how: &Keep<'_>,
    ) -> usize {
        let image = self.images.len();
        let numbers = if of_function.is_some() { 0 } else { image }..;
        let names = numbers.map(|number| image_name(how.pid, number, of_function));
        // Those that are open take theirs later.
        let is_taken =
            |path: &BString| self.open.iter().any(|open| self.images.get(open.image) == Some(path));
        let mut paths = names.filter(|name| how.images.is_free(name)).map(|name| how.images.path(&name));
        let path = paths.find(|path| !is_taken(path)).unwrap_or_default();
        self.images.push(path);
        self.open.push(Open { image, target, arrangement, unwinds: how.as_in_memory, functions: Vec::new() });
        self.open.len() - 1
    }

    /// Writes the next image that is open. `None` where there is none.
    pub(super) fn close_image(
        &mut self,
        images: &mut dyn Images,
    ) -> Option<(&BString, Result<Written, ImageError>)> {
        let next = (!self.open.is_empty()).then(|| self.open.remove(0));
        let Open { image, target, arrangement, unwinds, mut functions } = next?;
        functions.sort_unstable();
        let path = self.images.get(image)?;
        let name = path.rsplit(|byte| *byte == b'/').next()?.to_str_lossy().into_owned();
        let Self { code, sources, missing, .. } = self;
        let written = images.write(&name, &mut |file| {
            let mut image = ImageWriter::new(BufWriter::new(file), target);
            let tables_at = match &arrangement {
                Arrangement::AsInMemory(arrangement) => Some(arrangement.tables_at()),
                Arrangement::Packed(_) => None,
            };
            if unwinds {
                image = image.with_frames_at(tables_at.unwrap_or(0));
            }
            for (offset, id) in &functions {
                let Some(function) = code.functions.get(*id) else { continue };
                match body(sources, function) {
                    Ok(mut body) => {
                        if unwinds && tables_at.is_none() {
                            // Tables with wrong distances are worse than none.
                            body.frames.clear();
                        }
                        add(&mut image, function, *offset, &body)?;
                    }
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
            let size = usize::try_from(function.size).unwrap_or(0);
            Ok(Body { name: name.clone(), code: vec![0; size], ..Body::default() })
        }
        (_, Name::At(_)) => Err("its dump is gone".to_owned()),
    }
}

fn add<W: std::io::Write + std::io::Seek>(
    image: &mut ImageWriter<W>,
    function: &Function,
    offset: u64,
    body: &Body,
) -> Result<(), ImageError> {
    let lines = body.lines(function);
    let lines: Vec<_> = lines
        .iter()
        .map(|line| LineRow {
            address: line.addr,
            line: line.line,
            discriminator: line.discriminator,
            file: line.file,
        })
        .collect();
    let unwinding = (!body.frames.is_empty())
        .then_some(UnwindInfo { frames: &body.frames, header_size: body.header_size });
    image.add(&jit_image::Function {
        name: body.name.as_bstr(),
        address: function.address,
        offset,
        code: &body.code,
        lines: &lines,
        unwinding,
    })
}

/// The name of a process's image: of the first, of a later one, or of a function's own, as perf names it. perf with libdw
/// takes what begins with `/tmp/jitted-` for its own images, which begin where the map does.
fn image_name(pid: i32, number: usize, of_function: Option<u64>) -> String {
    let number = if number == 0 { String::new() } else { format!(".{number}") };
    match of_function {
        Some(index) => format!("jitted-{pid}-{index}{number}.so"),
        None => format!("jit-{pid}{number}.so"),
    }
}
