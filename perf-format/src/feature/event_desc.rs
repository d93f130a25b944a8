//! The EVENT_DESC feature: the events once more, with their names and their ids.

use bstr::{BStr, ByteSlice as _};

use crate::Endian;
use crate::codec::{Array, Decoder, Problem};
use crate::misc::Misc;

/// What the feature says of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventName<'a> {
    /// The attr's bytes.
    pub attr: &'a [u8],
    /// The event's name.
    pub name: &'a BStr,
    /// The ids of its instances, all of them.
    pub ids: Array<'a, u64>,
}

/// The name and the ids of each event, in the order of the attrs, up to what cannot be read.
#[must_use]
pub fn event_names(feature: &[u8], endian: Endian) -> Vec<EventName<'_>> {
    let mut names = Vec::new();
    let mut d = Decoder::new(feature, 0, endian, Misc::default());
    let mut read = || {
        let count: u32 = d.get()?;
        let attr_size: u32 = d.get()?;
        for _ in 0..count {
            let attr = take(&mut d, attr_size)?;
            let ids: u32 = d.get()?;
            let len: u32 = d.get()?;
            let name = take(&mut d, len)?;
            let ids = Array::counted(&mut d, ids.into())?;
            let name = name.find_byte(0).and_then(|end| name.get(..end)).unwrap_or(name).as_bstr();
            names.push(EventName { attr, name, ids });
        }
        Ok::<_, Problem>(())
    };
    // A name that cannot be had is no loss to the records.
    read().ok();
    names
}

/// Calls `change` with the bytes of each attr in the feature, to change them in their place, up to what cannot be read.
pub fn change_attrs(feature: &mut [u8], endian: Endian, mut change: impl FnMut(&mut [u8])) {
    let start = feature.as_ptr().addr();
    let attrs = event_names(feature, endian);
    let places: Vec<_> =
        attrs.iter().map(|event| (event.attr.as_ptr().addr() - start, event.attr.len())).collect();
    for (at, len) in places {
        if let Some(attr) = feature.get_mut(at..at + len) {
            change(attr);
        }
    }
}

fn take<'a>(d: &mut Decoder<'a>, len: u32) -> Result<&'a [u8], Problem> {
    usize::try_from(len).map_err(|_| Problem::Count(len.into())).and_then(|len| d.take(len))
}
