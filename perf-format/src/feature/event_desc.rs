//! The EVENT_DESC feature: the events once more, with their names and their ids.

use bstr::{BStr, ByteSlice as _};

use crate::codec::{Array, Decoder, Problem};
use crate::misc::Misc;
use crate::{Attr, Endian};

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
    /// Bytes of the event in the feature.
    len: usize,
}

/// `NAME_ALIGN` of perf: names are padded to so many bytes.
const PADDED_TO: usize = 64;

/// The name and the ids of each event, in the order of the attrs, up to what cannot be read.
#[must_use]
pub fn event_names(feature: &[u8], endian: Endian) -> Vec<EventName<'_>> {
    let mut names = Vec::new();
    let mut d = Decoder::new(feature, 0, endian, Misc::default());
    let mut read = || {
        let count: u32 = d.get()?;
        let attr_size: u32 = d.get()?;
        for _ in 0..count {
            let before = d.rest().len();
            let attr = take(&mut d, attr_size)?;
            let ids: u32 = d.get()?;
            let len: u32 = d.get()?;
            let name = take(&mut d, len)?;
            let ids = Array::counted(&mut d, ids.into())?;
            let name = name.find_byte(0).and_then(|end| name.get(..end)).unwrap_or(name).as_bstr();
            names.push(EventName { attr, name, ids, len: before - d.rest().len() });
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

/// Appends an event to a feature; an empty one becomes that of this event alone. One that cannot be read stays as it is,
/// and so does one whose attrs are shorter than this one.
pub fn push_event_name(feature: &mut Vec<u8>, attr: &Attr, name: &BStr, ids: &[u64], endian: Endian) {
    if feature.is_empty() {
        let size = u32::try_from(attr.size()).unwrap_or(u32::MAX);
        feature.extend([endian.put_u32(0), endian.put_u32(size)].concat());
    }
    let (count, attr_size) = (endian.u32_at(feature, 0), endian.u32_at(feature, 4));
    let (Some(count), Some(attr_size)) = (count, attr_size.and_then(|size| usize::try_from(size).ok()))
    else {
        return;
    };
    let described = event_names(feature, endian);
    let mut attr = attr.to_bytes(endian);
    if described.len() as u64 != u64::from(count) || attr.len() > attr_size {
        return;
    }
    // What stands behind the last event is padding.
    feature.truncate(8 + described.iter().map(|event| event.len).sum::<usize>());
    attr.resize(attr_size, 0);
    let padded = (name.len() + 1).next_multiple_of(PADDED_TO);
    let word = |number: usize| endian.put_u32(u32::try_from(number).unwrap_or(u32::MAX));
    feature.extend(attr);
    feature.extend([word(ids.len()), word(padded)].concat());
    let start = feature.len();
    feature.extend_from_slice(name);
    feature.resize(start + padded, 0);
    feature.extend(ids.iter().flat_map(|id| endian.put_u64(*id)));
    if let Some(place) = feature.first_chunk_mut() {
        *place = endian.put_u32(count.saturating_add(1));
    }
}

fn take<'a>(d: &mut Decoder<'a>, len: u32) -> Result<&'a [u8], Problem> {
    usize::try_from(len).map_err(|_| Problem::Count(len.into())).and_then(|len| d.take(len))
}
