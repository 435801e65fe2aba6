//! glommio's TCP stream and timer, as the driver wants them.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant as Time};

use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use glommio::timer::Timer;
use proto_core::Instant;
use proto_core::peer::Io;
use socket2::SockRef;

use super::descriptor;

/// A TCP connection. It belongs to the executor on which it was made.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl Stream {
    /// Takes over a connection that was made by other means, and sets its options.
    ///
    /// # Errors
    /// If the connection has ended already.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        let descriptor = descriptor::of(&stream);
        let socket = SockRef::from(&descriptor);
        adapter_kit::configure(&descriptor)?;
        // glommio waits for readiness and asks the system itself not to block; writing several chunks must not either.
        socket.set_nonblocking(true)?;
        Ok(Self(stream))
    }
}

impl Io for Stream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        sink: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        adapter_kit::with_read_buffer(most, |buffer| {
            let read = Pin::new(&mut self.0).poll_read(cx, buffer);
            if let Poll::Ready(Ok(n)) = read
                && n > 0
            {
                sink(&mut buffer[..n]);
            }
            read
        })
    }

    fn read_now(&mut self, most: usize, sink: &mut dyn FnMut(&mut [u8])) -> Option<Poll<io::Result<usize>>> {
        Some(adapter_kit::read_now(&descriptor::of(&self.0), most, sink))
    }

    fn poll_read_into(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Option<Poll<io::Result<usize>>> {
        Some(Pin::new(&mut self.0).poll_read(cx, into))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let [first, _, ..] = chunks else {
            return Pin::new(&mut self.0).poll_write(cx, chunks.first().map_or(&[], |chunk| chunk));
        };
        // glommio writes one chunk at a time.
        loop {
            let descriptor = descriptor::of(&self.0);
            match SockRef::from(&descriptor).send_vectored(chunks) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Pin::new(&mut self.0).poll_write(cx, first);
                }
                result => return Poll::Ready(result),
            }
        }
    }

    fn limit_stalls(&mut self, longest: Duration) {
        adapter_kit::limit_stalls(&descriptor::of(&self.0), longest);
    }

    fn limit_receive_buffer(&mut self, most: u32) {
        adapter_kit::limit_receive_buffer(&descriptor::of(&self.0), most);
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_close(cx) {
            // The other end was faster.
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => result,
        }
    }
}

/// A timer that is made when it is first needed, and set again only when its time changes.
#[derive(Debug)]
pub struct Sleep {
    epoch: Time,
    timer: Option<(Instant, Timer)>,
}

impl Sleep {
    pub(crate) const fn new(epoch: Time) -> Self {
        Self { epoch, timer: None }
    }
}

impl proto_core::peer::Sleep for Sleep {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let epoch = self.epoch;
        // What lies too far ahead is clamped: nobody waits that long.
        let wait = || at.saturating_since(Instant::EPOCH + epoch.elapsed()).min(FAR_AHEAD);
        let (armed, timer) = self.timer.get_or_insert_with(|| (at, Timer::new(wait())));
        if *armed != at {
            timer.reset(wait());
            *armed = at;
        }
        Pin::new(timer).poll(cx).map(drop)
    }
}

/// A hundred years: more than that overflows the clocks of some systems.
const FAR_AHEAD: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
