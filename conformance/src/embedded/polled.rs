//! A runtime whose streams and timers wake nobody: whoever polls them asks again soon. It carries the network beside a loop.

use std::future::{Ready, ready};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::task::{Context, Poll};
use std::time::Instant as Time;

use proto_core::Instant;
use proto_core::endpoint::{Listener, Runtime};
use proto_core::peer::{Clock, Io, Sleep};

/// Most that is read at once.
const READ: usize = 64 << 10;

#[derive(Clone, Debug)]
pub(super) struct Polled {
    epoch: Time,
}

impl Default for Polled {
    fn default() -> Self {
        Self { epoch: Time::now() }
    }
}

impl Runtime for Polled {
    type Stream = PolledStream;
    type Listener = PolledListener;
    type Socket = ();
    type Sleep = PolledSleep;
    type Resolving = Ready<io::Result<Vec<SocketAddr>>>;
    type Connecting = Ready<io::Result<PolledStream>>;

    fn clock(&self) -> Clock {
        let epoch = self.epoch;
        Clock::new(move || Instant::EPOCH + epoch.elapsed())
    }

    fn seed(&self) -> u64 {
        0
    }

    fn sleep(&self) -> PolledSleep {
        PolledSleep { clock: self.clock() }
    }

    fn resolve(&self, _: &str) -> Self::Resolving {
        ready(Err(ErrorKind::Unsupported.into()))
    }

    fn bind(&self, address: SocketAddr, _: u32) -> io::Result<PolledListener> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(PolledListener(listener))
    }

    fn adopt(&self, (): &()) -> io::Result<PolledListener> {
        Err(ErrorKind::Unsupported.into())
    }

    /// On this machine it takes no time: the system answers for whoever listens.
    fn connect(&self, address: SocketAddr) -> Self::Connecting {
        ready(TcpStream::connect(address).and_then(PolledStream::new))
    }
}

fn attempt<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Poll::Pending,
        result => Poll::Ready(result),
    }
}

#[derive(Debug)]
pub(super) struct PolledListener(TcpListener);

impl Listener for PolledListener {
    type Stream = PolledStream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(PolledStream, SocketAddr)>> {
        attempt(self.0.accept().and_then(|(stream, remote)| Ok((PolledStream::new(stream)?, remote))))
    }
}

#[derive(Debug)]
pub(super) struct PolledStream(TcpStream);

impl PolledStream {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }
}

impl Io for PolledStream {
    fn poll_read(
        &mut self,
        _: &mut Context<'_>,
        most: usize,
        sink: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        let mut buffer = vec![0; READ.min(most)];
        attempt(self.0.read(&mut buffer)).map_ok(|read| {
            if read > 0 {
                sink(&mut buffer[..read]);
            }
            read
        })
    }

    fn poll_read_into(&mut self, _: &mut Context<'_>, into: &mut [u8]) -> Option<Poll<io::Result<usize>>> {
        Some(attempt(self.0.read(into)))
    }

    fn poll_write(&mut self, _: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        attempt(self.0.write_vectored(chunks))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who has gone already need not be told.
        let _ = self.0.shutdown(Shutdown::Write);
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug)]
pub(super) struct PolledSleep {
    clock: Clock,
}

impl Sleep for PolledSleep {
    fn poll_until(&mut self, _: &mut Context<'_>, at: Instant) -> Poll<()> {
        if self.clock.now() >= at { Poll::Ready(()) } else { Poll::Pending }
    }
}
