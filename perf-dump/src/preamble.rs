//! The lines in front of the records: the header, the events, the features.

use perf_format::header::FileHeader;
use perf_format::{Feature, FieldData, FieldKind, FieldVisitor, Preamble};

use crate::JSON_VERSION;
use crate::attr::visit_attr;
use crate::features;
use crate::line::DumpLine;
use crate::stable::{Stable, StableState};

/// What of the first lines is not in the preamble.
#[derive(Debug)]
pub(crate) struct FirstLines<'p> {
    /// The header of a file; `None` for a pipe's stream.
    pub(crate) header: Option<&'p FileHeader>,
    /// The files of a directory beside the first.
    pub(crate) others: usize,
    /// The parts of a file that are damaged or cut, and what is wrong with each.
    pub(crate) damaged: Vec<(Option<Feature>, String)>,
    pub(crate) json: bool,
    /// Whether the sections of a file are shown: offsets, too.
    pub(crate) sections: bool,
}

/// Writes the lines.
pub(crate) fn write(
    preamble: &Preamble,
    first: &FirstLines<'_>,
    mut stable: Option<&mut StableState>,
    line: &mut DumpLine,
) {
    let hides_host = stable.as_ref().is_some_and(|state| state.rules.host);
    line.begin("HEADER");
    if first.json {
        line.field("version", FieldKind::Number, FieldData::Unsigned(JSON_VERSION.into()));
    }
    let format = if first.header.is_some() { "file" } else { "pipe" };
    line.field("format", FieldKind::Number, FieldData::Word(format));
    if let Some(header) = first.header {
        line.field("size", FieldKind::Number, FieldData::Unsigned(header.words.size));
        line.field("attr_size", FieldKind::Number, FieldData::Unsigned(header.words.attr_size));
        let sections = [("attrs", header.words.attrs), ("data", header.words.data)];
        for (name, section) in sections.into_iter().filter(|_| first.sections) {
            if line.begin_group(name) {
                line.field("offset", FieldKind::Hex, FieldData::Unsigned(section.offset));
                line.field("size", FieldKind::Hex, FieldData::Unsigned(section.size));
            }
            line.end_group();
        }
    }
    if first.others > 0 {
        line.field("other_files", FieldKind::Number, FieldData::Unsigned(first.others as u64));
    }
    line.end();
    match preamble.event_infos() {
        Ok(events) => {
            for event in events {
                line.begin("ATTR");
                through(stable.as_deref_mut(), line, |v| {
                    v.field("event", FieldKind::Number, FieldData::Text(event.name.as_ref()));
                    visit_attr(&event.attr, v);
                    v.begin_list("ids", event.ids.len());
                    for id in &event.ids {
                        v.field("", FieldKind::EventId, FieldData::Unsigned(*id));
                    }
                    v.end_list();
                });
                line.end();
            }
        }
        Err(error) => error_line(line, &error.to_string()),
    }
    for (feature, data) in &preamble.features {
        begin_feature(line, *feature);
        match hides_host && OF_THE_HOST.contains(feature) {
            true => line.field("value", FieldKind::Number, FieldData::Word("*")),
            false => through(stable.as_deref_mut(), line, |v| features::visit(preamble, *feature, data, v)),
        }
        line.end();
    }
    for (feature, error) in &first.damaged {
        match feature {
            Some(feature) => {
                begin_feature(line, *feature);
                line.field("error", FieldKind::Number, FieldData::Text(error.as_str().into()));
                line.end();
            }
            None => error_line(line, error),
        }
    }
}

/// Tells fields to the line, or to the rules in front of it.
fn through(stable: Option<&mut StableState>, line: &mut DumpLine, tell: impl FnOnce(&mut dyn FieldVisitor)) {
    match stable {
        Some(state) => tell(&mut Stable::new(state, line)),
        None => tell(line),
    }
}

/// The features that tell one machine from another.
const OF_THE_HOST: &[Feature] = &[
    Feature::HOSTNAME,
    Feature::OSRELEASE,
    Feature::CPUDESC,
    Feature::CPUID,
    Feature::TOTAL_MEM,
    Feature::NRCPUS,
    Feature::CPU_TOPOLOGY,
    Feature::NUMA_TOPOLOGY,
    Feature::CACHE,
    Feature::MEM_TOPOLOGY,
    Feature::CPU_DOMAIN_INFO,
    Feature::PMU_MAPPINGS,
    Feature::PMU_CAPS,
    Feature::HYBRID_TOPOLOGY,
    Feature::BPF_PROG_INFO,
    Feature::BPF_BTF,
    Feature::TRACING_DATA,
];

fn begin_feature(line: &mut DumpLine, feature: Feature) {
    line.begin("FEATURE");
    match feature.name() {
        Some(name) => line.field("name", FieldKind::Number, FieldData::Word(name)),
        None => line.field("name", FieldKind::Number, FieldData::Word(&format!("{}", feature.0))),
    }
}

/// The line that says what is wrong with the recording.
pub(crate) fn error_line(line: &mut DumpLine, error: &str) {
    line.begin("ERROR");
    line.field("error", FieldKind::Number, FieldData::Text(error.into()));
    line.end();
}
