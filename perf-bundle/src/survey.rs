//! Which DSOs a recording needs: those that its samples hit, or all that it maps.

use perf_format::sample::Tid;
use perf_session::dso::{Dso, DsoId, DsoKind, PerDso};
use perf_session::{Error, Recording, SessionReader, SessionRecord};

/// What a recording needs to be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Survey {
    /// The DSOs in scope, in the order in which the recording names them. Anonymous memory is none of them.
    pub dsos: Vec<SurveyedDso>,
    /// What the recording says of itself.
    pub recording: Recording,
    /// What kept it from being read to its end; the DSOs are those of what could be read.
    pub damage: Option<Error>,
}

/// A DSO that is needed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SurveyedDso {
    /// The DSO.
    pub dso: Dso,
    /// How many samples hit it, by their address or their call chain.
    pub samples: u64,
}

/// Which DSOs are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SurveyScope {
    /// Those that samples hit, by their address or their call chain. Of a recording with a hardware trace, whose samples are
    /// still to be decoded, all.
    Hit,
    /// All that are mapped.
    Mapped,
}

/// How many samples hit a DSO, and the last of them: one that passes through it twice counts once.
#[derive(Debug, Clone, Copy, Default)]
struct Hits {
    samples: u64,
    last: u64,
}

impl Survey {
    /// Reads a recording to its end, or to where it is damaged.
    #[must_use]
    pub fn read(mut reader: SessionReader<'_>, scope: SurveyScope) -> Self {
        reader.session_mut().jit_names = true;
        let mut hits: PerDso<Hits> = PerDso::default();
        let mut samples = 0;
        let damage = loop {
            match reader.next() {
                Ok(Some(record)) => {
                    samples += 1;
                    for_each_hit(&record, |dso| {
                        let hits = hits.of(dso);
                        if hits.last != samples {
                            *hits = Hits { samples: hits.samples + 1, last: samples };
                        }
                    });
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let session = reader.session();
        let all = scope == SurveyScope::Mapped || session.recording.has_aux_data;
        let surveyed = session
            .dsos
            .iter()
            .map(|(id, dso)| SurveyedDso { dso: dso.clone(), samples: hits.of(id).samples });
        let dsos = surveyed
            .filter(|SurveyedDso { dso, samples }| (*samples > 0 || all) && dso.kind != DsoKind::Anonymous);
        Self { dsos: dsos.collect(), recording: session.recording.clone(), damage }
    }
}

fn for_each_hit(record: &SessionRecord<'_>, mut hit: impl FnMut(DsoId)) {
    // A chain that does not fit in its record hits nothing; the session has noted it.
    if let Ok(frames) = record.frames() {
        frames.filter_map(|frame| frame.dso_id()).for_each(&mut hit);
    }
    // The frames of a sample with a chain are those of the chain, which may have none.
    let session = record.session;
    let Ok(Some(sample)) = record.sample() else { return };
    let (Some(ip), Some(Tid { pid, .. })) = (sample.ip, sample.tid) else { return };
    let space = session.space(&record.record, record.record.misc().cpumode(), pid);
    if let Some((machine, space)) = space
        && let Some(map) = session.map_at(machine, space, ip, record.time())
    {
        hit(map.dso);
    }
}
