//! CPU_MAP: a set of CPUs, in one of three encodings.

use crate::codec::{Array, Decoder, Encoder, FieldError, Layout, Problem};
use crate::visit::{FieldData, FieldKind, FieldVisitor, VisitField as _, VisitFields};

/// `PERF_RECORD_CPU_MAP`, `struct perf_record_cpu_map` and its `struct perf_record_cpu_map_data`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CpuMap<'a> {
    /// `PERF_CPU_MAP__CPUS`: each CPU by number, 65535 for any.
    Cpus(Array<'a, u16>, &'a [u8]),
    /// `PERF_CPU_MAP__MASK` of 32-bit longs: bit n is CPU n.
    Mask32(Array<'a, u32>, &'a [u8]),
    /// `PERF_CPU_MAP__MASK` of 64-bit longs. They stand at an odd multiple of two: the body is packed.
    Mask64(Array<'a, u64>, &'a [u8]),
    /// `PERF_CPU_MAP__RANGE_CPUS`.
    Range {
        /// Not 0: any CPU is in it too.
        any_cpu: u8,
        /// Padding.
        pad: u8,
        /// The first CPU.
        start: u16,
        /// The last CPU.
        end: u16,
        /// The bytes behind the range.
        rest: &'a [u8],
    },
    /// An encoding not known here.
    Other(u16, &'a [u8]),
}

impl<'a> Layout<'a> for CpuMap<'a> {
    fn read(d: &mut Decoder<'a>) -> Result<Self, FieldError> {
        match d.field::<u16>("type")? {
            0 => {
                let nr: u16 = d.field("nr")?;
                Ok(Self::Cpus(counted(d, nr)?, d.field("padding")?))
            }
            1 => {
                let nr: u16 = d.field("nr")?;
                match d.field::<u16>("long_size")? {
                    4 => Ok(Self::Mask32(counted(d, nr)?, d.field("padding")?)),
                    8 => {
                        d.field::<[u8; 4]>("pad")?;
                        Ok(Self::Mask64(counted(d, nr)?, d.field("padding")?))
                    }
                    size => Err(FieldError { field: "long_size", problem: Problem::Size(size.into()) }),
                }
            }
            2 => Ok(Self::Range {
                any_cpu: d.field("any_cpu")?,
                pad: d.field("pad")?,
                start: d.field("start_cpu")?,
                end: d.field("end_cpu")?,
                rest: d.field("padding")?,
            }),
            other => Ok(Self::Other(other, d.field("data")?)),
        }
    }

    fn write(&self, e: &mut Encoder<'_>) {
        let count = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        match self {
            Self::Cpus(cpus, rest) => {
                e.put(&0u16);
                e.put(&count(cpus.len()));
                cpus.encode_elements(e);
                e.bytes(rest);
            }
            Self::Mask32(mask, rest) => {
                e.put(&1u16);
                e.put(&count(mask.len()));
                e.put(&4u16);
                mask.encode_elements(e);
                e.bytes(rest);
            }
            Self::Mask64(mask, rest) => {
                e.put(&1u16);
                e.put(&count(mask.len()));
                e.put(&8u16);
                e.bytes(&[0; 4]);
                mask.encode_elements(e);
                e.bytes(rest);
            }
            Self::Range { any_cpu, pad, start, end, rest } => {
                e.put(&2u16);
                e.bytes(&[*any_cpu, *pad]);
                e.put(start);
                e.put(end);
                e.bytes(rest);
            }
            Self::Other(kind, data) => {
                e.put(kind);
                e.bytes(data);
            }
        }
    }
}

fn counted<'a, T: crate::codec::Fixed>(d: &mut Decoder<'a>, nr: u16) -> Result<Array<'a, T>, FieldError> {
    Array::counted(d, nr.into()).map_err(|problem| FieldError { field: "nr", problem })
}

impl VisitFields for CpuMap<'_> {
    fn visit(&self, v: &mut dyn FieldVisitor) {
        let word = |v: &mut dyn FieldVisitor, word| v.field("type", FieldKind::Number, FieldData::Word(word));
        let rest = match self {
            Self::Cpus(cpus, rest) => {
                word(v, "CPUS");
                cpus.visit_as("cpu", FieldKind::Cpu, v);
                rest
            }
            Self::Mask32(mask, rest) => {
                word(v, "MASK");
                4u16.visit_as("long_size", FieldKind::Number, v);
                mask.visit_as("mask", FieldKind::Hex, v);
                rest
            }
            Self::Mask64(mask, rest) => {
                word(v, "MASK");
                8u16.visit_as("long_size", FieldKind::Number, v);
                mask.visit_as("mask", FieldKind::Hex, v);
                rest
            }
            Self::Range { any_cpu, pad, start, end, rest } => {
                word(v, "RANGE_CPUS");
                any_cpu.visit_as("any_cpu", FieldKind::Number, v);
                pad.visit_as("__pad", FieldKind::Padding, v);
                start.visit_as("start_cpu", FieldKind::Cpu, v);
                end.visit_as("end_cpu", FieldKind::Cpu, v);
                rest
            }
            Self::Other(kind, data) => {
                kind.visit_as("type", FieldKind::Number, v);
                return data.visit_as("data", FieldKind::Number, v);
            }
        };
        rest.visit_as("padding", FieldKind::Padding, v);
    }
}
