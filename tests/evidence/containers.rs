//! Programs that run where their path is another file than outside: below other roots, on other mounts, in other
//! namespaces.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::builds::{Build, Builds, Part};
use crate::common::{oracle, stderr};
use crate::scene::{Cases, Form, Judged, Recording, Scene};

/// What is at a path outside of a container, compared with what is there inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outside {
    Same,
    Other,
}

use Outside::{Other, Same};

/// Other roots, mounts and namespaces that a program runs with.
struct Container {
    name: &'static str,
    /// For the shell: it puts the old build there, and ends with `exec "$@"`.
    script: &'static str,
    /// What is outside at the program's path.
    outside: Outside,
    /// If it has another root, which is `$OWN/root`, what is outside below that at the program's path.
    below_root: Option<Outside>,
}

const CHROOT: &str =
    r#"mkdir -p "$OWN/root$HERE"; cp "$OLD" "$OWN/root$PLACE"; exec chroot "$OWN/root" "$@""#;

const CHROOT_ON_TMPFS: &str = r#"mkdir -p "$OWN/root$HERE"; cp "$NEW" "$OWN/root$PLACE"
    exec unshare -m sh -ec 'mount -t tmpfs none "$OWN/root"
    mkdir -p "$OWN/root$HERE"; cp "$OLD" "$OWN/root$PLACE"; exec chroot "$OWN/root" "$@"' sh "$@""#;

const TMPFS: &str =
    r#"exec unshare -m sh -ec 'mount -t tmpfs none "$HERE"; cp "$OLD" "$PLACE"; exec "$@"' sh "$@""#;

const BIND_FROM_TMPFS: &str = r#"mkdir "$OWN/memory"; exec unshare -m sh -ec 'mount -t tmpfs none "$OWN/memory"
    cp "$OLD" "$OWN/memory/program"; mount --bind "$OWN/memory" "$HERE"; exec "$@"' sh "$@""#;

const FILE_FROM_TMPFS: &str = r#"mkdir "$OWN/memory"; exec unshare -m sh -ec 'mount -t tmpfs none "$OWN/memory"
    cp "$OLD" "$OWN/memory/other"; mount --bind "$OWN/memory/other" "$PLACE"; exec "$@"' sh "$@""#;

const OVERLAY: &str = r#"cd "$OWN"; mkdir lower upper work; cp "$OLD" lower/program; exec unshare -m sh -ec '
    mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work "$HERE"; exec "$@"' sh "$@""#;

const CHROOT_ON_OVERLAY: &str = r#"cd "$OWN"; mkdir -p upper work "root$HERE" "lower$HERE"
    cp "$NEW" "root$PLACE"; cp "$OLD" "lower$PLACE"
    exec unshare -m sh -ec 'mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work root
    exec chroot root "$@"' sh "$@""#;

const PIDS: &str = r#"cp "$OLD" "$PLACE"; exec unshare -p -f "$@""#;

const USERS: &str = r#"cp "$OLD" "$PLACE"; exec unshare -U -r "$@""#;

const ROOTLESS: &str = r#"exec unshare -U -r -m -p -f --mount-proc sh -ec '
    mount -t tmpfs none "$HERE"; cp "$OLD" "$PLACE"; exec "$@"' sh "$@""#;

const CONTAINERS: [Container; 10] = [
    Container { name: "chroot", script: CHROOT, outside: Other, below_root: Some(Same) },
    Container { name: "chroot on tmpfs", script: CHROOT_ON_TMPFS, outside: Other, below_root: Some(Other) },
    Container { name: "a tmpfs of its own", script: TMPFS, outside: Other, below_root: None },
    Container {
        name: "a directory bound from a tmpfs",
        script: BIND_FROM_TMPFS,
        outside: Other,
        below_root: None,
    },
    Container {
        name: "a file bound from a tmpfs",
        script: FILE_FROM_TMPFS,
        outside: Other,
        below_root: None,
    },
    Container { name: "overlayfs", script: OVERLAY, outside: Other, below_root: None },
    Container {
        name: "chroot on overlayfs",
        script: CHROOT_ON_OVERLAY,
        outside: Other,
        below_root: Some(Other),
    },
    Container { name: "a pid namespace", script: PIDS, outside: Same, below_root: None },
    Container { name: "a user namespace", script: USERS, outside: Same, below_root: None },
    Container { name: "user, mount and pid namespaces", script: ROOTLESS, outside: Other, below_root: None },
];

impl Container {
    /// The command that runs the scene's program there.
    fn command(&self, scene: &Scene<'_>) -> Vec<OsString> {
        let mut command: Vec<OsString> = ["sh", "-ec", self.script, "sh"].map(OsString::from).to_vec();
        command.extend(scene.command());
        command
    }

    /// Whether the program runs there at all; otherwise it is said that the case was left out.
    fn can_be_made(&self, builds: &Builds) -> bool {
        let scene = Scene::new(builds, Part::Program, Build::New);
        let command = self.command(&scene);
        let mut sh = Command::new(&command[0]);
        sh.args(&command[1..]).stdin(Stdio::null());
        let output = scene.prepared(sh).output().expect("sh runs");
        if !output.status.success() {
            oracle::cannot_set_up(self.name, &stderr(&output));
        }
        output.status.success()
    }

    /// Judges a recording of a program that still runs there, and again when it has ended: what is `outside` at the name
    /// that the recording has is then all that can be found.
    fn judge(
        &self,
        scene: &Scene<'_>,
        recording: Judged<Recording>,
        name: &Path,
        outside: Outside,
        cases: &mut Cases,
    ) {
        let found = |recording: &Recording| scene.inject(recording)?.found(name);
        let first = recording.as_ref().map_err(Clone::clone).and_then(found);
        if first.is_err() && !self.can_be_made(scene.builds) {
            return;
        }
        cases.judge(format_args!("{}, it runs", self.name), first);
        let Ok(mut recording) = recording else { return };
        recording.end_process();
        let judged = match outside {
            Same => found(&recording),
            Other => scene.inject(&recording).and_then(|injected| injected.refused(name)),
        };
        cases.judge(format_args!("{}, it is gone", self.name), judged);
    }
}

#[test]
fn a_program_elsewhere_gets_the_id_of_what_it_mapped_and_none_where_that_is_gone() {
    let Some(builds) = Builds::for_test("programs that run elsewhere") else { return };
    let mut cases = Cases::default();
    for container in &CONTAINERS {
        let scene = Scene::new(&builds, Part::Program, Build::New);
        let recording = scene.record_child(Form::Stream, &container.command(&scene));
        container.judge(&scene, recording, &scene.path(), container.outside, &mut cases);
    }
    cases.end();
}

#[test]
fn a_program_elsewhere_that_perf_attached_to_gets_the_id_of_what_it_mapped_and_none_where_that_is_gone() {
    let Some(builds) = Builds::for_test("programs elsewhere that perf attaches to") else { return };
    let mut cases = Cases::default();
    for container in &CONTAINERS {
        let scene = Scene::new(&builds, Part::Program, Build::New);
        let recording = scene.record_attached(Form::Stream, &container.command(&scene));
        // Of another root, /proc shows perf the path from its own.
        let place = scene.path();
        let below_root = scene.own("root").join(place.strip_prefix("/").expect("it is absolute"));
        let (name, outside) = match container.below_root {
            Some(outside) => (below_root, outside),
            None => (place, container.outside),
        };
        container.judge(&scene, recording, &name, outside, &mut cases);
    }
    cases.end();
}
