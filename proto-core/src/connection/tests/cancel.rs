//! Calls that are given up, on their caller's side.

use proptest::prelude::*;

use super::{Bench, Frame, Pair, SECOND, id, in_pieces, kinds, outcomes, plain};
use crate::config::Config;
use crate::connection::Role;
use crate::error::{CloseReason, Delivery, Refusal};
use crate::event::{CallId, Event, Message, Outcome, RequestId, Timeout};
use crate::wire::{Capabilities, CloseCode, CloseInfo, Extensions, Flags, Kind, StatusCode};

/// Takes fragments, and knows nothing of CANCEL.
fn without_cancel() -> Config {
    Config { capabilities: Capabilities::FRAGMENTS, ..Config::default() }
}

fn cancelled() -> Outcome {
    Outcome::Reply { status: StatusCode::CANCELLED, extensions: Extensions::none(), body: "".into() }
}

/// Ends a call before its reply: by giving it up, or by its deadline. Says whether the peer can have it.
fn give_up(bench: &mut Bench, call: CallId, by_deadline: bool) -> Option<Delivery> {
    if !by_deadline {
        return bench.connection.cancel(bench.now, call);
    }
    bench.pass(SECOND);
    let ended = bench.events().into_iter().find_map(|event| match event {
        Event::Ended { call: ended, outcome: Outcome::TimedOut(delivery) } if ended == call => Some(delivery),
        _ => None,
    });
    // Its caller has heard of it, so there is nothing left to give up.
    assert_eq!(bench.connection.cancel(bench.now, call), None);
    ended
}

fn call(bench: &mut Bench, length: usize) -> CallId {
    let message = Message::new(7, vec![1; length]);
    bench.connection.call(bench.now, message, Timeout::After(SECOND)).unwrap()
}

/// LW-4.12: of a call whose REQUEST still waits, the peer never hears; slot and charge are free at once.
#[test]
fn a_call_that_waits_is_deleted() {
    for by_deadline in [false, true] {
        let peer = Config { call_slots: 1, ..Config::default() };
        let mut bench = Bench::open_with(Role::Dialer, in_pieces(), &peer);
        bench.connection.push(bench.now, Message::new(1, "in front")).unwrap();
        let waiting = call(&mut bench, 10_000);
        let charged = bench.connection.request_account;
        assert_eq!(give_up(&mut bench, waiting, by_deadline), Some(Delivery::NotSent));
        assert_ne!(bench.connection.request_account, charged);
        assert_eq!(bench.connection.request_account, super::super::SendAccount::new(peer.request_window));
        assert_eq!(bench.connection.calls_in_flight(), 0);
        let next = call(&mut bench, 1);
        assert_eq!(next.sequence(), id(2, 0));
        assert_eq!(kinds(&bench.frames()), [Kind::Push, Kind::Request]);
    }
}

/// LW-4.12: of a call whose REQUEST has its place, the peer hears by CANCEL, once.
/// LW-4.3: the slot is free when the REPLY has come, whatever it says, and not before.
#[test]
fn a_call_that_was_sent_is_cancelled() {
    for (peer, told) in [(Config::default(), true), (without_cancel(), false), (plain(), false)] {
        for by_deadline in [false, true] {
            let mut bench =
                Bench::open_with(Role::Dialer, Config::default(), &Config { call_slots: 1, ..peer.clone() });
            let sent = call(&mut bench, 1);
            bench.frames();
            assert_eq!(give_up(&mut bench, sent, by_deadline), Some(Delivery::MaybeSent));
            assert_eq!(bench.connection.cancel(bench.now, sent), None);
            let expected = if told { [Frame::cancel(id(1, 0))].into() } else { alloc::vec![] };
            assert_eq!(bench.frames(), expected);
            let refused = bench.connection.call(bench.now, Message::new(1, ""), Timeout::Never).unwrap_err();
            assert_eq!(refused.refusal, Refusal::NoSlot);
            bench.take(&Frame::status(id(1, 0), StatusCode::CANCELLED));
            assert_eq!(bench.events(), [Event::Writable]);
            assert_eq!(call(&mut bench, 1).sequence(), id(2, 0));
        }
    }
}

