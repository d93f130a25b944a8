//! Text of a file that its program has moved to anonymous memory, in the place where it was, to have it in huge pages: that
//! the file's map is still the one to look into.

use crate::address_space::AddressSpace;
use crate::dso::{DsoKind, Dsos};
use crate::machine::Machine;
use crate::map::Map;

/// How many adjacent pieces of anonymous memory may be one copy of a text.
const PIECES_AT_MOST: usize = 64;

/// Whether executable anonymous memory takes the place of text that is mapped from one file.
pub(crate) fn is_over_text(
    anonymous: &Map,
    pid: i32,
    machine: &Machine,
    dsos: &Dsos,
    time: Option<u64>,
) -> bool {
    let covered = machine.find_map(AddressSpace::Process(pid), anonymous.start, time);
    covered.is_some_and(|covered| {
        covered.end >= anonymous.end && dsos.get(covered.dso).is_some_and(|dso| dso.kind == DsoKind::File)
    })
}

/// The part of a file's text that lies, moved, between a map of the file and the one before it, where both are parts of
/// what was one map.
pub(crate) fn moved_before(map: &Map, pid: i32, machine: &Machine, dsos: &Dsos) -> Option<Map> {
    let is_anonymous = |map: &Map| dsos.get(map.dso).is_some_and(|dso| dso.kind == DsoKind::Anonymous);
    let ending_at = |addr: u64| {
        machine.find_map(AddressSpace::Process(pid), addr.checked_sub(1)?, None).filter(|map| map.end == addr)
    };
    let mut start = map.start;
    for _ in 0..=PIECES_AT_MOST {
        let before = ending_at(start)?;
        if is_anonymous(before) {
            start = before.start;
            continue;
        }
        let distance = |map: &Map| map.start.wrapping_sub(map.pgoff);
        let is_one = start < map.start && before.dso == map.dso && distance(before) == distance(map);
        let pgoff = map.pgoff.wrapping_sub(map.start - start);
        return is_one.then_some(Map { start, end: map.start, pgoff, ..*map });
    }
    None
}
