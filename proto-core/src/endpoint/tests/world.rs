//! A runtime in virtual time: streams in memory that break when told to, timers, and tasks that run one after the other.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::{Future, Ready, ready};
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Mutex, MutexGuard};

use crate::endpoint::{Listener, Runtime, Spawn};
use crate::peer::{Clock, Io, Sleep};
use crate::time::Instant;

/// The only address there is.
pub(super) const ADDRESS: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7000);

/// A handle on everything.
#[derive(Clone)]
pub(super) struct World(Arc<Shared>);

struct Shared {
    nanos: AtomicU64,
    seed: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    timers: Vec<(Instant, Waker)>,
    tasks: Vec<Task>,
    spawned: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether somebody listens.
    listening: bool,
    /// The other ends of streams that were opened and not taken.
    incoming: VecDeque<Stream>,
    /// Every pair of pipes that was made.
    pipes: Vec<Link>,
    /// The next streams break when so many bytes have gone through.
    fragile: Option<usize>,
    dials: usize,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    woken: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let (nanos, seed) = (AtomicU64::new(0), AtomicU64::new(seed));
        Self(Arc::new(Shared { nanos, seed, state: Mutex::default() }))
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.0.nanos.load(Ordering::SeqCst))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(super) fn listen(&self, listening: bool) {
        self.state().listening = listening;
    }

    /// The next streams break when so many bytes have gone through them.
    pub(super) fn break_next_after(&self, bytes: Option<usize>) {
        self.state().fragile = bytes;
    }

    /// Breaks all streams that there are.
    pub(super) fn break_all(&self) {
        let links = core::mem::take(&mut self.state().pipes);
        links.iter().for_each(Link::break_off);
    }

    /// How often somebody dialled.
    pub(super) fn dials(&self) -> usize {
        self.state().dials
    }

    pub(super) fn take_incoming(&self) -> Option<Stream> {
        self.state().incoming.pop_front()
    }

    /// Lets everything happen that can happen now. `between` is asked after each round.
    pub(super) fn settle(&self, mut between: impl FnMut()) {
        for _ in 0..100_000 {
            let mut tasks = {
                let mut state = self.state();
                let spawned = core::mem::take(&mut state.spawned);
                let fresh = || Arc::new(Flag(AtomicBool::new(true)));
                state.tasks.extend(spawned.into_iter().map(|future| Task { future, woken: fresh() }));
                core::mem::take(&mut state.tasks)
            };
            let mut polled = false;
            tasks.retain_mut(|task| {
                if !task.woken.0.swap(false, Ordering::SeqCst) {
                    return true;
                }
                polled = true;
                let waker = Waker::from(task.woken.clone());
                task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            });
            self.state().tasks.append(&mut tasks);
            between();
            if !polled && self.state().spawned.is_empty() {
                return;
            }
        }
        panic!("the tasks never come to rest");
    }

    /// Lets time pass, with all that happens in it.
    pub(super) fn pass(&self, duration: Duration, mut between: impl FnMut()) {
        let end = self.now() + duration;
        loop {
            self.settle(&mut between);
            let next = self.state().timers.iter().map(|&(at, _)| at).min().filter(|&at| at <= end);
            let now = next.unwrap_or(end).max(self.now());
            self.0.nanos.store(now.as_nanos(), Ordering::SeqCst);
            if next.is_none() {
                return;
            }
            let due: Vec<Waker> = {
                let mut state = self.state();
                let (due, rest) =
                    core::mem::take(&mut state.timers).into_iter().partition(|&(at, _)| at <= now);
                state.timers = rest;
                due.into_iter().map(|(_, waker)| waker).collect()
            };
            due.into_iter().for_each(Waker::wake);
        }
    }
}

impl Runtime for World {
    type Stream = Stream;
    type Listener = Nobody;
    type Socket = ();
    type Sleep = Timer;
    type Resolving = Ready<io::Result<Vec<SocketAddr>>>;
    type Connecting = Ready<io::Result<Stream>>;

    fn clock(&self) -> Clock {
        let world = self.clone();
        Clock::new(move || world.now())
    }

    fn seed(&self) -> u64 {
        self.0.seed.fetch_add(1, Ordering::SeqCst)
    }

