//! Tracepoints: the format of one, as tracefs describes it, and the values of its fields in the RAW data of a sample.

use bstr::{BStr, BString, ByteSlice as _};

use crate::codec::{FieldError, Problem};
use crate::{Endian, Error};

mod parse;
mod value;

pub use value::{FieldValue, Numbers};

/// The format of a tracepoint: which fields stand where in the RAW data of its samples.
///
/// ```
/// use perf_format::{Endian, EventFormat, FieldValue};
///
/// let text = "name: exit\nID: 7\nformat:\n\tfield:pid_t pid;\toffset:4;\tsize:4;\tsigned:1;\n";
/// let format = EventFormat::parse(text.as_bytes(), Endian::Little, 8)?;
/// let raw = [0, 0, 0, 0, 0x2a, 0, 0, 0];
/// assert_eq!(format.value(&raw, "pid"), Some(FieldValue::Signed(42)));
/// # Ok::<(), perf_format::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventFormat {
    /// The tracepoint's name, without its system: `sched_switch`.
    pub name: BString,
    /// Its number in the kernel that recorded, which is the config of its attr and `common_type` in its samples.
    pub id: u64,
    /// The fields, those that all tracepoints have (`common_pid`) first.
    pub fields: Vec<FieldFormat>,
}

/// A field of a tracepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldFormat {
    /// The name.
    pub name: BString,
    /// The type as tracefs has it, without the name and the length of an array: `unsigned int`, `char`, `const char *`.
    pub type_text: BString,
    /// Where it starts in the RAW data, in bytes.
    pub offset: u32,
    /// How many bytes it has there.
    pub size: u32,
    /// Whether its numbers have a sign.
    pub is_signed: bool,
    /// Whether it is one value, or an array, and where that is.
    pub shape: FieldShape,
    /// Bytes of the number, or of each in an array; 0 where the type is not one of numbers.
    pub(crate) element_size: u8,
    pub(crate) endian: Endian,
}

/// Where the values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldShape {
    /// One value, at the field's offset.
    Value,
    /// An array at the field's offset, of so many elements (`int args[6]`); `None` where tracefs gives a constant's name
    /// (`char comm[TASK_COMM_LEN]`), and the elements fill the field.
    Array(Option<u32>),
    /// `__data_loc`: at the offset are where in the RAW data the array is, and its length.
    DataLoc,
    /// `__rel_loc` (Linux 5.17): the same, counted from the field's end.
    RelLoc,
}

impl EventFormat {
    /// Reads the text of tracefs' `events/SYSTEM/NAME/format`. The byte order is that of the RAW data, `long_size` the
    /// bytes of a long in the kernel that recorded: [`TracingData`](crate::tracing_data::TracingData) has both.
    ///
    /// # Errors
    /// [`Error::Structure`] with the first part that is missing or cannot be read.
    pub fn parse(text: &[u8], endian: Endian, long_size: u8) -> Result<Self, Error> {
        parse::event(text, endian, long_size)
            .map_err(|error| Error::structure("a tracepoint's format", 0, error))
    }

    /// A field by its name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldFormat> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The value of a field in a sample's RAW data; `None` where there is no such field, or it lies outside the data. A
    /// loop over many samples takes [`field`](Self::field) once and [`FieldFormat::value`] of each.
    #[must_use]
    pub fn value<'r>(&self, raw: &'r [u8], name: &str) -> Option<FieldValue<'r>> {
        self.field(name)?.value(raw)
    }
}

impl FieldFormat {
    /// The field's value in a sample's RAW data; `None` where it lies outside the data.
    #[must_use]
    pub fn value<'r>(&self, raw: &'r [u8]) -> Option<FieldValue<'r>> {
        value::read(self, raw)
    }

    /// The same where it is one number that an `i64` holds; `None` for all else.
    #[must_use]
    #[inline]
    pub fn number(&self, raw: &[u8]) -> Option<i64> {
        let at = usize::try_from(self.offset).ok()?;
        match (self.shape, self.element_size, self.size) {
            (FieldShape::Value, 4, 4) => {
                let word = self.endian.u32_at(raw, at)?;
                Some(if self.is_signed { word.cast_signed().into() } else { word.into() })
            }
            _ => self.value(raw)?.as_i64(),
        }
    }

    /// Whether it is text: an array of `char`.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.shape != FieldShape::Value && parse::base_type(self.type_text.as_bstr()) == "char"
    }
}

/// The first name and id that a format says, whatever else it has.
pub(crate) fn name_and_id(format: &BStr) -> (&BStr, Option<u64>) {
    let value_of = |key: &str| {
        let line = format.lines().find_map(|line| line.strip_prefix(key.as_bytes()))?;
        Some(line.trim_ascii().as_bstr())
    };
    let id = value_of("ID:").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    (value_of("name:").unwrap_or_default(), id)
}

pub(crate) fn missing(field: &'static str) -> FieldError {
    FieldError { field, problem: Problem::Short }
}
