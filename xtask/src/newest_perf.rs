//! The newest perf, which the tests ask after the one of the PATH. `.ci/newest-perf` builds it from Debian's sources of the
//! kernel; it is kept in the target directory.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use crate::workspace::Workspace;

/// The variable in which the tests are told which perfs to ask.
pub(crate) const PERFS: &str = "PERFTOOL_PERFS";

const BUILD: &str = ".ci/newest-perf";

/// A build that goes on meanwhile, or what was built before.
pub(crate) struct NewestPerf {
    dir: PathBuf,
    building: Option<Child>,
}

impl NewestPerf {
    /// Starts to build it, if that is asked for, and if the environment does not say which perfs there are.
    pub(crate) fn start(workspace: &Workspace, build: bool) -> anyhow::Result<Self> {
        let dir = workspace.target.join("newest-perf");
        let build = build && std::env::var_os(PERFS).is_none();
        let command = || Command::new(BUILD).arg(&dir).stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let building = build.then(command).transpose().with_context(|| format!("cannot run {BUILD}"))?;
        Ok(Self { dir, building })
    }

    /// What was built before.
    pub(crate) fn built(workspace: &Workspace) -> Option<PathBuf> {
        Some(workspace.target.join("newest-perf/perf")).filter(|perf| perf.exists())
    }

    /// Waits until it is built, and returns the perfs for [`PERFS`].
    ///
    /// # Errors
    /// The reason why the perf of the PATH is asked alone.
    pub(crate) fn wait(self) -> Result<OsString, String> {
        if let Some(perfs) = std::env::var_os(PERFS) {
            return Ok(perfs);
        }
        if let Some(building) = self.building {
            let built = building.wait_with_output().map_err(|error| error.to_string())?;
            if !built.status.success() {
                let said = String::from_utf8_lossy(&built.stderr);
                return Err(said.lines().last().unwrap_or("it cannot be built").to_owned());
            }
        }
        let perf = self.dir.join("perf");
        if !perf.exists() {
            return Err(format!("it is not built: {BUILD} {}", self.dir.display()));
        }
        let mut perfs = OsString::from("perf:");
        perfs.push(perf);
        Ok(perfs)
    }
}
