//! The image of one function, at one address: it is written when the function is hit, and one distance between addresses
//! and offsets holds for all of it.
//!
//! Readers differ in where they take a file to be loaded: hotspot and perf load it once, at a map's start minus its
//! `pgoff`, others go by each map. For an image with one distance all are right, so that a function that was moved has
//! another one. perf with libdw tells images from each other by where they are loaded: functions stand at the same offset
//! in each.

use std::io::BufWriter;

use bstr::BString;
use jit_image::{FUNCTION_OFFSET, ImageError, ImageWriter, Written};

use super::{Images, Placement, ProcessImages, add, numbered, target};
use crate::jit::source::opened::Sources;
use crate::jit::timeline::{LiveRangeId, Timeline};

/// What perf with libdw takes for an image of its own, by the start of its path: one that is loaded at the start of its
/// map.
const PERFS_OWN: &[u8] = b"/tmp/jitted-";

/// The image of one function at one address.
#[derive(Debug, Clone)]
pub(crate) struct FunctionImage {
    /// Its name, as readers find it.
    pub(crate) name: BString,
    /// Bytes from the start of the function to the end of its unwinding tables, if they are behind it.
    pub(crate) len: u64,
}

impl ProcessImages {
    /// The image of a function at an address: `None` if it is not written, and none where it cannot be.
    pub(crate) fn of_function(&self, id: LiveRangeId) -> Option<&Option<FunctionImage>> {
        self.of_functions.get(&id)
    }

    /// Writes the image of a function at an address, with a name like those of perf's own. `None` where there is
    /// nothing to be written.
    pub(super) fn write_function(
        &mut self,
        id: LiveRangeId,
        timeline: &Timeline,
        sources: &mut Sources,
        how: &Placement<'_>,
        images: &mut dyn Images,
    ) -> Option<(&BString, Result<Written, ImageError>)> {
        self.of_functions.insert(id, None);
        let function = timeline.function(timeline.live_range(id)?.function)?;
        let target = target(function, sources, how)?;
        let body = sources.body(function).filter(|body| !body.code.is_empty())?;
        let (pid, index) = (function.by.unwrap_or(how.pid), function.index);
        // At another address it has another image, though the contents are the same.
        let next = self.next_numbers.entry((pid, index)).or_default();
        let mut names = (*next..).map(|number| {
            *next = number + 1;
            format!("jitted-{pid}-{index}{}.so", numbered(number))
        });
        let written = images.write(&mut names, &mut |file| {
            let mut image = ImageWriter::of_function(BufWriter::new(file), target);
            if how.unwinds {
                image = image.with_frames_at(FUNCTION_OFFSET);
            }
            add(&mut image, function, FUNCTION_OFFSET, &body)?;
            image.finish()
        });
        let (name, written) = match written {
            Ok((name, written)) => (spelled(images.path(&name)), Ok(written)),
            Err(error) => (images.path(&names.next()?), Err(error)),
        };
        let len = written.as_ref().map_or(0, |written| written.segment_end - FUNCTION_OFFSET);
        self.names.push(name.clone());
        self.of_functions.insert(id, Some(FunctionImage { name, len }));
        Some((self.names.last()?, written))
    }
}

/// A path that leads to the same file, and does not begin as those of perf's own images.
fn spelled(path: BString) -> BString {
    match path.strip_prefix(PERFS_OWN) {
        Some(rest) => [b"/tmp/./jitted-", rest].concat().into(),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_image_is_taken_for_one_of_perfs_own() {
        for (path, is) in [
            ("/tmp/jitted-7-1.so", "/tmp/./jitted-7-1.so"),
            ("/tmp/a/jitted-7-1.so", "/tmp/a/jitted-7-1.so"),
            ("/srv/tmp/jitted-7-1.so", "/srv/tmp/jitted-7-1.so"),
        ] {
            assert_eq!(spelled(path.into()), is);
        }
    }
}
