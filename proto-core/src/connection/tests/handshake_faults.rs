//! The handshake when the peer does it wrong.

use core::time::Duration;

use super::{BOTH, Bench, Frame, SECOND};
use crate::config::{Config, SharedConfig};
use crate::connection::{Role, Timer};
use crate::error::{CloseReason, HelloFault, ProtocolError};
use crate::event::Event;
use crate::wire::{CloseCode, Hello, Kind, PREFACE, Versions};

/// LW-2.1: a wrong preface is known by its first wrong byte, and gets the preface and CLOSE.
#[test]
fn a_wrong_preface_is_refused_at_its_first_wrong_byte() {
    for role in BOTH {
        for wrong_at in 0..PREFACE.len() {
            for piecewise in [false, true] {
                let mut bench = Bench::handshaking(role, &SharedConfig::default());
                let mut preface = PREFACE;
                preface[wrong_at] ^= 0x20;
                if piecewise {
                    preface[..wrong_at].iter().for_each(|&byte| bench.feed(&[byte]));
                    assert_eq!(bench.connection.close_reason(), None);
                    bench.feed(&preface[wrong_at..=wrong_at]);
                } else {
                    bench.feed(&preface);
                }
                let error = ProtocolError::BadPreface { offset: wrong_at as u8, byte: preface[wrong_at] };
                assert_eq!(bench.connection.close_reason(), Some(&CloseReason::Protocol(error)));
                bench.assert_failed(CloseCode::BAD_PREFACE, "a wrong preface");
            }
        }
    }
}

/// LW-2.1: programs that speak something else are known by their first byte.
#[test]
fn other_protocols_are_known_by_their_first_byte() {
    let greetings: [(&str, &[u8]); 5] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"),
        ("TLS", &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("UTF-8", "«LWIRE\r\n".as_bytes()),
        ("noise", &[0x00; 64]),
    ];
    for (what, greeting) in greetings {
        for role in BOTH {
            let mut bench = Bench::handshaking(role, &SharedConfig::default());
            bench.feed(greeting);
            let Some(CloseReason::Protocol(error)) = bench.connection.close_reason() else {
                panic!("{what}")
            };
            assert_eq!(*error, ProtocolError::BadPreface { offset: 0, byte: greeting[0] });
            bench.assert_failed(CloseCode::BAD_PREFACE, what);
        }
    }
}

/// LW-3.1: any other frame of a known kind before WELCOME is UNEXPECTED_FRAME, a second HELLO too.
/// LW-2.10: even one that would need a capability.
#[test]
fn frames_that_do_not_belong_into_the_handshake_are_errors() {
    let config = SharedConfig::default();
    for kind in Kind::ALL {
        let waiting = |role| {
            let mut bench = Bench::handshaking(role, &config);
            bench.feed(&PREFACE);
            bench
        };
        for (state, mut bench, expected) in [
            ("an acceptor without a hello", waiting(Role::Acceptor), Some(Kind::Hello)),
            ("an acceptor with a hello", Bench::deciding(&config), None),
            ("a dialer", waiting(Role::Dialer), Some(Kind::Welcome)),
        ] {
            if kind != Kind::Close && expected != Some(kind) {
                bench.take(&Frame::example(kind));
                bench.assert_failed(CloseCode::UNEXPECTED_FRAME, &alloc::format!("{kind:?} for {state}"));
            }
        }
    }
}

/// LW-3.1: HELLO and WELCOME after the handshake are UNEXPECTED_FRAME.
#[test]
fn a_handshake_is_not_repeated() {
    for role in BOTH {
        for kind in [Kind::Hello, Kind::Welcome] {
            let mut bench = Bench::open(role, Config::default());
            bench.take(&Frame::example(kind));
            bench.assert_failed(CloseCode::UNEXPECTED_FRAME, "a second handshake");
        }
    }
}

/// LW-3.2: the time for the handshake is absolute: it ends while bytes trickle, and wherever the handshake stands.
#[test]
fn the_handshake_has_an_absolute_time_limit() {
    let config = SharedConfig::default();
    let welcome = [&PREFACE[..], &Frame::example(Kind::Welcome).bytes()].concat();
    let hello = [&PREFACE[..], &Frame::example(Kind::Hello).bytes()].concat();
    for (role, bytes) in [(Role::Acceptor, &hello), (Role::Dialer, &welcome)] {
        for trickle in [0, 1, 7] {
            let mut bench = Bench::handshaking(role, &config);
            let mut bytes = bytes.chunks(trickle.max(1));
            for _ in 0..9 {
                if trickle > 0 {
                    bench.feed(bytes.next().unwrap());
                }
                bench.pass(SECOND);
                assert_eq!(bench.connection.close_reason(), None);
            }
            let deadline = bench.connection.poll_timeout().unwrap();
            bench.pass(SECOND - Duration::from_nanos(1));
            assert_eq!(bench.connection.close_reason(), None, "too early");
            if deadline.timer == Timer::Handshake {
                assert_eq!(deadline.at, bench.now + Duration::from_nanos(1));
            }
            bench.pass(Duration::from_nanos(1));
            bench.assert_failed(CloseCode::HANDSHAKE_TIMEOUT, "the handshake took too long");
        }
    }
    let mut deciding = Bench::deciding(&config);
    deciding.pass(10 * SECOND);
    deciding.connection.accept(deciding.now);
    deciding.assert_failed(CloseCode::HANDSHAKE_TIMEOUT, "the application took too long");
}

