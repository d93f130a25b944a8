//! `dump` and `diff`: lines out of anything that starts as perf data does.

use std::io::Cursor;

use bstr::ByteSlice as _;
use perf_dump::{DiffOptions, DumpOptions, Dumper, StableRules, diff as compare, dump_lines};
use perf_format::PipeStream;

use crate::FuzzPieces;

/// So much may be behind the width at which lists and texts are cut: what is neither.
const BEHIND_THE_WIDTH: usize = 1 << 14;

fn dumped(data: &[u8], options: DumpOptions) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    Dumper::open(Cursor::new(data), options).ok()?.write(&mut out).expect("memory can be written");
    Some(out)
}

fn options(json: bool) -> DumpOptions {
    let mut options = DumpOptions::default();
    options.json = json;
    options.max_width = 1 << 10;
    options
}

/// The text is lines that no terminal obeys, and is as wide as it may be; JSON has as many lines, each of them an object; any
/// split into reads gives the same; whatever rules are asked for, there are as many records.
pub fn dump(data: &[u8]) {
    let Some(text) = dumped(data, options(false)) else { return };
    assert!(text.iter().all(|byte| *byte == b'\n' || !byte.is_ascii_control()), "a terminal may obey it");
    let text = String::from_utf8(text).expect("text");
    let lines = text.lines().count();
    assert!(text.lines().all(|line| line.len() < options(false).max_width + BEHIND_THE_WIDTH));
    let json = dumped(data, options(true)).expect("it is dumped as text");
    let json = String::from_utf8(json).expect("text");
    assert_eq!(json.lines().count(), lines);
    for line in json.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("a JSON object");
        assert!(object["record"].is_string() && object["fields"].is_object(), "{line}");
    }
    // The one rule that leaves records out.
    let mut all_but_rounds = StableRules::default();
    all_but_rounds.rounds = false;
    for rules in [None, Some(all_but_rounds), Some(StableRules::none())] {
        let mut options = options(false);
        options.resolve = rules.is_none();
        options.stable = rules;
        let other = dumped(data, options).expect("it is dumped as text");
        assert_eq!(String::from_utf8(other).expect("text").lines().count(), lines);
    }
    if let Ok(stream) = PipeStream::open(FuzzPieces::of(data)) {
        let mut in_pieces = Vec::new();
        Dumper::from_pipe(stream, options(false)).write(&mut in_pieces).expect("memory can be written");
        assert_eq!(String::from_utf8(in_pieces).expect("text"), text);
    }
}

/// Whether a dump of it ends with an error.
#[must_use]
pub fn is_dumped_with_an_error(data: &[u8]) -> bool {
    Dumper::open(Cursor::new(data), options(false)).map_or(true, |mut dump| {
        dump.write(&mut std::io::sink()).expect("a sink can be written");
        dump.damage().is_some()
    })
}

/// A dump ends where inject does, with the same error: so its place is told, too. Compressed records are looked into by a
/// dump alone. What is wrong is in the text, too. `error` is what inject says.
///
/// # Panics
/// Where the law is broken.
pub fn dumps_as_far_as_inject(data: &[u8], error: Option<&str>) {
    let dumped = || {
        let mut dump = Dumper::open(Cursor::new(data), options(false))?;
        let mut out = Vec::new();
        dump.write(&mut out).expect("memory can be written");
        Ok::<_, perf_format::Error>((out, dump.take_damage()))
    };
    let (text, damage) = match dumped() {
        Ok((text, damage)) => (Some(text), damage),
        Err(error) => (None, Some(error)),
    };
    match (error, &damage) {
        (_, Some(perf_format::Error::Inflate { .. })) => {}
        (error, damage) => assert_eq!(damage.as_ref().map(ToString::to_string).as_deref(), error),
    }
    let Some(text) = text else { return };
    assert!(damage.is_none() || text.contains_str("error="), "{damage:?}");
}

/// A dump is the same as itself; what is removed and added leads from one dump to the other, which has a byte more or less
/// at some places.
pub fn diff(data: &[u8]) {
    let mut other = data.to_vec();
    for (at, byte) in data.iter().enumerate().filter(|(at, _)| at % 97 == 31) {
        if byte % 5 == 0
            && let Some(place) = other.get_mut(at)
        {
            *place = place.wrapping_add(1);
        }
    }
    let lines = |data: &[u8]| {
        let mut options = options(false);
        options.offsets = false;
        let out = dumped(data, options)?;
        i64::try_from(out.iter().filter(|byte| **byte == b'\n').count()).ok()
    };
    let (Some(lines_of_a), Some(lines_of_b)) = (lines(data), lines(&other)) else { return };
    for (b, lines_of_b) in [(data, lines_of_a), (&other, lines_of_b)] {
        let [mut one, mut two] =
            [data, b].map(|data| Dumper::open(Cursor::new(data), options(false)).expect("it was dumped"));
        let mut out = Vec::new();
        let summary = compare(dump_lines(&mut one), dump_lines(&mut two), &DiffOptions::default(), &mut out)
            .expect("memory can be written");
        assert_eq!(summary.is_same(), out.is_empty());
        let counts = summary.by_type.values();
        let more: i64 = counts.map(|count| count.added.cast_signed() - count.removed.cast_signed()).sum();
        assert_eq!(lines_of_a + more, lines_of_b);
        assert!(b != data || summary.is_same());
    }
}