/// LW-4.12: a caller that gives up between two fragments sends CANCEL in place of the rest; the call was not run. The whole
/// charge stays spent, since the callee has charged it.
#[test]
fn a_call_that_was_sent_in_part_is_cut_off() {
    for by_deadline in [false, true] {
        let mut bench = Bench::open_with(Role::Dialer, in_pieces(), &Config::default());
        let half = call(&mut bench, 10_000);
        let first = bench.committed();
        assert_eq!((kinds(&first), first[0].header.length), ([Kind::Request].into(), 4096));
        let charged = bench.connection.request_account;
        assert_eq!(give_up(&mut bench, half, by_deadline), Some(Delivery::NotSent));
        assert_eq!(bench.connection.request_account, charged);
        assert_eq!(bench.connection.calls_in_flight(), 1);
        // The second fragment had its place already.
        assert_eq!(bench.frames()[1..], [Frame::cancel(id(1, 0))]);
        bench.take(&Frame::status(id(1, 0), StatusCode::CANCELLED));
        assert_eq!((bench.events().len(), bench.connection.calls_in_flight()), (0, 0));
        assert_eq!(bench.connection.counters().replies_late, 1);
    }
}

/// LW-3.9: a peer that does not know CANCEL gets the rest of a REQUEST that it has in part, and no CANCEL.
#[test]
fn a_call_is_sent_to_its_end_to_who_does_not_know_cancel() {
    for by_deadline in [false, true] {
        let mut bench = Bench::open_with(Role::Dialer, in_pieces(), &without_cancel());
        let half = call(&mut bench, 10_000);
        bench.committed();
        // The peer will have all of it, and may run it.
        assert_eq!(give_up(&mut bench, half, by_deadline), Some(Delivery::MaybeSent));
        let rest = bench.frames();
        assert_eq!(kinds(&rest), [Kind::Request; 2]);
        assert!(!rest[1].header.flags.contains(Flags::MORE));
        assert_eq!(bench.connection.calls_in_flight(), 1);
        bench.take(&Frame::reply(id(1, 0), b"late"));
        assert_eq!((bench.events().len(), bench.connection.calls_in_flight()), (0, 0));
    }
}

/// LW-4.12: a CANCEL whose call is answered before it has its place is not sent; the slot's next call is not cancelled.
#[test]
fn a_cancel_that_comes_too_late_is_not_sent() {
    let mut bench = Bench::open(Role::Dialer, Config { commit_limit: 1, ..Config::default() });
    let sent = call(&mut bench, 1);
    bench.frames();
    bench.connection.push(bench.now, Message::new(1, "in front")).unwrap();
    bench.connection.cancel(bench.now, sent);
    bench.take(&Frame::reply(sent.sequence(), b""));
    let next = call(&mut bench, 1);
    assert_eq!(next.sequence().slot(), sent.sequence().slot());
    assert_eq!(kinds(&bench.frames()), [Kind::Push, Kind::Request]);
    assert_eq!(bench.connection.calls_in_flight(), 1);
    assert_eq!(bench.events(), []);
}

