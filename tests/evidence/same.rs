//! Files that are the mapped ones though the process has ended: their ids are given.

use crate::builds::{Build, Builds, Part};
use crate::common::oracle;
use crate::mounts::MountNamespace;
use crate::scene::{Cases, Form, Judged, Scene};

const BOTH: [Part; 2] = [Part::Program, Part::Library];

#[test]
fn what_is_compiled_and_recorded_at_once_gets_its_id() {
    let Some(builds) = Builds::for_test("what is compiled and recorded at once") else { return };
    let mut cases = Cases::default();
    for part in BOTH {
        let compiled = || -> Judged<_> {
            let scene = Scene::empty(&builds, part);
            builds.compile(part, Build::Old, &scene.path())?;
            Ok(scene)
        };
        let live = || {
            let scene = compiled()?;
            scene.live_pipe(&scene.command())?.found(&scene.path())
        };
        cases.judge(format_args!("{part:?}, live pipe"), live());
        for form in [Form::Stream, Form::File] {
            let recorded = || {
                let scene = compiled()?;
                scene.found(&scene.record(form, &scene.command())?)
            };
            cases.judge(format_args!("{part:?}, {form:?}"), recorded());
        }
    }
    cases.end();
}

/// What is done before a program runs, and after.
const NAMES: [(&str, &str, &str); 3] = [
    ("mapped through a hard link", r#"mv "$PLACE" "$OWN/program"; ln "$OWN/program" "$PLACE""#, ""),
    ("the folder swapped for a link to it", "", r#"mv "$HERE" "$OWN/there"; ln -s there "$HERE""#),
    ("the folder renamed there and back", "", r#"mv "$HERE" "$OWN/there"; mv "$OWN/there" "$HERE""#),
];

#[test]
fn a_file_that_has_other_names_is_still_the_mapped_one() {
    let Some(builds) = Builds::for_test("files with other names") else { return };
    let mut cases = Cases::default();
    for (case, before, after) in NAMES {
        let scene = Scene::new(&builds, Part::Program, Build::Old);
        let judged = scene.shell(before).and_then(|()| {
            let recording = scene.record(Form::Stream, &scene.command())?;
            scene.shell(after)?;
            scene.found(&recording)
        });
        cases.judge(case, judged);
    }
    cases.end();
}

/// How a file system that cannot be written is mounted at the place.
const READ_ONLY: [(&str, &str); 2] = [
    (
        "an ext4 image",
        r#"cd "$OWN"; mkdir from; cp "$OLD" from/program; PATH="$PATH:/sbin:/usr/sbin"
        mkfs.ext4 -q -d from image 4M; mount -o loop,ro image "$HERE""#,
    ),
    (
        "a directory bound so",
        r#"mkdir "$OWN/from"; cp "$OLD" "$OWN/from/program"; mount --bind "$OWN/from" "$HERE"
        mount -o remount,ro,bind "$HERE""#,
    ),
];

#[test]
fn a_program_on_a_read_only_file_system_gets_its_id() {
    let Some(builds) = Builds::for_test("read-only file systems") else { return };
    let mut cases = Cases::default();
    for (case, script) in READ_ONLY {
        let mounts = match MountNamespace::new() {
            Ok(mounts) => mounts,
            Err(said) => return oracle::cannot_set_up(case, &said),
        };
        let scene = Scene::with_mounts(&builds, Part::Program, mounts);
        if let Err(said) = scene.shell(script) {
            oracle::cannot_set_up(case, &said);
            continue;
        }
        for form in [Form::Stream, Form::File] {
            let judged = scene.record(form, &scene.command());
            cases.judge(
                format_args!("{case}, {form:?}"),
                judged.and_then(|recording| scene.found(&recording)),
            );
        }
    }
    cases.end();
}
