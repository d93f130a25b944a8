//! Unwinds all user stacks of a recording made with `perf record --call-graph dwarf`, and compares them with what
//! `perf script` shows of it.
//!
//! ```sh
//! perf record -e cpu-clock --call-graph dwarf -o perf.data CMD
//! perf script -i perf.data --ns --no-inline -F tid,time,ip,sym > perf.script
//! cargo run --release -p perf-unwind --example compare -- perf.data perf.script
//! ```
//!
//! Of what several perfs show (libunwind's chains end where libdw's go on, and the other way round), each sample is compared
//! with the chain that agrees the furthest. Without any it prints the chains in perf script's form.
//!
//! Environment: `VDSO32` is an image of the vdso of 32-bit processes, `SHOW` how many samples of each kind of difference are
//! printed, `IN_PAGE` that the script is perf 6.1's, `REPEAT` how often all is unwound for the time, `PLACES` how many
//! rules are kept, `DEBUG` a directory with debug files (`DIR/PATH.debug`).

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Instant;
use std::{env, fs};

use perf_format::codec::Decoder;
use perf_format::record::{Comm, Mmap2, Task};
use perf_format::{Attr, Endian, Misc, PerfFile, RawRecord, RecordType, Sample, SampleFormat, SampleId};
use perf_unwind::{
    Architecture, ByteOrder, CallFrame, Code, FoundBy, Module, Modules, Registers, RuleCache, StackMemory,
    StopReason, unwind,
};

/// A stack to be unwound, with the modules of its process at that time.
struct Stack {
    tid: u32,
    time: u64,
    modules: Modules,
    registers: Registers,
    start: u64,
    bytes: Vec<u8>,
    is_whole: bool,
    order: ByteOrder,
}

impl Stack {
    fn memory<'b>(&self, bytes: &'b [u8]) -> StackMemory<'b> {
        if self.is_whole {
            StackMemory::whole(self.start, bytes, self.order)
        } else {
            StackMemory::new(self.start, bytes, self.order)
        }
    }
}

/// The modules of all files, each loaded once.
#[derive(Default)]
struct Files {
    modules: HashMap<String, Option<Arc<Module>>>,
    names: Vec<String>,
    tags: HashMap<String, u64>,
}

impl Files {
    fn code(&mut self, map: &Mmap2<'_>) -> (Code, u64) {
        let name = map.filename.to_string();
        let next = self.names.len() as u64;
        let tag = *self.tags.entry(name.clone()).or_insert_with(|| {
            self.names.push(name.clone());
            next
        });
        if name.starts_with("//anon")
            || name.starts_with("/memfd")
            || name.starts_with('[') && name != "[vdso]"
        {
            return (Code::NoTables, tag);
        }
        // The vdso of a 32-bit process is mapped below 4 GiB.
        let is_32 = name == "[vdso]" && map.start < 1 << 32;
        let key = if is_32 { "[vdso32]".to_owned() } else { name };
        let module = self.modules.entry(key).or_insert_with_key(|name| match load(name) {
            Ok(module) => Some(Arc::new(module)),
            Err(error) => {
                println!("# {name}: {error}");
                None
            }
        });
        match module {
            Some(module) => (Code::Module { module: module.clone(), offset: map.pgoff }, tag),
            None => (Code::Unusable, tag),
        }
    }
}

fn load(name: &str) -> Result<Module, Box<dyn Error>> {
    Ok(match name {
        "[vdso32]" => Module::from_bytes(fs::read(env::var("VDSO32")?)?)?,
        "[vdso]" => Module::from_bytes(own_vdso()?)?,
        _ => {
            let mut module = Module::from_file(&File::open(name)?)?;
            if let Some(debug) = debug_file(name) {
                println!("# {name}: {}", debug.display());
                module.add_debug_file(&File::open(debug)?)?;
            }
            module
        }
    })
}

/// A debug file in `DEBUG` that has the file's name.
fn debug_file(name: &str) -> Option<std::path::PathBuf> {
    let path = std::path::PathBuf::from(env::var_os("DEBUG")?)
        .join(format!("{}.debug", name.trim_start_matches('/')));
    path.is_file().then_some(path)
}

