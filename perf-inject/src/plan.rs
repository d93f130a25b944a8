//! What was asked for, and the tools that do it.

use perf_format::Feature;
use perf_session::Tool;
use perf_session::build_id::Chain;

use crate::{BuildIds, DropFeature, IdsTo, Jit, Which};

/// What shall be injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Plan {
    /// The build-ids of these DSOs.
    pub build_ids: Option<Which>,
    /// Whether maps of code that nothing hits are left out, where the others' records carry their ids.
    pub drop_unused_maps: bool,
    /// Where they go; by default to the place where readers of the output look first.
    pub ids_to: Option<IdsTo>,
    /// Whether the recording is being made, so that files may be gone when a sample hits them.
    pub live: bool,
    /// Compressed records come out as what is inside them.
    pub decompress: bool,
    /// What is damaged is left out, and all that is whole comes out.
    pub recover: bool,
    /// Code that processes made as they ran gets names: [`Run::with_jit`](crate::Run::with_jit).
    pub jit: bool,
}

/// The tools of a plan; those that are not asked for are not there, and cost nothing.
#[derive(Debug)]
pub struct Tools {
    /// Tells functions of jitted code.
    pub jit: Option<Jit>,
    /// Injects build-ids.
    pub build_ids: Option<BuildIds>,
    drop_feature: Option<DropFeature>,
}

impl Plan {
    /// Whether records are changed or put between others, so that they cannot be copied as they are.
    pub(crate) fn changes_records(self) -> bool {
        self.decompress || self.recover || self.jit || self.ids_to.is_some_and(|to| to.events || to.mmap2)
    }

    /// Whether compressed records come out as what is inside them: asked for, or because maps inside them change.
    pub(crate) fn writes_plain(self) -> bool {
        self.decompress || self.jit || self.ids_to.is_some_and(|to| to.mmap2)
    }

    /// The tools that do what was asked for. Ids come from `sources`, and go to `ids_to` where the plan does not
    /// say.
    #[must_use]
    pub fn tools(self, sources: Chain, ids_to: IdsTo) -> Tools {
        let ids_to = self.ids_to.unwrap_or(ids_to);
        Tools {
            jit: None,
            build_ids: self.build_ids.map(|which| {
                let build_ids = BuildIds::new(which, sources, ids_to).eager(self.live);
                build_ids.drop_unused(self.drop_unused_maps)
            }),
            drop_feature: self.writes_plain().then_some(DropFeature(Feature::COMPRESSED)),
        }
    }
}

impl Tools {
    /// The tools in the order in which they see a record.
    pub fn as_tools(&mut self) -> Vec<&mut dyn Tool> {
        let jit = self.jit.iter_mut().map(|tool| tool as &mut dyn Tool);
        let build_ids = self.build_ids.iter_mut().map(|tool| tool as &mut dyn Tool);
        jit.chain(build_ids).chain(self.drop_feature.iter_mut().map(|tool| tool as &mut dyn Tool)).collect()
    }
}
