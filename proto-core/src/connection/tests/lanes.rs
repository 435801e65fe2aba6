//! What goes first, and how long what is urgent waits.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Bench, Frame, SECOND, id, in_pieces, kinds, smallest};
use crate::config::Config;
use crate::connection::Role;
use crate::event::{Event, Message};
use crate::wire::{Capabilities, CloseCode, CloseInfo, Flags, HEADER_LEN, Kind, Lane};

const LANES: [Lane; 3] = [Lane::High, Lane::Normal, Lane::Bulk];

fn push(bench: &mut Bench, lane: Lane, length: usize) {
    bench.connection.push(bench.now, Message::new(1, vec![0; length]).in_lane(lane)).unwrap();
}

/// LW-6.12: PONG, CREDIT, DRAIN and CANCEL go before all messages, DRAIN with END behind the last REQUEST, and CLOSE behind
/// all.
#[test]
fn what_is_no_message_goes_first() {
    let mut bench =
        Bench::open_with(Role::Acceptor, Config { commit_limit: 1, ..smallest() }, &Config::default());
    let given_up = bench.call(b"");
    bench.frames();
    bench.take(&Frame::push(&[0; 1024]));
    let token = bench.push_token();
    bench.take(&Frame::request(id(1, 0), b"").with(Flags::from_bits(0x40)));
    let request = bench.request();
    push(&mut bench, Lane::Normal, 0);
    // From here on all waits, the most urgent message of all in front.
    bench.answer(request, b"");
    push(&mut bench, Lane::High, 0);
    bench.call(b"");
    bench.connection.cancel(bench.now, given_up);
    bench.connection.drain(bench.now, CloseCode::NORMAL, CloseInfo::default(), SECOND);
    bench.connection.release(bench.now, token);
    bench.take(&Frame::ping(1));
    let sent = bench.frames();
    let expected = [
        Kind::Push,
        Kind::Pong,
        Kind::Credit,
        Kind::Drain,
        Kind::Cancel,
        Kind::Reply,
        // What the reply returned.
        Kind::Credit,
        Kind::Request,
        Kind::Drain,
        Kind::Push,
    ];
    assert_eq!(kinds(&sent), expected);
    assert!(!sent[3].header.flags.contains(Flags::END) && sent[8].header.flags.contains(Flags::END));
    bench.connection.close(bench.now, CloseCode::NORMAL, CloseInfo::default());
    assert_eq!(kinds(&bench.frames()), [Kind::Close]);
}

/// LW-6.12: lanes with much to send share the stream as 8 : 4 : 1 by their bytes, fragments, replies and all.
#[test]
fn lanes_share_the_stream() {
    let mut bench = Bench::open(Role::Acceptor, in_pieces());
    for (slot, lane) in (0u16..).zip(LANES) {
        bench.take(&Frame::request(id(1, slot), b"").with(Flags::empty().with_lane(lane)));
        let request = bench.request();
        bench.answer(request, &[0; 800_000]);
    }
    let mut sent = [0; 3];
    while sent.iter().sum::<usize>() < 900_000 {
        for frame in bench.committed() {
            let lane = LANES.iter().position(|&lane| Some(lane) == frame.header.flags.lane()).unwrap();
            sent[lane] += HEADER_LEN + frame.payload.len();
        }
    }
    for (lane, share) in [8, 4, 1].into_iter().enumerate() {
        let expected = 900_000 * share / 13;
        assert!(sent[lane].abs_diff(expected) < 20_000, "{sent:?}");
    }
}

/// LW-6.12: a lane that was silent gains nothing by it, and loses nothing.
#[test]
fn silence_is_not_saved_up() {
    let mut bench = Bench::open(Role::Acceptor, in_pieces());
    for _ in 0..50 {
        push(&mut bench, Lane::High, 20_000);
    }
    for _ in 0..100 {
        bench.committed();
    }
    push(&mut bench, Lane::Bulk, 400_000);
    let lanes: Vec<_> =
        (0..52).flat_map(|_| bench.committed()).map(|frame| frame.header.flags.lane()).collect();
    let bulk = lanes.iter().filter(|&&lane| lane == Some(Lane::Bulk)).count();
    assert!((4..=8).contains(&bulk), "{bulk} of 52 frames");
}

/// LW-2.8, LW-4.6: a reply goes in its request's lane.
#[test]
fn a_reply_goes_in_the_lane_of_its_request() {
    for lane in LANES {
        for body in [0, 10_000] {
            let mut bench = Bench::open(Role::Acceptor, in_pieces());
            bench.take(&Frame::request(id(1, 0), b"").with(Flags::empty().with_lane(lane)));
            let Event::Request { id: request, message, .. } = bench.event() else { panic!("no request") };
            assert_eq!(message.lane, lane);
            bench.answer(request, &vec![0; body]);
            assert!(bench.frames().iter().all(|frame| frame.header.flags.lane() == Some(lane)));
        }
    }
}

proptest! {
    /// LW-8.1, LW-6.12: while much is flowing, whatever is urgent waits behind at most what is committed ahead and one
    /// frame: the answer to a PING, and a CANCEL.
    /// LW-6.12: an urgent message waits for that and one frame of each lane.
    #[test]
    fn what_is_urgent_waits_for_a_bounded_time(
        commit_limit in 1usize..40_000,
        max_frame in 4096u32..20_000,
        written in prop::collection::vec(1usize..9000, 1..40),
        capabilities in prop_oneof![Just(Capabilities::SUPPORTED), Just(Capabilities::CANCEL)],
    ) {
        let config = Config { commit_limit, max_frame, ..Config::default() };
        let mut bench = Bench::open_with(Role::Acceptor, config, &Config { max_frame, capabilities, ..Config::default() });
        let call = bench.call(b"");
        bench.frames();
        let length = if capabilities == Capabilities::SUPPORTED { 500_000 } else { max_frame as usize };
        for lane in [Lane::Bulk, Lane::Normal, Lane::Bulk] {
            push(&mut bench, lane, length);
        }
        let mut pending = Vec::new();
        for n in written {
            pending.extend(bench.connection.transmit().flatten().take(n));
            bench.connection.advance_transmit(bench.now, n);
        }
        let before = pending.len();
        bench.take(&Frame::ping(1));
        bench.connection.cancel(bench.now, call);
        push(&mut bench, Lane::High, 100);
        pending.extend(bench.written());
        let (mut at, mut seen) = (0, 0);
        let frame = HEADER_LEN + max_frame as usize;
        for sent in super::parse(&pending) {
            let waited = at.max(before) - before;
            let bound = match (sent.kind(), sent.header.flags.lane()) {
                (Kind::Pong | Kind::Cancel, _) => commit_limit + frame + 100,
                (_, Some(Lane::High)) => commit_limit + 3 * frame + 100,
                _ => usize::MAX,
            };
            prop_assert!(waited <= bound, "{:?} waited for {waited} bytes", sent.kind());
            seen += usize::from(bound < usize::MAX);
            at += HEADER_LEN + sent.payload.len();
        }
        prop_assert_eq!(seen, 3);
    }
}
