//! The adapter: what Longwire wants of a runtime, and nothing else.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant as Time};

use mio::Interest;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use proto_core::Instant;
use proto_core::endpoint::{Listener, Runtime, Spawn};
use proto_core::peer::{self, Clock, Io};

use super::runtime::Reactor;

/// A handle of the runtime.
#[derive(Clone)]
pub(crate) struct Own {
    reactor: Rc<Reactor>,
    epoch: Time,
}

impl Own {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { reactor: Rc::new(Reactor::new()?), epoch: Time::now() })
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        &self.reactor
    }
}

impl Runtime for Own {
    type Stream = Stream;
    type Listener = OwnListener;
    type Socket = ();
    type Sleep = Sleep;
    type Resolving = std::future::Ready<io::Result<Vec<SocketAddr>>>;
    type Connecting = Pin<Box<dyn Future<Output = io::Result<Stream>>>>;

    fn clock(&self) -> Clock {
        let epoch = self.epoch;
        Clock::new(move || Instant::EPOCH + epoch.elapsed())
    }

    fn seed(&self) -> u64 {
        adapter_kit::seed()
    }

    fn sleep(&self) -> Sleep {
        Sleep { own: self.clone(), armed: None }
    }

    fn resolve(&self, address: &str) -> Self::Resolving {
        // It waits for the system. A runtime with more than one thread would ask on another one.
        std::future::ready(address.to_socket_addrs().map(Iterator::collect))
    }

    fn bind(&self, address: SocketAddr, backlog: u32) -> io::Result<OwnListener> {
        let socket = TcpListener::from_std(adapter_kit::listen(address, backlog)?);
        Ok(OwnListener { socket: Watched::new(&self.reactor, socket, Interest::READABLE)? })
    }

    fn adopt(&self, (): &()) -> io::Result<OwnListener> {
        Err(ErrorKind::Unsupported.into())
    }

    fn connect(&self, address: SocketAddr) -> Self::Connecting {
        let reactor = self.reactor.clone();
        Box::pin(async move {
            let stream = Stream::new(&reactor, TcpStream::connect(address)?)?;
            // It can be written to once connecting has come to an end, good or bad.
            std::future::poll_fn(|cx| stream.poll_connected(cx)).await?;
            Ok(stream)
        })
    }
}

/// All is on one thread, so that nothing is asked of what is spawned.
impl<F: Future + 'static> Spawn<F> for Own {
    fn spawn(&self, future: F) {
        self.reactor.spawn(Box::pin(async { drop(future.await) }));
    }
}

/// A socket that is watched for as long as it lives.
struct Watched<S: Source> {
    socket: S,
    number: usize,
    reactor: Rc<Reactor>,
}

impl<S: Source> Watched<S> {
    fn new(reactor: &Rc<Reactor>, mut socket: S, interest: Interest) -> io::Result<Self> {
        let number = reactor.register(&mut socket, interest)?;
        Ok(Self { socket, number, reactor: reactor.clone() })
    }

    /// Tries, and waits only if there is nothing to be had: whoever is told to wait has seen the end of what there is.
    fn attempt<T>(
        &self,
        cx: &Context<'_>,
        writable: bool,
        mut attempt: impl FnMut(&S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match attempt(&self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.reactor.wait_for_socket(self.number, writable, cx);
                    return Poll::Pending;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl<S: Source> Drop for Watched<S> {
    fn drop(&mut self) {
        self.reactor.deregister(&mut self.socket, self.number);
    }
}

pub(crate) struct OwnListener {
    socket: Watched<TcpListener>,
}

impl Listener for OwnListener {
    type Stream = Stream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.socket.local_addr()
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        let (stream, remote) = ready!(self.socket.attempt(cx, false, TcpListener::accept))?;
        Poll::Ready(Stream::new(&self.socket.reactor, stream).map(|stream| (stream, remote)))
    }
}

pub(crate) struct Stream(Watched<TcpStream>);

impl Stream {
    fn new(reactor: &Rc<Reactor>, stream: TcpStream) -> io::Result<Self> {
        adapter_kit::configure(&stream)?;
        Watched::new(reactor, stream, Interest::READABLE | Interest::WRITABLE).map(Self)
    }

    fn poll_connected(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.0.attempt(cx, true, |stream| {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            match stream.peer_addr() {
                Err(error) if error.kind() == ErrorKind::NotConnected => Err(ErrorKind::WouldBlock.into()),
                result => result.map(drop),
            }
        })
    }
}

impl Io for Stream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        sink: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        self.0.attempt(cx, false, |mut stream| {
            adapter_kit::with_read_buffer(most, |buffer| {
                let read = stream.read(buffer)?;
                if read > 0 {
                    sink(&mut buffer[..read]);
                }
                Ok(read)
            })
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.attempt(cx, true, |mut stream| stream.write_vectored(chunks))
    }

    fn limit_stalls(&mut self, longest: Duration) {
        adapter_kit::limit_stalls(&self.0.socket, longest);
    }

    fn limit_receive_buffer(&mut self, most: u32) {
        adapter_kit::limit_receive_buffer(&self.0.socket, most);
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.socket.shutdown(Shutdown::Write) {
            // The other end was faster.
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

/// A timer that can be set again and again.
pub(crate) struct Sleep {
    own: Own,
    armed: Option<(Time, usize)>,
}

impl Sleep {
    fn disarm(&mut self) {
        if let Some(key) = self.armed.take() {
            self.own.reactor.forget(key);
        }
    }
}

impl peer::Sleep for Sleep {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        // Another time, or another task: what was set before is of no use.
        self.disarm();
        let when = self.own.epoch + at.saturating_since(Instant::EPOCH).min(FAR_AHEAD);
        if Time::now() >= when {
            return Poll::Ready(());
        }
        self.armed = Some(self.own.reactor.wait_until(when, cx));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// More than that overflows the clocks of some systems.
const FAR_AHEAD: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
