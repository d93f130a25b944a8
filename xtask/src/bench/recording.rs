//! What recordings have in common: programs that are missing, commands as one would type them, files that go.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run;

/// A program that has to be installed for a recording, and is not.
#[derive(Debug)]
pub(super) struct Missing(pub(super) String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not installed", self.0)
    }
}

impl std::error::Error for Missing {}

/// What was done, or why it cannot be done here.
pub(super) fn unless_missing<T>(done: anyhow::Result<T>) -> anyhow::Result<Result<T, Missing>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(error) => Ok(Err(error.downcast::<Missing>()?)),
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The command as one would type it where perf is in the PATH: where it was here is nobody else's matter.
pub(super) fn perf_line(command: &Command) -> String {
    let mut here = Command::new("perf");
    here.args(command.get_args());
    run::line(&here)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn what_is_missing_is_told_apart_from_what_fails() {
        let missing: anyhow::Result<()> = Err(Missing("node".to_owned()).into());
        let missing = missing.context("cannot make node.pipe");
        assert_eq!(unless_missing(missing).unwrap().unwrap_err().to_string(), "node is not installed");
        assert!(unless_missing::<()>(Err(anyhow::anyhow!("it fails"))).is_err());
        assert_eq!(unless_missing(Ok(7)).unwrap().unwrap(), 7);
    }

    #[test]
    fn a_command_is_told_without_the_place_of_its_program() {
        let mut command = Command::new("/opt/linux/perf");
        command.args(["record", "-o", "-"]);
        assert_eq!(perf_line(&command), "perf record -o -");
    }
}
