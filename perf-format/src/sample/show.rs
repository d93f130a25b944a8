//! A sample's fields as a visitor is told them: those that only the event's attr, the architecture or the tracepoint's
//! format explains.

use bstr::ByteSlice as _;

use super::fields::Branch;
use super::{
    Arch, AuxData, BranchFlags, BranchPrivilege, BranchSpeculation, BranchStack, DataSource, Raw, ReadValues,
    Regs, StackDump, WeightStruct,
};
use crate::tracepoint::{EventFormat, FieldValue};
use crate::visit::{FieldData, FieldKind, FieldVisitor, VisitField, VisitFields, visit_flags};

/// What explains the fields of an event's samples.
#[derive(Debug, Clone, Copy, Default)]
pub struct SampleContext<'a> {
    /// The architecture, which names the registers. Without it they are numbers.
    pub arch: Option<Arch>,
    /// The format of a tracepoint. Without it RAW data is bytes.
    pub tracepoint: Option<&'a EventFormat>,
}

/// A field of a sample: most need no explanation.
pub(super) trait VisitSampleField {
    fn visit_in(
        &self,
        context: &SampleContext<'_>,
        name: &'static str,
        kind: FieldKind,
        v: &mut dyn FieldVisitor,
    );
}

impl<T: VisitField> VisitSampleField for T {
    fn visit_in(&self, _: &SampleContext<'_>, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        self.visit_as(name, kind, v);
    }
}

fn number(name: &str, number: impl Into<u64>, v: &mut dyn FieldVisitor) {
    v.field(name, FieldKind::Number, FieldData::Unsigned(number.into()));
}

/// Flags, where any is set.
fn flags<F: bitflags::Flags<Bits: Into<u64>>>(name: &str, flags: &F, v: &mut dyn FieldVisitor) {
    if flags.bits().into() != 0 {
        visit_flags(name, FieldKind::Number, flags, v);
    }
}

/// `abi`, and a group of the registers by their names.
impl<const USER: bool> VisitSampleField for Regs<'_, USER> {
    fn visit_in(
        &self,
        context: &SampleContext<'_>,
        name: &'static str,
        _: FieldKind,
        v: &mut dyn FieldVisitor,
    ) {
        if v.begin_group(name) {
            number("abi", self.abi, v);
            let numbers = (0..u64::BITS).filter(|bit| self.mask >> bit & 1 != 0);
            let mut last = None;
            for (bit, value) in numbers.zip(self.regs.iter()) {
                let value = FieldData::Unsigned(value);
                let name = context.arch.and_then(|arch| arch.register_name(bit));
                match name {
                    // The high word of an XMM register.
                    Some(name) if last == Some(name) => {
                        v.field(&format!("{name}_high"), FieldKind::Register, value);
                    }
                    Some(name) => v.field(name, FieldKind::Register, value),
                    None => v.field(&format!("reg{bit}"), FieldKind::Register, value),
                }
                last = name;
            }
        }
        v.end_group();
    }
}

/// A tracepoint's fields by their names, otherwise the bytes.
impl VisitSampleField for Raw<'_> {
    fn visit_in(
        &self,
        context: &SampleContext<'_>,
        name: &'static str,
        _: FieldKind,
        v: &mut dyn FieldVisitor,
    ) {
        let Some(format) = context.tracepoint else {
            return v.field(name, FieldKind::Memory, FieldData::Bytes(self.0));
        };
        if v.begin_group(name) {
            for field in &format.fields {
                let Some(value) = field.value(self.0) else { continue };
                let Ok(name) = field.name.to_str() else { continue };
                visit_value(name, kind_of(name, field.type_text.ends_with(b"*")), value, v);
            }
        }
        v.end_group();
    }
}

/// What a tracepoint's field means, as far as its name or its type tells.
fn kind_of(name: &str, is_pointer: bool) -> FieldKind {
    let is = |last: &str| name.rsplit('_').next() == Some(last);
    match name {
        _ if is("pid") || is("tid") || is("tgid") => FieldKind::Tid,
        _ if is("cpu") => FieldKind::Cpu,
        "ip" | "addr" | "address" | "call_site" | "caller_ip" => FieldKind::Address,
        _ if is_pointer => FieldKind::Address,
        _ => FieldKind::Number,
    }
}

fn visit_value(name: &str, kind: FieldKind, value: FieldValue<'_>, v: &mut dyn FieldVisitor) {
    match value {
        FieldValue::Signed(number) => v.field(name, kind, FieldData::Signed(number)),
        FieldValue::Unsigned(number) => v.field(name, kind, FieldData::Unsigned(number)),
        FieldValue::Text(text) => v.field(name, kind, FieldData::Text(text)),
        FieldValue::Array(numbers) => {
            v.begin_list(name, numbers.len());
            numbers.iter().for_each(|number| visit_value("", kind, number, v));
            v.end_list();
        }
        FieldValue::Bytes(bytes) => v.field(name, kind, FieldData::Bytes(bytes)),
    }
}

