//! The images that functions of a process go into: where each function is placed, and how an image is opened and
//! closed. An image of one function is written when that is hit (`of_function.rs`). In an image of a process, functions
//! are noted when they are placed; it is written when it is closed.

use std::fs::File;
use std::io::{self, BufWriter};
use std::ops::Range;

use bstr::{BString, ByteSlice as _};
use hashbrown::HashMap;
use jit_image::{ImageError, ImageWriter, LineRow, PackedLayout, Target, UnwindInfo, Written};

use super::source::Body;
use super::source::opened::Sources;
use super::timeline::{FunctionId, JitFunction, LiveRange, LiveRangeId, Timeline, View};
use crate::limits::UNWINDING_IMAGES_AT_MOST;

mod arrange;
pub(super) mod of_function;
pub(super) mod output;

use arrange::{Arrangement, AsInMemory};
use of_function::FunctionImage;

/// The directory that images are written to: the caller implements it.
pub trait Images: std::fmt::Debug + Send {
    /// The name by which a reader of the recording finds the file that has this name here: a path from the root.
    fn path(&self, name: &str) -> BString;

    /// Whether nothing has that name. A file that is there may belong to another recording, and stays.
    fn is_free(&self, name: &str) -> bool;

    /// Makes a file with the contents that `fill` writes, under the first of these names that is free when it is whole;
    /// where a file of one of the names has the same contents, that one stays and nothing is made. Returns the name and
    /// what `fill` returned.
    ///
    /// # Errors
    /// Where that cannot be done.
    fn write(
        &mut self,
        names: &mut dyn Iterator<Item = String>,
        fill: &mut dyn FnMut(&mut File) -> Result<Written, ImageError>,
    ) -> Result<(String, Written), ImageError>;
}

/// An image of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ImageId(usize);

/// A place in an image.
#[derive(Debug, Clone, Copy)]
struct Slot {
    image: ImageId,
    /// Bytes from its start.
    offset: u64,
}

/// How functions of a process are placed.
pub(super) struct Placement<'p> {
    pub(super) pid: i32,
    /// The machine of functions whose source does not say.
    pub(super) machine: u16,
    /// Whether stacks will be unwound with their tables: functions that have some are then as far from each other as in
    /// memory.
    pub(super) unwinds: bool,
    /// Whether nothing is known to be mapped there.
    pub(super) is_free: &'p dyn Fn(&Range<u64>) -> bool,
}

/// The place at which readers find a function.
pub(super) struct Placed<'i> {
    pub(super) image: &'i BString,
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

/// An image that functions still go into.
#[derive(Debug)]
struct OpenImage {
    id: ImageId,
    target: Target,
    arrangement: Arrangement,
    /// Whether stacks will be unwound with its tables.
    unwinds: bool,
    /// Their offsets.
    functions: Vec<(u64, FunctionId)>,
}

/// The images of one process.
#[derive(Debug, Default)]
pub(super) struct ProcessImages {
    /// Their names, as readers find them.
    names: Vec<BString>,
    open: Vec<OpenImage>,
    slots: HashMap<LiveRangeId, Slot>,
    /// Where a function was placed first.
    first_slots: HashMap<FunctionId, Slot>,
    /// The addresses that unwinding tables have got.
    tables: Vec<Range<u64>>,
    /// The images of single functions; `None` of those that cannot be read.
    of_functions: HashMap<LiveRangeId, Option<FunctionImage>>,
    /// How often functions with a number had images: those that were moved, or made once more, have several.
    next_numbers: HashMap<(i32, u64), usize>,
}

impl ProcessImages {
    /// The names of all images so far, as readers find them.
    pub(super) fn names(&self) -> &[BString] {
        &self.names
    }

    /// How many functions are in images.
    pub(super) fn function_count(&self) -> usize {
        self.first_slots.len() + self.of_functions.values().flatten().count()
    }

    /// Whether there is an image to be closed.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether unwinding tables have got an address between two, the second not included.
    pub(super) fn has_tables_between(&self, start: u64, end: u64) -> bool {
        self.tables.iter().any(|tables| tables.start < end && start < tables.end)
    }

