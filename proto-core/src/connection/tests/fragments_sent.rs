//! Messages that this side cuts into fragments.

use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::{BOTH, Bench, Frame, Pair, SECOND, id, outcomes, plain};
use crate::config::Config;
use crate::connection::Role;
use crate::error::Refusal;
use crate::event::{Event, Message, Outcome, Timeout};
use crate::wire::{
    Capabilities, CloseCode, ExtensionBlock, ExtensionFields, Extensions, Flags, HEADER_LEN, Kind, Lane,
    Sequence, StatusCode,
};

/// Takes frames of 4,096 bytes, and all else.
fn small_frames() -> Config {
    Config { max_frame: 4096, ..Config::default() }
}

fn metadata(length: usize) -> Extensions {
    Extensions::new(&ExtensionFields { metadata: Some(&vec![7; length]), ..Default::default() }).unwrap()
}

/// What the fragments of one message say together, once each of them has been judged.
#[track_caller]
fn joined(frames: &[Frame], most: u32) -> Vec<u8> {
    let (first, rest) = frames.split_first().expect("a message");
    let (total, start) = first.payload.split_at(4);
    let mut payload = start.to_vec();
    for (at, frame) in frames.iter().enumerate() {
        let header = frame.header;
        let is_last = at + 1 == frames.len();
        assert!(header.length <= most && header.length > 0, "fragment {at} has {} bytes", header.length);
        assert!(header.length == most || is_last, "only the last fragment is shorter");
        assert_eq!(header.flags.contains(Flags::MORE), !is_last);
        assert_eq!(header.flags.lane(), first.header.flags.lane());
        assert_eq!(
            (header.kind, header.sequence, header.code),
            (first.kind(), first.header.sequence, first.header.code)
        );
    }
    for frame in rest {
        assert!(!frame.header.flags.contains(Flags::EXT));
        payload.extend_from_slice(&frame.payload);
    }
    assert_eq!(total, (payload.len() as u32).to_be_bytes());
    payload
}

/// LW-6.7: a message longer than a frame is cut, the block whole in the first fragment; one that fits is not cut.
#[test]
fn what_does_not_fit_a_frame_is_cut() {
    for (length, count) in [(4096, 1), (4097, 2), (4092 + 4096, 2), (4092 + 4097, 3), (100_000, 25)] {
        for role in BOTH {
            let mut bench = Bench::open_with(role, Config::default(), &small_frames());
            bench.take(&Frame::request(id(1, 0), b""));
            let request = bench.request();
            let extensions = metadata(100);
            // 2 + 4 + 100 bytes of block, and 8 for a deadline.
            let message = Message::new(7, vec![1; length - 106]).with_extensions(extensions.clone());
            bench.connection.push(bench.now, message.clone()).unwrap();
            let pushed = bench.frames();
            bench
                .connection
                .reply(bench.now, request, StatusCode(2000), extensions, message.body.clone())
                .unwrap();
            let replied = bench.frames();
            let body = vec![1; length - 114];
            let call =
                bench.connection.call(bench.now, message.with_body(body), Timeout::After(SECOND)).unwrap();
            let called = bench.frames();
            for (kind, sequence, code, frames) in [
                (Kind::Push, if count == 1 { Sequence::CONNECTION } else { id(1, 0) }, 7, pushed),
                (Kind::Reply, id(1, 0), 2000, replied),
                (Kind::Request, call.sequence(), 7, called),
            ] {
                assert_eq!(frames.len(), count, "{kind:?} of {length} bytes");
                assert_eq!(
                    (frames[0].kind(), frames[0].header.sequence, frames[0].header.code),
                    (kind, sequence, code)
                );
                let payload = if count == 1 { frames[0].payload.clone() } else { joined(&frames, 4096) };
                assert_eq!(payload.len(), length);
                let block = ExtensionBlock::parse(kind, &payload).unwrap();
                assert_eq!(block.fields.metadata, Some(&[7; 100][..]));
                assert_eq!(block.deadline_millis, (kind == Kind::Request).then_some(1000));
                assert!(payload[block.body_at..].iter().all(|&byte| byte == 1));
            }
        }
    }
}

