//! The kernel that runs now, and whether it is the recorded one.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::rc::Rc;

use bstr::BString;

use super::Mismatch;
use crate::recording::Recording;

/// What distinguishes one boot of one kernel from another; it is read once, and shared by the sources.
#[derive(Debug, Clone, Default)]
pub struct RunningKernel {
    facts: Rc<OnceCell<Facts>>,
}

#[derive(Debug)]
struct Facts {
    release: BString,
    /// The addresses that a reference symbol may have; none where they are hidden.
    references: Vec<u64>,
}

impl RunningKernel {
    fn facts(&self) -> &Facts {
        self.facts.get_or_init(|| Facts {
            release: fs::read("/proc/sys/kernel/osrelease").unwrap_or_default().trim_ascii_end().into(),
            references: references(),
        })
    }

    /// Whether the recorded kernel has the release of the running one; an unknown release counts as the same.
    pub(super) fn is_same_release(&self, recording: &Recording) -> Result<(), Mismatch> {
        match &recording.release {
            Some(recorded) if *recorded != self.facts().release => Err(Mismatch::Release(recorded.clone())),
            _ => Ok(()),
        }
    }

    /// Whether the recorded boot is the one that runs. A kernel that hides its addresses, on either side, is compared
    /// by its release alone.
    pub(super) fn is_same_boot(&self, recording: &Recording) -> Result<(), Mismatch> {
        self.is_same_release(recording)?;
        let references = &self.facts().references;
        match recording.kernel_reference {
            Some(recorded) if !references.is_empty() && !references.contains(&recorded) => {
                Err(Mismatch::Boot)
            }
            _ => Ok(()),
        }
    }
}

/// The addresses of the symbols that perf refers to, `_text` and `_stext`. They are among the first of the image,
/// and the list is long.
fn references() -> Vec<u64> {
    let Ok(kallsyms) = File::open("/proc/kallsyms") else { return Vec::new() };
    let lines = BufReader::new(kallsyms).lines().map_while(Result::ok);
    let of = |line: String| {
        let (address, symbol) = line.split_once(' ')?;
        let is_it = matches!(symbol, "T _text" | "T _stext");
        is_it.then(|| u64::from_str_radix(address, 16).unwrap_or(0))
    };
    lines.filter_map(of).take(2).filter(|address| *address != 0).collect()
}
