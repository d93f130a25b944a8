//! Whose addresses a record has, and what is mapped at them; `--resolve` adds that to each.

use std::borrow::Cow;

use bstr::{BStr, ByteSlice as _};
use perf_format::record::Mmap2;
use perf_format::{
    Array, CpuMode, Endian, FieldData, FieldKind, FieldVisitor, RawRecord, RecordType, sample,
};
use perf_session::Session;

use crate::escape::hex;
use crate::places::{DsoPlace, Places};
use crate::symbols::SymbolFinder;
use crate::words;

/// Whose addresses a record has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AddressContext<'s> {
    session: &'s Session,
    places: &'s Places,
    record: RawRecord<'s>,
    pid: u32,
    time: Option<u64>,
    pub(crate) cpumode: CpuMode,
    /// Whether a map's `pgoff` is no place in a file.
    pub(crate) has_odd_pgoff: bool,
}

impl<'s> AddressContext<'s> {
    /// The addresses of a record that the session has taken in.
    pub(crate) fn new(session: &'s Session, places: &'s Places, record: &RawRecord<'s>) -> Self {
        let of = session.record(record);
        let cpumode = match record.record_type() {
            // They are of the kernel, and say nothing of it.
            RecordType::KSYMBOL | RecordType::TEXT_POKE => CpuMode::Kernel,
            RecordType::CALLCHAIN_DEFERRED => CpuMode::User,
            _ => record.misc().cpumode(),
        };
        let mut context = Self {
            session,
            places,
            record: *record,
            pid: of.pid().unwrap_or_default().cast_unsigned(),
            time: of.time(),
            cpumode,
            has_odd_pgoff: false,
        };
        if matches!(record.record_type(), RecordType::MMAP | RecordType::MMAP2)
            && let Ok(map) = Mmap2::of_record(record)
        {
            // The trailer is of who wrote the record, the body of whose map it is.
            context.pid = map.pid;
            let is_file = map.filename.starts_with(b"/") && !map.filename.starts_with(b"//");
            context.has_odd_pgoff = !is_file || cpumode.is_kernel();
        }
        context
    }

    /// What is mapped at an address, and the offset in it.
    pub(crate) fn place(&self, address: u64, cpumode: CpuMode) -> Option<DsoPlace> {
        let space = self.session.space(&self.record, cpumode, self.pid)?;
        self.places.find(self.session, space, address, self.time)
    }

    /// The name of a DSO.
    pub(crate) fn name(&self, place: DsoPlace) -> &'s BStr {
        self.session.dso(place.dso).map(|dso| dso.name.as_ref()).unwrap_or_default()
    }
}

/// Writes a name and how far behind its beginning something is: `/bin/ls+0x1234`.
pub(crate) fn write_place(name: &BStr, offset: u64, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(name);
    out.push(b'+');
    hex(offset, out);
}

/// What a word of a call chain is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ChainWord {
    Marker(&'static str),
    /// Behind the marker of a part that comes later.
    Cookie,
    Address(CpuMode),
}

/// The modes of a chain's addresses, word by word.
#[derive(Debug)]
pub(crate) struct ChainModes {
    cpumode: CpuMode,
    is_cookie: bool,
}

impl ChainModes {
    /// Before the first marker the sample's own mode holds.
    pub(crate) fn new(cpumode: CpuMode) -> Self {
        Self { cpumode, is_cookie: false }
    }

    pub(crate) fn next(&mut self, word: u64) -> ChainWord {
        if std::mem::take(&mut self.is_cookie) {
            return ChainWord::Cookie;
        }
        let Some(marker) = words::marker(word) else { return ChainWord::Address(self.cpumode) };
        self.is_cookie = marker == "USER_DEFERRED";
        // The mode of what follows, by the one reading of markers that there is; behind a cookie, too.
        let bytes = [word, 1, 1].map(u64::to_le_bytes).concat();
        let follows = sample::frames(Array::new(&bytes, Endian::Little), self.cpumode).last();
        self.cpumode = follows.map_or(self.cpumode, |frame| frame.cpumode);
        ChainWord::Marker(marker)
    }
}

/// What is kept from record to record to resolve addresses.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    /// Where there are none, no symbol is looked for.
    pub(crate) symbols: Option<SymbolFinder>,
    /// The text of a place, while it is told.
    text: Vec<u8>,
    /// Where the words of a chain are.
    chain: Vec<WordPlace>,
}

