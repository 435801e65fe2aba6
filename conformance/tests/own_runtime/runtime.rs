//! A runtime of one thread: what is ready is polled, and when nothing is, the thread waits for sockets, timers and wakers.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use mio::event::Source;
use mio::{Events, Interest, Registry, Token};

/// The number of the future that is blocked on, and of the waker of the poller.
const MAIN: usize = usize::MAX;

type Task = Pin<Box<dyn Future<Output = ()>>>;
/// A task, which is not there while it is polled, and what wakes it.
type Slot = (Option<Task>, Arc<Handle>);

/// The runtime. All is on one thread, but for waking.
pub(crate) struct Reactor {
    poll: RefCell<mio::Poll>,
    registry: Registry,
    queue: Arc<Queue>,
    tasks: RefCell<BTreeMap<usize, Slot>>,
    /// Who waits for a socket: its reader and its writer.
    sockets: RefCell<BTreeMap<usize, [Option<Waker>; 2]>>,
    timers: RefCell<BTreeMap<(Instant, usize), Waker>>,
    numbers: Cell<usize>,
}

/// Who is ready to go on. It is what other threads may touch.
struct Queue {
    ready: Mutex<VecDeque<usize>>,
    waker: mio::Waker,
}

/// Wakes one task.
struct Handle {
    number: usize,
    queued: AtomicBool,
    queue: Arc<Queue>,
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.queue.push(self.number);
        }
    }
}

impl Queue {
    fn push(&self, number: usize) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.push_back(number);
        if ready.len() == 1 {
            // If the poller is gone, so is everything that could wait.
            let _ = self.waker.wake();
        }
    }

    fn pop(&self) -> Option<usize> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let queue = Queue { ready: Mutex::default(), waker: mio::Waker::new(&registry, Token(MAIN))? };
        Ok(Self {
            poll: RefCell::new(poll),
            registry,
            queue: Arc::new(queue),
            tasks: RefCell::default(),
            sockets: RefCell::default(),
            timers: RefCell::default(),
            numbers: Cell::new(0),
        })
    }

    fn number(&self) -> usize {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    pub(crate) fn spawn(&self, task: Task) {
        let handle = self.handle(self.number());
        self.queue.push(handle.number);
        self.tasks.borrow_mut().insert(handle.number, (Some(task), handle));
    }

    /// A handle whose task is in the queue, or is about to be.
    fn handle(&self, number: usize) -> Arc<Handle> {
        Arc::new(Handle { number, queued: AtomicBool::new(true), queue: self.queue.clone() })
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut main = pin!(future);
        let handle = self.handle(MAIN);
        self.queue.push(MAIN);
        loop {
            while let Some(number) = self.queue.pop() {
                if number != MAIN {
                    self.poll(number);
                    continue;
                }
                handle.queued.store(false, Ordering::Release);
                let waker = Waker::from(handle.clone());
                if let Poll::Ready(result) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return result;
                }
            }
            self.turn().expect("the poller works as long as the process lives");
        }
    }

    fn poll(&self, number: usize) {
        // A task that spawns finds the table unborrowed; one that has ended may still be woken.
        let taken = self.tasks.borrow_mut().get_mut(&number).and_then(|(task, handle)| {
            handle.queued.store(false, Ordering::Release);
            Some((task.take()?, Waker::from(handle.clone())))
        });
        let Some((mut task, waker)) = taken else { return };
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks.borrow_mut().remove(&number);
        } else if let Some((place, _)) = self.tasks.borrow_mut().get_mut(&number) {
            *place = Some(task);
        }
    }

    /// Waits until something happens, and wakes whom it concerns.
    fn turn(&self) -> io::Result<()> {
        let next = self.timers.borrow().first_key_value().map(|(&(at, _), _)| at);
        let mut events = Events::with_capacity(64);
        let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
        match self.poll.borrow_mut().poll(&mut events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => result?,
        }
        for event in &events {
            let mut sockets = self.sockets.borrow_mut();
            let Some([reader, writer]) = sockets.get_mut(&event.token().0) else { continue };
            let reader =
                reader.take_if(|_| event.is_readable() || event.is_read_closed() || event.is_error());
            let writer =
                writer.take_if(|_| event.is_writable() || event.is_write_closed() || event.is_error());
            drop(sockets);
            reader.into_iter().chain(writer).for_each(Waker::wake);
        }
        let later = self.timers.borrow_mut().split_off(&(Instant::now(), usize::MAX));
        let due = self.timers.replace(later);
        due.into_values().for_each(Waker::wake);
        Ok(())
    }

    /// Begins to watch a socket.
    pub(crate) fn register(&self, socket: &mut impl Source, interest: Interest) -> io::Result<usize> {
        let number = self.number();
        self.registry.register(socket, Token(number), interest)?;
        self.sockets.borrow_mut().insert(number, [None, None]);
        Ok(number)
    }

    pub(crate) fn deregister(&self, socket: &mut impl Source, number: usize) {
        // What cannot be deregistered is closed in a moment anyway.
        let _ = self.registry.deregister(socket);
        self.sockets.borrow_mut().remove(&number);
    }

    /// Wakes this task when the socket can be read, or written to, after it could not.
    pub(crate) fn wait_for_socket(&self, number: usize, writable: bool, cx: &Context<'_>) {
        if let Some(wakers) = self.sockets.borrow_mut().get_mut(&number) {
            wakers[usize::from(writable)] = Some(cx.waker().clone());
        }
    }

    /// Wakes this task at a time; gives what [`forget`](Self::forget) takes.
    pub(crate) fn wait_until(&self, at: Instant, cx: &Context<'_>) -> (Instant, usize) {
        let key = (at, self.number());
        self.timers.borrow_mut().insert(key, cx.waker().clone());
        key
    }

    pub(crate) fn forget(&self, key: (Instant, usize)) {
        self.timers.borrow_mut().remove(&key);
    }
}
