//! Which DSOs call chains hit: the question that perf before 7 does not ask, answered by the simplest means there are.
//! All records are sorted by time; maps are a list that is looked through from its end.

use std::collections::{BTreeMap, BTreeSet};

use perf_format::record::{Misc, Mmap2, Record};
use perf_format::testing::records;
use perf_format::{CpuMode, PipeStream, RawRecord, RecordType};
use perf_session::evlist::Evlist;

/// Addresses from the first up to the second, and what is mapped there.
type Maps = Vec<(u64, u64, String)>;

/// What the chains' markers say of the addresses behind them: `PERF_CONTEXT_KERNEL` and `PERF_CONTEXT_USER`.
const KERNEL: u64 = 128_u64.wrapping_neg();
const USER: u64 = 512_u64.wrapping_neg();
const MARKERS: u64 = 4095_u64.wrapping_neg();

/// The names of the DSOs that the call chains of a stream of plain records hit, as `perf buildid-list` names them.
pub fn hit(stream: &[u8]) -> BTreeSet<String> {
    let endian = PipeStream::open(stream).expect("a pipe's header").records().endian();
    let owned = records(stream);
    let raws = owned.iter().map(|record| RawRecord::first(&record.bytes, 0, endian).expect("a whole record"));
    let mut evlist = Evlist::default();
    let mut in_time = Vec::new();
    for raw in raws {
        if let Ok(Record::HeaderAttr(event)) = raw.parse() {
            evlist.add(event.attr, event.ids.0.iter());
        } else if raw.record_type().is_kernel() {
            in_time.push((evlist.time(&raw).unwrap_or(0), raw));
        }
    }
    in_time.sort_by_key(|(time, _)| *time);
    let mut kernel = Maps::new();
    let mut spaces: BTreeMap<u32, Maps> = BTreeMap::new();
    let mut hit = BTreeSet::new();
    for (_, raw) in in_time {
        match (raw.record_type(), raw.parse()) {
            (RecordType::MMAP | RecordType::MMAP2, _) => {
                let map = Mmap2::of_record(&raw).expect("a map");
                let is_kernel = raw.misc().cpumode() == CpuMode::Kernel;
                let maps = if is_kernel { &mut kernel } else { spaces.entry(map.pid).or_default() };
                maps.push((map.start, map.start.saturating_add(map.len), mapped_name(&map)));
            }
            (_, Ok(Record::Fork(task))) if task.pid != task.ppid && !raw.misc().has(Misc::FORK_EXEC) => {
                let maps = spaces.get(&task.ppid).cloned().unwrap_or_default();
                spaces.insert(task.pid, maps);
            }
            (_, Ok(Record::Comm(comm))) if raw.misc().has(Misc::COMM_EXEC) => _ = spaces.remove(&comm.pid),
            (RecordType::SAMPLE, _) => {
                let format = &evlist.evsel(&raw).expect("of an event").format;
                let pid = format.tid(&raw).expect("a process").pid;
                let mut maps = None;
                for word in
                    format.callchain(&raw).expect("a chain").into_iter().flat_map(|chain| chain.iter())
                {
                    match word {
                        KERNEL => maps = Some(&kernel),
                        USER => maps = spaces.get(&pid),
                        MARKERS.. => maps = None,
                        addr => {
                            let mut latest = maps.into_iter().flatten().rev();
                            let map = latest.find(|(start, end, _)| (*start..*end).contains(&addr));
                            hit.extend(map.map(|(_, _, name)| name.clone()));
                        }
                    }
                }
            }
            _ => {}
        }
    }
    hit
}

fn mapped_name(map: &Mmap2<'_>) -> String {
    let name = map.filename.to_string();
    match &*name {
        "//anon" => format!("/tmp/perf-{}.map", map.pid),
        _ if name.starts_with("[kernel.kallsyms]") => "[kernel.kallsyms]".to_owned(),
        _ => name,
    }
}
