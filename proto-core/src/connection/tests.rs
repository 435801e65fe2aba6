//! What a connection owes its peer and its application, clause by clause.
//!
//! [`Bench`] is one connection against a peer that is made of bytes: such a peer can break every rule. [`Pair`] is two
//! connections with nothing between them.

mod body_space;
mod bounds;
mod calls;
mod cancel;
mod cancelled;
mod close;
mod close_races;
mod credit;
mod deadlines;
mod drain;
mod errors;
mod foreign;
mod fragments;
mod fragments_sent;
mod frames;
mod handshake;
mod handshake_faults;
mod hostile;
mod lanes;
mod layered;
mod life;
mod liveness;
mod progress;
mod raw;

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use self::raw::{Frame, id, parse, stream};
use super::{Connection, Role};
use crate::config::{Config, SharedConfig};
use crate::error::CloseReason;
use crate::event::{Event, Message, Outcome, PushToken, RequestId};
use crate::time::Instant;
use crate::wire::{Capabilities, CloseCode, Kind, PREFACE, StatusCode};

const BOTH: [Role; 2] = [Role::Acceptor, Role::Dialer];
const SECOND: Duration = Duration::from_secs(1);

/// The smallest configuration, so that every limit is near: one message of 1,024 bytes uses up a window.
fn smallest() -> Config {
    Config {
        max_frame: 4096,
        max_message: 1024,
        call_slots: 2,
        request_window: 1088,
        push_window: 1088,
        ..Config::default()
    }
}

/// A side that has announced nothing beyond the least that every endpoint does.
fn plain() -> Config {
    Config { capabilities: Capabilities::default(), heartbeat: None, ..Config::default() }
}

/// Commits one frame at a time, and takes frames of 4,096 bytes, so that a message of 10,000 bytes goes in three.
fn in_pieces() -> Config {
    Config { commit_limit: 1, max_frame: 4096, ..Config::default() }
}

/// A connection under test, and its peer's bytes.
#[derive(Debug)]
struct Bench {
    connection: Connection,
    role: Role,
    now: Instant,
    /// The connection's preface has been seen.
    greeted: bool,
}

impl Bench {
    /// A connection whose peer has not said anything.
    fn handshaking(role: Role, config: &SharedConfig) -> Self {
        let now = Instant::EPOCH + SECOND;
        Self { connection: Connection::new(config, role, now, 1), role, now, greeted: false }
    }

    /// An acceptor that has its peer's HELLO and whose application has not decided.
    fn deciding(config: &SharedConfig) -> Self {
        let mut bench = Self::handshaking(Role::Acceptor, config);
        bench.feed(&[&PREFACE[..], &Frame::example(Kind::Hello).bytes()].concat());
        assert!(matches!(bench.events()[..], [Event::Hello(_)]));
        bench
    }

    /// An open connection whose peer allows what `Config::default` allows.
    fn open(role: Role, config: Config) -> Self {
        // A peer without heartbeats: what time does is what a test makes it do.
        Self::open_with(role, config, &Config { heartbeat: None, ..Config::default() })
    }

    /// An open connection whose peer allows what `peer` says.
    fn open_with(role: Role, config: Config, peer: &Config) -> Self {
        let mut bench = Self::handshaking(role, &config.share().unwrap());
        let kind = if role == Role::Acceptor { Kind::Hello } else { Kind::Welcome };
        bench.feed(&[&PREFACE[..], &Frame::hello(kind, &peer.hello()).bytes()].concat());
        bench.connection.accept(bench.now);
        assert_eq!(bench.frames().len(), 1);
        assert!(matches!(bench.events().last(), Some(Event::Open(_))));
        bench
    }

    /// What the connection holds once it has given back what it keeps for later.
    fn rested(&mut self) -> usize {
        self.connection.shrink();
        self.connection.held_bytes()
    }

    /// The peer's bytes, in one piece.
    fn feed(&mut self, bytes: &[u8]) {
        self.connection.handle_input(self.now, &mut bytes.to_vec());
    }

    fn take(&mut self, frame: &Frame) {
        self.feed(&frame.bytes());
    }

    /// The peer sends this frame with a payload of `length` bytes, none of which may be stored.
    #[track_caller]
    fn overrun(&mut self, frame: Frame, length: u32) {
        let held = self.connection.held_bytes();
        self.take(&frame.announcing(length));
        self.feed(&vec![0; length as usize]);
        // What an open connection holds beside may go with it.
        let grown = self.connection.held_bytes().saturating_sub(held);
        assert!(grown < 800, "{grown} bytes were stored");
    }

    /// What has its place in the byte stream now, as frames, all of which is written: with a `commit_limit` of 1, one.
    fn committed(&mut self) -> Vec<Frame> {
        let bytes: Vec<u8> = self.connection.transmit().flatten().copied().collect();
        self.connection.advance_transmit(self.now, bytes.len());
        parse(&bytes)
    }

