//! `tracing_data`: what tracefs says of tracepoints, in the form in which perf packs it.

use perf_format::Error;
use perf_format::tracing_data::TracingData;

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
            }
        }
        Err(Error::Structure { offset: reported, .. }) => assert_eq!(reported, offset),
        Err(error) => panic!("not the error of a structure: {error}"),
    }
}