/// LW-4.3, LW-4.12: a call may be given up while its REPLY arrives in fragments: what has come is freed at once, the rest is
/// counted and dropped, and the slot is free with the last of it, or with the CANCEL in its place.
#[test]
fn a_call_may_be_given_up_while_its_reply_arrives() {
    for (peer, given_up_by_peer) in [(Config::default(), true), (Config::default(), false), (plain(), false)]
    {
        let config = Config { undelivered_limit: 60_000, ..Config::default() };
        let mut bench = Bench::open_with(Role::Dialer, config, &peer);
        let (one, two) = (bench.call(b""), bench.call(b""));
        bench.frames();
        let before = bench.connection.held_bytes();
        let parts = Frame::reply(one.sequence(), &[1; 60_000]).cut(&[20_000]);
        bench.take(&parts[0]);
        bench.feed(&parts[1].bytes()[..10_000]);
        assert!(bench.connection.held_bytes() > before + 29_000);
        assert_eq!(bench.connection.cancel(bench.now, one), Some(Delivery::MaybeSent));
        assert!(bench.connection.held_bytes() < before + 1000);
        bench.feed(&parts[1].bytes()[10_000..]);
        let cancel = peer.capabilities.contains(Capabilities::CANCEL);
        assert_eq!(kinds(&bench.frames()).len(), usize::from(cancel));
        // The room that was reserved for it is free again.
        bench.take(&Frame::reply(two.sequence(), &[2; 60_000]));
        assert!(matches!(bench.event(), Event::Ended { outcome: Outcome::Reply { .. }, .. }));
        assert_eq!(bench.connection.calls_in_flight(), 1);
        if given_up_by_peer {
            bench.take(&Frame::cancel_reply(one.sequence()));
        } else {
            bench.feed(&super::stream(&parts[2..]));
        }
        assert_eq!((bench.events().len(), bench.connection.calls_in_flight()), (0, 0));
        assert_eq!(bench.connection.counters().replies_late, 1);
        assert_eq!(bench.rested(), 0);
    }
}

/// LW-4.13: CANCEL with ORIGIN in place of the rest of a REPLY is the final REPLY: status CANCELLED, no body.
#[test]
fn a_reply_may_be_given_up_by_the_peer() {
    let mut bench = Bench::open(Role::Dialer, Config { undelivered_limit: 1000, ..Config::default() });
    for _ in 0..3 {
        let call = bench.call(b"");
        bench.frames();
        bench.feed(&super::stream(&Frame::reply(call.sequence(), &[1; 1000]).cut(&[300])[..2]));
        bench.take(&Frame::cancel_reply(call.sequence()));
        assert_eq!(bench.event(), Event::Ended { call, outcome: cancelled() });
        assert_eq!((bench.connection.calls_in_flight(), bench.frames().len()), (0, 0));
        assert_eq!(bench.connection.events.reply_bytes(), 0, "the room that was reserved is free");
    }
    // One that is dropped for lack of room ends by it too.
    let calls = [bench.call(b""), bench.call(b"")];
    bench.frames();
    bench.take(&Frame::reply(calls[0].sequence(), &[1; 1000]));
    bench.take(&Frame::reply(calls[1].sequence(), b"!").first_of(1000));
    bench.take(&Frame::cancel_reply(calls[1].sequence()));
    assert_eq!(outcomes(&bench.events())[1], &cancelled());
    assert_eq!(bench.connection.events.reply_bytes(), 0);
}

/// LW-4.13: CANCEL with ORIGIN for an id of which no unfinished REPLY has come is BAD_FRAGMENT.
#[test]
fn a_reply_that_has_not_begun_cannot_be_given_up() {
    for case in 0..4 {
        let mut bench = Bench::open(Role::Dialer, Config::default());
        let call = bench.call(b"").sequence();
        bench.frames();
        let id = match case {
            0 => call,
            1 => id(9, 9),
            2 => {
                bench.take(&Frame::reply(call, b""));
                call
            }
            _ => {
                bench.take(&Frame::reply(call, b"!").first_of(9));
                id(call.generation() + 1, call.slot())
            }
        };
        bench.take(&Frame::cancel_reply(id));
        bench.assert_failed(CloseCode::BAD_FRAGMENT, "no unfinished reply");
    }
}

