//! `perftool inject`: reads perf data, and writes it with records injected.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use perf_bundle::Collector;
use perf_format::{BuildId, Head, PerfData, PerfFile, PipeStream, RecordReader};
use perf_inject::jit::{Finder, Images, JitOptions};
use perf_inject::{ConvertCallchain, DsoSelection, IdsTo, Jit, OffCpuOptions, Plan, Run};
use perf_session::build_id::{Chain, SourceConfig, build_id_of};
use perf_session::evidence::EvidenceConfig;
use perf_session::object_files::ObjectFiles;
use perf_session::{Error, Repipe};

pub(super) use self::args::Args;
use self::args::{Duration, IdDestinations, JitClock, JitImages};
use self::collect::CollectedImages;
use super::file_options::open_dirs;
use super::sections::HelpSection;
use crate::clocks::SystemClocks;
use crate::images::ImageDir;
use crate::input::{Files, Input, packed};
use crate::output::Output;
use crate::progress::{Watch, Watched};
use crate::report::{self, UsageError};
use crate::{exit, interrupt, splice, summary};

mod args;
mod collect;

/// What stands behind the options.
pub(super) const SECTIONS: &[HelpSection] = &[
    HelpSection::Commands(
        "Examples",
        &[
            "perf record -o - -g CMD | perftool inject -b | perf report -i -",
            "perf record -o - -a sleep 10 | perftool inject -b -o perf.data",
            "perf record -o - -a -e sched:sched_switch -g CMD | perftool inject --off-cpu | perf report -i -",
            "perftool inject -b -i perf.data -o perf.data.new",
        ],
    ),
    HelpSection::Terms(
        "Exit status",
        &[
            exit::OF_SUCCESS,
            ("1", "Damaged or unreadable data, a failed write, or with --strict names that are missing;"),
            (
                "",
                "all records that were whole before are written. With --collect, too, where DIR can take no more.",
            ),
            exit::OF_USAGE,
            exit::OF_SIGNALS,
            exit::OF_READER_GONE,
        ],
    ),
    HelpSection::Terms(
        "Files",
        &[
            ("/proc/PID", "The files of recorded processes that still run."),
            ("/sys/kernel/notes, /sys/module/*/notes", "The build-ids of the kernel and of its modules."),
            ("/tmp/perf-PID.map", "Names of jitted code, with --perf-map."),
            ("jitted-PID-INDEX.so, jit-PID.so", "Images of jitted code, with --jit and --perf-map."),
        ],
    ),
    super::ENVIRONMENT,
    HelpSection::See(&["perftool(1)", "perf-record(1)", "perf-inject(1)", "perf-report(1)"]),
];

