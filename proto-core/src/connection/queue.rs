//! A first-in-first-out queue from whose middle an entry can be taken in constant time.
//!
//! Entries live in one vector and are linked by index, so that a queue that comes and goes costs one allocation,
//! and a cancelled entry leaves nothing behind.

use alloc::vec::Vec;
use core::mem;

/// Where an entry lies. Valid until the entry has been taken; the queue does not notice a stale one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Queue<T> {
    entries: Vec<Entry<T>>,
    head: u32,
    tail: u32,
    free: u32,
}

#[derive(Debug)]
struct Entry<T> {
    value: Option<T>,
    previous: u32,
    next: u32,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), head: NONE, tail: NONE, free: NONE }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.head == NONE
    }

    pub(super) fn push_back(&mut self, value: T) -> Key {
        let tail = self.tail;
        let key = self.link(Entry { value: Some(value), previous: tail, next: NONE });
        match tail {
            NONE => self.head = key.0,
            tail => self.entries[tail as usize].next = key.0,
        }
        self.tail = key.0;
        key
    }

    /// Puts an entry in front of all others.
    pub(super) fn push_front(&mut self, value: T) -> Key {
        let head = self.head;
        let key = self.link(Entry { value: Some(value), previous: NONE, next: head });
        match head {
            NONE => self.tail = key.0,
            head => self.entries[head as usize].previous = key.0,
        }
        self.head = key.0;
        key
    }

    /// The value in front.
    pub(super) fn first(&self) -> Option<&T> {
        self.entries.get(self.head as usize)?.value.as_ref()
    }

    fn link(&mut self, entry: Entry<T>) -> Key {
        if self.free == NONE {
            self.entries.push(entry);
            return Key(self.entries.len() as u32 - 1);
        }
        let index = self.free;
        let slot = &mut self.entries[index as usize];
        self.free = slot.next;
        *slot = entry;
        Key(index)
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        match self.head {
            NONE => None,
            head => self.take(Key(head)),
        }
    }

    /// Takes the entry out, wherever it stands; `None` if it has been taken already.
    pub(super) fn take(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.0 as usize)?;
        let value = entry.value.take()?;
        let (previous, next) = (entry.previous, mem::replace(&mut entry.next, self.free));
        self.free = key.0;
        match previous {
            NONE => self.head = next,
            previous => self.entries[previous as usize].next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => self.entries[next as usize].previous = previous,
        }
        if self.is_empty() {
            // Nothing waits most of the time, and then nothing is held.
            *self = Self::new();
        }
        Some(value)
    }

    /// The values, first to last.
    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = &T> {
        let mut at = self.head;
        core::iter::from_fn(move || {
            let entry = self.entries.get(at as usize)?;
            at = entry.next;
            entry.value.as_ref()
        })
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<T>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

    #[test]
    fn an_empty_queue_holds_nothing() {
        let mut queue = Queue::new();
        let keys: Vec<Key> = (0..9).map(|n| queue.push_back(n)).collect();
        assert!(queue.held_bytes() > 0);
        for key in keys {
            assert!(queue.take(key).is_some());
        }
        assert_eq!(queue.held_bytes(), 0);
    }

    proptest! {
        #[test]
        fn behaves_like_a_deque_with_removal(script in prop::collection::vec((0u8..4, any::<prop::sample::Index>()), 0..200)) {
            let mut queue = Queue::new();
            let mut model: VecDeque<(Key, usize)> = VecDeque::new();
            for (step, (what, which)) in script.into_iter().enumerate() {
                match what {
                    0 => {
                        let key = queue.push_back(step);
                        model.push_back((key, step));
                    }
                    1 => {
                        let key = queue.push_front(step);
                        model.push_front((key, step));
                    }
                    2 => prop_assert_eq!(queue.pop_front(), model.pop_front().map(|(_, value)| value)),
                    _ if model.is_empty() => {}
                    _ => {
                        let (key, value) = model.remove(which.index(model.len())).unwrap();
                        prop_assert_eq!(queue.take(key), Some(value));
                    }
                }
                prop_assert!(queue.iter().copied().eq(model.iter().map(|(_, value)| *value)));
                prop_assert_eq!(queue.first(), model.front().map(|(_, value)| value));
                prop_assert_eq!(queue.is_empty(), model.is_empty());
            }
        }
    }
}
