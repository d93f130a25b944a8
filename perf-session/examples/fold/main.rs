//! Folds stacks for a flame graph: `cargo run --example fold -- perf.data | inferno-flamegraph > flame.svg`.

use std::collections::BTreeMap;
use std::io::Write as _;

use perf_format::RecordType;
use perf_session::SessionReader;
use perf_session::dso::DsoKind;

use crate::symbols::Symbols;

mod symbols;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let mut reader = SessionReader::open(std::env::args_os().nth(1).ok_or("which recording?")?)?;
    let mut symbols = Symbols::default();
    let mut stacks = BTreeMap::new();
    while let Some(record) = reader.next()? {
        if record.record_type() != RecordType::SAMPLE {
            continue;
        }
        let mut stack = match (record.comm(), record.tid()) {
            (Some(comm), _) => comm.to_string().replace(char::is_whitespace, "_"),
            (None, tid) => format!(":{}", tid.unwrap_or_default()),
        };
        let frames: Vec<_> = record.frames()?.collect();
        for frame in frames.iter().rev() {
            let name = frame.dso.map_or("[unknown]".to_owned(), |dso| {
                let name = match dso.kind {
                    DsoKind::Kernel | DsoKind::Module => symbols.of_kernel(frame.address),
                    _ => frame.offset().and_then(|offset| symbols.of_file(&dso.name.to_string(), offset)),
                };
                name.map_or_else(|| format!("[{}]", file_name(&dso.name.to_string())), str::to_owned)
            });
            stack = format!("{stack};{name}");
        }
        *stacks.entry(stack).or_insert(0) += 1;
    }
    for (stack, count) in stacks {
        writeln!(out, "{stack} {count}")?;
    }
    Ok(())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
