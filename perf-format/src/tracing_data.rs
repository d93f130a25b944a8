//! Tracing data: the formats of the tracepoints in a recording, as tracefs describes them. It follows a
//! TRACING_DATA record in a pipe and is feature 1 of a file.
//!
//! The bytes are parsed out of a buffer of known length, never to find where they end.

use std::collections::HashMap;

use bstr::{BStr, BString, ByteSlice as _};

use crate::codec::{Decoder, FieldError, Problem};
use crate::misc::Misc;
use crate::tracepoint::{EventFormat, name_and_id};
use crate::{Endian, Error};

/// The bytes that tracing data starts with: three that are no text, and a word.
const MAGIC: &[u8; 10] = b"\x17\x08\x44tracing";

/// Tracing data, its texts borrowed from the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracingData<'a> {
    /// The format's version, `0.5` or `0.6`.
    pub version: &'a BStr,
    /// The byte order of the numbers in here, and of the tracepoints' fields.
    pub endian: Endian,
    /// Size of a long in the recording kernel, in bytes.
    pub long_size: u8,
    /// Its page size in bytes.
    pub page_size: u32,
    /// tracefs `events/header_page`.
    pub header_page: &'a BStr,
    /// tracefs `events/header_event`.
    pub header_event: &'a BStr,
    /// Formats of ftrace's own events.
    pub ftrace: Vec<&'a BStr>,
    /// The systems and the formats of their events.
    pub systems: Vec<System<'a>>,
    /// `/proc/kallsyms`, where it was kept.
    pub kallsyms: &'a BStr,
    /// tracefs `printk_formats`.
    pub printk_formats: &'a BStr,
    /// tracefs `saved_cmdlines`; older versions have none.
    pub saved_cmdlines: Option<&'a BStr>,
    /// How many bytes all of this took.
    pub size: usize,
}

/// A system of tracepoints: `sched`, `block` and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct System<'a> {
    /// Its name.
    pub name: &'a BStr,
    /// tracefs `events/SYSTEM/EVENT/format` of each event.
    pub formats: Vec<&'a BStr>,
}

impl System<'_> {
    /// The name and id of each event, out of its format (`name: sched_switch`, `ID: 314`).
    pub fn events(&self) -> impl Iterator<Item = (&BStr, Option<u64>)> {
        self.formats.iter().map(|format| name_and_id(format))
    }
}

impl<'a> TracingData<'a> {
    /// Reads tracing data that starts with `bytes`; padding may follow it. `offset` is where the bytes stand in
    /// the input.
    ///
    /// # Errors
    /// [`Error::Structure`] with the part that cannot be read.
    pub fn parse(bytes: &'a [u8], offset: u64) -> Result<Self, Error> {
        // The data declares its byte order itself, behind its first texts.
        let mut d = Decoder::new(bytes, 0, Endian::Little, Misc::default());
        Self::read(&mut d).map_err(|error| Error::structure("tracing data", offset, error))
    }

    /// The format of the tracepoint with an id: the config of an event whose type is a tracepoint. `None` where none has it.
    ///
    /// # Errors
    /// [`Error::Structure`] where the format cannot be read.
    pub fn event_format(&self, id: u64) -> Result<Option<EventFormat>, Error> {
        let mut formats = self.systems.iter().flat_map(|system| &system.formats).chain(&self.ftrace);
        let format = formats.find(|format| name_and_id(format).1 == Some(id));
        format.map(|format| EventFormat::parse(format, self.endian, self.long_size)).transpose()
    }

    /// The name of each tracepoint as perf has it, `system:name`, by its id.
    pub(crate) fn event_names(&self) -> HashMap<u64, BString> {
        let of_system = |system: &'_ System<'_>| -> Vec<_> {
            let named = |(name, id): (&BStr, Option<u64>)| {
                Some((id?, [system.name.as_bytes(), b":", name.as_bytes()].concat().into()))
            };
            system.events().filter_map(named).collect()
        };
        self.systems.iter().flat_map(of_system).collect()
    }

    fn read(d: &mut Decoder<'a>) -> Result<Self, FieldError> {
        let whole = d.rest().len();
        if d.field::<[u8; 10]>("magic")? != *MAGIC {
            return Err(FieldError { field: "magic", problem: Problem::Unexpected });
        }
        let version = text(d, "version")?;
        let endian = if d.field::<u8>("byte order")? == 0 { Endian::Little } else { Endian::Big };
        d.set_endian(endian);
        let long_size = d.field("size of long")?;
        let page_size = d.field("page size")?;
        expect(d, b"header_page", "header_page")?;
        let header_page = long(d, "header_page")?;
        expect(d, b"header_event", "header_event")?;
        let header_event = long(d, "header_event")?;
        let ftrace = formats(d, "ftrace events")?;
        let count: u32 = d.field("systems")?;
        let mut systems = Vec::new();
        for _ in 0..count {
            let name = text(d, "system's name")?;
            systems.push(System { name, formats: formats(d, "event formats")? });
        }
        let kallsyms = short(d, "kallsyms")?;
        let printk_formats = short(d, "printk_formats")?;
        let saved_cmdlines = if version < "0.6".as_bytes() { None } else { Some(long(d, "saved_cmdlines")?) };
        Ok(Self {
            version,
            endian,
            long_size,
            page_size,
            header_page,
            header_event,
            ftrace,
            systems,
            kallsyms,
            printk_formats,
            saved_cmdlines,
            size: whole - d.rest().len(),
        })
    }
}

/// A text up to a NUL.
fn text<'a>(d: &mut Decoder<'a>, field: &'static str) -> Result<&'a BStr, FieldError> {
    let mut read = || {
        let len = d.rest().find_byte(0).ok_or(Problem::NoNul)?;
        let text = d.take(len)?;
        d.take(1)?;
        Ok(text.as_bstr())
    };
    read().map_err(|problem| FieldError { field, problem })
}

fn expect(d: &mut Decoder<'_>, word: &[u8], field: &'static str) -> Result<(), FieldError> {
    if text(d, field)? == word { Ok(()) } else { Err(FieldError { field, problem: Problem::Unexpected }) }
}

/// A text with its length before it, as a `u64`.
fn long<'a>(d: &mut Decoder<'a>, field: &'static str) -> Result<&'a BStr, FieldError> {
    let len: u64 = d.field(field)?;
    sized(d, len, field)
}

/// A text with its length before it, as a `u32`.
fn short<'a>(d: &mut Decoder<'a>, field: &'static str) -> Result<&'a BStr, FieldError> {
    let len: u32 = d.field(field)?;
    sized(d, len.into(), field)
}

fn sized<'a>(d: &mut Decoder<'a>, len: u64, field: &'static str) -> Result<&'a BStr, FieldError> {
    let text = usize::try_from(len).ok().and_then(|len| d.take(len).ok());
    text.map(|text| text.as_bstr()).ok_or(FieldError { field, problem: Problem::Count(len) })
}

/// A count and that many texts. Each takes eight bytes at least, so that a false count ends soon.
fn formats<'a>(d: &mut Decoder<'a>, field: &'static str) -> Result<Vec<&'a BStr>, FieldError> {
    let count: u32 = d.field(field)?;
    (0..count).map(|_| long(d, field)).collect()
}
