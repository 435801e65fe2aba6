//! Large messages over real sockets: they arrive whole, cost no more than the bound, and let small ones pass.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adapter_tokio::proto_core::wire::{Flags, Header, Kind, Sequence};
use adapter_tokio::{
    Bytes, CloseCode, CloseReason, Config, Lane, NoHandler, ProgressConfig, Push, Reply, Route, client,
    connect, connect_with, on_push, on_request,
};
use common::{Raw, echo, in_time, on_both, request, serve, serve_with, until};
use tokio::sync::mpsc;

const MIB: usize = 1 << 20;

/// Bytes of which no two MiB are the same.
fn noise(length: usize, seed: u64) -> Bytes {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

#[test]
fn what_was_pushed_before_a_close_arrives_whole() {
    on_both(|| async {
        let (sender, mut arrived) = mpsc::unbounded_channel();
        let server = serve(on_push(move |_, Push { body, .. }| {
            let _ = sender.send(body);
            async {}
        }))
        .await;
        let client = connect(server.local_addr()).await.unwrap();
        let bodies: Vec<Bytes> = (0..20).map(|number| noise(MIB, number)).collect();
        for body in &bodies {
            client.pushed(1, body.clone()).await.unwrap();
        }
        // Most of it is still waiting here.
        assert_eq!(in_time(client.finish()).await, CloseReason::Local(CloseCode::NORMAL));
        for body in bodies {
            assert!(in_time(arrived.recv()).await.unwrap() == body);
        }
    });
}

#[test]
fn one_message_of_twenty_mebibytes_goes_both_ways_and_a_drain_waits_for_it() {
    on_both(|| async {
        let config = || Config::default().with_max_message(20 << 20);
        let server = serve_with(config(), echo()).await;
        let client =
            client(NoHandler).config(config()).reconnect(None).connect(server.local_addr()).await.unwrap();
        let body = noise(20 * MIB, 7);
        let call = tokio::spawn(client.call(1, body.clone()).no_timeout());
        until(|| server.peers()[0].counters().bytes_received > MIB as u64).await;
        server.shutdown(Duration::from_secs(3600));
        assert!(in_time(call).await.unwrap().unwrap().body == body);
        assert_eq!(in_time(client.closed()).await, CloseReason::Peer(CloseCode::GOING_AWAY, None));
        in_time(server.served).await.unwrap();
    });
}

/// A frame of a message in pieces.
fn fragment(kind: Kind, sequence: Sequence, more: bool, payload: &[u8]) -> Vec<u8> {
    let flags = if more { Flags::MORE } else { Flags::empty() };
    let header = Header { length: payload.len() as u32, kind, flags, sequence, code: 1 };
    [&header.to_bytes(), payload].concat()
}

/// The first fragment of a message: what its whole length will be, and a part of it.
fn first(kind: Kind, slot: u16, total: u32, part: &[u8]) -> Vec<u8> {
    fragment(kind, Sequence::call(1, slot), true, &[&total.to_be_bytes(), part].concat())
}

#[test]
fn messages_that_are_never_finished_cost_no_more_than_what_has_arrived() {
    on_both(|| async {
        const PUSHES: u16 = 16;
        const REQUESTS: u16 = 32;
        let server = serve(echo()).await;
        let good = connect(server.local_addr()).await.unwrap();
        let mut raw = Raw::open(server.local_addr()).await;
        let peer = server.peers().pop().unwrap();
        // As many as the windows allow, each of which has sent a byte of its 100 KB.
        for slot in 0..PUSHES {
            raw.send(&first(Kind::Push, slot, 100_000, b"x")).await;
        }
        for slot in 0..REQUESTS {
            raw.send(&first(Kind::Request, slot, 100_000, b"x")).await;
        }
        let frames = u64::from(1 + PUSHES + REQUESTS);
        until(|| peer.counters().frames_received == frames).await;
        let held = peer.held_bytes();
        assert!(held <= usize::from(PUSHES + REQUESTS) * (66 << 10) + 100_000, "{held}");
        // A continuation that stops in the middle costs what it has announced at most.
        let part = fragment(Kind::Push, Sequence::call(1, 0), true, &[7; 60_000]);
        raw.send(&part[..part.len() - 1]).await;
        until(|| peer.counters().bytes_received > 60_000).await;
        assert!(peer.held_bytes() <= held + 200_000, "{} after {held}", peer.held_bytes());
        assert!(peer.held_bytes() <= Config::default().max_held_bytes(0));
        assert_eq!(good.call("echo", "unmoved").await.unwrap().body, "unmoved");
        assert!(peer.is_open());
        // One more is one too many.
        raw.send(&part[part.len() - 1..]).await;
        raw.send(&first(Kind::Push, PUSHES, 100, b"x")).await;
        assert_eq!(raw.close_code().await, CloseCode::SLOT_BEYOND_LIMIT);
        drop(raw);
        until(|| server.connections() == 1).await;
    });
}

#[test]
fn a_peer_that_never_reads_costs_no_more_than_the_limit_whatever_is_sent_to_it() {
    on_both(|| async {
        let config = Config { reply_limit: 4 << 20, outbox_limit: 4 << 20, ..Config::default() };
        let most = config.max_held_bytes(64);
        let replies = on_request(|_, request| async move {
            match request.route() {
                Route::Number(1) => Ok(Reply::from(vec![7; 700_000])),
                _ => Ok(request.body.into()),
            }
        });
        let server = serve_with(config, replies).await;
        let good = connect(server.local_addr()).await.unwrap();
        let mut raw = Raw::open(server.local_addr()).await;
        let deaf = server.peers().pop().unwrap();
        // It may be pushed to and called as long as it takes something; then there is no room.
        let mut refused = false;
        for slot in 0..64 {
            raw.send(&request(slot, b"")).await;
            refused |= deaf.push("news", vec![1; 900_000]).is_err();
            let call = deaf.call("question", vec![2; 500_000]);
            tokio::spawn(async move { drop(call.await) });
            assert!(deaf.held_bytes() <= most, "{} of {most}", deaf.held_bytes());
            assert_eq!(good.call("echo", "unmoved").await.unwrap().body, "unmoved");
        }
        until(|| deaf.counters().frames_received == 65).await;
        assert!(refused, "it has room for everything, or takes it");
        assert!(deaf.held_bytes() > MIB, "nothing waits for it");
        assert!(deaf.held_bytes() <= most, "{} of {most}", deaf.held_bytes());
        assert!(deaf.is_open());
        deaf.abort(CloseCode::OVERLOADED);
        until(|| server.connections() == 1 && deaf.held_bytes() < 1000).await;
        assert_eq!(good.call("echo", "unmoved").await.unwrap().body, "unmoved");
    });
}

/// LW-6.12, counted in frames: those of the bulk lane that stand in front of small replies that were ready at the same time.
/// The clock stands still, so that the handlers are not interrupted for having worked too long.
#[tokio::test(start_paused = true)]
async fn a_large_reply_in_the_bulk_lane_lets_small_ones_pass() {
    /// What has its place in the stream already: the commit limit, and one frame that it may be passed by. And the share of
    /// the bulk lane while the small ones are sent, which are less than a frame together.
    const PASSED: usize = 2 + 1 + 1;
    const SMALL: u16 = 100;
    let server = serve(on_request(|_, request| async move {
        let length = if request.lane == Lane::Bulk { 1_000_000 } else { 100 };
        Ok(Reply::from(vec![7; length]))
    }))
    .await;
    for lane in [Lane::Normal, Lane::High] {
        let mut raw = Raw::open(server.local_addr()).await;
        // All in one write, so that the server reads them together.
        let requests = (0..=SMALL).flat_map(|slot| {
            let lane = if slot == 0 { Lane::Bulk } else { lane };
            let flags = Flags::empty().with_lane(lane);
            let sequence = Sequence::call(1, slot);
            Header { length: 0, kind: Kind::Request, flags, sequence, code: 1 }.to_bytes()
        });
        raw.send(&requests.collect::<Vec<u8>>()).await;
        let (mut bulk, mut small, mut passed) = (0, 0, 0);
        while bulk < 1_000_004 || small < SMALL {
            let frame = raw.frame().await.unwrap();
            assert_eq!(frame.header.kind, Kind::Reply);
            if frame.header.sequence.slot() == 0 {
                bulk += frame.payload.len();
                passed += usize::from(small < SMALL);
            } else {
                small += 1;
            }
        }
        assert!(passed <= PASSED, "{passed} frames in front of the last of {SMALL} replies");
    }
}

/// LW-8.4, with the time that is the default.
#[tokio::test(start_paused = true)]
async fn a_frame_that_trickles_is_given_up_and_one_that_is_slow_is_not() {
    let server = serve(echo()).await;
    for (bytes, expected) in [(1, Some(CloseCode::TOO_SLOW)), (1000, Some(CloseCode::TOO_SLOW)), (2000, None)]
    {
        let mut raw = Raw::open(server.local_addr()).await;
        let peer = server.peers().pop().unwrap();
        let whole = request(0, &[7; 60_000]);
        let begin = tokio::time::Instant::now();
        for part in whole.chunks(bytes) {
            raw.send(part).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            if peer.close_reason().is_some() {
                break;
            }
        }
        let took = begin.elapsed().as_secs();
        match expected {
            Some(code) => {
                assert_eq!(raw.close_code().await, code);
                assert!((9..=12).contains(&took), "after {took} s");
            }
            None => assert_eq!(raw.frame().await.unwrap().payload.len(), 60_000),
        }
    }
}

/// The same by the clock on the wall.
#[test]
fn a_frame_that_comes_byte_by_byte_is_given_up() {
    on_both(|| async {
        let window = Duration::from_millis(50);
        let progress = Some(ProgressConfig { window, ..ProgressConfig::default() });
        let server = serve_with(Config { progress, ..Config::default() }, echo()).await;
        let good = connect_with(server.local_addr(), NoHandler).await.unwrap();
        let mut raw = Raw::open(server.local_addr()).await;
        let peer = server.peers().pop().unwrap();
        for byte in request(0, &[7; 60_000]) {
            raw.send(&[byte]).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            if peer.close_reason().is_some() {
                break;
            }
        }
        assert_eq!(raw.close_code().await, CloseCode::TOO_SLOW);
        assert_eq!(good.call("echo", "unmoved").await.unwrap().body, "unmoved");
    });
}

/// What many small ones cost beside it is counted too: a handler starts once for each, and none is lost.
#[test]
fn small_calls_are_answered_while_large_pushes_go_out() {
    on_both(|| async {
        let taken = Arc::new(AtomicUsize::new(0));
        let takes = taken.clone();
        let server =
            serve(on_request(|_, request| async move { Ok(request.body.into()) }).on_push(move |_, push| {
                takes.fetch_add(push.body.len(), Ordering::SeqCst);
                async {}
            }))
            .await;
        let client = connect(server.local_addr()).await.unwrap();
        let pusher = client.peer().clone();
        let pushing = tokio::spawn(async move {
            for number in 0..32 {
                let message = adapter_tokio::Message::new(1, noise(MIB, number)).in_lane(Lane::Bulk);
                pusher.pushed_message(message).await.unwrap();
            }
        });
        let mut calls = 0u32;
        while !pushing.is_finished() || calls < 100 {
            calls += 1;
            let body = calls.to_string();
            assert_eq!(in_time(client.call("echo", body.clone())).await.unwrap().body, body);
        }
        pushing.await.unwrap();
        until(|| taken.load(Ordering::SeqCst) == 32 * MIB).await;
    });
}
