//! Reads and writes files that another program made non-blocking (a terminal multiplexer, a shell's job), and waits
//! until they are ready.

use std::fs::File;
use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};

/// Calls an operation again when the file is ready, until it does not block.
///
/// # Errors
/// Where it fails for another reason.
pub(crate) fn when_ready(
    file: &File,
    flags: PollFlags,
    mut act: impl FnMut() -> rustix::io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match act() {
            Err(Errno::AGAIN) => _ = retry_on_intr(|| poll(&mut [PollFd::new(file, flags)], None))?,
            acted => return Ok(acted?),
        }
    }
}

/// Reads from a file.
pub(crate) fn read(file: &File, buf: &mut [u8]) -> io::Result<usize> {
    when_ready(file, PollFlags::IN, || rustix::io::read(file, &mut *buf))
}

/// Writes to a file.
pub(crate) fn write(file: &File, buf: &[u8]) -> io::Result<usize> {
    when_ready(file, PollFlags::OUT, || rustix::io::write(file, buf))
}