/// The vdso's image, out of this process's memory.
fn own_vdso() -> Result<Vec<u8>, Box<dyn Error>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).ok_or("no vdso")?;
    let (start, end) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')).ok_or("no range")?;
    let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
    let mut image = vec![0; usize::try_from(end - start)?];
    File::open("/proc/self/mem")?.read_exact_at(&mut image, start)?;
    Ok(image)
}

/// What is read of a recording.
struct Records {
    format: SampleFormat,
    /// The registers that were recorded.
    mask: u64,
    endian: Endian,
    /// The records and their times.
    records: Vec<(u64, Vec<u8>)>,
}

/// The records of a recording in the order of time. Its events are taken to be alike.
fn read(path: &str) -> Result<Records, Box<dyn Error>> {
    let mut file = PerfFile::open(File::open(path)?)?;
    let endian = file.header.endian;
    let event = file.events()?.into_iter().next().ok_or("no events")?;
    let attr: Attr =
        Decoder::new(&event.attr, 0, endian, Misc::default()).get().map_err(|_| "a damaged attr")?;
    let (format, mask) = (SampleFormat::new(&attr), attr.fields.sample_regs_user);
    let mut records = Vec::new();
    let mut reader = file.records()?;
    while let Some(batch) = reader.next_batch()? {
        for record in batch {
            let record = record?;
            let time = match record.record_type() {
                RecordType::SAMPLE => format.time(&record),
                kind if kind.is_kernel() => SampleId::parse(&format, &record)?.time,
                _ => continue,
            };
            records.push((time.unwrap_or(0), record.bytes.to_vec()));
        }
    }
    records.sort_by_key(|(time, _)| *time);
    Ok(Records { format, mask, endian, records })
}

/// The stacks of a recording.
fn stacks(path: &str, files: &mut Files) -> Result<Vec<Stack>, Box<dyn Error>> {
    let Records { format, mask, endian, records } = read(path)?;
    let order = if endian == Endian::Little { ByteOrder::Little } else { ByteOrder::Big };
    let mut processes: HashMap<u32, Modules> = HashMap::new();
    let mut stacks = Vec::new();
    for (time, bytes) in &records {
        let record = RawRecord::first(bytes, 0, endian).ok_or("a damaged record")?;
        match record.record_type() {
            RecordType::MMAP | RecordType::MMAP2 => {
                let map = Mmap2::of_record(&record)?;
                let modules = processes.entry(map.pid).or_default();
                let range = map.start..map.start.saturating_add(map.len);
                if map.prot & Mmap2::PROT_EXEC == 0 {
                    modules.remove(range);
                    continue;
                }
                let (code, tag) = files.code(&map);
                if let Err(error) = modules.insert(range, code, tag) {
                    println!("# {} at {:#x}: {error}", map.filename, map.start);
                }
            }
            RecordType::FORK => {
                let task: Task = record.parse_as()?;
                if task.pid != task.ppid {
                    let modules = processes.get(&task.ppid).cloned().unwrap_or_default();
                    processes.insert(task.pid, modules);
                }
            }
            RecordType::COMM if record.misc().has(Misc::COMM_EXEC) => {
                let comm: Comm<'_> = record.parse_as()?;
                processes.entry(comm.pid).or_default().clear();
            }
            RecordType::SAMPLE => {
                let sample = Sample::parse(&format, &record)?;
                let (Some(tid), Some(regs), Some(stack)) = (sample.tid, sample.regs_user, sample.stack_user)
                else {
                    continue;
                };
                let architecture = match (regs.abi, cfg!(target_arch = "aarch64")) {
                    (1, false) => Architecture::X86,
                    (2, false) => Architecture::X86_64,
                    (2, true) => Architecture::Aarch64,
                    _ => continue,
                };
                let registers = Registers::from_perf(architecture, mask, regs.regs.iter());
                let start = registers.get(if architecture == Architecture::X86 { 4 } else { 7 });
                let len = usize::try_from(stack.dyn_size.unwrap_or(0))?.min(stack.bytes.len());
                stacks.push(Stack {
                    tid: tid.tid,
                    time: *time,
                    modules: processes.get(&tid.pid).cloned().unwrap_or_default(),
                    registers,
                    start: start.unwrap_or(0),
                    bytes: stack.bytes[..len].to_vec(),
                    is_whole: len < stack.bytes.len(),
                    order,
                });
            }
            _ => {}
        }
    }
    Ok(stacks)
}

