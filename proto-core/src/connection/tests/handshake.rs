//! The handshake when all goes well, and when one side does not want it.

use alloc::vec::Vec;

use super::{BOTH, Bench, Frame, Pair, SECOND, id, kinds, smallest, stream};
use crate::config::{Config, SharedConfig};
use crate::connection::Role;
use crate::error::{CloseReason, Refusal};
use crate::event::{Event, Message, Timeout};
use crate::wire::{CloseCode, CloseInfo, Flags, Kind, PREFACE, Versions};

/// LW-2.2: the dialer sends preface and HELLO at once, the acceptor its preface in front of WELCOME.
/// LW-3.1: neither sends anything else before WELCOME.
#[test]
fn each_side_says_its_part_and_no_more() {
    let config = Config { credentials: "secret".into(), ..smallest() }.share().unwrap();
    let mut dialer = Bench::handshaking(Role::Dialer, &config);
    let mut acceptor = Bench::handshaking(Role::Acceptor, &config);
    let said = dialer.written();
    assert_eq!(said, [&PREFACE[..], &Frame::hello(Kind::Hello, &config.hello()).bytes()].concat());
    acceptor.feed(&said);
    assert_eq!(acceptor.written(), [] as [u8; 0], "the application has not decided");
    let Event::Hello(hello) = acceptor.event() else { panic!("no hello") };
    assert_eq!(hello.credentials[..], *b"secret");

    acceptor.connection.accept(acceptor.now);
    let said = acceptor.written();
    let without_credentials = Config { credentials: "".into(), ..smallest() }.hello();
    assert_eq!(said, [&PREFACE[..], &Frame::hello(Kind::Welcome, &without_credentials).bytes()].concat());
    dialer.feed(&said);
    assert!(matches!(dialer.event(), Event::Open(Some(_))));
    assert_eq!(acceptor.event(), Event::Open(None));
    assert!(dialer.written().is_empty() && acceptor.written().is_empty());
}

/// LW-3.1: messages are refused, not sent, while the handshake lasts.
#[test]
fn messages_wait_for_the_end_of_the_handshake() {
    for role in BOTH {
        let mut bench = Bench::handshaking(role, &SharedConfig::default());
        bench.written();
        let refused = bench.connection.call(bench.now, Message::new(1, "body"), Timeout::Never).unwrap_err();
        assert_eq!((refused.refusal, refused.message), (Refusal::NotOpen, Message::new(1, "body")));
        let refused = bench.connection.push(bench.now, Message::new(1, "body")).unwrap_err();
        assert_eq!(refused.refusal, Refusal::NotOpen);
        assert!(bench.written().is_empty());
    }
}

/// LW-3.1: an acceptor may send frames right behind WELCOME, so they may arrive with it.
#[test]
fn frames_right_behind_welcome_are_taken() {
    let mut dialer = Bench::handshaking(Role::Dialer, &SharedConfig::default());
    let said = [Frame::example(Kind::Welcome), Frame::push(b"one"), Frame::request(id(1, 0), b"two")];
    dialer.feed(&[&PREFACE[..], &stream(&said)].concat());
    let events = dialer.events();
    assert!(matches!(events[..], [Event::Open(_), Event::Push { .. }, Event::Request { .. }]), "{events:?}");
}

/// LW-3.1: an acceptor that has sent WELCOME need not know that a frame was sent too early.
#[test]
fn a_frame_that_is_complete_after_welcome_is_judged_by_what_holds_then() {
    let mut acceptor = Bench::deciding(&SharedConfig::default());
    let push = Frame::push(b"early").bytes();
    acceptor.feed(&push[..15]);
    acceptor.connection.accept(acceptor.now);
    acceptor.feed(&push[15..]);
    assert!(matches!(acceptor.events()[..], [Event::Open(None), Event::Push { .. }]));
}

