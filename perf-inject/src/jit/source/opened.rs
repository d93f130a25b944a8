//! The sources of one process: those that are open, and the state of those that are not.

use std::path::Path;

use perf_format::Endian;

use super::find::Marker;
use super::{Body, FunctionSource};
use crate::jit::timeline::{JitFunction, SourceId, Timeline};

/// The sources of one process.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    open: Vec<Box<dyn FunctionSource>>,
    /// The dumps that the process mapped, whether or not they could be read.
    markers: Vec<Marker>,
    /// Of those, one whose dump has not even a header yet.
    pub(crate) yet_to_begin: Option<Marker>,
    /// Whether its perf map was looked for.
    pub(crate) has_sought_perf_map: bool,
    /// Why there are no names, or fewer.
    pub(crate) missing: Option<String>,
}

impl Sources {
    /// Whether the process mapped this dump before.
    pub(crate) fn is_marked_by(&self, marker: &Marker) -> bool {
        self.markers.iter().any(|known| known.name == marker.name && known.file == marker.file)
    }

    /// Notes that the process mapped a dump.
    pub(crate) fn mark(&mut self, marker: &Marker) {
        self.markers.push(marker.clone());
    }

    /// Whether the process mapped a dump.
    pub(crate) fn is_marked(&self) -> bool {
        !self.markers.is_empty()
    }

    /// Whether the process knows itself by another pid than the recording.
    pub(crate) fn is_inner(&self) -> bool {
        self.markers.iter().any(|marker| marker.inner != marker.pid.cast_unsigned())
    }

    /// When the process mapped its last dump, in ns; 0 where that is not known.
    pub(crate) fn marked_at(&self) -> u64 {
        self.markers.last().and_then(|marker| marker.time).unwrap_or(0)
    }

    /// Whether no source was found, and the process mapped no dump.
    pub(crate) fn is_empty(&self) -> bool {
        self.markers.is_empty() && self.open.is_empty() && self.missing.is_none()
    }

    /// Adds a source that was opened.
    pub(crate) fn add(&mut self, source: Box<dyn FunctionSource>) {
        self.open.push(source);
    }

    /// The first source's path.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.open.first().map(|source| source.path())
    }

    /// The byte order of a source's code, and its machine if the source has it.
    pub(crate) fn target(&self, id: SourceId) -> Option<(Endian, Option<u16>)> {
        self.open.get(id.0).map(|source| (source.endian(), source.machine()))
    }

    /// Reads on all sources that are open.
    pub(crate) fn read_on(&mut self, timeline: &mut Timeline, now: u64) {
        for (number, source) in self.open.iter_mut().enumerate() {
            if let Err(error) = source.read_on(SourceId(number), timeline, now) {
                self.missing.get_or_insert_with(|| format!("{}: {error}", source.path().display()));
            }
        }
        timeline.sort();
    }

    /// Notes where the sources end inside a record.
    pub(crate) fn note_cut(&mut self) {
        self.open.iter_mut().for_each(|source| source.note_cut());
    }

    /// The pid by which the process knows itself, if a dump told it.
    pub(crate) fn inner(&self) -> Option<u32> {
        self.markers.last().map(|marker| marker.inner)
    }

    /// Why not all functions have names, if nothing was missing before.
    pub(crate) fn take_damage(&mut self) -> Option<String> {
        if self.missing.is_some() {
            return None;
        }
        let damage = self.open.iter().find_map(|source| source.damage());
        self.missing.clone_from(&damage);
        damage
    }

    /// The body of a function, for an image. `None` where it cannot be read; the reason is noted.
    pub(crate) fn body(&mut self, function: &JitFunction) -> Option<Body> {
        let source = self.open.get_mut(function.source.0)?;
        match source.body(function) {
            Ok(body) => Some(body),
            Err(error) => {
                self.missing.get_or_insert_with(|| format!("{}: {error}", source.path().display()));
                None
            }
        }
    }
}
