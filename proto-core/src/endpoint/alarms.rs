//! The timers of all connections of a server, kept by one task with one timer of the runtime.
//!
//! A connection at rest has one deadline, far away: its next heartbeat. A timer of the runtime for each would hold more memory than
//! all else that such a connection needs time for. So connections leave their deadlines here, in a heap, and a task that the server
//! spawns beside them, the keeper, waits for the earliest. It does nothing else, so that no handler and nothing that a server's
//! owner does can hold it up.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::connection_task::Office;
use super::runtime::Runtime;
use crate::peer::{Clock, Sleep};
use crate::time::Instant;

/// What the connections of a server and the keeper share.
pub(super) struct Alarms<R> {
    pub(super) runtime: R,
    pub(super) clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    table: Table,
    /// How many may still set an alarm: the connections, and the server.
    users: usize,
    /// The keeper, and what it waits for.
    keeper: Option<(Waker, Instant)>,
}

impl<R: Runtime> Alarms<R> {
    pub(super) fn new(runtime: R) -> Self {
        let clock = runtime.clock();
        Self { runtime, clock, state: Mutex::default() }
    }
}

impl<R> Alarms<R> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's alarm, and its way to all that the connections of the server share.
pub(super) struct Alarm<R: Runtime> {
    office: Arc<Office<R>>,
    place: Option<Place>,
    /// For what needs one of the runtime itself.
    own: Option<Box<R::Sleep>>,
}

impl<R: Runtime> Alarm<R> {
    /// An alarm, not set.
    pub(super) fn new(office: &Arc<Office<R>>) -> Self {
        office.alarms.lock().users += 1;
        Self { office: office.clone(), place: None, own: None }
    }

    pub(super) const fn office(&self) -> &Arc<Office<R>> {
        &self.office
    }
}

impl<R: Runtime> Sleep for Alarm<R> {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        // Whoever is to be woken soon is at work by now.
        self.own = None;
        if self.office.alarms.clock.now() >= at {
            return Poll::Ready(());
        }
        let (keeper, old) = {
            let mut state = self.office.alarms.lock();
            let state = &mut *state;
            let old = state.table.set(&mut self.place, at, cx.waker());
            (state.keeper.take_if(|(_, until)| at < *until), old)
        };
        drop(old);
        if let Some((keeper, _)) = keeper {
            keeper.wake();
        }
        Poll::Pending
    }

    fn wake_soon(&mut self, cx: &mut Context<'_>) {
        self.own.get_or_insert_with(|| Box::new(self.office.alarms.runtime.sleep())).wake_soon(cx);
    }
}

impl<R: Runtime> Drop for Alarm<R> {
    fn drop(&mut self) {
        let (keeper, old) = {
            let mut state = self.office.alarms.lock();
            state.users -= 1;
            let old = self.place.take().and_then(|place| state.table.leave(place));
            // The keeper is no longer needed when there is nobody to keep anything for.
            (if state.users == 0 { state.keeper.take() } else { None }, old)
        };
        drop(old);
        if let Some((keeper, _)) = keeper {
            keeper.wake();
        }
    }
}

/// Wakes connections when their time has come, until there is nobody left who could set an alarm.
pub(super) struct Keeper<R: Runtime> {
    office: Arc<Office<R>>,
    sleep: R::Sleep,
}