    /// Places the function of a live range in an image, if it has no place yet. `None` where there is no room.
    pub(super) fn place(
        &mut self,
        id: LiveRangeId,
        timeline: &Timeline,
        sources: &Sources,
        how: &Placement<'_>,
        images: &dyn Images,
    ) -> Option<Placed<'_>> {
        let mut tables = None;
        let slot = match self.slots.get(&id) {
            Some(slot) => *slot,
            None => {
                let range = timeline.live_range(id)?;
                let function = timeline.function(range.function)?;
                let target = target(function, sources, how)?;
                let placed = how
                    .unwinds
                    .then(|| self.place_as_in_memory(range, function, target, timeline, how, images));
                let slot = match placed.flatten() {
                    Some((slot, new)) => {
                        tables = new;
                        slot
                    }
                    None => self.place_packed(range.function, function, target, how, images)?,
                };
                self.slots.insert(id, slot);
                self.first_slots.entry(range.function).or_insert(slot);
                slot
            }
        };
        Some(Placed { offset: slot.offset, image: self.names.get(slot.image.0)?, tables })
    }

    fn place_packed(
        &mut self,
        id: FunctionId,
        function: &JitFunction,
        target: Target,
        how: &Placement<'_>,
        images: &dyn Images,
    ) -> Option<Slot> {
        // An image for stacks has one distance between addresses and offsets: a function that was moved does not stand
        // in it any more.
        if let Some(slot) = self.first_slots.get(&id).filter(|_| !how.unwinds) {
            return Some(*slot);
        }
        for open in self.open.iter_mut().filter(|open| open.target == target) {
            if let Arrangement::Packed(layout) = &mut open.arrangement
                && let Some(offset) = layout.place(function.size)
            {
                open.functions.push((offset, id));
                return Some(Slot { image: open.id, offset });
            }
        }
        let mut layout = PackedLayout::default();
        let offset = layout.place(function.size)?;
        let image = self.open(target, Arrangement::Packed(layout), (offset, id), how, images);
        Some(Slot { image, offset })
    }

    /// The same in an image whose functions are as far from each other as in memory, with the place of its tables if it
    /// is a new one.
    fn place_as_in_memory(
        &mut self,
        range: &LiveRange,
        function: &JitFunction,
        target: Target,
        timeline: &Timeline,
        how: &Placement<'_>,
        images: &dyn Images,
    ) -> Option<(Slot, Option<Tables>)> {
        let &LiveRange { start, end, function: id, .. } = range;
        let its_tables = Some(function.max_tables_size()).filter(|tables| *tables > 0)?;
        for open in self.open.iter_mut().filter(|open| open.target == target) {
            if let Arrangement::AsInMemory(image) = &mut open.arrangement
                && let Some(offset) = image.place(start, end - start, its_tables)
            {
                open.functions.push((offset, id));
                return Some((Slot { image: open.id, offset }, None));
            }
        }
        let of_memory = |open: &&OpenImage| matches!(open.arrangement, Arrangement::AsInMemory(_));
        if self.open.iter().filter(of_memory).count() >= UNWINDING_IMAGES_AT_MOST {
            return None;
        }
        let everything = View { shared: Some(u64::MAX), ..View::own(u64::MAX) };
        let is_free = |range: &Range<u64>| {
            (how.is_free)(range)
                && !timeline.is_between(range.start, range.end, &everything)
                && !self.has_tables_between(range.start, range.end)
        };
        let functions = timeline.span(start, &arrange::window(start), arrange::GAP)?;
        let number = self.tables.len() as u64;
        let mut image = AsInMemory::new(functions, timeline.max_tables_size(), number, is_free)?;
        let offset = image.place(start, end - start, its_tables)?;
        let at = image.tables();
        let tables = Tables { start: at.start, len: at.end - at.start, offset: image.tables_at() };
        self.tables.push(at);
        let image = self.open(target, Arrangement::AsInMemory(image), (offset, id), how, images);
        Some((Slot { image, offset }, Some(tables)))
    }

    /// Opens an image for its first function, which stands at an offset in it.
    fn open(
        &mut self,
        target: Target,
        arrangement: Arrangement,
        first: (u64, FunctionId),
        how: &Placement<'_>,
        images: &dyn Images,
    ) -> ImageId {
        let id = ImageId(self.names.len());
        let names = (id.0..).map(|number| format!("jit-{}{}.so", how.pid, numbered(number)));
        // Those that are open take theirs later.
        let is_taken = |path: &BString| self.open.iter().any(|open| self.names.get(open.id.0) == Some(path));
        let mut paths = names.filter(|name| images.is_free(name)).map(|name| images.path(&name));
        let path = paths.find(|path| !is_taken(path)).unwrap_or_default();
        self.names.push(path);
        self.open.push(OpenImage { id, target, arrangement, unwinds: how.unwinds, functions: vec![first] });
        id
    }

    /// Writes the next image that is open. `None` where there is none.
    fn close_next(
        &mut self,
        timeline: &Timeline,
        sources: &mut Sources,
        images: &mut dyn Images,
    ) -> Option<(&BString, Result<Written, ImageError>)> {
        let next = (!self.open.is_empty()).then(|| self.open.remove(0));
        let OpenImage { id, target, arrangement, unwinds, mut functions } = next?;
        functions.sort_unstable();
        let path = self.names.get(id.0)?;
        let name = path.rsplit(|byte| *byte == b'/').next()?.to_str_lossy().into_owned();
        let written = images.write(&mut std::iter::once(name), &mut |file| {
            let mut image = ImageWriter::new(BufWriter::new(file), target);
            let tables_at = match &arrangement {
                Arrangement::AsInMemory(arrangement) => Some(arrangement.tables_at()),
                Arrangement::Packed(_) => None,
            };
            if unwinds {
                image = image.with_frames_at(tables_at.unwrap_or(0));
            }
            for (offset, id) in &functions {
                let Some(function) = timeline.function(*id) else { continue };
                let Some(mut body) = sources.body(function) else { continue };
                if unwinds && tables_at.is_none() {
                    // Tables with wrong distances are worse than none.
                    body.frames.clear();
                }
                add(&mut image, function, *offset, &body)?;
            }
            image.finish()
        });
        Some((path, written.map(|(_, written)| written)))
    }
}

/// The machine that a function's code is for.
fn target(function: &JitFunction, sources: &Sources, how: &Placement<'_>) -> Option<Target> {
    let (endian, machine) = sources.target(function.source)?;
    Some(Target { machine: machine.unwrap_or(how.machine), endian })
}

fn add<W: io::Write + io::Seek>(
    image: &mut ImageWriter<W>,
    function: &JitFunction,
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

/// What tells images of one name from each other.
fn numbered(number: usize) -> String {
    if number == 0 { String::new() } else { format!(".{number}") }
}