    fn sleep(&self) -> Timer {
        Timer(self.clone())
    }

    fn resolve(&self, _: &str) -> Self::Resolving {
        ready(Ok(alloc::vec![ADDRESS]))
    }

    fn bind(&self, _: SocketAddr, _: u32) -> io::Result<Nobody> {
        Err(ErrorKind::Unsupported.into())
    }

    fn adopt(&self, (): &()) -> io::Result<Self::Listener> {
        Err(ErrorKind::Unsupported.into())
    }

    fn connect(&self, _: SocketAddr) -> Self::Connecting {
        let mut state = self.state();
        state.dials += 1;
        if !state.listening {
            return ready(Err(ErrorKind::ConnectionRefused.into()));
        }
        let link = Link { left: Arc::new(Mutex::new(state.fragile)), ..Link::default() };
        state.pipes.push(link.clone());
        let turned = Link { there: link.back.clone(), back: link.there.clone(), left: link.left.clone() };
        state.incoming.push_back(Stream(turned));
        ready(Ok(Stream(link)))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Spawn<F> for World {
    fn spawn(&self, future: F) {
        self.state().spawned.push(Box::pin(future));
    }
}

pub(super) struct Timer(World);

impl Sleep for Timer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if self.0.now() >= at {
            return Poll::Ready(());
        }
        let mut state = self.0.state();
        state.timers.retain(|(_, waker)| !waker.will_wake(cx.waker()));
        state.timers.push((at, cx.waker().clone()));
        Poll::Pending
    }
}

/// Nothing listens by itself here: the test takes what comes.
pub(super) struct Nobody;

impl Listener for Nobody {
    type Stream = Stream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(ADDRESS)
    }

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        Poll::Pending
    }
}

/// Two pipes.
#[derive(Clone, Default)]
struct Link {
    there: Arc<Mutex<Pipe>>,
    back: Arc<Mutex<Pipe>>,
    /// Bytes until both break.
    left: Arc<Mutex<Option<usize>>>,
}

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    ended: bool,
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Link {
    fn break_off(&self) {
        for pipe in [&self.there, &self.back] {
            let mut pipe = pipe.lock().unwrap();
            pipe.broken = true;
            pipe.bytes.clear();
            let wakers = [pipe.reader.take(), pipe.writer.take()];
            drop(pipe);
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
    }
}

/// One end of a link. It writes to `there` and reads from `back`.
pub(super) struct Stream(Link);

impl Io for Stream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        let (mut bytes, writer) = {
            let mut pipe = self.0.back.lock().unwrap();
            if pipe.broken {
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            if pipe.bytes.is_empty() {
                if pipe.ended {
                    return Poll::Ready(Ok(0));
                }
                pipe.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            (Vec::from(core::mem::take(&mut pipe.bytes)), pipe.writer.take())
        };
        writer.into_iter().for_each(Waker::wake);
        sink(&mut bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        const ROOM: usize = 4096;
        let (written, reader) = {
            let mut pipe = self.0.there.lock().unwrap();
            if pipe.broken {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
            let left = self.0.left.lock().unwrap().unwrap_or(usize::MAX);
            let room = (ROOM - pipe.bytes.len()).min(left);
            if room == 0 && left > 0 {
                pipe.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let bytes: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.iter().copied()).take(room).collect();
            pipe.bytes.extend(&bytes);
            (bytes.len(), pipe.reader.take())
        };
        reader.into_iter().for_each(Waker::wake);
        let mut left = self.0.left.lock().unwrap();
        let breaks = left.as_mut().is_some_and(|left| {
            *left -= written;
            *left == 0
        });
        drop(left);
        if breaks {
            self.0.break_off();
        }
        if written == 0 { Poll::Ready(Err(ErrorKind::BrokenPipe.into())) } else { Poll::Ready(Ok(written)) }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.there.lock().unwrap();
        pipe.ended = true;
        let reader = pipe.reader.take();
        drop(pipe);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.poll_shutdown(&mut Context::from_waker(Waker::noop()));
        self.0.back.lock().unwrap().broken = true;
        let writer = self.0.back.lock().unwrap().writer.take();
        writer.into_iter().for_each(Waker::wake);
    }
}
