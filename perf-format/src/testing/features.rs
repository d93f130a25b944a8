//! Features of two CPUs and two events, each with something of all that it can have, and damaged ones.

use std::collections::BTreeMap;

use crate::{Endian, Feature};

/// Writes the parts of features in a byte order.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub Endian);

impl Bytes {
    /// A word.
    #[must_use]
    pub fn u32(self, word: u32) -> Vec<u8> {
        self.0.put_u32(word).to_vec()
    }

    fn u32s(self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| self.0.put_u32(*word)).collect()
    }

    fn u64s(self, words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| self.0.put_u64(*word)).collect()
    }

    /// A string with its length, padded to eight bytes.
    #[must_use]
    pub fn text(self, text: &str) -> Vec<u8> {
        let len = (text.len() + 1).next_multiple_of(8);
        let mut bytes = self.u32(u32::try_from(len).expect("short"));
        bytes.extend_from_slice(text.as_bytes());
        bytes.resize(4 + len, 0);
        bytes
    }

    fn texts(self, texts: &[&str]) -> Vec<u8> {
        let count = self.u32(u32::try_from(texts.len()).expect("few"));
        count.into_iter().chain(texts.iter().flat_map(|text| self.text(text))).collect()
    }

    /// The topology of CPUs with these ids of cores and sockets, each a thread of its own; without dies.
    #[must_use]
    pub fn topology(self, ids: &[(u32, u32)]) -> Vec<u8> {
        let ids: Vec<_> = ids.iter().flat_map(|(core, socket)| self.u32s(&[*core, *socket])).collect();
        [self.texts(&["0", "1"]), self.texts(&["0", "1"]), ids].concat()
    }

    fn numa(self, cpus: &str) -> Vec<u8> {
        [self.u32s(&[1, 0]), self.u64s(&[1, 1]), self.text(cpus)].concat()
    }

    fn groups(self, groups: &[[u32; 2]]) -> Vec<u8> {
        let count = self.u32(u32::try_from(groups.len()).expect("few"));
        let group = |group| [self.text("group"), self.u32s(group)].concat();
        count.into_iter().chain(groups.iter().flat_map(|words| group(words))).collect()
    }

    fn domains(self, version: u32, max: u32, cpus: [u32; 2], domains: &[u32]) -> Vec<u8> {
        let mut bytes = self.u32s(&[version, max]);
        for cpu in cpus {
            bytes.extend(self.u32s(&[cpu, u32::try_from(domains.len()).expect("few")]));
            for domain in domains {
                bytes.extend(self.u32(*domain));
                let texts = if version < 17 { &["3", "0-1"][..] } else { &["MC", "3", "0-1"] };
                bytes.extend(texts.iter().flat_map(|text| self.text(text)));
            }
        }
        bytes
    }
}

/// Features as perf writes them, all that have bytes and a place in a pipe.
#[must_use]
pub fn whole(endian: Endian) -> BTreeMap<Feature, Vec<u8>> {
    let b = Bytes(endian);
    let event = [b.u32s(&[1, 112]), vec![0; 112], b.u32(0), b.text("cycles")].concat();
    let dies = [b.texts(&["0-1"]), b.u32s(&[0, 0])].concat();
    [
        (Feature::HOSTNAME, b.text("host")),
        (Feature::OSRELEASE, b.text("6.1")),
        (Feature::VERSION, b.text("6.1")),
        (Feature::ARCH, b.text("x86_64")),
        (Feature::NRCPUS, b.u32s(&[2, 2])),
        (Feature::CPUDESC, b.text("a CPU")),
        (Feature::CPUID, b.text("CPU,1")),
        (Feature::TOTAL_MEM, b.u64s(&[1 << 20])),
        (Feature::CMDLINE, b.texts(&["perf", "record"])),
        (Feature::EVENT_DESC, event),
        (Feature::CPU_TOPOLOGY, [b.topology(&[(0, 0), (1, 0)]), dies].concat()),
        (Feature::NUMA_TOPOLOGY, b.numa("0-1")),
        (Feature::PMU_MAPPINGS, [b.u32s(&[1, 4]), b.text("cpu")].concat()),
        (Feature::GROUP_DESC, b.groups(&[[0, 2]])),
        (
            Feature::CACHE,
            [b.u32s(&[1, 1, 1, 64, 64, 8]), b.text("Data"), b.text("32K"), b.text("0")].concat(),
        ),
        (Feature::SAMPLE_TIME, b.u64s(&[1, 2])),
        (Feature::MEM_TOPOLOGY, b.u64s(&[1, 4096, 1, 0, 3, 3, 7])),
        (Feature::CLOCKID, b.u64s(&[1])),
        (Feature::BPF_PROG_INFO, [b.u32s(&[1, 200, 8]), b.u64s(&[0]), vec![0; 208]].concat()),
        (Feature::BPF_BTF, [b.u32s(&[1, 3, 16]), vec![0; 16]].concat()),
        (Feature::COMPRESSED, b.u32s(&[1, 1, 1, 2, 528_384])),
        (Feature::CPU_PMU_CAPS, [b.u32(1), b.text("branches"), b.text("32")].concat()),
        (Feature::CLOCK_DATA, [b.u32s(&[1, 1]), b.u64s(&[5, 6])].concat()),
        (Feature::HYBRID_TOPOLOGY, [b.u32(1), b.text("cpu_core"), b.text("0-1")].concat()),
        (Feature::PMU_CAPS, [b.u32s(&[1, 1]), b.text("branches"), b.text("32"), b.text("cpu")].concat()),
        (Feature::CPU_DOMAIN_INFO, b.domains(17, 1, [0, 1], &[0])),
        (Feature::E_MACHINE, b.u32s(&[62, 0])),
        (Feature::CLN_SIZE, b.u32(64)),
    ]
    .into()
}

