//! Recordings of what people profile: a build, a server's program, all of a machine, at work and idle, and a compiler with
//! its stacks. Each is as perf wrote it, long enough that starting a program is no part of its figures.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::progress;
use super::recording::{Missing, perf_line, remove};
use crate::run;

/// A recording is made again, longer, as long as it has fewer bytes than that, if it does not say another number.
const AT_LEAST: u64 = 50_000_000;

/// How often at the most.
const TRIES: usize = 3;

/// How a recording is made: `perf record OPTIONS -- sh -c SCRIPT sh AMOUNT`, in a directory of its own.
#[derive(Debug)]
pub(super) struct Real {
    options: &'static str,
    /// What is recorded. `$1` says how much of it.
    script: &'static str,
    /// How much at first, and at the most: rounds of work or seconds.
    amount: u64,
    at_most: u64,
    /// It is made again, longer, as long as it has fewer bytes.
    at_least: u64,
    /// What has to be installed, beside perf and what every system has.
    needs: &'static [&'static str],
    /// Puts what the script works on into the directory.
    prepare: fn(&Path) -> anyhow::Result<()>,
}

/// make, which has a shell, mkdir, gcc, cc1 and as run for each of 600 files.
pub(super) const BUILD: Real = Real {
    options: "-a -g -F 9999 -e cpu-clock",
    script: "for round in $(seq $1); do make -s clean; make -s -j4; done > out 2>&1",
    amount: 1,
    at_most: 10,
    at_least: AT_LEAST,
    needs: &["make", "gcc"],
    prepare: sources,
};

/// Jitted code of one process.
pub(super) const NODE: Real = Real {
    options: "-g -F 20000 -e cpu-clock:u",
    script: "exec node load.js $1",
    amount: 20,
    at_most: 120,
    at_least: AT_LEAST,
    needs: &["node"],
    prepare: |folder| Ok(fs::write(folder.join("load.js"), include_str!("load.js"))?),
};

/// Several programs at once, some of them many times.
pub(super) const BUSY: Real = Real {
    options: "-a -g -F 9999 -e cpu-clock",
    // In one line, as it is told.
    script: "for round in $(seq $1); do \
             seq 1000000 | sort -r | gzip | wc -c & \
             tar cf - /usr/include /usr/share/doc | gzip -1 | wc -c & \
             find /usr/lib -type f -name '*.so*' | xargs sha256sum | sort | uniq -c | wc -l & \
             for again in 1 2 3 4 5; do \
             grep -c the /usr/share/common-licenses/* | sort | awk '{ n += length($0) } END { print n }'; \
             done; wait; done > out 2>&1",
    amount: 2,
    at_most: 40,
    at_least: AT_LEAST,
    needs: &[],
    prepare: |_| Ok(()),
};

/// Idle as far as the machine is.
pub(super) const IDLE: Real = Real {
    options: "-a -g -F 20000 -e cpu-clock",
    script: "exec sleep $1",
    amount: 20,
    at_most: 60,
    at_least: AT_LEAST,
    needs: &[],
    prepare: |_| Ok(()),
};

/// gcc at work on one large file: a program without frame pointers whose calls nest deeply, each sample with a piece of
/// its stack.
pub(super) const STACKS: Real = Real {
    options: "-F 749 -e cpu-clock --call-graph dwarf",
    script: "for round in $(seq $1); do gcc -O2 -c all.c -o all.o; done",
    amount: 1,
    at_most: 30,
    at_least: 120_000_000,
    needs: &["gcc"],
    prepare: one_source,
};

impl Real {
    /// Records, to a pipe or to a file by the name's end, and returns the command.
    pub(super) fn record(&self, perf: &Path, path: &Path, is_file: bool) -> anyhow::Result<String> {
        if let Some(program) = self.needs.iter().find(|program| !is_installed(program)) {
            return Err(Missing((*program).to_owned()).into());
        }
        // Beside the recording, which is `../NAME` in there.
        let folder = path.with_extension("work");
        fs::create_dir_all(&folder)?;
        (self.prepare)(&folder).with_context(|| format!("cannot prepare {}", folder.display()))?;
        let mut amount = self.amount;
        for _ in 1..TRIES {
            let line = self.record_once(perf, path, &folder, is_file, amount)?;
            let Some(more) = self.more(amount, fs::metadata(path)?.len()) else { return Ok(line) };
            progress(&format!("too short with {amount}: once more with {more}"));
            amount = more;
        }
        self.record_once(perf, path, &folder, is_file, amount)
    }

    /// How much it takes to record so many bytes, if it takes more.
    fn more(&self, amount: u64, bytes: u64) -> Option<u64> {
        if bytes >= self.at_least {
            return None;
        }
        // A fifth more than is needed, since no two runs are the same.
        let wanted = (amount * self.at_least * 6 / 5).div_ceil(bytes.max(1));
        Some(wanted.min(self.at_most)).filter(|more| *more > amount)
    }

