//! Who is there, by number.
//!
//! Numbers are given in turn, so a list is in their order by itself. The place of someone who has left stays empty until most places
//! are: it takes 16 to 32 bytes for each that is there, and up to twice that while many leave.

use alloc::vec::Vec;

#[derive(Debug)]
pub(super) struct Roll<T> {
    /// In the order of their numbers.
    places: Vec<(u64, Option<T>)>,
    /// How many of them are empty.
    empty: usize,
}

impl<T> Default for Roll<T> {
    fn default() -> Self {
        Self { places: Vec::new(), empty: 0 }
    }
}

impl<T> Roll<T> {
    /// Whoever has a number comes once.
    pub(super) fn insert(&mut self, number: u64, who: T) {
        // Servers on several threads may come a little out of turn.
        let before = self.places.iter().rposition(|&(other, _)| other < number);
        self.places.insert(before.map_or(0, |before| before + 1), (number, Some(who)));
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        let place = self.find(number)?;
        let gone = self.places[place].1.take()?;
        self.empty += 1;
        if self.empty > self.places.len() / 2 {
            self.places.retain(|(_, who)| who.is_some());
            self.empty = 0;
            self.places.shrink_to(2 * self.places.len());
        }
        Some(gone)
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        self.places[self.find(number)?].1.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|(_, who)| who.as_ref())
    }

    fn find(&self, number: u64) -> Option<usize> {
        self.places.binary_search_by_key(&number, |&(other, _)| other).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        /// In whatever order they come and leave, and it holds no more than twice what it must.
        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec((any::<bool>(), 0..5u64, any::<prop::sample::Index>()), 0..400)) {
            let (mut roll, mut map, mut next) = (Roll::default(), BTreeMap::new(), 10);
            for (comes, late, which) in steps {
                let number = next - late;
                if comes && !roll.places.iter().any(|&(other, _)| other == number) {
                    roll.insert(number, number * 3);
                    map.insert(number, number * 3);
                    next += 2;
                } else if !map.is_empty() {
                    let number = *map.keys().nth(which.index(map.len())).unwrap();
                    prop_assert_eq!(roll.remove(number), map.remove(&number));
                    prop_assert_eq!(roll.remove(number), None);
                }
                prop_assert!(roll.iter().eq(map.values()));
                prop_assert!((0..next + 2).all(|number| roll.get(number) == map.get(&number)));
                prop_assert!(roll.places.len() <= 2 * map.len() + 1);
            }
        }
    }
}
