//! The maps that hold at one moment, by their first addresses: an ordered map whose copies share what they have in
//! common.
//!
//! A fork copies it, and most children exec at once. A process with a hundred thousand maps that forks for each request
//! shares them with all its children, each of which maps something of its own. So it is a B-tree of reference-counted
//! nodes: a copy is one pointer, and a change copies the nodes on the way to it that are shared, some 2 KiB. Most
//! processes have fewer maps than one node holds, and then it is a sorted array.

use std::sync::Arc;

use crate::map::Map;

/// Maps that do not overlap, by their first address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    root: Node,
    len: usize,
}

#[derive(Debug, Clone)]
enum Node {
    /// Maps, lowest first.
    Leaf(Arc<Vec<Map>>),
    /// Other nodes, lowest first; never none.
    Inner(Arc<Vec<Child>>),
}

/// A node and the first address of the lowest map in it.
#[derive(Debug, Clone)]
struct Child {
    first: u64,
    node: Node,
}

/// How many maps or nodes a node has at the most.
const NODE_AT_MOST: usize = 32;

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Arc::default())
    }
}

impl Snapshot {
    /// How many maps there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The map at an address.
    #[inline]
    pub(crate) fn at(&self, addr: u64) -> Option<&Map> {
        self.floor(addr).filter(|map| map.contains(addr))
    }

    /// The last map that starts at the address or before.
    pub(crate) fn floor(&self, addr: u64) -> Option<&Map> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(maps) => {
                    let behind = maps.partition_point(|map| map.start <= addr);
                    return maps.get(behind.checked_sub(1)?);
                }
                Node::Inner(children) => {
                    let behind = children.partition_point(|child| child.first <= addr);
                    node = &children.get(behind.checked_sub(1)?)?.node;
                }
            }
        }
    }

    /// Puts a map in, in place of one that starts at the same address.
    pub(crate) fn insert(&mut self, map: Map) {
        let (split, added) = self.root.insert(map);
        self.len += usize::from(added);
        if let Some(right) = split {
            let left = std::mem::take(&mut self.root);
            let left = Child { first: left.first(), node: left };
            self.root = Node::Inner(Arc::new(vec![left, right]));
        }
    }

    /// Takes out the map that starts at an address.
    pub(crate) fn remove(&mut self, start: u64) {
        self.len -= usize::from(self.root.remove(start));
        while let Node::Inner(children) = &self.root {
            self.root = match children.as_slice() {
                [] => Node::default(),
                [only] => only.node.clone(),
                _ => break,
            };
        }
    }

    /// The maps that have addresses between two, the second excluded, lowest first.
    pub(crate) fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = &Map> {
        let before = self.floor(start).filter(|map| map.start < start && map.end > start);
        before.into_iter().chain(self.iter_from(start).take_while(move |map| map.start < end))
    }

    /// All of them, lowest first.
    pub(crate) fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    fn iter_from(&self, start: u64) -> Iter<'_> {
        let mut above = Vec::new();
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(maps) => {
                    let at = maps.partition_point(|map| map.start < start);
                    return Iter { maps: maps.get(at..).unwrap_or_default().iter(), above };
                }
                Node::Inner(children) => {
                    // What starts there may stand in the last node that starts before.
                    let at = children.partition_point(|child| child.first <= start).saturating_sub(1);
                    let mut rest = children.get(at..).unwrap_or_default().iter();
                    let Some(first) = rest.next() else { return Iter { maps: [].iter(), above } };
                    above.push(rest);
                    node = &first.node;
                }
            }
        }
    }
}

impl FromIterator<Map> for Snapshot {
    fn from_iter<I: IntoIterator<Item = Map>>(maps: I) -> Self {
        let mut snapshot = Self::default();
        maps.into_iter().for_each(|map| snapshot.insert(map));
        snapshot
    }
}

impl Node {
    fn first(&self) -> u64 {
        match self {
            Self::Leaf(maps) => maps.first().map_or(0, |map| map.start),
            Self::Inner(children) => children.first().map_or(0, |child| child.first),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Leaf(maps) => maps.is_empty(),
            Self::Inner(children) => children.is_empty(),
        }
    }

