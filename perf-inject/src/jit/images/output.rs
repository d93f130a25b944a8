//! Closes images, and keeps the build-ids of those that are written.

use bstr::{BStr, BString, ByteSlice as _};
use jit_image::{ImageError, Written};
use perf_format::record::{BuildIdRecord, SizedBuildId};
use perf_format::{BuildId, CpuMode, Misc, Record};
use perf_session::machine::HOST;
use perf_session::{Error, Injection};

use super::of_function::FunctionImage;
use super::{Images, Placement, ProcessImages};
use crate::jit::source::opened::Sources;
use crate::jit::timeline::{LiveRangeId, Timeline};

/// Where the images of all processes go.
#[derive(Debug)]
pub(crate) struct ImageOutput {
    images: Box<dyn Images>,
    /// Whether a reader may look for an image as soon as a round is over.
    pub(crate) read_at_once: bool,
    /// The images that are written, and their ids.
    ids: Vec<(BString, BuildId)>,
}

/// An image that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {name}")]
struct NoImage {
    name: BString,
    source: ImageError,
}

impl ImageOutput {
    /// An output into these images; where a reader may look for them at once, their ids are injected.
    pub(crate) fn new(images: Box<dyn Images>, read_at_once: bool) -> Self {
        Self { images, read_at_once, ids: Vec::new() }
    }

    /// Which names are free.
    pub(crate) fn images(&self) -> &dyn Images {
        &*self.images
    }

    /// The names and ids of the images.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (&BStr, BuildId)> {
        self.ids.iter().map(|(name, id)| (name.as_bstr(), *id))
    }

    /// The ids of the images, as entries of a table.
    pub(crate) fn for_table(&self) -> impl Iterator<Item = (Misc, BuildIdRecord<'_>)> {
        self.ids.iter().map(|(name, id)| (Misc::of(CpuMode::User), build_id(name, *id)))
    }

    /// Writes the images of a process that are open.
    ///
    /// # Errors
    /// Where one cannot be written.
    pub(crate) fn close(
        &mut self,
        pid: i32,
        of_process: &mut ProcessImages,
        timeline: &Timeline,
        sources: &mut Sources,
        inject: &mut Injection<'_>,
    ) -> Result<(), Error> {
        while let Some((name, written)) = of_process.close_next(timeline, sources, &mut *self.images) {
            let (name, id) = written_to(pid, name, written)?;
            self.note(name, id, inject)?;
        }
        Ok(())
    }

    /// The image of a function at an address, which is written if it is not yet. `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn of_function(
        &mut self,
        range: LiveRangeId,
        of_process: &mut ProcessImages,
        timeline: &Timeline,
        sources: &mut Sources,
        how: &Placement<'_>,
        inject: &mut Injection<'_>,
    ) -> Result<Option<FunctionImage>, Error> {
        if of_process.of_function(range).is_none() {
            let images = &mut *self.images;
            let written = of_process.write_function(range, timeline, sources, how, images);
            let Some((name, written)) = written else { return Ok(None) };
            let (name, id) = written_to(how.pid, name, written)?;
            self.note(name, id, inject)?;
        }
        Ok(of_process.of_function(range).cloned().flatten())
    }

    fn note(&mut self, name: BString, id: BuildId, inject: &mut Injection<'_>) -> Result<(), Error> {
        if self.read_at_once {
            inject.inject(Misc::of(CpuMode::User), &Record::BuildId(build_id(&name, id)))?;
        }
        self.ids.push((name, id));
        Ok(())
    }
}

/// The name and the id of an image of a process that was to be written.
fn written_to(
    pid: i32,
    name: &BString,
    written: Result<Written, ImageError>,
) -> Result<(BString, BuildId), Error> {
    let name = name.clone();
    let written = written.map_err(|source| Error::Tool(Box::new(NoImage { name: name.clone(), source })))?;
    let Written { build_id, without_unwinding, .. } = written;
    log::debug!("code of process {pid} written to {name}: {build_id}");
    if without_unwinding > 0 {
        log::debug!("the unwinding tables of {without_unwinding} functions in {name} cannot be read");
    }
    Ok((name, build_id))
}

fn build_id(name: &BString, id: BuildId) -> BuildIdRecord<'_> {
    BuildIdRecord { pid: HOST, build_id: SizedBuildId(Some(id)), filename: name.as_bstr() }
}
