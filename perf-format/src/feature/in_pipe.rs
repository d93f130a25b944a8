//! What perf takes of a feature in a pipe. From a file it reads on behind a feature that it cannot use; a pipe it stops
//! reading at it, records and all. What perf 6.1, 6.12 and 7.3 stop at was found by showing streams to them.

use std::fmt;

use bstr::{BStr, ByteSlice as _};

use super::Feature;
use crate::Endian;
use crate::codec::{Decoder, FieldError, Problem};
use crate::misc::Misc;

/// Features that perf will number itself; from here on numbers are of other recorders (simpleperf).
const NUMBERS_OF_PERF: u32 = 128;

/// The largest number of a CPU in a list of CPUs: perf keeps it in 16 bits with a sign.
const CPU_AT_MOST: u32 = 32_766;

/// Why readers of a pipe refuse a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PipeRefusal {
    /// The number is none of perf's features.
    Number,
    /// The content is not that of the feature.
    Content(FieldError),
    /// A record does not hold it. No such feature can be kept.
    TooLarge,
}

impl fmt::Display for PipeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => write!(f, "its number is none of perf's"),
            Self::Content(FieldError { field, problem }) => write!(f, "its {field}: {problem}"),
            Self::TooLarge => write!(f, "it does not fit in a record"),
        }
    }
}

/// Facts of the recording against which readers compare features.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Described<'a> {
    pub(crate) endian: Endian,
    /// The ARCH feature.
    pub(crate) arch: &'a [u8],
    /// The NRCPUS feature.
    pub(crate) cpus: &'a [u8],
    /// How many events there are.
    pub(crate) events: usize,
}

/// Whether readers of a pipe take a feature.
pub(crate) fn check(feature: Feature, data: &[u8], described: &Described<'_>) -> Result<(), PipeRefusal> {
    if !(1..NUMBERS_OF_PERF).contains(&feature.0) {
        return Err(PipeRefusal::Number);
    }
    let content = Content { d: Decoder::new(data, 0, described.endian, Misc::default()), described };
    content.check(feature).map_err(PipeRefusal::Content)
}

/// The CPUs of the NRCPUS feature.
#[derive(Debug, Clone, Copy)]
struct Cpus {
    available: u32,
    online: u32,
}

struct Content<'a> {
    d: Decoder<'a>,
    described: &'a Described<'a>,
}

type Checked<T = ()> = Result<T, FieldError>;

impl<'a> Content<'a> {
    fn check(mut self, feature: Feature) -> Checked {
        match feature {
            Feature::HOSTNAME
            | Feature::OSRELEASE
            | Feature::VERSION
            | Feature::ARCH
            | Feature::CPUDESC
            | Feature::CPUID => self.text("text").map(drop),
            Feature::NRCPUS => self.cpus().map(drop),
            Feature::TOTAL_MEM | Feature::CLOCKID => self.u64("number").map(drop),
            Feature::SAMPLE_TIME => self.bytes(16, "times"),
            Feature::COMPRESSED => self.bytes(20, "words"),
            Feature::E_MACHINE => self.bytes(8, "machine"),
            Feature::CLN_SIZE => self.bytes(4, "size"),
            Feature::CMDLINE => self.texts("count of arguments", 1 << 20, 1),
            Feature::CPU_TOPOLOGY => self.cpu_topology(),
            Feature::NUMA_TOPOLOGY => self.numa_topology(),
            Feature::PMU_MAPPINGS => self.each("count of PMUs", 1 << 12, |content| {
                content.bytes(4, "PMU")?;
                content.text("name of a PMU").map(drop)
            }),
            Feature::GROUP_DESC => self.group_desc(),
            Feature::CACHE => self.cache(),
            Feature::MEM_TOPOLOGY => self.mem_topology(),
            Feature::BPF_PROG_INFO => self.each("count of programs", 1 << 17, |content| {
                let (info, data) =
                    (content.u32("size of a program's info")?, content.u32("size of its data")?);
                content.u64("arrays of a program")?;
                content.bytes(u64::from(info) + u64::from(data), "program")
            }),
            Feature::BPF_BTF => self.each("count of types", u32::MAX, |content| {
                content.u32("id of a type")?;
                let size = content.u32("size of a type")?;
                content.bytes(size.into(), "type")
            }),
            Feature::CPU_PMU_CAPS => self.texts("count of capabilities", 512, 2),
            Feature::CLOCK_DATA => {
                self.one_of("version", &[1])?;
                self.bytes(20, "clocks")
            }
            Feature::HYBRID_TOPOLOGY => self.texts("count of PMUs", 1 << 12, 2),
            Feature::PMU_CAPS => self.each("count of PMUs", 1 << 12, |content| {
                content.texts("count of capabilities", 512, 2)?;
                content.text("name of a PMU").map(drop)
            }),
            Feature::CPU_DOMAIN_INFO => self.cpu_domain_info(),
            // EVENT_DESC is not needed, and of those that perf may add only perf can tell.
            _ => Ok(()),
        }
    }

