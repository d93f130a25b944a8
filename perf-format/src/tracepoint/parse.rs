//! The text of a tracepoint's format: lines of `field:TYPE NAME; offset:N; size:N; signed:N;`.

use bstr::{BStr, ByteSlice as _};

use super::{EventFormat, FieldFormat, FieldShape, missing, name_and_id};
use crate::Endian;
use crate::codec::{FieldError, Problem};

pub(super) fn event(text: &[u8], endian: Endian, long_size: u8) -> Result<EventFormat, FieldError> {
    let (name, id) = name_and_id(text.as_bstr());
    if name.is_empty() {
        return Err(missing("name"));
    }
    let id = id.ok_or(missing("ID"))?;
    let lines = text.lines().map(<[u8]>::trim_ascii).take_while(|line| !line.starts_with(b"print fmt:"));
    let fields = lines.filter_map(|line| line.strip_prefix(b"field"));
    // "field:", or "field special:" of ftrace's own events.
    let fields = fields.filter_map(|line| line.split_once_str(":").map(|(_, rest)| rest));
    let fields = fields.map(|line| field(line, endian, long_size)).collect::<Result<_, _>>()?;
    Ok(EventFormat { name: name.to_owned(), id, fields })
}

fn field(line: &[u8], endian: Endian, long_size: u8) -> Result<FieldFormat, FieldError> {
    let mut parts = line.split_str(";").map(<[u8]>::trim_ascii);
    let declaration = parts.next().unwrap_or_default();
    let (mut offset, mut size, mut is_signed) = (None, None, false);
    for part in parts {
        let Some((key, value)) = part.split_once_str(":") else { continue };
        let number = value.trim_ascii().to_str().ok().and_then(|value| value.parse::<u32>().ok());
        match key {
            b"offset" => offset = number,
            b"size" => size = number,
            b"signed" => is_signed = number == Some(1),
            _ => {}
        }
    }
    let wrong = |field| FieldError { field, problem: Problem::Unexpected };
    let offset = offset.ok_or(wrong("a field's offset"))?;
    let size = size.ok_or(wrong("a field's size"))?;
    let Declaration { type_text, name, shape } = Declaration::parse(declaration.as_bstr());
    if name.is_empty() {
        return Err(missing("a field's name"));
    }
    let element_size = match shape {
        FieldShape::Value => size,
        FieldShape::Array(Some(len)) if len > 0 && size.is_multiple_of(len) => size / len,
        _ => type_size(type_text, long_size),
    };
    let element_size = match u8::try_from(element_size) {
        // A structure may have any size.
        Ok(size @ (1 | 2 | 4 | 8))
            if !base_type(type_text).starts_with(b"struct ") || type_text.ends_with(b"*") =>
        {
            size
        }
        _ => 0,
    };
    let (name, type_text) = (name.to_owned(), type_text.to_owned());
    Ok(FieldFormat { name, type_text, offset, size, is_signed, shape, element_size, endian })
}

/// A field as C declares it: `char prev_comm[16]`, `__data_loc char[] filename`, `const char * name`.
struct Declaration<'a> {
    type_text: &'a BStr,
    name: &'a BStr,
    shape: FieldShape,
}

impl<'a> Declaration<'a> {
    fn parse(text: &'a BStr) -> Self {
        let (mut shape, text) = match (text.strip_prefix(b"__data_loc "), text.strip_prefix(b"__rel_loc ")) {
            (Some(rest), _) => (FieldShape::DataLoc, rest),
            (_, Some(rest)) => (FieldShape::RelLoc, rest),
            _ => (FieldShape::Value, text.as_bytes()),
        };
        let (text, len) = match text.strip_suffix(b"]").and_then(|text| text.split_once_str("[")) {
            Some((text, len)) => (text, Some(len)),
            None => (text, None),
        };
        if let (FieldShape::Value, Some(len)) = (shape, len) {
            shape = FieldShape::Array(len.to_str().ok().and_then(|len| len.trim().parse().ok()));
        }
        let text = text.trim_ascii();
        let name_len = text.iter().rev().take_while(|byte| is_of_a_name(**byte)).count();
        let (type_text, name) = text.split_at(text.len() - name_len);
        let type_text = type_text.trim_ascii();
        // With `__data_loc` the brackets are the type's.
        let type_text = type_text.strip_suffix(b"[]").unwrap_or(type_text).trim_ascii();
        Self { type_text: type_text.as_bstr(), name: name.as_bstr(), shape }
    }
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// A type without what does not change its size.
pub(super) fn base_type(text: &BStr) -> &BStr {
    text.strip_prefix(b"const ").unwrap_or(text).trim_ascii().as_bstr()
}

/// Bytes of a C type of the kernel's; 0 where it is not one of numbers that are known here.
fn type_size(type_text: &BStr, long_size: u8) -> u32 {
    let base = base_type(type_text);
    if base.ends_with(b"*") {
        return long_size.into();
    }
    let sign = [&b"unsigned "[..], b"signed ", b"__"];
    let name = sign.iter().find_map(|prefix| base.strip_prefix(*prefix)).unwrap_or(base);
    match name {
        b"char" | b"bool" | b"u8" | b"s8" | b"uint8_t" | b"int8_t" => 1,
        b"short" | b"short int" | b"u16" | b"s16" | b"uint16_t" | b"int16_t" | b"le16" | b"be16" => 2,
        b"int" | b"unsigned" | b"u32" | b"s32" | b"uint32_t" | b"int32_t" | b"le32" | b"be32" | b"pid_t" => 4,
        b"long long" | b"long long int" | b"u64" | b"s64" | b"uint64_t" | b"int64_t" | b"le64" | b"be64" => 8,
        b"long" | b"long int" | b"size_t" => long_size.into(),
        _ => 0,
    }
}
