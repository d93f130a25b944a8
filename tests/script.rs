//! What a reader of recordings knows of each sample, compared with what `perf script` prints: its event, the name of its
//! thread, its time, and the DSO of each frame.

mod common;

use std::fs;
use std::process::Stdio;

use common::data;
use common::oracle::{Format, Perf, perfs};
use perf_format::RecordType;
use perf_session::{SessionReader, StackFrame};

/// Recordings of which perf prints what is not in a sample: it unwinds stacks, and gives each value of a group a line.
const OTHERWISE: [&str; 2] = ["dwarf.pipe", "group.pipe"];

/// The recordings that a perf prints as they are.
fn recordings(perf: &Perf) -> Vec<String> {
    let names = fs::read_dir(data()).expect("it is kept").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().expect("text")).collect();
    names.sort();
    names.retain(|name| {
        !name.ends_with(".md") && !OTHERWISE.contains(&name.as_str()) && perf.reads(name, Format::of(name))
    });
    names
}

/// The lines that perf prints with these arguments, without blanks at their ends.
fn script(perf: &Perf, name: &str, args: &[&str]) -> Vec<String> {
    let mut script = perf.command();
    script.arg("script").args(args).arg("-i").arg(data().join(name)).stdin(Stdio::null());
    let output = script.output().expect("it runs");
    assert!(output.status.success(), "{perf}: {name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// What is to be said of each sample.
fn samples(name: &str, mut of: impl FnMut(&perf_session::SessionRecord<'_>)) {
    let mut reader = SessionReader::open(data().join(name)).expect("it is kept");
    // As perf names it.
    reader.session_mut().jit_names = true;
    while let Some(record) = reader.next().expect("whole") {
        if record.record_type() == RecordType::SAMPLE {
            of(&record);
        }
    }
}

#[test]
fn samples_are_of_the_events_that_perf_prints() {
    for perf in perfs("names of events") {
        for name in recordings(perf) {
            let mut ours = Vec::new();
            samples(&name, |sample| {
                let event = sample.evsel().expect("an event");
                ours.push(format!("{}:", event.name));
            });
            assert_eq!(ours, script(perf, &name, &["-G", "-F", "event"]), "{perf}: {name}");
        }
    }
}

#[test]
fn threads_have_the_names_that_perf_prints() {
    for perf in perfs("names of threads") {
        for name in recordings(perf) {
            let mut ours = Vec::new();
            samples(&name, |sample| {
                let tid = sample.tid().expect("it is sampled");
                let comm = sample.comm().map_or_else(|| format!(":{tid}"), ToString::to_string);
                let time = sample
                    .time()
                    .map(|time| format!("{}.{:09}:", time / 1_000_000_000, time % 1_000_000_000));
                ours.push([comm, tid.to_string(), time.unwrap_or_default()].join(" ").trim().to_owned());
            });
            let printed = script(perf, &name, &["--ns", "-G", "-F", "comm,tid,time"]);
            let printed: Vec<_> =
                printed.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            assert_eq!(printed.len(), ours.len(), "{perf}: {name}");
            let differ = printed.iter().zip(&ours).find(|(printed, ours)| printed != ours);
            assert_eq!(differ, None, "{perf}: {name}");
        }
    }
}

#[test]
fn frames_lie_in_the_dsos_that_perf_prints() {
    for perf in perfs("DSOs of frames") {
        for name in recordings(perf) {
            let mut ours = Vec::new();
            samples(&name, |sample| {
                let dso = |frame: StackFrame<'_>| {
                    format!("({})", frame.dso.map_or("[unknown]".into(), |dso| dso.name.to_string()))
                };
                ours.extend(sample.frames().expect("whole").map(|frame| (frame.address, dso(frame))));
            });
            let printed = script(perf, &name, &["-F", "ip,sym,dso"]);
            // Functions that were inlined are no frames of the sample.
            let printed: Vec<_> = printed.iter().filter(|line| !line.ends_with("(inlined)")).collect();
            assert_eq!(printed.len(), ours.len(), "{perf}: {name}");
            for (printed, (address, dso)) in printed.into_iter().zip(&ours) {
                assert!(printed.ends_with(dso.as_str()), "{perf}: {name}: {printed} is not in {dso}");
                // Those before 7 print an address without a symbol as one in the file.
                if perf.major() >= 7 {
                    assert!(
                        printed.starts_with(&format!("{address:x} ")),
                        "{perf}: {name}: {printed} is {address:x}"
                    );
                }
            }
        }
    }
}
