//! Aligns the lines of two dumps, window by window.

use std::collections::VecDeque;
use std::io;

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices};

use super::fields::word;
use super::source::DiffSource;

/// Lines of a window at first, and as it grows.
const WINDOW_AT_FIRST: usize = 64;

/// Lines of a window at the most: what is farther from its place is not found there.
const WINDOW_AT_MOST: usize = 4096;

/// Bytes of a window at the most.
const WINDOW_BYTES: usize = 1 << 24;

/// So many lines in a row that are the same on both sides end a difference.
const SAME_IN_A_ROW: usize = 4;

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    Same(Vec<u8>),
    Removed(Vec<u8>),
    Added(Vec<u8>),
    /// As it was, and as it is.
    Changed(Vec<u8>, Vec<u8>),
}

impl Edit {
    /// How many lines of both it is.
    pub(super) fn lines(&self) -> [u64; 2] {
        match self {
            Self::Same(_) | Self::Changed(..) => [1, 1],
            Self::Removed(_) => [1, 0],
            Self::Added(_) => [0, 1],
        }
    }
}

struct Side<'s> {
    source: DiffSource<'s>,
    window: VecDeque<Vec<u8>>,
    bytes: usize,
    is_over: bool,
}

impl Side<'_> {
    /// Reads on until so many lines are there.
    fn fill(&mut self, lines: usize) -> io::Result<()> {
        while self.window.len() < lines
            && !self.is_over
            && (self.bytes < WINDOW_BYTES || self.window.is_empty())
        {
            match self.source.next_line()? {
                Some(line) => {
                    self.bytes += line.len();
                    self.window.push_back(line);
                }
                None => self.is_over = true,
            }
        }
        Ok(())
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let line = self.window.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }

    fn is_full(&self) -> bool {
        self.bytes >= WINDOW_BYTES
    }
}

/// Both dumps, and the edits that are known and were not given.
pub(super) struct Aligner<'s> {
    a: Side<'s>,
    b: Side<'s>,
    ready: VecDeque<Edit>,
}

impl<'s> Aligner<'s> {
    pub(super) fn new(a: DiffSource<'s>, b: DiffSource<'s>) -> Self {
        let side = |source| Side { source, window: VecDeque::new(), bytes: 0, is_over: false };
        Self { a: side(a), b: side(b), ready: VecDeque::new() }
    }

    /// The next edit; `None` at the end of both.
    pub(super) fn next(&mut self) -> io::Result<Option<Edit>> {
        if self.ready.is_empty() {
            self.a.fill(1)?;
            self.b.fill(1)?;
            match (self.a.window.front(), self.b.window.front()) {
                (None, None) => return Ok(None),
                (Some(a), Some(b)) if a == b => {
                    self.b.pop();
                    return Ok(self.a.pop().map(Edit::Same));
                }
                _ => self.align()?,
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Aligns both from the first difference on to where they agree again.
    fn align(&mut self) -> io::Result<()> {
        let mut size = WINDOW_AT_FIRST;
        let ops = loop {
            self.a.fill(size)?;
            self.b.fill(size)?;
            let (a, b) = (self.a.window.make_contiguous(), self.b.window.make_contiguous());
            let mut ops = capture_diff_slices(Algorithm::Myers, a, b);
            if self.a.is_over && self.b.is_over {
                break ops;
            }
            let is_same =
                |least| move |op: &DiffOp| op.tag() == DiffTag::Equal && op.old_range().len() >= least;
            if let Some(at) = ops.iter().rposition(is_same(SAME_IN_A_ROW)) {
                ops.truncate(at + 1);
                break ops;
            }
            if size >= WINDOW_AT_MOST || self.a.is_full() || self.b.is_full() {
                if let Some(at) = ops.iter().rposition(is_same(1)) {
                    ops.truncate(at + 1);
                }
                break ops;
            }
            size *= 4;
        };
        for op in ops {
            let (old, new) = (op.old_range().len(), op.new_range().len());
            let old: Vec<_> = (0..old).filter_map(|_| self.a.pop()).collect();
            let new: Vec<_> = (0..new).filter_map(|_| self.b.pop()).collect();
            match op.tag() {
                DiffTag::Equal => self.ready.extend(old.into_iter().map(Edit::Same)),
                DiffTag::Delete => self.ready.extend(old.into_iter().map(Edit::Removed)),
                DiffTag::Insert => self.ready.extend(new.into_iter().map(Edit::Added)),
                DiffTag::Replace => self.pair(old, new),
            }
        }
        Ok(())
    }

    /// Of lines in the place of others, those of one type are changed.
    fn pair(&mut self, old: Vec<Vec<u8>>, new: Vec<Vec<u8>>) {
        let words = |lines: &[Vec<u8>]| lines.iter().map(|line| word(line).to_vec()).collect::<Vec<_>>();
        let ops = capture_diff_slices(Algorithm::Myers, &words(&old), &words(&new));
        let (mut old, mut new) = (old.into_iter(), new.into_iter());
        for op in ops {
            let (removed, added) = (op.old_range().len(), op.new_range().len());
            if op.tag() == DiffTag::Equal {
                let pairs = old.by_ref().take(removed).zip(new.by_ref().take(added));
                self.ready.extend(pairs.map(|(old, new)| Edit::Changed(old, new)));
                continue;
            }
            self.ready.extend(old.by_ref().take(removed).map(Edit::Removed));
            self.ready.extend(new.by_ref().take(added).map(Edit::Added));
        }
    }
}
