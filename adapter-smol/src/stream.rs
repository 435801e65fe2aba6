//! smol's TCP stream and timer, as the driver wants them.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem;
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant as Time};

use async_io::{Async, Timer};
use proto_core::Instant;
use proto_core::peer::Io;

/// A TCP connection.
#[derive(Debug)]
pub struct Stream {
    socket: Async<TcpStream>,
    /// There is nothing to read, as far as was seen: the reactor says when there is.
    waits: bool,
    /// The task has been woken since.
    woken: bool,
    /// The socket was asked in place of the reactor, which may have yet to say what is known by that.
    is_ahead: bool,
}

impl Stream {
    /// Takes over a connection that was made by other means, and sets its options.
    ///
    /// # Errors
    /// If the connection has ended already.
    pub fn new(stream: Async<TcpStream>) -> io::Result<Self> {
        adapter_kit::configure(stream.get_ref())?;
        Ok(Self { socket: stream, waits: false, woken: false, is_ahead: false })
    }

    /// Tries until it works, fails, or has to wait for the socket to become readable. While it waits, the socket is not asked, unless
    /// the task has been woken.
    fn read<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            let woken = mem::take(&mut self.woken);
            if self.waits && !woken {
                ready!(self.poll_readable(cx))?;
            }
            self.is_ahead |= self.waits && woken;
            self.waits = false;
            match read(self.socket.get_ref()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.waits = true,
                result => return Poll::Ready(result),
            }
        }
    }

    /// Asks the reactor. It holds an event to be older than the question if another of its threads was at work when the question was
    /// put, and wakes the task once more, which takes several times as long as to ask the socket. That is why a task that
    /// has been woken does so.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if mem::take(&mut self.is_ahead) {
            ready!(self.socket.poll_readable(cx))?;
        }
        self.socket.poll_readable(cx)
    }
}

impl Io for Stream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        sink: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        let mut is_all = false;
        let read = self.read(cx, |mut stream| {
            adapter_kit::with_read_buffer(most, |buffer| {
                let n = stream.read(buffer)?;
                if n > 0 {
                    sink(&mut buffer[..n]);
                }
                is_all = n > 0 && n < buffer.len();
                Ok(n)
            })
        });
        self.waits |= is_all;
        read
    }

    fn read_now(&mut self, most: usize, sink: &mut dyn FnMut(&mut [u8])) -> Option<Poll<io::Result<usize>>> {
        // Between two questions others have a turn, which takes long here: so each is a few of them.
        let mut read = adapter_kit::read_now(self.socket.get_ref(), most, sink);
        let since = Time::now();
        while read.is_pending() && since.elapsed() < ASKING {
            read = adapter_kit::read_now(self.socket.get_ref(), most, sink);
        }
        Some(read)
    }

    fn poll_read_into(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Option<Poll<io::Result<usize>>> {
        Some(self.read(cx, |mut stream| stream.read(into)))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let mut stream = self.socket.get_ref();
            // One chunk, as nearly all are, goes a shorter way through the system.
            let written =
                if let [chunk] = chunks { stream.write(chunk) } else { stream.write_vectored(chunks) };
            match written {
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(self.socket.poll_writable(cx))?,
                result => return Poll::Ready(result),
            }
        }
    }

    fn may_have_come(&mut self) {
        self.woken = true;
    }

    fn limit_stalls(&mut self, longest: Duration) {
        adapter_kit::limit_stalls(self.socket.get_ref(), longest);
    }

    fn limit_receive_buffer(&mut self, most: u32) {
        adapter_kit::limit_receive_buffer(self.socket.get_ref(), most);
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket.get_ref().shutdown(Shutdown::Write) {
            // The other end was faster.
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

/// A timer that is made when it is first needed, and set again only when its time changes.
#[derive(Debug)]
pub struct Sleep {
    epoch: Time,
    timer: Option<(Instant, Timer)>,
    soon: Option<Timer>,
}

impl Sleep {
    pub(crate) const fn new(epoch: Time) -> Self {
        Self { epoch, timer: None, soon: None }
    }
}

impl proto_core::peer::Sleep for Sleep {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let epoch = self.epoch;
        // What lies too far ahead is clamped: nobody waits that long.
        let when = || epoch + at.saturating_since(Instant::EPOCH).min(FAR_AHEAD);
        let (armed, timer) = self.timer.get_or_insert_with(|| (at, Timer::at(when())));
        if *armed != at {
            timer.set_at(when());
            *armed = at;
        }
        let ready = Pin::new(timer).poll(cx);
        if ready.is_ready() {
            // One that has gone off never does so again.
            self.timer = None;
        }
        ready.map(drop)
    }

    fn wake_soon(&mut self, cx: &mut Context<'_>) {
        // A task that wakes itself has 199 more turns before the system is asked or whoever blocks on a future has one.
        let timer = self.soon.insert(Timer::after(Duration::ZERO));
        if Pin::new(timer).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

/// How long to ask a socket for more before others have a turn.
const ASKING: Duration = Duration::from_micros(15);
/// A hundred years: more than that overflows the clocks of some systems.
const FAR_AHEAD: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::task::{Wake, Waker};
    use std::thread::{self, Thread};

    use super::*;

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// No thread blocks on a future here, so that the reactor's own thread is at work in it all the time.
    #[test]
    fn a_task_that_was_woken_finds_what_it_was_woken_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut near = Stream::new(Async::new(listener.accept().unwrap().0).unwrap()).unwrap();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let cx = &mut Context::from_waker(&waker);
        for number in 0..100 {
            let mut came = Vec::new();
            assert!(near.poll_read(cx, 100, &mut |read| came.extend_from_slice(read)).is_pending());
            far.write_all(&[number]).unwrap();
            thread::park_timeout(Duration::from_secs(10));
            while near.socket.get_ref().peek(&mut [0]).is_err() {
                thread::yield_now();
            }
            near.may_have_come();
            let read = near.poll_read(cx, 100, &mut |read| came.extend_from_slice(read));
            assert!(matches!(read, Poll::Ready(Ok(1))), "at {number}: {read:?}");
            assert_eq!(came, [number]);
        }
    }
}