/// Features that a perf refuses in a pipe, in the place of those of [`whole`], and what is wrong with each. They are
/// whole as far as their counts and lengths tell.
#[must_use]
pub fn damaged(endian: Endian) -> Vec<(&'static str, Feature, Vec<u8>)> {
    let b = Bytes(endian);
    let domains = |version, max, cpus, domains: &[u32]| b.domains(version, max, cpus, domains);
    vec![
        ("a number of simpleperf's", Feature(129), b.text("simpleperf")),
        ("a string of no bytes", Feature::HOSTNAME, b.u32(0)),
        ("more CPUs online than there are", Feature::NRCPUS, b.u32s(&[1, 2])),
        ("more CPUs than can be", Feature::NRCPUS, b.u32s(&[(1 << 20) + 1, 2])),
        ("no count", Feature::CMDLINE, [b.u32(22), b"hiperf record -d 1 -a\0".to_vec()].concat()),
        ("an argument of no bytes", Feature::CMDLINE, b.u32s(&[1, 0])),
        ("a socket id above the CPUs", Feature::CPU_TOPOLOGY, b.topology(&[(0, 0), (0, 3)])),
        ("ids of one CPU of two", Feature::CPU_TOPOLOGY, b.topology(&[(0, 0)])),
        ("a backward range of CPUs", Feature::NUMA_TOPOLOGY, b.numa("1-0")),
        ("no list of CPUs", Feature::NUMA_TOPOLOGY, b.numa("any")),
        (
            "a list of CPUs without its end",
            Feature::NUMA_TOPOLOGY,
            [b.u32s(&[1, 0]), b.u64s(&[1, 1]), b.u32(4), b"0-11".to_vec()].concat(),
        ),
        ("a CPU that cannot be", Feature::NUMA_TOPOLOGY, b.numa("32767")),
        ("a name of no bytes", Feature::PMU_MAPPINGS, b.u32s(&[1, 5, 0])),
        ("a leader that is no event", Feature::GROUP_DESC, b.groups(&[[5, 1]])),
        ("more members than events", Feature::GROUP_DESC, b.groups(&[[0, 3]])),
        ("a group of none", Feature::GROUP_DESC, b.groups(&[[0, 0]])),
        ("groups that share an event", Feature::GROUP_DESC, b.groups(&[[0, 2], [1, 1]])),
        ("groups out of order", Feature::GROUP_DESC, b.groups(&[[1, 1], [0, 1]])),
        ("version 2", Feature::CACHE, b.u32s(&[2, 0])),
        ("strings of no bytes", Feature::CACHE, b.u32s(&[1, 1, 1, 64, 2, 3, 0, 0, 0])),
        ("version 2", Feature::MEM_TOPOLOGY, b.u64s(&[2, 4096, 0])),
        ("more blocks than bits", Feature::MEM_TOPOLOGY, b.u64s(&[1, 4096, 1, 0, 1 << 40, 1 << 40, 1])),
        ("short data", Feature::BPF_PROG_INFO, [b.u32s(&[1, 200, 160]), vec![0; 224]].concat()),
        ("a short type", Feature::BPF_BTF, [b.u32s(&[1, 3, 32]), vec![0; 16]].concat()),
        ("strings of no bytes", Feature::CPU_PMU_CAPS, b.u32s(&[1, 0, 0])),
        ("version 2", Feature::CLOCK_DATA, [b.u32s(&[2, 1]), b.u64s(&[5, 6])].concat()),
        ("strings of no bytes", Feature::HYBRID_TOPOLOGY, b.u32s(&[1, 0, 0])),
        ("a name of no bytes", Feature::PMU_CAPS, b.u32s(&[1, 0, 0])),
        (
            "names before there were any",
            Feature::CPU_DOMAIN_INFO,
            [b.u32(16), b.domains(17, 1, [0, 1], &[0])[4..].to_vec()].concat(),
        ),
        ("a domain above their number", Feature::CPU_DOMAIN_INFO, domains(17, 1, [0, 1], &[3])),
        ("more domains than there are", Feature::CPU_DOMAIN_INFO, domains(17, 1, [0, 1], &[0, 0])),
        ("a domain twice", Feature::CPU_DOMAIN_INFO, domains(17, 2, [0, 1], &[0, 0])),
        ("more domains than can be", Feature::CPU_DOMAIN_INFO, domains(17, 65, [0, 1], &[0])),
        ("a CPU that is not there", Feature::CPU_DOMAIN_INFO, domains(17, 1, [0, 7], &[0])),
        ("a CPU twice", Feature::CPU_DOMAIN_INFO, domains(17, 1, [0, 0], &[0])),
    ]
}
