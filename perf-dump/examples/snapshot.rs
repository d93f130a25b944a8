//! A recording that a test keeps: what a program does, as text in which nothing differs between two runs of it.
//! `cargo insta review` shows what has changed, line by line.

use insta::assert_snapshot;
use perf_dump::stable_text;
use perf_format::Endian;
use perf_format::record::CpuMode;
use perf_format::testing::{At, StreamBuilder};

/// What a test would record: here it is made, by a process of some number, at some time and address.
fn recorded(pid: u32) -> Vec<u8> {
    let (at, base) = (|time| At::new(pid, 1000 * u64::from(pid) + time), 0x10_0000 * u64::from(pid));
    StreamBuilder::with_callchains(Endian::NATIVE)
        .exec(at(1), "run")
        .mmap2(at(2), base, 0x1000, "/usr/bin/run")
        .sample(CpuMode::User, at(3), base + 0x10, &[])
        .bytes()
}

fn main() -> Result<(), perf_format::Error> {
    let text = stable_text(&recorded(4711))?;
    assert_eq!(stable_text(&recorded(17))?, text);
    assert_snapshot!(text, @r#"
        HEADER format=pipe
        ATTR event="cycles" type=0 size=128 sample_type=IP|TID|TIME|CALLCHAIN|PERIOD flags=task|sample_id_all|mmap2|comm_exec ids=[id#1]
        COMM misc=COMM_EXEC pid=pid#1 tid=tid#1 comm="run" sample_id={pid=pid#1 tid=tid#1 time=*}
        MMAP2 misc=USER pid=pid#1 tid=tid#1 start="/usr/bin/run+0x0" len=0x1000 pgoff=0x0 maj=* min=* ino=0 ino_generation=* prot=r-x flags=private filename="/usr/bin/run" sample_id={pid=pid#1 tid=tid#1 time=*}
        SAMPLE misc=USER event="cycles" ip="/usr/bin/run+0x10" pid=pid#1 tid=tid#1 time=* period=1 callchain=[]
        "#);
    Ok(())
}
