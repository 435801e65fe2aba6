//! The network: what the dialer connects to stands between it and the acceptor, on streams of the runtime that is tried.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use proto_core::bytes::Buf;
use proto_core::endpoint::{Listener, Runtime};
use proto_core::peer::{Io, Sleep};
use proto_core::{Bytes, Instant, Role};

use super::faults::Faults;
use super::nursery::{Nursery, pause};
use crate::other;
use crate::scenario::{Path, Scenario, Trouble};

/// Most that is read at once.
const READ: usize = 64 << 10;

/// Takes connections and carries them to where the acceptor is, for ever.
pub(crate) struct Relay<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) listener: R::Listener,
    pub(crate) scenario: Rc<Scenario>,
    pub(crate) faults: Rc<Faults>,
    /// Where the acceptor is at present.
    pub(crate) acceptor: Rc<Cell<SocketAddr>>,
}

impl<R: Runtime> Relay<R> {
    pub(crate) async fn run(mut self) {
        let lines = Nursery::default();
        let accept = async {
            loop {
                let Ok((dialer, _)) = poll_fn(|cx| self.listener.poll_accept(cx)).await else {
                    pause().await;
                    continue;
                };
                let reached = self.runtime.connect(self.acceptor.get());
                let (runtime, scenario, faults) =
                    (self.runtime.clone(), self.scenario.clone(), self.faults.clone());
                lines.spawn(async move {
                    // Where nobody listens, the dialer finds its connection closed.
                    if let Ok(acceptor) = reached.await {
                        Line::new(&runtime, dialer, acceptor, scenario, faults).await;
                    }
                });
            }
        };
        lines.run(accept).await;
    }
}

/// One connection: two streams, and what is on its way from each to the other.
struct Line<R: Runtime> {
    runtime: R,
    sleep: R::Sleep,
    scenario: Rc<Scenario>,
    faults: Rc<Faults>,
    /// By the role of the side that they lead to; `None` when they are closed.
    streams: [Option<R::Stream>; 2],
    ways: [Way; 2],
    /// How many of the faults that have come it knows.
    seen: usize,
}

/// One direction.
#[derive(Default)]
struct Way {
    pieces: VecDeque<(Instant, Bytes)>,
    held: usize,
    /// Nothing more is read: the source has ended, and this is where its end stands.
    ended: bool,
    /// The end has been passed on, or nothing more can be.
    over: bool,
}

impl<R: Runtime> Unpin for Line<R> {}

impl<R: Runtime> Line<R> {
    fn new(
        runtime: &R,
        dialer: R::Stream,
        acceptor: R::Stream,
        scenario: Rc<Scenario>,
        faults: Rc<Faults>,
    ) -> Self {
        let (runtime, sleep) = (runtime.clone(), runtime.sleep());
        let mut streams = [None, None];
        streams[Role::Dialer as usize] = Some(dialer);
        streams[Role::Acceptor as usize] = Some(acceptor);
        let seen = faults.count();
        Self { runtime, sleep, scenario, faults, streams, ways: Default::default(), seen }
    }

    fn strike(&mut self, cx: &mut Context<'_>, trouble: Trouble) {
        match trouble {
            Trouble::Cut => self.cut(),
            Trouble::HalfClose(to) => {
                let way = &mut self.ways[to as usize];
                way.pieces.clear();
                (way.held, way.over) = (0, true);
                if let Some(stream) = &mut self.streams[to as usize] {
                    let _ = stream.poll_shutdown(cx);
                }
            }
            Trouble::Stall(..) => {}
        }
    }

    fn cut(&mut self) {
        self.streams = [None, None];
        for way in &mut self.ways {
            *way = Way { ended: true, over: true, ..Way::default() };
        }
    }

