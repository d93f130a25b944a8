//! The fields of an attr: those that are not 0, by the names that `struct perf_event_attr` has for them.

use perf_format::attr::AttrFlags;
use perf_format::{Attr, FieldData, FieldKind, FieldVisitor, VisitFields as _};

/// Tells the fields of an attr that are not 0.
pub(crate) fn visit_attr(attr: &Attr, v: &mut dyn FieldVisitor) {
    attr.visit(&mut NamedAsInC { attr, v });
}

/// Renames what is of unions and of bit-fields in C, and drops zeros.
struct NamedAsInC<'a> {
    attr: &'a Attr,
    v: &'a mut dyn FieldVisitor,
}

impl NamedAsInC<'_> {
    fn flags(&mut self, names: &[&str], rest: u64) {
        let is_precise = |name: &&str| name.starts_with("PRECISE_IP");
        let lower: Vec<_> =
            names.iter().filter(|name| !is_precise(name)).map(|name| name.to_lowercase()).collect();
        let lower: Vec<_> = lower.iter().map(String::as_str).collect();
        self.v.field("flags", FieldKind::Number, FieldData::Flags(&lower, rest));
        let precise_ip = [(AttrFlags::PRECISE_IP_LOW, 1), (AttrFlags::PRECISE_IP_HIGH, 2)];
        let precise_ip: u64 =
            precise_ip.iter().filter(|(flag, _)| self.attr.has(*flag)).map(|(_, bit)| bit).sum();
        if precise_ip != 0 {
            self.v.field("precise_ip", FieldKind::Number, FieldData::Unsigned(precise_ip));
        }
    }
}

impl FieldVisitor for NamedAsInC<'_> {
    fn field(&mut self, name: &str, kind: FieldKind, value: FieldData<'_>) {
        let name = match name {
            "sample_period_or_freq" if self.attr.has(AttrFlags::FREQ) => "sample_freq",
            "sample_period_or_freq" => "sample_period",
            "wakeup_events" if self.attr.has(AttrFlags::WATERMARK) => "wakeup_watermark",
            name => name,
        };
        match value {
            FieldData::Unsigned(0) if name != "type" => {}
            FieldData::Signed(0) if !self.attr.has(AttrFlags::USE_CLOCKID) => {}
            FieldData::Flags([], 0) => {}
            FieldData::Flags(names, rest) if name == "flags" => self.flags(names, rest),
            value => self.v.field(name, kind, value),
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
