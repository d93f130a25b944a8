//! What a run came to.

use perf_format::Damage;
use perf_session::{Passed, Session};

use crate::callchain::CallchainSummary;
use crate::jit::JitSummary;
use crate::off_cpu::OffCpuSummary;
use crate::sched_stat::SchedStatSummary;
use crate::{IdSummary, NameSummary};

/// The report of a run, whether or not it came to its end.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RunReport {
    /// The state that the records described.
    pub session: Session,
    /// Counts of what has passed.
    pub passed: Passed,
    /// The damage that was left out; `None` without [`Plan::recover`](crate::Plan::recover).
    pub damage: Option<Damage>,
    /// The summary of the ids; `None` where the plan injects none.
    pub ids: Option<IdSummary>,
    /// What samples lie in that will have no name; `None` where the plan does not look at what they lie in.
    pub names: Option<NameSummary>,
    /// How stacks were converted; `None` where the plan converts none.
    pub callchains: Option<CallchainSummary>,
    /// The summaries of the jitted code of each process.
    pub jit: Vec<JitSummary>,
    /// What became of the time that threads were off CPU; `None` where the plan has no such samples.
    pub off_cpu: Option<OffCpuSummary>,
    /// What became of the scheduler's samples; `None` where the plan does not merge them.
    pub sched_stat: Option<SchedStatSummary>,
    /// Whether what was written to a file has its header, and so can be read, even if the run ended with an error.
    pub framed: bool,
}
