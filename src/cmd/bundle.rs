//! `perftool bundle`: packs a recording with the files that its symbols are in.

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context as _, bail};
use bstr::ByteSlice as _;
use clap::ValueHint;
use perf_bundle::{
    Bundle, FileContents, FileRole, Manifest, MissingFile, PackError, Survey, SurveyScope, gather, pack,
};
use perf_session::build_id::{InRoot, SourceConfig};
use perf_session::evidence::EvidenceConfig;
use perf_session::object_files::ObjectFiles;
use perf_session::{DataFiles, SessionReader};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Verbosity;
use super::file_options::{FileOptions, open_dirs};
use super::sections::HelpSection;
use crate::clocks::SystemClocks;
use crate::debuginfod::{self, Debuginfod};
use crate::input::Input;
use crate::output::Output;
use crate::progress::Watch;
use crate::report::{self, UsageError};
use crate::{exit, interrupt};

/// What stands behind the options.
pub(super) const SECTIONS: &[HelpSection] = &[
    HelpSection::Commands(
        "Examples",
        &[
            "perftool bundle",
            "perftool bundle --list -i perf.data",
            "perftool bundle --strict -i perf.data -o for-the-report.tar.zst",
            "perftool bundle --debuginfod=https://debuginfod.debian.net",
        ],
    ),
    HelpSection::Terms(
        "Exit status",
        &[
            exit::OF_SUCCESS,
            ("1", "Damaged or unreadable data, a failed write, or with --strict a file that is missing."),
            exit::OF_USAGE,
            exit::OF_READER_GONE,
        ],
    ),
    HelpSection::Terms(
        "Files",
        &[
            ("perf.data", "Read by default."),
            ("~/.debug", "perf's cache: files of it are taken by their build-ids alone."),
            ("/usr/lib/debug", "Separate debug files."),
            ("/proc/kallsyms", "The kernel's symbols, if its build-id is the recorded one."),
            (
                "/etc/debuginfod/*.urls",
                "The debuginfod servers of --debuginfod, where nothing else names them.",
            ),
        ],
    ),
    HelpSection::Terms("Environment", debuginfod::ENVIRONMENT),
    HelpSection::See(&["perftool(1)", "perftool-unbundle(1)", "perf-archive(1)", "perf-report(1)"]),
];

/// The options of `perftool bundle`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read the recording from FILE or a directory
    ///
    /// One that gzip, xz or zstd packed is unpacked in the bundle, since perf reads none that is packed.
    #[arg(short, long, value_name = "FILE", default_value = "perf.data", value_hint = ValueHint::FilePath)]
    input: PathBuf,

    /// Write the bundle to FILE
    ///
    /// FILE takes its name when it is whole; - is standard output. By default it is the recording's name with .bundle.tar.zst
    /// behind it.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Print what would be packed and what is missing, and pack nothing
    #[arg(long)]
    list: bool,

    /// Print the manifest as JSON
    ///
    /// With --list it has no hashes. Its shape is described in perf-bundle/src/manifest.rs.
    #[arg(long)]
    json: bool,

    /// End with an error where something that samples hit is missing
    ///
    /// The bundle is written all the same. By default a warning says what is missing.
    #[arg(long)]
    strict: bool,

    /// Pack the files of all that is mapped
    ///
    /// By default only what samples hit is packed, by their address or their call chain.
    #[arg(long)]
    all: bool,

    /// Leave the recording out
    #[arg(long)]
    no_recording: bool,

    /// Read a recording even if another user owns it
    ///
    /// A recording of somebody else may be meant to mislead. By default only one's own and root's are read.
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    files: FileOptions,

    /// Look in DIR, too, for files that are found nowhere else
    ///
    /// DIR keeps files for their symbols, as ~/.debug does, which is looked into after it. It may be given several times.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    debug_dir: Vec<PathBuf>,

    /// Ask debuginfod for what is missing here
    ///
    /// URLS are those of the servers, with blanks between them; by default those in DEBUGINFOD_URLS, or else in
    /// /etc/debuginfod. Where DEBUGINFOD_URLS is set, its servers are asked without this option, too; --debuginfod= asks
    /// nobody. Asked for are files that samples hit, by the build-ids that the recording carries for them, and the debug
    /// files of those that are here and have no symbols. With --list the cache alone is looked into.
    #[arg(long, value_name = "URLS", num_args = 0..=1, require_equals = true)]
    debuginfod: Option<Option<String>>,

    #[command(flatten)]
    verbosity: Verbosity,
}

