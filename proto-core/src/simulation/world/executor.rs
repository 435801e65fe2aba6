//! Tasks that take turns, and time that moves when none of them can go on.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::task::Wake;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, PoisonError};

use super::World;
use crate::peer::Sleep;
use crate::time::Instant;

/// The number of the future that is blocked on; tasks are numbered from 1.
const MAIN: u64 = 0;

#[derive(Default)]
pub(super) struct Executor {
    tasks: RefCell<BTreeMap<u64, Task>>,
    spawned: Cell<u64>,
    polls: Cell<u64>,
    ready: Arc<Ready>,
    alarms: RefCell<BTreeMap<(Instant, u64), Waker>>,
    alarms_set: Cell<u64>,
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    /// `None` while it is polled.
    future: Option<Boxed>,
    flag: Arc<Flag>,
}

/// Who has been woken, in order.
#[derive(Default)]
struct Ready(Mutex<VecDeque<u64>>);

impl Ready {
    fn push(&self, number: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(number);
    }

    fn pop(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Wakes one task, which is in the queue at most once.
struct Flag {
    number: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.push(self.number);
        }
    }
}

impl Executor {
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let number = self.spawned.get() + 1;
        self.spawned.set(number);
        let flag = self.flag(number);
        self.tasks.borrow_mut().insert(number, Task { future: Some(Box::pin(future)), flag });
    }

    /// Drops all tasks, and those that they spawn while they are dropped.
    pub(super) fn end(&self) {
        loop {
            let tasks = self.tasks.take();
            if tasks.is_empty() {
                return;
            }
            drop(tasks);
        }
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    pub(super) fn polls(&self) -> u64 {
        self.polls.get()
    }

    pub(super) fn block_on<T>(&self, world: &World, future: impl Future<Output = T>) -> T {
        let mut main = pin!(future);
        let flag = self.flag(MAIN);
        let waker = Waker::from(flag.clone());
        loop {
            while let Some(number) = self.ready.pop() {
                self.polls.set(self.polls.get() + 1);
                if number != MAIN {
                    self.poll(number);
                    continue;
                }
                flag.queued.store(false, Ordering::Relaxed);
                if let Poll::Ready(result) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return result;
                }
            }
            let due = {
                let mut alarms = self.alarms.borrow_mut();
                let Some((&(at, _), _)) = alarms.first_key_value() else {
                    panic!("nothing can happen any more, and the future has not ended");
                };
                let rest = alarms.split_off(&(at, u64::MAX));
                world.advance_to(at);
                mem::replace(&mut *alarms, rest)
            };
            due.into_values().for_each(Waker::wake);
        }
    }

    /// A flag that is up: who has it is polled at once.
    fn flag(&self, number: u64) -> Arc<Flag> {
        self.ready.push(number);
        Arc::new(Flag { number, queued: AtomicBool::new(true), ready: self.ready.clone() })
    }

    fn poll(&self, number: u64) {
        // A task that has ended may be woken. Nothing is borrowed while one runs, since it may spawn.
        let taken = self.tasks.borrow_mut().get_mut(&number).and_then(|task| {
            task.flag.queued.store(false, Ordering::Relaxed);
            Some((task.future.take()?, Waker::from(task.flag.clone())))
        });
        let Some((mut future, waker)) = taken else { return };
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            if let Some(task) = self.tasks.borrow_mut().get_mut(&number) {
                task.future = Some(future);
            }
        } else {
            self.tasks.borrow_mut().remove(&number);
            drop(future);
        }
    }

    pub(super) fn set_alarm(&self, at: Instant, waker: &Waker) -> (Instant, u64) {
        let key = (at, self.alarms_set.get());
        self.alarms_set.set(key.1 + 1);
        self.alarms.borrow_mut().insert(key, waker.clone());
        key
    }

    pub(super) fn clear_alarm(&self, key: (Instant, u64)) {
        let waker = self.alarms.borrow_mut().remove(&key);
        drop(waker);
    }
}

/// A timer in virtual time.
pub struct Timer {
    world: World,
    /// When it is ready, if it is used as a future.
    at: Instant,
    alarm: Option<(Instant, u64)>,
}

impl Timer {
    pub(super) fn new(world: &World) -> Self {
        Self::until(world, Instant::EPOCH)
    }

    pub(super) fn until(world: &World, at: Instant) -> Self {
        Self { world: world.clone(), at, alarm: None }
    }

    pub(super) fn now(&self) -> Instant {
        self.world.now()
    }

    fn disarm(&mut self) {
        if let Some(key) = self.alarm.take() {
            self.world.0.executor.clear_alarm(key);
        }
    }
}

impl Sleep for Timer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.disarm();
        if self.world.now() >= at {
            return Poll::Ready(());
        }
        self.alarm = Some(self.world.0.executor.set_alarm(at, cx.waker()));
        Poll::Pending
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        self.poll_until(cx, at)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("alarm", &self.alarm.map(|(at, _)| at)).finish_non_exhaustive()
    }
}
