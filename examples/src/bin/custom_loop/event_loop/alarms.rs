//! Who is to be called when: the timers of all connections in one place.
//!
//! Finding the next one costs the same for ten connections and for ten thousand. A deadline that moves away, as that of
//! heartbeats does with every byte, costs nothing: the alarm rings too early, once, and is set then.

use std::collections::{BTreeMap, BTreeSet};

use proto_core::Instant;

/// At most one alarm for each key.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    in_order: BTreeSet<(Instant, usize)>,
    by_key: BTreeMap<usize, Instant>,
}

impl Alarms {
    /// Rings at this time or earlier; not at all if there is none.
    pub(super) fn ring_by(&mut self, key: usize, at: Option<Instant>) {
        let Some(at) = at else { return self.clear(key) };
        if self.by_key.get(&key).is_some_and(|&set| set <= at) {
            return;
        }
        self.clear(key);
        self.by_key.insert(key, at);
        self.in_order.insert((at, key));
    }

    pub(super) fn clear(&mut self, key: usize) {
        if let Some(at) = self.by_key.remove(&key) {
            self.in_order.remove(&(at, key));
        }
    }

    /// When the next one rings.
    pub(super) fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|&(at, _)| at)
    }

    /// Whose alarm rings now, if anybody's does. It is no longer set.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let &(at, key) = self.in_order.first()?;
        if at > now {
            return None;
        }
        self.clear(key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Option<Instant> {
        Some(Instant::from_nanos(nanos))
    }

    #[test]
    fn each_rings_once_and_in_the_order_of_time() {
        let mut alarms = Alarms::default();
        alarms.ring_by(1, at(30));
        alarms.ring_by(2, at(20));
        alarms.ring_by(3, at(10));
        alarms.ring_by(1, at(40));
        alarms.ring_by(2, at(5));
        alarms.clear(3);
        assert_eq!(alarms.next(), at(5));
        assert_eq!(alarms.pop_due(Instant::from_nanos(4)), None);
        let late = Instant::from_nanos(50);
        let rung: Vec<usize> = std::iter::from_fn(|| alarms.pop_due(late)).collect();
        assert_eq!(rung, [2, 1], "one that was moved away still rings at its first time");
        assert_eq!(alarms.next(), None);
        assert!(alarms.by_key.is_empty());
    }
}
