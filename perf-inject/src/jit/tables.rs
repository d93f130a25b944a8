//! The unwinding tables of jitted functions, as their dumps bring them, for stacks that lead through such code.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use perf_format::record::{CpuMode, Mmap2};
use perf_format::{RawRecord, RecordType};
use perf_session::Session;
use perf_session::machine::OUTSIDE;
use perf_unwind::{Architecture, EhFrameTables, Module};

use super::options::JitOptions;
use super::process::JitProcesses;
use super::source::find::Marker;
use super::timeline::FunctionId;
use crate::callchain::byte_order;
use crate::limits::JIT_TABLES_AT_MOST;

/// The dumps of processes, read for their tables alone: nothing is said of what is missing.
#[derive(Debug)]
pub(crate) struct JitTables {
    options: JitOptions,
    processes: JitProcesses,
    /// By the process that made the function.
    modules: HashMap<(i32, FunctionId), Option<Arc<Module>>>,
}

/// A function that stands somewhere, and its tables, if it has any.
#[derive(Debug)]
pub(crate) struct JittedCode {
    pub(crate) addresses: Range<u64>,
    pub(crate) module: Option<Arc<Module>>,
}

impl JitTables {
    pub(crate) fn new(options: JitOptions) -> Self {
        let processes = JitProcesses::new(options.clone()).quiet();
        Self { options, processes, modules: HashMap::new() }
    }

    /// The same, of nothing read yet.
    pub(crate) fn again(self) -> Self {
        Self::new(self.options)
    }

    /// Takes a record in, after the session has.
    pub(crate) fn record(&mut self, record: &RawRecord<'_>, session: &Session) {
        let taken = match record.record_type() {
            RecordType::MMAP | RecordType::MMAP2 => self.map(record, session),
            RecordType::FORK => self.processes.fork(record, session),
            RecordType::COMM => self.processes.exec(record, session),
            RecordType::TIME_CONV => {
                self.processes.conversion = record.parse_as().ok().or(self.processes.conversion.take());
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = taken {
            log::debug!("{error}");
        }
    }

    fn map(&mut self, record: &RawRecord<'_>, session: &Session) -> Result<(), perf_session::Error> {
        let map = Mmap2::of_record(record)?;
        let is_of_user = record.misc().cpumode() == CpuMode::User && map.pid.cast_signed() != OUTSIDE;
        match Marker::of(&map, session.evlist.time(record)).filter(|_| is_of_user) {
            Some(marker) => self.processes.mark(&marker, session),
            None => Ok(()),
        }
    }

    /// The function at an address of a process, as of a time in ns.
    pub(crate) fn code_at(
        &mut self,
        pid: i32,
        address: u64,
        time: u64,
        session: &Session,
    ) -> Option<JittedCode> {
        if !self.processes.may_have_code(pid) {
            return None;
        }
        self.processes.read_on(pid, session, true).ok()?;
        let resolved = self.processes.resolve(pid, address, time, false)?;
        let range = self.processes.live_range(resolved)?;
        let (addresses, function) = (range.start..range.end, range.function);
        if self.modules.len() >= JIT_TABLES_AT_MOST {
            self.modules.clear();
        }
        let module = match self.modules.get(&(resolved.owner, function)) {
            Some(module) => module.clone(),
            None => {
                let module = self.module(resolved.owner, function).map(Arc::new);
                self.modules.insert((resolved.owner, function), module.clone());
                module
            }
        };
        Some(JittedCode { addresses, module })
    }

    fn module(&mut self, owner: i32, function: FunctionId) -> Option<Module> {
        let process = self.processes.get_mut(owner)?;
        let function = process.timeline.function(function)?;
        function.unwinding.as_ref()?;
        let (endian, machine) = process.sources.target(function.source)?;
        let of_machine = |is_64| Architecture::of_elf(machine?, is_64);
        let architecture = of_machine(true).or_else(|| of_machine(false))?;
        let body = process.sources.body(function)?;
        let header_size = usize::try_from(body.header_size).ok()?;
        let (eh_frame, header) = body.frames.split_at_checked(body.frames.len().checked_sub(header_size)?)?;
        // So a dump has them: behind the function, whose size is rounded up for that.
        let eh_frame_address = function.address.checked_add(function.size.checked_next_multiple_of(8)?)?;
        let mut eh_frame = eh_frame.to_vec();
        jit_image::take_out_omitted(&mut eh_frame, endian);
        let header_address = eh_frame_address.checked_add(eh_frame.len() as u64)?;
        Some(Module::from_tables(EhFrameTables {
            architecture,
            order: byte_order(endian),
            code: function.address..function.address.checked_add(function.size)?,
            eh_frame_address,
            eh_frame,
            eh_frame_hdr: (!header.is_empty()).then(|| (header_address, header.to_vec())),
        }))
    }
}