    /// The node that was split off on the right, if one was, and whether there is one map more.
    fn insert(&mut self, map: Map) -> (Option<Child>, bool) {
        match self {
            Self::Leaf(maps) => {
                let maps = Arc::make_mut(maps);
                let at = maps.partition_point(|other| other.start < map.start);
                if let Some(same) = maps.get_mut(at).filter(|other| other.start == map.start) {
                    *same = map;
                    return (None, false);
                }
                maps.insert(at, map);
                (split_off(maps).map(|right| Self::Leaf(Arc::new(right)).into()), true)
            }
            Self::Inner(children) => {
                let children = Arc::make_mut(children);
                let at = children.partition_point(|child| child.first <= map.start).saturating_sub(1);
                let Some(child) = children.get_mut(at) else { return (None, false) };
                child.first = child.first.min(map.start);
                let (right, added) = child.node.insert(map);
                if let Some(right) = right {
                    children.insert(at + 1, right);
                }
                (split_off(children).map(|right| Self::Inner(Arc::new(right)).into()), added)
            }
        }
    }

    /// Whether there is one map less.
    fn remove(&mut self, start: u64) -> bool {
        match self {
            Self::Leaf(maps) => {
                let Ok(at) = maps.binary_search_by_key(&start, |map| map.start) else { return false };
                Arc::make_mut(maps).remove(at);
                true
            }
            Self::Inner(children) => {
                let behind = children.partition_point(|child| child.first <= start);
                let Some(at) = behind.checked_sub(1) else { return false };
                let children = Arc::make_mut(children);
                let Some(child) = children.get_mut(at) else { return false };
                let removed = child.node.remove(start);
                if child.node.is_empty() {
                    children.remove(at);
                } else {
                    child.first = child.node.first();
                }
                removed
            }
        }
    }
}

impl From<Node> for Child {
    fn from(node: Node) -> Self {
        Self { first: node.first(), node }
    }
}

/// The upper half of what has become too long.
fn split_off<T>(all: &mut Vec<T>) -> Option<Vec<T>> {
    (all.len() > NODE_AT_MOST).then(|| all.split_off(all.len() / 2))
}

/// The maps of a snapshot from some address on.
#[derive(Debug)]
pub(crate) struct Iter<'s> {
    maps: std::slice::Iter<'s, Map>,
    above: Vec<std::slice::Iter<'s, Child>>,
}

impl<'s> Iterator for Iter<'s> {
    type Item = &'s Map;

    #[inline]
    fn next(&mut self) -> Option<&'s Map> {
        loop {
            if let Some(map) = self.maps.next() {
                return Some(map);
            }
            let Some(child) = self.above.last_mut()?.next() else {
                self.above.pop();
                continue;
            };
            match &child.node {
                Node::Leaf(maps) => self.maps = maps.iter(),
                Node::Inner(children) => self.above.push(children.iter()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::dso::{DsoKind, Dsos};

    fn map(start: u64, len: u64, since: u64) -> Map {
        let dso = Dsos::default().find_or_create(-1, DsoKind::File, "a".into());
        Map { start, end: start + len, pgoff: 0, since, dso, prot: 5, flags: 2 }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64),
        Remove(u64),
        Copy,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..400u64).prop_map(Step::Insert),
            3 => (0..400u64).prop_map(Step::Remove),
            1 => Just(Step::Copy),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_is_an_ordered_map_and_a_copy_stays_what_it_was(steps in prop::collection::vec(step(), 0..400)) {
            let (mut snapshot, mut model) = (Snapshot::default(), BTreeMap::new());
            let mut copies = Vec::new();
            for (since, step) in (0..).zip(steps) {
                match step {
                    Step::Insert(n) => {
                        snapshot.insert(map(n * 16, 10, since));
                        model.insert(n * 16, map(n * 16, 10, since));
                    }
                    Step::Remove(n) => {
                        snapshot.remove(n * 16);
                        model.remove(&(n * 16));
                    }
                    Step::Copy => copies.push((snapshot.clone(), model.clone())),
                }
            }
            copies.push((snapshot, model));
            for (snapshot, model) in copies {
                prop_assert_eq!(snapshot.len(), model.len());
                prop_assert!(snapshot.iter().eq(model.values()));
                for addr in (0..6500).step_by(37) {
                    prop_assert_eq!(snapshot.floor(addr), model.range(..=addr).next_back().map(|(_, map)| map));
                    let overlap = model.values().filter(|map| map.start < addr + 70 && map.end > addr);
                    prop_assert!(snapshot.overlapping(addr, addr + 70).eq(overlap), "from {}", addr);
                }
            }
        }
    }
}
