//! Where in a recording its counts and lengths stand. What each is of is written down by hand here, and not asked of
//! the layouts, which are what is tested.

use std::io::Cursor;

use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::{Endian, Feature, Misc, PerfFile, RawRecord, Record, RecordType, Sample, SampleFormat};
use perf_fuzz::cut;
use perf_session::evlist::Evlist;

/// A count, a length or an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// What it is.
    pub(crate) name: &'static str,
    /// Where it starts, in bytes from the recording's start.
    pub(crate) at: usize,
    /// Its bytes.
    pub(crate) width: usize,
}

impl Field {
    /// The recording with the field set to 0, 1, the largest that there is, and those near what it was.
    pub(crate) fn damaged(
        &self,
        recording: &[u8],
        endian: Endian,
    ) -> impl Iterator<Item = (u64, Vec<u8>)> + use<> {
        let Self { at, width, .. } = *self;
        let place = &recording[at..at + width];
        let was = match endian {
            Endian::Little => place.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)),
            Endian::Big => place.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        };
        let max = u64::MAX >> (64 - 8 * width);
        let values =
            [0, 1, max, max / 2 + 1, max / 8 + 1, was.wrapping_add(1) & max, was.wrapping_sub(1) & max];
        let recording = recording.to_vec();
        values.into_iter().map(move |value| {
            let mut damaged = recording.clone();
            let word = value.to_be_bytes();
            let mut bytes = word[8 - width..].to_vec();
            if endian == Endian::Little {
                bytes.reverse();
            }
            damaged[at..at + width].copy_from_slice(&bytes);
            (value, damaged)
        })
    }
}

/// The names of all that [`in_stream`] finds.
pub(crate) const IN_STREAMS: &[&str] = &[
    "attr size",
    "attrs of EVENT_DESC",
    "attr size of EVENT_DESC",
    "ids of EVENT_DESC",
    "name's length in EVENT_DESC",
    "length of a feature's text",
    "size of a map's build-id",
    "size of a build-id",
    "tracing data's size",
    "trace's size",
    "call chain's length",
    "raw data's size",
    "stack's size",
    "values of a group",
    "namespaces",
    "entries of an id index",
    "threads",
    "CPUs",
    "terms",
    "compressed bytes",
    "old instructions",
    "new instructions",
    "variables",
    "deferred call chain's length",
];

/// Fields at a fixed place in the record: type, name, offset and width in bytes.
const FIXED: &[(RecordType, &str, usize, usize)] = &[
    (RecordType::HEADER_ATTR, "attr size", 12, 4),
    (RecordType::BUILD_ID, "size of a build-id", 32, 1),
    (RecordType::TRACING_DATA, "tracing data's size", 8, 4),
    (RecordType::AUXTRACE, "trace's size", 8, 8),
    (RecordType::NAMESPACES, "namespaces", 16, 8),
    (RecordType::ID_INDEX, "entries of an id index", 8, 8),
    (RecordType::THREAD_MAP, "threads", 8, 8),
    (RecordType::CPU_MAP, "CPUs", 10, 2),
    (RecordType::STAT_CONFIG, "terms", 8, 8),
    (RecordType::COMPRESSED2, "compressed bytes", 8, 8),
    (RecordType::TEXT_POKE, "old instructions", 16, 2),
    (RecordType::TEXT_POKE, "new instructions", 18, 2),
    (RecordType::BPF_METADATA, "variables", 8 + 512, 8),
    (RecordType::CALLCHAIN_DEFERRED, "deferred call chain's length", 16, 8),
];

/// The records of a stream and where each starts.
fn records(stream: &[u8], endian: Endian) -> Vec<(usize, RawRecord<'_>)> {
    let mut at = PIPE_HEADER_SIZE;
    cut(&stream[at..], endian)
        .pieces
        .into_iter()
        .map(|piece| {
            let raw = RawRecord::first(piece, at as u64, endian).expect("a whole record");
            at += piece.len();
            (at - piece.len(), raw)
        })
        .collect()
}

/// The counts and lengths in the records of a pipe's stream.
pub(crate) fn in_stream(stream: &[u8], endian: Endian) -> Vec<Field> {
    let mut evlist = Evlist::default();
    let mut fields = Vec::new();
    for (start, raw) in records(stream, endian) {
        let mut add = |name, at: usize, width| fields.push(Field { name, at: start + at, width });
        for (_, name, at, width) in FIXED.iter().filter(|row| row.0 == raw.record_type()) {
            add(name, *at, *width);
        }
        match raw.record_type() {
            RecordType::HEADER_ATTR => {
                if let Ok(Record::HeaderAttr(event)) = raw.parse() {
                    evlist.add(event.attr, event.ids.0.iter());
                }
            }
            RecordType::MMAP2 if raw.misc().has(Misc::MMAP_BUILD_ID) => {
                add("size of a map's build-id", 40, 1);
            }
            RecordType::HEADER_FEATURE => {
                let number = endian.u64_at(raw.bytes, 8).and_then(|number| u32::try_from(number).ok());
                let feature = number.map(Feature).expect("a feature");
                in_feature(feature, &raw.bytes[16..], endian, &mut |name, at| add(name, 16 + at, 4));
            }
            RecordType::SAMPLE => {
                if let Some(evsel) = evlist.evsel(&raw) {
                    in_sample(&evsel.format, &raw, &mut add);
                }
            }
            _ => {}
        }
    }
    fields
}

