//! The workspace as cargo describes it: where its root and its target directory are, and which crates it has.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::run;

/// What `cargo metadata` tells.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    /// All of it, for whoever asks for more.
    pub(crate) metadata: Value,
}

impl Workspace {
    /// Asks cargo about the workspace round the current directory.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let json = run::output(cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
        let metadata: Value =
            serde_json::from_slice(&json).context("cannot read what cargo metadata says")?;
        let path = |key: &str| match metadata[key].as_str() {
            Some(path) => Ok(PathBuf::from(path)),
            None => bail!("cargo metadata does not say {key}"),
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")?, metadata })
    }

    /// A file or folder under the target directory, by the shortest name that a shell in the root understands.
    pub(crate) fn target(&self, path: &str) -> PathBuf {
        let target = self.target.strip_prefix(&self.root).unwrap_or(&self.target);
        target.join(path)
    }
}

/// The cargo that runs us, with these arguments.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(args);
    cargo
}