/// What perf script shows: addresses and names of user frames, by thread and time.
type Shown = HashMap<(u32, u64), Vec<(u64, String)>>;

fn shown(path: &str) -> Result<Shown, Box<dyn Error>> {
    let mut all: HashMap<_, Vec<_>> = HashMap::new();
    let mut key = None;
    for line in fs::read_to_string(path)?.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else { continue };
        if let Some(time) = second.and_then(|time| time.strip_suffix(':')).filter(|time| time.contains('.')) {
            let time = time.replace('.', "").parse()?;
            key = Some((first.parse()?, time));
            all.entry(key.ok_or("no sample")?).or_default();
            continue;
        }
        let (Some(key), Ok(address)) = (key, u64::from_str_radix(first, 16)) else { continue };
        // The kernel's addresses have the highest bit.
        if address >> 63 == 0 {
            let name = line.trim_start().split_once(' ').map_or(String::new(), |(_, name)| name.to_owned());
            all.entry(key).or_default().push((address, name));
        }
    }
    Ok(all)
}

/// How far two chains agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Agreed {
    is_all: bool,
    same: usize,
    /// Of how many theirs has the return address itself.
    after_call: usize,
}

/// Compares the chains of a sample. perf's readers show the address in front of a return address, but for that of a
/// trampoline with libdw; perf 6.1 shows addresses of files, which have the same place in a page.
fn agreed(ours: &[CallFrame], theirs: &[(u64, String)]) -> Agreed {
    let mask = if env::var_os("IN_PAGE").is_some() { 0xfff } else { u64::MAX };
    let is_same = |ours: &CallFrame, theirs: u64| ours.lookup_address() & mask == theirs & mask;
    let (mut same, mut after_call) = (0, 0);
    for (ours, (theirs, _)) in ours.iter().zip(theirs) {
        if !is_same(ours, *theirs) && (ours.address & mask != theirs & mask || !ours.is_return_address) {
            break;
        }
        after_call += usize::from(!is_same(ours, *theirs));
        same += 1;
    }
    Agreed { is_all: same == ours.len() && same == theirs.len(), same, after_call }
}

/// What the comparison of a sample says.
fn kind(ours: &[CallFrame], stop: StopReason, theirs: &[(u64, String)], agreed: Agreed) -> String {
    let Agreed { same, after_call, .. } = agreed;
    let stop = format!("{stop:?}");
    let stop = stop.split([' ', '{']).next().unwrap_or_default();
    match (same == ours.len(), same == theirs.len()) {
        (true, true) if after_call > 0 => "equal, but theirs has a return address as it is".to_owned(),
        (true, true) => "equal".to_owned(),
        (true, false) => format!("theirs goes on, ours stopped with {stop}"),
        (false, true) => format!("ours goes on, and stopped with {stop}"),
        (false, false) => format!("differs, ours stopped with {stop}"),
    }
}

fn name_of(stop: StopReason, files: &Files) -> String {
    match stop {
        StopReason::NoTable { tag, .. }
        | StopReason::Unusable { tag, .. }
        | StopReason::BadTable { tag, .. }
        | StopReason::NotUp { tag, .. } => {
            let name = usize::try_from(tag).ok().and_then(|tag| files.names.get(tag));
            let stop = format!("{stop:?}");
            format!("{} in {}", stop.split(' ').next().unwrap_or_default(), name.map_or("?", String::as_str))
        }
        _ => format!("{stop:?}").split(' ').next().unwrap_or_default().to_owned(),
    }
}

