//! A connection in netman's format: byte for byte what netman sends, and what becomes of what the format cannot say.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use crate::error::{CloseReason, Limit, ProtocolError, Refusal};
use crate::framing::{Format, Netman};
use crate::wire::{CloseCode, CloseInfo};
use crate::{Config, Connection, Event, Instant, Message, Role, Route, SharedConfig, Timeout};

const NOW: Instant = Instant::EPOCH;

fn config() -> Config {
    Config { framing: Some(Format::new(Netman)), push_window: 1100, max_message: 1024, ..Config::default() }
}

fn shared() -> SharedConfig {
    config().share().unwrap()
}

fn open(role: Role) -> Connection {
    let mut connection = Connection::new(&shared(), role, NOW, 1);
    if role == Role::Acceptor {
        assert!(matches!(connection.poll_event(), Some(Event::Hello(_))));
        connection.accept(NOW);
    }
    assert_eq!(connection.poll_event(), Some(Event::Open(None)));
    connection
}

fn written(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.transmit_len() > 0 {
        let chunk: Vec<u8> = connection.transmit().flatten().copied().collect();
        connection.advance_transmit(NOW, chunk.len());
        bytes.extend(chunk);
    }
    bytes
}

/// What netman's own packer makes of id 3 and "hello".
const HELLO: [u8; 13] = [5, 0, 0, 0, 3, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];

#[test]
fn messages_are_those_of_netman_byte_for_byte_both_ways() {
    for role in [Role::Dialer, Role::Acceptor] {
        let mut connection = open(role);
        assert!(written(&mut connection).is_empty(), "it says nothing by itself");
        connection.push(NOW, Message::new(3, "hello")).unwrap();
        connection.push(NOW, Message::new(u32::MAX, "")).unwrap();
        let expected = [&HELLO[..], &[0, 0, 0, 0, 255, 255, 255, 255]].concat();
        assert_eq!(written(&mut connection), expected);
        connection.handle_input(NOW, &mut expected.clone());
        for (number, body) in [(3, &b"hello"[..]), (u32::MAX, b"")] {
            let Some(Event::Push { token, message }) = connection.poll_event() else { panic!("a push") };
            assert_eq!((message.route(), &message.body[..]), (Route::Number(number), body));
            connection.release(NOW, token);
        }
    }
}

#[test]
fn what_the_format_cannot_say_is_refused() {
    let mut connection = open(Role::Dialer);
    let refused = connection.call(NOW, Message::new(1, "a call"), Timeout::Default).unwrap_err();
    assert_eq!((refused.refusal, &refused.message.body[..]), (Refusal::Unsupported, &b"a call"[..]));
    let named = connection.push(NOW, Message::named("chat", "by name").unwrap()).unwrap_err();
    assert_eq!(named.refusal, Refusal::Unsupported);
    let long = connection.push(NOW, Message::new(1, vec![0; 1025])).unwrap_err();
    assert_eq!(long.refusal, Refusal::TooLarge { length: 1025, limit: 1024 });
    assert_eq!(connection.transmit_len(), 0);
}

#[test]
fn reading_waits_while_pushes_are_being_dealt_with() {
    let mut connection = open(Role::Acceptor);
    let mut message = [&[232, 3, 0, 0, 1, 0, 0, 0][..], &[7; 1000]].concat();
    connection.handle_input(NOW, &mut message.clone());
    assert!(connection.wants_read(), "1064 of 1100 bytes are charged");
    connection.handle_input(NOW, &mut message);
    assert!(!connection.wants_read());
    let Some(Event::Push { token, .. }) = connection.poll_event() else { panic!("a push") };
    assert!(!connection.wants_read(), "taking it is not dealing with it");
    let Some(Event::Push { .. }) = connection.poll_event() else { panic!("a push") };
    connection.release(NOW, token);
    assert!(connection.wants_read());
}

#[test]
fn nothing_is_handed_out_before_the_application_has_decided() {
    let mut connection = Connection::new(&shared(), Role::Acceptor, NOW, 1);
    assert!(!connection.wants_read());
    connection.handle_input(NOW, &mut HELLO.clone());
    assert!(matches!(connection.poll_event(), Some(Event::Hello(_))));
    assert_eq!(connection.poll_event(), None);
    connection.accept(NOW);
    assert_eq!(connection.poll_event(), Some(Event::Open(None)));
    assert!(matches!(connection.poll_event(), Some(Event::Push { .. })));

    let mut flooded = Connection::new(&shared(), Role::Acceptor, NOW, 1);
    flooded.handle_input(NOW, &mut vec![0; 70_000]);
    assert!(matches!(flooded.close_reason(), Some(CloseReason::Protocol(ProtocolError::UnexpectedFrame(_)))));
    let mut refused = Connection::new(&shared(), Role::Acceptor, NOW, 1);
    refused.refuse(NOW, CloseCode::REFUSED, CloseInfo::default());
    assert!(refused.wants_shutdown() && refused.transmit_len() == 0, "the end of the stream says it");
}

