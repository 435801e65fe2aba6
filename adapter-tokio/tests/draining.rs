//! An orderly end over real sockets: calls in flight are answered, new ones are told to go elsewhere, and it has an end.

mod common;

use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use adapter_tokio::{
    CallError, Client, CloseCode, CloseReason, Config, ConnectError, Handler, NoHandler, Refusal, Route,
    Status, StatusCode, client, connect, on_request,
};
use common::{Raw, echo, in_time, on_both, serve, serve_with, until};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// More than any test takes.
const LONG: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// A handler that answers when it is allowed to, and how many of them have begun.
#[derive(Clone)]
struct Desk {
    begun: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl Desk {
    fn new() -> Self {
        Self { begun: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    fn handler(&self) -> impl Handler<Request: Send, Push: Send, Open: Send> + Send + Sync + use<> {
        let desk = self.clone();
        on_request(move |peer, request| {
            desk.begun.fetch_add(1, Ordering::SeqCst);
            let gate = desk.gate.clone();
            async move {
                gate.acquire().await.expect("it is never closed").forget();
                if request.route() == Route::Name("ask back") {
                    // One more call, which the drain must not take in.
                    let refused = peer.call("wait", "").await.expect_err("it drains");
                    return Err(Status::new(StatusCode::HANDLER_FAILED, refused.to_string()));
                }
                Ok(request.body.into())
            }
        })
    }

    async fn has_begun(&self, calls: usize) {
        until(|| self.begun.load(Ordering::SeqCst) == calls).await;
    }
}

#[track_caller]
fn assert_draining(error: &CallError) {
    assert_eq!(error.refusal(), Some(Refusal::Draining), "{error}");
    assert!(!error.may_have_run());
}

const GOING_AWAY: CloseReason = CloseReason::Peer(CloseCode::GOING_AWAY, None);

#[test]
fn a_server_that_shuts_down_answers_what_is_in_flight_both_ways_and_refuses_the_rest() {
    on_both(|| async {
        const CLIENTS: usize = 5;
        const CALLS: usize = 20;
        let (desk, theirs) = (Desk::new(), Desk::new());
        let server = serve(desk.handler()).await;
        let mut clients: Vec<Client> = Vec::new();
        let mut calls = JoinSet::new();
        for _ in 0..CLIENTS {
            let client = client(theirs.handler()).reconnect(None).connect(server.local_addr()).await.unwrap();
            for number in 0..CALLS {
                calls.spawn(client.call("wait", vec![1; number * 10_000]));
            }
            clients.push(client);
        }
        for peer in server.peers() {
            for number in 0..CALLS {
                calls.spawn(peer.call("wait", vec![1; number * 10_000]));
            }
        }
        desk.has_begun(CLIENTS * CALLS).await;
        theirs.has_begun(CLIENTS * CALLS).await;

        let peers = server.peers();
        server.shutdown(LONG);
        for peer in &peers {
            assert_draining(&peer.call("wait", "").await.unwrap_err());
        }
        for client in &clients {
            in_time(client.draining()).await;
            assert!(client.is_draining() && client.close_reason().is_none());
            let refused = client.call("wait", "").await.unwrap_err();
            assert_draining(&refused);
        }
        assert_eq!(server.connections(), CLIENTS, "it waits");
        desk.gate.add_permits(CLIENTS * CALLS);
        theirs.gate.add_permits(CLIENTS * CALLS);
        let mut bytes = 0;
        while let Some(answered) = in_time(calls.join_next()).await {
            bytes += answered.unwrap().expect("it was in flight").body.len();
        }
        assert_eq!(bytes, 2 * CLIENTS * (0..CALLS).map(|number| number * 10_000).sum::<usize>());
        for client in &clients {
            assert_eq!(in_time(client.closed()).await, GOING_AWAY);
        }
        let address = server.local_addr();
        in_time(server.served).await.unwrap();
        assert_eq!(desk.begun.load(Ordering::SeqCst), CLIENTS * CALLS, "what was refused was not run");
        assert!(matches!(connect(address).await, Err(ConnectError::Address(_))), "it listens no more");
    });
}

#[test]
fn calls_that_wait_in_line_are_answered_too() {
    on_both(|| async {
        let desk = Desk::new();
        let server = serve_with(Config { call_slots: 2, ..Config::default() }, desk.handler()).await;
        let client = client(NoHandler).reconnect(None).connect(server.local_addr()).await.unwrap();
        let mut calls = JoinSet::new();
        for number in 0..50u8 {
            let mut call = Box::pin(client.call("wait", vec![number]));
            let begun = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
            assert!(begun.is_pending());
            calls.spawn(call);
        }
        desk.has_begun(2).await;
        server.shutdown(LONG);
        in_time(client.draining()).await;
        assert_draining(&client.call("wait", "").await.unwrap_err());
        desk.gate.add_permits(50);
        let mut answered = Vec::new();
        while let Some(call) = in_time(calls.join_next()).await {
            answered.extend_from_slice(&call.unwrap().expect("it stood in line").body);
        }
        answered.sort_unstable();
        assert_eq!(answered, (0..50).collect::<Vec<u8>>());
        assert_eq!(in_time(client.closed()).await, GOING_AWAY);
        in_time(server.served).await.unwrap();
    });
}

#[test]
fn a_handler_that_calls_back_during_a_drain_is_told_so_and_still_answers() {
    on_both(|| async {
        let desk = Desk::new();
        let server = serve(desk.handler()).await;
        let client = client(echo()).reconnect(None).connect(server.local_addr()).await.unwrap();
        let call = tokio::spawn(client.call("ask back", ""));
        desk.has_begun(1).await;
        server.shutdown(LONG);
        in_time(client.draining()).await;
        desk.gate.add_permits(1);
        let error = in_time(call).await.unwrap().unwrap_err();
        assert!(
            error.to_string().starts_with("HANDLER_FAILED: the connection is coming to its end"),
            "{error}"
        );
        in_time(server.served).await.unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_ends_does_not_keep_a_server_from_its_end() {
    let server = serve(on_request(|_, _| pending())).await;
    let client = client(NoHandler).reconnect(None).connect(server.local_addr()).await.unwrap();
    let call = tokio::spawn(client.call("wait", "").no_timeout());
    until(|| server.peers()[0].counters().frames_received > 1).await;
    let begin = tokio::time::Instant::now();
    server.shutdown(30 * SECOND);
    in_time(server.served).await.unwrap();
    let took = begin.elapsed();
    assert!((30 * SECOND..31 * SECOND).contains(&took), "{took:?}");
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "closed by the peer: GOING_AWAY; the peer may have run the call");
    assert!(error.may_have_run());
}

/// Asked again, the shorter time counts; and `stop` does not wait at all.
#[tokio::test(start_paused = true)]
async fn a_shutdown_can_be_cut_short() {
    for stops in [false, true] {
        let server = serve(on_request(|_, _| pending())).await;
        let client = client(NoHandler).reconnect(None).connect(server.local_addr()).await.unwrap();
        let _call = tokio::spawn(client.call("wait", "").no_timeout());
        until(|| server.peers()[0].counters().frames_received > 1).await;
        let begin = tokio::time::Instant::now();
        server.shutdown(LONG);
        tokio::time::sleep(SECOND).await;
        if stops {
            server.stop();
        } else {
            server.shutdown(SECOND);
        }
        in_time(server.served).await.unwrap();
        let took = begin.elapsed();
        assert!(took <= 3 * SECOND, "{took:?}");
        assert_eq!(in_time(client.closed()).await, GOING_AWAY);
    }
}

#[test]
fn a_client_that_drains_gets_its_answers_and_gives_its_own() {
    on_both(|| async {
        let (desk, own) = (Desk::new(), Desk::new());
        let server = serve(desk.handler()).await;
        let client = client(own.handler()).reconnect(None).connect(server.local_addr()).await.unwrap();
        let asked = tokio::spawn(client.call("wait", "question"));
        let peer = server.peers()[0].clone();
        let asks = tokio::spawn(peer.call("wait", "question back"));
        desk.has_begun(1).await;
        own.has_begun(1).await;
        let draining = tokio::spawn(client.drain(LONG));
        in_time(peer.draining()).await;
        assert_draining(&peer.call("wait", "").await.unwrap_err());
        assert!(!draining.is_finished());
        desk.gate.add_permits(1);
        own.gate.add_permits(1);
        assert_eq!(in_time(asked).await.unwrap().unwrap().body, "question");
        assert_eq!(in_time(asks).await.unwrap().unwrap().body, "question back");
        assert_eq!(in_time(draining).await.unwrap(), CloseReason::Local(CloseCode::NORMAL));
        assert_eq!(in_time(peer.closed()).await, CloseReason::Peer(CloseCode::NORMAL, None));
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn both_may_drain_at_once() {
    on_both(|| async {
        for _ in 0..20 {
            let (desk, own) = (Desk::new(), Desk::new());
            let server = serve(desk.handler()).await;
            let client = client(own.handler()).reconnect(None).connect(server.local_addr()).await.unwrap();
            let asked = tokio::spawn(client.call("wait", "question"));
            let asks = tokio::spawn(server.peers()[0].call("wait", "question back"));
            desk.has_begun(1).await;
            own.has_begun(1).await;
            let draining = tokio::spawn(client.drain(LONG));
            server.shutdown(LONG);
            desk.gate.add_permits(1);
            own.gate.add_permits(1);
            assert_eq!(in_time(asked).await.unwrap().unwrap().body, "question");
            assert_eq!(in_time(asks).await.unwrap().unwrap().body, "question back");
            let reason = in_time(draining).await.unwrap();
            assert!(reason == CloseReason::Local(CloseCode::NORMAL) || reason == GOING_AWAY, "{reason}");
            in_time(server.served).await.unwrap();
        }
    });
}

#[test]
fn an_idle_client_parts_at_once_and_so_does_one_that_never_said_hello() {
    on_both(|| async {
        let server = serve(echo()).await;
        let client = client(NoHandler).reconnect(None).connect(server.local_addr()).await.unwrap();
        assert_eq!(client.call("echo", "x").await.unwrap().body, "x");
        let mut silent = Raw::connect(server.local_addr()).await;
        until(|| server.connections() == 2).await;
        server.shutdown(LONG);
        assert_eq!(in_time(client.closed()).await, GOING_AWAY);
        assert_eq!(silent.close_code().await, CloseCode::GOING_AWAY);
        drop(silent);
        in_time(server.served).await.unwrap();
    });
}

/// LW-7.12: it can only be told by the replies to its calls.
#[test]
fn a_client_that_knows_no_drain_is_answered_too() {
    on_both(|| async {
        use adapter_tokio::proto_core::wire::Capabilities;
        let desk = Desk::new();
        let server = serve(desk.handler()).await;
        let config = Config { capabilities: Capabilities::default(), ..Config::default() };
        let client =
            client(NoHandler).config(config).reconnect(None).connect(server.local_addr()).await.unwrap();
        let call = tokio::spawn(client.call("wait", "in time"));
        desk.has_begun(1).await;
        server.shutdown(LONG);
        let late = client.call("wait", "late").await.unwrap_err();
        assert!(!late.may_have_run(), "{late}");
        let CallError::Status(status) = &late else { panic!("{late}") };
        assert_eq!(status.code, StatusCode::DRAINING);
        desk.gate.add_permits(1);
        assert_eq!(in_time(call).await.unwrap().unwrap().body, "in time");
        assert_eq!(in_time(client.closed()).await, GOING_AWAY);
        in_time(server.served).await.unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_is_said_ends_as_idle() {
    let config = Config { idle_timeout: Some(60 * SECOND), ..Config::default() };
    let server = serve_with(
        config,
        on_request(|_, request| async move {
            tokio::time::sleep(Duration::from_secs(request.text().parse().unwrap())).await;
            Ok("".into())
        }),
    )
    .await;
    let client = client(NoHandler).reconnect(None).connect(server.local_addr()).await.unwrap();
    let begin = tokio::time::Instant::now();
    // Neither often enough nor for long is idle.
    for seconds in ["50", "50", "300"] {
        client.call("sleep", seconds).timeout(LONG).await.unwrap();
    }
    for _ in 0..5 {
        tokio::time::sleep(50 * SECOND).await;
        client.push("note", "still here").unwrap();
    }
    assert!(client.is_open());
    assert_eq!(in_time_of(client.closed()).await, CloseReason::Peer(CloseCode::IDLE, None));
    let lived = begin.elapsed();
    assert!((710 * SECOND..713 * SECOND).contains(&lived), "{lived:?}");
    until(|| server.connections() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_old_enough_end_one_after_the_other() {
    let config = Config { max_age: Some(1000 * SECOND), ..Config::default() };
    let server = serve_with(config, echo()).await;
    let begin = tokio::time::Instant::now();
    let mut ends = JoinSet::new();
    for _ in 0..20 {
        let client = client(NoHandler).reconnect(None).connect(server.local_addr()).await.unwrap();
        ends.spawn(async move {
            // Whoever is busy when the time has come still gets its answer.
            let refused = loop {
                match client.call("echo", "x").await {
                    Ok(reply) => assert_eq!(reply.body, "x"),
                    Err(error) => break error,
                }
                tokio::time::sleep(SECOND).await;
            };
            assert!(!refused.may_have_run(), "{refused}");
            assert_eq!(client.closed().await, CloseReason::Peer(CloseCode::MAX_AGE, None));
            begin.elapsed()
        });
    }
    let lived = in_time_of(ends.join_all()).await;
    assert!(lived.iter().all(|age| (900 * SECOND..1105 * SECOND).contains(age)), "{lived:?}");
    let spread = *lived.iter().max().unwrap() - *lived.iter().min().unwrap();
    assert!(spread > 30 * SECOND, "they end together: {lived:?}");
}

/// Waits in virtual time, where [`in_time`] is short.
async fn in_time_of<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(24 * LONG, future).await.expect("it hangs")
}