/// LW-6.7: frames are as long as both sides' limits allow: urgent frames wait for no longer one.
#[test]
fn a_frame_is_no_longer_than_either_side_takes() {
    for (own, peer, expected) in [(5000, 9000, 5000), (9000, 5000, 5000), (9000, 9000, 9000)] {
        let of = |max_frame| Config { max_frame, ..Config::default() };
        let mut bench = Bench::open_with(Role::Dialer, of(own), &of(peer));
        bench.call(&[1; 30_000]);
        assert_eq!(joined(&bench.frames(), expected).len(), 30_000);
    }
}

/// LW-6.6, LW-3.9: a peer without FRAGMENTS gets whole frames up to its MAX_FRAME, and nothing longer.
#[test]
fn a_peer_without_fragments_gets_whole_frames() {
    for own in [4096, 1 << 20] {
        let config = Config { max_frame: own, ..Config::default() };
        let mut bench = Bench::open_with(Role::Dialer, config, &Config { max_frame: 50_000, ..plain() });
        bench.take(&Frame::request(id(1, 0), b""));
        let request = bench.request();
        bench.call(&[1; 50_000]);
        bench.connection.push(bench.now, Message::new(9, vec![1; 50_000])).unwrap();
        let too_large = Refusal::TooLarge { length: 50_001, limit: 50_000 };
        let long = Message::new(9, vec![1; 50_001]);
        assert_eq!(bench.connection.push(bench.now, long.clone()).unwrap_err().refusal, too_large);
        assert_eq!(bench.connection.call(bench.now, long, Timeout::Never).unwrap_err().refusal, too_large);
        bench.answer(request, &[1; 50_000]);
        let whole = [1; 50_000];
        let call = Frame::request(id(1, 0), &whole);
        assert_eq!(bench.frames(), [call, Frame::push(&whole), Frame::reply(id(1, 0), &whole)]);
    }
}

/// LW-6.7: a block that does not fit the first fragment cannot be sent: the application is told, and nothing is cut wrongly.
#[test]
fn a_block_that_fits_no_first_fragment_is_refused() {
    // With 4 bytes of total, 2 of the block's length and 4 of the field's start, 4,086 remain.
    for (length, fits) in [(4086, true), (4087, false), (61_440, false)] {
        let mut pair = Pair::open(small_frames(), Config::default());
        let message = Message::new(7, vec![1; 5000]).with_extensions(metadata(length));
        let refusal = Refusal::TooLarge { length: length as u64 + 10, limit: 4096 };
        let expected = if fits { Ok(()) } else { Err((refusal, message.clone())) };
        let now = pair.acceptor.now;
        let refused = |refused: crate::Refused| (refused.refusal, refused.message);
        let (one, two) = (&mut pair.acceptor.connection, message.clone());
        assert_eq!(one.push(now, message.clone()).map_err(refused), expected);
        assert_eq!(one.call(now, two, Timeout::Never).map(|_| ()).map_err(refused), expected);
        pair.carry();
        let events = pair.dialer.events();
        assert_eq!(events.len(), if fits { 2 } else { 0 });
        for event in events {
            let (Event::Push { message: came, .. } | Event::Request { message: came, .. }) = event else {
                panic!("{event:?}")
            };
            assert_eq!(came, message);
        }
        pair.dialer.call(b"");
        pair.carry();
        let Some(Event::Request { id: request, .. }) = pair.acceptor.events().pop() else {
            panic!("no request")
        };
        let replied =
            pair.acceptor.connection.reply(now, request, StatusCode::OK, metadata(length), message.body);
        assert_eq!(replied, if fits { Ok(()) } else { Err(refusal) });
        pair.carry();
        let events = pair.dialer.events();
        let [Outcome::Reply { status, .. }] = outcomes(&events)[..] else { panic!("{events:?}") };
        assert_eq!(*status, if fits { StatusCode::OK } else { StatusCode::REPLY_TOO_LARGE });
    }
    // A message that is one frame needs no total in front of its block.
    let mut bench = Bench::open_with(Role::Dialer, Config::default(), &small_frames());
    let message = Message::new(7, "").with_extensions(metadata(4090));
    assert_eq!(bench.connection.push(bench.now, message), Ok(()));
    assert_eq!(bench.frames()[0].header.length, 4096);
}

