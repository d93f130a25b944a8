//! The laws of ids that go by name: what the pipeline and hits hold by themselves (perf-session's tests) is so of this tool
//! too, and what is its own.

use perf_format::strategies::scenario::scenario;
use perf_format::strategies::{config, endian};
use perf_inject::{DsoSelection, IdsTo, Plan};
use perf_session::build_id::{Chain, NoFiles, Recorded};
use perf_session::testing::{HitIds, Named, process};
use proptest::prelude::*;

/// Runs `-b` over a stream into a pipe.
fn inject(stream: &[u8]) -> Vec<u8> {
    let plan = Plan { build_ids: Some(DsoSelection::Hit), ..Plan::NOTHING };
    let sources = Chain(vec![Box::new(Recorded), Box::new(NoFiles), Box::new(Named)]);
    let events = IdsTo { events: true, ..IdsTo::default() };
    let ran = process(stream, &mut plan.tools(sources, events).as_tools());
    assert_eq!(ran.error, None);
    ran.out
}

proptest! {
    #![proptest_config(config(128, "laws"))]

    /// Law 4: the ids of what is hit, each where hits have it.
    #[test]
    fn what_is_hit_gets_its_id_where_the_hit_is_known(scenario in scenario(), endian in endian()) {
        let stream = scenario.stream(endian);
        let least = process(&stream[..], &mut [&mut HitIds::default()]);
        prop_assert_eq!(inject(&stream), least.out);
    }

    /// Law 5: idempotence.
    #[test]
    fn injecting_twice_is_injecting_once(scenario in scenario(), endian in endian()) {
        let once = inject(&scenario.stream(endian));
        prop_assert_eq!(inject(&once), once);
    }
}
