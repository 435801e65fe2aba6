//! A driver on a transport that is a script, against a bare connection as its peer: every interleaving can be had at
//! will, time passes when a test says so, and every needless wake-up is seen.

mod asking;
mod bounds;
mod calls;
mod cancelling;
#[cfg(feature = "endpoint")]
mod clients;
mod draining;
mod endings;
mod handlers;
mod shown;
mod timers;
mod transport;
#[cfg(all(feature = "endpoint", feature = "simulation"))]
mod undated;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::error::CloseReason;
use crate::wire::{Extensions, StatusCode};
use crate::{Config, Connection, Event, Instant, Message, RequestId, Role};

/// What the transport does, to be set from outside.
#[derive(Default)]
struct Script {
    input: VecDeque<Vec<u8>>,
    output: Vec<u8>,
    end_of_input: bool,
    reads: usize,
    writes: usize,
    /// How often it was told that it may have woken the task.
    may_have_come: usize,
    /// Whether it can be asked what is there now, and how often it has been.
    reads_now: bool,
    asked: usize,
    /// Whether it can read into memory of the connection, and how many bytes it has read so.
    reads_into: bool,
    read_into: usize,
    writing: Writing,
    /// Bytes in the output that have not been reported as written.
    taken: usize,
    shutdown_waits: bool,
    /// The limits that it was told.
    longest_stall: Option<Duration>,
    receive_buffer: Option<u32>,
    /// Runs once, after input was lent and before the driver gets on: what another thread may do at that moment.
    after_read: Option<Box<dyn FnOnce() + Send>>,
    /// Runs once, when a write fails: what has arrived by then and was not read.
    at_write_error: Option<AtWriteError>,
}

type AtWriteError = Box<dyn FnOnce(&mut Script) + Send>;

/// How writes go.
#[derive(Clone, Copy, Default)]
enum Writing {
    /// At once.
    #[default]
    AtOnce,
    /// This many bytes are copied, and are not reported as written yet.
    Owning(usize),
    Failing(io::ErrorKind),
}

#[derive(Clone, Default)]
struct Transport(Arc<Mutex<Script>>);

impl Transport {
    fn script<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

impl Io for Transport {
    fn poll_read(
        &mut self,
        _: &mut Context<'_>,
        most: usize,
        sink: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        let (input, end) = self.script(|script| {
            script.reads += 1;
            (script.input.pop_front(), script.end_of_input)
        });
        match input {
            Some(mut bytes) => {
                let rest = bytes.split_off(bytes.len().min(most));
                if !rest.is_empty() {
                    self.script(|script| script.input.push_front(rest));
                }
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

    fn read_now(&mut self, most: usize, sink: &mut dyn FnMut(&mut [u8])) -> Option<Poll<io::Result<usize>>> {
        let can = self.script(|script| {
            script.asked += usize::from(script.reads_now);
            script.reads_now
        });
        can.then(|| {
            let read = self.poll_read(&mut Context::from_waker(Waker::noop()), most, sink);
            self.script(|script| script.reads -= 1);
            read
        })
    }

    fn poll_read_into(&mut self, _: &mut Context<'_>, into: &mut [u8]) -> Option<Poll<io::Result<usize>>> {
        self.script(|script| {
            if !script.reads_into {
                return None;
            }
            script.reads += 1;
            let Some(mut bytes) = script.input.pop_front() else {
                return Some(if script.end_of_input { Poll::Ready(Ok(0)) } else { Poll::Pending });
            };
            let length = bytes.len().min(into.len());
            let rest = bytes.split_off(length);
            into[..length].copy_from_slice(&bytes);
            if !rest.is_empty() {
                script.input.push_front(rest);
            }
            script.read_into += length;
            Some(Poll::Ready(Ok(length)))
        })
    }

    fn poll_write(&mut self, _: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.script(|script| {
            script.writes += 1;
            let most = match script.writing {
                Writing::AtOnce => usize::MAX,
                Writing::Owning(most) => most,
                Writing::Failing(error) => {
                    if let Some(meanwhile) = script.at_write_error.take() {
                        meanwhile(script);
                    }
                    return Poll::Ready(Err(error.into()));
                }
            };
            if script.taken == 0 {
                let before = script.output.len();
                script.output.extend(chunks.iter().flat_map(|chunk| chunk.iter()).take(most));
                script.taken = script.output.len() - before;
            }
            match script.writing {
                Writing::AtOnce => Poll::Ready(Ok(core::mem::take(&mut script.taken))),
                _ => Poll::Pending,
            }
        })
    }

    fn taken(&self) -> usize {
        self.script(|script| script.taken)
    }

    fn may_have_come(&mut self) {
        self.script(|script| script.may_have_come += 1);
    }

    fn limit_stalls(&mut self, longest: Duration) {
        self.script(|script| script.longest_stall = Some(longest));
    }

    fn limit_receive_buffer(&mut self, most: u32) {
        self.script(|script| script.receive_buffer = Some(most));
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.script(|script| script.shutdown_waits) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Clone, Default)]
struct Time(Arc<AtomicU64>);

impl Time {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
    }
}

/// A timer on such a clock. It wakes nobody: a test drives the driver when it likes.
#[derive(Clone, Default)]
struct Alarm {
    time: Time,
    state: Arc<Mutex<AlarmState>>,
}

#[derive(Default)]
struct AlarmState {
    at: Option<Instant>,
    /// Whom it wakes.
    waker: Option<Waker>,
    /// How much later it goes off than it should.
    late: Duration,
    /// How often it was set to another time.
    settings: usize,
    /// How often the driver asked to be woken when everybody else had a turn.
    soon: usize,
    /// Runs once, when the driver has looked at its deadlines: what another thread may do at that moment.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
}

impl Alarm {
    fn state<T>(&self, change: impl FnOnce(&mut AlarmState) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// When it will go off, if it will.
    fn next(&self) -> Option<Instant> {
        self.state(|state| state.at).filter(|&at| at > self.time.now())
    }
}

impl Sleep for Alarm {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let meanwhile = self.state(|state| {
            state.waker = Some(cx.waker().clone());
            state.settings += usize::from(state.at != Some(at));
            state.at = Some(at);
            state.meanwhile.take()
        });
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        let late = self.state(|state| state.late);
        if self.time.now() >= at + late { Poll::Ready(()) } else { Poll::Pending }
    }

    fn wake_soon(&mut self, cx: &mut Context<'_>) {
        self.state(|state| state.soon += 1);
        cx.waker().wake_by_ref();
    }
}

/// Counts how often it was woken, or how often anything else happened.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn so_far(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.add();
    }
}

/// A driver, the peer at the other end of its transport, and the waker of the task that it runs in.
struct Rig<H: Handler> {
    driver: Driver<Transport, Alarm, H>,
    transport: Transport,
    alarm: Alarm,
    far: Connection,
    time: Time,
    woken: Arc<Count>,
}

impl<H: Handler> Rig<H> {
    /// The handshake is over, and the peer takes this many calls at a time.
    fn open(handler: H, slots: u32) -> Self {
        Self::open_with(handler, Config::default(), Config { call_slots: slots, ..Config::default() })
    }

