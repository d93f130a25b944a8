//! Progress on standard error, for inputs of known size that take a while, when a person is looking.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ready;

/// How long reading takes before the bar is shown.
const SHOWN_AFTER: Duration = Duration::from_millis(500);

/// Bytes that the kernel copies before an interrupt is looked for.
const COPIED_AT_ONCE: u64 = 1 << 26;

/// How often it is drawn, in times a second.
const DRAWN_AT_MOST: u8 = 5;

static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// The bar of what is fetched, before anything is read for long.
static FETCHING: OnceLock<ProgressBar> = OnceLock::new();

/// How files are watched while they are read.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    /// Nothing is shown.
    pub(crate) quiet: bool,
    /// Reading ends when it is set.
    pub(crate) stop: Arc<AtomicBool>,
}

/// A file whose reading is shown.
#[derive(Debug)]
pub(crate) struct Watched<F = File> {
    file: F,
    bar: Option<ProgressBar>,
    since: Instant,
    stop: Arc<AtomicBool>,
}

/// Bytes that are counted as they are read, from wherever.
#[derive(Debug)]
pub(crate) struct Meter(Watched<()>);

impl Watch {
    /// Looks for an interrupt.
    ///
    /// # Errors
    /// After one.
    pub(crate) fn check(&self) -> io::Result<()> {
        check(&self.stop)
    }

    /// Counts bytes, of which there are this many.
    pub(crate) fn meter(&self, len: u64) -> Meter {
        Meter(Watched { file: (), bar: self.bar(len), since: Instant::now(), stop: Arc::clone(&self.stop) })
    }

    /// Counts bytes that come from elsewhere, nobody knows how many.
    pub(crate) fn fetching(&self) -> Meter {
        let bar = (!self.quiet && io::stderr().is_terminal()).then(|| {
            let style =
                ProgressStyle::with_template("{spinner} {binary_bytes} fetched, {binary_bytes_per_sec}");
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            FETCHING.get_or_init(|| bar).clone()
        });
        Meter(Watched { file: (), bar, since: Instant::now(), stop: Arc::clone(&self.stop) })
    }

    /// Watches a file being read; the bar is shown if standard error is a terminal and the file has a size.
    pub(crate) fn file(&self, file: File) -> Watched {
        let len = file.metadata().map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 });
        let bar = self.bar(len);
        Watched { file, bar, since: Instant::now(), stop: Arc::clone(&self.stop) }
    }

    fn bar(&self, len: u64) -> Option<ProgressBar> {
        (len > 0 && !self.quiet && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template(
                "{wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
            );
            let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::hidden());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            BAR.get_or_init(|| bar).clone()
        })
    }

    /// A file whose reading is not shown, since it is the same file read a second time.
    pub(crate) fn unseen(&self, file: File) -> Watched {
        Watched { file, bar: None, since: Instant::now(), stop: Arc::clone(&self.stop) }
    }
}

fn check(stop: &AtomicBool) -> io::Result<()> {
    if stop.load(Ordering::Relaxed) { Err(io::Error::other("interrupted")) } else { Ok(()) }
}

impl Watched {
    /// Copies the next bytes into another file; the kernel does it, and shares blocks where the file system can.
    ///
    /// # Errors
    /// Where either file fails.
    pub(crate) fn copy_to(&mut self, len: u64, out: &mut File) -> io::Result<u64> {
        let mut copied = 0;
        while copied < len {
            self.check_interrupt()?;
            let slice = io::copy(&mut (&mut self.file).take(COPIED_AT_ONCE.min(len - copied)), out)?;
            if slice == 0 {
                break;
            }
            copied += slice;
            self.show(|bar| bar.inc(slice));
        }
        Ok(copied)
    }
}

impl<F> Watched<F> {
    /// An interrupt ends the run with an error, so that what was begun is cleared away.
    fn check_interrupt(&self) -> io::Result<()> {
        check(&self.stop)
    }

    fn show(&self, moved: impl FnOnce(&ProgressBar)) {
        let Some(bar) = &self.bar else { return };
        if bar.is_hidden() && self.since.elapsed() >= SHOWN_AFTER {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWN_AT_MOST));
        }
        moved(bar);
    }
}

impl Meter {
    /// Counts some bytes more.
    ///
    /// # Errors
    /// After an interrupt.
    pub(crate) fn add(&self, bytes: u64) -> io::Result<()> {
        self.0.check_interrupt()?;
        self.0.show(|bar| bar.inc(bytes));
        Ok(())
    }
}

impl Read for Watched {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.check_interrupt()?;
        let read = ready::read(&self.file, buf)?;
        self.show(|bar| bar.inc(read as u64));
        Ok(read)
    }
}

impl Seek for Watched {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = self.file.seek(to)?;
        self.show(|bar| bar.set_position(at));
        Ok(at)
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Standard error, for messages while a bar may stand there.
#[derive(Debug, Default)]
pub(crate) struct ProgressStderr;

impl Write for ProgressStderr {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let is_shown = |bar: &&ProgressBar| !bar.is_finished();
        match FETCHING.get().filter(is_shown).or(BAR.get()) {
            Some(bar) => bar.suspend(|| io::stderr().write(buf)),
            None => io::stderr().write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
