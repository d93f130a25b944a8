//! One jitdump: it is scanned as it grows; the large parts of its records are read later.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use perf_format::jitdump::{DebugInfo, Extent, JitDump, Kind, Unwinding};
use perf_format::record::TimeConv;
use perf_format::{Endian, Error};
use perf_session::Session;

use super::clock::Clock;
use super::find::{Finder, Marker, NoNames};
use super::{Body, FunctionSource};
use crate::jit::timeline::{JitFunction, Name, SourceId, Timeline};

/// What V8 adds to the addresses of its lines, in bytes: the size of the header of perf's images, which perf took off
/// once.
const V8_ADDS: u64 = 0x40;

/// How many tables of lines are looked at to see whether they are V8's.
const TABLES_LOOKED_AT: u32 = 64;

/// A dump that is being read.
#[derive(Debug)]
pub(crate) struct Dump {
    path: PathBuf,
    dump: JitDump<File>,
    /// The pids that its process has, on the host and as it knows itself.
    own: [u32; 2],
    clock: Clock,
    /// The lines and unwinding tables of the next function.
    lines: Option<DebugInfo>,
    unwinding: Option<Unwinding>,
    /// How many tables of lines were looked at, and how many began by as much late as V8's do.
    tables: u32,
    late: u32,
    /// The first error; it ended the dump if `ended`.
    damage: Option<Error>,
    ended: bool,
    /// The record in which it ends, if it does: where, how many bytes are there, and of how many.
    cut: Option<(u64, u64, Option<u32>)>,
    ino: u64,
    /// Whether it has more functions than are remembered.
    is_full: bool,
}

impl Dump {
    /// Opens the dump that a process mapped. Its times become those of the recording: by the recording's own `conversion`
    /// of the processor's times, or, if its clock may be guessed, by the time at which the dump was mapped.
    ///
    /// # Errors
    /// Where it is not found, not to be trusted, or its times are of no use.
    pub(crate) fn open(
        marker: &Marker,
        finder: &Finder,
        conversion: Option<&TimeConv>,
        session: &Session,
        guess_clock: bool,
    ) -> Result<Self, NoNames> {
        let (file, path) = finder.dump(marker)?;
        let ino = file.metadata().map_or(0, |meta| meta.ino());
        let mut dump = match JitDump::open(file) {
            Ok(dump) => dump,
            Err(source) => return Err(NoNames::Damaged { path, source }),
        };
        let header = dump.header();
        if header.pid != marker.inner {
            return Err(NoNames::OtherProcess { path, pid: header.pid });
        }
        let first = first_time(&mut dump);
        match Clock::of(&header, first, conversion, session, marker.time, guess_clock) {
            Ok(clock) => Ok(Self {
                path,
                dump,
                own: [marker.pid.cast_unsigned(), header.pid],
                clock,
                lines: None,
                unwinding: None,
                tables: 0,
                late: 0,
                damage: None,
                ended: false,
                cut: None,
                ino,
                is_full: false,
            }),
            Err(why) => Err(NoNames::Clock { path, why }),
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
}

impl FunctionSource for Dump {
    fn path(&self) -> &Path {
        &self.path
    }

    fn machine(&self) -> Option<u16> {
        // CPython writes no machine.
        u16::try_from(self.dump.header().elf_mach).ok().filter(|machine| *machine != 0)
    }

    fn endian(&self) -> Endian {
        self.dump.header().endian
    }

    fn read_on(&mut self, id: SourceId, timeline: &mut Timeline, _now: u64) -> io::Result<()> {
        while !self.ended {
            let own = self.own;
            // Some runtimes write no pid.
            let by = |pid: u32| Some(pid).filter(|pid| *pid != 0 && !own.contains(pid)).map(u32::cast_signed);
            let record = match self.dump.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    // A record whose content does not fit its type is skipped.
                    self.ended = !matches!(error, Error::Structure { .. });
                    self.damage.get_or_insert(error);
                    continue;
                }
            };
            let since = self.clock.time(record.timestamp);
            let there_is_room = match record.kind {
                Kind::Load(load) => {
                    let function = JitFunction {
                        name: Name::At(load.name_at),
                        source: id,
                        index: load.code_index,
                        by: by(load.pid),
                        address: load.code_addr,
                        size: load.code.len as u64,
                        code: Some(load.code),
                        lines: self.lines.take().filter(|lines| lines.code_addr == load.code_addr),
                        unwinding: self.unwinding.take(),
                    };
                    timeline.load(function, since)
                }
                Kind::Move(moved) => {
                    timeline.relocate((id, by(moved.pid), moved.code_index), moved.new_code_addr, since);
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
            self.is_full |= !there_is_room;
        }
        Ok(())
    }

    fn note_cut(&mut self) {
        // What a process still writes is no damage.
        if !self.ended && !is_mapped_by(self.own[0], self.ino) {
            self.cut = self.dump.cut().ok().flatten();
        }
    }

    fn damage(&self) -> Option<String> {
        let path = self.path.display();
        match (&self.damage, self.is_full, self.cut) {
            (Some(error), ..) => Some(format!("{path}: {error}")),
            (None, true, _) => Some(format!("{path}: it has more functions than are remembered")),
            (None, false, Some((offset, there, size))) => {
                let of = size.map(|size| format!(" of {size}")).unwrap_or_default();
                Some(format!("{path}: it ends inside a record at {offset:#x}: {there}{of} bytes are there"))
            }
            (None, false, None) => None,
        }
    }

    fn body(&mut self, function: &JitFunction) -> Result<Body, Error> {
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

/// Whether a process that runs has a file with this inode number mapped.
fn is_mapped_by(pid: u32, ino: u64) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let ino = ino.to_string();
    maps.lines().any(|line| line.split_ascii_whitespace().nth(4) == Some(&*ino))
}

/// The time of a dump's first record, in its own clock.
fn first_time(dump: &mut JitDump<File>) -> Option<u64> {
    let prefix = Extent { offset: dump.header().size.into(), len: 16 };
    dump.header().endian.u64_at(&dump.bytes(prefix).ok()?, 8)
}