impl Args {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        report::set_up(self.verbosity);
        if self.list && self.output.is_some() {
            bail!(UsageError("--list writes no bundle: it cannot be used with -o".to_owned()));
        }
        if self.input.as_os_str() == "-" {
            bail!(UsageError(
                "a bundle is made of a recording that has ended: write it to a file, and name that with -i"
                    .to_owned()
            ));
        }
        more_files().ok();
        let stop = interrupt::noted().context("cannot watch for interrupts")?;
        let watch = Watch { quiet: self.verbosity.quiet, stop };
        let debuginfod = Debuginfod::of(self.debuginfod.as_ref(), !self.list, &watch)?;
        let (survey, mut bundle) = self.gather()?;
        if let Some(damage) = &survey.damage {
            log::warn!("the recording is damaged, and what is hit behind that is not known: {damage}");
        }
        if let Some(debuginfod) = debuginfod {
            Self::fetch(&survey, &mut bundle, &debuginfod);
            watch.check()?;
        }
        if !self.no_recording {
            bundle.recording = recording(&self.input)?;
        }
        if self.list {
            self.print(&bundle)?;
        } else {
            self.write(&bundle, &watch)?;
        }
        self.missing(&bundle)
    }

    fn gather(&self) -> anyhow::Result<(Survey, Bundle)> {
        let cannot = || format!("cannot read {}", self.input.display());
        let known = self.files.known()?;
        let input = Input::open(&self.input, self.force)?;
        let evidence = EvidenceConfig {
            produced: input.produced(),
            clocks: Some(Rc::new(SystemClocks::default())),
            ..EvidenceConfig::default()
        };
        drop(input);
        let mut debug_dirs = open_dirs("--debug-dir", &self.debug_dir)?;
        debug_dirs.extend(cache_of_perf().and_then(|dir| InRoot::open(&dir).ok()));
        let sources = SourceConfig { debug_dirs, ..self.files.sources(known, evidence)? };
        let mut reader = SessionReader::open(&self.input).with_context(cannot)?;
        reader.session_mut().roots.extend(self.files.root_pids());
        let scope = if self.all { SurveyScope::Mapped } else { SurveyScope::Hit };
        let survey = Survey::read(reader, scope);
        let mut files = ObjectFiles::of_recording(sources);
        let bundle = gather(&survey, &mut files);
        Ok((survey, bundle))
    }

    /// Where a hardware trace is still to be decoded, nobody knows what samples hit.
    fn fetch(survey: &Survey, bundle: &mut Bundle, debuginfod: &Debuginfod) {
        let scope = if survey.recording.has_aux_data { SurveyScope::Mapped } else { SurveyScope::Hit };
        bundle.fetch_missing(debuginfod, scope);
    }

    fn write(&self, bundle: &Bundle, watch: &Watch) -> anyhow::Result<()> {
        let path = self.output.clone().unwrap_or_else(|| default_output(&self.input));
        let mut output = match Output::open_stream(&path, false)? {
            Some(stream) => stream,
            None => Output::open_replacement(&path, false)?,
        };
        let meter = watch.meter(bundle.size().context("cannot read the recording")?.saturating_mul(2));
        let mut count = |bytes| meter.add(bytes);
        let packed = match &mut output {
            Output::Stream(out) => pack(bundle, out, &mut count),
            Output::Replacement(out) => pack(bundle, io::BufWriter::new(&mut out.file), &mut count),
            Output::Directory(_) => bail!("{}: it is a directory", path.display()),
        };
        drop(meter);
        let packed = packed.map_err(|error| match error {
            // Where the reader of a pipe has gone is found by its own error.
            PackError::Write(error) => error.into(),
            error => anyhow::Error::from(error),
        });
        let manifest = packed.with_context(|| format!("cannot write {}", path.display()))?;
        output.finish()?;
        if self.json && path.as_os_str() != "-" { print_json(&manifest) } else { Ok(()) }
    }

    fn print(&self, bundle: &Bundle) -> anyhow::Result<()> {
        if self.json {
            return print_json(&bundle.manifest());
        }
        let mut text = String::new();
        for (name, contents) in &bundle.recording {
            let size = contents.size().context("cannot read the recording")?;
            let name = name.iter().fold(self.input.clone(), |path, name| path.join(name));
            let unpacked = if contents.packing().is_some() { " (unpacked)" } else { "" };
            text += &format!("{size:>12}          recording            {}{unpacked}\n", name.display());
        }
        for file in &bundle.files {
            let (size, samples, role, origin) = (file.size, file.samples, file.role, file.origin);
            let id = file.build_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            let name = report::one_line(file.name.as_bstr());
            text += &format!("{size:>12} {samples:>8} {role:<9} {origin:<10} {id} {name}\n");
        }
        for missing in &bundle.missing {
            let (samples, role) = (missing.samples, missing.role);
            let (name, reason) =
                (report::one_line(missing.name.as_bstr()), report::one_line(&missing.reason));
            text += &format!("{:>12} {samples:>8} {role:<9} {name}: {reason}\n", "missing");
        }
        let size = bundle.size().context("cannot read the recording")?;
        let files = bundle.files.len() + bundle.recording.len();
        text += &format!("{size:>12} bytes in {files} files, {} missing\n", bundle.missing.len());
        io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
    }

    /// Says what is missing, and what readers will not find.
    fn missing(&self, bundle: &Bundle) -> anyhow::Result<()> {
        let unrecorded = bundle
            .files
            .iter()
            .filter(|file| {
                // Readers find the vdso by its name, as what has no id.
                !file.is_recorded && file.role != FileRole::Vdso && file.build_id.is_some()
            })
            .count();
        if unrecorded > 0 {
            log::warn!(
                "the recording has no build-id for {unrecorded} of the files, and perf finds files by these: \
                 bundle what perftool inject -b has written"
            );
        }
        let hit: Vec<_> = bundle.missing.iter().filter(|missing| missing.samples > 0).collect();
        if !self.list {
            for missing in hit.iter().take(NAMED_AT_MOST) {
                let MissingFile { name, role, samples, reason, .. } = missing;
                warn_of_missing(name, *role, *samples, reason);
            }
            if hit.len() > NAMED_AT_MOST {
                log::warn!("{} more are missing: --list names them", hit.len() - NAMED_AT_MOST);
            }
        }
        // A file without its debug file is there.
        match hit.iter().filter(|missing| missing.role != FileRole::Debug).count() {
            0 => Ok(()),
            _ if !self.strict => Ok(()),
            1 => bail!("1 file that samples hit is missing"),
            missing => bail!("{missing} files that samples hit are missing"),
        }
    }
}

