//! Reads ahead: a thread fills the next buffer while the records of the last one are looked at.

use std::io::Read;
use std::mem;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope};

use super::BUFFER_SIZE;
use crate::Error;
use crate::read::read_once;

/// Bytes in front of what is read, into which the beginning of a torn record is copied.
const ROOM_IN_FRONT: usize = 1 << 16;

/// How many buffers there are beside that of the reader.
const BUFFERS: usize = 2;

/// What the thread reads.
#[derive(Debug)]
pub(super) struct ReadingThread {
    filled: Receiver<Filled>,
    free: SyncSender<Box<[u8]>>,
}

/// A buffer, and how many bytes were read into it.
#[derive(Debug)]
struct Filled {
    buffer: Box<[u8]>,
    read: Result<usize, Error>,
}

impl ReadingThread {
    /// Starts the thread, which ends with the input, at an error, or when this is dropped. Where none can be made, the source
    /// is given back.
    pub(super) fn start<'scope, R: Read + Send + 'scope>(
        scope: &'scope Scope<'scope, '_>,
        source: R,
        offset: u64,
    ) -> Result<Self, R> {
        let (fill, filled) = sync_channel(BUFFERS);
        let (free, empty) = sync_channel(BUFFERS);
        // A thread that cannot be made takes what it was given along.
        let source = Arc::new(Mutex::new(Some(source)));
        let taken = Arc::clone(&source);
        let read = move || {
            if let Some(source) = take(&taken) {
                read_all(source, offset, &empty, &fill);
            }
        };
        let started = Builder::new().name("read ahead".into()).spawn_scoped(scope, read);
        if started.is_err()
            && let Some(source) = take(&source)
        {
            return Err(source);
        }
        for _ in 0..BUFFERS {
            // There is room for all of them. A thread that is gone has said why.
            _ = free.send(vec![0; ROOM_IN_FRONT + BUFFER_SIZE].into());
        }
        Ok(Self { filled, free })
    }

    /// Puts what was read next behind what is left of the buffer from `start` to `end`: where that begins and ends then.
    pub(super) fn next(
        &mut self,
        buffer: &mut Box<[u8]>,
        start: usize,
        end: usize,
    ) -> Result<(usize, usize), Error> {
        // After the end of the input, or an error, there is nothing more.
        let Ok(Filled { buffer: mut next, read }) = self.filled.recv() else { return Ok((start, end)) };
        let len = read?;
        let left = buffer.get(start..end).unwrap_or_default();
        let from = ROOM_IN_FRONT - left.len();
        if let Some(room) = next.get_mut(from..ROOM_IN_FRONT) {
            room.copy_from_slice(left);
        }
        // At the end of the input nobody wants it.
        _ = self.free.send(mem::replace(buffer, next));
        Ok((from, ROOM_IN_FRONT + len))
    }
}

fn take<R>(source: &Mutex<Option<R>>) -> Option<R> {
    source.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn read_all(mut source: impl Read, mut offset: u64, empty: &Receiver<Box<[u8]>>, fill: &SyncSender<Filled>) {
    while let Ok(mut buffer) = empty.recv() {
        let room = buffer.get_mut(ROOM_IN_FRONT..).unwrap_or_default();
        let read = read_once(&mut source, room, offset);
        let len = *read.as_ref().unwrap_or(&0);
        offset += len as u64;
        if fill.send(Filled { buffer, read }).is_err() || len == 0 {
            return;
        }
    }
}
