//! A recording of the whole machine: whatever gets an id has it in its file.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use perf_format::Endian;
use perf_format::testing::{ids_in, injected};

use crate::common::{oracle, perftool, run, stderr};

/// Half a second of programs that begin and end.
const WORK: &str = "timeout 0.5 sh -c 'while :; do ls -lR /usr/share/doc | sort | cksum; done' >/dev/null; :";

/// What readelf says of a file.
fn readelf(path: &Path) -> Option<String> {
    let output = Command::new("readelf").arg("-n").arg(path).stdin(Stdio::null()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines().find_map(|line| line.trim().strip_prefix("Build ID: ").map(str::to_owned))
}

/// The roots below which the processes of this machine find their files: one for each mount namespace.
fn roots() -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let processes =
        fs::read_dir("/proc").expect("it is mounted").filter_map(|entry| Some(entry.ok()?.path()));
    let mut roots: Vec<_> = processes
        .filter(|process| fs::read_link(process.join("ns/mnt")).is_ok_and(|namespace| seen.insert(namespace)))
        .map(|process| process.join("root"))
        .collect();
    roots.insert(0, "/".into());
    roots
}

#[test]
#[expect(clippy::print_stderr, reason = "the counts are of interest also where all is well")]
fn each_id_of_a_whole_machine_is_the_one_in_the_file() {
    let test = "the ids of a whole machine";
    if oracle::recorder(test).is_none() || !oracle::are_here("binutils", &["readelf", "addr2line"], test) {
        return;
    }
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "--no-bpf-event", "-a", "-e", "cpu-clock", "-F", "2000", "-o", "-", "--"]);
    let output = perf.args(["sh", "-c", WORK]).stdin(Stdio::null()).output().expect("perf runs");
    let stream = &output.stdout;
    if stream.len() < 10_000 {
        return oracle::cannot_record(&stderr(&output));
    }
    let output = run(perftool(&["inject", "-b"]), stream);
    assert!(output.status.success(), "{}", stderr(&output));
    let ids = ids_in(&injected(stream, &output.stdout), Endian::NATIVE);
    let roots = roots();
    let (mut compared, mut changed, mut wrong) = (0, 0, Vec::new());
    for (name, id) in ids.iter().filter(|(name, _)| name.starts_with('/')) {
        let files = roots.iter().map(|root| root.join(name.trim_start_matches('/')));
        let here: Vec<PathBuf> = files.filter(|file| file.is_file()).collect();
        // Somebody else may build programs while this runs.
        let is_old =
            |file: &PathBuf| fs::metadata(file).is_ok_and(|meta| meta.ctime().cast_unsigned() < begun);
        let found: Vec<_> = here.iter().filter_map(|file| readelf(file)).collect();
        if found.contains(&id.to_string()) {
            compared += 1;
        } else if here.iter().all(is_old) && !here.is_empty() {
            wrong.push(format!("  {name}: {id}, but the file has {found:?}"));
        } else {
            changed += 1;
        }
    }
    let listed = run(perftool(&["buildid-list", "-H"]), &output.stdout).stdout;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let without = listed.lines().filter(|line| line.starts_with(' '));
    eprintln!(
        "{compared} ids are those of the files, {changed} of files that are gone or changed since; \
         without an id: {:?}",
        without.map(str::trim).collect::<Vec<_>>()
    );
    assert!(wrong.is_empty(), "{} ids are not those of the files:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= 3, "ls, sort and the C library were hit: {listed}\n{}", stderr(&output));
}