impl Args {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        report::set_up(self.verbosity);
        let (known, ids_to) = (self.files.known()?, self.ids_to());
        if ids_to.is_some() && self.dso_selection().is_none() {
            bail!(UsageError(
                "--buildid-to needs an option that injects build-ids: -b, --buildid-all, -B or --mmap2-buildid-all"
                    .to_owned()
            ));
        }
        let mut input = Input::open(&self.input, self.force)?;
        let stream = Output::open_stream(&self.output, input.is_directory())?;
        // From here on there may be something to clear away.
        let stop = interrupt::noted().context("cannot watch for interrupts")?;
        let watch = Watch { quiet: self.verbosity.quiet, stop };
        let mut output = match stream {
            Some(stream) => stream,
            None => Output::open_replacement(&self.output, input.is_directory())?,
        };
        if matches!(output, Output::Stream(_)) && ids_to.is_some_and(|to| to.header) {
            bail!(UsageError(
                "a pipe has no table of build-ids: --buildid-to=header needs a file (-o FILE)".to_owned()
            ));
        }
        if input.is_directory() && ids_to.is_some_and(|to| to.events || to.mmap2) {
            bail!(
                "a recording in a directory takes its ids in the header: its other files are copied as they are"
            );
        }
        let (is_live, is_directory) = (input.is_live(), input.is_directory());
        let evidence = EvidenceConfig {
            produced: input.produced(),
            clocks: Some(Rc::new(SystemClocks::default())),
            ..EvidenceConfig::default()
        };
        let packed_end = input.begin(&watch)?;
        let name = input.to_string();
        let data = PerfData::open(input).with_context(|| format!("cannot read {name}"))?;
        report::headless(&data);
        let plan = Plan {
            build_ids: self.dso_selection(),
            drop_unused_maps: self.drops_unused_maps(),
            ids_to,
            // A file's format is that of a recording that has ended.
            live: is_live && matches!(data, PerfData::Pipe(_)),
            decompress: self.decompress,
            recover: self.recover,
            keep_features: self.keep_features,
            count_samples: self.summary.is_some() || self.strict,
            remap_text: self.remap_text,
            convert_callchain: self
                .convert_callchain
                .then_some(ConvertCallchain { max_stack: self.max_stack, keep_stacks: self.keep_stacks }),
            jit: self.jit.is_some() || self.perf_map,
            off_cpu: self.off_cpu.then(|| OffCpuOptions {
                min_sleep: self.min_sleep.map_or(0, |Duration(ns)| ns),
                open_sleeps: self.open_sleeps,
            }),
            sched_stat: self.sched_stat,
        };
        let sources = SourceConfig {
            vmlinux: self.kernel_image()?,
            debug_dirs: open_dirs("--debug-dir", &self.debug_dir)?,
            ..self.files.sources(known, evidence)?
        };
        let files = ObjectFiles::of_recording(sources.clone());
        let collector = self
            .collect
            .as_deref()
            .map(|dir| collect::start(dir, self.collect_limit, is_live))
            .transpose()?;
        let chain = match &collector {
            Some(collector) => {
                let files = ObjectFiles::of_recording(sources.clone());
                collector.chain(Chain::of_recording(sources), files)
            }
            None => Chain::of_recording(sources),
        };
        let mut run = Run::new(plan, chain).with_roots(self.files.root_pids()).with_modules(Box::new(files));
        if plan.jit {
            run = run.with_jit(self.jit(&output, collector.as_ref())?);
        }
        let done = match data {
            PerfData::Pipe(stream) => pipe(&mut run, stream, &mut output, watch, self.recover),
            PerfData::File(_) if self.recover && is_directory => {
                bail!("cannot recover the recording in {name}: --recover is for single files")
            }
            PerfData::File(_) if plan.jit && is_directory => {
                bail!(
                    "cannot name jitted code in the recording in {name}: --jit and --perf-map are for single files"
                )
            }
            PerfData::File(_) if self.convert_callchain && is_directory => {
                bail!(
                    "cannot convert stacks in the recording in {name}: --convert-callchain is for single files"
                )
            }
            PerfData::File(_) if (self.off_cpu || self.sched_stat) && is_directory => {
                bail!(
                    "cannot follow threads in the recording in {name}: --off-cpu and --sched-stat are for single files"
                )
            }
            PerfData::File(_) if self.decompress && is_directory => {
                bail!("cannot write the recording in {name} plain: --decompress is for single files")
            }
            PerfData::File(input) => file(&mut run, input, &mut output, &watch),
        };
        let run_report = run.into_report();
        let collected = match (collector, &self.collect) {
            (Some(collector), Some(dir)) => collect::finish(collector, dir),
            _ => Ok(()),
        };
        report::odd(&run_report.session.anomalies);
        report::damage(run_report.damage);
        let poor = run_report.names.as_ref().filter(|names| names.is_worth_a_word());
        if let Some(names) = poor.filter(|_| done.is_ok() && !self.strict) {
            report::names(names);
        }
        if let Some(advice) =
            run_report.callchains.as_ref().filter(|_| done.is_ok()).and_then(summary::advice)
        {
            log::warn!("{advice}");
        }
        report::passed(&run_report, output.len());
        let mut failure = packed_end.and_then(|end| end.failure());
        if self.recover
            && let Some(failure) = failure.take()
        {
            log::warn!("what is behind is lost: {failure}");
        }
        let framed = run_report.framed;
        if let Some(form) = self.summary {
            summary::write(form, &run_report, done.as_ref().err().or(failure.as_ref()));
        }
        let done = done.map_err(|error| {
            let what = match error.downcast_ref() {
                Some(Error::Tool(_) | Error::Uncut { .. }) | None => return error,
                Some(Error::Write { .. }) => format!("cannot write to {output}"),
                Some(_) => format!("cannot read {name} to its end"),
            };
            error.context(what)
        });
        let done = packed::ended(done, failure, &name);
        // What came out of a stream that was cut may be all that there is of it.
        if done.is_ok() || framed {
            output.finish()?;
        }
        done?;
        // The stream is whole all the same.
        collected?;
        match poor {
            Some(names) if self.strict => bail!("{names}"),
            _ => Ok(()),
        }
    }

    /// The tool that names jitted code. A reader of a pipe may look for an image as soon as a round is over.
    fn jit(&self, output: &Output, collector: Option<&Collector>) -> anyhow::Result<Jit> {
        let dir = self.jit_dir.as_deref().unwrap_or(output.folder());
        let finder = Finder { dir: self.jitdump_dir.clone(), any_owner: self.force };
        let options = JitOptions {
            dumps: self.jit.is_some(),
            perf_maps: self.perf_map,
            per_process: self.jit == Some(JitImages::PerProcess),
            strict: self.strict,
            guess_clock: self.jit_clock == JitClock::Auto,
            finder,
        };
        let dir = ImageDir::open(dir)?;
        let images: Box<dyn Images> = match collector.map(Collector::queue) {
            Some(queue) => Box::new(CollectedImages { dir, queue }),
            None => Box::new(dir),
        };
        Ok(Jit::new(options, images, matches!(output, Output::Stream(_))))
    }

    /// Which DSOs get their ids. Of several styles the first here counts, as in perf.
    fn dso_selection(&self) -> Option<DsoSelection> {
        match (self.buildid_all, self.build_ids, self.mmap2_buildid_all, self.mmap2_buildids) {
            (true, _, _, _) | (false, false, true, _) => Some(DsoSelection::Mapped),
            (false, true, _, _) | (false, false, false, true) => Some(DsoSelection::Hit),
            (false, false, false, false) => None,
        }
    }

    /// Where ids go, if an option selects it.
    fn ids_to(&self) -> Option<IdsTo> {
        let of_style =
            !self.buildid_all && !self.build_ids && (self.mmap2_buildid_all || self.mmap2_buildids);
        let mmap2 = of_style.then_some(IdsTo { mmap2: true, ..IdsTo::default() });
        self.buildid_to.map(|IdDestinations(to)| to).or(mmap2)
    }

    /// Whether `-B` is the style.
    fn drops_unused_maps(&self) -> bool {
        self.mmap2_buildids && !self.buildid_all && !self.build_ids && !self.mmap2_buildid_all
    }

    /// The id of the kernel's image that `--vmlinux` names.
    fn kernel_image(&self) -> anyhow::Result<Option<BuildId>> {
        let Some(path) = self.vmlinux.as_ref().filter(|_| !self.ignore_vmlinux) else { return Ok(None) };
        let id = || {
            let image = Input::open(path, true)?.object_file()?.context("it is no ELF file")?;
            build_id_of(image)?.context("it has no build-id")
        };
        id().map(Some).with_context(|| format!("cannot use --vmlinux {}", path.display()))
    }
}