/// LW-6.9: the sender too takes the whole charge with the first fragment, and no more later.
#[test]
fn the_whole_charge_is_taken_at_once() {
    let peer = Config { max_message: 9000, request_window: 9064, push_window: 9064, ..small_frames() };
    let mut bench = Bench::open_with(Role::Dialer, Config { commit_limit: 1, ..Config::default() }, &peer);
    bench.connection.push(bench.now, Message::new(1, vec![0; 9000])).unwrap();
    let first = bench.connection.transmit_len();
    assert_eq!(first, HEADER_LEN + 4096);
    let refused = bench.connection.push(bench.now, Message::new(1, "")).unwrap_err();
    assert_eq!(refused.refusal, Refusal::Full);
    assert_eq!(bench.frames().len(), 3);
    bench.take(&Frame::credit(9064, 9064 + 9064));
    bench.connection.push(bench.now, Message::new(1, vec![0; 9000])).unwrap();
}

/// LW-6.10: cut pushes of all lanes go at the same time, each from a slot of its own, one of 16, each with its own id.
#[test]
fn cut_pushes_do_not_share_their_slots() {
    let mut bench =
        Bench::open_with(Role::Dialer, Config { commit_limit: 1, ..Config::default() }, &small_frames());
    bench.connection.push(bench.now, Message::new(1, "in front")).unwrap();
    for _ in 0..2 {
        for lane in [Lane::Normal, Lane::High, Lane::Bulk] {
            bench
                .connection
                .push(bench.now, Message::new(1, vec![lane as u8; 100_000]).in_lane(lane))
                .unwrap();
        }
    }
    let frames = bench.frames();
    let mut receiver = Bench::open(Role::Acceptor, small_frames());
    frames.iter().for_each(|frame| receiver.take(frame));
    receiver.assert_open("16 slots, none of them twice at a time");
    assert_eq!(receiver.events().len(), 7);
    let mut ids: Vec<_> = frames[1..].iter().map(|frame| frame.header.sequence.to_u64()).collect();
    let interleaved = ids.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(interleaved > 10, "lanes take turns");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "no id is used twice");
}

/// A large body is lent from where the application has it, whole or cut, and never copied.
#[test]
fn large_bodies_are_lent_from_the_application() {
    let body = Bytes::from(vec![1; 250_000]);
    for (peer, pieces) in [(Config::default(), 4), (Config { max_frame: 1 << 20, ..plain() }, 1)] {
        let config = Config { commit_limit: 1 << 20, ..Config::default() };
        let mut bench = Bench::open_with(Role::Dialer, config, &peer);
        bench.take(&Frame::request(id(1, 0), b""));
        let request = bench.request();
        bench.connection.call(bench.now, Message::new(7, body.clone()), Timeout::Default).unwrap();
        bench.connection.push(bench.now, Message::new(7, body.clone())).unwrap();
        bench.connection.reply(bench.now, request, StatusCode::OK, Extensions::none(), body.clone()).unwrap();
        let (start, mut lent, mut copied) = (body.as_ptr() as usize, Vec::new(), 0);
        for chunk in bench.connection.transmit() {
            match (chunk.as_ptr() as usize).checked_sub(start).filter(|&at| at < body.len()) {
                Some(at) => lent.push((at, chunk.len())),
                None => copied += chunk.len(),
            }
        }
        assert_eq!(lent.len(), 3 * pieces);
        let mut at = 0;
        for (from, length) in lent {
            assert_eq!(from, at % body.len(), "chunks stand behind each other in the body");
            at = from + length;
        }
        assert!(copied < 1000, "{copied} bytes were copied");
    }
}

