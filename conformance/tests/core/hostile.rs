//! A peer may send anything: nothing panics, and every connection ends with a stated reason.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use conformance::frames::{self, Draft, Stream};
use conformance::stepwise::scenario;
use conformance::{cases, other};
use proptest::prelude::*;
use proto_core::wire::{Capabilities, CloseCode, Kind, PREFACE};
use proto_core::{CloseReason, Config, Connection, Event, Instant, Message, Role, Timeout};

const NOW: Instant = Instant::EPOCH;

/// What a hostile peer sends.
#[derive(Clone, Debug)]
enum Attack {
    /// Noise from the first byte on.
    Noise(Vec<u8>),
    /// A right preface, then noise.
    Preface(Vec<u8>),
    /// A right handshake but for one byte.
    Handshake { at: usize, byte: u8 },
    /// A right handshake, then frames of which some are wrong.
    Frames(Vec<Draft>),
    /// The same, with one byte of all that changed.
    Mutated { drafts: Vec<Draft>, at: prop::sample::Index, byte: u8 },
}

fn attacks() -> impl Strategy<Value = Attack> {
    let noise = || prop::collection::vec(any::<u8>(), 0..300);
    let drafts = || prop::collection::vec(Draft::any(), 0..40);
    prop_oneof![
        1 => noise().prop_map(Attack::Noise),
        1 => noise().prop_map(Attack::Preface),
        4 => (0..120usize, any::<u8>()).prop_map(|(at, byte)| Attack::Handshake { at, byte }),
        8 => drafts().prop_map(Attack::Frames),
        4 => (drafts(), any::<prop::sample::Index>(), any::<u8>())
            .prop_map(|(drafts, at, byte)| Attack::Mutated { drafts, at, byte }),
    ]
}

impl Attack {
    fn bytes(&self, attacker: Role) -> Vec<u8> {
        // More than the victim has: what it may send is not limited by the attacker.
        let opening = Stream::opening(attacker, &Config { call_slots: 65_536, ..Config::default() });
        match self {
            Self::Noise(noise) => noise.clone(),
            Self::Preface(noise) => [&PREFACE[..], noise].concat(),
            Self::Handshake { at, byte } => {
                let mut bytes = opening.0;
                let length = bytes.len();
                bytes[at % length] = *byte;
                bytes
            }
            Self::Frames(drafts) => drafts.iter().fold(opening, Stream::draft).0,
            Self::Mutated { drafts, at, byte } => {
                let mut bytes = drafts.iter().fold(opening, Stream::draft).0;
                let place = at.index(bytes.len());
                bytes[place] = *byte;
                bytes
            }
        }
    }
}

/// A victim with small limits, so that few frames are enough to overstep them.
fn victim(role: Role, capabilities: Capabilities) -> Connection {
    let config = Config {
        capabilities,
        max_frame: 4096,
        max_message: 1024,
        call_slots: 4,
        request_window: 1088,
        push_window: 1088,
        undelivered_limit: 1500,
        ..Config::default()
    };
    Connection::new(&config.share().expect("sound limits"), role, NOW, 1)
}

/// Whatever arrives, in whatever pieces: nothing panics, every error is one of those that PROTOCOL.md names, the peer is
/// told its code in a last CLOSE, and `Closed` comes exactly once, as the last event.
#[test]
fn any_bytes_end_in_a_stated_reason() {
    let met: RefCell<BTreeMap<CloseCode, usize>> = RefCell::default();
    let capabilities =
        prop_oneof![Just(Capabilities::SUPPORTED), (0..8u64).prop_map(Capabilities::from_bits)];
    let strategy = (attacks(), scenario::roles(), 1..300usize, capabilities);
    proptest!(cases(8000), |((attack, role, size, capabilities) in strategy)| {
        let mut connection = victim(role, capabilities);
        let mut written = Vec::new();
        let mut events = Vec::new();
        for piece in attack.bytes(other(role)).chunks_mut(size) {
            connection.handle_input(NOW, piece);
            while let Some(event) = connection.poll_event() {
                events.push(event);
            }
            connection.accept(NOW);
            drop(connection.call(NOW, Message::new(1, "a call"), Timeout::Never));
            let lent: Vec<u8> = connection.transmit().flatten().copied().collect();
            connection.advance_transmit(NOW, lent.len());
            written.extend(lent);
        }
        let judged = connection.close_reason().cloned();
        connection.handle_eof(NOW);
        let lent: Vec<u8> = connection.transmit().flatten().copied().collect();
        connection.advance_transmit(NOW, lent.len());
        written.extend(lent);
        prop_assert!(connection.is_closed(), "the stream has ended and all is written: {connection:?}");
        events.extend(std::iter::from_fn(|| connection.poll_event()));
        prop_assert!(matches!(events.last(), Some(Event::Closed(_))), "the last event is {:?}", events.last());
        let closed = events.iter().filter(|event| matches!(event, Event::Closed(_))).count();
        prop_assert_eq!(closed, 1, "Closed came {} times", closed);

        let frames = frames::parse(&written);
        prop_assert!(frames.is_some(), "the victim did not write whole frames: {written:?}");
        if let Some(reason @ CloseReason::Protocol(error)) = judged {
            prop_assert_eq!(connection.close_reason(), Some(&reason), "an error is not replaced by a later one");
            let code = error.code();
            *met.borrow_mut().entry(code).or_default() += 1;
            prop_assert!(code.name().is_some_and(|name| !name.is_empty()));
            let last = frames.and_then(|frames| frames.into_iter().next_back());
            let told = last.filter(|frame| frame.kind == Kind::Close as u8).map(|frame| frame.code);
            prop_assert_eq!(told, Some(code.0), "the peer was not told {}", code);
        }
    });
    let met: BTreeSet<CloseCode> = met.into_inner().into_keys().collect();
    let wanted = [
        CloseCode::BAD_PREFACE,
        CloseCode::UNSUPPORTED_VERSION,
        CloseCode::BAD_HELLO,
        CloseCode::UNKNOWN_KIND,
        CloseCode::BAD_FLAGS,
        CloseCode::BAD_SEQUENCE,
        CloseCode::BAD_LENGTH,
        CloseCode::FRAME_TOO_LARGE,
        CloseCode::MESSAGE_TOO_LARGE,
        CloseCode::UNEXPECTED_FRAME,
        CloseCode::BAD_EXTENSION,
        CloseCode::UNKNOWN_CALL,
        CloseCode::SLOT_IN_USE,
        CloseCode::SLOT_BEYOND_LIMIT,
        CloseCode::CREDIT_EXCEEDED,
        CloseCode::BAD_CREDIT,
        CloseCode::BAD_FRAGMENT,
        CloseCode::NOT_NEGOTIATED,
        CloseCode::BAD_CODE,
    ];
    let missed: Vec<CloseCode> = wanted.into_iter().filter(|code| !met.contains(code)).collect();
    assert!(missed.is_empty(), "no case led to {missed:?}: the attacks prove nothing about them");
}
