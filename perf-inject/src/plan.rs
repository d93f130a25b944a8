//! What a run shall do, and the tools that do it.

use perf_format::Feature;
use perf_session::build_id::Chain;
use perf_session::{Session, Tool};

use crate::build_ids::{IdsByName, IdsInMaps, SharedIds, shared_ids};
use crate::callchain::ConvertCallchain;
use crate::drop_feature::DropFeature;
use crate::jit::JitSummary;
use crate::names::{CountSamples, NameSummary};
use crate::off_cpu::{OffCpu, OffCpuOptions};
use crate::remap_text::RemapText;
use crate::sched_stat::SchedStat;
use crate::{DsoSelection, IdSummary, IdsTo, Jit};

/// A plan: what is injected, and how the records are read and written. The default is [`Plan::NOTHING`]; write
/// `Plan { live: true, ..Plan::NOTHING }`, since fields are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The DSOs whose build-ids are injected; `None` for no ids.
    pub build_ids: Option<DsoSelection>,
    /// Whether MMAP2 records of code that nothing hits are dropped. It needs [`IdsTo::mmap2`].
    pub drop_unused_maps: bool,
    /// The places that the ids go to. `None`: BUILD_ID records in a pipe, the table of BUILD_ID in a file.
    pub ids_to: Option<IdsTo>,
    /// Whether the recording is being made. Then files are read when they are mapped: they may be gone when a sample hits
    /// them.
    pub live: bool,
    /// Whether COMPRESSED and COMPRESSED2 records are replaced by the records inside them.
    pub decompress: bool,
    /// Whether damaged parts of the input are skipped, so that all whole records come out; otherwise damage ends the run.
    pub recover: bool,
    /// Whether the features of a file that make perf refuse a pipe's stream are written to one all the same.
    pub keep_features: bool,
    /// Whether [`RunReport::names`](crate::RunReport::names) is wanted also where all DSOs get ids and samples need not be
    /// looked at.
    pub count_samples: bool,
    /// Whether text that a program moved to anonymous memory (to have it on huge pages) is mapped as its file's again.
    pub remap_text: bool,
    /// How the stacks of samples are converted into call chains; `None` where they stay as they were recorded. The files
    /// that are needed come from [`Run::with_modules`](crate::Run::with_modules).
    pub convert_callchain: Option<ConvertCallchain>,
    /// Whether jitted code gets names. The tool that does it is given to [`Run::with_jit`](crate::Run::with_jit).
    pub jit: bool,
    /// Whether samples are added of what threads do off CPU, and which.
    pub off_cpu: Option<OffCpuOptions>,
    /// Whether `sched_stat_*` samples are merged with the switches of their threads.
    pub sched_stat: bool,
}

/// The tools of a plan; those that it does not need are `None`, and cost nothing.
#[derive(Debug)]
pub struct Tools {
    /// Names jitted code.
    pub(crate) jit: Option<Jit>,
    /// Injects build-ids that go by the names of DSOs.
    pub(crate) ids_by_name: Option<IdsByName>,
    /// Writes build-ids into maps.
    pub(crate) ids_in_maps: Option<IdsInMaps>,
    ids: SharedIds,
    count_samples: Option<CountSamples>,
    drop_feature: Option<DropFeature>,
    remap_text: Option<RemapText>,
    /// Adds samples of what threads do off CPU.
    pub(crate) off_cpu: Option<OffCpu>,
    /// Merges `sched_stat_*` samples with switches.
    pub(crate) sched_stat: Option<SchedStat>,
}

impl Default for Plan {
    fn default() -> Self {
        Self::NOTHING
    }
}

impl Plan {
    /// Injects nothing: all passes as it is.
    pub const NOTHING: Self = Self {
        build_ids: None,
        drop_unused_maps: false,
        ids_to: None,
        live: false,
        decompress: false,
        recover: false,
        keep_features: false,
        count_samples: false,
        remap_text: false,
        convert_callchain: None,
        jit: false,
        off_cpu: None,
        sched_stat: false,
    };

    /// Whether records are changed or put between others, so that they cannot be copied as they are.
    pub(crate) fn changes_records(self) -> bool {
        self.decompress
            || self.recover
            || self.convert_callchain.is_some()
            || self.jit
            || self.remap_text
            || self.changes_samples()
            || self.ids_to.is_some_and(|to| to.events || to.mmap2)
    }

    /// Whether compressed records are replaced by the records inside them: by request, or because maps inside them
    /// change, or the events that they are of.
    pub(crate) fn writes_plain(self) -> bool {
        let changes_maps = self.jit || self.remap_text || self.ids_to.is_some_and(|to| to.mmap2);
        let changes_samples = self.changes_samples() || self.convert_callchain.is_some();
        self.decompress || changes_maps || changes_samples
    }

