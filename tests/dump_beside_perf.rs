//! What `perftool dump` says beside what perf says: the samples, the features in the header, the symbols at addresses.

mod common;
#[path = "dump_beside_perf/samples.rs"]
mod samples;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::oracle::{Format, Perf, cannot_record, perfs, recorder};
use common::{data, perftool, stderr};
use samples::{assert_samples_are_perfs, assert_tracepoints_are_perfs};
use serde_json::Value;

/// The objects of a dump's lines.
fn dumped(args: &[&str], path: &Path) -> Vec<Value> {
    let output = perftool(&["dump", "--json"]).args(args).arg("-i").arg(path).output().expect("it runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn perfs_text(perf: &Perf, args: &[&str], path: &Path) -> String {
    let mut command = perf.command();
    let output = command.args(args).arg("-i").arg(path).stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{perf}: {}: {}", path.display(), stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}"))
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("{name} of {value}"))
}

fn joined(value: &Value, name: &str, between: &str) -> String {
    let words = list(value, name).iter().map(|word| word.as_str().map_or(word.to_string(), str::to_owned));
    words.collect::<Vec<_>>().join(between)
}

/// The lines that perf has for a feature, out of what the dump says of it; none where perf has none, or more than that.
fn lines_of(of: &Value) -> Vec<String> {
    let one = |line: String| vec![line];
    match text(of, "name") {
        "HOSTNAME" => one(format!("hostname : {}", text(of, "value"))),
        "OSRELEASE" => one(format!("os release : {}", text(of, "value"))),
        "VERSION" => one(format!("perf version : {}", text(of, "value"))),
        "ARCH" => one(format!("arch : {}", text(of, "value"))),
        "CPUDESC" => one(format!("cpudesc : {}", text(of, "value"))),
        "CPUID" => one(format!("cpuid : {}", text(of, "value"))),
        "TOTAL_MEM" => one(format!("total memory : {} kB", of["kib"])),
        "NRCPUS" => {
            vec![format!("nrcpus online : {}", of["online"]), format!("nrcpus avail : {}", of["available"])]
        }
        "CMDLINE" => one(format!("cmdline : {}", joined(of, "args", " "))),
        "EVENT_DESC" => {
            let event = |event: &Value| {
                let ids = joined(event, "ids", ", ");
                format!(
                    "event : name = {}, , id = {{ {ids} }}, type = {}",
                    text(event, "event"),
                    event["type"]
                )
            };
            list(of, "events").iter().map(event).collect()
        }
        "CPU_TOPOLOGY" => {
            let of_each = |what: &str, name: &str| {
                list(of, name)
                    .iter()
                    .map(|cpus| format!("sibling {what} : {}", cpus.as_str().expect("text")))
                    .collect::<Vec<_>>()
            };
            let cpus = list(of, "cpus").iter().enumerate().map(|(number, cpu)| {
                format!(
                    "CPU {number}: Core ID {}, Die ID {}, Socket ID {}",
                    cpu["core_id"], cpu["die_id"], cpu["socket_id"]
                )
            });
            [
                of_each("sockets", "sockets"),
                of_each("dies", "dies"),
                of_each("threads", "cores"),
                cpus.collect(),
            ]
            .concat()
        }
        "NUMA_TOPOLOGY" => list(of, "nodes")
            .iter()
            .flat_map(|node| {
                let (number, total, free) = (&node["node"], &node["mem_total_kib"], &node["mem_free_kib"]);
                [
                    format!("node{number} meminfo : total = {total} kB, free = {free} kB"),
                    format!("node{number} cpu list : {}", text(node, "cpus")),
                ]
            })
            .collect(),
        "PMU_MAPPINGS" => {
            let pmus = list(of, "pmus").iter().map(|pmu| format!("{} = {}", text(pmu, "name"), pmu["type"]));
            one(format!("pmu mappings: {}", pmus.collect::<Vec<_>>().join(", ")))
        }
        "GROUP_DESC" => list(of, "groups")
            .iter()
            .map(|group| {
                format!(
                    "group: {}{{{}}}",
                    text(group, "name").trim_matches(['{', '}']),
                    joined(group, "members", ",")
                )
            })
            .collect(),
        "CACHE" => list(of, "caches")
            .iter()
            .map(|cache| {
                format!(
                    "L{} {} {} [{}]",
                    cache["level"],
                    text(cache, "type"),
                    text(cache, "size"),
                    text(cache, "map")
                )
            })
            .collect(),
        "SAMPLE_TIME" => {
            let time = |name: &str| of[name].as_u64().expect("ns") / 1000;
            let line = |what: &str, time: u64| {
                format!("time of {what} sample : {}.{:06}", time / 1_000_000, time % 1_000_000)
            };
            vec![line("first", time("first")), line("last", time("last"))]
        }
        "MEM_TOPOLOGY" => one(format!(
            "memory nodes (nr {}, block size {}):",
            list(of, "nodes").len(),
            text(of, "block_size")
        )),
        "CLOCKID" => {
            one(format!("clockid frequency: {} MHz", 1000 / of["resolution_ns"].as_u64().expect("ns")))
        }
        "COMPRESSED" => one(format!("compressed : Zstd, level = {}, ratio = {}", of["level"], of["ratio"])),
        _ => Vec::new(),
    }
}

