//! The options that say where files are found and which of them are believed, the same in every subcommand that has them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use bstr::ByteSlice as _;
use clap::ValueHint;
use perf_session::build_id::{InRoot, Known, SourceConfig};
use perf_session::evidence::EvidenceConfig;

use crate::report::UsageError;

/// Where files are found, and which are believed.
#[derive(Debug, clap::Args)]
pub(crate) struct FileOptions {
    /// Build-ids that are used before any other
    ///
    /// IDS is HEX PATH[,HEX PATH], or file://LIST, a file with one entry a line as buildid-list prints them. By default
    /// there are none.
    #[arg(long, value_name = "IDS", value_hint = ValueHint::Other)]
    known_build_ids: Option<OsString>,

    /// Look for files below DIR, and for none of this machine
    ///
    /// DIR holds the files of the recorded machine, the kernel's image among them. By default this machine's files are read,
    /// if the recording was made on it.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    symfs: Option<PathBuf>,

    /// Look for the files of a process below DIR
    ///
    /// It holds for the process PID and its descendants, as those of a container. It may be given several times.
    #[arg(long, value_name = "PID=DIR", value_hint = ValueHint::DirPath)]
    root: Vec<Root>,

    /// Use no file that nothing proves to be the recorded one, nor its id
    ///
    /// It concerns files on file systems whose devices cannot be compared (overlayfs, btrfs), records without inodes, and
    /// files that got another name since. By default such a file is used, and --summary or the manifest names it.
    #[arg(long)]
    strict_ids: bool,

    /// Use this machine's files and their ids without proof that they fit
    ///
    /// This machine's files and kernel, and their build-ids, are used even if they seem to be others than the recorded ones,
    /// unless the recording has an id that says so. By default such a file is left out, with a warning.
    #[arg(long, conflicts_with = "strict_ids")]
    allow_changed: bool,
}

impl FileOptions {
    /// The ids of `--known-build-ids`.
    pub(crate) fn known(&self) -> anyhow::Result<Known> {
        let Some(list) = &self.known_build_ids else { return Ok(Known::default()) };
        let list = list.as_encoded_bytes().as_bstr();
        let cannot = || format!("cannot read --known-build-ids={list}");
        match list.strip_prefix(b"file://") {
            Some(path) => {
                let file = fs::read(Path::new(OsStr::from_bytes(path))).with_context(cannot)?;
                Known::parse(file.as_bstr(), b'\n').with_context(cannot)
            }
            None => {
                Known::parse(list, b',').map_err(|error| UsageError(format!("{}: {error}", cannot())).into())
            }
        }
    }

    /// The processes with a root of their own.
    pub(crate) fn root_pids(&self) -> impl Iterator<Item = i32> + '_ {
        self.root.iter().map(|root| root.pid)
    }

    /// Where files are looked for; `--debug-dir` is the caller's.
    pub(crate) fn sources(&self, known: Known, evidence: EvidenceConfig) -> anyhow::Result<SourceConfig> {
        Ok(SourceConfig {
            known,
            evidence: EvidenceConfig {
                strict: self.strict_ids,
                allow_changed: self.allow_changed,
                ..evidence
            },
            symfs: self.symfs.as_deref().map(|dir| open_dir("--symfs", dir)).transpose()?,
            roots: self
                .root
                .iter()
                .map(|Root { pid, dir }| Ok((*pid, open_dir("--root", dir)?)))
                .collect::<anyhow::Result<_>>()?,
            ..SourceConfig::default()
        })
    }
}

/// The directories of an option.
pub(crate) fn open_dirs(option: &str, dirs: &[PathBuf]) -> anyhow::Result<Vec<InRoot>> {
    dirs.iter().map(|dir| open_dir(option, dir)).collect()
}

fn open_dir(option: &str, dir: &Path) -> anyhow::Result<InRoot> {
    InRoot::open(dir).with_context(|| format!("cannot open {option} {}", dir.display()))
}

/// The root directory of a process.
#[derive(Debug, Clone)]
struct Root {
    pid: i32,
    dir: PathBuf,
}

impl FromStr for Root {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').filter(|(_, dir)| !dir.is_empty());
        let (pid, dir) = parts.ok_or("it is PID=DIR")?;
        let pid = pid.parse().map_err(|_| format!("{pid:?} is no process id"))?;
        Ok(Self { pid, dir: dir.into() })
    }
}
