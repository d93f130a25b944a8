//! How the samples of an event are laid out before and after their stacks are converted, and its attr with them.

use perf_format::attr::{Attr, AttrFlags, SampleType};
use perf_format::feature::change_attrs;
use perf_format::record::HeaderFeature;
use perf_format::{Endian, Feature, Preamble, RawRecord, RecordHeader, RecordType, SampleFormat};

/// What a stack is unwound from.
const STACK: SampleType = SampleType::REGS_USER.union(SampleType::STACK_USER);

/// The fields of a sample behind the stack, each of a word but the last.
const BEHIND: SampleType = SampleType::from_bits_retain(
    SampleType::WEIGHT.bits()
        | SampleType::WEIGHT_STRUCT.bits()
        | SampleType::DATA_SRC.bits()
        | SampleType::TRANSACTION.bits()
        | SampleType::REGS_INTR.bits()
        | SampleType::PHYS_ADDR.bits()
        | SampleType::CGROUP.bits()
        | SampleType::DATA_PAGE_SIZE.bits()
        | SampleType::CODE_PAGE_SIZE.bits()
        | SampleType::AUX.bits(),
);

/// The layouts of an event's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StackLayout {
    /// As they were recorded.
    pub(super) recorded: SampleFormat,
    /// As they are written.
    pub(super) converted: SampleFormat,
    /// What stands in front of the registers.
    pub(super) head: SampleFormat,
    /// Whether the registers and the stack stay.
    pub(super) keeps_stacks: bool,
    /// How many words the fields behind the stack have at the least.
    pub(super) words_behind: usize,
}

/// Whether samples of an event have what a stack is unwound from.
fn has_stack(attr: &Attr) -> bool {
    attr.fields.sample_type.contains(STACK)
}

/// The attr of an event whose stacks were converted; `None` where it has none.
fn converted(attr: &Attr, keep_stacks: bool) -> Option<Attr> {
    if !has_stack(attr) {
        return None;
    }
    let mut attr = attr.clone();
    let fields = &mut attr.fields;
    fields.sample_type.insert(SampleType::CALLCHAIN);
    fields.flags.remove(AttrFlags::EXCLUDE_CALLCHAIN_USER);
    if !keep_stacks {
        fields.sample_type.remove(STACK);
        fields.sample_regs_user = 0;
        fields.sample_stack_user = 0;
    }
    Some(attr)
}

impl StackLayout {
    /// The layouts of an event; `None` where its samples have no stacks.
    pub(super) fn of(attr: &Attr, keep_stacks: bool) -> Option<Self> {
        let converted = SampleFormat::new(&converted(attr, keep_stacks)?);
        let mut head = attr.clone();
        head.fields.sample_type.remove(STACK | BEHIND);
        let behind = attr.fields.sample_type & BEHIND;
        Some(Self {
            recorded: SampleFormat::new(attr),
            converted,
            head: SampleFormat::new(&head),
            keeps_stacks: keep_stacks,
            words_behind: behind.bits().count_ones() as usize,
        })
    }
}

/// Changes an attr where it stands.
fn convert_attr(bytes: &mut [u8], endian: Endian, keep_stacks: bool) {
    let converted = Attr::parse(bytes, endian).ok().and_then(|attr| converted(&attr, keep_stacks));
    if let Some(converted) = converted.map(|attr| attr.to_bytes(endian))
        && let Some(place) = bytes.get_mut(..converted.len())
    {
        place.copy_from_slice(&converted);
    }
}

/// The bytes of a HEADER_ATTR or HEADER_FEATURE record as it is written.
pub(super) fn convert_header_record(record: &RawRecord<'_>, keep_stacks: bool) -> Vec<u8> {
    let mut bytes = record.bytes.to_vec();
    let Some(body) = bytes.get_mut(RecordHeader::SIZE..) else { return bytes };
    match record.parse_as::<HeaderFeature<'_>>() {
        _ if record.record_type() == RecordType::HEADER_ATTR => {
            convert_attr(body, record.endian, keep_stacks);
        }
        Ok(feature) if feature.feat_id == u64::from(Feature::EVENT_DESC.0) => {
            let at = body.len() - feature.data.len();
            let data = body.get_mut(at..).unwrap_or_default();
            change_attrs(data, record.endian, |attr| convert_attr(attr, record.endian, keep_stacks));
        }
        _ => {}
    }
    bytes
}

/// Changes the events of a preamble.
pub(super) fn convert_preamble(preamble: &mut Preamble, keep_stacks: bool) {
    let endian = preamble.endian;
    for event in &mut preamble.events {
        convert_attr(&mut event.attr, endian, keep_stacks);
    }
    if let Some(described) = preamble.features.get_mut(&Feature::EVENT_DESC) {
        change_attrs(described, endian, |attr| convert_attr(attr, endian, keep_stacks));
    }
}
