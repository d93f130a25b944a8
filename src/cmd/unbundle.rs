//! `perftool unbundle`: unpacks a bundle, which may be anybody's, and says how perf reads it.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bstr::ByteSlice as _;
use clap::ValueHint;
use perf_bundle::{FileRole, Store, UnbundleLimits, Unbundled, unpack};

use super::Verbosity;
use super::bundle::{cache_of_perf, warn_of_missing};
use super::sections::HelpSection;
use crate::progress::Watch;
use crate::report::{self, UsageError};
use crate::{exit, input, interrupt};

/// What stands behind the options.
pub(super) const SECTIONS: &[HelpSection] = &[
    HelpSection::Commands(
        "Examples",
        &[
            "perftool unbundle perf.data.bundle.tar.zst",
            "perf --buildid-dir perf.data.bundle report -i perf.data.bundle/perf.data",
        ],
    ),
    HelpSection::Terms(
        "Exit status",
        &[
            exit::OF_SUCCESS,
            ("1", "A file that is no bundle, is damaged or too large, or a failed write."),
            exit::OF_USAGE,
        ],
    ),
    HelpSection::Terms("Files", &[("~/.debug", "perf's cache, with --into-cache alone.")]),
    HelpSection::See(&["perftool(1)", "perftool-bundle(1)", "perf-archive(1)", "perf-report(1)"]),
];

/// The options of `perftool unbundle`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bundle; - is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    bundle: PathBuf,

    /// The directory to unpack it to, which is not there yet
    ///
    /// It takes its name when it is whole. By default it is the bundle's name without .tar.zst, in the current directory.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,

    /// Put the files into perf's cache, ~/.debug, where perf looks by itself
    ///
    /// What is there already stays. The recording goes to DIR.
    #[arg(long)]
    into_cache: bool,

    /// Unpack no more than SIZE
    ///
    /// SIZE is in bytes, or with K, M, G or T behind it in KiB, MiB, GiB or TiB.
    #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = super::options::size)]
    limit: u64,

    #[command(flatten)]
    verbosity: Verbosity,
}

impl Args {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        report::set_up(self.verbosity);
        let dir = match &self.dir {
            Some(dir) => dir.components().collect(),
            None => default_dir(&self.bundle)?,
        };
        if fs::symlink_metadata(&dir).is_ok() {
            bail!("cannot unpack to {}: something is there already", dir.display());
        }
        let stop = interrupt::noted().context("cannot watch for interrupts")?;
        let watch = Watch { quiet: self.verbosity.quiet, stop };
        let file = match self.bundle.as_os_str() == "-" {
            true => input::stdin()?,
            false => fs::File::open(&self.bundle)
                .with_context(|| format!("cannot open {}", self.bundle.display()))?,
        };
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // It is the user's alone, and is cleared away where something fails.
        let staging = tempfile::Builder::new()
            .prefix(".perftool-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent);
        let staging = staging.with_context(|| format!("cannot unpack to {}", dir.display()))?;
        let store = match self.into_cache {
            true => cache_of_perf().context("there is no HOME, in which the cache would be")?,
            false => staging.path().to_owned(),
        };
        let store = Store::open(&store).with_context(|| format!("cannot use {}", store.display()))?;
        let limits = UnbundleLimits::total(self.limit);
        let unpacked = unpack(watch.file(file), &store, staging.path(), limits, &mut |_| Ok(()));
        let unpacked = unpacked.with_context(|| format!("cannot unpack {}", self.bundle.display()))?;
        if unpacked.recording.is_some() || unpacked.symfs.is_some() || !self.into_cache {
            fs::rename(staging.path(), &dir)
                .with_context(|| format!("cannot unpack to {}", dir.display()))?;
            // What is in it has moved.
            drop(staging.keep());
        }
        self.print(&unpacked, &dir)
    }

    fn print(&self, unpacked: &Unbundled, dir: &Path) -> anyhow::Result<()> {
        let Unbundled { manifest, new, known, recording, symfs, .. } = unpacked;
        log::debug!("{new} files are new, {known} were there");
        for missing in manifest.missing.iter().filter(|missing| missing.samples > 0) {
            warn_of_missing(&missing.name, missing.kind, missing.samples, &missing.reason);
        }
        let mut line = "perf".to_owned();
        if !self.into_cache {
            line += &format!(" --buildid-dir {}", quoted(dir));
        }
        line += " report";
        if recording.is_some() {
            line += &format!(" -i {}", quoted(&dir.join(perf_bundle::RECORDING_NAME)));
        }
        if symfs.is_some() {
            line += &format!(" --symfs {}", quoted(&dir.join(perf_bundle::SYMFS_DIR)));
        }
        // perf 7.3 looks for the symbols of any kernel in /proc/kallsyms alone, if it is not told.
        let symbols = manifest.files.iter().find(|file| file.kind == FileRole::Kallsyms);
        let store = if self.into_cache { cache_of_perf() } else { Some(dir.to_owned()) };
        if let (Some((first, rest)), Some(store)) =
            (symbols.and_then(|file| file.build_id.as_ref()?.split_at_checked(2)), store)
        {
            line += &format!(
                " --kallsyms {}",
                quoted(&store.join(".build-id").join(first).join(rest).join("kallsyms"))
            );
        }
        report::print(line)
    }
}

/// The bundle's name without its endings, in the current directory.
fn default_dir(bundle: &Path) -> anyhow::Result<PathBuf> {
    let name = bundle.file_name().unwrap_or_default().as_bytes();
    let endings: [&[u8]; 4] = [b".tar.zst", b".tar.xz", b".tar.gz", b".tzst"];
    let short = endings.iter().find_map(|ending| name.strip_suffix(*ending)).filter(|name| !name.is_empty());
    match short {
        Some(name) => Ok(name.to_os_str()?.into()),
        None => bail!(UsageError(
            "the bundle's name does not end with .tar.zst: name the directory to unpack it to behind it"
                .to_owned()
        )),
    }
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = report::one_line(path.display());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_path_as_one_word() {
        assert_eq!(quoted(Path::new("/a/b.c-d")), "/a/b.c-d");
        assert_eq!(quoted(Path::new("it's $x")), r"'it'\''s $x'");
    }
}
