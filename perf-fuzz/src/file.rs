//! `file`: all that can be asked of a perf.data file.

use std::io::Cursor;

use perf_format::codec::Decoder;
use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::tracing_data::TracingData;
use perf_format::{
    Attr, Error, Feature, Misc, PerfFile, PipeFeatures, Preamble, RecordReader, build_id_table, event_names,
};
use perf_session::Session;

use crate::cut;
use crate::laws::offset_of;

/// Header, events, features, records and preamble; what cannot be had is an error with its place.
pub fn file(data: &[u8]) {
    let Ok(mut file) = PerfFile::open(Cursor::new(data)) else { return };
    let endian = file.header.endian;
    let has_place = |error: &Error| assert!(offset_of(error).is_some(), "without an offset: {error}");
    let _ = file.events().inspect_err(has_place);
    for feature in file.header.features().collect::<Vec<_>>() {
        assert!(file.has(feature));
        match file.feature_bytes(feature) {
            Ok(Some((offset, bytes))) => {
                let at = usize::try_from(offset).expect("in memory");
                assert_eq!(data[at..at + bytes.len()], bytes);
                read(feature, offset, &bytes, endian);
            }
            Ok(None) => panic!("the file has the {feature} feature"),
            Err(error) => has_place(&error),
        }
    }
    records(&mut file, data);
    match file.preamble() {
        Ok(preamble) => survives_a_pipe(&preamble),
        Err(error) => has_place(&error),
    }
}

/// What is in a feature, where that is looked into at all.
fn read(feature: Feature, offset: u64, bytes: &[u8], endian: perf_format::Endian) {
    match feature {
        Feature::BUILD_ID => _ = build_id_table(bytes, offset, endian).count(),
        Feature::EVENT_DESC => _ = event_names(bytes, endian),
        Feature::TRACING_DATA => _ = TracingData::parse(bytes, offset),
        _ => {}
    }
}

/// The records are those of the data section, or of all behind its start where the file was never closed.
fn records(file: &mut PerfFile<Cursor<&[u8]>>, data: &[u8]) {
    let section = file.header.words.data;
    let start = usize::try_from(section.offset).unwrap_or(usize::MAX).min(data.len());
    let size = if file.is_closed() { section.size } else { u64::MAX };
    let len = usize::try_from(size).unwrap_or(usize::MAX).min(data.len() - start);
    let cut = cut(&data[start..start + len], file.header.endian);
    let mut reader = file.records().expect("memory can be read");
    let mut read = 0;
    let result = (|| {
        while let Some(batch) = reader.next_batch()? {
            for record in batch {
                read += record?.bytes.len();
            }
            while let Some(payload) = reader.next_payload()? {
                read += payload.len();
            }
        }
        Ok::<_, Error>(())
    })();
    assert_eq!(read, cut.len());
    assert_eq!(result.is_ok(), cut.is_whole());
}

/// What a pipe says of a preamble is what it was, but for what a pipe has no place for, and what is said to be left out.
pub(crate) fn survives_a_pipe(preamble: &Preamble) {
    is_read(preamble);
    passes_a_pipe(preamble, PipeFeatures::All);
    passes_a_pipe(preamble, PipeFeatures::Readable);
}

/// Features and events say something, or are errors with their place.
fn is_read(preamble: &Preamble) {
    let has_place = |error: &Error| assert!(offset_of(error).is_some(), "without an offset: {error}");
    for feature in preamble.features.keys() {
        let value = preamble.feature(*feature).expect("it is there");
        let _ = value.map(|value| value.to_string()).inspect_err(has_place);
    }
    match preamble.event_infos() {
        Ok(events) => assert_eq!(events.len(), preamble.events.len()),
        Err(error) => has_place(&error),
    }
}

fn passes_a_pipe(preamble: &Preamble, features: PipeFeatures) {
    if Session::new().load_preamble(preamble).is_err() {
        return;
    }
    let mut left_out = Vec::new();
    let Ok(pipe) = preamble.to_pipe(features, |feature, _| left_out.push(feature)) else { return };
    let mut reader = RecordReader::records(&pipe[PIPE_HEADER_SIZE..], preamble.endian, 0);
    let again = Preamble::read_from_pipe(&mut reader).expect("what is written can be read");
    let attrs = |preamble: &Preamble| -> Vec<(Option<Attr>, Vec<u64>)> {
        let attr = |bytes: &[u8]| Decoder::new(bytes, 0, preamble.endian, Misc::default()).get().ok();
        // Of the only event a pipe has no more ids than one record holds.
        let ids = |ids: &[u64]| ids.iter().copied().take(8000).collect();
        preamble.events.iter().map(|event| (attr(&event.attr), ids(&event.ids))).collect()
    };
    assert_eq!(attrs(&again), attrs(preamble));
    for (feature, data) in &preamble.features {
        if *feature == Feature::TRACING_DATA && !data.is_empty() {
            // A pipe pads it, and only data that can be read tells its end.
            let read = again.features.get(feature).expect("the data passed");
            let shorter = read.len().min(data.len());
            assert_eq!(read[..shorter], data[..shorter]);
            assert!(read.len() < data.len() + 8);
        } else if !feature.is_of_the_file()
            && !left_out.contains(feature)
            && (!data.is_empty() || feature.is_flag())
        {
            assert_eq!(again.features.get(feature), Some(data), "{feature}");
        }
    }
}
