//! A runtime that is watched: the same one, with a count of what drivers ask of it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proto_core::Instant;
use proto_core::endpoint::{Listener, Runtime, Spawn};
use proto_core::peer::{Clock, Io, Sleep};

use crate::trace::Work;

/// A runtime with a watch on its streams and timers.
#[derive(Clone, Debug)]
pub struct Observed<R> {
    inner: R,
    watch: Watch,
}

/// What has been counted. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    reads: AtomicU64,
    moves: AtomicU64,
    parts: AtomicUsize,
}

impl Watch {
    /// What drivers have done so far.
    pub fn work(&self) -> Work {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Work { reads: count(&self.0.reads), moves: count(&self.0.moves) }
    }

    /// How many streams, timers and listeners there are.
    pub fn parts(&self) -> usize {
        self.0.parts.load(Ordering::Relaxed)
    }

    fn part(&self) -> Part {
        self.0.parts.fetch_add(1, Ordering::Relaxed);
        Part(self.clone())
    }
}

/// Something that is there until it is dropped.
#[derive(Debug)]
struct Part(Watch);

impl Drop for Part {
    fn drop(&mut self) {
        self.0.0.parts.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<R> Observed<R> {
    /// Watches a runtime.
    pub const fn new(inner: R, watch: Watch) -> Self {
        Self { inner, watch }
    }
}

impl<R: Runtime> Runtime for Observed<R> {
    type Stream = ObservedStream<R::Stream>;
    type Listener = ObservedListener<R::Listener>;
    type Socket = R::Socket;
    type Sleep = ObservedSleep<R::Sleep>;
    type Resolving = R::Resolving;
    type Connecting = ObservedConnecting<R::Connecting>;

    fn clock(&self) -> Clock {
        self.inner.clock()
    }

    fn seed(&self) -> u64 {
        self.inner.seed()
    }

    fn sleep(&self) -> Self::Sleep {
        ObservedSleep { inner: self.inner.sleep(), _part: self.watch.part() }
    }

    fn resolve(&self, address: &str) -> Self::Resolving {
        self.inner.resolve(address)
    }

    fn bind(&self, address: SocketAddr, backlog: u32) -> io::Result<Self::Listener> {
        Ok(ObservedListener { inner: self.inner.bind(address, backlog)?, part: self.watch.part() })
    }

    fn adopt(&self, socket: &Self::Socket) -> io::Result<Self::Listener> {
        Ok(ObservedListener { inner: self.inner.adopt(socket)?, part: self.watch.part() })
    }

    fn connect(&self, address: SocketAddr) -> Self::Connecting {
        ObservedConnecting { inner: self.inner.connect(address), watch: self.watch.clone() }
    }
}

impl<R: Spawn<F>, F> Spawn<F> for Observed<R> {
    fn spawn(&self, future: F) {
        self.inner.spawn(future);
    }
}

/// A listener whose streams are watched.
#[derive(Debug)]
pub struct ObservedListener<L> {
    inner: L,
    part: Part,
}

impl<L: Listener> Listener for ObservedListener<L> {
    type Stream = ObservedStream<L::Stream>;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, SocketAddr)>> {
        let (stream, remote) = ready!(self.inner.poll_accept(cx))?;
        Poll::Ready(Ok((ObservedStream::new(stream, &self.part.0), remote)))
    }
}

/// A stream on its way that will be watched.
#[derive(Debug)]
pub struct ObservedConnecting<C> {
    inner: C,
    watch: Watch,
}

impl<S, C: Future<Output = io::Result<S>> + Unpin> Future for ObservedConnecting<C> {
    type Output = io::Result<ObservedStream<S>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let stream = ready!(Pin::new(&mut self.inner).poll(cx))?;
        Poll::Ready(Ok(ObservedStream::new(stream, &self.watch)))
    }
}

/// A stream that is watched.
#[derive(Debug)]
pub struct ObservedStream<S> {
    inner: S,
    part: Part,
}

impl<S> ObservedStream<S> {
    fn new(inner: S, watch: &Watch) -> Self {
        Self { inner, part: watch.part() }
    }

    fn moved(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.part.0.0.moves.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

impl<S: Io> Io for ObservedStream<S> {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        sink: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        self.part.0.0.reads.fetch_add(1, Ordering::Relaxed);
        let result = self.inner.poll_read(cx, most, sink);
        self.moved(result)
    }

    fn read_now(&mut self, most: usize, sink: &mut dyn FnMut(&mut [u8])) -> Option<Poll<io::Result<usize>>> {
        let result = self.inner.read_now(most, sink)?;
        Some(self.moved(result))
    }

    fn poll_read_into(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Option<Poll<io::Result<usize>>> {
        let result = self.inner.poll_read_into(cx, into)?;
        self.part.0.0.reads.fetch_add(1, Ordering::Relaxed);
        Some(self.moved(result))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let result = self.inner.poll_write(cx, chunks);
        self.moved(result)
    }

    fn taken(&self) -> usize {
        self.inner.taken()
    }

    fn may_have_come(&mut self) {
        self.inner.may_have_come();
    }

    fn limit_stalls(&mut self, longest: Duration) {
        self.inner.limit_stalls(longest);
    }

    fn limit_receive_buffer(&mut self, most: u32) {
        self.inner.limit_receive_buffer(most);
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(cx)
    }
}

/// A timer that is counted while it is there.
#[derive(Debug)]
pub struct ObservedSleep<S> {
    inner: S,
    _part: Part,
}

impl<S: Sleep> Sleep for ObservedSleep<S> {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.inner.poll_until(cx, at)
    }
}
