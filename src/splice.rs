//! From pipe to pipe: records are read from a copy of the input (tee), and the input's own bytes go on without being
//! copied to user space (splice). They stay in the input's pipe until then, so that they can still be left out, or
//! other bytes be put in between.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::rc::Rc;

use perf_format::header::PIPE_HEADER_SIZE;
use perf_session::Pass;
use rustix::event::PollFlags;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice, tee};

use crate::ready::when_ready;
use crate::stream::Stream;

/// The size that pipes are enlarged to: the most that an unprivileged user may have.
const PIPE_SIZE: usize = 1 << 20;

/// Makes room in a pipe, so that its two ends take turns less often; one that may not grow stays as it is. Returns
/// whether it is a pipe at all.
pub(crate) fn enlarge(file: &File) -> bool {
    fcntl_setpipe_size(file, PIPE_SIZE).is_ok() || fcntl_getpipe_size(file).is_ok()
}

/// The input's pipe, seen from both sides of the loop.
#[derive(Debug)]
struct InputPipe {
    pipe: File,
    /// Where the first byte stands that is still in the pipe.
    at: Cell<u64>,
    /// Up to where the bytes were copied out of it.
    copied: Cell<u64>,
}

impl InputPipe {
    /// Takes bytes out of the pipe that go nowhere.
    fn leave_out(&self, until: u64) -> io::Result<()> {
        let len = until.saturating_sub(self.at.get());
        io::copy(&mut (&self.pipe).take(len), &mut io::sink())?;
        self.at.set(self.at.get() + len);
        Ok(())
    }
}

/// The pipe that holds the copy of the input.
#[derive(Debug)]
pub(crate) struct Copy {
    into: File,
    out_of: File,
}

impl Copy {
    /// Makes the pipe, as large as it may be.
    ///
    /// # Errors
    /// Where there are no more files to be had.
    pub(crate) fn new() -> io::Result<Self> {
        let (out_of, into) = pipe_with(PipeFlags::CLOEXEC)?;
        let copy = Self { into: into.into(), out_of: out_of.into() };
        enlarge(&copy.into);
        Ok(copy)
    }
}

/// The reading side.
#[derive(Debug)]
pub(crate) struct Teed {
    source: Rc<InputPipe>,
    copy: Copy,
}

/// The writing side.
#[derive(Debug)]
pub(crate) struct Spliced<'o> {
    source: Rc<InputPipe>,
    out: &'o mut Stream,
    out_pipe: File,
}

/// Both sides of a pipe whose header has been read, into another.
pub(crate) fn through<'o>(
    pipe: File,
    copy: Copy,
    out_pipe: File,
    out: &'o mut Stream,
) -> (Teed, Spliced<'o>) {
    let at = Cell::new(PIPE_HEADER_SIZE as u64);
    let source = Rc::new(InputPipe { pipe, copied: at.clone(), at });
    (Teed { source: Rc::clone(&source), copy }, Spliced { source, out, out_pipe })
}

impl Read for Teed {
    /// A record's torn tail, which was not passed on, is taken out of the pipe: it goes with the next write.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.leave_out(self.source.copied.get())?;
        let (pipe, into) = (&self.source.pipe, &self.copy.into);
        let len = when_ready(pipe, PollFlags::IN, || tee(pipe, into, buf.len(), SpliceFlags::empty()))?;
        let copy = buf.get_mut(..len).unwrap_or_default();
        self.copy.out_of.read_exact(copy)?;
        self.source.copied.set(self.source.copied.get() + len as u64);
        Ok(len)
    }
}

impl Pass for Spliced<'_> {
    fn pass(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let gone = self.source.at.get().saturating_sub(offset);
        if gone > 0 {
            let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(bytes.len());
            return self.out.write(bytes.get(..gone).unwrap_or_default());
        }
        self.source.leave_out(offset)?;
        let (pipe, out) = (&self.source.pipe, &self.out_pipe);
        let splice = || splice(pipe, None, out, None, bytes.len(), SpliceFlags::empty());
        let passed = when_ready(out, PollFlags::OUT, splice)?;
        self.source.at.set(offset + passed as u64);
        Ok(passed)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }
}