/// The words in a feature that count or measure.
fn in_feature(feature: Feature, data: &[u8], endian: Endian, add: &mut dyn FnMut(&'static str, usize)) {
    let texts = [Feature::HOSTNAME, Feature::OSRELEASE, Feature::VERSION, Feature::ARCH, Feature::CPUID];
    if texts.contains(&feature) && data.len() >= 4 {
        add("length of a feature's text", 0);
    }
    if feature == Feature::EVENT_DESC && data.len() >= 8 {
        add("attrs of EVENT_DESC", 0);
        add("attr size of EVENT_DESC", 4);
        let attr_size = endian.u32_at(data, 4).and_then(|size| usize::try_from(size).ok());
        let behind = 8 + attr_size.expect("a size");
        if data.len() >= behind + 8 {
            add("ids of EVENT_DESC", behind);
            add("name's length in EVENT_DESC", behind + 4);
        }
    }
}

/// The counts in a sample, each behind the fields that stand before it.
fn in_sample(format: &SampleFormat, raw: &RawRecord<'_>, add: &mut dyn FnMut(&'static str, usize, usize)) {
    let Ok(whole) = Sample::parse(format, raw) else { return };
    let len = |part: &Sample<'_>| 8 + part.to_bytes(format, raw.endian).len();
    let Sample { identifier, ip, tid, time, addr, id, stream_id, cpu, period, .. } = whole;
    let fixed = Sample { identifier, ip, tid, time, addr, id, stream_id, cpu, period, ..Sample::default() };
    if whole.read.as_ref().is_some_and(|read| read.values.len() > 1) {
        add("values of a group", len(&fixed), 8);
    }
    let before_chain = Sample { read: whole.read.clone(), ..fixed };
    if whole.callchain.is_some() {
        add("call chain's length", len(&before_chain), 8);
    }
    let before_raw = Sample { callchain: whole.callchain, ..before_chain };
    if whole.raw.is_some() {
        add("raw data's size", len(&before_raw), 4);
    }
    let Sample { raw: data, branch_stack, regs_user, .. } = whole;
    if whole.stack_user.is_some() {
        add("stack's size", len(&Sample { raw: data, branch_stack, regs_user, ..before_raw }), 8);
    }
}

/// Where names stand: from their first byte to the end of the record, so far as it is theirs.
pub(crate) fn names(stream: &[u8], endian: Endian) -> Vec<(usize, usize)> {
    let name_at = |record_type| match record_type {
        RecordType::MMAP => Some(40),
        RecordType::MMAP2 => Some(72),
        RecordType::COMM | RecordType::CGROUP => Some(16),
        RecordType::BUILD_ID => Some(36),
        RecordType::KSYMBOL | RecordType::EVENT_UPDATE => Some(24),
        _ => None,
    };
    let records = records(stream, endian).into_iter();
    records
        .filter_map(|(start, raw)| Some((start + name_at(raw.record_type())?, start + raw.bytes.len())))
        .filter(|(from, to)| from < to)
        .collect()
}

/// The names of all that [`in_file`] finds.
pub(crate) const IN_FILES: &[&str] = &[
    "header's size",
    "attr entry's size",
    "attrs' offset",
    "attrs' size",
    "data's offset",
    "data's size",
    "event types' offset",
    "event types' size",
    "features",
    "attr size",
    "ids' offset",
    "ids' size",
    "feature's offset",
    "feature's size",
    "size of a table's entry",
    "size of a build-id",
    "size of a record",
    "attrs of EVENT_DESC",
    "attr size of EVENT_DESC",
    "ids of EVENT_DESC",
    "name's length in EVENT_DESC",
    "length of a feature's text",
];

/// The words of the header, in their order from byte 8 on.
const HEADER: [&str; 8] = [
    "header's size",
    "attr entry's size",
    "attrs' offset",
    "attrs' size",
    "data's offset",
    "data's size",
    "event types' offset",
    "event types' size",
];

/// The offsets, sizes and counts of a file.
pub(crate) fn in_file(file: &[u8], endian: Endian) -> Vec<Field> {
    let mut open = PerfFile::open(Cursor::new(file)).expect("a whole file");
    let usize = |value: u64| usize::try_from(value).expect("in memory");
    let mut fields = Vec::new();
    let mut add = |name, at, width| fields.push(Field { name, at, width });
    for (word, name) in HEADER.into_iter().enumerate() {
        add(name, 8 + 8 * word, 8);
    }
    (0..4).for_each(|word| add("features", 72 + 8 * word, 8));
    let words = open.header.words;
    let stride = usize(words.attr_size);
    for entry in (usize(words.attrs.offset)..usize(words.attrs.offset + words.attrs.size)).step_by(stride) {
        add("attr size", entry + 4, 4);
        add("ids' offset", entry + stride - 16, 8);
        add("ids' size", entry + stride - 8, 8);
    }
    let mut record = usize(words.data.offset);
    for piece in cut(&file[record..record + usize(words.data.size)], endian).pieces {
        add("size of a record", record + 6, 2);
        record += piece.len();
    }
    let mut place = usize(open.header.feature_table().expect("in memory"));
    for feature in open.header.features().collect::<Vec<_>>() {
        add("feature's offset", place, 8);
        add("feature's size", place + 8, 8);
        place += 16;
        let (offset, data) = open.feature_bytes(feature).expect("whole").expect("it is there");
        let offset = usize(offset);
        in_feature(feature, &data, endian, &mut |name, at| add(name, offset + at, 4));
        if feature == Feature::BUILD_ID {
            let mut entry = offset;
            for piece in cut(&data, endian).pieces {
                add("size of a table's entry", entry + 6, 2);
                add("size of a build-id", entry + 32, 1);
                entry += piece.len();
            }
        }
    }
    fields
}
