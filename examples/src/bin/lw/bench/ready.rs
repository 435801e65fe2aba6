//! Which of many calls have ended, without a lock, an allocation or a search for each.
//!
//! Every place for a call has a waker of its own that sets a bit; only the first bit of many wakes the task. When that
//! runs, it takes whole words of bits, and so finds what one read from the socket has ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The bits of so many places.
#[derive(Debug)]
pub(super) struct Ready {
    /// A bit for each place.
    places: Box<[AtomicU64]>,
    /// A bit for each word of places that may have a bit.
    words: Box<[AtomicU64]>,
    task: Mutex<Option<Waker>>,
}

impl Ready {
    pub(super) fn new(places: usize) -> Arc<Self> {
        let zeros = |bits: usize| (0..bits.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let all: Box<[AtomicU64]> = zeros(places);
        Arc::new(Self { words: zeros(all.len()), places: all, task: Mutex::default() })
    }

    /// The waker of a place.
    pub(super) fn waker(self: &Arc<Self>, place: u32) -> Waker {
        Waker::from(Arc::new(Bell { ready: Arc::clone(self), place }))
    }

    /// Whom to wake. To be said before [`take`](Self::take).
    pub(super) fn set_task(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *task {
            Some(known) => known.clone_from(waker),
            None => *task = Some(waker.clone()),
        }
    }

    /// Adds the places that have been woken, of the first so many.
    pub(super) fn take(&self, places: usize, found: &mut Vec<u32>) {
        let used = places.div_ceil(64 * 64);
        for (high, words) in self.words.iter().enumerate().take(used) {
            let mut words = take_bits(words);
            while let Some(middle) = next_bit(&mut words) {
                let word = high * 64 + middle;
                let mut places = take_bits(&self.places[word]);
                while let Some(low) = next_bit(&mut places) {
                    found.push((word * 64 + low) as u32);
                }
            }
        }
    }

    fn ring(&self, place: u32) {
        let (word, bit) = (place as usize / 64, 1 << (place % 64));
        // Who finds other bits there comes after somebody who has told already, or is about to.
        if self.places[word].fetch_or(bit, Ordering::AcqRel) == 0
            && self.words[word / 64].fetch_or(1 << (word % 64), Ordering::AcqRel) == 0
        {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

/// Most of the time there is nothing, which is cheaper to read than to replace.
fn take_bits(word: &AtomicU64) -> u64 {
    if word.load(Ordering::Relaxed) == 0 { 0 } else { word.swap(0, Ordering::AcqRel) }
}

const fn next_bit(bits: &mut u64) -> Option<usize> {
    if *bits == 0 {
        return None;
    }
    let lowest = bits.trailing_zeros() as usize;
    *bits &= *bits - 1;
    Some(lowest)
}

struct Bell {
    ready: Arc<Ready>,
    place: u32,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ready.ring(self.place);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.ring(self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn taken(ready: &Ready, places: usize) -> Vec<u32> {
        let mut found = Vec::new();
        ready.take(places, &mut found);
        found
    }

    #[test]
    fn each_place_is_found_once_and_the_first_wakes_the_task() {
        let (ready, task) = (Ready::new(10_000), Arc::new(Count::default()));
        ready.set_task(&task.clone().into());
        let places = [9_999, 0, 63, 64, 4_095, 4_096, 63];
        let wakers = places.map(|place| ready.waker(place));
        for round in 1..=3 {
            wakers.iter().for_each(Waker::wake_by_ref);
            assert_eq!(taken(&ready, 10_000), [0, 63, 64, 4_095, 4_096, 9_999]);
            assert!(taken(&ready, 10_000).is_empty());
            // Once for each 4,096 places, however many of them end.
            assert_eq!(task.0.load(Ordering::Relaxed), 3 * round);
        }
    }

    #[test]
    fn what_is_woken_by_another_thread_is_not_lost() {
        let ready = Ready::new(1000);
        let found = std::thread::scope(|scope| {
            for part in 0..4 {
                let wakers: Vec<_> = (part * 250..part * 250 + 250).map(|place| ready.waker(place)).collect();
                scope.spawn(move || wakers.into_iter().for_each(Waker::wake));
            }
            let mut found = Vec::new();
            while found.len() < 1000 {
                ready.take(1000, &mut found);
            }
            found
        });
        let mut sorted = found;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
    }
}
