//! The fields of a feature.

use bstr::{BStr, BString};
use perf_format::record::BuildIdRecord;
use perf_format::tracing_data::TracingData;
use perf_format::{
    EventInfo, Feature, FeatureValue, FieldData, FieldKind, FieldVisitor, Preamble, VisitFields as _,
    build_id_table,
};

use crate::attr::visit_attr;
use crate::words;

mod unparsed;

/// Tells what a feature says. What cannot be parsed is bytes, and the reason.
pub(crate) fn visit(preamble: &Preamble, feature: Feature, data: &[u8], v: &mut dyn FieldVisitor) {
    let bytes = |v: &mut dyn FieldVisitor| v.field("data", FieldKind::Number, FieldData::Bytes(data));
    let error = |v: &mut dyn FieldVisitor, error: &perf_format::Error| {
        let reason = match error {
            perf_format::Error::Structure { field, problem, .. } => format!("{field}: {problem}"),
            error => error.to_string(),
        };
        v.field("error", FieldKind::Number, FieldData::Text(reason.as_str().into()));
        bytes(v);
    };
    match (feature, preamble.feature(feature)) {
        (Feature::BUILD_ID, _) => build_ids(preamble, data, v),
        (Feature::TRACING_DATA, _) => match TracingData::parse(data, 0) {
            Ok(tracing_data) => {
                bytes(v);
                number("page_size", tracing_data.page_size, v);
                groups("systems", &tracing_data.systems, v, |system, v| {
                    text("name", system.name, v);
                    let events: Vec<_> = system.events().collect();
                    groups("events", &events, v, |(name, id), v| {
                        text("name", name, v);
                        if let Some(id) = id {
                            number("id", *id, v);
                        }
                    });
                });
            }
            Err(problem) => error(v, &problem),
        },
        _ if unparsed::visit(feature, data, preamble.endian, v) => {}
        (_, Some(Ok(value))) => visit_value(&value, v),
        (_, Some(Err(problem))) => error(v, &problem),
        (_, None) => bytes(v),
    }
}

fn text(name: &str, text: &BStr, v: &mut dyn FieldVisitor) {
    v.field(name, FieldKind::Number, FieldData::Text(text));
}

fn number(name: &str, number: impl Into<u64>, v: &mut dyn FieldVisitor) {
    v.field(name, FieldKind::Number, FieldData::Unsigned(number.into()));
}

fn group(name: &str, v: &mut dyn FieldVisitor, fields: impl FnOnce(&mut dyn FieldVisitor)) {
    if v.begin_group(name) {
        fields(v);
    }
    v.end_group();
}

fn texts(name: &str, list: &[BString], v: &mut dyn FieldVisitor) {
    v.begin_list(name, list.len());
    list.iter().for_each(|element| text("", element.as_ref(), v));
    v.end_list();
}

/// A list of groups.
fn groups<T>(name: &str, list: &[T], v: &mut dyn FieldVisitor, fields: impl Fn(&T, &mut dyn FieldVisitor)) {
    v.begin_list(name, list.len());
    list.iter().for_each(|element| group("", v, |v| fields(element, v)));
    v.end_list();
}

/// The table of build-ids, up to what cannot be read of it.
fn build_ids(preamble: &Preamble, data: &[u8], v: &mut dyn FieldVisitor) {
    let entries: Vec<_> = build_id_table(data, 0, preamble.endian).collect();
    v.begin_list("entries", entries.len());
    let mut damage = None;
    for entry in entries {
        let (misc, entry) = match entry {
            Ok(entry) => entry,
            Err(error) => {
                damage = Some(error);
                continue;
            }
        };
        group("", v, |v| {
            let (names, rest) = words::misc(perf_format::RecordType::BUILD_ID, misc);
            v.field("misc", FieldKind::Number, FieldData::Flags(names.as_slice(), rest.into()));
            BuildIdRecord::visit(&entry, v);
        });
    }
    v.end_list();
    if let Some(error) = damage {
        text("error", error.to_string().as_str().into(), v);
    }
}

