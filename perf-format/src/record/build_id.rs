//! BUILD_ID: the build-id of a DSO, by name. In a file's header table the same layout stands with type 0.

use bstr::BStr;

use crate::BuildId;
use crate::codec::{Codec, Decoder, Encoder, Problem, layout};
use crate::misc::Misc;
use crate::visit::{FieldData, FieldKind, FieldVisitor, VisitField};

layout! {
    /// `PERF_RECORD_HEADER_BUILD_ID`, `struct perf_record_header_build_id`.
    pub struct BuildIdRecord<'a> {
        /// The machine: -1 for the host, a guest's own pid otherwise.
        pub pid: i32 as Pid,
        /// The id and its size.
        pub build_id: SizedBuildId,
        /// The DSO's long name.
        pub filename: &'a BStr,
    }
}

/// The pid that stands for the host in BUILD_ID records.
pub const HOST_PID: i32 = -1;

/// 20 id bytes, a size byte and three of padding. Without misc bit 15 (`PERF_RECORD_MISC_BUILD_ID_SIZE`) the size byte
/// has no meaning and the id has 20 bytes, as it has where the size is larger; records written here always have the bit.
/// `None` where the bytes are zeros, or the size is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizedBuildId(pub Option<BuildId>);

impl Codec<'_> for SizedBuildId {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Problem> {
        let bytes = d.array::<{ BuildId::MAX }>()?;
        let [size, ..] = d.array::<4>()?;
        let size = if d.misc.has(Misc::BUILD_ID_SIZE) { usize::from(size) } else { BuildId::MAX };
        Ok(Self(bytes.get(..size.min(BuildId::MAX)).and_then(|bytes| BuildId::new(bytes).ok())))
    }

    fn encode(&self, e: &mut Encoder<'_>) {
        e.misc = e.misc.with(Misc::BUILD_ID_SIZE, true);
        e.bytes(&self.0.map_or([0; BuildId::MAX], |id| id.padded()));
        e.bytes(&[self.0.map_or(0, |id| id.size()), 0, 0, 0]);
    }
}

impl VisitField for SizedBuildId {
    fn visit_as(&self, name: &'static str, kind: FieldKind, v: &mut dyn FieldVisitor) {
        v.field(name, kind, FieldData::Bytes(self.0.as_ref().map_or(&[], |id| id.as_bytes())));
    }
}
