//! Ids without files: what a name is folded into, as a source and as a tool.

use bstr::ByteSlice as _;
use perf_format::record::{BuildIdRecord, SizedBuildId};
use perf_format::{Batch, BuildId, CpuMode, Misc, Record};

use crate::build_id::{BuildIdSource, FoundId, NoBuildId, Origin};
use crate::dso::{Dso, DsoKind};
use crate::machine::HOST;
use crate::{Error, Event, Hits, Injection, RecordSet, Recording, Session, Tool, Verdict};

/// The id that [`Named`] and [`HitIds`] give a name.
#[must_use]
pub fn id_of(name: &[u8]) -> BuildId {
    let mut bytes = [0x5a_u8; BuildId::MAX];
    for (at, byte) in name.iter().enumerate() {
        bytes[at % BuildId::MAX] = bytes[at % BuildId::MAX].rotate_left(3) ^ byte;
    }
    BuildId::new(&bytes).expect("20 bytes")
}

/// A source that knows an id for every name: the name itself, folded into 20 bytes.
#[derive(Debug)]
pub struct Named;

impl BuildIdSource for Named {
    fn build_id(&mut self, dso: &Dso, _: &Recording) -> Result<Option<FoundId>, NoBuildId> {
        Ok(Some(FoundId::from(Origin::File, id_of(&dso.name))))
    }
}

/// Injects the id of each DSO in front of the first record that makes known that it is hit: the least that a tool can
/// do. Memory of no file has none.
#[derive(Debug)]
pub struct HitIds {
    hits: Hits,
}

impl Default for HitIds {
    fn default() -> Self {
        Self { hits: Hits::first() }
    }
}

impl Tool for HitIds {
    fn wants(&self) -> RecordSet {
        Hits::WANTS
    }

    fn skip_samples(&mut self, batch: &mut Batch<'_>, session: &Session) -> u64 {
        self.hits.skip_samples(batch, session)
    }

    fn event(
        &mut self,
        event: &Event<'_>,
        session: &mut Session,
        inject: &mut Injection<'_>,
    ) -> Result<Verdict, Error> {
        let mut hit = Vec::new();
        self.hits.event(event, session, |found| hit.push(found.dso));
        for dso in hit.into_iter().filter_map(|dso| session.dso(dso)) {
            if dso.kind == DsoKind::Anonymous {
                continue;
            }
            let mode = match (dso.machine == HOST, dso.kind.is_kernel()) {
                (true, true) => CpuMode::Kernel,
                (true, false) => CpuMode::User,
                (false, true) => CpuMode::GuestKernel,
                (false, false) => CpuMode::GuestUser,
            };
            let build_id = SizedBuildId(Some(id_of(&dso.name)));
            let record = BuildIdRecord { pid: dso.machine, build_id, filename: dso.name.as_bstr() };
            inject.inject(Misc::of(mode), &Record::BuildId(record))?;
        }
        Ok(Verdict::Repipe)
    }
}