/// LW-7.1, LW-7.2: no CANCEL stands behind the own CLOSE, and none is sent in answer to the peer's.
#[test]
fn no_cancel_goes_out_with_a_close() {
    for peers in [false, true] {
        let mut bench = Bench::open(Role::Dialer, Config { commit_limit: 1, ..Config::default() });
        let sent = bench.call(b"");
        bench.frames();
        bench.connection.push(bench.now, Message::new(1, "in front")).unwrap();
        if peers {
            bench.connection.cancel(bench.now, sent);
            bench.take(&Frame::close(CloseCode::NORMAL));
        } else {
            bench.connection.close(bench.now, CloseCode::NORMAL, CloseInfo::default());
            bench.committed();
            let held = bench.connection.held_bytes();
            assert_eq!(bench.connection.cancel(bench.now, sent), Some(Delivery::MaybeSent));
            assert_eq!(bench.connection.held_bytes(), held, "nothing waits that can never be sent");
        }
        let last = kinds(&bench.frames());
        assert_eq!(last, if peers { [Kind::Push, Kind::Close].to_vec() } else { [Kind::Close].to_vec() });
        assert!(matches!(bench.end(), CloseReason::Local(_) | CloseReason::Peer(..)));
    }
}

proptest! {
    /// LW-4.3, LW-4.12, LW-4.13, LW-6.3: whatever is given up whenever, no side breaks a rule, every call that was not
    /// given up ends once, and in the end every slot and every charge is back.
    #[test]
    fn slots_and_charges_are_conserved(
        script in prop::collection::vec((0u8..8, any::<usize>(), prop_oneof![0usize..50, 4000usize..20_000]), 1..80),
        capabilities in 0u64..8,
    ) {
        let peer = Config { capabilities: Capabilities::from_bits(capabilities), max_message: 30_000, ..in_pieces() };
        let peer = Config { max_frame: if capabilities & 1 == 0 { 30_000 } else { 4096 }, ..peer };
        let mut pair = Pair::open(in_pieces(), peer);
        let (mut calls, mut requests, mut ended) = (alloc::vec::Vec::new(), alloc::vec::Vec::new(), 0);
        let mut given_up = 0;
        let mut made = 0;
        let mut step = |pair: &mut Pair, (what, which, length): (u8, usize, usize)| {
            let now = pair.dialer.now;
            match what {
                0 | 1 => {
                    let message = Message::new(7, vec![1; length]);
                    if let Ok(call) = pair.dialer.connection.call(now, message, Timeout::Never) {
                        calls.push(call);
                        made += 1;
                    }
                }
                2 if !calls.is_empty() => {
                    let call = calls.swap_remove(which % calls.len());
                    given_up += usize::from(pair.dialer.connection.cancel(now, call).is_some());
                }
                3 if !requests.is_empty() => {
                    let request: RequestId = requests.swap_remove(which % requests.len());
                    let body = vec![2; length].into();
                    pair.acceptor.connection.reply(now, request, StatusCode::OK, Extensions::none(), body).unwrap();
                }
                4 => {
                    let frame = pair.dialer.committed();
                    pair.acceptor.feed(&super::stream(&frame));
                }
                5 => {
                    let frame = pair.acceptor.committed();
                    pair.dialer.feed(&super::stream(&frame));
                }
                6 => for event in pair.acceptor.events() {
                    match event {
                        Event::Request { id, .. } => requests.push(id),
                        Event::Cancelled(id) => assert!(requests.iter().any(|request| request.sequence() == id)),
                        other => panic!("{other:?}"),
                    }
                },
                7 => for event in pair.dialer.events() {
                    let Event::Ended { call, outcome: Outcome::Reply { .. } } = event else { panic!("{event:?}") };
                    ended += 1;
                    calls.retain(|&waiting| waiting != call);
                },
                _ => {}
            }
        };
        for entry in script {
            step(&mut pair, entry);
        }
        for _ in 0..100 {
            for what in [4, 6, 3, 5, 7] {
                step(&mut pair, (what, 0, 10));
            }
            pair.carry();
        }
        prop_assert!(pair.dialer.connection.is_open() && pair.acceptor.connection.is_open());
        prop_assert_eq!(ended + given_up, made);
        prop_assert_eq!((pair.dialer.connection.calls_in_flight(), pair.acceptor.connection.requests_in_flight()), (0, 0));
        prop_assert_eq!(pair.acceptor.connection.request_window.outstanding(), 0);
        for bench in [&mut pair.dialer, &mut pair.acceptor] {
            prop_assert_eq!(bench.rested(), 0);
        }
    }
}
