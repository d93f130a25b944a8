//! Images of jitted code in files in memory, and what readers find in them.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use bstr::{BStr, BString, ByteSlice as _};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, ReadCache};
use perf_format::BuildId;
use perf_inject::jit::{ImageError, Images, Written};
use rustix::fs::MemfdFlags;

/// Where readers find images. Nothing else is there.
pub(super) const DIR: &str = "/images/";

/// The files of one run.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Vec<(BString, Image)>>>);

/// What a reader sees of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// Its id, as its note has it.
    pub(super) id: BuildId,
    functions: Vec<Range<u64>>,
    tables: Option<Range<u64>>,
}

impl Memory {
    fn files(&self) -> MutexGuard<'_, Vec<(BString, Image)>> {
        self.0.lock().expect("nobody panicked")
    }

    /// All images, by name.
    pub(super) fn images(&self) -> Vec<(BString, Image)> {
        self.files().clone()
    }

    /// The image of this name.
    pub(super) fn image(&self, name: &BStr) -> Option<Image> {
        self.files().iter().find(|(of, _)| of == name).map(|(_, image)| image.clone())
    }
}

impl Images for Memory {
    fn path(&self, name: &str) -> BString {
        format!("{DIR}{name}").into()
    }

    fn is_free(&self, name: &str) -> bool {
        self.image(self.path(name).as_bstr()).is_none()
    }

    fn write(
        &mut self,
        names: &mut dyn Iterator<Item = String>,
        fill: &mut dyn FnMut(&mut File) -> Result<Written, ImageError>,
    ) -> Result<(String, Written), ImageError> {
        let file = rustix::fs::memfd_create("image", MemfdFlags::CLOEXEC).expect("a file in memory");
        let mut file = File::from(file);
        let written = fill(&mut file)?;
        let mut names = names;
        let name = Iterator::find(&mut names, |name| self.is_free(name)).expect("a name");
        let path = self.path(&name);
        self.files().push((path, Image::of(file, &written)));
        Ok((name, written))
    }
}

impl Image {
    fn of(file: File, written: &Written) -> Self {
        let cache = ReadCache::new(file);
        let file = object::File::parse(&cache).expect("it can be read");
        let id = file.build_id().expect("notes").expect("an id");
        assert_eq!(id, written.build_id.as_bytes());
        let place = |start: u64, size| start..start.checked_add(size).expect("it ends");
        let functions = file.symbols().map(|symbol| place(symbol.address(), symbol.size())).collect();
        let section = |name| file.section_by_name(name).map(|part| place(part.address(), part.size()));
        let tables = section(".eh_frame").zip(section(".eh_frame_hdr"));
        let tables = tables.map(|(frames, header)| frames.start..header.end);
        Self { id: BuildId::new(id).expect("an id's length"), functions, tables }
    }

    /// Whether a function stands at the offset, with so many bytes, or with the unwinding tables behind it; or these
    /// tables, with no more.
    pub(super) fn has(&self, offset: u64, len: u64) -> bool {
        let end =
            |place: &Range<u64>| self.tables.as_ref().map_or(place.end, |tables| tables.end.max(place.end));
        let is_function = |place: &Range<u64>| place.start == offset && end(place) - offset >= len;
        let is_tables = |place: &Range<u64>| place.start == offset && place.end - offset <= len;
        self.functions.iter().any(is_function) || self.tables.as_ref().is_some_and(is_tables)
    }
}
