//! A driver with nothing to do does nothing. The clock stands still and jumps to the next timer when every task waits: a
//! task that spins keeps it from jumping, and is found by its count.

mod common;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use adapter_tokio::proto_core::endpoint::{self, Runtime, Spawn};
use adapter_tokio::proto_core::wire::{Kind, Sequence};
use adapter_tokio::{Clock, CloseCode, Config, ServerHandle, Sleep, Stream, Tokio, TokioListener};
use common::{Raw, echo, frame, request, until};

/// tokio, with a count of how often its tasks were polled.
#[derive(Clone, Default)]
struct Counted {
    tokio: Tokio,
    polls: Arc<AtomicUsize>,
}

impl Runtime for Counted {
    type Stream = Stream;
    type Listener = TokioListener;
    type Socket = std::net::TcpListener;
    type Sleep = Sleep;
    type Resolving = <Tokio as Runtime>::Resolving;
    type Connecting = <Tokio as Runtime>::Connecting;

    fn clock(&self) -> Clock {
        self.tokio.clock()
    }

    fn seed(&self) -> u64 {
        self.tokio.seed()
    }

    fn sleep(&self) -> Sleep {
        self.tokio.sleep()
    }

    fn resolve(&self, address: &str) -> Self::Resolving {
        self.tokio.resolve(address)
    }

    fn bind(&self, address: SocketAddr, backlog: u32) -> io::Result<TokioListener> {
        self.tokio.bind(address, backlog)
    }

    fn adopt(&self, socket: &std::net::TcpListener) -> io::Result<TokioListener> {
        self.tokio.adopt(socket)
    }

    fn connect(&self, address: SocketAddr) -> Self::Connecting {
        self.tokio.connect(address)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Spawn<F> for Counted {
    fn spawn(&self, future: F) {
        tokio::spawn(Polls { future: Box::pin(future), polls: self.polls.clone() });
    }
}

struct Polls<F> {
    future: Pin<Box<F>>,
    polls: Arc<AtomicUsize>,
}

impl<F: Future<Output = ()>> Future for Polls<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polls = self.polls.fetch_add(1, Ordering::SeqCst);
        assert!(polls < 100_000, "a connection's task spins");
        self.future.as_mut().poll(cx)
    }
}

/// A server, and the count of its tasks' polls.
async fn counted() -> (ServerHandle, Arc<AtomicUsize>) {
    let runtime = Counted::default();
    let polls = runtime.polls.clone();
    let builder = endpoint::Server::<Counted, _>::builder(echo());
    // Nobody is given up for reading nothing here, or for not answering a CLOSE.
    let config = Config { write_stall_timeout: DAY, closing_timeout: DAY, ..Config::default() };
    let server = builder.runtime(runtime).config(config).bind("127.0.0.1:0").await.expect("a free port");
    let handle = server.handle();
    tokio::spawn(server.serve());
    (handle, polls)
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often the tasks were polled in the next hour.
async fn polls_of_an_hour(polls: &AtomicUsize) -> usize {
    let before = polls.load(Ordering::SeqCst);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    tokio::time::resume();
    polls.load(Ordering::SeqCst) - before
}

/// The same, with a peer that keeps its promise to be heard of and otherwise says nothing, nor reads.
async fn polls_of_an_hour_with(raw: &mut Raw, polls: &AtomicUsize) -> usize {
    let before = polls.load(Ordering::SeqCst);
    tokio::time::pause();
    for _ in 0..3600 / INTERVAL.as_secs() {
        tokio::time::sleep(INTERVAL).await;
        raw.send(&frame(Kind::Ping, Sequence::CONNECTION, 0, &[0; 8])).await;
    }
    tokio::time::resume();
    polls.load(Ordering::SeqCst) - before
}

/// What both sides wish by default.
const INTERVAL: Duration = Duration::from_secs(15);

/// What remains of earlier work: a timer that is not needed any more, an event of the socket.
const A_FEW: usize = 8;

/// When a timer goes off, the task that keeps the time is polled, the one that it wakes, and the first one again, which the other has
/// given a new time.
const ALARM: usize = 3;

/// What heartbeats cost in an hour. In each interval a PING comes; the timer goes off for one to be sent; and it goes off
/// too early once, because it is not set again for every byte.
const BEATS: usize = 240 * (1 + 2 * ALARM);

#[tokio::test]
async fn an_idle_connection_is_left_alone() {
    let (server, polls) = counted().await;
    let mut raw = Raw::open(server.local_addr()).await;
    let fresh = server.peers()[0].held_bytes();
    raw.send(&request(0, b"some work first")).await;
    assert!(raw.frame().await.is_some());
    let spent = polls_of_an_hour_with(&mut raw, &polls).await;
    assert!(spent <= BEATS + A_FEW, "{spent}");
    assert!(server.peers()[0].is_open());
    assert_eq!(server.peers()[0].held_bytes(), fresh);
}

#[tokio::test]
async fn an_idle_connection_without_heartbeats_is_left_alone_altogether() {
    let (server, polls) = counted().await;
    let quiet = Config { heartbeat: None, ..Config::default() };
    let mut raw = Raw::open_as(server.local_addr(), quiet).await;
    raw.send(&request(0, b"some work first")).await;
    assert!(raw.frame().await.is_some());
    assert!(polls_of_an_hour(&polls).await <= A_FEW);
    assert!(server.peers()[0].is_open());
}

#[tokio::test]
async fn a_blocked_writer_waits() {
    let (server, polls) = counted().await;
    let mut raw = Raw::open(server.local_addr()).await;
    // As many replies as may be in flight: more than the system's buffers take.
    for slot in 0..1000 {
        raw.send(&request(slot, &[1; 16_000])).await;
        // The server gets its turns, however much the system takes for it.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if server.peers()[0].held_bytes() > 2 << 20 {
            break;
        }
    }
    until(|| server.peers()[0].held_bytes() > 1 << 20).await;
    let spent = polls_of_an_hour_with(&mut raw, &polls).await;
    assert!(spent <= BEATS + A_FEW, "{spent}");
    assert!(server.peers()[0].held_bytes() > 1 << 20, "it is still blocked");
}

