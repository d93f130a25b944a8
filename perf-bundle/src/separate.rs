//! What was taken out of an object file: its debug file, and what that shares with others.

use std::fs::File;

use perf_session::dso::Dso;
use perf_session::object_files::{AlternateFile, ObjectFile, ObjectFiles, ObjectImage};

/// The files that belong to an object file.
#[derive(Default)]
pub(crate) struct SeparateFiles {
    /// The debug file, if it has the id of the object file: readers find no other by it.
    pub(crate) debug: Option<File>,
    /// The alternate files that the object file and its debug file tell of, found or not.
    pub(crate) alternates: Vec<AlternateFile>,
}

impl SeparateFiles {
    /// Looks for them where [`ObjectFiles`] does.
    pub(crate) fn of(object: &ObjectFile, dso: &Dso, files: &ObjectFiles) -> Self {
        let debug = files.debug_file_of_build(object, dso);
        let image = match &object.image {
            ObjectImage::File(file) => Some(file),
            _ => None,
        };
        let tell = image.into_iter().chain(&debug);
        let alternates = tell.filter_map(|of| files.alternate_file(of, object, dso)).collect();
        Self { debug, alternates }
    }
}