    /// The handshake is over; `ours` is the driver's configuration.
    fn open_with(handler: H, ours: Config, theirs: Config) -> Self {
        let mut rig = Self::start(Role::Dialer, handler, ours, theirs, Time::default());
        rig.shake_hands();
        rig
    }

    /// The handshake is over, and the handler is on this clock too.
    fn open_at(time: Time, handler: H) -> Self {
        let mut rig = Self::start(Role::Dialer, handler, Config::default(), Config::default(), time);
        rig.shake_hands();
        rig
    }

    /// Nothing has been said.
    fn start(role: Role, handler: H, ours: Config, theirs: Config, time: Time) -> Self {
        let (ours, theirs) = (ours.share().unwrap(), theirs.share().unwrap());
        let transport = Transport::default();
        let alarm = Alarm { time: time.clone(), ..Alarm::default() };
        let clock = time.clone();
        let clock = Clock::new(move || clock.now());
        let driver = Driver::new(
            &ours,
            role,
            Identity { id: 0, remote: None, seed: 1 },
            &clock,
            transport.clone(),
            alarm.clone(),
            Arc::new(handler),
        );
        let other = if role == Role::Dialer { Role::Acceptor } else { Role::Dialer };
        let far = Connection::new(&theirs, other, time.now(), 2);
        Self { driver, transport, alarm, far, time, woken: Arc::default() }
    }

    fn shake_hands(&mut self) {
        assert!(self.turn().is_pending());
        self.far.accept(self.time.now());
        assert!(self.turn().is_pending());
        assert!(self.peer().is_open());
    }

    fn peer(&self) -> Peer {
        self.driver.peer().clone()
    }

    fn drive(&mut self) -> Poll<CloseReason> {
        let waker = Waker::from(self.woken.clone());
        Pin::new(&mut self.driver).poll(&mut Context::from_waker(&waker))
    }

    /// The peer gets what there is.
    fn deliver(&mut self) {
        let mut output = self.transport.script(|script| core::mem::take(&mut script.output));
        self.far.handle_input(self.time.now(), &mut output);
    }

    /// What the peer has to say.
    fn said(&mut self) -> Vec<u8> {
        let bytes: Vec<u8> = self.far.transmit().flatten().copied().collect();
        self.far.advance_transmit(self.time.now(), bytes.len());
        bytes
    }

    /// The peer gets what there is, and the driver what the peer says.
    fn exchange(&mut self) {
        self.deliver();
        let bytes = self.said();
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

    /// The requests that have reached the peer. It has dealt with pushes.
    fn requests(&mut self) -> Vec<(RequestId, Message)> {
        let mut requests = Vec::new();
        while let Some(event) = self.far.poll_event() {
            match event {
                Event::Request { id, message, .. } => requests.push((id, message)),
                Event::Push { token, .. } => self.far.release(self.time.now(), token),
                _ => {}
            }
        }
        requests
    }

    /// The peer answers everything with what it was asked.
    fn echo(&mut self) {
        for (id, message) in self.requests() {
            self.far.reply(self.time.now(), id, StatusCode::OK, Extensions::none(), message.body).unwrap();
        }
    }

    /// The peer calls, and waits for ever.
    fn ask(&mut self, calls: usize) {
        for _ in 0..calls {
            self.far.call(self.time.now(), Message::new(1, ""), crate::Timeout::Never).unwrap();
        }
    }

    /// The statuses that have reached the peer.
    fn statuses(&mut self) -> Vec<StatusCode> {
        let mut statuses = Vec::new();
        while let Some(event) = self.far.poll_event() {
            if let Event::Ended { outcome: crate::Outcome::Reply { status, .. }, .. } = event {
                statuses.push(status);
            }
        }
        statuses
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