fn pipe(
    run: &mut Run<'_>,
    stream: PipeStream<Input>,
    output: &mut Output,
    mut watch: Watch,
    recover: bool,
) -> anyhow::Result<()> {
    let (input, head) = stream.into_parts();
    if input.is_live() {
        // It is read to its end, come what may; a file need not be.
        watch.stop = Arc::default();
    }
    let input = match input.into_rest() {
        Ok(file) => file,
        Err(packed) => return recovering(run, packed, head, output, recover),
    };
    let is_pipe = splice::enlarge(&input);
    if let Output::Stream(out) = output
        && is_pipe
        && !head.is_missing
        && !recover
        && !run.converts()
        && let Some(out_pipe) = out.file().filter(splice::enlarge)
        // Without a free file descriptor, records are written as to any other output.
        && let Ok(copy) = splice::Copy::new()
    {
        let (teed, mut spliced) = splice::through(input, copy, out_pipe, out);
        let mut records = RecordReader::pipe(teed, head);
        return Ok(run.pipe_to_pipe(&mut records, Repipe::Through(&mut spliced))?);
    }
    recovering(run, watch.file(input), head, output, recover)
}

fn recovering(
    run: &mut Run<'_>,
    input: impl Read,
    head: Head,
    output: &mut Output,
    recover: bool,
) -> anyhow::Result<()> {
    if recover {
        let (endian, offset) = (head.format.endian(), head.records_at());
        let input = run.recovering(head.record_bytes().chain(input), endian, offset);
        let records = RecordReader::records(input, endian, offset);
        return write(run, &mut records.with_header(head.pipe_header()), output);
    }
    write(run, &mut RecordReader::pipe(input, head), output)
}

fn write<R: Read>(
    run: &mut Run<'_>,
    records: &mut RecordReader<R>,
    output: &mut Output,
) -> anyhow::Result<()> {
    match output {
        Output::Stream(out) => run.pipe_to_pipe(records, Repipe::To(out))?,
        Output::Replacement(out) => run.pipe_to_file(records, &mut out.file)?,
        // A directory whose data is in pipe format is none that perf writes.
        Output::Directory(..) => bail!("the recording in the directory is in pipe format"),
    }
    Ok(())
}

fn file(run: &mut Run<'_>, input: Input, output: &mut Output, watch: &Watch) -> anyhow::Result<()> {
    let folder = input.directory().map(Path::to_owned);
    let Files { first, twin, others, is_spooled } = input.into_files(&output.spool_dir())?;
    let twin = twin.map(|twin| watch.unseen(twin));
    let mut others: Vec<_> = others.into_iter().map(|other| watch.file(other)).collect();
    let first = if is_spooled { watch.unseen(first) } else { watch.file(first) };
    let mut file = PerfFile::open(first).map_err(Error::from)?;
    match (output, folder) {
        (Output::Stream(_), Some(_)) => {
            bail!("a recording in a directory goes into a directory, and not into a pipe (-o DIR)")
        }
        (Output::Stream(out), None) => run.file_to_pipe(&mut file, out)?,
        (Output::Replacement(out), _) => {
            run.file_to_file(&mut file, twin, &mut others, &mut out.file, Watched::copy_to)?;
        }
        (Output::Directory(made), folder) => {
            let path = made.path().join("data");
            let mut out = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
            run.file_to_file(&mut file, twin, &mut others, &mut out, Watched::copy_to)?;
            let folder = folder.context("a directory goes into a directory")?;
            copy_rest(&folder, made.path()).with_context(|| format!("cannot copy {}", folder.display()))?;
        }
    }
    Ok(run.check_alone(&mut file)?)
}

/// Copies all of a recording's directory but its `data`.
fn copy_rest(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy_rest(&entry.path(), &target)?;
        } else if kind.is_file() && !target.exists() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
