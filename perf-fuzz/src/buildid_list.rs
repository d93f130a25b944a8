//! `buildid_list`: lists out of anything that starts as perf data does.

use std::io::{Cursor, Read};

use perf_buildid_list::{Collected, Scope, from_files, from_pipe, json, print};
use perf_format::PipeStream;
use perf_format::header::Format;

use crate::FuzzPieces;

const SCOPES: [Scope; 4] = [Scope::Table, Scope::WithHits, Scope::HitsCounted, Scope::Everything];

/// Any split into reads lists the same; a list of any names can be printed, and is one JSON document.
pub fn buildid_list(data: &[u8]) {
    for scope in SCOPES {
        match Format::detect(data) {
            Ok(Format::Pipe(_)) => {
                let whole = of_pipe(data, scope);
                let pieces = of_pipe(FuzzPieces::of(data), scope);
                assert_eq!(pieces.list, whole.list);
                assert_eq!(message(&pieces), message(&whole));
                can_be_written(&whole);
            }
            Ok(Format::File(_)) => {
                let records = data.get(104..).unwrap_or_default();
                for others in [vec![], vec![Cursor::new(records), Cursor::new(records)]] {
                    if let Ok(collected) = from_files(Cursor::new(data), others, scope, false) {
                        can_be_written(&collected);
                    }
                }
            }
            Err(_) => {
                assert!(from_files(Cursor::new(data), Vec::new(), scope, false).is_err());
            }
        }
    }
}

fn of_pipe(source: impl Read, scope: Scope) -> Collected {
    from_pipe(PipeStream::open(source).expect("it starts as a pipe does").records(), scope)
}

fn message(collected: &Collected) -> Option<String> {
    collected.damage.as_ref().map(ToString::to_string)
}

fn can_be_written(collected: &Collected) {
    let mut text = Vec::new();
    print(&collected.list, &mut text).expect("memory can be written");
    let mut document = Vec::new();
    json(&collected.list, message(collected).as_deref(), &mut document).expect("memory can be written");
    let parsed: serde_json::Value = serde_json::from_slice(&document).expect("a JSON document");
    assert_eq!(parsed["dsos"].as_array().map(Vec::len), Some(collected.list.dsos.len()));
}
