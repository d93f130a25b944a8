//! What differs between two runs of the same program is replaced by what does not: the rules of a stable dump, and the
//! mapping that they hold through all of it.

use bstr::{BStr, BString, ByteSlice};
use hashbrown::HashMap;
use perf_format::{Array, CpuMode, FieldData, FieldKind, FieldVisitor};

use crate::addresses::{AddressContext, ChainModes, ChainWord, write_place};
use crate::escape::decimal;

/// The rules of a stable dump; each says what it replaces. The default is all of them, and times that are not shown.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StableRules {
    /// Processes and threads are numbered in the order in which they come up: `pid#1`, `tid#1`. 0 and -1 stay.
    pub pids: bool,
    /// Times are `*`, or, where [`time_step`](Self::time_step) is not 0, counted from the first time that a record has and
    /// rounded towards it to that many ns: `+2000000`. A time of 0 stays. For how long an event was counted is `*`, too.
    pub times: bool,
    /// See [`times`](Self::times), in ns.
    pub time_step: u64,
    /// Addresses are the name of what was mapped there when the record was written, and the offset in that, as of
    /// [`DumpOptions::resolve`](crate::DumpOptions::resolve): `"/usr/bin/ls+0x1234"`; `*` where nothing is known to be
    /// mapped. 0 stays. Registers are so where something is mapped, and `*` otherwise; so is the `pgoff` of memory that is of
    /// no file. Pieces of memory (stacks, code, AUX traces) and physical addresses are `*`.
    pub addresses: bool,
    /// Device, inode number and generation of files and namespaces are `*`; an inode number of 0 stays. Cgroups are numbered
    /// as they come up: `cgroup#1`.
    pub inodes: bool,
    /// The numbers of CPUs are `*`; -1 stays. So is the state that a CPU was in when it came to a tracepoint: `common_flags`
    /// and `common_preempt_count`.
    pub cpus: bool,
    /// The ids of an event's instances, which there is one of a CPU, are the event's number, once: `id#1` for the first ATTR.
    /// Other ids are numbered as they come up. 0 stays.
    pub ids: bool,
    /// FINISHED_ROUND, COMPRESSED and COMPRESSED2 records are left out, since they say when perf emptied its buffers; what
    /// is in compressed records is shown. The records of a round are in the order of time, and not in that of the CPUs'
    /// buffers; those without a time stay behind the record before.
    pub rounds: bool,
    /// What tells one machine from another is `*`: the features HOSTNAME, OSRELEASE, CPUDESC, CPUID, TOTAL_MEM, NRCPUS,
    /// CPU_TOPOLOGY, CPU_DOMAIN_INFO, NUMA_TOPOLOGY, CACHE, MEM_TOPOLOGY, PMU_MAPPINGS, PMU_CAPS, HYBRID_TOPOLOGY,
    /// BPF_PROG_INFO and BPF_BTF, the tracing data, and the numbers of tracepoints.
    pub host: bool,
    /// Beginnings of names that are left out, the first that fits.
    pub strip_prefix: Vec<BString>,
}

impl Default for StableRules {
    fn default() -> Self {
        Self {
            pids: true,
            times: true,
            time_step: 0,
            addresses: true,
            inodes: true,
            cpus: true,
            ids: true,
            rounds: true,
            host: true,
            strip_prefix: Vec::new(),
        }
    }
}

impl StableRules {
    /// No rule.
    #[must_use]
    pub fn none() -> Self {
        Self {
            pids: false,
            times: false,
            addresses: false,
            inodes: false,
            cpus: false,
            ids: false,
            rounds: false,
            host: false,
            ..Self::default()
        }
    }
}

/// Numbers in the order in which values come up.
#[derive(Debug, Default)]
struct Numbered {
    numbers: HashMap<u64, usize>,
    /// The last number that was given.
    last: usize,
}

impl Numbered {
    fn number(&mut self, value: u64) -> usize {
        let next = self.last + 1;
        let number = *self.numbers.entry(value).or_insert(next);
        self.last = self.last.max(number);
        number
    }
}

/// What the rules have mapped so far.
#[derive(Debug)]
pub(crate) struct StableState {
    pub(crate) rules: StableRules,
    /// A thread and its process have one number where they are one.
    pids: Numbered,
    ids: Numbered,
    cgroups: Numbered,
    first_time: Option<u64>,
    /// The text of a place or a number, while it is told.
    text: Vec<u8>,
}

