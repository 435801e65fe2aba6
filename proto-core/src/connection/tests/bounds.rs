//! Nothing grows without a limit, and every byte that is held is accounted for.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::{BOTH, Bench, Frame, Pair, SECOND, id, outcomes, plain, smallest};
use crate::config::{Config, HeartbeatConfig};
use crate::connection::Role;
use crate::error::Refusal;
use crate::event::{Event, Message, Outcome, Timeout};
use crate::wire::{CloseCode, Extensions, Flags, Kind, PREFACE, StatusCode};

/// An idle connection holds what a new one holds, which is no buffer and no table, however much went through it.
#[test]
fn an_idle_connection_holds_nothing() {
    let quiet = Config { heartbeat: None, ..Config::default() };
    holds_when_idle(&quiet);
    holds_when_idle(&Config::default());
}

fn holds_when_idle(config: &Config) {
    let mut pair = Pair::open(config.clone(), config.clone());
    for _ in 0..3 {
        pair.dialer.call(&[1; 100_000]);
        pair.dialer.connection.push(pair.dialer.now, Message::new(1, vec![2; 100_000])).unwrap();
        assert!(pair.dialer.connection.held_bytes() >= 200_000);
        pair.carry();
        assert!(pair.acceptor.connection.held_bytes() >= 200_000);
        for event in pair.acceptor.events() {
            match event {
                Event::Request { id, .. } => pair.acceptor.answer(id, &[3; 100_000]),
                Event::Push { token, .. } => pair.acceptor.connection.release(pair.acceptor.now, token),
                other => panic!("{other:?}"),
            }
        }
        pair.carry();
        pair.dialer.events();
        for bench in [&mut pair.dialer, &mut pair.acceptor] {
            let kept = bench.connection.held_bytes();
            assert!(kept < 64 << 10, "{kept} bytes are kept");
            assert_eq!(bench.rested(), 0);
        }
    }
}

/// A transfer that is longer than all that may wait leaves room for small messages, and no other transfer waits beside it.
#[test]
fn a_transfer_leaves_room_for_small_messages() {
    let theirs = Config::default().with_max_message(4 << 20);
    let ours = Config { outbox_limit: 10_000, ..theirs.clone() };
    let mut pair = Pair::open(ours, theirs);
    let push = |pair: &mut Pair, length: usize| {
        let dialer = &mut pair.dialer;
        dialer
            .connection
            .push(dialer.now, Message::new(1, vec![1; length]))
            .map_err(|refused| refused.refusal)
    };
    assert_eq!(push(&mut pair, 1 << 20), Ok(()));
    assert_eq!(push(&mut pair, 1 << 20), Err(Refusal::Full), "one transfer is enough");
    let small = (0..1000).take_while(|_| push(&mut pair, 36) == Ok(())).count();
    assert_eq!(small, 50, "half of the room, of which each takes 100 bytes");
    pair.carry();
    pair.dialer.events();
    for event in pair.acceptor.events() {
        if let Event::Push { token, .. } = event {
            pair.acceptor.connection.release(pair.acceptor.now, token);
        }
    }
    pair.carry();
    assert!(pair.dialer.events().contains(&Event::Writable) || push(&mut pair, 1 << 20) == Ok(()));
    assert_eq!(push(&mut pair, 36), Ok(()));
}

/// A frame that is announced reserves no room; its bytes are held as they come.
#[test]
fn room_is_made_for_what_arrives() {
    let mut bench = Bench::open(Role::Acceptor, Config { max_frame: 1 << 20, ..Config::default() });
    bench.take(&Frame::push(&[]).announcing(1 << 20));
    assert!(bench.connection.held_bytes() < 1000);
    bench.feed(&[0; 1000]);
    assert!((1000..70_000).contains(&bench.connection.held_bytes()));
    bench.connection.handle_eof(bench.now);
    assert_eq!(bench.events().len(), 1);
    assert_eq!(bench.connection.held_bytes(), 0);
}

