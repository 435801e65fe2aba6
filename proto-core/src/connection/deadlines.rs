//! When calls run out of time: a line in the order of deadlines, from which any slot can be removed exactly.
//!
//! Most calls wait equally long, so that who comes last is due last: it goes to the end of the line, or close to it, and is
//! taken out in constant time. Whoever would have to go further to the front is kept in a binary heap beside it. A removed
//! deadline leaves nothing behind, so that neither is larger than the number of calls in flight. Who comes first is first among
//! those in line that are due together.

use alloc::vec::Vec;

use crate::time::Instant;

/// How many of those in line a deadline may pass on its way to its place.
const STEPS: usize = 8;

#[derive(Debug)]
pub(super) struct Deadlines {
    /// What each slot waits for.
    entries: Vec<Entry>,
    /// The ends of the line, as slots.
    head: u32,
    tail: u32,
    heap: Vec<(Instant, u16)>,
}

/// A slot's deadline, and where it stands: between two other slots in the line, unless it is [absent](ABSENT) or [in the heap](IN_HEAP).
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    previous: u32,
    /// Or its position in the heap.
    next: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;
/// In place of the previous slot: it has no deadline.
const ABSENT: u32 = u32::MAX - 1;
/// In place of the previous slot: it stands in the heap.
const IN_HEAP: u32 = u32::MAX - 2;

impl Deadlines {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), head: NONE, tail: NONE, heap: Vec::new() }
    }

    /// The earliest deadline.
    pub(super) fn first(&self) -> Option<Instant> {
        let line = self.entries.get(self.head as usize).map(|first| first.at);
        let heap = self.heap.first().map(|&(at, _)| at);
        match (line, heap) {
            (Some(line), Some(heap)) => Some(line.min(heap)),
            (line, heap) => line.or(heap),
        }
    }

    /// Sets the deadline of a slot that has none.
    pub(super) fn insert(&mut self, slot: u16, at: Instant) {
        let own = usize::from(slot);
        debug_assert!(self.entries.get(own).is_none_or(|entry| entry.previous == ABSENT));
        if self.entries.len() <= own {
            self.entries.resize(own + 1, Entry { at, previous: ABSENT, next: NONE });
        }
        self.entries[own].at = at;
        if let Some(last) = self.entries.get_mut(self.tail as usize).filter(|last| last.at <= at) {
            // Nearly all go to the end of the line.
            last.next = slot.into();
            self.entries[own].previous = self.tail;
            self.entries[own].next = NONE;
            self.tail = slot.into();
            return;
        }
        let mut previous = self.tail;
        for _ in 0..STEPS {
            match self.in_line(previous) {
                Some((other, _)) if other > at => previous = self.entries[previous as usize].previous,
                _ => return self.stand(slot, previous),
            }
        }
        self.heap.push((at, slot));
        self.sift_up(self.heap.len() - 1);
    }

    /// Takes away the slot's deadline, if it has one.
    pub(super) fn remove(&mut self, slot: u16) {
        let Some(entry) = self.entries.get_mut(usize::from(slot)) else { return };
        let (previous, next) = (entry.previous, entry.next);
        entry.previous = ABSENT;
        match previous {
            ABSENT => {}
            IN_HEAP => {
                let at = next as usize;
                self.heap.swap_remove(at);
                if at < self.heap.len() {
                    self.sift_down(at);
                    self.sift_up(at);
                }
            }
            _ => self.join(previous, next),
        }
    }

    /// Takes a slot whose deadline is not later than `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u16> {
        let (_, slot) = self.earliest().filter(|&(at, _)| at <= now)?;
        self.remove(slot);
        Some(slot)
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.heap.capacity() * size_of::<(Instant, u16)>() + self.entries.capacity() * size_of::<Entry>()
    }

    fn earliest(&self) -> Option<(Instant, u16)> {
        let heap = self.heap.first().copied();
        let line = self.in_line(self.head);
        match (line, heap) {
            (Some(line), Some(heap)) => Some(line.min(heap)),
            (line, heap) => line.or(heap),
        }
    }

    /// Who stands in line at this slot.
    fn in_line(&self, slot: u32) -> Option<(Instant, u16)> {
        self.entries.get(slot as usize).map(|entry| (entry.at, slot as u16))
    }

    /// Puts a slot into the line behind another one, or at its front.
    fn stand(&mut self, slot: u16, previous: u32) {
        let next = self.entries.get(previous as usize).map_or(self.head, |previous| previous.next);
        self.join(previous, slot.into());
        self.join(slot.into(), next);
    }

    /// Makes two slots neighbours.
    fn join(&mut self, previous: u32, next: u32) {
        match previous {
            NONE => self.head = next,
            previous => self.entries[previous as usize].next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => self.entries[next as usize].previous = previous,
        }
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= self.heap[at] {
                break;
            }
            self.heap.swap(parent, at);
            self.place(at);
            at = parent;
        }
        self.place(at);
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            let Some(mut child) = (left < self.heap.len()).then_some(left) else { break };
            if left + 1 < self.heap.len() && self.heap[left + 1] < self.heap[left] {
                child = left + 1;
            }
            if self.heap[at] <= self.heap[child] {
                break;
            }
            self.heap.swap(at, child);
            self.place(at);
            at = child;
        }
        self.place(at);
    }

    fn place(&mut self, at: usize) {
        let entry = &mut self.entries[usize::from(self.heap[at].1)];
        (entry.previous, entry.next) = (IN_HEAP, at as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    /// Calls that wait equally long never need the heap, nor do those that wait much longer, as long as they are few.
    #[test]
    fn who_comes_last_is_due_last() {
        let mut deadlines = Deadlines::new();
        for slot in 0..1000 {
            let longer = if slot % 200 == 0 { 1_000_000 } else { 0 };
            deadlines.insert(slot, Instant::from_nanos(u64::from(slot) + longer));
        }
        assert!(deadlines.heap.is_empty());
        (1000..1020).rev().for_each(|slot| deadlines.insert(slot, Instant::from_nanos(u64::from(slot))));
        assert!(!deadlines.heap.is_empty(), "no deadline passes a whole line");
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(
            // Some grow with time, as those of calls do, and some do not.
            script in prop::collection::vec((0u16..40, 0u64..50, prop::bool::weighted(0.1), any::<bool>()), 0..300),
        ) {
            let mut deadlines = Deadlines::new();
            let mut model: BTreeMap<u16, u64> = BTreeMap::new();
            for (step, (slot, nanos, due, grows)) in script.into_iter().enumerate() {
                let nanos = if grows { step as u64 / 4 + nanos / 8 } else { nanos };
                if due {
                    let mut popped = Vec::new();
                    while let Some(slot) = deadlines.pop_due(Instant::from_nanos(nanos)) {
                        popped.push((model[&slot], slot));
                    }
                    prop_assert!(popped.is_sorted_by_key(|&(at, _)| at), "{:?}", popped);
                    popped.sort_unstable();
                    let mut expected: Vec<(u64, u16)> =
                        model.iter().filter(|&(_, &at)| at <= nanos).map(|(&slot, &at)| (at, slot)).collect();
                    expected.sort_unstable();
                    model.retain(|_, at| *at > nanos);
                    prop_assert_eq!(popped, expected);
                } else if model.remove(&slot).is_some() {
                    deadlines.remove(slot);
                } else {
                    deadlines.insert(slot, Instant::from_nanos(nanos));
                    model.insert(slot, nanos);
                }
                prop_assert_eq!(deadlines.first().map(Instant::as_nanos), model.values().min().copied());
            }
        }
    }
}