impl StableState {
    pub(crate) fn new(rules: StableRules) -> Self {
        Self {
            rules,
            pids: Numbered::default(),
            ids: Numbered::default(),
            cgroups: Numbered::default(),
            first_time: None,
            text: Vec::new(),
        }
    }

    /// Gives the ids of an event its number.
    pub(crate) fn add_event(&mut self, ids: &[u64]) {
        self.ids.last += 1;
        let number = self.ids.last;
        self.ids.numbers.extend(ids.iter().map(|id| (*id, number)));
    }
}

/// A visitor in front of another that is told what the rules make of fields.
pub(crate) struct Stable<'a> {
    state: &'a mut StableState,
    v: &'a mut dyn FieldVisitor,
    /// `None` where there are no addresses.
    context: Option<AddressContext<'a>>,
    /// Whether the fields are a record's, whose times are counted from the first.
    is_of_record: bool,
    /// Whether registers are those of user mode, whatever the mode of the sample.
    is_in_user_regs: bool,
    /// Whether the attr is a tracepoint's, whose config is its number.
    is_tracepoint: bool,
    /// The last id of a list.
    last_id: Option<usize>,
}

pub(crate) const HIDDEN: FieldData<'static> = FieldData::Word("*");

/// `PERF_TYPE_TRACEPOINT`.
const TRACEPOINT: u64 = 2;

impl<'a> Stable<'a> {
    /// In front of what is told the fields of something that is no record.
    pub(crate) fn new(state: &'a mut StableState, v: &'a mut dyn FieldVisitor) -> Self {
        Self {
            state,
            v,
            context: None,
            is_of_record: false,
            is_in_user_regs: false,
            is_tracepoint: false,
            last_id: None,
        }
    }

    /// The same of a record.
    pub(crate) fn of_record(
        state: &'a mut StableState,
        v: &'a mut dyn FieldVisitor,
        context: Option<AddressContext<'a>>,
    ) -> Self {
        Self { context, is_of_record: true, ..Self::new(state, v) }
    }