/// Replies beyond the limit for what the application has not taken are dropped unread, and their calls end so.
#[test]
fn replies_that_nobody_takes_are_discarded() {
    let mut bench = Bench::open(Role::Dialer, Config { undelivered_limit: 1000, ..Config::default() });
    let calls: Vec<_> = (0..4).map(|_| bench.call(b"").sequence()).collect();
    bench.frames();
    for (&call, length) in calls.iter().zip([600, 400, 1, 0]) {
        bench.take(&Frame::reply(call, &vec![1; length]));
    }
    let events = bench.events();
    let [Outcome::Reply { .. }, Outcome::Reply { .. }, Outcome::Discarded, Outcome::Reply { .. }] =
        outcomes(&events)[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(bench.connection.counters().replies_discarded, 1);
    assert_eq!(bench.connection.calls_in_flight(), 0);
    // The application has taken them, so there is room again; beside another, a large one is dropped even as it trickles.
    let calls = [(); 3].map(|()| bench.call(b"").sequence());
    bench.frames();
    bench.take(&Frame::reply(calls[2], &[1]));
    let large = Frame::reply(calls[0], &[1; 1000]).bytes();
    let held = bench.connection.held_bytes();
    for byte in large {
        bench.feed(&[byte]);
        assert!(bench.connection.held_bytes() <= held + 1000);
    }
    bench.take(&Frame::reply(calls[1], &[1; 999]));
    let events = bench.events();
    let ended = outcomes(&events);
    assert!(
        matches!(ended[..], [Outcome::Reply { .. }, Outcome::Discarded, Outcome::Reply { .. }]),
        "{events:?}"
    );
}

/// A reply for which there is no room is replaced by REPLY_DISCARDED, so that its caller gets an answer.
#[test]
fn replies_that_cannot_wait_are_replaced() {
    let mut bench =
        Bench::open(Role::Acceptor, Config { commit_limit: 1, reply_limit: 1000, ..Config::default() });
    bench.connection.push(bench.now, Message::new(1, "in front")).unwrap();
    let mut replied = Vec::new();
    for (slot, length) in [(0, 600), (1, 401), (2, 400), (3, 1), (4, 0)] {
        bench.take(&Frame::request(id(1, slot), b""));
        let request = bench.request();
        let body = vec![1; length].into();
        replied.push(bench.connection.reply(bench.now, request, StatusCode::OK, Extensions::none(), body));
    }
    assert_eq!(replied, [Ok(()), Err(Refusal::Full), Ok(()), Err(Refusal::Full), Ok(())]);
    let sent = bench.frames();
    let sent: Vec<_> = sent[1..].iter().map(|reply| (reply.header.code, reply.payload.len())).collect();
    let discarded = (StatusCode::REPLY_DISCARDED.0, 0);
    assert_eq!(sent, [(0, 600), discarded, (0, 400), discarded, (0, 0)]);
    assert_eq!(bench.connection.counters().replies_replaced, 2);
}

/// One reply always fits, in either direction: a limit smaller than a message does not keep calls from their results.
#[test]
fn one_reply_fits_whatever_the_limit() {
    let config = Config {
        max_frame: 1 << 20,
        commit_limit: 1,
        reply_limit: 10,
        undelivered_limit: 10,
        ..Config::default()
    };
    let mut bench = Bench::open_with(Role::Acceptor, config, &Config { max_frame: 1 << 20, ..plain() });
    for round in 1..3 {
        bench.connection.push(bench.now, Message::new(1, "in front")).unwrap();
        bench.take(&Frame::request(id(round, 0), b""));
        let request = bench.request();
        bench.answer(request, &[1; 100_000]);
        assert_eq!(bench.frames()[1], Frame::reply(id(round, 0), &[1; 100_000]));

        let call = bench.call(b"").sequence();
        bench.frames();
        bench.take(&Frame::reply(call, &[1; 100_000]));
        let events = bench.events();
        let [Outcome::Reply { body, .. }] = outcomes(&events)[..] else { panic!("{events:?}") };
        assert_eq!(body.len(), 100_000);
    }
}

/// The stated bound is as much as can be said when the limits are as large as can be said.
#[test]
fn the_bound_of_the_largest_configuration_does_not_overflow() {
    let largest = Config {
        max_frame: u32::MAX,
        max_message: u32::MAX,
        call_slots: 65_536,
        request_window: u64::MAX,
        push_window: u64::MAX,
        outbox_limit: usize::MAX,
        reply_limit: usize::MAX,
        undelivered_limit: usize::MAX,
        commit_limit: usize::MAX,
        ..Config::default()
    };
    assert_eq!(largest.validate(), Ok(()));
    assert_eq!(largest.max_held_bytes(usize::MAX), usize::MAX);
    let undelivered = Config { undelivered_limit: usize::MAX, ..Config::default() };
    assert_eq!(undelivered.max_held_bytes(1), usize::MAX);
}

/// Messages beyond the limit of the outbox are refused and come back.
#[test]
fn a_full_outbox_refuses() {
    let config = Config { commit_limit: 1, outbox_limit: 1000, ..Config::default() };
    let mut bench = Bench::open(Role::Dialer, config);
    bench.connection.push(bench.now, Message::new(1, "committed")).unwrap();
    bench.connection.push(bench.now, Message::new(1, vec![0; 900])).unwrap();
    let refused = bench.connection.push(bench.now, Message::new(1, "no room")).unwrap_err();
    assert_eq!((refused.refusal, refused.message), (Refusal::Full, Message::new(1, "no room")));
    let refused = bench.connection.call(bench.now, Message::new(1, "x"), Timeout::Never).unwrap_err();
    assert_eq!(refused.refusal, Refusal::Full);
    assert_eq!(bench.events(), []);
    assert_eq!(bench.frames().len(), 2);
    assert_eq!(bench.events(), [Event::Writable]);
    bench.connection.push(bench.now, Message::new(1, "room")).unwrap();
}

/// A peer that floods with what costs nothing makes nothing grow.
#[test]
fn floods_of_free_frames_are_not_kept() {
    let mut bench = Bench::open(Role::Acceptor, Config::default());
    let mut unknown = Frame::ping(0).with(Flags::IGNORABLE).bytes();
    unknown[4] = 0x66;
    let mut most = 0;
    for number in 0..1000 {
        bench.take(&Frame::ping(number));
        bench.feed(&unknown);
        bench.take(&Frame::example(Kind::Pong));
        bench.take(&Frame::credit(u64::MAX, u64::MAX));
        if number == 10 {
            // From here on nothing is written.
            most = 128 << 10;
        }
        assert!(number < 10 || bench.connection.held_bytes() <= 2 * most);
    }
}

/// What a drain keeps in memory is counted, and gone with it.
#[test]
fn the_words_of_a_drain_are_held_bytes() {
    let mut bench = Bench::open(Role::Dialer, Config::default());
    bench.call(b"");
    bench.frames();
    let before = bench.connection.held_bytes();
    bench.connection.drain(
        bench.now,
        CloseCode::GOING_AWAY,
        crate::CloseInfo::with_text(&"x".repeat(200)),
        SECOND,
    );
    bench.frames();
    assert!((before + 200..before + 400).contains(&bench.connection.held_bytes()));
    bench.connection.abort(bench.now, CloseCode::GOING_AWAY);
    bench.events();
    assert_eq!(bench.connection.held_bytes(), 0);
}

/// What a hostile peer may send: frames of every kind with chosen and with arbitrary fields, and plain noise.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let frame = (0usize..11, any::<[u8; 3]>(), prop::collection::vec(any::<u8>(), 0..1200)).prop_map(
        |(kind, [slot, flags, spoil], mut payload)| {
            let kind = Kind::ALL[kind];
            let mut frame = Frame::example(kind);
            if kind.is_message() {
                payload.truncate(if spoil < 128 { 40 } else { 1200 });
                frame = Frame { payload, ..frame };
                frame.header.length = frame.payload.len() as u32;
                if kind != Kind::Push {
                    frame.header.sequence = id(1 + u32::from(slot >> 6), u16::from(slot & 3));
                }
            }
            if flags < 20 {
                frame.header.flags = frame.header.flags.with(Flags::from_bits(1 << (flags & 7)));
            }
            let mut bytes = frame.bytes();
            if spoil == 0 {
                bytes[usize::from(flags) % 16] ^= slot;
            }
            bytes
        },
    );
    prop_oneof![30 => frame, 1 => prop::collection::vec(any::<u8>(), 0..100)]
}

