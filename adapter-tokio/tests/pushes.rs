//! Pushes over real sockets: their order, their room, and that what was accepted arrives.

mod common;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use adapter_tokio::{
    CloseCode, CloseReason, Config, Message, Refusal, Route, connect, connect_with, on_push,
};
use common::{in_time, on_both, serve, serve_with, until};
use tokio::sync::{Semaphore, mpsc};

#[test]
fn pushes_arrive_in_the_order_in_which_they_were_sent() {
    on_both(|| async {
        let (sender, mut arrived) = mpsc::unbounded_channel();
        let server = serve(on_push(move |_, push| {
            let _ = sender.send(push.body);
            async {}
        }))
        .await;
        let client = connect(server.local_addr()).await.unwrap();
        const COUNT: u32 = 50_000;
        let pusher = client.clone();
        let pushing = tokio::spawn(async move {
            for number in 0..COUNT {
                let message = Message::named("number", number.to_be_bytes().to_vec()).unwrap();
                pusher.pushed_message(message).await.unwrap();
            }
        });
        for number in 0..COUNT {
            let body = in_time(arrived.recv()).await.unwrap();
            assert_eq!(body[..], number.to_be_bytes());
        }
        pushing.await.unwrap();
    });
}

#[test]
fn a_push_that_waits_for_room_goes_out_when_there_is_some() {
    on_both(|| async {
        let gate = Arc::new(Semaphore::new(0));
        let (sender, mut arrived) = mpsc::unbounded_channel();
        let waits = gate.clone();
        // The window takes one push at a time.
        let config =
            Config { max_frame: 4096, max_message: 1024, push_window: 64 + 1024, ..Config::default() };
        let server = serve_with(
            config,
            on_push(move |_, push| {
                let _ = sender.send(push.body);
                let gate = waits.clone();
                async move { gate.acquire().await.expect("it is never closed").forget() }
            }),
        )
        .await;
        let client = connect(server.local_addr()).await.unwrap();
        client.push(1, vec![1; 1000]).unwrap();
        assert_eq!(client.push(1, vec![2; 1000]).unwrap_err().refusal, Refusal::Full);
        let mut waiting = pin!(client.pushed(1, vec![2; 1000]));
        assert_eq!(in_time(arrived.recv()).await.unwrap(), vec![1; 1000]);
        let polled = std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "the first has not been dealt with");
        gate.add_permits(2);
        in_time(waiting).await.unwrap();
        assert_eq!(in_time(arrived.recv()).await.unwrap(), vec![2; 1000]);
        let error = client.pushed(1, vec![3; 1025]).await.unwrap_err();
        assert!(matches!(error.refusal, Refusal::TooLarge { length: 1025, limit: 1024 }));
    });
}

#[test]
fn everything_that_was_accepted_arrives_after_the_last_client_is_dropped() {
    on_both(|| async {
        let (bytes, ends) = (Arc::new(AtomicUsize::new(0)), mpsc::unbounded_channel());
        let (counts, (told, mut ended)) = (bytes.clone(), ends);
        let handler = on_push(move |_, push| {
            counts.fetch_add(push.body.len(), Ordering::SeqCst);
            async {}
        })
        .on_close(move |_, reason| {
            let _ = told.send(reason.clone());
        });
        let server = serve(handler).await;
        let client = connect(server.local_addr()).await.unwrap();
        let other = client.clone();
        for _ in 0..15 {
            client.push("bulk", vec![7; 100_000]).unwrap();
        }
        drop(client);
        assert!(other.is_open(), "a clone keeps it open");
        drop(other);
        assert_eq!(in_time(ended.recv()).await, Some(CloseReason::Peer(CloseCode::NORMAL, None)));
        assert_eq!(bytes.load(Ordering::SeqCst), 1_500_000);
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn a_broadcast_reaches_every_open_connection() {
    on_both(|| async {
        let server = serve(adapter_tokio::NoHandler).await;
        let (sender, mut arrived) = mpsc::unbounded_channel();
        let mut clients = Vec::new();
        for number in 0..20 {
            let sender = sender.clone();
            let handler = on_push(move |_, push| {
                assert_eq!(push.route(), Route::Name("news"));
                let _ = sender.send((number, push.body));
                async {}
            });
            clients.push(connect_with(server.local_addr(), handler).await.unwrap());
        }
        // The server lets a client in before the client can know.
        let outcome = server.broadcast("news", "tea is ready");
        assert_eq!((outcome.accepted, outcome.refused.len()), (20, 0));
        let mut heard = Vec::new();
        for _ in 0..20 {
            let (number, body) = in_time(arrived.recv()).await.unwrap();
            assert_eq!(body, "tea is ready");
            heard.push(number);
        }
        heard.sort_unstable();
        assert!(heard.into_iter().eq(0..20));
    });
}
