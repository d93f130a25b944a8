//! A line of a dump: what a visitor is told, written as text or as a JSON object. Both come from the same calls, so that
//! neither has what the other lacks.

use bstr::{BStr, ByteSlice as _};
use perf_format::{Array, FieldData, FieldKind, FieldVisitor, Misc, RecordType};

use crate::escape::{Fnv, decimal, grouped, hex, hex_bytes, json_string, quoted, signed};
use crate::words;

/// Bytes that are shown all of them. Of more, their number and a hash are.
const BYTES_AT_MOST: usize = 64;

/// A text that is cut keeps so much at the least.
const TEXT_AT_LEAST: usize = 64;

/// How lines are written.
#[derive(Debug, Clone, Default)]
pub(crate) struct LineStyle {
    pub(crate) json: bool,
    /// Lists and texts end where their line has reached it, in bytes.
    pub(crate) max_width: usize,
    /// Whether all bytes are shown, and nothing is cut.
    pub(crate) full: bool,
    /// The fields of records that are shown; `None` for all.
    pub(crate) fields: Option<Vec<String>>,
}

/// What was begun and has not ended.
#[derive(Debug, Clone, Copy)]
struct Level {
    is_list: bool,
    /// Nothing of it is shown: it is not selected, or behind the end of a list that was cut.
    is_dead: bool,
    /// Elements or fields that were shown.
    shown: usize,
    /// Elements that were cut.
    cut: usize,
}

/// A line under construction.
#[derive(Debug)]
pub(crate) struct DumpLine {
    style: LineStyle,
    /// The lines so far; the last of them is being written.
    pub(crate) out: Vec<u8>,
    /// Where the line begins.
    start: usize,
    levels: Vec<Level>,
    /// Whether the fields are those of a record, of which some may be selected.
    selects: bool,
    /// Which of the selected fields a record had.
    had: Vec<bool>,
}

impl DumpLine {
    pub(crate) fn new(style: LineStyle) -> Self {
        let had = vec![false; style.fields.as_ref().map_or(0, Vec::len)];
        Self { style, out: Vec::new(), start: 0, levels: Vec::new(), selects: false, had }
    }

    /// The selected fields that no record had so far.
    pub(crate) fn missing_fields(&self) -> Vec<&str> {
        let fields = self.style.fields.iter().flatten().zip(&self.had);
        fields.filter(|(_, had)| !**had).map(|(field, _)| field.as_str()).collect()
    }

    /// Begins a line that is of no record.
    pub(crate) fn begin(&mut self, word: &str) {
        self.start = self.out.len();
        self.levels.clear();
        self.selects = false;
        if self.style.json {
            self.out.extend_from_slice(b"{\"record\":");
            json_string(word.into(), &mut self.out);
        } else {
            self.out.extend_from_slice(word.as_bytes());
        }
        self.begin_fields();
    }

    /// Begins a record's line.
    pub(crate) fn begin_record(&mut self, offset: Option<u64>, record_type: RecordType, misc: Misc) {
        self.start = self.out.len();
        self.levels.clear();
        self.selects = self.style.fields.is_some();
        let (names, rest) = words::misc(record_type, misc);
        if self.style.json {
            self.out.extend_from_slice(b"{\"record\":\"");
            self.record_type(record_type);
            self.out.push(b'"');
            if let Some(offset) = offset {
                self.out.extend_from_slice(b",\"offset\":");
                decimal(offset, &mut self.out);
            }
            if misc.0 != 0 {
                self.out.extend_from_slice(b",\"misc\":");
                self.flags(rest.into(), names.as_slice());
            }
        } else {
            if let Some(offset) = offset {
                hex(offset, &mut self.out);
                self.out.push(b' ');
            }
            self.record_type(record_type);
            if misc.0 != 0 {
                self.out.extend_from_slice(b" misc=");
                self.flags(rest.into(), names.as_slice());
            }
        }
        self.begin_fields();
    }

    fn record_type(&mut self, record_type: RecordType) {
        match record_type.name() {
            Some(name) => self.out.extend_from_slice(name.as_bytes()),
            None => {
                self.out.extend_from_slice(b"TYPE_");
                decimal(record_type.0.into(), &mut self.out);
            }
        }
    }

    fn begin_fields(&mut self) {
        if self.style.json {
            self.out.extend_from_slice(b",\"fields\":{");
        }
        self.levels.push(Level { is_list: false, is_dead: false, shown: 0, cut: 0 });
    }