#[test]
fn an_end_of_the_stream_is_a_goodbye_and_loses_nothing() {
    let mut connection = open(Role::Acceptor);
    connection.push(NOW, Message::new(3, "hello")).unwrap();
    connection.handle_eof(NOW);
    assert_eq!(written(&mut connection), HELLO);
    assert!(connection.wants_shutdown());
    assert_eq!(connection.poll_event(), Some(Event::Closed(CloseReason::Peer(CloseCode::NORMAL, None))));

    let mut closing = open(Role::Dialer);
    closing.push(NOW, Message::new(3, "hello")).unwrap();
    closing.close(NOW, CloseCode::GOING_AWAY, CloseInfo::default());
    assert_eq!(written(&mut closing), HELLO);
    assert!(closing.wants_shutdown() && !closing.is_closed());
    closing.handle_eof(NOW);
    assert_eq!(closing.poll_event(), Some(Event::Closed(CloseReason::Local(CloseCode::GOING_AWAY))));
}

#[test]
fn a_body_longer_than_allowed_ends_the_connection() {
    let mut connection = open(Role::Acceptor);
    connection.handle_input(NOW, &mut [1, 4, 0, 0, 1, 0, 0, 0]);
    let error = ProtocolError::MessageTooLarge { length: 1025, limit: 1024 };
    assert_eq!(connection.close_reason(), Some(&CloseReason::Protocol(error)));
    assert!(connection.wants_shutdown() && connection.transmit_len() == 0);
}

#[test]
fn a_silent_connection_ends_by_the_idle_limit_and_a_trickle_by_the_progress_rule() {
    let idle = Config { idle_timeout: Some(Duration::from_secs(180)), ..config() }.share().unwrap();
    let mut connection = Connection::new(&idle, Role::Dialer, NOW, 1);
    let Some(deadline) = connection.poll_timeout() else { panic!("it waits for the idle limit") };
    assert_eq!(deadline.at, NOW + Duration::from_secs(180));
    connection.handle_timeout(deadline.at);
    assert_eq!(connection.close_reason(), Some(&CloseReason::Local(CloseCode::IDLE)));

    let mut slow = open(Role::Acceptor);
    let mut now = NOW;
    for byte in [100u8, 0, 0, 0, 1, 0, 0, 0].into_iter().chain([0; 90]) {
        now += Duration::from_secs(1);
        slow.handle_input(now, &mut [byte]);
    }
    assert_eq!(slow.close_reason(), Some(&CloseReason::TimedOut(Limit::Progress)));
}

/// Who closes still takes what comes, and there is no credit that bounds it.
#[test]
fn reading_waits_while_closing_too() {
    let mut connection = open(Role::Acceptor);
    connection.close(NOW, CloseCode::GOING_AWAY, CloseInfo::default());
    let mut fed = 0;
    let mut tokens = Vec::new();
    while connection.wants_read() && fed < 1000 {
        connection.handle_input(NOW, &mut HELLO.clone());
        if let Some(Event::Push { token, .. }) = connection.poll_event() {
            tokens.push(token);
        }
        fed += 1;
    }
    assert!(fed < 20, "{fed} pushes were taken, and none was dealt with");
    for token in tokens {
        connection.release(NOW, token);
    }
    assert!(connection.wants_read(), "for the end of the stream");
    connection.handle_eof(NOW);
    assert_eq!(connection.close_reason(), Some(&CloseReason::Local(CloseCode::GOING_AWAY)));
}

/// Reading does not wait within a message: what has to be released first would never be complete.
#[test]
fn a_window_of_one_message_is_enough_however_it_is_cut() {
    let config = Config { push_window: 1088, ..config() }.share().unwrap();
    let mut connection = Connection::new(&config, Role::Dialer, NOW, 1);
    assert_eq!(connection.poll_event(), Some(Event::Open(None)));
    let message = [&[0, 4, 0, 0, 1, 0, 0, 0][..], &[7; 1024]].concat();
    for _ in 0..3 {
        for piece in message.chunks(100) {
            assert!(connection.wants_read(), "the rest of a message is wanted");
            connection.handle_input(NOW, &mut piece.to_vec());
        }
        assert!(!connection.wants_read());
        let Some(Event::Push { token, .. }) = connection.poll_event() else { panic!("a push") };
        // However long that takes: between messages the peer owes nothing.
        assert_eq!(connection.poll_timeout(), None);
        connection.release(NOW, token);
    }
}

proptest! {
    /// However netman's bytes are cut, the messages are the same.
    #[test]
    fn bytes_cut_anywhere_give_the_same_messages(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
        cuts in prop::collection::vec(1usize..30, 1..10),
    ) {
        let mut sender = open(Role::Dialer);
        for (number, body) in (0..).zip(&bodies) {
            sender.push(NOW, Message::new(number, body.clone())).unwrap();
        }
        let mut bytes = written(&mut sender);
        let mut receiver = open(Role::Acceptor);
        let mut received = Vec::new();
        let mut sizes = cuts.into_iter().cycle();
        while !bytes.is_empty() {
            let size = sizes.next().unwrap_or(1).min(bytes.len());
            let rest = bytes.split_off(size);
            receiver.handle_input(NOW, &mut bytes);
            bytes = rest;
            while let Some(Event::Push { token, message }) = receiver.poll_event() {
                received.push((message.number, message.body.to_vec()));
                receiver.release(NOW, token);
            }
        }
        let sent: Vec<_> = (0..).zip(bodies).collect();
        prop_assert_eq!(received, sent);
        prop_assert_eq!(receiver.requests_in_flight(), 0);
    }
}
