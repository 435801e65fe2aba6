//! One connection: one byte stream's life, from the preface to the last CLOSE.
//!
//! [`Connection`] is a synchronous object. Bytes, times and commands go in; bytes, events and a deadline come out. It
//! opens no socket, asks for no time, waits for nothing and wakes nobody: whoever owns it does that. It is made for one
//! byte stream and never reset; reconnecting makes a new one.
//!
//! The parts: `commands` is what the application asks for, `transport` what the byte stream and the clock do.
//!
//! | module | |
//! |---|---|
//! | `receive`, `inbound`, `partial` | bytes to frames, fragments to messages |
//! | `admit`, `frames` | what a header may bring, what a whole frame does |
//! | `whole` | the short way of messages that come and go whole |
//! | `calls`, `slots`, `requests`, `credit` | the two tables and the accounts |
//! | `lanes`, `queue`, `waiting`, `commit`, `outbox`, `output` | what waits, how it gets its order, bytes in their order |
//! | `arrival`, `events`, `queries` | what waits for the application, and what a connection says when asked |
//! | `drain`, `close` | the ways to the end |
//! | `foreign` | what is different in another wire format |
//! | `layered` | a byte layer between the transport and all of this |
//! | `liveness`, `heartbeat`, `round_trip`, `progress` | whether the peer is there, how far away, and not too slow |
//! | `timers`, `deadlines` | when time matters |
//! | `counters` | what has been counted |
//! | `buffers` | memory that is lent from one to the next |

mod admit;
mod arrival;
#[cfg(feature = "peer")]
mod buffers;
mod calls;
mod close;
mod commands;
mod commit;
mod counters;
mod credit;
mod deadlines;
mod drain;
mod events;
mod foreign;
mod frames;
mod heartbeat;
mod inbound;
mod lanes;
mod layered;
mod liveness;
mod outbox;
mod output;
mod partial;
mod progress;
mod queries;
mod queue;
mod receive;
mod requests;
mod round_trip;
mod slots;
mod timers;
mod transport;
mod waiting;
mod whole;

use alloc::boxed::Box;
use core::time::Duration;

use self::calls::Calls;
use self::close::Closing;
use self::credit::{ReceiveAccount, SendAccount, Window};
use self::drain::Draining;
use self::events::Events;
use self::heartbeat::Liveness;
use self::inbound::Inbound;
use self::layered::Layered;
use self::outbox::Outbox;
use self::partial::PartialPushes;
use self::requests::Requests;
use self::timers::Timers;
use crate::config::{Config, SharedConfig};
use crate::error::CloseReason;
use crate::event::Event;
use crate::time::Instant;
use crate::wire::{
    Capabilities, CloseCode, CloseInfo, Credentials, Hello, Kind, PREFACE, PrefaceCheck, charge,
};

#[cfg(feature = "peer")]
pub(crate) use self::arrival::{Arrival, Item};
#[cfg(feature = "peer")]
pub(crate) use self::buffers::Stock;
pub use self::counters::Counters;
pub use self::output::Chunks;
pub use self::round_trip::RoundTrip;
pub use self::timers::{Deadline, Timer};
#[cfg(feature = "peer")]
pub(crate) use self::whole::ReplyTaker;

/// Which end of the byte stream this is. It matters for the handshake only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It took the stream.
    Acceptor,
    /// It opened the stream.
    Dialer,
}