    /// Ends the line.
    pub(crate) fn end(&mut self) {
        self.out.extend_from_slice(if self.style.json { b"}}\n" } else { b"\n" });
    }

    /// Bytes of the line so far.
    fn width(&self) -> usize {
        self.out.len() - self.start
    }

    fn is_full(&self) -> bool {
        !self.style.full && self.width() >= self.style.max_width
    }

    /// Begins a field or an element: writes what stands between it and the one before, and its name. False where it is
    /// not shown.
    fn key(&mut self, name: &str) -> bool {
        let is_full = self.is_full();
        let is_outermost = self.levels.len() == 1;
        let Some(level) = self.levels.last_mut() else { return false };
        if level.is_dead {
            return false;
        }
        if level.is_list && (is_full || level.cut > 0) {
            level.cut += 1;
            return false;
        }
        if is_outermost
            && self.selects
            && let Some(fields) = &self.style.fields
        {
            let selected = fields.iter().position(|field| field == name);
            let Some(had) = selected.and_then(|at| self.had.get_mut(at)) else { return false };
            *had = true;
        }
        let (is_first, is_list) = (level.shown == 0, level.is_list);
        level.shown += 1;
        if self.style.json {
            if !is_first {
                self.out.push(b',');
            }
            if !is_list {
                json_string(name.into(), &mut self.out);
                self.out.push(b':');
            }
        } else {
            match (is_list, is_first) {
                (true, false) => self.out.extend_from_slice(b", "),
                (false, false) => self.out.push(b' '),
                (false, true) if is_outermost => self.out.push(b' '),
                _ => {}
            }
            if !is_list {
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'=');
            }
        }
        true
    }

    fn value(&mut self, name: &str, kind: FieldKind, value: FieldData<'_>) {
        match value {
            FieldData::Unsigned(number) => self.number(kind, number),
            FieldData::Signed(number) => signed(number, &mut self.out),
            FieldData::Text(text) => self.text(name, text),
            FieldData::Word(word) => self.word(word),
            FieldData::Bytes(bytes) => self.bytes(bytes),
            FieldData::Words(words) => self.words(kind, words),
            FieldData::Flags(names, rest) => self.flags(rest, names),
            _ => self.word("?"),
        }
    }

    fn word(&mut self, word: &str) {
        if self.style.json {
            json_string(word.into(), &mut self.out);
        } else {
            self.out.extend_from_slice(word.as_bytes());
        }
    }

    fn hex(&mut self, number: u64) {
        if self.style.json {
            self.out.push(b'"');
        }
        hex(number, &mut self.out);
        if self.style.json {
            self.out.push(b'"');
        }
    }

    fn number(&mut self, kind: FieldKind, number: u64) {
        match kind {
            FieldKind::Hex | FieldKind::Address | FieldKind::Register | FieldKind::Memory => self.hex(number),
            FieldKind::Chain => match words::marker(number) {
                Some(marker) => self.word(marker),
                None => self.hex(number),
            },
            FieldKind::Prot => {
                let (letters, rest) = words::prot(number);
                let json = self.style.json;
                self.out.extend(json.then_some(b'"'));
                self.out.extend(letters);
                if rest != 0 {
                    self.out.push(b'|');
                    hex(rest, &mut self.out);
                }
                self.out.extend(json.then_some(b'"'));
            }
            FieldKind::MapFlags => {
                let (names, rest) = words::map_flags(number);
                self.flags(rest, &names);
            }
            _ => decimal(number, &mut self.out),
        }
    }

    /// Names, and the bits that have none.
    fn flags(&mut self, rest: u64, names: &[&str]) {
        if self.style.json {
            self.out.push(b'[');
            for (at, name) in names.iter().enumerate() {
                if at > 0 {
                    self.out.push(b',');
                }
                json_string((*name).into(), &mut self.out);
            }
            if rest != 0 {
                if !names.is_empty() {
                    self.out.push(b',');
                }
                self.hex(rest);
            }
            self.out.push(b']');
            return;
        }
        for (at, name) in names.iter().enumerate() {
            if at > 0 {
                self.out.push(b'|');
            }
            self.out.extend_from_slice(name.as_bytes());
        }
        if rest != 0 || names.is_empty() {
            if !names.is_empty() {
                self.out.push(b'|');
            }
            hex(rest, &mut self.out);
        }
    }

    fn text(&mut self, name: &str, text: &BStr) {
        let room = self.style.max_width.saturating_sub(self.width()).max(TEXT_AT_LEAST);
        let shown = match text.get(..room).filter(|_| !self.style.full) {
            Some(cut) if text.len() > room => cut.as_bstr(),
            _ => text,
        };
        let more = text.len() - shown.len();
        if !self.style.json {
            quoted(shown, &mut self.out);
            if more > 0 {
                self.more(more);
            }
            return;
        }
        let start = self.out.len();
        let is_whole = json_string(shown, &mut self.out);
        if more > 0 {
            self.out.pop();
            self.more(more);
            self.out.push(b'"');
        } else if !is_whole && self.levels.last().is_some_and(|level| !level.is_list) {
            self.out.push(b',');
            json_string(format!("{name}_hex").as_str().into(), &mut self.out);
            self.out.extend_from_slice(b":\"");
            hex_bytes(text, &mut self.out);
            self.out.push(b'"');
        } else if !is_whole {
            // In a list there is no name to put it under.
            self.out.truncate(start);
            self.out.extend_from_slice(b"{\"hex\":\"");
            hex_bytes(text, &mut self.out);
            self.out.extend_from_slice(b"\"}");
        }
    }

    fn more(&mut self, more: usize) {
        self.out.extend_from_slice(b"... ");
        grouped(more, &mut self.out);
        self.out.extend_from_slice(b" more");
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if bytes.len() <= BYTES_AT_MOST || self.style.full {
            let quotes = self.style.json;
            self.out.extend(quotes.then_some(b'"'));
            hex_bytes(bytes, &mut self.out);
            self.out.extend(quotes.then_some(b'"'));
            return;
        }
        self.hashed(bytes.len() as u64, Fnv::of(bytes));
    }

    fn hashed(&mut self, len: u64, hash: Fnv) {
        if self.style.json {
            self.out.extend_from_slice(b"{\"len\":");
            decimal(len, &mut self.out);
            self.out.extend_from_slice(b",\"hash\":\"");
            hash.write(&mut self.out);
            self.out.extend_from_slice(b"\"}");
        } else {
            self.out.push(b'<');
            decimal(len, &mut self.out);
            self.out.extend_from_slice(b" bytes #");
            hash.write(&mut self.out);
            self.out.push(b'>');
        }
    }

    /// A field of bytes that were read and hashed elsewhere.
    pub(crate) fn payload(&mut self, name: &str, len: u64, hash: Fnv) {
        if self.key(name) {
            self.hashed(len, hash);
        }
    }

    fn words(&mut self, kind: FieldKind, words: Array<'_, u64>) {
        let len = words.len();
        self.out.push(b'[');
        for (at, word) in words.iter().enumerate() {
            if self.is_full() {
                if at > 0 {
                    self.out.extend(if self.style.json { &b","[..] } else { b", " });
                }
                self.rest_of_list(len - at);
                break;
            }
            if at > 0 {
                self.out.extend(if self.style.json { &b","[..] } else { b", " });
            }
            self.number(kind, word);
        }
        self.out.push(b']');
    }

    fn rest_of_list(&mut self, more: usize) {
        if self.style.json {
            self.out.extend_from_slice(b"{\"more\":");
            decimal(more as u64, &mut self.out);
            self.out.push(b'}');
        } else {
            self.more(more);
        }
    }

    fn open(&mut self, name: &str, is_list: bool) -> bool {
        let is_shown = self.key(name);
        if is_shown {
            self.out.push(if is_list { b'[' } else { b'{' });
        }
        self.levels.push(Level { is_list, is_dead: !is_shown, shown: 0, cut: 0 });
        is_shown
    }
}

impl FieldVisitor for DumpLine {
    fn field(&mut self, name: &str, kind: FieldKind, value: FieldData<'_>) {
        if self.key(name) {
            self.value(name, kind, value);
        }
    }

    fn begin_list(&mut self, name: &str, _: usize) {
        self.open(name, true);
    }

    fn end_list(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        if level.is_dead {
            return;
        }
        if level.cut > 0 {
            if level.shown > 0 {
                self.out.extend(if self.style.json { &b","[..] } else { b", " });
            }
            self.rest_of_list(level.cut);
        }
        self.out.push(b']');
    }

    fn begin_group(&mut self, name: &str) -> bool {
        self.open(name, false)
    }

    fn end_group(&mut self) {
        if self.levels.pop().is_some_and(|level| !level.is_dead) {
            self.out.push(b'}');
        }
    }
}