fn visit_value(value: &FeatureValue, v: &mut dyn FieldVisitor) {
    use FeatureValue as V;
    match value {
        V::Hostname(_) | V::OsRelease(_) | V::Version(_) | V::Arch(_) | V::CpuDesc(_) | V::CpuId(_) => {
            text("value", value.as_text().unwrap_or_default(), v);
        }
        V::Cpus(counts) => {
            number("available", counts.available, v);
            number("online", counts.online, v);
        }
        V::TotalMem(size) => number("kib", *size, v),
        V::CommandLine(args) => texts("args", args, v),
        V::Events(events) => groups("events", events, v, |EventInfo { attr, ids, name, .. }, v| {
            text("event", name.as_ref(), v);
            visit_attr(attr, v);
            v.begin_list("ids", ids.len());
            ids.iter().for_each(|id| v.field("", FieldKind::EventId, FieldData::Unsigned(*id)));
            v.end_list();
        }),
        V::BranchStack | V::Stat => {}
        V::PmuMappings(pmus) => groups("pmus", pmus, v, |pmu, v| {
            number("type", pmu.pmu, v);
            text("name", pmu.name.as_ref(), v);
        }),
        V::Groups(list) => groups("groups", list, v, |group, v| {
            text("name", group.name.as_ref(), v);
            number("leader_idx", group.leader, v);
            number("nr_members", group.len, v);
            texts("members", &group.members, v);
        }),
        V::SampleTime(times) => {
            v.field("first", FieldKind::Time, FieldData::Unsigned(times.first));
            v.field("last", FieldKind::Time, FieldData::Unsigned(times.last));
        }
        V::ClockResolution(ns) => number("resolution_ns", *ns, v),
        V::ClockData(clock) => {
            number("clockid", clock.clockid, v);
            v.field("wall_clock_ns", FieldKind::Time, FieldData::Unsigned(clock.wall));
            v.field("clockid_time_ns", FieldKind::Time, FieldData::Unsigned(clock.clock));
        }
        V::DirFormat(version) => number("version", *version, v),
        V::Compressed(compression) => {
            number("type", compression.kind, v);
            number("level", compression.level, v);
            number("ratio", compression.ratio, v);
            number("mmap_len", compression.mmap_len, v);
        }
        V::PmuCaps(pmus) => groups("pmus", pmus, v, |pmu, v| {
            text("name", pmu.pmu.as_ref(), v);
            groups("caps", &pmu.caps, v, |(name, value), v| {
                text("name", name.as_ref(), v);
                text("value", value.as_ref(), v);
            });
        }),
        V::HybridTopology(pmus) => groups("pmus", pmus, v, |pmu, v| {
            text("name", pmu.pmu.as_ref(), v);
            text("cpus", pmu.cpus.as_ref(), v);
        }),
        V::ElfMachine(machine) => {
            number("e_machine", machine.machine, v);
            v.field("e_flags", FieldKind::Hex, FieldData::Unsigned(machine.flags.into()));
        }
        V::CacheLineSize(size) => number("size", *size, v),
        V::Bytes(_, bytes) => v.field("data", FieldKind::Number, FieldData::Bytes(bytes)),
        value => visit_machine(value, v),
    }
}

/// The features that describe the machine's parts.
fn visit_machine(value: &FeatureValue, v: &mut dyn FieldVisitor) {
    use FeatureValue as V;
    match value {
        V::CpuTopology(topology) => {
            texts("sockets", &topology.sockets, v);
            if !topology.dies.is_empty() {
                texts("dies", &topology.dies, v);
            }
            texts("cores", &topology.cores, v);
            groups("cpus", &topology.cpus, v, |cpu, v| {
                let id = |name: &str, id: i32, v: &mut dyn FieldVisitor| {
                    v.field(name, FieldKind::Number, FieldData::Signed(id.into()));
                };
                id("core_id", cpu.core, v);
                if let Some(die) = cpu.die {
                    id("die_id", die, v);
                }
                id("socket_id", cpu.socket, v);
            });
        }
        V::NumaTopology(nodes) => groups("nodes", nodes, v, |node, v| {
            number("node", node.node, v);
            number("mem_total_kib", node.total, v);
            number("mem_free_kib", node.free, v);
            text("cpus", node.cpus.as_ref(), v);
        }),
        V::Caches(caches) => groups("caches", caches, v, |cache, v| {
            number("level", cache.level, v);
            number("line_size", cache.line_size, v);
            number("sets", cache.sets, v);
            number("ways", cache.ways, v);
            text("type", cache.kind.as_ref(), v);
            text("size", cache.size.as_ref(), v);
            text("map", cache.cpus.as_ref(), v);
        }),
        V::MemoryTopology(topology) => {
            v.field("block_size", FieldKind::Hex, FieldData::Unsigned(topology.block_size));
            groups("nodes", &topology.nodes, v, |node, v| {
                number("node", node.node, v);
                v.begin_list("blocks", node.blocks.len());
                node.blocks.iter().for_each(|word| v.field("", FieldKind::Hex, FieldData::Unsigned(*word)));
                v.end_list();
            });
        }
        _ => {}
    }
}
