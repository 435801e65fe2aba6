//! Accepting, so that no connection is lost when the task that asks for the next one stops asking.
//!
//! An accept that glommio has under way cannot be given up: the connection that it may just have taken would be lost,
//! with its descriptor. So one task accepts, one connection at a time and only when somebody wants one, and is never cancelled:
//! it ends when the socket is shut down.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener as Listening};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use glommio::net::TcpListener;
use glommio::timer::Timer;
use proto_core::endpoint::Listener;
use socket2::SockRef;

use super::{Stream, descriptor};

/// A listening TCP socket. It belongs to the executor on which it was made.
#[derive(Debug)]
pub struct GlommioListener {
    desk: Rc<Desk>,
    /// Another descriptor of the socket, to shut it down by.
    listening: Listening,
}

type Accepted = io::Result<(Stream, SocketAddr)>;

/// Where the task that accepts and the one that asks meet.
#[derive(Debug, Default)]
struct Desk {
    closed: Cell<bool>,
    /// Who asks for a connection, and has not got it.
    asking: RefCell<Option<Waker>>,
    accepted: RefCell<Option<Accepted>>,
    accepting: RefCell<Option<Waker>>,
}

impl Desk {
    /// Waits until somebody wants a connection; `false` when nobody ever will again.
    fn poll_wanted(&self, cx: &Context<'_>) -> Poll<bool> {
        if self.closed.get() {
            return Poll::Ready(false);
        }
        if self.asking.borrow().is_some() && self.accepted.borrow().is_none() {
            return Poll::Ready(true);
        }
        self.accepting.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

fn wake(waiting: &RefCell<Option<Waker>>) {
    let waker = waiting.borrow_mut().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl GlommioListener {
    pub(crate) fn new(listening: Listening) -> io::Result<Self> {
        let listener = descriptor::adopt(listening.try_clone()?);
        let desk = Rc::new(Desk::default());
        glommio::spawn_local(accept(listener, desk.clone())).detach();
        Ok(Self { desk, listening })
    }
}

async fn accept(listener: TcpListener, desk: Rc<Desk>) {
    while poll_fn(|cx| desk.poll_wanted(cx)).await {
        let accepted = listener.accept().await.map_err(io::Error::from);
        if accepted.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            // A shared socket must not block, and some systems do not wait for it.
            Timer::new(Duration::from_millis(5)).await;
            continue;
        }
        let accepted = accepted.and_then(|stream| {
            // A connection that has gone before it was looked at says nothing about the listener.
            let gone = |_| io::Error::from(ErrorKind::ConnectionAborted);
            let remote = stream.peer_addr().map_err(|error| gone(error.into()))?;
            Ok((Stream::new(stream).map_err(gone)?, remote))
        });
        desk.accepted.replace(Some(accepted));
        wake(&desk.asking);
    }
}

impl Listener for GlommioListener {
    type Stream = Stream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listening.local_addr()
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Accepted> {
        let accepted = self.desk.accepted.borrow_mut().take();
        if let Some(accepted) = accepted {
            self.desk.asking.take();
            return Poll::Ready(accepted);
        }
        self.desk.asking.replace(Some(cx.waker().clone()));
        wake(&self.desk.accepting);
        Poll::Pending
    }
}

impl Drop for GlommioListener {
    fn drop(&mut self) {
        self.desk.closed.set(true);
        // It fails only if the socket has ended already.
        let _ = SockRef::from(&self.listening).shutdown(Shutdown::Both);
        wake(&self.desk.accepting);
    }
}