    fn stripped<'t>(&self, text: &'t BStr) -> &'t BStr {
        let prefixes = &self.state.rules.strip_prefix;
        let rest = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix.as_slice()));
        rest.map_or(text, ByteSlice::as_bstr)
    }

    fn address(&mut self, name: &str, kind: FieldKind, address: u64, cpumode: CpuMode) {
        let place = self.context.and_then(|context| {
            let place = context.place(address, cpumode)?;
            Some((context.name(place), place.offset))
        });
        let Some((dso, offset)) = place else { return self.v.field(name, kind, HIDDEN) };
        let stripped = self.stripped(dso);
        write_place(stripped, offset, &mut self.state.text);
        self.v.field(name, kind, FieldData::Text(self.state.text.as_bstr()));
    }

    fn chain(&mut self, name: &str, words: Array<'_, u64>) {
        let mut modes = ChainModes::new(self.context.map_or(CpuMode::Unknown, |context| context.cpumode));
        self.v.begin_list(name, words.len());
        for word in words.iter() {
            match modes.next(word) {
                ChainWord::Marker(marker) => self.v.field("", FieldKind::Chain, FieldData::Word(marker)),
                ChainWord::Cookie => self.v.field("", FieldKind::Hex, HIDDEN),
                ChainWord::Address(cpumode) => self.address("", FieldKind::Address, word, cpumode),
            }
        }
        self.v.end_list();
    }

    /// Tells a number in the place of a value: `pid#1`.
    fn numbered(&mut self, name: &str, kind: FieldKind, prefix: &str, number: usize) {
        let text = &mut self.state.text;
        text.clear();
        text.extend_from_slice(prefix.as_bytes());
        text.push(b'#');
        decimal(number as u64, text);
        self.v.field(name, kind, FieldData::Word(str::from_utf8(text).unwrap_or_default()));
    }

    fn number(&mut self, name: &str, kind: FieldKind, number: u64, value: FieldData<'_>) {
        let rules = &self.state.rules;
        match kind {
            FieldKind::Pid | FieldKind::Tid if rules.pids && number.cast_signed() > 0 => {
                let number = self.state.pids.number(number);
                let prefix = if kind == FieldKind::Pid { "pid" } else { "tid" };
                self.numbered(name, kind, prefix, number);
            }
            FieldKind::Number if rules.times && matches!(name, "time_enabled" | "time_running") => {
                self.v.field(name, kind, HIDDEN);
            }
            FieldKind::Time if rules.times && number != 0 && !self.is_of_record => {
                self.v.field(name, kind, HIDDEN);
            }
            FieldKind::Time if rules.times && number != 0 => {
                let first = *self.state.first_time.get_or_insert(number);
                match rules.time_step {
                    0 => self.v.field(name, kind, HIDDEN),
                    step => {
                        let rounded = number.abs_diff(first) / step * step;
                        let sign = if number < first && rounded > 0 { '-' } else { '+' };
                        self.v.field(name, kind, FieldData::Word(&format!("{sign}{rounded}")));
                    }
                }
            }
            FieldKind::Address | FieldKind::Chain if rules.addresses && number != 0 => {
                let cpumode = self.context.map_or(CpuMode::Unknown, |context| context.cpumode);
                self.address(name, kind, number, cpumode);
            }
            FieldKind::Register if rules.addresses && number != 0 => {
                let cpumode = match self.context {
                    Some(context) if !self.is_in_user_regs => context.cpumode,
                    _ => CpuMode::User,
                };
                self.address(name, kind, number, cpumode);
            }
            FieldKind::Inode if rules.inodes && (number != 0 || name != "ino") => {
                self.v.field(name, kind, HIDDEN);
            }
            FieldKind::Cgroup if rules.inodes && number != 0 => {
                let number = self.state.cgroups.number(number);
                self.numbered(name, kind, "cgroup", number);
            }
            FieldKind::Cpu if rules.cpus && number.cast_signed() != -1 => self.v.field(name, kind, HIDDEN),
            FieldKind::EventId if rules.ids && number != 0 => {
                let number = self.state.ids.number(number);
                let last = self.last_id.replace(number);
                // A list has those of an event once, whatever the number of its CPUs.
                if !name.is_empty() || last != Some(number) {
                    self.numbered(name, kind, "id", number);
                }
            }
            FieldKind::Hex if self.is_hidden_hex(name, number) => self.v.field(name, kind, HIDDEN),
            FieldKind::Number if rules.host && name == "common_type" => self.v.field(name, kind, HIDDEN),
            FieldKind::Number if rules.cpus && matches!(name, "common_flags" | "common_preempt_count") => {
                self.v.field(name, kind, HIDDEN);
            }
            _ => {
                if name == "type" {
                    self.is_tracepoint = number == TRACEPOINT;
                }
                self.v.field(name, kind, value);
            }
        }
    }

    fn is_list_of_hidden(&self, name: &str, kind: FieldKind) -> bool {
        let rules = &self.state.rules;
        match kind {
            FieldKind::EventId => rules.ids,
            // Which CPUs a map has.
            FieldKind::Hex => rules.cpus && name == "mask",
            _ => false,
        }
    }

    /// Numbers that are shown in hexadecimal and are more than bits, by their names.
    fn is_hidden_hex(&self, name: &str, number: u64) -> bool {
        let rules = &self.state.rules;
        match name {
            "pgoff" => {
                let is_odd = self.context.is_some_and(|context| context.has_odd_pgoff);
                rules.addresses && number != 0 && is_odd
            }
            "phys_addr" => rules.addresses && number != 0,
            "mask" => rules.cpus,
            "config" => rules.host && self.is_tracepoint,
            _ => false,
        }
    }
}

impl FieldVisitor for Stable<'_> {
    fn field(&mut self, name: &str, kind: FieldKind, value: FieldData<'_>) {
        match value {
            FieldData::Unsigned(number) => self.number(name, kind, number, value),
            FieldData::Signed(number) => self.number(name, kind, number.cast_unsigned(), value),
            FieldData::Text(text) => self.v.field(name, kind, FieldData::Text(self.stripped(text))),
            FieldData::Bytes(bytes)
                if kind == FieldKind::Memory && self.state.rules.addresses && !bytes.is_empty() =>
            {
                self.v.field(name, kind, HIDDEN);
            }
            FieldData::Words(words) if kind == FieldKind::Chain && self.state.rules.addresses => {
                self.chain(name, words);
            }
            FieldData::Words(words) if self.is_list_of_hidden(name, kind) => {
                self.begin_list(name, words.len());
                words.iter().for_each(|word| self.number("", kind, word, FieldData::Unsigned(word)));
                self.end_list();
            }
            value => self.v.field(name, kind, value),
        }
    }

    fn begin_list(&mut self, name: &str, len: usize) {
        self.last_id = None;
        self.v.begin_list(name, len);
    }

    fn end_list(&mut self) {
        self.v.end_list();
    }

    fn begin_group(&mut self, name: &str) -> bool {
        self.is_in_user_regs = name == "regs_user";
        self.v.begin_group(name)
    }

    fn end_group(&mut self) {
        self.v.end_group();
    }
}