/// LW-3.2: the limit ends with the handshake.
#[test]
fn an_open_connection_has_no_handshake_limit() {
    for role in BOTH {
        let mut bench = Bench::open(role, Config { heartbeat: None, ..Config::default() });
        assert_eq!(bench.connection.poll_timeout(), None);
        bench.pass(1000 * SECOND);
        bench.assert_open("long after the handshake");
    }
}

/// LW-3.3, LW-3.4, LW-3.5, LW-3.8: a dialer judges WELCOME as an acceptor judges HELLO.
/// LW-3.6: WELCOME with a version that was not offered, or with more than one, is UNSUPPORTED_VERSION.
#[test]
fn a_welcome_is_judged_like_a_hello() {
    type Change = fn(&mut Hello);
    let versions = CloseCode::UNSUPPORTED_VERSION;
    let wrong: [(&str, CloseCode, Change); 10] = [
        ("another version", versions, |w| w.versions = Versions { first: 2, last: 2 }),
        ("a range of versions", versions, |w| w.versions = Versions { first: 1, last: 2 }),
        ("a range turned round", versions, |w| w.versions = Versions { first: 2, last: 1 }),
        ("another version and more", versions, |w| {
            w.versions = Versions { first: 2, last: 2 };
            w.max_frame = 0;
        }),
        ("max_frame", CloseCode::BAD_HELLO, |w| w.max_frame = 4095),
        ("max_message", CloseCode::BAD_HELLO, |w| w.max_message = 1023),
        ("call_slots", CloseCode::BAD_HELLO, |w| w.call_slots = 65_537),
        ("request_window", CloseCode::BAD_HELLO, |w| w.request_window = u64::from(w.max_message) + 63),
        ("push_window", CloseCode::BAD_HELLO, |w| w.push_window = u64::from(w.max_message) + 63),
        ("credentials", CloseCode::BAD_HELLO, |w| w.credentials = vec![0; 3073].into()),
    ];
    for (what, code, change) in wrong {
        let mut welcome = Config::default().hello();
        change(&mut welcome);
        let mut dialer = Bench::handshaking(Role::Dialer, &SharedConfig::default());
        dialer.feed(&[&PREFACE[..], &Frame::hello(Kind::Welcome, &welcome).bytes()].concat());
        assert_eq!(dialer.connection.poll_event(), None, "{what}");
        dialer.assert_failed(code, what);
    }
    let cut: [(&[u8], HelloFault); 2] =
        [(&[], HelloFault::Missing { tag: 1 }), (&[0, 1, 0, 4, 0, 1], HelloFault::Fields)];
    for (payload, fault) in cut {
        let mut dialer = Bench::handshaking(Role::Dialer, &SharedConfig::default());
        dialer.feed(&[&PREFACE[..], &Frame::control(Kind::Welcome, 0, payload).bytes()].concat());
        let error = ProtocolError::BadHello(fault);
        assert_eq!(dialer.connection.close_reason(), Some(&CloseReason::Protocol(error)));
        dialer.assert_failed(CloseCode::BAD_HELLO, "a welcome that is cut off");
    }
}

/// LW-3.8: a dialer checks its own credentials before it sends them.
#[test]
fn a_dialer_cannot_be_made_with_too_long_credentials() {
    let with = |length| Config { credentials: vec![0; length].into(), ..Config::default() };
    assert_eq!(with(3073).share().unwrap_err().field, "credentials");
    let mut dialer = Bench::handshaking(Role::Dialer, &with(3072).share().unwrap());
    let mut acceptor = Bench::handshaking(Role::Acceptor, &SharedConfig::default());
    acceptor.feed(&dialer.written());
    assert!(matches!(acceptor.event(), Event::Hello(hello) if hello.credentials.len() == 3072));
}

/// LW-2.3: before WELCOME a frame is at most 4,096 bytes long, and a longer one is refused by its header.
#[test]
fn frames_before_welcome_have_a_limit_of_their_own() {
    for role in BOTH {
        for kind in Kind::ALL {
            let mut bench = Bench::handshaking(role, &SharedConfig::default());
            bench.feed(&PREFACE);
            bench.overrun(Frame::example(kind), 4097);
            bench.assert_failed(CloseCode::FRAME_TOO_LARGE, "a long frame before WELCOME");
        }
        let mut bench = Bench::handshaking(role, &SharedConfig::default());
        let expected = if role == Role::Acceptor { Kind::Hello } else { Kind::Welcome };
        let mut longest = Frame::example(expected);
        let padding = 4096 - longest.payload.len() - 4;
        longest.payload.extend([0xff, 0xff, (padding >> 8) as u8, padding as u8]);
        longest.payload.resize(4096, 0);
        longest.header.length = 4096;
        bench.feed(&[&PREFACE[..], &longest.bytes()].concat());
        assert!(matches!(bench.event(), Event::Hello(_) | Event::Open(_)));
    }
}
