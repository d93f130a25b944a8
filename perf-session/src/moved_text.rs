//! Text of a file that its program has moved to anonymous memory, in the place where it was, to have it in huge pages: that
//! the file's map is still the one to look into.

use crate::address_space::AddressSpace;
use crate::dso::{DsoId, DsoKind, Dsos};
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
    let covered = held(machine, AddressSpace::Process(pid), anonymous.start, time);
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
        let is_one = start < map.start && before.dso == map.dso && distance(before) == distance(map);
        let pgoff = map.pgoff.wrapping_sub(map.start - start);
        return is_one.then_some(Map { start, end: map.start, pgoff, ..*map });
    }
    None
}

/// The file whose text anonymous memory took the place of: it lay there before, or lies on both sides, as what is left of
/// one map.
pub(crate) fn text_of(
    anonymous: &Map,
    space: AddressSpace,
    time: Option<u64>,
    machine: &Machine,
    dsos: &Dsos,
) -> Option<DsoId> {
    let is_file = |map: &&Map| dsos.get(map.dso).is_some_and(|dso| dso.kind == DsoKind::File);
    let at = |addr, time| held(machine, space, addr, time);
    let covered = anonymous.since.checked_sub(1).and_then(|before| at(anonymous.start, Some(before)));
    if let Some(covered) = covered.filter(is_file) {
        return Some(covered.dso);
    }
    let (mut before, mut behind) = (Some(anonymous), Some(anonymous));
    for _ in 0..PIECES_AT_MOST {
        let is_next = |map: &&Map| !is_file(map);
        before = before.filter(is_next).map_or(before, |map| at(map.start.checked_sub(1)?, time));
        behind = behind.filter(is_next).map_or(behind, |map| at(map.end, time));
    }
    let (before, behind) = before.zip(behind)?;
    let is_one = before.dso == behind.dso && is_file(&before) && distance(before) == distance(behind);
    is_one.then_some(before.dso)
}

/// The map at an address that held at a time, and not one of the program before an exec.
fn held(machine: &Machine, space: AddressSpace, addr: u64, time: Option<u64>) -> Option<&Map> {
    let map = machine.find_map(space, addr, time)?;
    let is_before_exec = time.is_some_and(|time| machine.is_before_exec(space, addr, time));
    (!is_before_exec).then_some(map)
}

/// How far a map's addresses are from its file's offsets.
fn distance(map: &Map) -> u64 {
    map.start.wrapping_sub(map.pgoff)
}
