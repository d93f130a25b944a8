//! Files that are replaced after the process that mapped them has ended: the new build's id is not given, and a line says
//! that there is none.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::builds::{Build, Builds, Part};
use crate::common::oracle;
use crate::mounts::MountNamespace;
use crate::scene::{Cases, Form, Judged, Scene};

/// How a file is replaced.
enum How {
    /// With a command of the shell.
    Shell(&'static str),
    /// With the compiler, which makes a new file.
    Compiled,
    /// In place, so many ms after perf was started.
    Rewritten(u64),
}

use How::{Compiled, Rewritten, Shell};

const BOTH: &[Form] = &[Form::Stream, Form::File];
const STREAM: &[Form] = &[Form::Stream];
const FILE: &[Form] = &[Form::File];

/// How often a new file is made until it has the old one's inode number: other tests make files, too.
const TRIES: usize = 8;

/// Writes over a file without ever making it shorter: it may be mapped.
pub(crate) fn rewrite(from: &Path, to: &Path) {
    let bytes = fs::read(from).expect("a build");
    let file = File::options().write(true).open(to);
    file.and_then(|mut file| file.write_all(&bytes)).expect("written");
}

/// Replaces the build in its place, so that the inode number is the old one's if the file system lets it be.
#[expect(clippy::print_stderr, reason = "a case that is not quite what it says it is")]
fn replace(case: &str, scene: &Scene<'_>, how: &How, begun: Instant) -> Judged {
    let recorded = scene.inode();
    if let Rewritten(after) = how {
        std::thread::sleep(Duration::from_millis(*after).saturating_sub(begun.elapsed()));
        rewrite(&scene.new_build(), &scene.path());
        return Ok(());
    }
    for _ in 0..TRIES {
        match how {
            Shell(script) => scene.shell(script)?,
            Compiled | Rewritten(_) => scene.builds.compile(scene.part, Build::New, &scene.path())?,
        }
        if scene.inode() == recorded {
            return Ok(());
        }
    }
    eprintln!("{case}: the inode number was not given again in {TRIES} tries");
    Ok(())
}

/// Records, replaces, and looks at each form of the recording before and after.
fn try_case(case: &str, scene: &Scene<'_>, how: &How, forms: &[Form], cases: &mut Cases) {
    let recorded = || -> Judged<_> {
        let mut begun = Instant::now();
        let mut recordings = Vec::new();
        for form in forms {
            begun = Instant::now();
            recordings.push((form, scene.record(*form, &scene.command())?));
        }
        for (form, recording) in &recordings {
            scene.found(recording).map_err(|what| format!("before it was replaced, {form:?}: {what}"))?;
        }
        replace(case, scene, how, begun)?;
        Ok(recordings)
    };
    match recorded() {
        Ok(recordings) => {
            for (form, recording) in recordings {
                cases.judge(format_args!("{case}, {form:?}"), scene.refused(&recording));
            }
        }
        Err(what) => cases.judge(case, Err(what)),
    }
}

fn try_table(builds: &Builds, part: Part, table: &[(&str, How, &[Form])]) {
    let mut cases = Cases::default();
    for (case, how, forms) in table {
        let scene = Scene::new(builds, part, Build::Old);
        try_case(case, &scene, how, forms, &mut cases);
    }
    cases.end();
}

#[test]
fn a_program_that_was_made_anew_at_its_path_gets_no_id() {
    let Some(builds) = Builds::for_test("programs that are made anew") else { return };
    let tar = r#"cd "$OWN"; mkdir -p from; cp -p "$NEW" from/program; tar cf new.tar -C from program; tar xf new.tar -C "$HERE""#;
    try_table(
        &builds,
        Part::Program,
        &[
            ("compiled again at once", Compiled, BOTH),
            ("rm; cp -p", Shell(r#"rm "$PLACE"; cp -p "$NEW" "$PLACE""#), FILE),
            ("tar xf", Shell(tar), STREAM),
            ("install -p", Shell(r#"install -p "$NEW" "$PLACE""#), STREAM),
            ("mv", Shell(r#"cp -p "$NEW" "$OWN/new"; mv "$OWN/new" "$PLACE""#), STREAM),
        ],
    );
}

#[test]
fn a_program_that_was_written_over_gets_no_id() {
    let Some(builds) = Builds::for_test("programs that are written over") else { return };
    let touched = r#"cp -p "$PLACE" "$OWN/old"; cat "$NEW" >"$PLACE"; touch -r "$OWN/old" "$PLACE""#;
    try_table(
        &builds,
        Part::Program,
        &[
            ("cp -p over it", Shell(r#"cp -p "$NEW" "$PLACE""#), BOTH),
            ("cat over it; touch -r", Shell(touched), BOTH),
            ("rewritten 0.2 s after it began", Rewritten(200), BOTH),
            ("rewritten 0.5 s after it began", Rewritten(500), FILE),
            ("rewritten 1.2 s after it began", Rewritten(1200), BOTH),
        ],
    );
}

#[test]
fn a_library_that_was_replaced_gets_no_id() {
    let Some(builds) = Builds::for_test("libraries that are replaced") else { return };
    try_table(
        &builds,
        Part::Library,
        &[
            ("compiled again at once", Compiled, BOTH),
            ("install -p", Shell(r#"install -p "$NEW" "$PLACE""#), STREAM),
            ("cp -p over it", Shell(r#"cp -p "$NEW" "$PLACE""#), BOTH),
            ("rewritten 0.5 s after it began", Rewritten(500), FILE),
        ],
    );
}

#[test]
fn a_library_that_is_written_over_as_soon_as_it_is_mapped_gets_no_id() {
    let Some(builds) = Builds::for_test("libraries that are written over at once") else { return };
    // The file's times are those of the last tick of the clock, which may have been before the map.
    let scene = Scene::new(&builds, Part::Library, Build::Old);
    let mut command = scene.command();
    command.push(scene.new_build().into());
    let mut cases = Cases::default();
    let recording = scene.record(Form::Stream, &command);
    cases.judge("by its own process", recording.and_then(|recording| scene.refused(&recording)));
    cases.end();
}

#[test]
fn a_file_on_a_tmpfs_that_was_mounted_anew_gets_no_id() {
    let Some(builds) = Builds::for_test("a tmpfs that is mounted anew") else { return };
    let mounts = match MountNamespace::new() {
        Ok(mounts) => mounts,
        Err(said) => return oracle::cannot_set_up("a tmpfs that is mounted anew", &said),
    };
    let scene = Scene::with_mounts(&builds, Part::Program, mounts);
    // The first file of a tmpfs has the inode number of the first file of any other.
    if let Err(said) = scene.shell(r#"mount -t tmpfs none "$HERE"; cp "$OLD" "$PLACE""#) {
        return oracle::cannot_set_up("a tmpfs", &said);
    }
    let mut cases = Cases::default();
    try_case(
        "mounted anew",
        &scene,
        &Shell(r#"umount "$HERE"; mount -t tmpfs none "$HERE"; cp -p "$NEW" "$PLACE""#),
        BOTH,
        &mut cases,
    );
    cases.end();
}

#[test]
fn a_program_that_perf_attached_to_and_that_was_replaced_gets_no_id() {
    let Some(builds) = Builds::for_test("programs that perf attaches to, and that are replaced") else {
        return;
    };
    // Perf has the maps of such a process from /proc, which has no generation of inodes.
    let table = [
        ("rm; cp -p", Shell(r#"rm "$PLACE"; cp -p "$NEW" "$PLACE""#), Form::Stream),
        ("cp -p over it", Shell(r#"cp -p "$NEW" "$PLACE""#), Form::File),
    ];
    let mut cases = Cases::default();
    for (case, how, form) in table {
        let scene = Scene::new(&builds, Part::Program, Build::Old);
        let judged = scene.record_attached(form, &scene.command()).and_then(|mut recording| {
            recording.end_process();
            scene.found(&recording).map_err(|what| format!("before it was replaced: {what}"))?;
            replace(case, &scene, &how, Instant::now())?;
            scene.refused(&recording)
        });
        cases.judge(format_args!("{case}, {form:?}"), judged);
    }
    cases.end();
}
