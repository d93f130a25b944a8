//! AUXTRACE_ERROR: a decoder of hardware trace met something that it could not decode.

use bstr::{BStr, ByteSlice as _};

use crate::codec::{Decoder, Encoder, FieldError, Layout, layout};
use crate::visit::{FieldKind, FieldVisitor, VisitField as _, VisitFields};

layout! {
    /// The fixed part of `struct perf_record_auxtrace_error`.
    pub fixed struct AuxtraceErrorHead {
        /// The type of the decoder.
        pub error_type: u32 as Number = "type",
        /// Its code.
        pub code: u32,
        /// The CPU.
        pub cpu: u32 as Cpu,
        /// The process.
        pub pid: u32 as Pid,
        /// The thread.
        pub tid: u32 as Tid,
        /// The version of the layout: it decides which of the later fields are set.
        pub fmt: u32,
        /// The address.
        pub ip: u64 as Address,
        /// When, in ns.
        pub time: u64 as Time,
    }
}

layout! {
    /// The guest of the error, where `fmt` is 2 or more.
    pub fixed struct AuxtraceErrorGuest {
        /// The guest machine's pid.
        pub machine_pid: u32 as Pid,
        /// The guest's CPU.
        pub vcpu: u32,
    }
}

/// Bytes of the message where a guest follows it.
const MESSAGE_LEN: usize = 64;

/// `PERF_RECORD_AUXTRACE_ERROR`, `struct perf_record_auxtrace_error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuxtraceError<'a> {
    /// The fixed part.
    pub head: AuxtraceErrorHead,
    /// The message, with the NULs after it.
    pub message: &'a BStr,
    /// The guest, where the record is long enough to name one.
    pub guest: Option<AuxtraceErrorGuest>,
}

impl<'a> Layout<'a> for AuxtraceError<'a> {
    fn read(d: &mut Decoder<'a>) -> Result<Self, FieldError> {
        let head = d.field("head")?;
        let message: &[u8] = match d.rest().len() > MESSAGE_LEN {
            true => d.take(MESSAGE_LEN).map_err(|problem| FieldError { field: "msg", problem })?,
            false => d.field("msg")?,
        };
        Ok(Self { head, message: message.as_bstr(), guest: d.field("machine_pid")? })
    }

    fn write(&self, e: &mut Encoder<'_>) {
        e.put(&self.head);
        e.bytes(self.message);
        e.put(&self.guest);
    }
}

impl VisitFields for AuxtraceError<'_> {
    fn visit(&self, v: &mut dyn FieldVisitor) {
        self.head.visit(v);
        self.message.as_bytes().visit_as("msg", FieldKind::Text, v);
        self.guest.visit_as("", FieldKind::Number, v);
    }
}
