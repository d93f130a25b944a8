//! The features that perf-format gives as bytes: BPF programs, their types, and the scheduling domains.

use bstr::ByteSlice as _;
use perf_format::{Endian, Feature, FieldData, FieldKind, FieldVisitor};

use super::{number, text};

/// Tells what such a feature says; false, and nothing is told, where it is another or cannot be read.
pub(super) fn visit(feature: Feature, data: &[u8], endian: Endian, v: &mut dyn FieldVisitor) -> bool {
    // Once to see that all of it can be read, since what was told is written.
    let tell = match feature {
        Feature::BPF_PROG_INFO => programs,
        Feature::BPF_BTF => types,
        Feature::CPU_DOMAIN_INFO => domains,
        _ => return false,
    };
    let parts = || Parts { rest: data, endian };
    tell(&mut parts(), &mut Untold).is_some() && tell(&mut parts(), v).is_some()
}

/// What has not been read of a feature.
struct Parts<'d> {
    rest: &'d [u8],
    endian: Endian,
}

impl<'d> Parts<'d> {
    fn bytes(&mut self, len: usize) -> Option<&'d [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes(4).and_then(|bytes| self.endian.u32_at(bytes, 0))
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes(8).and_then(|bytes| self.endian.u64_at(bytes, 0))
    }

    fn len(&mut self) -> Option<usize> {
        self.u32().and_then(|len| len.try_into().ok())
    }

    /// A string behind its length, which counts padding.
    fn text(&mut self, name: &str, v: &mut dyn FieldVisitor) -> Option<()> {
        let len = self.len()?;
        let bytes = self.bytes(len)?;
        let end = bytes.find_byte(0).unwrap_or(bytes.len());
        text(name, bytes.get(..end)?.as_bstr(), v);
        Some(())
    }

    /// So many groups as the count in front of them says.
    fn groups(
        &mut self,
        name: &str,
        v: &mut dyn FieldVisitor,
        mut fields: impl FnMut(&mut Self, &mut dyn FieldVisitor) -> Option<()>,
    ) -> Option<()> {
        let count = self.len()?;
        // None is shorter than a word.
        if count > self.rest.len() / 4 {
            return None;
        }
        v.begin_list(name, count);
        let all = (0..count).try_for_each(|_| {
            // Also where it is not shown, since what follows stands behind it.
            v.begin_group("");
            let told = fields(self, v);
            v.end_group();
            told
        });
        v.end_list();
        all
    }
}

/// `struct perf_bpil` behind its count: of `struct bpf_prog_info` what tells programs apart, and the rest as bytes.
fn programs(parts: &mut Parts<'_>, v: &mut dyn FieldVisitor) -> Option<()> {
    parts.groups("programs", v, |parts, v| {
        let (info_len, data_len) = (parts.len()?, parts.len()?);
        v.field("arrays", FieldKind::Hex, FieldData::Unsigned(parts.u64()?));
        let info = parts.bytes(info_len)?;
        let mut fields = Parts { rest: info, endian: parts.endian };
        // Those that a kernel knew of when it had no more are all there or not.
        if info_len >= 80 {
            number("type", fields.u32()?, v);
            number("id", fields.u32()?, v);
            v.field("tag", FieldKind::Number, FieldData::Bytes(fields.bytes(8)?));
            number("jited_prog_len", fields.u32()?, v);
            number("xlated_prog_len", fields.u32()?, v);
            fields.bytes(16)?;
            v.field("load_time", FieldKind::Time, FieldData::Unsigned(fields.u64()?));
            number("created_by_uid", fields.u32()?, v);
            number("nr_map_ids", fields.u32()?, v);
            fields.bytes(8)?;
            let name = fields.bytes(16)?;
            text("name", name.split(|byte| *byte == 0).next()?.as_bstr(), v);
        }
        number("info_len", u32::try_from(info_len).ok()?, v);
        v.field("data", FieldKind::Memory, FieldData::Bytes(parts.bytes(data_len)?));
        Some(())
    })
}

fn types(parts: &mut Parts<'_>, v: &mut dyn FieldVisitor) -> Option<()> {
    parts.groups("types", v, |parts, v| {
        number("id", parts.u32()?, v);
        let len = parts.len()?;
        v.field("data", FieldKind::Number, FieldData::Bytes(parts.bytes(len)?));
        Some(())
    })
}

/// The CPUs up to the end, each with its domains; from version 17 of /proc/schedstat on, these have names.
fn domains(parts: &mut Parts<'_>, v: &mut dyn FieldVisitor) -> Option<()> {
    let version = parts.u32()?;
    number("schedstat_version", version, v);
    number("max_sched_domains", parts.u32()?, v);
    v.begin_list("cpus", 0);
    let mut all = Some(());
    while all.is_some() && !parts.rest.is_empty() {
        v.begin_group("");
        all = domains_of_cpu(version, parts, v);
        v.end_group();
    }
    v.end_list();
    all
}

fn domains_of_cpu(version: u32, parts: &mut Parts<'_>, v: &mut dyn FieldVisitor) -> Option<()> {
    v.field("cpu", FieldKind::Cpu, FieldData::Unsigned(parts.u32()?.into()));
    parts.groups("domains", v, |parts, v| {
        number("domain", parts.u32()?, v);
        if version >= 17 {
            parts.text("name", v)?;
        }
        parts.text("cpumask", v)?;
        parts.text("cpulist", v)
    })
}

/// Writes nothing.
struct Untold;

impl FieldVisitor for Untold {
    fn field(&mut self, _: &str, _: FieldKind, _: FieldData<'_>) {}

    fn begin_list(&mut self, _: &str, _: usize) {}

    fn end_list(&mut self) {}

    fn begin_group(&mut self, _: &str) -> bool {
        true
    }

    fn end_group(&mut self) {}
}