    fn u32(&mut self, field: &'static str) -> Checked<u32> {
        self.d.field(field)
    }

    fn u64(&mut self, field: &'static str) -> Checked<u64> {
        self.d.field(field)
    }

    fn bytes(&mut self, len: u64, field: &'static str) -> Checked {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.d.take(len).map(drop).map_err(|problem| FieldError { field, problem })
    }

    /// A string with its length in front, which is padded; it has a byte at least.
    fn text(&mut self, field: &'static str) -> Checked<&'a BStr> {
        let len = self.u32(field)?;
        let wrong = |problem| FieldError { field, problem };
        if len == 0 {
            return Err(wrong(Problem::Size(0)));
        }
        self.d.take(len as usize).map(BStr::new).map_err(wrong)
    }

    /// A count, and so many elements, each of which has some bytes.
    fn each(
        &mut self,
        field: &'static str,
        at_most: u32,
        mut element: impl FnMut(&mut Self) -> Checked,
    ) -> Checked {
        let count = self.u32(field)?;
        if count > at_most {
            return Err(FieldError { field, problem: Problem::Count(count.into()) });
        }
        (0..count).try_for_each(|_| element(self))
    }

    fn texts(&mut self, field: &'static str, at_most: u32, each: usize) -> Checked {
        self.each(field, at_most, |content| (0..each).try_for_each(|_| content.text("text").map(drop)))
    }

    fn one_of(&mut self, field: &'static str, values: &[u32]) -> Checked {
        let value = self.u32(field)?;
        expect(values.contains(&value), field, value)
    }

    fn cpus(&mut self) -> Checked<Cpus> {
        let (available, online) = (self.u32("available CPUs")?, self.u32("online CPUs")?);
        expect(available <= 1 << 20, "available CPUs", available)?;
        expect(online <= available, "online CPUs", online)?;
        Ok(Cpus { available, online })
    }

    /// The CPUs of the recording, for a feature that has something for each.
    fn described_cpus(&self) -> Checked<Cpus> {
        let d = Decoder::new(self.described.cpus, 0, self.described.endian, Misc::default());
        let cpus = Content { d, described: self.described }.cpus()?;
        expect(cpus.available > 0, "available CPUs", 0)?;
        Ok(cpus)
    }

    /// Socket ids are compared with the number of CPUs, but on architectures where they say nothing of each other. Ids,
    /// and then dies, may be missing.
    fn cpu_topology(&mut self) -> Checked {
        let cpus = self.described_cpus()?.available;
        self.texts("count of cores", cpus, 1)?;
        self.texts("count of threads", cpus, 1)?;
        if self.d.rest().is_empty() {
            return Ok(());
        }
        let arch = self.described.arch.get(4..).unwrap_or_default();
        let any_socket = arch.starts_with(b"aarch64") || arch.starts_with(b"s390");
        for _ in 0..cpus {
            self.u32("core id")?;
            let socket = self.u32("socket id")?;
            expect(any_socket || socket <= cpus || socket == u32::MAX, "socket id", socket)?;
        }
        if self.d.rest().is_empty() {
            return Ok(());
        }
        self.texts("count of dies", cpus, 1)?;
        self.bytes(4 * u64::from(cpus), "die ids")
    }

    fn numa_topology(&mut self) -> Checked {
        self.each("count of nodes", 1 << 12, |content| {
            content.bytes(20, "node")?;
            let cpus = content.text("CPUs of a node")?;
            let problem = if is_cpu_list(cpus) { return Ok(()) } else { Problem::Unexpected };
            Err(FieldError { field: "CPUs of a node", problem })
        })
    }

    /// Groups come in the order of their events, and each event is in one at the most.
    fn group_desc(&mut self) -> Checked {
        let mut end = 0;
        let events = self.described.events as u64;
        self.each("count of groups", 1 << 15, |content| {
            content.text("name of a group")?;
            let (leader, members) = (content.u32("leader of a group")?, content.u32("members of a group")?);
            expect(u64::from(leader) >= end, "leader of a group", leader)?;
            end = u64::from(leader) + u64::from(members);
            expect(members > 0 && end <= events, "members of a group", members)
        })
    }

    fn cache(&mut self) -> Checked {
        self.one_of("version", &[1])?;
        self.each("count of caches", 1 << 15, |content| {
            content.bytes(16, "cache")?;
            (0..3).try_for_each(|_| content.text("text of a cache").map(drop))
        })
    }

    fn mem_topology(&mut self) -> Checked {
        let version = self.u64("version")?;
        if version != 1 {
            return Err(FieldError { field: "version", problem: Problem::Value(version) });
        }
        self.u64("size of a block")?;
        for _ in 0..self.u64("count of nodes")? {
            self.bytes(16, "node")?;
            let bits = self.u64("count of blocks")?;
            self.bytes(bits.div_ceil(64).saturating_mul(8), "blocks of a node")?;
        }
        Ok(())
    }

    /// Each online CPU once, with its domains; from version 17 of /proc/schedstat on, these have names.
    fn cpu_domain_info(&mut self) -> Checked {
        let cpus = self.described_cpus()?;
        let (version, domains) = (self.u32("version")?, self.u32("count of domains")?);
        expect(domains <= 64, "count of domains", domains)?;
        let texts = if version >= 17 { 3 } else { 2 };
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..cpus.online {
            let cpu = self.u32("CPU")?;
            expect(cpu < cpus.available && seen.insert(cpu), "CPU", cpu)?;
            let mut of_cpu = 0_u64;
            self.each("count of a CPU's domains", domains, |content| {
                let domain = content.u32("domain")?;
                let fits = domain < domains && of_cpu >> domain & 1 == 0;
                of_cpu |= 1_u64.checked_shl(domain).unwrap_or_default();
                expect(fits, "domain", domain)?;
                (0..texts).try_for_each(|_| content.text("text of a domain").map(drop))
            })?;
        }
        Ok(())
    }
}

fn expect(fits: bool, field: &'static str, value: u32) -> Checked {
    if fits { Ok(()) } else { Err(FieldError { field, problem: Problem::Value(value.into()) }) }
}

/// Whether a text is a list of CPUs, such as `0-3,8`, up to a NUL; the empty list is one.
fn is_cpu_list(text: &BStr) -> bool {
    let Some(list) = text.find_byte(0).and_then(|end| text.get(..end)).and_then(|list| list.to_str().ok())
    else {
        return false;
    };
    let cpu = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|cpu: &u32| digits && *cpu <= CPU_AT_MOST)
    };
    let is_range = |range: &str| match range.split_once('-') {
        Some((first, last)) => cpu(first).zip(cpu(last)).is_some_and(|(first, last)| first <= last),
        None => cpu(range).is_some(),
    };
    list.is_empty() || list.split(',').all(is_range)
}