/// Says what is missing.
pub(super) fn warn_of_missing(name: impl Display, role: FileRole, samples: u64, reason: &str) {
    let what = if role == FileRole::Debug { "the debug file of " } else { "" };
    log::warn!("{what}{name} is missing ({samples} samples): {reason}");
}

/// How many missing files are named, when a bundle is written.
const NAMED_AT_MOST: usize = 5;

fn default_output(input: &Path) -> PathBuf {
    // A directory may be named with a slash behind it.
    let mut name: OsString = input.components().collect::<PathBuf>().into();
    name.push(".bundle.tar.zst");
    name.into()
}

/// perf's cache, where it is by default.
pub(super) fn cache_of_perf() -> Option<PathBuf> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty())?;
    Some(Path::new(&home).join(".debug"))
}

/// The files of a recording.
fn recording(input: &Path) -> anyhow::Result<Vec<(Option<String>, FileContents)>> {
    let open = |path: &Path| {
        let cannot = || format!("cannot open {}", path.display());
        let file = std::fs::File::open(path).with_context(cannot)?;
        if !file.metadata().with_context(cannot)?.is_file() {
            bail!("{}: it is no regular file, and a bundle is made of a recording that has ended", cannot());
        }
        // perf reads none that is packed.
        FileContents::unpacking(file, u64::MAX).with_context(cannot)
    };
    if !input.is_dir() {
        return Ok(vec![(None, open(input)?)]);
    }
    let Some(DataFiles { first, others, .. }) = DataFiles::find(input) else {
        bail!("cannot open {}: it is a directory, and no recording is in it", input.display());
    };
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).context("its name is not UTF-8")?;
        Ok((Some(name.to_owned()), open(path)?))
    };
    [first].iter().chain(&others).map(named).collect()
}

/// All files are open until they are packed.
fn more_files() -> rustix::io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
}

fn print_json(manifest: &Manifest) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(manifest)?;
    report::print(report::json(&text))
}
