//! The stack of a sample: its addresses with what was mapped there when it was taken.

use perf_format::attr::SampleType;
use perf_format::sample::{AddressKind, Addresses, Tid};
use perf_format::{CpuMode, RawRecord, RecordType};

use crate::dso::{Dso, DsoId, DsoKind};
use crate::map::Map;
use crate::session::Session;

/// A frame of a stack.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct StackFrame<'s> {
    /// The address, as it was recorded. That of the innermost frame is of the instruction that was interrupted, those of
    /// its callers are behind their calls: a call that is the last instruction of a function returns to the next one, so
    /// that `address - 1` is what names a caller. perf looks up and prints the address itself.
    pub address: u64,
    /// Whose code it is: the kernel's, a process's, a guest's or the hypervisor's.
    pub cpumode: CpuMode,
    /// Whether it is a caller, whose address stands behind its call: all but the innermost frame of a mode.
    pub is_caller: bool,
    /// The map at the address when the sample was taken; `None` where none is known.
    pub map: Option<&'s Map>,
    /// What is mapped there; `None` where that is not known.
    pub dso: Option<&'s Dso>,
}

impl StackFrame<'_> {
    /// The number of the DSO in its session.
    #[must_use]
    pub fn dso_id(&self) -> Option<DsoId> {
        self.map.map(|map| map.dso)
    }

    /// Where the address is in its DSO.
    ///
    /// - In a file and the vdso, the offset in the file, in bytes: [`elf_address`](crate::elf_address) turns it into an
    ///   address of the file's symbols.
    /// - In a module of the kernel (`[ext4]`, a path that ends in `.ko`), the distance from the start of its code in memory,
    ///   which is no place in its file: what names it is its symbols' own order, or `address` in a `/proc/kallsyms` of the
    ///   same boot.
    /// - In the kernel's image, the distance from the start of its map (`_text` or `_stext`). What names it is `address` in a
    ///   `/proc/kallsyms` of the same boot, or, in a vmlinux, the address of the same symbol there and this distance.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        let (map, dso) = (self.map?, self.dso?);
        let pgoff = match dso.kind {
            // There it is the address of a symbol.
            DsoKind::Kernel => 0,
            _ => map.pgoff,
        };
        Some(self.address.wrapping_sub(map.start).wrapping_add(pgoff))
    }
}

/// The frames of a stack, innermost first.
#[derive(Debug, Clone)]
pub struct StackFrames<'s> {
    session: &'s Session,
    record: RawRecord<'s>,
    /// `None` where the record has no addresses.
    addresses: Option<Addresses<'s>>,
    /// Whether the record's own address is left out, since its chain has it.
    has_chain: bool,
    pid: u32,
    /// In ns.
    time: Option<u64>,
    last_mode: Option<CpuMode>,
}

impl Session {
    /// The stack of a sample, innermost frame first, each with the DSO that stood at its address at the sample's time; of a
    /// CALLCHAIN_DEFERRED record the user's part of the stack of samples before it. Other records have none.
    ///
    /// Where the sample's event has call chains, the frames are those of the chain, which begins with the sample's own
    /// address; there are none where the chain is empty, as that of a sample in the kernel is where callers in the
    /// kernel were left out. Otherwise the one frame is the sample's own address. Markers in the chain
    /// (`PERF_CONTEXT_KERNEL` and others) are no frames: they say whose code those behind them are. What looks like a
    /// marker and is none, such as a -1 that stood where a return address should, is no frame either; perf
    /// drops all frames of such a chain.
    ///
    /// # Errors
    /// [`perf_format::Error::Malformed`] where the chain does not fit in the record.
    pub fn resolve<'s>(&'s self, record: &RawRecord<'s>) -> Result<StackFrames<'s>, perf_format::Error> {
        let mut frames = StackFrames {
            session: self,
            record: *record,
            addresses: None,
            has_chain: true,
            pid: 0,
            time: None,
            last_mode: None,
        };
        let is_sample = match record.record_type() {
            RecordType::SAMPLE => true,
            RecordType::CALLCHAIN_DEFERRED => false,
            _ => return Ok(frames),
        };
        let Some(evsel) = self.evlist.evsel(record) else { return Ok(frames) };
        let format = &evsel.format;
        let tid = if is_sample { format.tid(record) } else { format.trailer_tid(record) };
        frames.pid = tid.map_or(0, |Tid { pid, .. }| pid);
        frames.time = if is_sample { format.time(record) } else { format.trailer_time(record) };
        frames.has_chain = format.sample_type.contains(SampleType::CALLCHAIN);
        frames.addresses = Some(format.addresses(record)?);
        Ok(frames)
    }
}

impl<'s> Iterator for StackFrames<'s> {
    type Item = StackFrame<'s>;

    fn next(&mut self) -> Option<StackFrame<'s>> {
        let has_chain = self.has_chain;
        let addresses = self.addresses.as_mut()?;
        let address = addresses.find(|address| !(has_chain && address.kind == AddressKind::Ip))?;
        let space = self.session.space(&self.record, address.cpumode, self.pid);
        let map =
            space.and_then(|(machine, space)| self.session.map_at(machine, space, address.addr, self.time));
        Some(StackFrame {
            address: address.addr,
            cpumode: address.cpumode,
            is_caller: self.last_mode.replace(address.cpumode) == Some(address.cpumode),
            map,
            dso: map.and_then(|map| self.session.dso(map.dso)),
        })
    }
}