fn number(name: &str, default: usize) -> usize {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let recording = args.next().ok_or("which recording?")?;
    let scripts = args.map(|path| shown(&path)).collect::<Result<Vec<_>, _>>()?;
    let mut files = Files::default();
    let stacks = stacks(&recording, &mut files)?;
    let places = number("PLACES", 1 << 17);
    let mut cache = RuleCache::with_places(places);
    let mut chains = Vec::new();
    for stack in &stacks {
        let mut frames = Vec::new();
        let unwound = unwind(
            &stack.modules,
            &stack.registers,
            &stack.memory(&stack.bytes),
            &mut cache,
            127,
            &mut frames,
        );
        chains.push((frames, unwound));
    }
    let count: usize = chains.iter().map(|(frames, _)| frames.len()).sum();
    if !scripts.is_empty() {
        let (mut kinds, mut examples) = (BTreeMap::new(), BTreeMap::<String, Vec<String>>::new());
        let mut compared = 0;
        for (stack, (frames, unwound)) in stacks.iter().zip(&chains) {
            let theirs = scripts.iter().filter_map(|script| script.get(&(stack.tid, stack.time)));
            // With several readers the one counts that agrees the furthest.
            let Some((same, theirs)) =
                theirs.map(|theirs| (agreed(frames, theirs), theirs)).max_by_key(|(same, _)| *same)
            else {
                continue;
            };
            compared += 1;
            let kind = kind(frames, unwound.stop, theirs, same);
            let examples = examples.entry(kind.clone()).or_default();
            if !kind.starts_with("equal") && examples.len() < number("SHOW", 0) {
                let mut text = format!("{} {}: {:x?}\n", stack.tid, stack.time, unwound.stop);
                for at in 0..frames.len().max(theirs.len()) {
                    let ours = frames
                        .get(at)
                        .map(|frame| format!("{:x} {:?}", frame.lookup_address(), frame.found_by));
                    let theirs = theirs.get(at).map(|(address, name)| format!("{address:x} {name}"));
                    let sign = if ours.as_ref().and_then(|ours| ours.split(' ').next())
                        == theirs.as_ref().and_then(|theirs| theirs.split(' ').next())
                    {
                        ' '
                    } else {
                        '!'
                    };
                    writeln!(
                        text,
                        "  {sign} {:32} | {}",
                        ours.unwrap_or_default(),
                        theirs.unwrap_or_default()
                    )?;
                }
                examples.push(text);
            }
            *kinds.entry(kind).or_insert(0usize) += 1;
        }
        for (kind, count) in &kinds {
            println!("{count:8} {:6.2} % {kind}", 100.0 * *count as f64 / compared.max(1) as f64);
        }
        for (kind, examples) in examples {
            examples.iter().for_each(|example| println!("== {kind}\n{example}"));
        }
    } else {
        for (stack, (frames, _)) in stacks.iter().zip(&chains) {
            println!("{} {}.{:09}: ", stack.tid, stack.time / 1_000_000_000, stack.time % 1_000_000_000);
            frames.iter().for_each(|frame| println!("\t{:16x} ", frame.lookup_address()));
            println!();
        }
        return Ok(());
    }
    let mut stops = BTreeMap::new();
    for (_, unwound) in &chains {
        *stops.entry(name_of(unwound.stop, &files)).or_insert(0usize) += 1;
    }
    stops.iter().for_each(|(stop, count)| println!("{count:8} stopped: {stop}"));
    let by = |wanted| {
        chains.iter().flat_map(|(frames, _)| frames).filter(|frame| frame.found_by == wanted).count()
    };
    println!(
        "{} samples, {count} frames, {} by tables, {} by frame pointers, {} rules decoded",
        stacks.len(),
        by(FoundBy::Table),
        by(FoundBy::FramePointer),
        cache.misses()
    );
    let repeat = number("REPEAT", 5);
    // Each stack is copied first, as into the buffer of a reader, so that it is as near to the processor as it is there.
    let mut frames = Vec::with_capacity(128);
    let mut buffer = vec![0; 1 << 16];
    let mut pass = |cache: &mut RuleCache| {
        let mut nanos = 0;
        for stack in &stacks {
            let bytes = &mut black_box(&mut buffer)[..stack.bytes.len()];
            bytes.copy_from_slice(&stack.bytes);
            frames.clear();
            let begin = Instant::now();
            black_box(unwind(
                &stack.modules,
                &stack.registers,
                &stack.memory(bytes),
                cache,
                127,
                &mut frames,
            ));
            nanos += begin.elapsed().as_nanos();
        }
        nanos as f64 / count.max(1) as f64
    };
    let cold = pass(&mut RuleCache::with_places(places));
    let warm = (0..repeat).map(|_| pass(&mut cache)).fold(f64::INFINITY, f64::min);
    println!(
        "{:.1} ns a frame, best of {repeat}, and {:.1} with an empty cache; rules decoded by now: {}",
        warm,
        cold,
        cache.misses()
    );
    Ok(())
}