/// LW-1.2: after the handshake both sides have the same rights.
#[test]
fn both_sides_call_and_push() {
    let mut pair = Pair::open(Config::default(), Config::default());
    let calls = [pair.dialer.call(b"from the dialer"), pair.acceptor.call(b"from the acceptor")];
    for bench in [&mut pair.dialer, &mut pair.acceptor] {
        bench.connection.push(bench.now, Message::new(9, "news")).unwrap();
    }
    pair.carry();
    for bench in [&mut pair.dialer, &mut pair.acceptor] {
        let mut events = bench.events();
        let Some(Event::Push { token, message }) = events.pop() else { panic!("{events:?}") };
        assert_eq!(message, Message::new(9, "news"));
        bench.connection.release(bench.now, token);
        let Some(Event::Request { id, message, deadline: None }) = events.pop() else { panic!("{events:?}") };
        bench.answer(id, &message.body);
    }
    pair.carry();
    let bodies = [&b"from the dialer"[..], b"from the acceptor"];
    for ((bench, call), body) in [&mut pair.dialer, &mut pair.acceptor].into_iter().zip(calls).zip(bodies) {
        let Event::Ended { call: ended, outcome } = bench.event() else { panic!("no reply") };
        let crate::Outcome::Reply { body: echoed, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((ended, &echoed[..]), (call, body));
    }
}

/// LW-3.6: the acceptor picks the highest version in both ranges, and WELCOME names it alone.
#[test]
fn the_acceptor_chooses_one_version_of_the_range() {
    let mut hello = Config::default().hello();
    hello.versions = Versions { first: 0, last: 7 };
    let mut acceptor = Bench::handshaking(Role::Acceptor, &SharedConfig::default());
    acceptor.feed(&[&PREFACE[..], &Frame::hello(Kind::Hello, &hello).bytes()].concat());
    acceptor.connection.accept(acceptor.now);
    let frames = acceptor.frames();
    let welcome = crate::wire::Hello::parse(&frames[0].payload).unwrap();
    assert_eq!(welcome.versions, Versions { first: 1, last: 1 });
}

/// LW-3.7: a refusal reaches the dialer's application with code and text.
/// LW-2.2: the acceptor's preface stands in front of it.
#[test]
fn a_refusal_is_told() {
    let config = SharedConfig::default();
    let mut acceptor = Bench::deciding(&config);
    let info = CloseInfo::with_text("no such key");
    acceptor.connection.refuse(acceptor.now, CloseCode::BAD_CREDENTIALS, info.clone());
    let said = acceptor.written();
    assert_eq!(said[..8], PREFACE);
    let mut dialer = Bench::handshaking(Role::Dialer, &config);
    dialer.frames();
    dialer.feed(&said);
    assert_eq!(dialer.frames(), [Frame::close(CloseCode::BAD_CREDENTIALS)]);
    let reason = CloseReason::Peer(CloseCode::BAD_CREDENTIALS, Some(info.into()));
    assert_eq!(dialer.end(), reason);
    assert_eq!(acceptor.end(), CloseReason::Local(CloseCode::BAD_CREDENTIALS));
}

/// LW-3.7: the decision is the application's, once, and after HELLO.
#[test]
fn a_decision_counts_once_and_in_its_time() {
    let config = SharedConfig::default();
    let mut early = Bench::handshaking(Role::Acceptor, &config);
    early.connection.accept(early.now);
    early.connection.refuse(early.now, CloseCode::REFUSED, CloseInfo::default());
    assert_eq!((early.written().len(), early.events().len()), (0, 0));

    let mut twice = Bench::deciding(&config);
    twice.connection.accept(twice.now);
    twice.connection.accept(twice.now);
    twice.connection.refuse(twice.now, CloseCode::REFUSED, CloseInfo::default());
    assert_eq!(kinds(&twice.frames()), [Kind::Welcome]);
    twice.assert_open("a decision after the decision");

    let mut dialer = Bench::handshaking(Role::Dialer, &config);
    dialer.connection.accept(dialer.now);
    assert_eq!(kinds(&dialer.frames()), [Kind::Hello]);
}

/// LW-7.7: CLOSE may come from either side during the handshake, in place of HELLO and WELCOME too.
#[test]
fn a_close_in_the_handshake_is_answered() {
    let config = SharedConfig::default();
    let close = Frame::close(CloseCode::GOING_AWAY);
    let greeting = [&PREFACE[..], &close.bytes()].concat();
    let mut acceptor = Bench::handshaking(Role::Acceptor, &config);
    acceptor.feed(&greeting);
    assert_eq!(acceptor.written(), greeting);
    let mut deciding = Bench::deciding(&config);
    deciding.take(&close);
    deciding.connection.accept(deciding.now);
    assert_eq!(deciding.written(), greeting);
    let mut dialer = Bench::handshaking(Role::Dialer, &config);
    dialer.feed(&greeting);
    assert_eq!(kinds(&dialer.frames()), [Kind::Hello, Kind::Close]);
    for bench in [acceptor, deciding, dialer] {
        assert_eq!(bench.end(), CloseReason::Peer(CloseCode::GOING_AWAY, None));
    }
}

/// LW-7.7: whoever closes during the handshake sends what comes first there, then CLOSE, and discards the rest.
#[test]
fn a_side_may_close_in_the_handshake() {
    let config = SharedConfig::default();
    let mut dialer = Bench::handshaking(Role::Dialer, &config);
    let mut silent = Bench::handshaking(Role::Acceptor, &config);
    let mut deciding = Bench::deciding(&config);
    for bench in [&mut dialer, &mut silent, &mut deciding] {
        bench.connection.close(bench.now, CloseCode::NORMAL, CloseInfo::default());
        bench.feed(b"GET / HTTP/1.1 and whatever else");
        bench.connection.accept(bench.now);
    }
    assert_eq!(kinds(&dialer.frames()), [Kind::Hello, Kind::Close]);
    assert_eq!(kinds(&silent.frames()), [Kind::Close]);
    assert_eq!(kinds(&deciding.frames()), [Kind::Close]);
    for bench in [dialer, silent, deciding] {
        assert_eq!(bench.end(), CloseReason::Local(CloseCode::NORMAL));
    }
}

/// LW-3.3: tag 10 is a dialer's; what an acceptor puts there is ignored.
#[test]
fn credentials_in_welcome_are_ignored() {
    let mut welcome = Config::default().hello();
    welcome.credentials = "not for a dialer".into();
    let mut dialer = Bench::handshaking(Role::Dialer, &SharedConfig::default());
    dialer.feed(&[&PREFACE[..], &Frame::hello(Kind::Welcome, &welcome).bytes()].concat());
    let Event::Open(Some(welcome)) = dialer.event() else { panic!("not open") };
    assert!(welcome.credentials.is_empty());
}

/// LW-2.5: unknown kinds with IGNORABLE are skipped during the handshake too.
#[test]
fn unknown_kinds_are_skipped_during_the_handshake() {
    for role in BOTH {
        let mut bench = Bench::handshaking(role, &SharedConfig::default());
        let mut unknown = Frame::control(Kind::Close, 5, &[1; 300]).with(Flags::IGNORABLE).bytes();
        unknown[4] = 0x77;
        let expected = if role == Role::Acceptor { Kind::Hello } else { Kind::Welcome };
        bench.feed(&[&PREFACE[..], &unknown, &Frame::example(expected).bytes()].concat());
        assert_eq!(bench.events().len(), 1);
        assert_eq!(bench.connection.counters().frames_ignored, 1);
    }
}

/// LW-12.1: a new connection starts with new tables and accounts: the same ids and the whole windows.
#[test]
fn every_connection_starts_afresh() {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for _ in 0..2 {
        let mut bench = Bench::open_with(Role::Dialer, smallest(), &smallest());
        bench.call(&[0; 1024]);
        all.push(bench.written());
        bench.pass(SECOND);
    }
    assert_eq!(all[0], all[1]);
}

/// Credentials are for the acceptor's application alone: what may end up in a log says only how long they are.
#[test]
fn credentials_are_not_shown() {
    let config = Config { credentials: "s3cret".into(), ..Config::default() };
    let mut pair = Pair {
        dialer: Bench::handshaking(Role::Dialer, &config.clone().share().unwrap()),
        acceptor: Bench::handshaking(Role::Acceptor, &Config::default().share().unwrap()),
    };
    pair.carry();
    let event = pair.acceptor.event();
    let Event::Hello(hello) = &event else { panic!("{event:?}") };
    assert_eq!(hello.credentials[..], b"s3cret"[..]);
    let shared = config.clone().share().unwrap();
    for shown in [format!("{config:?}"), format!("{shared:?}"), format!("{hello:?}"), format!("{event:?}")] {
        assert!(shown.contains("credentials: <6 bytes>"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("115, 51"), "{shown}");
    }
}
