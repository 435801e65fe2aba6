//! A server and those who do not speak its language, or speak it badly: each is told so, and the others are served.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adapter_tokio::proto_core::wire::{Flags, Header, Kind, PREFACE, Sequence};
use adapter_tokio::{Client, CloseCode, Config, Reply, connect, on_request};
use common::{Raw, Running, echo, frame, in_time, on_both, opening, request, serve, serve_with, until};

/// Somebody who keeps to the rules while others do not.
async fn good_client(server: &Running) -> Client {
    connect(server.local_addr()).await.expect("a good client is let in")
}

async fn works(client: &Client) {
    assert_eq!(client.call(1, "are you there?").await.expect("an answer").body, "are you there?");
}

/// Sends bytes to a server, and gives the code of its CLOSE.
async fn answer_to(server: &Running, bytes: &[u8]) -> CloseCode {
    let mut raw = Raw::connect(server.local_addr()).await;
    raw.send(bytes).await;
    raw.close_code().await
}

#[test]
fn other_protocols_are_told_that_this_is_not_theirs() {
    on_both(|| async {
        let server = serve(echo()).await;
        let good = good_client(&server).await;
        let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let tls_client_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[0x5A; 500]].concat();
        let almost = [&PREFACE[..7], b"\r"].concat();
        for bytes in [&http[..], &tls_client_hello, b"SSH-2.0-OpenSSH_9.9\r\n", &almost] {
            assert_eq!(answer_to(&server, bytes).await, CloseCode::BAD_PREFACE);
            works(&good).await;
        }
        until(|| server.connections() == 1).await;
    });
}

#[test]
fn noise_ends_in_an_error_and_harms_nobody() {
    on_both(|| async {
        let server = serve(echo()).await;
        let good = good_client(&server).await;
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut noise = |length: usize| -> Vec<u8> {
            let byte = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            });
            byte.take(length).collect()
        };
        for length in [1, 16, 300, 70_000] {
            assert_eq!(
                answer_to(&server, &[&[0], &noise(length)[..]].concat()).await,
                CloseCode::BAD_PREFACE
            );
            // A header of noise nearly always has a length beyond all limits.
            for start in [PREFACE.to_vec(), opening()] {
                let code = answer_to(&server, &[&start[..], &[0xFF], &noise(length + 15)].concat()).await;
                assert_eq!(code, CloseCode::FRAME_TOO_LARGE);
            }
            works(&good).await;
        }
        until(|| server.connections() == 1).await;
    });
}

#[test]
fn a_length_of_four_gibibytes_is_refused_before_anything_is_kept() {
    on_both(|| async {
        let server = serve(echo()).await;
        let header = Header {
            length: u32::MAX,
            kind: Kind::Request,
            flags: Flags::empty(),
            sequence: Sequence::call(1, 0),
            code: 1,
        };
        let mut raw = Raw::open(server.local_addr()).await;
        raw.send(&header.to_bytes()).await;
        assert_eq!(raw.close_code().await, CloseCode::FRAME_TOO_LARGE);
        let early = answer_to(&server, &[&PREFACE[..], &header.to_bytes()].concat()).await;
        assert_eq!(early, CloseCode::FRAME_TOO_LARGE);
    });
}