    fn record_once(
        &self,
        perf: &Path,
        path: &Path,
        folder: &Path,
        is_file: bool,
        amount: u64,
    ) -> anyhow::Result<String> {
        let mut command = Command::new(perf);
        // A newer perf writes ids itself, and there would be nothing to inject.
        command.args(["record", "-q", "--no-buildid-mmap"]).args(self.options.split_whitespace());
        if is_file {
            // Not into the user's cache.
            let name = path.file_name().context("it has no name")?;
            command.args(["-N", "-o"]).arg(Path::new("..").join(name)).stdout(Stdio::null());
            // perf would keep the one before under another name.
            remove(path)?;
        } else {
            command.args(["-o", "-"]).stdout(File::create(path)?);
        }
        command.args(["--", "sh", "-c", self.script, "sh", &amount.to_string()]);
        command.current_dir(folder);
        let line = perf_line(&command);
        progress(&line);
        run::run(command).context("recording takes Linux with perf, and of all of a machine root")?;
        Ok(line)
    }
}

/// Whether a program can be started.
fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

const FILES: usize = 600;

/// A program of that many files, and the Makefile. They are the same whenever they are made.
fn sources(folder: &Path) -> anyhow::Result<()> {
    for file in 0..FILES {
        fs::write(folder.join(format!("part{file}.c")), source(file))?;
    }
    let prototypes: String =
        (0..FILES).map(|file| format!("int part{file}_0(const char *, int);\n")).collect();
    let calls: String = (0..FILES).map(|file| format!("    sum += part{file}_0(argv[0], argc);\n")).collect();
    let main = format!(
        "{prototypes}\nint main(int argc, char **argv)\n{{\n    int sum = 0;\n{calls}    return sum == 0;\n}}\n"
    );
    fs::write(folder.join("main.c"), main)?;
    Ok(fs::write(folder.join("Makefile"), MAKEFILE)?)
}

/// All of that program in one file, but for its main function.
fn one_source(folder: &Path) -> anyhow::Result<()> {
    let text: String = (0..FILES).map(source).collect();
    Ok(fs::write(folder.join("all.c"), text)?)
}

// A tab in front of each command.
const MAKEFILE: &str = "\
objects := $(patsubst %.c,objects/%.o,$(wildcard *.c))
program: $(objects)
\tgcc -o $@ $^
objects/%.o: %.c
\t@mkdir -p objects && gcc -O1 -c -o $@ $< && echo CC $@
clean:
\trm -rf objects program
";

/// A few functions in C, different from file to file.
fn source(file: usize) -> String {
    let function = |n: usize| {
        format!(
            "
int part{file}_{n}(const char *text, int length)
{{
    int sum = {start};
    for (int i = 0; i < length; i++) {{
        if (text[i] % {divisor} == 0) sum += text[i] * {file};
        else sum ^= (int)strlen(text + i) << {shift};
        switch (sum & 7) {{
        case 0: sum += i; break;
        case 1: sum -= {file}; break;
        case 5: sum *= 3; break;
        default: break;
        }}
    }}
    if (sum == {file}) printf(\"part {file}: %d\\n\", sum);
    return sum;
}}
",
            start = file * n,
            divisor = n + 2,
            shift = n % 7
        )
    };
    let functions: String = (0..5).map(function).collect();
    format!("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n{functions}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_that_is_too_short_is_made_longer_up_to_a_limit() {
        assert_eq!(BUILD.more(1, AT_LEAST), None);
        assert_eq!(BUILD.more(1, 15_000_000), Some(4));
        assert_eq!(BUILD.more(4, 1_000_000), Some(10));
        assert_eq!(BUILD.more(10, 1_000_000), None);
        assert_eq!(IDLE.more(20, 0), Some(60));
        assert_eq!((STACKS.more(1, 40_000_000), STACKS.more(1, 120_000_000)), (Some(4), None));
    }

    #[test]
    fn what_is_not_installed_is_said_by_its_name() {
        let real = Real { needs: &["no-such-program"], ..BUILD };
        let error = real.record(Path::new("perf"), Path::new("never-made.pipe"), false).unwrap_err();
        assert_eq!(error.downcast_ref::<Missing>().unwrap().to_string(), "no-such-program is not installed");
        assert!(!Path::new("never-made.work").exists());
    }

    #[test]
    fn no_two_files_of_the_program_are_the_same() {
        assert_ne!(source(1), source(2));
        assert!(source(3).contains("int part3_4(const char *text, int length)\n{\n    int sum = 12;"));
    }
}