impl VisitField for AuxData<'_> {
    fn visit_as(&self, name: &'static str, _: FieldKind, v: &mut dyn FieldVisitor) {
        v.field(name, FieldKind::Number, FieldData::Bytes(self.0));
    }
}

impl VisitField for StackDump<'_> {
    fn visit_as(&self, name: &'static str, _: FieldKind, v: &mut dyn FieldVisitor) {
        if v.begin_group(name) {
            number("size", self.bytes.len() as u64, v);
            if let Some(size) = self.dyn_size {
                number("dyn_size", size, v);
            }
            v.field("data", FieldKind::Memory, FieldData::Bytes(self.bytes));
        }
        v.end_group();
    }
}

impl VisitField for WeightStruct {
    fn visit_as(&self, name: &'static str, _: FieldKind, v: &mut dyn FieldVisitor) {
        if v.begin_group(name) {
            number("var1_dw", self.var1, v);
            number("var2_w", self.var2, v);
            number("var3_w", self.var3, v);
        }
        v.end_group();
    }
}

/// The word, and what of its bit-fields is not 0.
impl VisitField for DataSource {
    fn visit_as(&self, name: &'static str, _: FieldKind, v: &mut dyn FieldVisitor) {
        if v.begin_group(name) {
            v.field("val", FieldKind::Hex, FieldData::Unsigned(self.0));
            flags("mem_op", &self.op(), v);
            flags("mem_lvl", &self.levels(), v);
            if let Some(level) = self.level() {
                v.field("mem_lvl_num", FieldKind::Number, FieldData::Word(&format!("{level:?}")));
            }
            if self.is_remote() {
                number("mem_remote", 1u64, v);
            }
            flags("mem_snoop", &self.snoop(), v);
            flags("mem_lock", &self.lock(), v);
            flags("mem_dtlb", &self.tlb(), v);
            flags("mem_blk", &self.blocked(), v);
            if let Some(hops) = self.hops() {
                number("mem_hops", hops + 1, v);
            }
            if self.region() != 0 {
                number("mem_region", self.region(), v);
            }
        }
        v.end_group();
    }
}

/// The bit-fields of `struct perf_branch_entry` that are not 0.
impl VisitField for BranchFlags {
    fn visit_as(&self, _: &'static str, _: FieldKind, v: &mut dyn FieldVisitor) {
        let bits = [
            ("mispred", self.is_mispredicted()),
            ("predicted", self.is_predicted()),
            ("in_tx", self.is_in_transaction()),
            ("abort", self.is_abort()),
        ];
        bits.iter().filter(|(_, is_set)| *is_set).for_each(|(name, _)| number(name, 1u64, v));
        if self.cycles() != 0 {
            number("cycles", self.cycles(), v);
        }
        let kind = self.kind().to_string();
        if kind != "N/A" {
            v.field("type", FieldKind::Number, FieldData::Word(&kind));
        }
        match self.speculation() {
            BranchSpeculation::Unknown => {}
            speculation => {
                v.field("spec", FieldKind::Number, FieldData::Word(&format!("{speculation:?}")));
            }
        }
        match self.privilege() {
            BranchPrivilege::Unknown => {}
            privilege => v.field("priv", FieldKind::Number, FieldData::Word(&format!("{privilege:?}"))),
        }
    }
}

impl VisitField for BranchStack<'_> {
    fn visit_as(&self, name: &'static str, _: FieldKind, v: &mut dyn FieldVisitor) {
        if v.begin_group(name) {
            if let Some(index) = self.hw_idx {
                v.field("hw_idx", FieldKind::Hex, FieldData::Unsigned(index));
            }
            v.begin_list("entries", self.entries.len());
            for branch in self.entries.iter() {
                if v.begin_group("") {
                    Branch::visit(&branch, v);
                }
                v.end_group();
            }
            v.end_list();
            self.counters.visit_as("counters", FieldKind::Hex, v);
        }
        v.end_group();
    }
}

/// `value`, or `values` where there are several, and what `read_format` brought beside them.
impl VisitFields for ReadValues {
    fn visit(&self, v: &mut dyn FieldVisitor) {
        let time = |name, time: Option<u64>, v: &mut dyn FieldVisitor| {
            if let Some(time) = time {
                number(name, time, v);
            }
        };
        time("time_enabled", self.time_enabled, v);
        time("time_running", self.time_running, v);
        v.begin_list("values", self.values.len());
        for value in &self.values {
            if v.begin_group("") {
                number("value", value.value, v);
                value.id.visit_as("id", FieldKind::EventId, v);
                value.lost.visit_as("lost", FieldKind::Number, v);
            }
            v.end_group();
        }
        v.end_list();
    }
}

impl VisitField for ReadValues {
    fn visit_as(&self, name: &'static str, _: FieldKind, v: &mut dyn FieldVisitor) {
        if v.begin_group(name) {
            self.visit(v);
        }
        v.end_group();
    }
}