    /// What the connection has to send, as bytes, all of which is written.
    fn written(&mut self) -> Vec<u8> {
        let mut written = Vec::new();
        while self.connection.transmit_len() > 0 {
            let bytes: Vec<u8> = self.connection.transmit().flatten().copied().collect();
            assert_eq!(bytes.len(), self.connection.transmit_len());
            self.connection.advance_transmit(self.now, bytes.len());
            written.extend(bytes);
        }
        written
    }

    /// The same as frames, behind the preface.
    fn frames(&mut self) -> Vec<Frame> {
        let bytes = self.written();
        if self.greeted || bytes.is_empty() {
            return parse(&bytes);
        }
        self.greeted = true;
        parse(bytes.strip_prefix(&PREFACE).expect("the preface comes first"))
    }

    fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.connection.poll_event()).collect()
    }

    /// The one event that there is.
    #[track_caller]
    fn event(&mut self) -> Event {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    /// The peer's request that the application gets.
    #[track_caller]
    fn request(&mut self) -> RequestId {
        match self.event() {
            Event::Request { id, .. } => id,
            other => panic!("{other:?} in place of a request"),
        }
    }

    #[track_caller]
    fn push_token(&mut self) -> PushToken {
        match self.event() {
            Event::Push { token, .. } => token,
            other => panic!("{other:?} in place of a push"),
        }
    }

    fn answer(&mut self, id: RequestId, body: &[u8]) {
        let body = Bytes::copy_from_slice(body);
        assert_eq!(
            self.connection.reply(self.now, id, StatusCode::OK, crate::wire::Extensions::none(), body),
            Ok(())
        );
    }

    /// Calls with a body and for ever; gives the id on the wire.
    #[track_caller]
    fn call(&mut self, body: &[u8]) -> crate::CallId {
        let message = Message::new(7, Bytes::copy_from_slice(body));
        self.connection.call(self.now, message, crate::Timeout::Never).unwrap()
    }

    /// Time passes, and the connection is told.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }

    /// The peer has been told `code` and nothing else; nothing that it says matters any more; and the application
    /// hears of it last.
    #[track_caller]
    fn assert_failed(mut self, code: CloseCode, what: &str) {
        let mut sent = self.frames();
        if !sent.is_empty() && self.role == Role::Dialer && sent[0].kind() == Kind::Hello {
            sent.remove(0);
        }
        assert_eq!(sent, [Frame::close(code)], "{what}");
        self.take(&Frame::ping(1));
        self.take(&Frame::close(CloseCode::NORMAL));
        assert_eq!(self.frames(), [], "{what}: the connection went on");
        self.connection.handle_eof(self.now);
        match self.events().pop() {
            Some(Event::Closed(reason @ (CloseReason::Protocol(_) | CloseReason::TimedOut(_)))) => {
                assert_eq!(reason.code(), Some(code), "{what}");
            }
            other => panic!("{what}: {other:?} in place of the error"),
        }
    }

    /// Nothing is wrong: the peer gets an answer.
    #[track_caller]
    fn assert_open(&mut self, what: &str) {
        assert!(self.connection.is_open(), "{what}: {:?}", self.connection.close_reason());
    }

    /// Ends with the stream, and gives what the application was told.
    #[track_caller]
    fn end(mut self) -> CloseReason {
        self.connection.handle_eof(self.now);
        match self.events().pop() {
            Some(Event::Closed(reason)) => reason,
            other => panic!("{other:?} in place of the end"),
        }
    }
}

/// Two connections: the dialer first.
#[derive(Debug)]
struct Pair {
    dialer: Bench,
    acceptor: Bench,
}

impl Pair {
    fn open(dialer: Config, acceptor: Config) -> Self {
        let mut pair = Self {
            dialer: Bench::handshaking(Role::Dialer, &dialer.share().unwrap()),
            acceptor: Bench::handshaking(Role::Acceptor, &acceptor.share().unwrap()),
        };
        pair.carry();
        pair.acceptor.connection.accept(pair.acceptor.now);
        pair.carry();
        assert_eq!((pair.dialer.events().len(), pair.acceptor.events().len()), (1, 2));
        (pair.dialer.greeted, pair.acceptor.greeted) = (true, true);
        pair
    }

    /// What one has to send, the other gets, until both are silent.
    fn carry(&mut self) {
        loop {
            let (one, two) = (self.dialer.written(), self.acceptor.written());
            if one.is_empty() && two.is_empty() {
                return;
            }
            self.acceptor.feed(&one);
            self.dialer.feed(&two);
        }
    }

    /// Both streams end.
    fn end(self) -> (CloseReason, CloseReason) {
        (self.dialer.end(), self.acceptor.end())
    }
}

/// How calls ended, in order; other events are left out.
fn outcomes(events: &[Event]) -> Vec<&Outcome> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Ended { outcome, .. } => Some(outcome),
            _ => None,
        })
        .collect()
}

fn kinds(frames: &[Frame]) -> Vec<Kind> {
    frames.iter().map(Frame::kind).collect()
}
