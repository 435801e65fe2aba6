//! Calls over real sockets: both ways at once, very many, panicking, given up half-way.

mod common;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use adapter_tokio::{
    Bytes, CallError, Config, Peer, Refusal, Reply, Route, Status, StatusCode, connect, connect_with,
    on_request,
};
use common::{echo, in_time, on_both, serve, serve_with, until};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

/// Calls back with one less until there is nothing left, and gives the trail of who was asked.
async fn countdown(peer: Peer, body: Bytes) -> Result<Reply, Status> {
    let [left] = body[..] else { return Err(StatusCode::BAD_REQUEST.into()) };
    let mut trail = vec![left];
    if left > 0 {
        match peer.call("countdown", vec![left - 1]).await {
            Ok(reply) => trail.extend_from_slice(&reply.body),
            Err(error) => return Err(Status::new(StatusCode::HANDLER_FAILED, error.to_string())),
        }
    }
    Ok(trail.into())
}

#[test]
fn calls_nest_in_both_directions() {
    on_both(|| async {
        let server = serve(on_request(|peer, request| countdown(peer, request.body))).await;
        let handler = on_request(|peer, request| countdown(peer, request.body));
        let client = connect_with(server.local_addr(), handler).await.unwrap();
        let reply = client.call("countdown", vec![9]).await.unwrap();
        assert_eq!(reply.body[..], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    });
}

#[test]
fn ten_thousand_calls_at_a_time_each_get_their_own_reply() {
    on_both(|| async {
        let server = serve(echo()).await;
        let client = connect(server.local_addr()).await.unwrap();
        let mut calls = JoinSet::new();
        for number in 0..10_000u32 {
            let call = client.call("echo", number.to_string());
            calls.spawn(async move { (number, call.await) });
        }
        while let Some(ended) = calls.join_next().await {
            let (number, reply) = ended.unwrap();
            assert_eq!(reply.unwrap().body, number.to_string());
        }
        assert_eq!(client.calls_in_flight(), 0);
    });
}

/// A reply went to the next call in its slot when that came from another thread at the wrong moment.
#[test]
fn tasks_on_several_threads_never_get_each_others_replies() {
    on_both(|| async {
        // With fewer slots than tasks most calls wait in line; with more, slots are taken again at once.
        for call_slots in [2, 64] {
            let config = Config { call_slots, ..Config::default() };
            let server = serve_with(config, echo()).await;
            let client = connect(server.local_addr()).await.unwrap();
            let mut tasks = JoinSet::new();
            for task in 0..16u32 {
                let peer = client.peer().clone();
                tasks.spawn(async move {
                    for number in 0..1000u32 {
                        let sent = format!("{task}/{number}");
                        assert_eq!(peer.call(1, sent.clone()).await.unwrap().body, sent);
                    }
                });
            }
            tasks.join_all().await;
        }
    });
}

#[test]
fn a_handler_that_panics_fails_its_own_call_only() {
    on_both(|| async {
        let gate = Arc::new(Notify::new());
        let waits = gate.clone();
        let server = serve(on_request(move |_, request| {
            assert_ne!(request.route(), Route::Name("panic at once"), "on purpose");
            let gate = waits.clone();
            async move {
                if request.route() == Route::Name("panic later") {
                    tokio::task::yield_now().await;
                    panic!("on purpose");
                }
                gate.notified().await;
                Ok(request.body.into())
            }
        }))
        .await;
        let client = connect(server.local_addr()).await.unwrap();
        let mut bystander = pin!(client.call("echo", "still here"));
        assert!(poll_once(bystander.as_mut()).await.is_pending());
        for route in ["panic at once", "panic later"] {
            match client.call(route, "").await {
                Err(error @ CallError::Status(_)) => {
                    assert_eq!(error.to_string(), "HANDLER_FAILED");
                    assert!(error.may_have_run());
                }
                other => panic!("{other:?}"),
            }
        }
        gate.notify_one();
        assert_eq!(bystander.await.unwrap().body, "still here");
    });
}

#[test]
fn a_call_that_is_dropped_at_any_point_frees_its_slot_and_disturbs_no_other() {
    on_both(|| async {
        let gate = Arc::new(Semaphore::new(0));
        let waits = gate.clone();
        let config = Config { call_slots: 2, ..Config::default() };
        let server = serve_with(
            config,
            on_request(move |_, request| {
                let gate = waits.clone();
                async move {
                    if request.route() == Route::Name("wait") {
                        gate.acquire().await.expect("it is never closed").forget();
                    }
                    Ok(request.body.into())
                }
            }),
        )
        .await;
        let client = connect(server.local_addr()).await.unwrap();
        for polls in 0..20 {
            // One holds a slot, the next the other or a place in the line: they are dropped after so many polls.
            let mut doomed: Vec<_> = (0..3).map(|_| Box::pin(client.call("wait", "doomed"))).collect();
            for _ in 0..polls {
                for call in &mut doomed {
                    assert!(poll_once(call.as_mut()).await.is_pending());
                }
                tokio::task::yield_now().await;
            }
            drop(doomed);
            let mut bystanders = JoinSet::new();
            for number in 0..4 {
                let call = client.call("echo", number.to_string());
                bystanders.spawn(async move { (number, call.await) });
            }
            gate.add_permits(3);
            while let Some(ended) = bystanders.join_next().await {
                let (number, reply) = ended.unwrap();
                assert_eq!(reply.unwrap().body, number.to_string());
            }
            until(|| client.calls_in_flight() == 0).await;
            gate.forget_permits(3);
        }
    });
}

#[test]
fn a_call_that_waits_in_line_is_timed_out_there_and_is_known_not_to_have_run() {
    on_both(|| async {
        let ran = Arc::new(AtomicU32::new(0));
        let counts = ran.clone();
        let gate = Arc::new(Notify::new());
        let waits = gate.clone();
        let config = Config { call_slots: 1, ..Config::default() };
        let server = serve_with(
            config,
            on_request(move |_, request| {
                counts.fetch_add(1, Ordering::SeqCst);
                let gate = waits.clone();
                async move {
                    gate.notified().await;
                    Ok(request.body.into())
                }
            }),
        )
        .await;
        let client = connect(server.local_addr()).await.unwrap();
        let mut first = pin!(client.call(1, "first"));
        assert!(poll_once(first.as_mut()).await.is_pending());
        until(|| ran.load(Ordering::SeqCst) == 1).await;
        let error = client.call(1, "second").timeout(Duration::from_millis(20)).await.unwrap_err();
        assert!(!error.may_have_run(), "{error}");
        gate.notify_one();
        assert_eq!(in_time(first).await.unwrap().body, "first");
        assert_eq!(ran.load(Ordering::SeqCst), 1);
    });
}

async fn poll_once<F: Future + ?Sized>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[test]
fn a_call_that_does_not_wait_in_line_gives_its_message_back() {
    on_both(|| async {
        let config = Config { call_slots: 1, ..Config::default() };
        let server = serve_with(config, on_request(|_, _| std::future::pending())).await;
        let client = connect(server.local_addr()).await.unwrap();
        let mut holding = pin!(client.call("wait", ""));
        let waits = poll_fn(|cx| Poll::Ready(holding.as_mut().poll(cx).is_pending())).await;
        assert!(waits);

        let CallError::Refused(refused) = client.try_call("echo", "mine").await.unwrap_err() else {
            panic!("one slot serves one call")
        };
        assert_eq!(refused.refusal, Refusal::NoSlot);
        assert_eq!((refused.message.route(), &refused.message.body[..]), (Route::Name("echo"), &b"mine"[..]));
    });
}
