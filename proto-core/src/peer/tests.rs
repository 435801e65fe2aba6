//! A driver on a transport that is a script, against a bare connection as its peer: every interleaving can be had at
//! will, and every needless wake-up is seen.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::{Future, pending};
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::error::{CloseReason, Delivery};
use crate::wire::{CloseCode, CloseInfo, Extensions, StatusCode};
use crate::{Config, Connection, Event, Instant, Message, RequestId, Role, SharedConfig};

/// What the transport does, to be set from outside.
#[derive(Default)]
struct Script {
    input: VecDeque<Vec<u8>>,
    output: Vec<u8>,
    end_of_input: bool,
    shutdown_waits: bool,
    /// Runs once, after input was lent and before the driver gets on: what another thread may do at that moment.
    after_read: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone, Default)]
struct Transport(Arc<Mutex<Script>>);

impl Transport {
    fn script<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

impl Io for Transport {
    fn poll_read(&mut self, _: &mut Context<'_>, sink: &mut dyn FnMut(&mut [u8])) -> Poll<io::Result<usize>> {
        let (input, end) = self.script(|script| (script.input.pop_front(), script.end_of_input));
        match input {
            Some(mut bytes) => {
                sink(&mut bytes);
                if let Some(meanwhile) = self.script(|script| script.after_read.take()) {
                    meanwhile();
                }
                Poll::Ready(Ok(bytes.len()))
            }
            None if end => Poll::Ready(Ok(0)),
            None => Poll::Pending,
        }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.script(|script| {
            let before = script.output.len();
            chunks.iter().for_each(|chunk| script.output.extend_from_slice(chunk));
            Poll::Ready(Ok(script.output.len() - before))
        })
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.script(|script| script.shutdown_waits) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

struct Never;

impl Sleep for Never {
    fn poll_until(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A driver, the peer at the other end of its transport, and the waker of the task that it runs in.
struct Rig<H: Handler> {
    driver: Driver<Transport, Never, H>,
    transport: Transport,
    far: Connection,
    woken: Arc<Woken>,
}

const NOW: Instant = Instant::EPOCH;

impl<H: Handler> Rig<H> {
    /// The handshake is over, and the peer takes this many calls at a time.
    fn open(handler: H, slots: u32) -> Self {
        let config = SharedConfig::default();
        let theirs = Config { call_slots: slots, ..Config::default() }.share().unwrap();
        let transport = Transport::default();
        let clock = Clock::new(|| NOW);
        let driver = Driver::new(
            &config,
            Role::Dialer,
            (0, None),
            &clock,
            transport.clone(),
            Never,
            Arc::new(handler),
        );
        let far = Connection::new(&theirs, Role::Acceptor, NOW);
        let mut rig = Self { driver, transport, far, woken: Arc::default() };
        assert!(rig.turn().is_pending());
        rig.far.accept(NOW);
        assert!(rig.turn().is_pending());
        assert!(rig.peer().is_open());
        rig
    }

    fn peer(&self) -> Peer {
        self.driver.peer().clone()
    }

    fn drive(&mut self) -> Poll<CloseReason> {
        let waker = Waker::from(self.woken.clone());
        Pin::new(&mut self.driver).poll(&mut Context::from_waker(&waker))
    }

    /// The peer gets what there is, and the driver what the peer says.
    fn exchange(&mut self) {
        let mut output = self.transport.script(|script| core::mem::take(&mut script.output));
        self.far.handle_input(NOW, &mut output);
        let bytes: Vec<u8> = self.far.transmit().flatten().copied().collect();
        self.far.advance_transmit(NOW, bytes.len());
        if !bytes.is_empty() {
            self.transport.script(|script| script.input.push_back(bytes));
        }
    }

    fn turn(&mut self) -> Poll<CloseReason> {
        self.exchange();
        let polled = self.drive();
        self.exchange();
        polled
    }

    /// The requests that have reached the peer.
    fn requests(&mut self) -> Vec<(RequestId, Message)> {
        let mut requests = Vec::new();
        while let Some(event) = self.far.poll_event() {
            if let Event::Request { id, message, .. } = event {
                requests.push((id, message));
            }
        }
        requests
    }

    /// The peer answers everything with what it was asked.
    fn echo(&mut self) {
        for (id, message) in self.requests() {
            self.far.reply(NOW, id, StatusCode::OK, Extensions::none(), message.body).unwrap();
        }
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn body(polled: Poll<Result<Reply, CallError>>) -> Bytes {
    match polled {
        Poll::Ready(Ok(reply)) => reply.body,
        other => panic!("no reply, but {other:?}"),
    }
}

#[test]
fn a_reply_goes_to_its_own_caller_though_its_slot_was_taken_again_before_it_was_sorted() {
    let mut rig = Rig::open(NoHandler, 1);
    let mut first = Box::pin(rig.peer().call(1, "first"));
    let second = Arc::new(Mutex::new(Box::pin(rig.peer().call(1, "second"))));
    assert!(poll(first.as_mut()).is_pending());
    assert!(rig.turn().is_pending());
    rig.echo();
    // The reply has freed the slot, and nobody has been told yet: at this moment the next call comes.
    let late = second.clone();
    rig.transport.script(|script| {
        script.after_read = Some(Box::new(move || assert!(poll(late.lock().unwrap().as_mut()).is_pending())));
    });
    assert!(rig.turn().is_pending());
    assert_eq!(body(poll(first.as_mut())), "first");
    rig.echo();
    assert!(rig.turn().is_pending());
    assert_eq!(body(poll(second.lock().unwrap().as_mut())), "second");
}

#[test]
fn a_task_that_polls_a_watch_again_and_again_keeps_one_place() {
    let rig = Rig::open(NoHandler, 1);
    let peer = rig.peer();
    let watchers = || peer.shared().lock().watchers.len();
    {
        let mut closed = pin!(peer.closed());
        for _ in 0..1000 {
            // A waker of another task each time, as when the future moves from one to another.
            let waker = Waker::from(Arc::new(Woken::default()));
            assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(watchers(), 1);
    }
    for _ in 0..1000 {
        assert!(poll(pin!(peer.closed())).is_pending());
    }
    assert_eq!(watchers(), 0);
}

#[test]
fn whoever_waits_for_room_hears_of_the_end_when_it_begins() {
    let mut rig = Rig::open(NoHandler, 1);
    let peer = rig.peer();
    let mut accepted = pin!(peer.call(1, "accepted"));
    let mut in_line = pin!(peer.call(1, "in line"));
    assert!(poll(accepted.as_mut()).is_pending() && poll(in_line.as_mut()).is_pending());
    assert!(rig.turn().is_pending());
    while peer.push(1, vec![0; 1 << 20]).is_ok() {}
    let mut room = pin!(peer.pushed(1, vec![0; 1 << 20]));
    assert!(poll(room.as_mut()).is_pending());

    peer.close(CloseCode::NORMAL, CloseInfo::default());
    let mut latecomer = pin!(peer.call(1, "too late"));
    let _ = poll(latecomer.as_mut());
    assert!(rig.drive().is_pending());
    let lost = CallError::Lost { delivery: Delivery::NotSent, reason: CloseReason::Local(CloseCode::NORMAL) };
    assert_eq!(poll(in_line.as_mut()), Poll::Ready(Err(lost.clone())));
    assert_eq!(poll(latecomer.as_mut()), Poll::Ready(Err(lost)));
    assert!(matches!(poll(room.as_mut()), Poll::Ready(Err(_))));
    assert!(poll(accepted.as_mut()).is_pending(), "its reply may still come");
}

#[test]
fn a_shutdown_that_has_to_wait_does_not_keep_the_driver_busy() {
    let mut rig = Rig::open(NoHandler, 1);
    rig.transport.script(|script| script.shutdown_waits = true);
    rig.peer().close(CloseCode::NORMAL, CloseInfo::default());
    let before = rig.woken.0.load(Ordering::SeqCst);
    assert!(rig.drive().is_pending());
    assert_eq!(rig.woken.0.load(Ordering::SeqCst), before, "it woke itself with nothing to do");
}

#[test]
fn handlers_that_panic_when_they_are_dropped_do_not_keep_the_end_from_coming() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let told = Arc::new(AtomicUsize::new(0));
    let hears = told.clone();
    let handler = on_request(|_, _| {
        let bomb = Bomb;
        async move {
            let _bomb = bomb;
            pending().await
        }
    })
    .on_close(move |_, _| {
        hears.fetch_add(1, Ordering::SeqCst);
    });
    let mut rig = Rig::open(handler, 1);
    for _ in 0..3 {
        rig.far.call(NOW, Message::new(1, ""), crate::Timeout::Never).unwrap();
    }
    assert!(rig.turn().is_pending());
    rig.peer().abort(CloseCode::INTERNAL);
    assert_eq!(rig.drive(), Poll::Ready(CloseReason::Local(CloseCode::INTERNAL)));
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn a_driver_that_is_dropped_tells_whoever_waits() {
    let rig = Rig::open(NoHandler, 1);
    let peer = rig.peer();
    let mut accepted = pin!(peer.call(1, "accepted"));
    let mut in_line = pin!(peer.call(1, "in line").timeout(Duration::from_secs(1)));
    let mut closed = pin!(peer.closed());
    assert!(poll(accepted.as_mut()).is_pending() && poll(in_line.as_mut()).is_pending());
    assert!(poll(closed.as_mut()).is_pending());
    drop(rig);
    for call in [accepted, in_line] {
        assert!(matches!(poll(call), Poll::Ready(Err(CallError::Lost { delivery: Delivery::NotSent, .. }))));
    }
    assert!(poll(closed.as_mut()).is_ready());
}

#[test]
fn an_idle_connection_holds_nothing_beside_itself() {
    let mut rig = Rig::open(NoHandler, 4);
    let peer = rig.peer();
    let mut calls: Vec<_> = (0..8).map(|_| Box::pin(peer.call(1, vec![1; 5000]))).collect();
    while !calls.is_empty() {
        calls.retain_mut(|call| poll(call.as_mut()).is_pending());
        assert!(rig.turn().is_pending());
        rig.echo();
        assert!(rig.turn().is_pending());
    }
    assert_eq!(peer.held_bytes(), 0);
}
