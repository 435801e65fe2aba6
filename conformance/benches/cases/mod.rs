//! What the core is measured by: one operation each, on connections that have been in use for a while.
//!
//! Nothing here is idle work for the sake of a number: every message has a deadline and is charged, as it is by default.

use std::hint::black_box;
use std::time::Duration;

use proto_core::wire::{Extensions, Flags, Header, HeaderView, Kind, Sequence};
use proto_core::{
    Bytes, CallId, Config, Connection, Event, Instant, Message, Outcome, Role, StatusCode, Timeout,
};

/// Bytes of a body.
pub(crate) const SIZE: usize = 64;
/// Messages that share one write.
pub(crate) const BATCH: usize = 128;

/// Something to measure.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How many operations are done at once.
    pub(crate) batch: usize,
    /// Makes what does them.
    pub(crate) make: fn() -> Box<dyn FnMut()>,
}

pub(crate) const CASES: &[Case] = &[
    Case { name: "header_written", batch: 1, make: header_written },
    Case { name: "header_parsed", batch: 1, make: header_parsed },
    Case { name: "push_encoded", batch: BATCH, make: push_encoded },
    Case { name: "push_whole_way", batch: BATCH, make: push_whole_way },
    Case { name: "call_alone", batch: 1, make: call_alone },
    Case { name: "call_of_128", batch: BATCH, make: call_of_128 },
    Case { name: "call_among_10000", batch: 1, make: call_among_10_000 },
    Case { name: "call_given_up", batch: 1, make: call_given_up },
    Case { name: "call_given_up_among_10000", batch: 1, make: call_given_up_among_10_000 },
    Case { name: "idle_poll", batch: 1, make: idle_poll },
];

fn header() -> Header {
    Header {
        length: SIZE as u32,
        kind: Kind::Request,
        flags: Flags::empty(),
        sequence: Sequence::call(7, 7),
        code: 7,
    }
}

fn header_written() -> Box<dyn FnMut()> {
    let header = header();
    Box::new(move || {
        black_box(black_box(header).to_bytes());
    })
}

fn header_parsed() -> Box<dyn FnMut()> {
    let bytes = header().to_bytes();
    Box::new(move || {
        let view = HeaderView::new_checked(black_box(&bytes[..])).expect("16 bytes");
        black_box(Header::parse(view, 1 << 20)).expect("it was written by this library");
    })
}

/// Messages to the bytes that are lent to the transport, which takes them at once.
fn push_encoded() -> Box<dyn FnMut()> {
    // Nobody takes these pushes, so there must be credit for all of them.
    let mut pair = Pair::new(Config { push_window: 1 << 60, ..Config::default() });
    Box::new(move || {
        for _ in 0..BATCH {
            let message = Message::new(1, pair.body.clone());
            pair.dialer.push(pair.now, message).expect("there is room");
        }
        let length = black_box(pair.dialer.transmit()).map(<[u8]>::len).sum();
        pair.dialer.advance_transmit(pair.now, length);
    })
}

fn push_whole_way() -> Box<dyn FnMut()> {
    let mut pair = Pair::new(Config::default());
    Box::new(move || {
        for _ in 0..BATCH {
            let message = Message::new(1, pair.body.clone());
            pair.dialer.push(pair.now, message).expect("there is room");
        }
        pair.carry_there();
        while let Some(event) = pair.acceptor.poll_event() {
            let Event::Push { token, message } = event else { continue };
            black_box(message);
            pair.acceptor.release(pair.now, token);
        }
        pair.carry_back();
        assert_eq!(pair.dialer.poll_event(), None);
    })
}

fn call_alone() -> Box<dyn FnMut()> {
    let mut pair = Pair::new(Config::default());
    Box::new(move || pair.call(1))
}

fn call_of_128() -> Box<dyn FnMut()> {
    let mut pair = Pair::new(Config::default());
    Box::new(move || pair.call(BATCH))
}

fn call_among_10_000() -> Box<dyn FnMut()> {
    let mut pair = Pair::crowded();
    Box::new(move || pair.call(1))
}

fn call_given_up() -> Box<dyn FnMut()> {
    let mut pair = Pair::new(Config::default());
    Box::new(move || pair.call_and_give_up())
}

