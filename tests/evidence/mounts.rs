//! A mount namespace that a test has to itself: its mounts go with it, however the test ends.

use std::io::{PipeWriter, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A process that holds the namespace, until its input ends.
pub(crate) struct MountNamespace {
    holder: Child,
    input: Option<PipeWriter>,
}

impl MountNamespace {
    /// Makes one.
    ///
    /// # Errors
    /// What unshare said.
    pub(crate) fn new() -> Result<Self, String> {
        let (stdin, input) = std::io::pipe().map_err(|error| error.to_string())?;
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-c", "echo; exec cat"]);
        let command = unshare.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let holder = command.spawn().map_err(|error| error.to_string())?;
        let mut mounts = Self { holder, input: Some(input) };
        drop(unshare);
        let mut made = [0];
        if mounts.holder.stdout.as_mut().expect("a pipe").read_exact(&mut made).is_err() {
            let mut said = String::new();
            mounts.holder.stderr.as_mut().expect("a pipe").read_to_string(&mut said).ok();
            return Err(said);
        }
        Ok(mounts)
    }

    /// The root directory with its mounts.
    pub(crate) fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.holder.id()).into()
    }

    /// The command, run in the namespace.
    pub(crate) fn enter(&self, command: &Command) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["-m", "-t", &self.holder.id().to_string(), "--"]);
        nsenter.arg(command.get_program()).args(command.get_args());
        nsenter
    }
}

impl Drop for MountNamespace {
    fn drop(&mut self) {
        drop(self.input.take());
        self.holder.wait().ok();
    }
}