proptest! {
    /// Whatever a peer sends, in whatever pieces: nothing panics, what is held stays within the stated bound, and the
    /// connection ends exactly once.
    #[test]
    fn no_peer_does_harm(
        greeted in prop::bool::weighted(0.9),
        lively: bool,
        frames in prop::collection::vec(hostile(), 0..40),
        actions in prop::collection::vec((1usize..2000, 0u8..12), 1..60),
    ) {
        for role in BOTH {
            let heartbeat = lively.then(HeartbeatConfig::default);
            let config =
                Config { outbox_limit: 2000, reply_limit: 2000, undelivered_limit: 2000, heartbeat, ..smallest() };
            let bound = config.max_held_bytes(1024);
            let mut bench = Bench::handshaking(role, &config.share().unwrap());
            let hello = if role == Role::Acceptor { Kind::Hello } else { Kind::Welcome };
            let mut bytes = PREFACE.to_vec();
            if greeted {
                bytes.extend(Frame::example(hello).bytes());
                bench.feed(&bytes);
                bench.connection.accept(bench.now);
                bytes.clear();
            }
            bytes.extend(frames.iter().flatten());
            let (mut rest, mut actions, mut closed) = (&bytes[..], actions.iter().cycle(), 0);
            let (mut requests, mut tokens) = (Vec::new(), Vec::new());
            while !rest.is_empty() {
                let &(cut, action) = actions.next().unwrap();
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                rest = left;
                bench.feed(piece);
                match action {
                    0 => _ = bench.connection.call(bench.now, Message::new(1, "body"), Timeout::Default),
                    1 => _ = bench.connection.push(bench.now, Message::new(1, vec![0; 900])),
                    2 => if let Some(id) = requests.pop() {
                        let body = vec![0; 900].into();
                        _ = bench.connection.reply(bench.now, id, StatusCode::OK, Extensions::none(), body);
                    },
                    3 => if let Some(token) = tokens.pop() {
                        bench.connection.release(bench.now, token);
                    },
                    4 => bench.pass(SECOND),
                    5 => _ = bench.written(),
                    6 => bench.connection.advance_transmit(bench.now, cut),
                    7 if cut < 50 => bench.connection.close(bench.now, CloseCode::NORMAL, crate::CloseInfo::default()),
                    7 if cut < 60 => bench.connection.handle_eof(bench.now),
                    _ => while let Some(event) = bench.connection.poll_event() {
                        prop_assert_eq!(closed, 0, "{:?} behind the end", event);
                        match event {
                            Event::Request { id, .. } => requests.push(id),
                            Event::Push { token, .. } => tokens.push(token),
                            Event::Closed(_) => closed += 1,
                            _ => {}
                        }
                    },
                }
                prop_assert!(bench.connection.held_bytes() <= bound);
            }
            bench.connection.handle_eof(bench.now);
            for _ in 0..3 {
                bench.written();
                bench.pass(60 * SECOND);
            }
            prop_assert!(bench.connection.is_closed());
            closed += bench.events().iter().filter(|event| matches!(event, Event::Closed(_))).count();
            prop_assert_eq!((closed, bench.connection.held_bytes()), (1, 0));
        }
    }
}
