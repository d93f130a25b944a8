//! Programs that run on while something happens to their files: what is mapped is found through the process, and what
//! was rewritten in place is no longer what was mapped.

use std::fs::{self, File};
use std::path::Path;

use crate::builds::{Build, Builds, Part};
use crate::common::oracle;
use crate::replaced::rewrite;
use crate::scene::{Cases, Form, Judged, Recording, Scene};

/// How the recording of a process that runs on is made.
type Record = fn(&Scene<'_>) -> Judged<Recording>;

const WAYS: [(&str, Record); 2] = [
    ("recorded from its start", |scene| scene.record_child(Form::Stream, &scene.command())),
    ("attached to", |scene| scene.record_attached(Form::File, &scene.command())),
];

/// Whether what a process has mapped can be opened without its name, which needs privileges; otherwise it is said that
/// the test was left out.
fn maps_can_be_opened(test: &str) -> bool {
    let maps = fs::read_to_string("/proc/self/maps").expect("it is mounted");
    let mapped = maps.lines().find(|line| line.contains('/')).and_then(|line| line.split(' ').next());
    let range = mapped.expect("this program is mapped");
    // The kernel writes numbers there without the zeros in front.
    let range: Vec<_> = range.split('-').map(|address| address.trim_start_matches('0')).collect();
    match File::open(format!("/proc/self/map_files/{}", range.join("-"))) {
        Ok(_) => true,
        Err(error) => {
            oracle::cannot_set_up(test, &format!("/proc/self/map_files: {error}"));
            false
        }
    }
}

/// What happens to the file of a program after it was recorded, one after the other, while it runs.
const CHANGES: [(&str, &str); 6] = [
    ("nothing", ""),
    ("touched", r#"touch "$PLACE""#),
    ("renamed", r#"mv "$PLACE" "$OWN/old""#),
    ("renamed, and another build in its place", r#"cp -p "$NEW" "$PLACE""#),
    ("deleted, and another build in its place", r#"rm "$OWN/old""#),
    ("deleted", r#"rm "$PLACE""#),
];

#[test]
fn a_program_that_runs_is_found_whatever_becomes_of_its_name() {
    let test = "programs that run on";
    let Some(builds) = Builds::for_test(test).filter(|_| maps_can_be_opened(test)) else { return };
    let mut cases = Cases::default();
    for (way, record) in WAYS {
        let scene = Scene::new(&builds, Part::Program, Build::Old);
        match record(&scene) {
            Ok(recording) => {
                for (change, script) in CHANGES {
                    let judged = scene.shell(script).and_then(|()| scene.found(&recording));
                    cases.judge(format_args!("{way}, {change}"), judged);
                }
            }
            Err(said) => cases.judge(way, Err(said)),
        }
    }
    cases.end();
}

#[test]
fn a_program_that_was_deleted_before_perf_attached_to_it_is_found() {
    let test = "programs that are deleted before they are recorded";
    let Some(builds) = Builds::for_test(test).filter(|_| maps_can_be_opened(test)) else { return };
    let scene = Scene::new(&builds, Part::Program, Build::Old);
    // Perf takes the name from /proc, with what the kernel writes behind it.
    let mut name = scene.path().into_os_string();
    name.push(" (deleted)");
    let script = r#"exec 5<"$1"; rm "$1"; exec /proc/self/fd/5"#;
    let command = ["sh".into(), "-ec".into(), script.into(), "sh".into(), scene.path().into()];
    let mut cases = Cases::default();
    let judged = scene.record_attached(Form::Stream, &command);
    let judged = judged.and_then(|recording| scene.inject(&recording)?.found(Path::new(&name)));
    cases.judge("deleted, then run and attached to", judged);
    cases.end();
}

#[test]
fn a_library_that_was_rewritten_under_a_process_that_runs_gets_no_id() {
    let Some(builds) = Builds::for_test("libraries that are rewritten under a process") else { return };
    let mut cases = Cases::default();
    for (way, record) in WAYS {
        let scene = Scene::new(&builds, Part::Library, Build::Old);
        let judged = record(&scene).and_then(|recording| {
            scene.found(&recording).map_err(|what| format!("before: {what}"))?;
            rewrite(&scene.new_build(), &scene.path());
            scene.refused(&recording)
        });
        cases.judge(way, judged);
    }
    cases.end();
}