impl<R: Runtime> Keeper<R> {
    pub(super) fn new(office: &Arc<Office<R>>) -> Self {
        Self { office: office.clone(), sleep: office.alarms.runtime.sleep() }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = self.office.alarms.clock.now();
            let (due, next, old) = {
                let mut state = self.office.alarms.lock();
                if state.users == 0 {
                    return Poll::Ready(());
                }
                let due = state.table.take_due(now);
                let next = state.table.first();
                let old = state.keeper.replace((cx.waker().clone(), next.unwrap_or(Instant::MAX)));
                (due, next, old)
            };
            drop(old);
            due.into_iter().for_each(Waker::wake);
            let Some(at) = next else { return Poll::Pending };
            if self.sleep.poll_until(cx, at).is_pending() {
                return Poll::Pending;
            }
            // A timer that is early is asked again, with the clock's time in between.
            if self.office.alarms.clock.now() < at {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// Where a deadline stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u32);

/// Deadlines and whom they wake: a binary heap in which each is found again by its place.
#[derive(Debug, Default)]
struct Table {
    entries: Vec<Entry>,
    /// Places, the earliest first.
    heap: Vec<u32>,
    /// Places that nobody has.
    free: Vec<u32>,
    /// How many have left since memory was last given back.
    left: usize,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    waker: Option<Waker>,
    /// Its position in the heap, while it has a waker.
    position: u32,
}

impl Table {
    /// The earliest deadline.
    fn first(&self) -> Option<Instant> {
        self.heap.first().map(|&place| self.entries[place as usize].at)
    }

    /// Sets the deadline in this place, which is found if there is none. Gives the waker that it had.
    fn set(&mut self, place: &mut Option<Place>, at: Instant, waker: &Waker) -> Option<Waker> {
        let Place(own) = *place.get_or_insert_with(|| self.take_place());
        let entry = &mut self.entries[own as usize];
        entry.at = at;
        let old = match &mut entry.waker {
            Some(known) if known.will_wake(waker) => None,
            known => known.replace(waker.clone()),
        };
        if entry.position == ABSENT {
            entry.position = self.heap.len() as u32;
            self.heap.push(own);
        }
        let position = self.entries[own as usize].position as usize;
        self.sift(position);
        old
    }

    /// Gives a place up.
    fn leave(&mut self, Place(place): Place) -> Option<Waker> {
        self.remove(place);
        let waker = self.entries[place as usize].waker.take();
        self.entries[place as usize].position = FREE;
        self.free.push(place);
        self.left += 1;
        // As often as their number has halved.
        if self.left >= self.entries.len() - self.free.len() {
            self.shrink();
        }
        waker
    }

    /// Gives back the places behind the last that somebody has.
    fn shrink(&mut self) {
        self.left = 0;
        let taken = self.entries.iter().rposition(|entry| entry.position != FREE).map_or(0, |last| last + 1);
        self.entries.truncate(taken);
        self.free.retain(|&place| (place as usize) < taken);
        self.entries.shrink_to(2 * taken);
        self.heap.shrink_to(2 * taken);
        self.free.shrink_to(2 * taken);
    }

    /// Whom the deadlines wake that are not later than `now`: they are set no more.
    fn take_due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(&place) = self.heap.first().filter(|&&place| self.entries[place as usize].at <= now) {
            self.remove(place);
            due.extend(self.entries[place as usize].waker.take());
        }
        due
    }

    fn take_place(&mut self) -> Place {
        let Some(place) = self.free.pop() else {
            self.entries.push(Entry { at: Instant::MAX, waker: None, position: ABSENT });
            return Place(self.entries.len() as u32 - 1);
        };
        self.entries[place as usize].position = ABSENT;
        Place(place)
    }

    /// Takes a place out of the heap, if it is there.
    fn remove(&mut self, place: u32) {
        let position = mem::replace(&mut self.entries[place as usize].position, ABSENT) as usize;
        if position >= self.heap.len() {
            return;
        }
        self.heap.swap_remove(position);
        if position < self.heap.len() {
            self.entries[self.heap[position] as usize].position = position as u32;
            self.sift(position);
        }
    }

    /// Moves what stands at this position to where it belongs.
    fn sift(&mut self, mut position: usize) {
        let at = |table: &Self, position: usize| table.entries[table.heap[position] as usize].at;
        while position > 0 && at(self, position) < at(self, (position - 1) / 2) {
            self.swap(position, (position - 1) / 2);
            position = (position - 1) / 2;
        }
        loop {
            let children = 2 * position + 1..(2 * position + 3).min(self.heap.len());
            let Some(least) = children.min_by_key(|&child| at(self, child)) else { return };
            if at(self, position) <= at(self, least) {
                return;
            }
            self.swap(position, least);
            position = least;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for position in [one, other] {
            self.entries[self.heap[position] as usize].position = position as u32;
        }
    }
}

/// No position: the alarm is not set, or nobody has the place.
const ABSENT: u32 = u32::MAX;
const FREE: u32 = u32::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::task::Wake;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use proptest::prelude::*;

    /// Remembers that it was woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_many_needed_is_given_back_though_one_stays() {
        let (mut table, waker) = (Table::default(), Waker::noop());
        let mut places = [None; 1000];
        for place in &mut places {
            table.set(place, Instant::EPOCH, waker);
        }
        for place in places.into_iter().skip(1).flatten() {
            table.leave(place);
        }
        let held = [table.entries.capacity(), table.heap.capacity(), table.free.capacity()];
        assert!(held.into_iter().all(|places| places < 10), "{held:?}");
        assert_eq!(table.take_due(Instant::EPOCH).len(), 1);
    }

    proptest! {
        /// Whoever is due is woken once, whoever is not is not, and whoever has left never is.
        #[test]
        fn behaves_like_a_sorted_map(script in prop::collection::vec((0..8u8, 0..20usize, 0..100u64), 0..300)) {
            let bells: Vec<Arc<Bell>> = (0..20).map(|_| Arc::default()).collect();
            let (mut table, mut places) = (Table::default(), [None; 20]);
            let mut model: BTreeMap<usize, u64> = BTreeMap::new();
            let (mut now, mut rung) = (0, [0; 20]);
            for (what, who, time) in script {
                match what {
                    0..=4 => {
                        let waker = Waker::from(bells[who].clone());
                        table.set(&mut places[who], Instant::from_nanos(now + time), &waker);
                        model.insert(who, now + time);
                    }
                    5 => {
                        if let Some(place) = places[who].take() {
                            table.leave(place);
                        }
                        model.remove(&who);
                    }
                    _ => {
                        now += time;
                        table.take_due(Instant::from_nanos(now)).into_iter().for_each(Waker::wake);
                        model.retain(|&who, at| {
                            rung[who] += usize::from(*at <= now);
                            *at > now
                        });
                    }
                }
                prop_assert_eq!(table.first(), model.values().min().map(|&at| Instant::from_nanos(at)));
                prop_assert_eq!(table.heap.len(), model.len());
                let taken = places.iter().flatten().count();
                prop_assert_eq!(table.entries.len(), taken + table.free.len());
            }
            for (bell, rung) in bells.iter().zip(rung) {
                prop_assert_eq!(bell.0.load(Ordering::SeqCst), rung);
            }
        }
    }
}
