//! Texts out of a recording as they stand in a line: no byte of them ends it, and no terminal obeys one.

use std::io::Write as _;

use bstr::{BStr, ByteSlice as _};

/// Whether a terminal may do something for a character besides showing it: a control character, a mark of where a line
/// ends, or one that changes the direction in which others are written or is not seen at all.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// Whether a text is written as it is: printable ASCII without quotes and backslashes, as nearly all names are.
fn is_plain(text: &[u8]) -> bool {
    // All bytes are looked at: many at once, which takes less than to stop at the first that is not plain.
    text.iter().fold(true, |is_plain, byte| {
        is_plain & matches!(byte, b' '..=b'~') & (*byte != b'"') & (*byte != b'\\')
    })
}

/// Writes a text in quotes.
pub(crate) fn quoted(text: &BStr, out: &mut Vec<u8>) {
    out.push(b'"');
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        for (start, end, c) in text.char_indices() {
            let bytes = text.get(start..end).unwrap_or_default();
            match c {
                '"' => out.extend(b"\\\""),
                '\\' => out.extend(b"\\\\"),
                '\n' => out.extend(b"\\n"),
                '\t' => out.extend(b"\\t"),
                // It stands for bytes that are no UTF-8, if it is not one itself.
                char::REPLACEMENT_CHARACTER if bytes != "\u{fffd}".as_bytes() => hex_escapes(bytes, out),
                c if c.is_ascii_control() => hex_escapes(bytes, out),
                c if is_obeyed(c) => out.extend(c.escape_unicode().to_string().bytes()),
                _ => out.extend_from_slice(bytes),
            }
        }
    }
    out.push(b'"');
}

fn hex_escapes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend(b"\\x");
        hex_byte(*byte, out);
    }
}

/// Writes a text as a JSON string. What is no UTF-8 is replaced; returns whether anything was.
pub(crate) fn json_string(text: &BStr, out: &mut Vec<u8>) -> bool {
    out.push(b'"');
    let mut is_whole = true;
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        for (start, end, c) in text.char_indices() {
            let bytes = text.get(start..end).unwrap_or_default();
            match c {
                '"' => out.extend(b"\\\""),
                '\\' => out.extend(b"\\\\"),
                '\n' => out.extend(b"\\n"),
                '\t' => out.extend(b"\\t"),
                c if is_obeyed(c) => {
                    // A vector takes all that is written to it. None of them is beyond 16 bits.
                    write!(out, "\\u{:04x}", u32::from(c)).ok();
                }
                char::REPLACEMENT_CHARACTER => {
                    is_whole &= bytes == "\u{fffd}".as_bytes();
                    out.extend("\u{fffd}".as_bytes());
                }
                _ => out.extend_from_slice(bytes),
            }
        }
    }
    out.push(b'"');
    is_whole
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn digit(value: u64) -> u8 {
    DIGITS.get(usize::try_from(value & 15).unwrap_or_default()).copied().unwrap_or_default()
}

fn hex_byte(byte: u8, out: &mut Vec<u8>) {
    out.extend([digit((byte >> 4).into()), digit(byte.into())]);
}

/// Writes bytes as two digits each.
pub(crate) fn hex_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    bytes.iter().for_each(|byte| hex_byte(*byte, out));
}

