//! Converts the samples that one read brought side by side, on all processors.

use perf_format::{Error, RawRecord, SampleFormat};
use perf_unwind::Modules;
use rayon::ThreadPool;

use super::layout::StackLayout;
use super::spaces::SampleMoment;
use super::worker::{Common, Outcome, Worker};

/// How many samples make it worth waking other threads, which takes as long as converting some.
const SAMPLES_FOR_THREADS: usize = 8;

/// How many threads there are at the most: the reads of one pipe do not keep more busy.
const THREADS_AT_MOST: usize = 8;

/// A record that passes, or a sample to convert.
#[derive(Debug)]
pub(super) struct Item<'r> {
    pub(super) record: RawRecord<'r>,
    pub(super) job: Option<Job>,
}

/// What a sample is converted with.
#[derive(Debug)]
pub(super) struct Job {
    /// The place of its layout among all.
    pub(super) layout: usize,
    pub(super) at: SampleMoment,
    pub(super) modules: Modules,
}

/// The layouts of samples by those that were recorded; `None` for samples without stacks.
pub(super) type Layouts = Vec<(SampleFormat, Option<StackLayout>)>;

/// A part of the items, converted.
#[derive(Debug, Default)]
pub(super) struct ConvertedPart {
    /// The records, one behind the other.
    pub(super) out: Vec<u8>,
    /// What became of each item.
    pub(super) done: Vec<Done>,
}

/// What became of an item.
#[derive(Debug)]
pub(super) struct Done {
    /// The end of its record in the part.
    pub(super) end: usize,
    /// `None` where it passed; of a sample that cannot be read there is no record.
    pub(super) outcome: Option<Result<Outcome, Error>>,
}

/// The threads, and what each keeps.
pub(crate) struct Pool {
    /// That of the caller's own thread.
    own: Worker,
    others: Vec<Worker>,
    threads: Option<ThreadPool>,
}

impl Pool {
    /// A pool of so many threads, the caller's own among them. The others are made when they are first needed.
    pub(crate) fn new(threads: usize) -> Self {
        let others = threads.clamp(1, THREADS_AT_MOST) - 1;
        let others = std::iter::repeat_with(Worker::default).take(others).collect();
        Self { own: Worker::default(), others, threads: None }
    }

    /// The worker of the caller's own thread.
    pub(super) fn worker(&mut self) -> &mut Worker {
        &mut self.own
    }

    /// Converts items, in parts that are in their order.
    pub(super) fn convert(
        &mut self,
        items: &[Item<'_>],
        layouts: &Layouts,
        common: Common,
    ) -> Vec<ConvertedPart> {
        let jobs = items.iter().filter(|item| item.job.is_some()).count();
        let is_shared = jobs >= SAMPLES_FOR_THREADS && self.has_threads();
        let count = if is_shared { 1 + self.others.len() } else { 1 };
        let mut chunks = items.chunks(items.len().div_ceil(count).max(1));
        let mut parts: Vec<ConvertedPart> = chunks.clone().map(|_| ConvertedPart::default()).collect();
        let mut places = parts.iter_mut();
        let (Some(first), Some(place)) = (chunks.next(), places.next()) else { return parts };
        let Self { own, others, threads } = self;
        match threads {
            Some(threads) if is_shared => threads.in_place_scope(|scope| {
                for ((worker, items), part) in others.iter_mut().zip(chunks).zip(places) {
                    scope.spawn(move |_| part.convert(items, layouts, common, worker));
                }
                place.convert(first, layouts, common, own);
            }),
            _ => place.convert(first, layouts, common, own),
        }
        parts
    }

    /// Makes the threads, if there are none yet. Where none may be made, this one does it all.
    fn has_threads(&mut self) -> bool {
        if self.threads.is_none() && !self.others.is_empty() {
            match rayon::ThreadPoolBuilder::new().num_threads(self.others.len()).build() {
                Ok(threads) => self.threads = Some(threads),
                Err(error) => {
                    log::debug!("stacks are unwound by one thread: {error}");
                    self.others.clear();
                }
            }
        }
        self.threads.is_some()
    }
}

impl ConvertedPart {
    fn convert(&mut self, items: &[Item<'_>], layouts: &Layouts, common: Common, worker: &mut Worker) {
        let Self { out, done } = self;
        done.reserve(items.len());
        for Item { record, job } in items {
            let layout = job.as_ref().and_then(|job| Some((job, layouts.get(job.layout)?.1.as_ref()?)));
            let outcome = match layout {
                Some((job, layout)) => Some(worker.convert(record, layout, common, &job.modules, out)),
                None => {
                    out.extend_from_slice(record.bytes);
                    None
                }
            };
            done.push(Done { end: out.len(), outcome });
        }
    }
}
