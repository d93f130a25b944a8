//! One jitdump: what it says goes into a process's [`Code`]; what is large is read of it later.

use std::fs::File;
use std::path::PathBuf;

use bstr::BString;
use perf_format::Error;
use perf_format::jitdump::{DebugInfo, Extent, Header, JitDump, Kind, Line, Unwinding};

use super::clock::Clock;
use super::code::{Code, Function, Name};

/// What V8 adds to the addresses of its lines, in bytes: the size of the header of perf's images, which perf took off
/// once.
const V8_ADDS: u64 = 0x40;

/// How many tables of lines are looked at to see whether they are V8's.
const TABLES_LOOKED_AT: u32 = 64;

/// A dump that is being read.
#[derive(Debug)]
pub(super) struct Dump {
    pub(super) path: PathBuf,
    dump: JitDump<File>,
    clock: Clock,
    /// What the next function brings along.
    lines: Option<DebugInfo>,
    unwinding: Option<Unwinding>,
    /// How many tables of lines were looked at, and how many began by as much late as V8's do.
    tables: u32,
    late: u32,
    /// What was wrong with it first, and that ended it if `ended`.
    pub(super) damage: Option<Error>,
    ended: bool,
    /// Whether it has more functions than are remembered.
    pub(super) crowded: bool,
}

/// What is read of a function when it is written to an image.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) name: BString,
    pub(super) code: Vec<u8>,
    pub(super) lines: Vec<u8>,
    pub(super) lines_late_by: u64,
    pub(super) frames: Vec<u8>,
    pub(super) header_size: u64,
}

impl Dump {
    pub(super) fn new(dump: JitDump<File>, path: PathBuf, clock: Clock) -> Self {
        Self {
            path,
            dump,
            clock,
            lines: None,
            unwinding: None,
            tables: 0,
            late: 0,
            damage: None,
            ended: false,
            crowded: false,
        }
    }

    /// The time of a dump's first record, in its own clock.
    pub(super) fn first_time(dump: &mut JitDump<File>) -> Option<u64> {
        let prefix = Extent { offset: dump.header().size.into(), len: 16 };
        dump.header().endian.u64_at(&dump.bytes(prefix).ok()?, 8)
    }

    pub(super) fn header(&self) -> Header {
        self.dump.header()
    }

    /// Reads on to what is the end now.
    pub(super) fn read_on(&mut self, source: usize, code: &mut Code) {
        while !self.ended {
            let record = match self.dump.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    // A record that cannot be what it says is passed over.
                    self.ended = !matches!(error, Error::Structure { .. });
                    self.damage.get_or_insert(error);
                    continue;
                }
            };
            let since = self.clock.time(record.timestamp);
            let there_is_room = match record.kind {
                Kind::Load(load) => {
                    let function = Function {
                        name: Name::At(load.name_at),
                        source,
                        index: load.code_index,
                        address: load.code_addr,
                        size: load.code.len as u64,
                        code: Some(load.code),
                        lines: self.lines.take().filter(|lines| lines.code_addr == load.code_addr),
                        unwinding: self.unwinding.take(),
                        kept: None,
                    };
                    code.load(function, since)
                }
                Kind::Move(moved) => {
                    code.relocate((source, moved.code_index), moved.new_code_addr, since);
                    true
                }
                Kind::DebugInfo(lines) => {
                    self.look_at(&lines);
                    self.lines = Some(lines);
                    true
                }
                Kind::Unwinding(unwinding) => {
                    self.unwinding = Some(unwinding);
                    true
                }
                Kind::Close | Kind::Unknown(_) => true,
            };
            self.crowded |= !there_is_room;
        }
    }

    /// Looks where a table of lines begins.
    fn look_at(&mut self, lines: &DebugInfo) {
        if self.tables < TABLES_LOOKED_AT && lines.nr_entry > 0 {
            let first = Extent { len: 8, ..lines.entries };
            let first = self.dump.bytes(first).ok().and_then(|bytes| lines.endian.u64_at(&bytes, 0));
            self.tables += 1;
            self.late += u32::from(first == lines.code_addr.checked_add(V8_ADDS));
        }
    }

    /// By how many bytes all lines are later than their code.
    fn lines_late_by(&self) -> u64 {
        // A function of another runtime may begin with that much that is of no line; nearly all do not.
        if self.late * 10 > self.tables * 9 { V8_ADDS } else { 0 }
    }

    /// Reads what an image needs of a function.
    pub(super) fn body(&mut self, function: &Function) -> Result<Body, Error> {
        let mut body = Body::default();
        if let Name::At(at) = function.name {
            body.name = self.dump.bytes(at)?.into();
        }
        if let Some(at) = function.code {
            body.code = self.dump.bytes(at)?;
        }
        if let Some(lines) = &function.lines {
            body.lines = self.dump.bytes(lines.entries)?;
            body.lines_late_by = self.lines_late_by();
        }
        if let Some(unwinding) = &function.unwinding {
            body.frames = self.dump.bytes(unwinding.eh_frame)?;
            body.frames.extend(self.dump.bytes(unwinding.eh_frame_hdr)?);
            body.header_size = unwinding.eh_frame_hdr.len as u64;
        }
        Ok(body)
    }
}

impl Body {
    /// Its lines. Those of a table that cannot be read are left out.
    pub(super) fn lines(&self, function: &Function) -> Vec<Line<'_>> {
        let lines = function.lines.as_ref().and_then(|lines| lines.lines(&self.lines).ok());
        let mut lines = lines.unwrap_or_default();
        for line in &mut lines {
            line.addr = line.addr.saturating_sub(self.lines_late_by);
        }
        lines
    }
}
