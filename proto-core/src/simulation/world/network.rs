//! Addresses, listeners and streams, which are two pipes each.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::net::SocketAddr;
use core::task::{Context, Poll, Waker};
use std::io::{self, ErrorKind, IoSlice};

use super::World;
use super::executor::Timer;
use crate::endpoint::{Listener, Runtime};
use crate::error::TransportError;
use crate::peer::{Io, Sleep};
use crate::simulation::pipe::{CutKind, Pipe, PipeConfig, Read};
use crate::time::Instant;

/// Most that one read lends.
const READ: usize = 64 << 10;

#[derive(Default)]
pub(super) struct Network {
    config: RefCell<PipeConfig>,
    listeners: RefCell<BTreeMap<SocketAddr, Backlog>>,
    links: RefCell<Vec<Weak<Link>>>,
    /// The last port that was chosen for somebody.
    port: Cell<u16>,
}

/// Connections that nobody has accepted, and who waits for one.
#[derive(Default)]
struct Backlog {
    waiting: VecDeque<(VirtualStream, SocketAddr)>,
    acceptor: Option<Waker>,
}

/// Both directions: what the opener writes, and what it reads.
struct Link([RefCell<Half>; 2]);

struct Half {
    pipe: Pipe,
    reader: Option<Waker>,
    /// The reader has an alarm for what is under way, and need not hear of what follows that.
    expects: bool,
    writer: Option<Waker>,
}

impl Half {
    /// Something has happened to the pipe itself.
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    /// Something more is under way.
    fn wake_reader(&mut self) {
        if !self.expects {
            self.reader.take().into_iter().for_each(Waker::wake);
        }
    }

    /// There is room.
    fn wake_writer(&mut self) {
        self.writer.take().into_iter().for_each(Waker::wake);
    }
}

impl Network {
    pub(super) fn set_config(&self, config: PipeConfig) {
        self.config.replace(config);
    }

