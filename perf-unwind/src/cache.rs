//! Rules that were decoded, for each address that stacks have.

use crate::modules::ModuleMap;
use crate::rule::{RowContext, Rule};

/// The rules that a thread has decoded so far, at most one for each of its places: decoding one takes a hundred times as
/// long as using it. Modules of any number of processes share it.
#[derive(Debug)]
pub struct RuleCache {
    entries: Box<[Entry]>,
    context: RowContext,
    misses: u64,
}

/// How many places behind each other a rule may stand in.
const WINDOW: usize = 4;

/// A rule and what it is for. It has the size of a line of the processor's cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Entry {
    module: u64,
    /// The address in the module, doubled, plus one for a return address.
    key: u64,
    rule: Rule,
}

const _: () = assert!(size_of::<Entry>() == 64, "a rule became larger than its place");

impl Default for RuleCache {
    /// One of 65,536 places, which are four megabytes: a compiler's stacks have 24,000 addresses.
    fn default() -> Self {
        Self::with_places(1 << 16)
    }
}

impl RuleCache {
    /// A cache of so many places, made a power of two and at least one. Each has 64 bytes.
    #[must_use]
    pub fn with_places(count: usize) -> Self {
        let count = count.clamp(1, 1 << 24).next_power_of_two();
        let entries = std::iter::repeat_with(Entry::default).take(count).collect();
        Self { entries, context: RowContext::default(), misses: 0 }
    }

    /// How many rules were decoded.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses
    }

    /// The rule for an address in a map.
    #[inline]
    pub(crate) fn rule(&mut self, map: &ModuleMap, address: u64, is_return_address: bool) -> &Rule {
        const MISSING: &Rule = &Rule::Missing;
        let own = address.wrapping_sub(map.bias);
        let key = own << 1 | u64::from(is_return_address);
        let hash = (key ^ map.id.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The upper bits depend on all others.
        let home = usize::try_from(hash >> 32).unwrap_or_default() & (self.entries.len() - 1);
        // What has the same home goes into the places behind it, and takes the home's own where all of them are taken.
        let is_it = |entry: &Entry| entry.module == map.id && entry.key == key;
        let window = home..home + WINDOW;
        let mut place = home;
        for at in window {
            match self.entries.get(at) {
                Some(entry) if is_it(entry) => {
                    place = at;
                    break;
                }
                Some(entry) if entry.module == 0 => {
                    place = at;
                    break;
                }
                _ => {}
            }
        }
        let Some(entry) = self.entries.get_mut(place) else { return MISSING };
        if !is_it(entry) {
            let Some(module) = &map.module else { return MISSING };
            self.misses += 1;
            let own = own & module.architecture().mask();
            *entry =
                Entry { module: map.id, key, rule: module.rule(own, is_return_address, &mut self.context) };
        }
        &entry.rule
    }
}
