//! Streams of the scheduler's tracepoints, with their formats, as `perf record -a -e sched:... -e cpu-clock -g` makes them.

use super::{At, STACK_REGS, StreamBuilder, UserStack, attr};
use crate::attr::{Attr, AttrFlags, SampleType};
use crate::codec::Array;
use crate::record::{CpuMode, Misc, Record};
use crate::sample::{Cpu, Raw, Sample, SampleFormat, Tid};
use crate::{Endian, Feature};

/// The scheduler's events, by the number that is their tracepoint's and, with 10 more, their id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedEvent {
    /// `sched:sched_switch`
    Switch = 1,
    /// `sched:sched_waking`
    Waking = 2,
    /// `sched:sched_process_exit`
    ProcessExit = 3,
    /// `sched:sched_stat_sleep`, which few kernels have.
    StatSleep = 4,
    /// `cpu-clock`, which is no tracepoint.
    CpuClock = 5,
}

const COMMON: &str = "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\tfield:unsigned char \
                      common_flags;\toffset:2;\tsize:1;\tsigned:0;\n\tfield:unsigned char \
                      common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n\tfield:int \
                      common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n";

impl SchedEvent {
    /// The event's id.
    #[must_use]
    pub fn id(self) -> u64 {
        10 + self as u64
    }

    /// The text of its format; `None` of what is no tracepoint.
    #[must_use]
    pub fn format(self) -> Option<String> {
        let (name, fields): (_, &[(&str, u32, u32)]) = match self {
            Self::Switch => (
                "sched_switch",
                &[
                    ("char prev_comm[16]", 8, 16),
                    ("pid_t prev_pid", 24, 4),
                    ("int prev_prio", 28, 4),
                    ("long prev_state", 32, 8),
                    ("char next_comm[16]", 40, 16),
                    ("pid_t next_pid", 56, 4),
                    ("int next_prio", 60, 4),
                ],
            ),
            Self::Waking => ("sched_waking", &[("char comm[16]", 8, 16), ("pid_t pid", 24, 4)]),
            Self::ProcessExit => ("sched_process_exit", &[("char comm[16]", 8, 16), ("pid_t pid", 24, 4)]),
            Self::StatSleep => {
                ("sched_stat_sleep", &[("char comm[16]", 8, 16), ("pid_t pid", 24, 4), ("u64 delay", 32, 8)])
            }
            Self::CpuClock => return None,
        };
        let mut text = format!("name: {name}\nID: {}\nformat:\n{COMMON}", self as u64);
        for (field, offset, size) in fields {
            text += &format!("\tfield:{field};\toffset:{offset};\tsize:{size};\tsigned:1;\n");
        }
        Some(text + "\nprint fmt: \"\"\n")
    }

    /// The attr of `perf record -a -g`.
    #[must_use]
    pub fn attr(self) -> Attr {
        let of_all = SampleType::IDENTIFIER | SampleType::IP | SampleType::TID | SampleType::TIME;
        let of_all = of_all | SampleType::CALLCHAIN | SampleType::CPU | SampleType::PERIOD;
        let mut attr = attr(if self == Self::CpuClock { of_all } else { of_all | SampleType::RAW });
        (attr.fields.kind, attr.fields.config) = match self {
            Self::CpuClock => (1, 0),
            _ => (2, self as u64),
        };
        attr
    }
}

/// Tracing data with the formats of these events, as long as a pipe has it.
#[must_use]
pub fn tracing_data(events: &[SchedEvent], endian: Endian) -> Vec<u8> {
    let text = |text: &str| [&endian.put_u64(text.len() as u64)[..], text.as_bytes()].concat();
    let formats: Vec<_> = events.iter().filter_map(|event| event.format()).collect();
    let count = u32::try_from(formats.len()).expect("a test has few events");
    let mut data = b"\x17\x08\x44tracing0.5\0".to_vec();
    data.extend([u8::from(endian == Endian::Big), 8]);
    data.extend(endian.put_u32(4096));
    data.extend([b"header_page\0", &text("page\n")[..], b"header_event\0", &text("event\n")].concat());
    data.extend([endian.put_u32(0), endian.put_u32(1)].concat());
    data.extend(b"sched\0");
    data.extend(endian.put_u32(count));
    data.extend(formats.iter().flat_map(|format| text(format)));
    data.extend([0; 8]);
    data.resize(data.len().next_multiple_of(8), 0);
    data
}

/// A stream of these events under construction.
#[derive(Debug, Clone)]
pub struct SchedStream {
    endian: Endian,
    /// The stream, for records that are not the scheduler's.
    pub stream: StreamBuilder,
    change: fn(Attr) -> Attr,
    stack: Option<UserStack>,
}

impl SchedStream {
    /// A stream with these events and their formats.
    #[must_use]
    pub fn new(endian: Endian, events: &[SchedEvent]) -> Self {
        Self::with_attrs(endian, events, |attr| attr)
    }

    /// The same, whose attrs are changed. Fields that [`SchedEvent::attr`] has stay, and others are 0 in its samples but for
    /// those of stacks.
    #[must_use]
    pub fn with_attrs(endian: Endian, events: &[SchedEvent], change: fn(Attr) -> Attr) -> Self {
        let stream = StreamBuilder::new(endian);
        let with_attrs =
            events.iter().fold(stream, |stream, event| stream.attr(&change(event.attr()), &[event.id()]));
        let stream = with_attrs.tracing_data(&tracing_data(events, endian));
        Self { endian, stream, change, stack: None }
    }