fn call_given_up_among_10_000() -> Box<dyn FnMut()> {
    let mut pair = Pair::crowded();
    Box::new(move || pair.call_and_give_up())
}

/// What a loop asks a connection on which nothing happens.
fn idle_poll() -> Box<dyn FnMut()> {
    let mut pair = Pair::new(Config::default());
    Box::new(move || {
        let acceptor = black_box(&mut pair.acceptor);
        assert!(acceptor.poll_event().is_none() && acceptor.transmit_len() == 0 && acceptor.wants_read());
        black_box(acceptor.poll_timeout());
    })
}

/// Two connections with nothing between them, and a clock.
pub(crate) struct Pair {
    pub(crate) dialer: Connection,
    pub(crate) acceptor: Connection,
    now: Instant,
    body: Bytes,
    /// What is on the way.
    wire: Vec<u8>,
}

impl Pair {
    pub(crate) fn new(config: Config) -> Self {
        let config = config.share().expect("these limits go together");
        let now = Instant::EPOCH;
        let mut pair = Self {
            dialer: Connection::new(&config, Role::Dialer, now, 1),
            acceptor: Connection::new(&config, Role::Acceptor, now, 2),
            now,
            body: Bytes::from(vec![7; SIZE]),
            wire: Vec::new(),
        };
        pair.carry_there();
        assert!(matches!(pair.acceptor.poll_event(), Some(Event::Hello(_))));
        pair.acceptor.accept(now);
        pair.carry_back();
        assert!(matches!(pair.dialer.poll_event(), Some(Event::Open(_))));
        assert!(matches!(pair.acceptor.poll_event(), Some(Event::Open(_))));
        // What is made for the first messages is there.
        pair.call(BATCH);
        pair
    }

    /// One on which 10,000 calls with deadlines wait for their answers.
    fn crowded() -> Self {
        let mut pair =
            Self::new(Config { call_slots: 20_000, request_window: 16 << 20, ..Config::default() });
        for _ in 0..10_000 {
            pair.begin();
        }
        pair.carry_there();
        while let Some(event) = pair.acceptor.poll_event() {
            // Nobody ever answers it.
            assert!(matches!(event, Event::Request { .. }), "{event:?} is no request");
        }
        pair
    }

    fn begin(&mut self) -> CallId {
        self.now += Duration::from_nanos(100);
        let message = Message::new(1, self.body.clone());
        self.dialer.call(self.now, message, Timeout::Default).expect("there is room")
    }

    /// So many calls at once, to the end.
    pub(crate) fn call(&mut self, calls: usize) {
        for _ in 0..calls {
            self.begin();
        }
        self.carry_there();
        while let Some(event) = self.acceptor.poll_event() {
            let Event::Request { id, message, .. } = event else { panic!("{event:?} is no request") };
            self.acceptor
                .reply(self.now, id, StatusCode::OK, Extensions::none(), message.body)
                .expect("there is room");
        }
        self.carry_back();
        let mut ended = 0;
        while let Some(event) = self.dialer.poll_event() {
            let Event::Ended { outcome: Outcome::Reply { body, .. }, .. } = event else {
                panic!("{event:?} is no reply")
            };
            ended += usize::from(black_box(body).len() == SIZE);
        }
        assert_eq!(ended, calls);
    }

    fn call_and_give_up(&mut self) {
        let call = self.begin();
        black_box(self.dialer.cancel(self.now, call));
        self.carry_there();
        while self.acceptor.poll_event().is_some() {}
        self.carry_back();
        assert_eq!(self.dialer.poll_event(), None);
    }

    fn carry_there(&mut self) {
        carry(self.now, &mut self.dialer, &mut self.acceptor, &mut self.wire);
    }

    fn carry_back(&mut self) {
        carry(self.now, &mut self.acceptor, &mut self.dialer, &mut self.wire);
    }
}

/// What a socket does, without one.
fn carry(now: Instant, from: &mut Connection, to: &mut Connection, wire: &mut Vec<u8>) {
    while from.transmit_len() > 0 {
        wire.clear();
        from.transmit().for_each(|chunk| wire.extend_from_slice(chunk));
        from.advance_transmit(now, wire.len());
        to.handle_input(now, wire);
    }
}