    /// Whether samples come and go.
    pub(crate) fn changes_samples(self) -> bool {
        self.off_cpu.is_some() || self.sched_stat
    }

    /// The tools of the plan. Ids come from `sources`, and go to `ids_to` where the plan has no `ids_to`. For drivers
    /// that are not a [`Run`](crate::Run).
    #[doc(hidden)]
    #[must_use]
    pub fn tools(self, sources: Chain, ids_to: IdsTo) -> Tools {
        let IdsTo { header, events, mmap2 } = self.ids_to.unwrap_or(ids_to);
        let ids = shared_ids(sources);
        let by_name = self.build_ids.filter(|_| header || events);
        let in_maps = self.build_ids.filter(|_| mmap2);
        Tools {
            jit: None,
            ids_by_name: by_name
                .map(|which| IdsByName::new(which, ids.clone(), header, events).eager(self.live)),
            ids_in_maps: in_maps.map(|which| {
                IdsInMaps::new(which, ids.clone()).eager(self.live).drop_unused(self.drop_unused_maps)
            }),
            ids,
            count_samples: (self.count_samples && self.build_ids != Some(DsoSelection::Hit))
                .then(CountSamples::new),
            remap_text: self.remap_text.then_some(RemapText),
            off_cpu: self.off_cpu.map(|options| OffCpu::new(options, None)),
            sched_stat: self.sched_stat.then(SchedStat::new),
            drop_feature: self.writes_plain().then_some(DropFeature(Feature::COMPRESSED)),
        }
    }
}

impl Tools {
    /// The tools in the order in which they see a record.
    pub fn as_tools(&mut self) -> Vec<&mut dyn Tool> {
        let jit = self.jit.iter_mut().map(|tool| tool as &mut dyn Tool);
        let by_name = self.ids_by_name.iter_mut().map(|tool| tool as &mut dyn Tool);
        let in_maps = self.ids_in_maps.iter_mut().map(|tool| tool as &mut dyn Tool);
        let count_samples = self.count_samples.iter_mut().map(|tool| tool as &mut dyn Tool);
        let drop_feature = self.drop_feature.iter_mut().map(|tool| tool as &mut dyn Tool);
        let remap_text = self.remap_text.iter_mut().map(|tool| tool as &mut dyn Tool);
        let off_cpu = self.off_cpu.iter_mut().map(|tool| tool as &mut dyn Tool);
        let sched_stat = self.sched_stat.iter_mut().map(|tool| tool as &mut dyn Tool);
        let of_records = remap_text.chain(jit).chain(by_name).chain(in_maps).chain(count_samples);
        of_records.chain(sched_stat).chain(off_cpu).chain(drop_feature).collect()
    }

    /// Drops the record that says how the recording is compressed.
    pub(crate) fn drop_compressed(&mut self) {
        self.drop_feature.get_or_insert(DropFeature(Feature::COMPRESSED));
    }

    /// Reports how many DSOs there were beyond those that warnings have named.
    pub(crate) fn report_rest(&self) {
        self.ids.borrow().report_rest();
    }

    /// The summary of the ids; `None` where the plan injects none.
    #[must_use]
    pub(crate) fn id_summary(&self, session: &Session) -> Option<IdSummary> {
        if self.ids_by_name.is_none() && self.ids_in_maps.is_none() {
            return None;
        }
        let by_name = self.ids_by_name.iter().flat_map(IdsByName::selected);
        let in_maps = self.ids_in_maps.iter().flat_map(IdsInMaps::selected);
        let selected = by_name.chain(in_maps);
        Some(IdSummary::new(selected, self.ids.borrow().answers(self.ids_in_maps.is_none()), session))
    }

    /// What samples lie in that will have no name; `None` where no tool looks at samples for their DSOs.
    #[must_use]
    pub(crate) fn name_summary(&mut self, jit: &[JitSummary], session: &Session) -> Option<NameSummary> {
        // Where ids go by name and into maps, either has seen all samples.
        let census: Vec<_> = match (&mut self.count_samples, &mut self.ids_by_name, &mut self.ids_in_maps) {
            (Some(count_samples), _, _) => count_samples.census(session).collect(),
            (None, Some(by_name), _) => by_name.census(session).collect(),
            (None, None, Some(in_maps)) => in_maps.census(session).collect(),
            (None, None, None) => return None,
        };
        let answers = self.ids.borrow();
        let answers = answers.answers(self.ids_in_maps.is_none());
        (!census.is_empty()).then(|| NameSummary::new(census.into_iter(), answers, jit, session))
    }
}
