//! `header`: the first bytes of pipes and files, and the sections that a file's header tells of.

use std::io::Cursor;

use perf_format::header::Format;
use perf_format::{FileHeader, PerfData, PerfFile};

use crate::FuzzPieces;
use crate::laws::message;

/// The first bytes are read alike in any pieces; a file's header that was read is written as one that reads alike.
pub fn header(data: &[u8]) {
    let open = PerfData::open(data);
    assert_eq!(message(&PerfData::open(FuzzPieces::of(data))), message(&open), "in pieces");
    let format = Format::detect(data).ok();
    match open {
        // Where the header is missing, the first record tells.
        Ok(PerfData::Pipe(stream)) if stream.is_headless() => assert_eq!(format, None),
        Ok(PerfData::Pipe(stream)) => assert_eq!(format, Some(Format::Pipe(stream.endian()))),
        Ok(PerfData::File(_)) => assert!(matches!(format, Some(Format::File(_)))),
        Err(_) => assert_eq!(format, None, "sixteen bytes are enough"),
    }
    let parsed = FileHeader::parse(data);
    if let Ok(header) = &parsed {
        assert_eq!(format, Some(Format::File(header.endian)));
        reads_back(header);
    }
    match PerfFile::open(Cursor::new(data)) {
        Ok(file) => {
            assert_eq!(Some(&file.header), parsed.ok().as_ref());
            let whole = file.check_complete();
            assert!(whole.is_err() || file.is_closed());
            assert_eq!(file.check_complete_or_unclosed().is_ok(), whole.is_ok() || !file.is_closed());
            // That its parts lie over each other is no matter of the header.
            let _ = file.check_overlaps();
        }
        Err(error) => assert_eq!(Some(error.to_string()), parsed.err().map(|error| error.to_string())),
    }
}

fn reads_back(header: &FileHeader) {
    let written = FileHeader::new(header.words, header.endian, header.features());
    let again = FileHeader::parse(&written.to_bytes()).expect("what is written can be read");
    assert_eq!(again.endian, header.endian);
    assert_eq!((again.words.attrs, again.words.data), (header.words.attrs, header.words.data));
    assert!(again.features().eq(header.features()), "the features");
    assert_eq!(again, FileHeader::parse(&again.to_bytes()).expect("and again"));
    if let Some(table) = header.feature_table() {
        assert!(table >= header.words.data.offset);
    }
}