    pub(super) fn cut_all(&self, kind: CutKind) {
        for link in self.links.take().iter().filter_map(Weak::upgrade) {
            for half in &link.0 {
                let mut half = half.borrow_mut();
                half.pipe.cut(kind);
                half.wake();
            }
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.links.borrow().iter().filter(|link| link.strong_count() > 0).count()
    }

    fn choose_port(&self) -> u16 {
        let port = self.port.get().checked_add(1).filter(|&port| port > 49_151).unwrap_or(49_152);
        self.port.set(port);
        port
    }
}

/// Takes connections in virtual time.
pub struct VirtualListener {
    world: World,
    local: SocketAddr,
}

impl VirtualListener {
    pub(super) fn bind(world: &World, mut address: SocketAddr) -> io::Result<Self> {
        let network = &world.0.network;
        let mut listeners = network.listeners.borrow_mut();
        if address.port() == 0 {
            while listeners.contains_key(&address) || address.port() == 0 {
                address.set_port(network.choose_port());
            }
        }
        if listeners.contains_key(&address) {
            return Err(ErrorKind::AddrInUse.into());
        }
        listeners.insert(address, Backlog::default());
        Ok(Self { world: world.clone(), local: address })
    }
}

impl Listener for VirtualListener {
    type Stream = VirtualStream;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(VirtualStream, SocketAddr)>> {
        let mut listeners = self.world.0.network.listeners.borrow_mut();
        let Some(backlog) = listeners.get_mut(&self.local) else { return Poll::Pending };
        match backlog.waiting.pop_front() {
            Some(accepted) => Poll::Ready(Ok(accepted)),
            None => {
                backlog.acceptor = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for VirtualListener {
    fn drop(&mut self) {
        let backlog = self.world.0.network.listeners.borrow_mut().remove(&self.local);
        drop(backlog);
    }
}

impl fmt::Debug for VirtualListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtualListener").field(&self.local).finish()
    }
}

/// One end of a connection in virtual time.
pub struct VirtualStream {
    link: Rc<Link>,
    /// Which of the link's halves it writes to.
    writes: usize,
    timer: Timer,
    write_timer: Timer,
}

impl VirtualStream {
    pub(super) fn connect(world: &World, address: SocketAddr) -> io::Result<Self> {
        let network = &world.0.network;
        let mut listeners = network.listeners.borrow_mut();
        let backlog = listeners.get_mut(&address).ok_or(ErrorKind::ConnectionRefused)?;
        let half = || {
            let pipe = Pipe::new(network.config.borrow().clone(), world.seed());
            RefCell::new(Half { pipe, reader: None, expects: false, writer: None })
        };
        let link = Rc::new(Link([half(), half()]));
        let end = |writes| Self {
            link: link.clone(),
            writes,
            timer: Timer::new(world),
            write_timer: Timer::new(world),
        };
        let local = SocketAddr::new(address.ip(), network.choose_port());
        backlog.waiting.push_back((end(1), local));
        let acceptor = backlog.acceptor.take();
        let mut links = network.links.borrow_mut();
        links.retain(|link| link.strong_count() > 0);
        links.push(Rc::downgrade(&link));
        drop((listeners, links));
        acceptor.into_iter().for_each(Waker::wake);
        Ok(end(0))
    }

    fn now(&self) -> Instant {
        self.timer.now()
    }

    fn poll_some(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Vec<u8>>> {
        let now = self.now();
        let mut half = self.link.0[1 - self.writes].borrow_mut();
        match half.pipe.read_up_to(now, most).map_err(error)? {
            Read::Bytes(bytes) => {
                half.wake_writer();
                Poll::Ready(Ok(bytes))
            }
            Read::Eof => Poll::Ready(Ok(Vec::new())),
            Read::Pending => {
                half.reader = Some(cx.waker().clone());
                let next = half.pipe.next_arrival(now);
                half.expects = next.is_some();
                drop(half);
                if let Some(at) = next {
                    let _ = self.timer.poll_until(cx, at);
                }
                Poll::Pending
            }
        }
    }
}

impl Io for VirtualStream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        sink: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        self.poll_some(cx, most.min(READ)).map_ok(|mut bytes| {
            if !bytes.is_empty() {
                sink(&mut bytes);
            }
            bytes.len()
        })
    }

    fn poll_read_into(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Option<Poll<io::Result<usize>>> {
        Some(self.poll_some(cx, into.len()).map_ok(|bytes| {
            into[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let now = self.now();
        let mut half = self.link.0[self.writes].borrow_mut();
        let mut written = 0;
        for chunk in chunks {
            let taken = half.pipe.write(now, chunk).map_err(error)?;
            written += taken;
            if taken < chunk.len() {
                break;
            }
        }
        if written > 0 {
            half.wake_reader();
            return Poll::Ready(Ok(written));
        }
        half.writer = Some(cx.waker().clone());
        // Room comes with what the reader takes, and otherwise with a cut whose time is known.
        let next = half.pipe.next_arrival(now);
        drop(half);
        if let Some(at) = next {
            let _ = self.write_timer.poll_until(cx, at);
        }
        Poll::Pending
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = self.now();
        let mut half = self.link.0[self.writes].borrow_mut();
        half.pipe.shut_down(now);
        half.wake_reader();
        Poll::Ready(Ok(()))
    }
}

impl Drop for VirtualStream {
    fn drop(&mut self) {
        let now = self.now();
        let mut written = self.link.0[self.writes].borrow_mut();
        written.pipe.shut_down(now);
        written.wake_reader();
        let mut read = self.link.0[1 - self.writes].borrow_mut();
        read.pipe.close_reader();
        read.wake();
    }
}

impl fmt::Debug for VirtualStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let under_way = |half: usize| self.link.0[half].borrow().pipe.under_way();
        f.debug_struct("VirtualStream")
            .field("unread", &under_way(1 - self.writes))
            .field("written", &under_way(self.writes))
            .finish_non_exhaustive()
    }
}

fn error(error: TransportError) -> io::Error {
    let kind = match error {
        TransportError::Reset => ErrorKind::ConnectionReset,
        _ => ErrorKind::BrokenPipe,
    };
    kind.into()
}