#[test]
fn frames_that_arrive_byte_by_byte_are_answered() {
    on_both(|| async {
        let server = serve(echo()).await;
        let mut raw = Raw::connect(server.local_addr()).await;
        for byte in opening() {
            raw.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(raw.frame().await.unwrap().header.kind, Kind::Welcome);
        for byte in request(0, b"slowly") {
            raw.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        let reply = raw.frame().await.unwrap();
        assert_eq!((reply.header.kind, reply.header.code), (Kind::Reply, 0));
        assert_eq!(reply.payload, b"slowly");
    });
}

#[test]
fn whoever_stays_silent_is_sent_away_when_the_handshake_takes_too_long() {
    on_both(|| async {
        let config = Config { handshake_timeout: Duration::from_millis(30), ..Config::default() };
        let server = serve_with(config, echo()).await;
        let mut silent = Raw::connect(server.local_addr()).await;
        assert_eq!(silent.close_code().await, CloseCode::HANDSHAKE_TIMEOUT);
        let half_a_hello = &opening()[..30];
        assert_eq!(answer_to(&server, half_a_hello).await, CloseCode::HANDSHAKE_TIMEOUT);
        drop(silent);
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn a_connection_that_is_half_closed_without_a_word_is_over() {
    on_both(|| async {
        use tokio::io::AsyncWriteExt;
        let server = serve(echo()).await;
        let mut raw = Raw::open(server.local_addr()).await;
        in_time(raw.stream.shutdown()).await.unwrap();
        assert!(raw.frame().await.is_none(), "nothing but the end of the stream");
        until(|| server.connections() == 0).await;

        // With a word it is a close: the answer still arrives.
        let mut raw = Raw::open(server.local_addr()).await;
        raw.send(&frame(Kind::Close, Sequence::CONNECTION, CloseCode::NORMAL.0, b"")).await;
        in_time(raw.stream.shutdown()).await.unwrap();
        assert_eq!(raw.close_code().await, CloseCode::NORMAL);
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn a_peer_that_never_reads_costs_no_more_than_the_limit() {
    const REPLY: usize = 100_000;
    on_both(|| async {
        let answered = Arc::new(AtomicUsize::new(0));
        let counts = answered.clone();
        let config = Config { reply_limit: 4 << 20, ..Config::default() };
        let (most, slots) = (config.max_held_bytes(0), config.call_slots as u16);
        let large = on_request(move |_, request| {
            counts.fetch_add(1, Ordering::SeqCst);
            async move {
                if request.body.is_empty() {
                    // Not shared with other replies: each is memory of its own.
                    return Ok(Reply::from(vec![7; REPLY]));
                }
                Ok(request.body.into())
            }
        });
        let server = serve_with(config, large).await;
        let mut raw = Raw::open(server.local_addr()).await;
        let deaf = server.peers()[0].clone();
        for slot in 0..slots {
            raw.send(&request(slot, b"")).await;
            assert!(deaf.held_bytes() <= most);
        }
        until(|| answered.load(Ordering::SeqCst) == usize::from(slots)).await;
        assert!(deaf.held_bytes() > REPLY, "it reads, or nothing waits for it");
        assert!(deaf.held_bytes() <= most, "{} of {most}", deaf.held_bytes());
        assert!(deaf.held_bytes() < usize::from(slots) * REPLY / 4, "{}", deaf.held_bytes());
        works(&good_client(&server).await).await;
        assert!(deaf.is_open());
        drop(raw);
        until(|| server.connections() == 0).await;
    });
}

/// Both ends of every connection are in this process, so it needs more descriptors than many systems give by default.
#[cfg(unix)]
#[test]
fn a_crowd_of_the_silent_and_the_noisy_does_not_keep_a_good_client_from_its_work() {
    const EACH: usize = 500;
    if !common::is_child_with_descriptors(
        "a_crowd_of_the_silent_and_the_noisy_does_not_keep_a_good_client_from_its_work",
        4096,
    ) {
        return;
    }
    on_both(|| async {
        let server = serve(echo()).await;
        let good = good_client(&server).await;
        let mut crowd = Vec::new();
        for _ in 0..EACH {
            crowd.push(Raw::connect(server.local_addr()).await);
            let mut noisy = Raw::open(server.local_addr()).await;
            noisy.send(&request(0, b"at once")).await;
            crowd.push(noisy);
            works(&good).await;
        }
        until(|| server.peers().len() == EACH + 1).await;
        for noisy in crowd.iter_mut().skip(1).step_by(2) {
            assert_eq!(noisy.frame().await.unwrap().payload, b"at once");
        }
        drop(crowd);
        until(|| server.connections() == 1).await;
        works(&good).await;
    });
}