    /// The stream of `perf record --call-graph dwarf`, whose samples have no addresses of the process in their chains.
    #[must_use]
    pub fn with_stacks(endian: Endian, events: &[SchedEvent]) -> Self {
        Self::with_attrs(endian, events, |mut attr| {
            attr.fields.sample_type |= SampleType::REGS_USER | SampleType::STACK_USER;
            attr.fields.flags |= AttrFlags::EXCLUDE_CALLCHAIN_USER;
            attr.fields.sample_regs_user = STACK_REGS;
            attr.fields.sample_stack_user = 1024;
            attr
        })
    }

    /// Gives the samples that follow a stack, where their events have one.
    #[must_use]
    pub fn stack(mut self, stack: UserStack) -> Self {
        self.stack = Some(stack);
        self
    }

    /// Adds records of other kinds.
    #[must_use]
    pub fn with(mut self, add: impl FnOnce(StreamBuilder) -> StreamBuilder) -> Self {
        self.stream = add(self.stream);
        self
    }

    /// A thread leaves a CPU in a state (0 is R, 1 is S), and another comes. The place where it left is the chain.
    #[must_use]
    pub fn switch(self, cpu: u32, prev: At, state: u64, next: u32, chain: &[u64]) -> Self {
        let mut raw = [0; 64];
        raw[24..28].copy_from_slice(&self.endian.put_u32(prev.tid));
        raw[32..40].copy_from_slice(&self.endian.put_u64(state));
        raw[56..60].copy_from_slice(&self.endian.put_u32(next));
        self.sample(SchedEvent::Switch, cpu, prev, 1, chain, Some(&raw))
    }

    /// The thread that runs wakes another one.
    #[must_use]
    pub fn waking(self, cpu: u32, by: At, woken: u32) -> Self {
        let raw = self.raw_of(woken, 0);
        self.sample(SchedEvent::Waking, cpu, by, 1, &[], Some(&raw))
    }

    /// The thread that runs ends.
    #[must_use]
    pub fn process_exit(self, cpu: u32, at: At) -> Self {
        let raw = self.raw_of(at.tid, 0);
        self.sample(SchedEvent::ProcessExit, cpu, at, 1, &[], Some(&raw))
    }

    /// A thread has slept for so many ns.
    #[must_use]
    pub fn stat_sleep(self, cpu: u32, by: At, slept: u32, delay: u64) -> Self {
        let raw = self.raw_of(slept, delay);
        self.sample(SchedEvent::StatSleep, cpu, by, delay, &[], Some(&raw))
    }

    /// A thread runs.
    #[must_use]
    pub fn clock(self, cpu: u32, at: At, chain: &[u64]) -> Self {
        self.sample(SchedEvent::CpuClock, cpu, at, 250_000, chain, None)
    }

    /// The end of a round.
    #[must_use]
    pub fn finished_round(self) -> Self {
        self.with(StreamBuilder::finished_round)
    }

    /// The stream.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        self.stream.bytes()
    }

    /// The fields of all but the switch: a thread, and a number.
    fn raw_of(&self, tid: u32, number: u64) -> [u8; 40] {
        let mut raw = [0; 40];
        raw[24..28].copy_from_slice(&self.endian.put_u32(tid));
        raw[32..40].copy_from_slice(&self.endian.put_u64(number));
        raw
    }

    fn sample(
        mut self,
        event: SchedEvent,
        cpu: u32,
        at: At,
        period: u64,
        chain: &[u64],
        raw: Option<&[u8]>,
    ) -> Self {
        let endian = self.endian;
        let words: Vec<u8> = chain.iter().flat_map(|ip| endian.put_u64(*ip)).collect();
        // The kernel pads the data, so that the record has a multiple of eight bytes.
        let mut padded = raw.map(<[u8]>::to_vec).unwrap_or_default();
        padded.resize((padded.len() + 4).next_multiple_of(8) - 4, 0);
        let format = SampleFormat::new(&(self.change)(event.attr()));
        let has = |field| format.sample_type.contains(field);
        let none = UserStack::none(endian);
        let stack = self.stack.as_ref().unwrap_or(&none);
        let sample = Sample {
            identifier: Some(event.id()),
            ip: Some(chain.iter().copied().find(|ip| *ip < 0xffff_ffff_ffff_f000).unwrap_or(0x1000)),
            tid: Some(Tid { pid: at.pid, tid: at.tid }),
            time: Some(at.time),
            cpu: Some(Cpu { cpu, reserved: 0 }),
            period: Some(period),
            callchain: Some(Array::new(&words, endian)),
            raw: raw.map(|_| Raw(&padded)),
            regs_user: has(SampleType::REGS_USER).then(|| stack.regs()),
            stack_user: has(SampleType::STACK_USER).then(|| stack.dump()),
            ..Sample::default()
        };
        let body = sample.to_bytes(&format, endian);
        self.stream = self.stream.record(Misc::of(CpuMode::User), &Record::Sample(&body));
        self
    }
}

/// The EVENT_DESC feature of these events, with their names.
#[must_use]
pub fn event_desc(events: &[SchedEvent], endian: Endian) -> (Feature, Vec<u8>) {
    let mut feature = Vec::new();
    for event in events {
        let name = match event {
            SchedEvent::Switch => "sched:sched_switch",
            SchedEvent::Waking => "sched:sched_waking",
            SchedEvent::ProcessExit => "sched:sched_process_exit",
            SchedEvent::StatSleep => "sched:sched_stat_sleep",
            SchedEvent::CpuClock => "cpu-clock",
        };
        crate::feature::push_event_name(&mut feature, &event.attr(), name.into(), &[event.id()], endian);
    }
    (Feature::EVENT_DESC, feature)
}