proptest! {
    /// LW-6.7, LW-6.9, LW-6.10: whatever one side sends in whatever lanes, the other gets it, however little is committed
    /// ahead and however long frames may be.
    #[test]
    fn what_is_cut_is_put_together(
        messages in prop::collection::vec((0usize..3, 0usize..3, prop_oneof![0usize..50, 4000usize..30_000], 0usize..3000), 1..12),
        commit_limit in prop_oneof![Just(1usize), 1usize..20_000],
        max_frame in 4096u32..10_000,
    ) {
        let config = Config { commit_limit, ..Config::default() };
        let mut pair = Pair::open(config, Config { max_frame, ..Config::default() });
        let (mut requests, mut pushes, mut replies) = (Vec::new(), Vec::new(), Vec::new());
        let lanes = [Lane::Normal, Lane::High, Lane::Bulk];
        for (number, (kind, lane, length, extra)) in (0u32..).zip(messages) {
            let message = Message::new(number, vec![number as u8; length]).in_lane(lanes[lane]);
            let message = if extra > 0 { message.with_extensions(metadata(extra)) } else { message };
            let now = pair.dialer.now;
            match kind {
                0 => {
                    pair.dialer.connection.call(now, message.clone(), Timeout::Never).unwrap();
                    requests.push(message);
                }
                1 => {
                    pair.dialer.connection.push(now, message.clone()).unwrap();
                    pushes.push(message);
                }
                _ => {
                    let asked = Message::new(number, "").in_lane(lanes[lane]);
                    pair.acceptor.connection.call(now, asked, Timeout::Never).unwrap();
                    replies.push(message);
                }
            }
        }
        pair.carry();
        for event in pair.dialer.events() {
            let Event::Request { id, message: asked, .. } = event else { panic!("{event:?}") };
            let message = replies.iter().find(|message| message.number == asked.number).unwrap().clone();
            let Message { extensions, body, .. } = message;
            prop_assert_eq!(pair.dialer.connection.reply(pair.dialer.now, id, StatusCode(asked.number), extensions, body), Ok(()));
        }
        pair.carry();
        let in_order = |kept: &[Message], came: &[Message]| lanes.iter().all(|&lane| {
            let of = |messages: &[Message]| messages.iter().filter(|message| message.lane == lane).cloned().collect::<Vec<_>>();
            of(kept) == of(came)
        });
        let (mut asked, mut told, mut answers) = (Vec::new(), Vec::new(), 0);
        for event in pair.acceptor.events() {
            match event {
                Event::Request { message, .. } => asked.push(message),
                Event::Push { message, .. } => told.push(message),
                Event::Ended { outcome: Outcome::Reply { status, extensions, body }, .. } => {
                    let sent = replies.iter().find(|message| message.number == status.0).unwrap();
                    prop_assert_eq!((&extensions, &body), (&sent.extensions, &sent.body));
                    answers += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(answers, replies.len());
        prop_assert!(in_order(&requests, &asked) && in_order(&pushes, &told));
        prop_assert_eq!((asked.len(), told.len()), (requests.len(), pushes.len()));
    }
}

/// LW-7.1: CLOSE stands behind the last fragment of what was accepted.
/// LW-7.2, LW-6.11: behind the peer's CLOSE, the rest of a REQUEST is given up, that of a PUSH and of a REPLY is sent.
#[test]
fn a_close_finds_messages_half_sent() {
    for own in [true, false] {
        let config = Config { commit_limit: 1, ..Config::default() };
        let mut bench = Bench::open_with(Role::Acceptor, config, &small_frames());
        bench.take(&Frame::request(id(1, 0), b""));
        let request = bench.request();
        bench.call(&[1; 10_000]);
        bench.connection.push(bench.now, Message::new(1, vec![2; 10_000]).in_lane(Lane::High)).unwrap();
        bench.answer(request, &[3; 10_000]);
        let mut sent = Vec::new();
        for _ in 0..2 {
            let bytes: Vec<u8> = bench.connection.transmit().flatten().copied().collect();
            bench.connection.advance_transmit(bench.now, bytes.len());
            sent.extend(super::parse(&bytes));
        }
        assert_eq!(super::kinds(&sent), [Kind::Request, Kind::Push]);
        if own {
            bench.connection.close(bench.now, CloseCode::NORMAL, crate::CloseInfo::default());
        } else {
            bench.take(&Frame::close(CloseCode::NORMAL));
        }
        sent.extend(bench.frames());
        assert_eq!(sent.pop(), Some(Frame::close(CloseCode::NORMAL)));
        let count = |kind| sent.iter().filter(|frame| frame.kind() == kind).count();
        let requests = if own { 3 } else { 1 };
        assert_eq!((count(Kind::Request), count(Kind::Push), count(Kind::Reply)), (requests, 3, 3));
    }
}

/// LW-6.6: what is longer than the peer's MAX_MESSAGE is refused, fragments or not.
#[test]
fn a_message_keeps_to_the_limit_of_messages() {
    let peer = Config { max_message: 10_000, capabilities: Capabilities::FRAGMENTS, ..small_frames() };
    let mut bench = Bench::open_with(Role::Dialer, Config::default(), &peer);
    bench.connection.push(bench.now, Message::new(1, vec![0; 10_000])).unwrap();
    let refused = bench.connection.push(bench.now, Message::new(1, vec![0; 10_001])).unwrap_err();
    assert_eq!(refused.refusal, Refusal::TooLarge { length: 10_001, limit: 10_000 });
}