fn assert_features_are_perfs(perf: &Perf, path: &Path) -> BTreeMap<String, usize> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let header = perfs_text(perf, &["report", "--header-only", "-I"], path);
    let known: Vec<_> = header.lines().map(|line| words(line.trim_start_matches('#'))).collect();
    let mut seen = BTreeMap::new();
    for object in dumped(&["--header-only"], path) {
        let of = &object["fields"];
        if object["record"] != "FEATURE" || of.get("error").is_some() {
            continue;
        }
        for line in lines_of(of) {
            let line = words(&line);
            assert!(
                known.iter().any(|known| known.starts_with(&line)),
                "{perf}: {}: {line}\n{header}",
                path.display()
            );
            *seen.entry(text(of, "name").to_owned()).or_insert(0) += 1;
        }
    }
    seen
}

/// Records a program; `None` where that cannot be done.
fn recorded(args: &[&str], program: &[&str], path: PathBuf) -> Option<PathBuf> {
    let recorder = recorder("what a dump says")?;
    let mut record = recorder.command();
    record.args(["record", "-q", "-o"]).arg(&path).args(args).arg("--").args(program);
    let output = record.stdin(Stdio::null()).output().expect("it runs");
    if !output.status.success() {
        cannot_record(&stderr(&output));
        return None;
    }
    Some(path)
}

#[test]
fn samples_of_kept_recordings_have_what_perf_script_prints() {
    for perf in perfs("the fields of samples") {
        for entry in std::fs::read_dir(data()).expect("tests/data is there") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            let is_recording = name.ends_with(".pipe") || name.ends_with(".data");
            if is_recording && perf.reads(&name, Format::of(&name)) {
                assert_samples_are_perfs(perf, &path);
                let compared = assert_tracepoints_are_perfs(perf, &path);
                assert!(!name.contains("tracepoint") || compared > 0, "{name}");
            }
        }
    }
}