/// What a word of a call chain is, and where.
#[derive(Debug, Clone, Copy)]
enum WordPlace {
    Marker(&'static str),
    At(DsoPlace),
    Unknown,
}

/// A visitor in front of another that is told of each address, behind it, where that is: a field of its name with `_at`,
/// and, where it is known, one with `_symbol`.
pub(crate) struct WithPlaces<'a> {
    v: &'a mut dyn FieldVisitor,
    context: AddressContext<'a>,
    resolver: &'a mut Resolver,
}

impl<'a> WithPlaces<'a> {
    pub(crate) fn new(
        v: &'a mut dyn FieldVisitor,
        context: AddressContext<'a>,
        resolver: &'a mut Resolver,
    ) -> Self {
        Self { v, context, resolver }
    }

    /// Tells a place.
    fn place(&mut self, name: &str, place: DsoPlace) -> bool {
        write_place(self.context.name(place), place.offset, &mut self.resolver.text);
        self.v.field(name, FieldKind::Number, FieldData::Text(self.resolver.text.as_bstr()));
        true
    }

    /// Tells the symbol at a place; false where it is not known.
    fn symbol(&mut self, name: &str, place: DsoPlace) -> bool {
        let Resolver { symbols: Some(symbols), text, .. } = &mut *self.resolver else { return false };
        let Some((symbol, inside)) = symbols.at(self.context.session, place) else { return false };
        write_place(symbol, inside, text);
        self.v.field(name, FieldKind::Number, FieldData::Text(text.as_bstr()));
        true
    }

    fn has_symbol(&mut self, place: DsoPlace) -> bool {
        let symbols = self.resolver.symbols.as_mut();
        symbols.is_some_and(|symbols| symbols.at(self.context.session, place).is_some())
    }

    /// Tells what the words of a chain are; `tell` tells it of a place, and returns whether it is known.
    fn chain(&mut self, name: &str, words: &[WordPlace], tell: fn(&mut Self, &str, DsoPlace) -> bool) {
        self.v.begin_list(name, words.len());
        for word in words {
            match *word {
                WordPlace::Marker(marker) => self.v.field("", FieldKind::Chain, FieldData::Word(marker)),
                WordPlace::At(place) if tell(self, "", place) => {}
                _ => self.v.field("", FieldKind::Number, FieldData::Word("?")),
            }
        }
        self.v.end_list();
    }
}

/// The names of the fields that are added behind one. Those of nearly all samples take no memory.
fn added_names(name: &str) -> [Cow<'static, str>; 2] {
    match name {
        "ip" => ["ip_at", "ip_symbol"].map(Cow::Borrowed),
        "callchain" => ["callchain_at", "callchain_symbol"].map(Cow::Borrowed),
        _ => [format!("{name}_at"), format!("{name}_symbol")].map(Cow::Owned),
    }
}

impl FieldVisitor for WithPlaces<'_> {
    fn field(&mut self, name: &str, kind: FieldKind, value: FieldData<'_>) {
        self.v.field(name, kind, value);
        match (kind, value) {
            (FieldKind::Address, FieldData::Unsigned(address)) if address != 0 && !name.is_empty() => {
                let [at, symbol] = added_names(name);
                match self.context.place(address, self.context.cpumode) {
                    Some(place) => {
                        self.place(&at, place);
                        self.symbol(&symbol, place);
                    }
                    None => self.v.field(&at, FieldKind::Number, FieldData::Word("?")),
                }
            }
            (FieldKind::Chain, FieldData::Words(words)) => {
                let [at, symbol] = added_names(name);
                let mut modes = ChainModes::new(self.context.cpumode);
                let mut chain = std::mem::take(&mut self.resolver.chain);
                chain.clear();
                chain.extend(words.iter().map(|word| match modes.next(word) {
                    ChainWord::Marker(marker) => WordPlace::Marker(marker),
                    ChainWord::Cookie => WordPlace::Unknown,
                    ChainWord::Address(cpumode) => {
                        self.context.place(word, cpumode).map_or(WordPlace::Unknown, WordPlace::At)
                    }
                }));
                self.chain(&at, &chain, Self::place);
                if chain.iter().any(|word| matches!(*word, WordPlace::At(place) if self.has_symbol(place))) {
                    self.chain(&symbol, &chain, Self::symbol);
                }
                self.resolver.chain = chain;
            }
            _ => {}
        }
    }

    fn begin_list(&mut self, name: &str, len: usize) {
        self.v.begin_list(name, len);
    }

    fn end_list(&mut self) {
        self.v.end_list();
    }

    fn begin_group(&mut self, name: &str) -> bool {
        self.v.begin_group(name)
    }

    fn end_group(&mut self) {
        self.v.end_group();
    }
}
