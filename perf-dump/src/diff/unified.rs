//! Differences as `diff -u` shows them, with a line `?` behind a record that was changed: its fields that were.

use std::collections::VecDeque;
use std::io::{self, Write};

use bstr::ByteSlice as _;

use super::DiffOptions;
use super::align::Edit;
use super::fields::changed;

/// A hunk that has so many bytes is written, and another goes on with it.
const HUNK_BYTES: usize = 1 << 20;

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// What is written of differences so far.
#[derive(Debug)]
pub(super) struct Unified<'o> {
    options: &'o DiffOptions,
    /// The last lines that are the same, in front of a hunk.
    before: VecDeque<Vec<u8>>,
    hunk: Option<Hunk>,
    has_names: bool,
}

#[derive(Debug, Default)]
struct Hunk {
    start: [u64; 2],
    lines: [u64; 2],
    body: Vec<u8>,
    /// Lines at the end that are the same; of them only so many as the context has are in the body.
    same: Vec<Vec<u8>>,
}

impl<'o> Unified<'o> {
    pub(super) fn new(options: &'o DiffOptions) -> Self {
        Self { options, before: VecDeque::new(), hunk: None, has_names: false }
    }

    fn line(&self, color: &str, sign: char, line: &[u8], body: &mut Vec<u8>) {
        let colors = if self.options.color && !color.is_empty() { [color, PLAIN] } else { ["", ""] };
        body.extend(colors[0].bytes());
        body.push(u8::try_from(sign).unwrap_or(b' '));
        body.extend_from_slice(line);
        body.extend(colors[1].bytes());
        body.push(b'\n');
    }

    /// Takes an edit that is at these lines of both.
    pub(super) fn take(&mut self, edit: Edit, at: [u64; 2], out: &mut impl Write) -> io::Result<()> {
        let context = self.options.context;
        let edit = match edit {
            Edit::Same(line) => {
                if let Some(hunk) = &mut self.hunk {
                    hunk.same.push(line);
                    if hunk.same.len() > 2 * context {
                        self.end_hunk(out)?;
                    }
                } else if context > 0 {
                    if self.before.len() == context {
                        self.before.pop_front();
                    }
                    self.before.push_back(line);
                }
                return Ok(());
            }
            edit => edit,
        };
        let mut hunk = match self.hunk.take() {
            Some(hunk) => hunk,
            None => {
                let same: Vec<_> = self.before.drain(..).collect();
                let before = same.len() as u64;
                Hunk { start: at.map(|at| at - before), same, ..Hunk::default() }
            }
        };
        self.write_same(&mut hunk, usize::MAX);
        let [a, b] = edit.lines();
        hunk.lines = [hunk.lines[0] + a, hunk.lines[1] + b];
        match &edit {
            Edit::Removed(line) => self.line(RED, '-', line, &mut hunk.body),
            Edit::Added(line) => self.line(GREEN, '+', line, &mut hunk.body),
            Edit::Changed(old, new) => {
                self.line(RED, '-', old, &mut hunk.body);
                self.line(GREEN, '+', new, &mut hunk.body);
                let mut fields = Vec::new();
                for change in changed(old, new) {
                    let or = |value: Option<&bstr::BStr>| value.unwrap_or("(none)".into()).to_vec();
                    fields.extend(if fields.is_empty() { &b" "[..] } else { b", " });
                    fields.extend(change.name.bytes());
                    fields.extend(b": ");
                    fields.extend(or(change.old));
                    fields.extend(b" -> ");
                    fields.extend(or(change.new));
                }
                self.line(CYAN, '?', &fields, &mut hunk.body);
            }
            Edit::Same(_) => {}
        }
        let is_large = hunk.body.len() >= HUNK_BYTES;
        self.hunk = Some(hunk);
        if is_large { self.end_hunk(out) } else { Ok(()) }
    }

    /// Puts lines that are the same into a hunk's body, so many at the most.
    fn write_same(&self, hunk: &mut Hunk, at_most: usize) {
        let rest = hunk.same.split_off(hunk.same.len().min(at_most));
        for line in std::mem::replace(&mut hunk.same, rest) {
            hunk.lines = hunk.lines.map(|lines| lines + 1);
            self.line("", ' ', &line, &mut hunk.body);
        }
    }

    fn end_hunk(&mut self, out: &mut impl Write) -> io::Result<()> {
        let Some(mut hunk) = self.hunk.take() else { return Ok(()) };
        let context = self.options.context;
        self.write_same(&mut hunk, context);
        let from = hunk.same.len().saturating_sub(context);
        self.before = hunk.same.split_off(from).into();
        let [cyan, plain] = if self.options.color { [CYAN, PLAIN] } else { ["", ""] };
        if !std::mem::replace(&mut self.has_names, true) {
            let [a, b] = self.options.names.each_ref().map(|name| name.as_bytes().as_bstr());
            writeln!(out, "--- {a}\n+++ {b}")?;
        }
        let ([a, b], [lines_a, lines_b]) = (hunk.start, hunk.lines);
        // Of no lines it is the line before them, as in diff -u.
        let start = |start: u64, lines: u64| if lines == 0 { start.saturating_sub(1) } else { start };
        let (a, b) = (start(a, lines_a), start(b, lines_b));
        writeln!(out, "{cyan}@@ -{a},{lines_a} +{b},{lines_b} @@{plain}")?;
        out.write_all(&hunk.body)
    }

    /// Writes what has not been written.
    pub(super) fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.end_hunk(out)
    }
}