/// What a shell does while it is recorded: it is busy, forks and runs another program.
const BUSY: [&str; 3] = ["sh", "-c", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; ls /"];

#[test]
fn samples_of_fresh_recordings_have_what_perf_script_prints() {
    let dir = tempfile::tempdir().expect("a directory");
    let tracepoints =
        "sched:sched_switch,sched:sched_wakeup,sched:sched_process_fork,sched:sched_process_exec";
    let kinds: [&[&str]; 8] = [
        &["-e", "cpu-clock", "-g"],
        &["-e", "cpu-clock", "-F", "4000", "--threads", "-z"],
        &["-e", "cpu-clock", "--call-graph", "dwarf,1024"],
        &["-e", tracepoints],
        &["-e", "cpu-clock", "-F", "500"],
        &["-e", "{cpu-clock,page-faults}:S"],
        &["-e", "cpu-clock", "-d", "-W", "--sample-cpu"],
        &["-e", "page-faults", "-c", "5", "--sample-cpu"],
    ];
    for (number, kind) in kinds.iter().enumerate() {
        let Some(path) = recorded(kind, &BUSY, dir.path().join(format!("{number}.data"))) else { continue };
        for perf in perfs("the fields of fresh samples") {
            assert_samples_are_perfs(perf, &path);
            let compared = assert_tracepoints_are_perfs(perf, &path);
            assert!(!kind.contains(&tracepoints) || compared > 10, "{perf}: {compared}");
        }
    }
}

#[test]
fn two_recordings_of_a_program_are_the_same_stable_text_but_for_where_the_clock_hit() {
    let dir = tempfile::tempdir().expect("a directory");
    let program =
        ["sh", "-c", "for n in 1 2 3; do /bin/true; done; sh -c 'ls / > /dev/null'; ls / > /dev/null"];
    let record = |name: &str| recorded(&["-e", "cpu-clock", "-F", "100"], &program, dir.path().join(name));
    let (Some(a), Some(b)) = (record("a"), record("b")) else { return };
    let types = "--types=COMM,FORK,EXIT,MMAP,MMAP2,THREAD_MAP,CPU_MAP,EVENT_UPDATE";
    let output =
        perftool(&["diff", "--stable", "--events-only", types]).arg(a).arg(b).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn features_are_those_of_perfs_header() {
    let dir = tempfile::tempdir().expect("a directory");
    let kinds: [&[&str]; 3] = [
        &["-e", "cpu-clock", "-g"],
        &["-e", "{cpu-clock,page-faults}"],
        &["-e", "cpu-clock", "-z", "-k", "mono"],
    ];
    let mut paths: Vec<_> = ["plain.data", "callchain.data", "newest.data", "newest-compressed.data"]
        .map(|name| data().join(name))
        .into();
    for (number, args) in kinds.iter().enumerate() {
        paths.extend(recorded(args, &["ls", "/"], dir.path().join(format!("{number}.data"))));
    }
    for perf in perfs("features") {
        let mut seen = BTreeMap::new();
        for path in &paths {
            let name = path.file_name().expect("a name").to_string_lossy();
            if perf.reads(&name, Format::of(&name)) {
                seen.extend(assert_features_are_perfs(perf, path));
            }
        }
        assert!(seen.len() >= 15, "{seen:?}");
    }
}

#[test]
fn symbols_are_those_that_perf_finds() {
    let dir = tempfile::tempdir().expect("a directory");
    // It has a symbol table.
    let program = [env!("CARGO_BIN_EXE_perftool"), "dump", "-i", &format!("{}/forks.pipe", data().display())];
    let Some(path) = recorded(&["-e", "cpu-clock", "-F", "5000"], &program, dir.path().join("data")) else {
        return;
    };
    let mut ours = BTreeMap::new();
    for object in dumped(&["--resolve", "--types=SAMPLE", "--events-only"], &path) {
        let of = &object["fields"];
        let is_in_program = of["ip_at"].as_str().is_some_and(|at| at.contains("/perftool+"));
        if is_in_program && let Some(symbol) = of["ip_symbol"].as_str() {
            ours.insert(of["time"].as_u64().expect("ns"), symbol.to_owned());
        }
    }
    assert!(!ours.is_empty(), "the program was hit");
    let perf = recorder("symbols").expect("it recorded");
    let script = perfs_text(perf, &["script", "--ns", "--no-demangle", "-F", "time,ip,sym,symoff"], &path);
    let mut compared = 0;
    for line in script.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [time, _, symbol] = words[..] else { continue };
        let time: u64 = time.trim_end_matches(':').replace('.', "").parse().expect("a time");
        if let Some(ours) = ours.get(&time) {
            assert_eq!(ours, symbol);
            compared += 1;
        }
    }
    assert_eq!(compared, ours.len());
}