#[tokio::test]
async fn a_close_that_the_peer_does_not_answer_waits() {
    let (server, polls) = counted().await;
    let mut raw = Raw::open(server.local_addr()).await;
    server.peers()[0].close(CloseCode::NORMAL, Default::default());
    assert_eq!(raw.close_code().await, CloseCode::NORMAL);
    assert!(polls_of_an_hour(&polls).await <= A_FEW);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_peer_that_closed_and_takes_nothing_is_given_up() {
    use tokio::io::AsyncWriteExt;
    let (server, polls) = counted().await;
    let mut raw = Raw::open(server.local_addr()).await;
    let peer = server.peers()[0].clone();
    for slot in 0..1000 {
        raw.send(&request(slot, &[1; 16_000])).await;
        // The server gets its turns, however much the system takes for it.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if peer.held_bytes() > 2 << 20 {
            break;
        }
    }
    until(|| peer.held_bytes() > 1 << 20).await;
    raw.send(&frame(Kind::Close, Sequence::CONNECTION, CloseCode::NORMAL.0, b"")).await;
    raw.stream.shutdown().await.unwrap();
    until(|| !peer.is_open()).await;
    assert!(polls_of_an_hour(&polls).await <= A_FEW);
    assert_eq!(server.connections(), 0, "an hour is more than the time for closing");
}

#[tokio::test]
async fn a_handshake_that_waits_for_the_other_side_waits() {
    let (server, polls) = counted().await;
    let _silent = Raw::connect(server.local_addr()).await;
    until(|| server.connections() == 1).await;
    let spent = polls_of_an_hour(&polls).await;
    assert!(spent <= A_FEW, "{spent}: it was ended once, and that is all");
}

/// Both ends of every connection are in this process, so it needs more descriptors than many systems give by default.
#[cfg(unix)]
#[test]
fn a_thousand_idle_connections_are_left_alone() {
    const CONNECTIONS: usize = 1000;
    const INTERVALS: usize = 20;
    if !common::is_child_with_descriptors("a_thousand_idle_connections_are_left_alone", 4096) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (server, polls) = counted().await;
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS {
            idle.push(Raw::open(server.local_addr()).await);
        }
        until(|| server.peers().len() == CONNECTIONS).await;
        let before = polls.load(Ordering::SeqCst);
        tokio::time::pause();
        for _ in 0..INTERVALS {
            tokio::time::sleep(INTERVAL).await;
            for raw in &mut idle {
                raw.send(&frame(Kind::Ping, Sequence::CONNECTION, 0, &[0; 8])).await;
            }
        }
        tokio::time::resume();
        let spent = polls.load(Ordering::SeqCst) - before;
        assert!(spent <= CONNECTIONS * (3 * INTERVALS + A_FEW), "{spent}");
        assert_eq!(server.peers().len(), CONNECTIONS);
    });
}
