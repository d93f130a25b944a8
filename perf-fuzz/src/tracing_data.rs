//! `tracing_data`: what tracefs says of tracepoints, in the form in which perf packs it.

use perf_format::tracing_data::TracingData;
use perf_format::{Error, FieldValue};

/// What can be read takes as many bytes as it says, and not one less.
pub fn tracing_data(data: &[u8]) {
    let offset = 0x1000;
    match TracingData::parse(data, offset) {
        Ok(tracing) => {
            let bytes = data.get(..tracing.size).expect("it lies in what was read");
            assert_eq!(TracingData::parse(bytes, offset).ok().as_ref(), Some(&tracing));
            assert!(TracingData::parse(&bytes[..bytes.len() - 1], offset).is_err(), "one byte less");
            for system in &tracing.systems {
                assert_eq!(system.events().count(), system.formats.len());
                // The bytes of the formats are as good as any sample's.
                for id in system.events().filter_map(|(_, id)| id) {
                    let Ok(Some(format)) = tracing.event_format(id) else { continue };
                    for field in &format.fields {
                        in_the_data(field.value(data), data);
                    }
                }
            }
        }
        Err(Error::Structure { offset: reported, .. }) => assert_eq!(reported, offset),
        Err(error) => panic!("not the error of a structure: {error}"),
    }
}

fn in_the_data(value: Option<FieldValue<'_>>, data: &[u8]) {
    match value {
        Some(FieldValue::Text(text)) => assert!(text.len() <= data.len()),
        Some(FieldValue::Bytes(bytes)) => assert!(bytes.len() <= data.len()),
        Some(FieldValue::Array(numbers)) => assert_eq!(numbers.iter().count(), numbers.len()),
        _ => {}
    }
}