    /// Takes what comes from the other side of `to`. Says whether anything has changed.
    fn take(&mut self, cx: &mut Context<'_>, to: Role, now: Instant) -> bool {
        let Path { capacity, delay, .. } = *self.scenario.path_to(to);
        let (way, source) = (&mut self.ways[to as usize], &mut self.streams[other(to) as usize]);
        let room = capacity.saturating_sub(way.held);
        let Some(source) = source.as_mut().filter(|_| !way.ended && (room > 0 || way.over)) else {
            return false;
        };
        let mut bytes = vec![0; room.clamp(1, READ)];
        let read = match source.poll_read_into(cx, &mut bytes) {
            Some(read) => read.map_ok(|read| bytes.truncate(read)),
            None => source
                .poll_read(cx, usize::MAX, &mut |read| bytes = read.to_vec())
                .map_ok(|read| bytes.truncate(read)),
        };
        match read {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if bytes.is_empty() => way.ended = true,
            Poll::Ready(Ok(())) if way.over => {}
            Poll::Ready(Ok(())) => {
                way.held += bytes.len();
                way.pieces.push_back((now + delay, bytes.into()));
            }
            // What broke on one side breaks on the other.
            Poll::Ready(Err(_)) => self.cut(),
        }
        true
    }

    /// Passes on what has been under way for long enough. Says whether anything has changed.
    fn give(&mut self, cx: &mut Context<'_>, to: Role, now: Instant) -> bool {
        let piece = self.scenario.path_to(to).piece;
        let (way, target) = (&mut self.ways[to as usize], &mut self.streams[to as usize]);
        let Some(target) = target.as_mut().filter(|_| !way.over) else { return false };
        if self.faults.stalled_until(to, now).is_some() {
            return false;
        }
        let most = piece.min(self.faults.until_next(to)).max(1);
        let Some((due, bytes)) = way.pieces.front_mut() else {
            if way.ended {
                way.over = target.poll_shutdown(cx).is_ready();
            }
            return way.over;
        };
        if *due > now {
            return false;
        }
        let most = most.min(bytes.len());
        match target.poll_write(cx, &[IoSlice::new(&bytes[..most])]) {
            Poll::Pending => return false,
            Poll::Ready(Ok(written @ 1..)) => {
                bytes.advance(written);
                if bytes.is_empty() {
                    way.pieces.pop_front();
                }
                way.held -= written;
                self.faults.arrived(to, written);
            }
            // Who reads no more may still have something to say.
            Poll::Ready(Ok(0) | Err(_)) => *way = Way { over: true, ended: way.ended, ..Way::default() },
        }
        true
    }

    /// When there is something to pass on that cannot be passed on now.
    fn next(&self, now: Instant) -> Option<Instant> {
        let next = |to: Role| {
            let due = self.ways[to as usize].pieces.front().map(|&(due, _)| due).filter(|&due| due > now);
            let end = &self.ways[to as usize];
            let stalled =
                self.faults.stalled_until(to, now).filter(|_| !end.over && (end.ended || end.held > 0));
            due.max(stalled)
        };
        crate::BOTH.into_iter().filter_map(next).min()
    }
}

impl<R: Runtime> Future for Line<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let line = &mut *self;
        let now = line.runtime.clock().now();
        for trouble in line.faults.since(&mut line.seen, now) {
            line.strike(cx, trouble);
        }
        let mut moved = false;
        for to in crate::BOTH {
            moved |= line.take(cx, to, now);
            moved |= line.give(cx, to, now);
        }
        if line.ways.iter().all(|way| way.ended && way.over) {
            return Poll::Ready(());
        }
        // Others first, so that one piece is not joined with the next.
        if moved || line.next(now).is_some_and(|at| line.sleep.poll_until(cx, at).is_ready()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Says something to the acceptor that no peer would say, and stays as long as it is allowed to.
pub(crate) async fn stranger<R: Runtime>(runtime: R, acceptor: SocketAddr, bytes: Vec<u8>) {
    let talk = async {
        let mut stream = runtime.connect(acceptor).await?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(rest)])).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => rest = &rest[written..],
            }
        }
        while poll_fn(|cx| stream.poll_read(cx, usize::MAX, &mut |_: &mut [u8]| {})).await? > 0 {}
        io::Result::Ok(())
    };
    // It is told what it is told.
    let _ = talk.await;
}
