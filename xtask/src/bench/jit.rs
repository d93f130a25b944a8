//! Names for jitted code: 20,000 functions of which some 1,000 are hot, from a file to a file, beside perf's own way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::programs::{self, Program};
use super::report::{Bar, Row};
use super::rounds::{Contender, Timed, interleaved};
use super::{Bench, progress};
use crate::run;

const SECTION: &str = "X -i FILE -o NEW, jitted code";
const INPUT: &str = "20,000 functions";

/// The most seconds that perftool may take.
const AT_MOST: f64 = 0.5;

/// What the program makes, and how long it runs.
const WORK: &[&str] = &["-f", "-n", "20000", "-H", "1000", "-r", "200", "-c", "20000"];

/// Below the directory of the recording: its dump, beside which perf writes; what perftool writes; and what else perf
/// writes, its user's cache among it.
const DUMPS: &str = "dumps";
const IMAGES: &str = "images";
const HOME: &str = "home";

pub(super) fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let folder = prepare(bench)?;
    let file = folder.join(RECORDED);
    let [dumps, images, home] = [DUMPS, IMAGES, HOME].map(|name| folder.join(name));
    clear_dumps(&dumps)?;
    progress("jit");
    let programs = [Program::perftool(bench, &["--jit"]), Program::perf(bench, &["--jit"])];
    let [ours, theirs] = &programs;
    let contender = |program: &Program, run| Contender {
        name: program.name.clone(),
        rounds_at_most: program.rounds_at_most,
        run,
    };
    let mut contenders = [
        contender(
            ours,
            Box::new(|| {
                empty(&images)?;
                programs::timed(convert(ours, &file, &images, &home))
            }),
        ),
        contender(
            theirs,
            Box::new(|| {
                clear_dumps(&dumps)?;
                empty(&home)?;
                programs::timed(convert(theirs, &file, &home, &home))
            }),
        ),
    ];
    let mut copy = Contender {
        name: "cp".to_owned(),
        rounds_at_most: usize::MAX,
        run: Box::new(|| {
            let mut cp = Command::new("cp");
            cp.arg(&file).arg(folder.join("copy"));
            programs::timed(cp)
        }),
    };
    let (_, timed) = interleaved(bench.rounds, &mut copy, &mut contenders)?;
    drop(contenders);
    // Beside the output, and beside the dump.
    let written = [count(&images)? - 1.0, count(&dumps)? - 1.0];
    let row = |((program, timed), written): ((&Program, Option<Timed>), f64)| Row {
        section: SECTION,
        input: INPUT.to_owned(),
        program: program.name.clone(),
        figures: timed.map_or(Vec::new(), |timed| vec![("s", timed.seconds), ("files", written)]),
        bar: program.name.starts_with("perftool").then_some(Bar::at_most("s", AT_MOST)),
        ..Row::default()
    };
    let rows = programs.iter().zip(timed).zip(written).map(row).collect();
    empty(&images)?;
    empty(&home)?;
    clear_dumps(&dumps)?;
    Ok(rows)
}

/// The name that the recording has when all is there.
const RECORDED: &str = "recorded.data";

/// The directory of the recording and its dump, made if it is not there.
fn prepare(bench: &Bench) -> anyhow::Result<PathBuf> {
    let folder = bench.folder.join("jit");
    if !folder.join(RECORDED).exists() {
        progress(&format!("making {}", folder.display()));
        make(&bench.perf, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(folder)
}

fn make(perf: &Path, folder: &Path) -> anyhow::Result<()> {
    for name in [DUMPS, IMAGES, HOME] {
        let dir = folder.join(name);
        fs::create_dir_all(&dir)?;
        empty(&dir)?;
    }
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-fno-omit-frame-pointer", "-o"]).arg(folder.join("jitgen")).arg("tests/jitgen.c");
    run::run(cc).context("its program takes a C compiler")?;
    let mut record = Command::new(perf);
    record.args("record -q -k 1 -e cpu-clock:u -F 5000 -g -o part -- ./jitgen".split(' '));
    record.args(WORK).arg(DUMPS).current_dir(folder);
    run::run(record).context("recording takes Linux with perf, and x86-64")?;
    Ok(fs::rename(folder.join("part"), folder.join(RECORDED))?)
}

fn convert(program: &Program, file: &Path, to: &Path, home: &Path) -> Command {
    let mut convert = program.command();
    convert.arg("-i").arg(file).arg("-o").arg(to.join("new.data")).env("HOME", home);
    convert
}

/// How many files are in a directory.
fn count(dir: &Path) -> anyhow::Result<f64> {
    Ok(fs::read_dir(dir)?.count() as f64)
}

/// Takes away what a run wrote: making room is no part of the time.
fn empty(dir: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(dir)?;
    Ok(fs::create_dir(dir)?)
}

/// Takes away what perf wrote beside the dump.
fn clear_dumps(dumps: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(dumps)? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "dump") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
