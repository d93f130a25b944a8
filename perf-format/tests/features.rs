//! Features are read in both byte orders, said in perf's words, and hostile ones are errors.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use perf_format::attr::SampleType;
use perf_format::strategies::{config, endian};
use perf_format::testing::{attr, features};
use perf_format::{Endian, Error, EventAttr, Feature, FeatureValue, PerfReader, Preamble};
use proptest::prelude::*;

const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

fn preamble(endian: Endian) -> Preamble {
    let bytes = attr(SampleType::IP).to_bytes(endian);
    let event = |id| EventAttr { attr: bytes.clone(), ids: vec![id] };
    let mut preamble = Preamble::new(endian, vec![event(1), event(2)]);
    preamble.features = features::whole(endian);
    for flag in [Feature::BRANCH_STACK, Feature::STAT] {
        preamble.features.insert(flag, Vec::new());
    }
    preamble.features.insert(Feature::DIR_FORMAT, endian.put_u64(1).to_vec());
    preamble
}

fn said(preamble: &Preamble) -> BTreeMap<Feature, String> {
    let value = |feature: &Feature| preamble.feature(*feature).unwrap().unwrap().to_string();
    preamble.features.keys().map(|feature| (*feature, value(feature))).collect()
}

#[test]
fn every_feature_is_read_in_both_orders_and_said_in_perfs_words() {
    for endian in ORDERS {
        let said: Vec<_> = said(&preamble(endian)).into_values().collect();
        assert_eq!(said.join("\n"), EVERY_FEATURE);
    }
}

const EVERY_FEATURE: &str = "\
hostname : host
os release : 6.1
perf version : 6.1
arch : x86_64
nrcpus online : 2
nrcpus avail : 2
cpudesc : a CPU
cpuid : CPU,1
total memory : 1048576 kB
cmdline : perf record\x20
event : name = cycles, , type = 0, size = 0
sibling sockets : 0
sibling sockets : 1
sibling dies    : 0-1
sibling threads : 0
sibling threads : 1
CPU 0: Core ID 0, Die ID 0, Socket ID 0
CPU 1: Core ID 1, Die ID 0, Socket ID 0
node0 meminfo  : total = 1 kB, free = 1 kB
node0 cpu list : 0-1
contains samples with branch stack
pmu mappings: cpu = 4
group: group{cycles,cycles}
contains stat data
CPU cache info:
 L1 Data                 32K [0]
time of first sample : 0.000000
time of last sample : 0.000000
sample duration :      0.000 ms
memory nodes (nr 1, block size 0x1000):
   0 [12K]: 0-2
clockid frequency: 1000 MHz
directory data version : 1
BPF_PROG_INFO: 228 bytes
BPF_BTF: 28 bytes
compressed : Zstd, level = 1, ratio = 2
cpu pmu capabilities: branches=32
clockid: monotonic (1)
reference time: 0.000000 (TOD) = 0.000000006 (monotonic)
hybrid cpu system:
cpu_core cpu list : 0-1
cpu pmu capabilities: branches=32
CPU_DOMAIN_INFO: 104 bytes
e_machine : 62
  e_flags : 0
cacheline size: 64";

#[test]
fn values_are_typed() {
    for endian in ORDERS {
        let preamble = preamble(endian);
        let value = |feature| preamble.feature(feature).unwrap().unwrap();
        assert_eq!(value(Feature::ARCH).as_text(), Some("x86_64".into()));
        assert_eq!(value(Feature::NRCPUS).as_text(), None);
        let FeatureValue::CpuTopology(topology) = value(Feature::CPU_TOPOLOGY) else { panic!("no topology") };
        assert_eq!((topology.cpus[1].core, topology.cpus[1].die), (1, Some(0)));
        let FeatureValue::MemoryTopology(memory) = value(Feature::MEM_TOPOLOGY) else { panic!("no memory") };
        assert_eq!((memory.block_size, &memory.nodes[0].blocks[..]), (4096, &[7][..]));
        let FeatureValue::ClockData(clock) = value(Feature::CLOCK_DATA) else { panic!("no clock") };
        assert_eq!((clock.clockid, clock.wall, clock.clock), (1, 5, 6));
        let FeatureValue::Groups(groups) = value(Feature::GROUP_DESC) else { panic!("no groups") };
        assert_eq!((groups[0].leader, groups[0].len, groups[0].members.len()), (0, 2, 2));
        let FeatureValue::Events(events) = value(Feature::EVENT_DESC) else { panic!("no events") };
        assert_eq!((events[0].name.to_string(), events[0].ids.len()), ("cycles".to_owned(), 0));
        assert!(preamble.feature(Feature(200)).is_none());
    }
}

/// A topology from before there were dies, and one that has no ids.
#[test]
fn parts_that_older_recorders_did_not_write_are_missing_and_no_error() {
    for endian in ORDERS {
        let mut preamble = preamble(endian);
        let b = features::Bytes(endian);
        let mut topology = |ids: &[(u32, u32)]| {
            preamble.features.insert(Feature::CPU_TOPOLOGY, b.topology(ids));
            preamble.feature(Feature::CPU_TOPOLOGY).unwrap().map(|value| value.to_string())
        };
        let siblings = "sibling sockets : 0\nsibling sockets : 1\nsibling threads : 0\nsibling threads : 1";
        assert_eq!(topology(&[]).unwrap(), siblings);
        let places = "CPU 0: Core ID 5, Socket ID 0\nCPU 1: Core ID -1, Socket ID 1";
        assert_eq!(topology(&[(5, 0), (u32::MAX, 1)]).unwrap(), format!("{siblings}\n{places}"));
        assert_eq!(
            topology(&[(0, 0)]).unwrap_err().to_string(),
            "CPU_TOPOLOGY at offset 0x0: field core id: it is cut short"
        );
    }
}

