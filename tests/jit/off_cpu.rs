//! `--jit` beside `--off-cpu` and `--sched-stat`: jitted functions in which threads sleep have names.

use perf_format::testing::At;
use perf_format::testing::sched::SchedEvent::{CpuClock, StatSleep, Switch, Waking};
use perf_format::testing::sched::SchedStream;

use crate::made::{Lab, PID, dump_of, each, function, monotonic, with_arena};

#[test]
fn a_sleep_in_a_jitted_function_has_its_name() {
    each(|form, endian| {
        let lab = Lab::new();
        lab.write_dump(PID, dump_of(endian, 100, &["a", "b"]));
        let place = [512_u64.wrapping_neg(), function(1) + 1, function(0) + 2];
        let stream = SchedStream::with_attrs(endian, &[Switch, Waking, StatSleep, CpuClock], monotonic)
            // In the other byte order a file's features are found by the host's name.
            .with(|stream| stream.recorded_on("host", "6.1", "x86_64"))
            .with(|stream| lab.marked(with_arena(stream, PID), PID))
            .switch(0, At::new(PID, 200), 1, 8, &place)
            .finished_round()
            .waking(0, At::new(8, 600), PID)
            .stat_sleep(0, At::new(8, 700), PID, 500)
            .finished_round()
            .switch(0, At::new(8, 900), 1, PID, &[])
            .finished_round()
            .bytes();
        for (option, time) in [("--off-cpu", 900), ("-s", 700)] {
            lab.clear();
            let done = lab.run(form, &["--jit", "-b", option], &stream).well((form, endian, option));
            let seen = done.seen();
            let at_time: Vec<_> =
                seen.iter().filter(|(at, _)| *at == time).map(|(_, frames)| frames).collect();
            let named = at_time.iter().filter(|frames| ***frames == ["b+0x1", "a+0x2"]).count();
            assert_eq!(named, if option == "-s" { 1 } else { 2 }, "{form:?} {endian:?} {option}: {seen:?}");
        }
    });
}