/// One side of one connection.
///
/// # How to drive it
///
/// In any order, as often as you like:
///
/// - give it bytes that arrived ([`handle_input`](Self::handle_input)), the end of the stream
///   ([`handle_eof`](Self::handle_eof)) or its failure ([`handle_transport_error`](Self::handle_transport_error));
/// - write what [`transmit`](Self::transmit) lends, and say how much of it was written
///   ([`advance_transmit`](Self::advance_transmit)); when [`wants_shutdown`](Self::wants_shutdown) holds, shut down writing;
/// - take events ([`poll_event`](Self::poll_event)) until there are none;
/// - call [`handle_timeout`](Self::handle_timeout) when the time of [`poll_timeout`](Self::poll_timeout) has come;
/// - stop when [`is_closed`](Self::is_closed), and close the stream.
///
/// With sockets of the standard library: a read or a write that returns `WouldBlock` or, after a read timeout,
/// `TimedOut` is no error of the transport; a read of 0 bytes is the end of the stream; a write of 0 bytes is a broken one. With
/// feature `std`, [`TransportError`](crate::TransportError) is made from an `ErrorKind`.
///
/// No order is wrong, nothing must be drained before the next call, and calling any of them too often changes nothing.
/// `now` never moves back inside: an earlier instant than one seen before counts as that one.
///
/// ```
/// use proto_core::wire::Extensions;
/// use proto_core::{Connection, Event, Instant, Message, Outcome, Role, SharedConfig, StatusCode, Timeout};
///
/// let (config, now) = (SharedConfig::default(), Instant::EPOCH);
/// let mut dialer = Connection::new(&config, Role::Dialer, now, 1);
/// let mut acceptor = Connection::new(&config, Role::Acceptor, now, 2);
///
/// // Stands for the network: what one side has to send, the other side gets.
/// fn carry(from: &mut Connection, to: &mut Connection) {
///     let mut bytes: Vec<u8> = from.transmit().flatten().copied().collect();
///     from.advance_transmit(Instant::EPOCH, bytes.len());
///     to.handle_input(Instant::EPOCH, &mut bytes);
/// }
///
/// carry(&mut dialer, &mut acceptor);
/// assert!(matches!(acceptor.poll_event(), Some(Event::Hello(_))));
/// acceptor.accept(now);
/// carry(&mut acceptor, &mut dialer);
/// assert!(matches!(dialer.poll_event(), Some(Event::Open(Some(_)))));
///
/// let call = dialer.call(now, Message::named("echo", "hello")?, Timeout::Default)?;
/// carry(&mut dialer, &mut acceptor);
/// assert_eq!(acceptor.poll_event(), Some(Event::Open(None)));
/// let Some(Event::Request { id, message, .. }) = acceptor.poll_event() else { panic!("a request") };
/// acceptor.reply(now, id, StatusCode::OK, Extensions::none(), message.body).expect("the first reply");
/// carry(&mut acceptor, &mut dialer);
/// let Some(Event::Ended { call: ended, outcome: Outcome::Reply { body, .. } }) = dialer.poll_event() else {
///     panic!("a reply")
/// };
/// assert_eq!((ended, &body[..]), (call, &b"hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    config: SharedConfig,
    now: Instant,
    state: State,
    timers: Timers,
    inbound: Inbound,
    outbox: Outbox,
    events: Events,
    /// Our calls, and what their REQUESTs are charged by the peer.
    calls: Calls,
    request_account: SendAccount,
    push_account: SendAccount,
    /// The peer's calls, and what we charge.
    requests: Requests,
    request_window: ReceiveAccount,
    push_window: ReceiveAccount,
    /// Pushes of the peer that are arriving in fragments.
    pushes: Option<Box<PartialPushes>>,
    sending: Sending,
    layer: Option<Box<Layered>>,
    /// Until the connection has ended.
    liveness: Option<Liveness>,
    blocked: Blocked,
    counters: Counters,
}

#[derive(Debug)]
enum State {
    Handshaking { role: Role, preface: PrefaceCheck, stage: Handshake },
    Open,
    Draining(Box<Draining>),
    Closing(Box<Closing>),
    Closed(CloseReason),
}

/// What the handshake waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handshake {
    /// The peer's HELLO (acceptor) or WELCOME (dialer).
    Peer,
    /// The application's decision (acceptor).
    Decision,
}

/// How this side sends: what it keeps to, and where it stands.
#[derive(Clone, Copy, Debug, Default)]
struct Sending {
    /// The most that a message may be long.
    message: u32,
    /// The most that a frame may be long: a longer message is cut.
    frame: u32,
    /// What the peer handles, and both sides do.
    cancel: bool,
    drain: bool,
    /// The owner keeps calls that it has accepted and this connection has not.
    calls_in_line: bool,
    /// The number of the next message that is cut; of a push also the generation of its id.
    next_cut: u32,
}

impl Sending {
    fn of(peer: &Hello, config: &Config) -> Self {
        let (message, frame) = if peer.capabilities.contains(Capabilities::FRAGMENTS) {
            (peer.max_message, peer.max_frame.min(config.max_frame))
        } else {
            (peer.max_message.min(peer.max_frame), peer.max_frame)
        };
        let both = |capability| [peer.capabilities, config.capabilities].map(|own| own.contains(capability));
        let [cancel, _] = both(Capabilities::CANCEL);
        let drain = both(Capabilities::DRAIN) == [true; 2];
        Self { message, frame, cancel, drain, calls_in_line: false, next_cut: 1 }
    }
}

