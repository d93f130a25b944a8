//! BPF_METADATA: variables that describe a BPF program.

use crate::codec::{Array, Codec, Decoder, Encoder, Fixed, Problem, layout};
use crate::visit::{FieldKind, FieldVisitor, VisitField as _, VisitFields};

layout! {
    /// `PERF_RECORD_BPF_METADATA`, `struct perf_record_bpf_metadata` (Linux 6.17).
    pub struct BpfMetadata<'a> {
        /// The program's name, filled up with NULs.
        pub prog_name: &'a [u8; 512] as Text,
        /// Its variables.
        pub entries: Array<'a, BpfMetadataEntry>,
    }
}

/// `struct perf_record_bpf_metadata_entry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BpfMetadataEntry {
    /// The variable, filled up with NULs.
    pub key: [u8; 64],
    /// Its value, filled up with NULs.
    pub value: [u8; 256],
}

impl Codec<'_> for BpfMetadataEntry {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
        Ok(Self { key: d.get()?, value: d.get()? })
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.put(&self.key);
        e.put(&self.value);
    }
}

impl Fixed for BpfMetadataEntry {
    const SIZE: usize = 64 + 256;
}

impl VisitFields for BpfMetadataEntry {
    fn visit(&self, v: &mut dyn FieldVisitor) {
        self.key.visit_as("key", FieldKind::Text, v);
        self.value.visit_as("value", FieldKind::Text, v);
    }
}
