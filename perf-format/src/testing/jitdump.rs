//! Builds jitdumps in either byte order, whole ones and such as no JIT would write.

use super::At;
use crate::Endian;
use crate::codec::{Codec, Encoder, Fixed as _};
use crate::jitdump::{DebugInfoWords, HeaderWords, Id, Line, LoadWords, MAGIC, Move, Prefix, UnwindingWords};
use crate::misc::Misc;

/// A dump under construction.
#[derive(Debug, Clone)]
pub struct JitDumpBuilder {
    endian: Endian,
    out: Vec<u8>,
}

/// The header of version 1, of process 7 on x86-64.
#[must_use]
pub fn jit_header() -> HeaderWords {
    HeaderWords {
        magic: MAGIC,
        version: 1,
        total_size: 40,
        elf_mach: 62,
        pad1: 0,
        pid: 7,
        timestamp: 1,
        flags: 0,
    }
}

impl JitDumpBuilder {
    /// A dump with its header ([`jit_header`]) and nothing else.
    #[must_use]
    pub fn new(endian: Endian) -> Self {
        Self::with_header(endian, &jit_header())
    }

    /// A dump with this header; where its `total_size` is more than 40, [`raw`](Self::raw) adds the rest.
    #[must_use]
    pub fn with_header(endian: Endian, header: &HeaderWords) -> Self {
        let empty = Self { endian, out: Vec::new() };
        let header = empty.words(header);
        empty.raw(&header)
    }

    /// A function.
    #[must_use]
    pub fn load(self, at: At, code_addr: u64, code_index: u64, name: &[u8], code: &[u8]) -> Self {
        let (pid, tid, code_size) = (at.pid, at.tid, code.len() as u64);
        let words = LoadWords { pid, tid, vma: code_addr, code_addr, code_size, code_index };
        let body = [&self.words(&words), name, &[0], code].concat();
        self.record(Id::CODE_LOAD, at.time, &body)
    }

    /// A function that is elsewhere now.
    #[must_use]
    pub fn moved(self, time: u64, moved: &Move) -> Self {
        let body = self.words(moved);
        self.record(Id::CODE_MOVE, time, &body)
    }

    /// Lines of the function that comes next. The file `\xff` stands for that of the line before.
    #[must_use]
    pub fn debug_info(self, time: u64, code_addr: u64, lines: &[Line<'_>]) -> Self {
        let mut body = self.words(&DebugInfoWords { code_addr, nr_entry: lines.len() as u64 });
        let mut e = Encoder::new(&mut body, self.endian, Misc::default());
        for Line { addr, line, discriminator, file } in lines {
            e.put(addr);
            e.put(line);
            e.put(discriminator);
            e.bytes(file);
            e.bytes(&[0]);
        }
        self.record(Id::CODE_DEBUG_INFO, time, &body)
    }

    /// Unwinding tables of the function that comes next.
    #[must_use]
    pub fn unwinding(self, time: u64, mapped_size: u64, eh_frame: &[u8], eh_frame_hdr: &[u8]) -> Self {
        let (unwinding_size, eh_frame_hdr_size) =
            ((eh_frame.len() + eh_frame_hdr.len()) as u64, eh_frame_hdr.len() as u64);
        let words = self.words(&UnwindingWords { unwinding_size, eh_frame_hdr_size, mapped_size });
        let body = [&words, eh_frame, eh_frame_hdr].concat();
        self.record(Id::CODE_UNWINDING_INFO, time, &body)
    }

    /// The record with which a JIT closes its dump.
    #[must_use]
    pub fn close(self, time: u64) -> Self {
        self.record(Id::CODE_CLOSE, time, &[])
    }

    /// A record with any id and body.
    #[must_use]
    pub fn record(self, id: Id, timestamp: u64, body: &[u8]) -> Self {
        let total_size = u32::try_from(Prefix::SIZE + body.len()).expect("a test's record is small");
        let prefix = self.words(&Prefix { id, total_size, timestamp });
        self.raw(&prefix).raw(body)
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// The dump.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        self.out
    }

    /// A structure's bytes in this order.
    fn words<'a>(&self, words: &impl Codec<'a>) -> Vec<u8> {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, self.endian, Misc::default()).put(words);
        bytes
    }
}
