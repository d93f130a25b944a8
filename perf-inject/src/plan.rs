//! What was asked for, and the tools that do it.

use perf_session::Tool;
use perf_session::build_id::Chain;

use crate::BuildIds;

/// What shall be injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Plan {
    /// A BUILD_ID record in front of the first sample that hits a DSO.
    pub build_ids: bool,
}

/// The tools of a plan; those that are not asked for are not there, and cost nothing.
#[derive(Debug)]
pub struct Tools {
    /// Injects build-ids.
    pub build_ids: Option<BuildIds>,
}

impl Plan {
    /// The tools that do what was asked for. Ids come from `sources`.
    #[must_use]
    pub fn tools(self, sources: Chain) -> Tools {
        Tools { build_ids: self.build_ids.then(|| BuildIds::new(sources)) }
    }
}

impl Tools {
    /// The tools in the order in which they see a record.
    pub fn as_tools(&mut self) -> Vec<&mut dyn Tool> {
        self.build_ids.iter_mut().map(|tool| tool as &mut dyn Tool).collect()
    }
}