/// The digits of a word of 32 bits, eight at once: each half byte becomes a byte, and that a digit.
fn hex_digits(word: u32) -> [u8; 8] {
    let mut digits = u64::from(word);
    digits = (digits << 16 | digits) & 0x0000_ffff_0000_ffff;
    digits = (digits << 8 | digits) & 0x00ff_00ff_00ff_00ff;
    digits = (digits << 4 | digits) & 0x0f0f_0f0f_0f0f_0f0f;
    let letters = (digits + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (digits + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// Writes a number in hexadecimal, with its `0x`.
pub(crate) fn hex(value: u64, out: &mut Vec<u8>) {
    let zeros = (value | 1).leading_zeros() / 4;
    // What is left of the first digit is cut off behind the last.
    let [a, b, c, d, high @ ..] = (value << (4 * zeros)).to_be_bytes();
    let [high, low] = [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(high)].map(hex_digits);
    out.extend_from_slice(b"0x");
    out.extend_from_slice(&high);
    out.extend_from_slice(&low);
    out.truncate(out.len() - usize::try_from(zeros).unwrap_or_default());
}

/// Eight digits are made at once.
const EIGHT_DIGITS: u64 = 100_000_000;

/// The values of the digits of a number below 10^8, the first in the lowest byte: it is halved into fours of digits, twos and
/// single ones. To divide by 100 and by 10 is to multiply by 10486 / 2^20 and by 103 / 2^10, for numbers as small as these.
fn decimal_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

/// Writes a number in decimal.
pub(crate) fn decimal(value: u64, out: &mut Vec<u8>) {
    let digits = decimal_digits(value % EIGHT_DIGITS);
    let zeros = if value < EIGHT_DIGITS {
        // 0 has a digit, too.
        (digits | 1 << 63).trailing_zeros() / 8
    } else {
        decimal(value / EIGHT_DIGITS, out);
        0
    };
    // What is left of the first digit is cut off behind the last.
    let text = (digits + 0x3030_3030_3030_3030) >> (8 * zeros);
    out.extend_from_slice(&text.to_le_bytes());
    out.truncate(out.len() - usize::try_from(zeros).unwrap_or_default());
}

/// Writes a number with a sign in decimal.
pub(crate) fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    decimal(value.unsigned_abs(), out);
}

/// Writes a number in groups of three digits.
pub(crate) fn grouped(value: usize, out: &mut Vec<u8>) {
    let text = value.to_string();
    for (at, digit) in text.bytes().enumerate() {
        if at > 0 && (text.len() - at).is_multiple_of(3) {
            out.push(b',');
        }
        out.push(digit);
    }
}

/// 32 bits of a hash of bytes that is the same everywhere: both halves of FNV-1a's 64 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes
            .iter()
            .fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut hash = Self::default();
        hash.update(bytes);
        hash
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let short = (self.0 >> 32) ^ self.0;
        (0..8).rev().for_each(|place| out.push(digit(short >> (4 * place))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_text_is_one_line_and_no_terminal_obeys_it() {
        let text = b"/a b\"c\\\n\t\x1b[31m\xff\xc3\xa9\xe2\x80\xae\x7f";
        let shown = written(|out| quoted(text.as_bstr(), out));
        assert_eq!(shown, "\"/a b\\\"c\\\\\\n\\t\\x1b[31m\\xffé\\u{202e}\\x7f\"");
        let mut is_whole = true;
        let json = written(|out| is_whole = json_string(text.as_bstr(), out));
        assert!(!is_whole);
        assert_eq!(json, "\"/a b\\\"c\\\\\\n\\t\\u001b[31m\u{fffd}é\\u202e\\u007f\"");
    }

    #[test]
    fn numbers_are_those_that_the_standard_library_writes() {
        let powers = (0..20).flat_map(|power| {
            let tens = 10_u64.pow(power);
            [tens - 1, tens, tens + 1, tens.saturating_mul(12) / 7]
        });
        let some = [15, 16, 255, 256, 0xffff_ffff, 1 << 60, u64::MAX];
        for value in some.into_iter().chain(powers).chain((0..100_000_000).step_by(7_919)) {
            assert_eq!(written(|out| hex(value, out)), format!("{value:#x}"));
            assert_eq!(written(|out| decimal(value, out)), value.to_string());
            assert_eq!(written(|out| signed(value.cast_signed(), out)), value.cast_signed().to_string());
        }
        let group = |value| written(|out| grouped(value, out));
        assert_eq!(
            (group(7), group(1234), group(1_234_567)),
            ("7".into(), "1,234".into(), "1,234,567".into())
        );
    }

    #[test]
    fn the_hash_of_no_bytes_is_that_of_fnv() {
        assert_eq!(
            written(|out| Fnv::default().write(out)),
            format!("{:08x}", 0xcbf2_9ce4_u32 ^ 0x8422_2325)
        );
    }
}
