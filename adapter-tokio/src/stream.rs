//! tokio's TCP stream and timer, as the driver wants them.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proto_core::Instant;
use proto_core::peer::Io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP connection.
#[derive(Debug)]
pub struct Stream(TcpStream);

impl Stream {
    /// Takes over a connection that was made by other means, and sets its options.
    ///
    /// # Errors
    /// If the connection has ended already.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        adapter_kit::configure(&stream)?;
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
            let mut buffer = ReadBuf::new(buffer);
            // After a read that does not fill the buffer, tokio knows that there is nothing more.
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
            let read = buffer.filled_mut();
            if !read.is_empty() {
                sink(read);
            }
            Poll::Ready(Ok(read.len()))
        })
    }

    fn read_now(&mut self, most: usize, sink: &mut dyn FnMut(&mut [u8])) -> Option<Poll<io::Result<usize>>> {
        Some(adapter_kit::read_now(&self.0, most, sink))
    }

    fn poll_read_into(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Option<Poll<io::Result<usize>>> {
        let mut into = ReadBuf::new(into);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut into);
        Some(read.map_ok(|()| into.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.0);
        // One chunk, as nearly all are, goes a shorter way through the system.
        if let [chunk] = chunks {
            stream.poll_write(cx, chunk)
        } else {
            stream.poll_write_vectored(cx, chunks)
        }
    }

    fn limit_stalls(&mut self, longest: Duration) {
        adapter_kit::limit_stalls(&self.0, longest);
    }

    fn limit_receive_buffer(&mut self, most: u32) {
        adapter_kit::limit_receive_buffer(&self.0, most);
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A timer that is made when it is first needed, and set again only when its time changes.
#[derive(Debug)]
pub struct Sleep {
    epoch: tokio::time::Instant,
    timer: Option<(Instant, Pin<Box<tokio::time::Sleep>>)>,
}

impl Sleep {
    pub(crate) const fn new(epoch: tokio::time::Instant) -> Self {
        Self { epoch, timer: None }
    }
}

impl proto_core::peer::Sleep for Sleep {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let epoch = self.epoch;
        // tokio clamps what lies too far ahead: nobody waits that long.
        let when = || epoch + at.saturating_since(Instant::EPOCH).min(FAR_AHEAD);
        let (armed, timer) =
            self.timer.get_or_insert_with(|| (at, Box::pin(tokio::time::sleep_until(when()))));
        if *armed != at {
            timer.as_mut().reset(when());
            *armed = at;
        }
        // A task that has used up its budget would not have the timer set, and the driver does not ask again.
        pin!(tokio::task::unconstrained(timer.as_mut())).poll(cx)
    }

    fn wake_soon(&mut self, cx: &mut Context<'_>) {
        // A task that wakes itself has 60 more turns before whoever blocks on a future has one.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
    }
}

/// A hundred years: more than that overflows the clocks of some systems.
const FAR_AHEAD: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
