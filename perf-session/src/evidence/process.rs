//! Whether a process that runs now is a recorded one, and has a recorded map still: then its file can be reached
//! through it, whatever its name is by now.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice as _};
use perf_format::record::Inode;

use super::clock::{ClockReading, Nanos, Span};
use crate::build_id::InRoot;
use crate::dso::{Dso, MappedBy};

/// A map of a process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LiveMap {
    pid: i32,
    start: u64,
    end: u64,
    /// The name that the file has now.
    name: BString,
}

impl LiveMap {
    /// The map in which a recorded one is, with the same file, if that is known, at the same place.
    pub(super) fn find(recorded: &MappedBy, inode: Option<Inode>) -> Option<Self> {
        let maps = fs::read(format!("/proc/{}/maps", recorded.pid)).ok()?;
        maps.lines().find_map(|line| Self::parse(line.as_bstr(), recorded, inode))
    }

    /// A line of `/proc/PID/maps`: range, permissions, offset, device, inode, name. Device and inode are those that the
    /// kernel records, on any file system.
    fn parse(line: &BStr, recorded: &MappedBy, inode: Option<Inode>) -> Option<Self> {
        let mut words = line.splitn_str(6, " ");
        let hex = |word: &[u8]| u64::from_str_radix(word.to_str().ok()?, 16).ok();
        let (start, end) = words.next()?.split_once_str("-")?;
        let (start, end) = (hex(start)?, hex(end)?);
        let is_exec = words.next()?.get(2) == Some(&b'x');
        let offset = hex(words.next()?)?;
        let (maj, min) = words.next()?.split_once_str(":")?;
        let device = (u32::try_from(hex(maj)?).ok()?, u32::try_from(hex(min)?).ok()?);
        let ino: u64 = words.next()?.to_str().ok()?.parse().ok()?;
        let is_it = (start..end).contains(&recorded.start)
            && ino != 0
            && inode.is_none_or(|inode| device == (inode.maj, inode.min) && ino == inode.ino)
            && offset.checked_add(recorded.start - start) == Some(recorded.pgoff)
            && (is_exec || !recorded.is_exec);
        let name = words.next().unwrap_or_default().trim_ascii_start().into();
        is_it.then_some(Self { pid: recorded.pid, start, end, name })
    }

    /// The mapped file: by its map, which the kernel shows to those who may look into the process, or by its name below
    /// the process's root.
    pub(super) fn open(&self, dso: &Dso, inode: Option<Inode>) -> Option<File> {
        let is_it =
            |file: &File| inode.is_none_or(|inode| file.metadata().is_ok_and(|meta| meta.ino() == inode.ino));
        let by_map = format!("/proc/{}/map_files/{:x}-{:x}", self.pid, self.start, self.end);
        let mapped = crate::build_id::open_regular(&PathBuf::from(by_map)).ok();
        let rooted = || {
            // Links are those of the process's own root.
            let root = InRoot::open(Path::new(&format!("/proc/{}/root", self.pid))).ok()?;
            root.open_regular(Path::new(OsStr::from_bytes(&dso.name))).ok()
        };
        mapped.filter(is_it).or_else(|| rooted().filter(|_| !self.is_renamed(dso)).filter(is_it))
    }

    /// Whether the file has another name by now, or none.
    pub(super) fn is_renamed(&self, dso: &Dso) -> bool {
        // Of a process with another root, the whole path may be shown.
        !self.name.ends_with(&dso.name)
    }

    /// Whether the file is the program that the process executes: while it does, nobody can write into it.
    pub(super) fn is_executed(&self, file: &File) -> bool {
        let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let program = fs::metadata(format!("/proc/{}/exe", self.pid)).map(identity);
        program.is_ok_and(|program| file.metadata().map(identity).is_ok_and(|file| file == program))
    }

    /// Whether the process has been there since before it mapped the file: one that was started later has only the
    /// same number.
    pub(super) fn is_as_old(&self, mapped: Span, now: &ClockReading) -> bool {
        let started =
            fs::read(format!("/proc/{}/stat", self.pid)).ok().and_then(|stat| start_time(stat.as_bstr()));
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        started.is_some_and(|ticks| {
            let since_boot = Nanos::from(ticks) * 1_000_000_000 / Nanos::from(ticks_per_second);
            now.realtime - now.boottime + since_boot - now.took <= mapped.to
        })
    }
}

/// The start time in `/proc/PID/stat`, in ticks since boot: field 22; the second one is a name in parentheses.
fn start_time(stat: &BStr) -> Option<u64> {
    let behind_name = stat.rsplit_once_str(")")?.1;
    behind_name.split_str(" ").nth(20)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_found_only_with_the_recorded_file_at_the_recorded_place() {
        let line =
            "55b0b243c000-55b0b244e000 r-xp 00003000 fe:00 10043575                   /tmp/a b (deleted)";
        let recorded = MappedBy {
            pid: 7,
            start: 0x55b0_b243_c000,
            end: 0x55b0_b244_e000,
            pgoff: 0x3000,
            is_exec: true,
            root: None,
        };
        let inode = Inode { maj: 0xfe, min: 0, ino: 10_043_575, ino_generation: 5 };
        let found = |recorded, inode| LiveMap::parse(line.into(), &recorded, Some(inode));
        assert_eq!(found(recorded, inode).expect("it is").name, "/tmp/a b (deleted)");
        let part = MappedBy { start: recorded.start + 0x1000, pgoff: 0x4000, ..recorded };
        assert!(found(part, inode).is_some(), "it grew since");
        for other in [Inode { maj: 8, ..inode }, Inode { min: 1, ..inode }, Inode { ino: 1, ..inode }] {
            assert_eq!(found(recorded, other), None, "{other:?}");
        }
        assert_eq!(found(MappedBy { pgoff: 0, ..recorded }, inode), None);
        assert_eq!(found(MappedBy { start: 0x1000, ..recorded }, inode), None);
        assert_eq!(LiveMap::parse("nonsense".into(), &recorded, Some(inode)), None);
    }

    #[test]
    fn a_process_may_have_any_name() {
        let fields: Vec<String> = (4..=30).map(|field| field.to_string()).collect();
        let stat = format!("12 (a) b) S {}", fields.join(" "));
        assert_eq!(start_time(stat.as_str().into()), Some(22));
        assert_eq!(start_time("".into()), None);
    }
}
