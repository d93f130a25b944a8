//! Rules that were decoded, for each address that stacks have.

use std::mem;

use hashbrown::HashMap;

use crate::limits::{COMPLEX_BYTES_AT_MOST, SIMPLE_RULES_AT_MOST};
use crate::modules::ModuleMap;
use crate::rule::{RowContext, Rule, SimpleRule};

/// The rules that a thread has decoded so far, at most one for each of its places: decoding one takes ten times as long as
/// using it. Modules of any number of processes share it.
#[derive(Debug)]
pub struct RuleCache {
    places: Box<[Place]>,
    /// How many of them are taken.
    taken: usize,
    places_at_most: usize,
    rules: Vec<Rule>,
    /// Where each simple rule stands: the 20,000 addresses of a compiler's stacks have 313.
    simple: HashMap<SimpleRule, u32>,
    /// About how many bytes the complex ones have.
    complex_bytes: usize,
    context: RowContext,
    misses: u64,
}

/// Which rule an address has. Four of them are a line of the processor's cache, in which most of the time is spent
/// waiting for them.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// The module's number, or 0 where nothing is.
    module: u32,
    rule: u32,
    /// The address in the module, doubled, plus one for a return address.
    key: u64,
}

/// How many places there are at first: as few as will do, for what is not in the processor's cache is waited for.
const PLACES_AT_FIRST: usize = 1 << 14;

/// How many places behind each other an address may have.
const WINDOW: usize = 4;

impl Default for RuleCache {
    /// One of up to 131,072 places, which are two megabytes: the stacks of gcc's compiler have 24,000 addresses, those of a build
    /// with rustc 73,000.
    fn default() -> Self {
        Self::with_places(1 << 17)
    }
}

impl RuleCache {
    /// The first rules, which are there always.
    const WITHOUT_VALUES: [Rule; 3] = [Rule::Missing, Rule::Bad, Rule::End];

    /// A cache of up to so many places, made a power of two and at least one. Each has 16 bytes, and half of them are taken
    /// before there are more. The rules themselves have some 100 KB, and up to ten megabytes if tables are made for that.
    #[must_use]
    pub fn with_places(count: usize) -> Self {
        let places_at_most = count.clamp(1, 1 << 24).next_power_of_two();
        Self {
            places: vec![Place::default(); places_at_most.min(PLACES_AT_FIRST)].into(),
            taken: 0,
            places_at_most,
            rules: Self::WITHOUT_VALUES.to_vec(),
            simple: HashMap::new(),
            complex_bytes: 0,
            context: RowContext::default(),
            misses: 0,
        }
    }

    /// How many rules were decoded.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses
    }

    /// The rule for an address in a map.
    #[inline]
    pub(crate) fn rule(&mut self, map: &ModuleMap, address: u64, is_return_address: bool) -> &Rule {
        let own = address.wrapping_sub(map.bias);
        let key = own << 1 | u64::from(is_return_address);
        // What has the same home goes into the places behind it, and takes the home's own where all of them are taken.
        let home = self.home(map.id, key);
        let mut at = home;
        for place in home..home + WINDOW {
            match self.places.get(place) {
                Some(found) if found.module == map.id && found.key == key && map.id != 0 => {
                    return self.at(found.rule);
                }
                Some(found) if found.module == 0 => {
                    at = place;
                    break;
                }
                _ => {}
            }
        }
        self.decode(map, own, is_return_address, Place { module: map.id, rule: 0, key }, at)
    }

    /// The first place of an address.
    #[inline]
    fn home(&self, module: u32, key: u64) -> usize {
        let hash = (key ^ u64::from(module) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The upper bits depend on all others.
        usize::try_from(hash >> 32).unwrap_or_default() & (self.places.len() - 1)
    }

    /// Makes twice as many places.
    fn grow(&mut self) {
        let more = vec![Place::default(); 2 * self.places.len()].into();
        let before = mem::replace(&mut self.places, more);
        self.taken = 0;
        for place in before.iter().filter(|place| place.module != 0) {
            let home = self.home(place.module, place.key);
            let mut window = self.places.iter_mut().skip(home).take(WINDOW);
            if let Some(free) = window.find(|place| place.module == 0) {
                *free = *place;
                self.taken += 1;
            }
        }
    }

    #[inline]
    fn at(&self, rule: u32) -> &Rule {
        const MISSING: &Rule = &Rule::Missing;
        usize::try_from(rule).ok().and_then(|rule| self.rules.get(rule)).unwrap_or(MISSING)
    }

    #[cold]
    #[inline(never)]
    fn decode(
        &mut self,
        map: &ModuleMap,
        own: u64,
        is_return_address: bool,
        place: Place,
        at: usize,
    ) -> &Rule {
        let Some(module) = &map.module else { return self.at(0) };
        self.misses += 1;
        let own = own & module.architecture().mask();
        let rule = module.rule(own, is_return_address, &mut self.context);
        if self.simple.len() >= SIMPLE_RULES_AT_MOST || self.complex_bytes >= COMPLEX_BYTES_AT_MOST {
            self.places.fill(Place::default());
            self.taken = 0;
            self.rules.truncate(Self::WITHOUT_VALUES.len());
            self.simple.clear();
            self.complex_bytes = 0;
        }
        let next = u32::try_from(self.rules.len()).unwrap_or(u32::MAX);
        let index = match &rule {
            Rule::Simple(simple) => *self.simple.entry(*simple).or_insert(next),
            Rule::Complex(complex) => {
                self.complex_bytes += complex.bytes();
                next
            }
            Rule::Missing => 0,
            Rule::Bad => 1,
            Rule::End => 2,
        };
        if index == next {
            self.rules.push(rule);
        }
        if let Some(free) = self.places.get_mut(at) {
            self.taken += usize::from(free.module == 0 && place.module != 0);
            *free = Place { rule: index, ..place };
        }
        if self.taken > self.places.len() / 2 && self.places.len() < self.places_at_most {
            self.grow();
        }
        self.at(index)
    }
}
