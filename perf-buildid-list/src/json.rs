//! The list as one JSON document, for programs.
//!
//! Its shape is the structures below, their fields in this order. `version` goes up when a field changes its
//! meaning or goes; fields may be added without that.

use std::io::{self, Write};

use bstr::ByteSlice as _;
use perf_session::machine::HOST;
use serde::Serialize;

use crate::{IdLocation, List, ListedDso, OnDisk};

/// The version of the shape.
const VERSION: u32 = 1;

/// The document.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    /// Whether the whole recording could be read.
    complete: bool,
    /// What is wrong with it, if not; null otherwise.
    damage: Option<&'a str>,
    dsos: Vec<Dso<'a>>,
}

/// A DSO that has an id or that samples hit.
#[derive(Serialize)]
struct Dso<'a> {
    /// The long name. Bytes that are no UTF-8 are replaced, and `name_hex` has them all.
    name: String,
    /// The name in hex, where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    /// Lowercase hex, or null.
    build_id: Option<String>,
    machine: Machine,
    /// `kernel` or `user`.
    space: &'a str,
    hits: HitCounts,
    /// The places that carry an id for it, in the order in which they were met.
    sources: Vec<Source>,
    /// With `--check`, and where there is an id to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check<'a>>,
}

/// `"host"`, or `{"guest": PID}`.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Machine {
    Host,
    Guest(i32),
}

/// How many samples hit it.
#[derive(Serialize)]
struct HitCounts {
    /// By their own address.
    ip: u64,
    /// By an address of their call chain, the innermost included.
    callchain: u64,
}

#[derive(Serialize)]
struct Source {
    /// `header`, `record` or `mmap2`.
    place: &'static str,
    build_id: String,
}

#[derive(Serialize)]
struct Check<'a> {
    /// `same`, `differs` or `gone`.
    result: &'static str,
    /// The id of the file on this machine, where it has one.
    found: Option<String>,
    /// Why there is none to compare with.
    reason: Option<&'a str>,
}

/// Writes the document. `damage` is what is wrong with the recording.
///
/// # Errors
/// Where the output cannot be written.
pub fn json(list: &List, damage: Option<&str>, out: &mut impl Write) -> io::Result<()> {
    let dsos = list.dsos.iter().map(dso).collect();
    let document = Document { version: VERSION, complete: damage.is_none(), damage, dsos };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn dso(listed: &ListedDso) -> Dso<'_> {
    let text = listed.name.to_str().ok();
    Dso {
        name: listed.name.to_str_lossy().into_owned(),
        name_hex: text.is_none().then(|| listed.name.iter().map(|byte| format!("{byte:02x}")).collect()),
        build_id: listed.build_id.map(|id| id.to_string()),
        machine: if listed.machine == HOST { Machine::Host } else { Machine::Guest(listed.machine) },
        space: if listed.kind.is_kernel() { "kernel" } else { "user" },
        hits: HitCounts { ip: listed.hits.ip, callchain: listed.hits.callchain },
        sources: listed
            .sources
            .iter()
            .map(|source| Source { place: word(source.place), build_id: source.build_id.to_string() })
            .collect(),
        check: listed.on_disk.as_ref().map(|on_disk| match on_disk {
            OnDisk::Same => {
                Check { result: "same", found: listed.build_id.map(|id| id.to_string()), reason: None }
            }
            OnDisk::Differs(found) => {
                Check { result: "differs", found: Some(found.to_string()), reason: None }
            }
            OnDisk::Gone(reason) => Check { result: "gone", found: None, reason: Some(reason) },
        }),
    }
}

fn word(place: IdLocation) -> &'static str {
    match place {
        IdLocation::Header => "header",
        IdLocation::Record => "record",
        IdLocation::Mmap2 => "mmap2",
    }
}