/// What messages have been refused for since the last `Writable`.
#[derive(Clone, Copy, Debug, Default)]
struct Blocked {
    slot: bool,
    credit: bool,
    /// What the largest of them needed in the outbox; 0 if there was room.
    outbox: u32,
}

/// Making one, and the handshake.
impl Connection {
    /// A connection on a byte stream that has just been opened. The time for the handshake starts at `now`.
    ///
    /// A dialer has its preface and HELLO to send at once. Chance, such as when the first PING is sent, comes from `seed`
    /// alone: give connections different ones.
    pub fn new(config: &SharedConfig, role: Role, now: Instant, seed: u64) -> Self {
        let mut connection = Self {
            config: config.clone(),
            now,
            state: State::Handshaking { role, preface: PrefaceCheck::default(), stage: Handshake::Peer },
            timers: Timers::default(),
            inbound: Inbound::new(),
            outbox: Outbox::new(),
            events: Events::new(),
            calls: Calls::new(),
            request_account: SendAccount::default(),
            push_account: SendAccount::default(),
            requests: Requests::new(),
            request_window: ReceiveAccount::default(),
            push_window: ReceiveAccount::default(),
            pushes: None,
            sending: Sending::default(),
            layer: config.layer.as_ref().map(|layers| Layered::new(layers.make(role, seed))),
            liveness: Some(Liveness::new(seed, now)),
            blocked: Blocked::default(),
            counters: Counters::default(),
        };
        connection.timers.set(Timer::Handshake, now, config.handshake_timeout);
        if connection.is_foreign() {
            connection.begin_foreign(role);
        } else if role == Role::Dialer {
            connection.outbox.commit_raw(&PREFACE);
            connection.commit_hello(Kind::Hello, &config.hello());
            connection.pump();
        }
        connection
    }

    /// Acceptor: lets the dialer in, after [`Event::Hello`]. Does nothing at any other time.
    pub fn accept(&mut self, now: Instant) {
        self.observe(now);
        if !self.is_waiting_for_decision() {
            return;
        }
        if self.is_foreign() {
            return self.accept_foreign();
        }
        self.outbox.commit_raw(&PREFACE);
        let mut welcome = self.config.hello();
        welcome.credentials = Credentials::default();
        self.commit_hello(Kind::Welcome, &welcome);
        self.open(None);
        self.pump();
    }

    /// Acceptor: sends the dialer away, after [`Event::Hello`]. Does nothing at any other time.
    ///
    /// The dialer is told `code` (such as [`CloseCode::REFUSED`] or [`CloseCode::BAD_CREDENTIALS`]) and `info`.
    pub fn refuse(&mut self, now: Instant, code: CloseCode, info: CloseInfo) {
        if self.is_waiting_for_decision() {
            self.close(now, code, info);
        }
    }

    /// The handshake is over.
    fn open(&mut self, welcome: Option<Box<Hello>>) {
        self.state = State::Open;
        self.timers.clear(Timer::Handshake);
        let role = if welcome.is_some() { Role::Dialer } else { Role::Acceptor };
        self.begin_heartbeats(role);
        self.limit_life();
        let held = welcome.as_deref().map_or(0, Hello::held_bytes);
        self.events.push(Event::Open(welcome), held);
    }

    /// How many bytes of the peer's requests, and of its pushes, this side takes.
    fn windows(&self) -> [Window; 2] {
        [self.request_window(), self.push_window()]
    }

    fn request_window(&self) -> Window {
        Window { size: self.config.request_window, largest: charge(self.config.max_message as usize) }
    }

    fn push_window(&self) -> Window {
        Window { size: self.config.push_window, largest: charge(self.config.max_message as usize) }
    }

    /// Time moves on, never back.
    pub(crate) fn observe(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    const fn is_waiting_for_decision(&self) -> bool {
        matches!(self.state, State::Handshaking { stage: Handshake::Decision, .. })
    }
}

/// How long ago `earlier` was, in whole microseconds; as much as fits.
fn micros_since(now: Instant, earlier: Instant) -> u32 {
    let elapsed: Duration = now.saturating_since(earlier);
    u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