/// `perf report --header-only -I` of perf 7.3 and 6.1, without what it says of the file.
#[test]
fn the_features_of_recordings_are_said_as_perf_says_them() {
    let lines_of = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name);
        let reader = PerfReader::open(File::open(path).unwrap()).unwrap();
        said(reader.preamble()).into_values().collect::<Vec<_>>().join("\n")
    };
    let expected = [
        ("newest.data", NEWEST),
        ("clockid.pipe", "clockid frequency: 1000 MHz\n"),
        (
            "clockid.pipe",
            "clockid: monotonic (1)\nreference time: 1795465735.676281 (TOD) = 3755.071708067 (monotonic)",
        ),
        ("group.pipe", "group: {cpu-clock,page-faults}\n"),
        ("newest-compressed.data", "compressed : Zstd, level = 1, ratio = 4\n"),
        ("compressed.pipe", "compressed : Zstd, level = 1, ratio = 0\n"),
        (
            "plain.data",
            "cmdline : /usr/bin/perf record -o /tmp/plain.data -F 199 -e cpu-clock -- sh -c \
            seq 1200000 | sort -r | gzip | wc -c \n",
        ),
        ("tracepoint.pipe", "event : name = sched:sched_switch, , id = {"),
    ];
    for (name, part) in expected {
        let lines = lines_of(name);
        assert!(lines.contains(part), "{name}:\n{lines}");
    }
}

const NEWEST: &str = "\
hostname : debian
os release : 6.18.44-fc-v782
perf version : 7.3.4
arch : x86_64
nrcpus online : 2
nrcpus avail : 2
cpudesc : AMD EPYC
cpuid : AuthenticAMD,25,1,1
total memory : 24683656 kB
cmdline : /usr/bin/perf\x20
event : name = cpu-clock, , id = { 67974, 67975 }, type = 1, size = 144
sibling sockets : 0-1
sibling dies    : 0-1
sibling threads : 0
sibling threads : 1
CPU 0: Core ID 0, Die ID 0, Socket ID 0
CPU 1: Core ID 1, Die ID 0, Socket ID 0
node0 meminfo  : total = 24683656 kB, free = 2119092 kB
node0 cpu list : 0-1
pmu mappings: cpu = 4, breakpoint = 5, msr = 9, software = 1, tool = 4294967294, tracepoint = 2, uprobe = 8
CPU cache info:
 L1 Data                 32K [0]
 L1 Instruction          32K [0]
 L1 Data                 32K [1]
 L1 Instruction          32K [1]
 L2 Unified             512K [0]
 L2 Unified             512K [1]
 L3 Unified           32768K [0-1]
time of first sample : 23595.580344
time of last sample : 23597.313048
sample duration :   1732.704 ms
memory nodes (nr 1, block size 0x8000000):
   0 [24G]: 0-23,32-199
";

#[test]
fn a_feature_cut_anywhere_is_an_error_or_what_is_whole_of_it() {
    // Those that are shorter in older recordings, and those that any bytes are.
    let any_length =
        [Feature::CPU_TOPOLOGY, Feature::BPF_PROG_INFO, Feature::BPF_BTF, Feature::CPU_DOMAIN_INFO];
    for endian in ORDERS {
        let whole = preamble(endian);
        for (feature, data) in &whole.features {
            for len in 0..data.len() {
                let mut cut = whole.clone();
                cut.features.insert(*feature, data[..len].to_vec());
                match cut.feature(*feature).unwrap() {
                    Ok(_) => assert!(any_length.contains(feature), "{feature} of {len} bytes"),
                    Err(error) => assert!(matches!(error, Error::Structure { .. }), "{error}"),
                }
            }
        }
    }
}

#[test]
fn damaged_features_are_read_or_refused() {
    for endian in ORDERS {
        for (_, feature, data) in features::damaged(endian) {
            let mut preamble = preamble(endian);
            preamble.features.insert(feature, data);
            if let Ok(value) = preamble.feature(feature).unwrap() {
                assert!(!value.to_string().is_empty(), "{feature}");
            }
        }
    }
}

proptest! {
    #![proptest_config(config(512, "features"))]

    #[test]
    fn hostile_features_are_read_or_refused_and_can_be_said(
        endian in endian(),
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut preamble = preamble(endian);
        let feature = *which.get(&preamble.features.keys().copied().collect::<Vec<_>>());
        let Some(data) = preamble.features.get_mut(&feature).filter(|data| !data.is_empty()) else { return Ok(()) };
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        for feature in preamble.features.keys() {
            if let Some(Ok(value)) = preamble.feature(*feature) {
                // Some have nothing to say: a list of no groups.
                let _ = value.to_string();
            }
        }
    }
}
