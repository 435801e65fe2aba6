//! Clients that lose their server and come back: what becomes of their calls, and when they give up.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_tokio::proto_core::wire::Capabilities;
use adapter_tokio::{
    CallError, ClientState, CloseCode, CloseInfo, CloseReason, Config, Delivery, GiveUp, NoHandler, Refusal,
    Refuse, Server, WhileDown, client, on_request,
};
use common::{QUICK, echo, in_time, on_both, quick, quick_client, serve, serve_again, serve_with, until};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

#[test]
fn a_client_comes_back_to_a_server_that_was_restarted() {
    on_both(|| async {
        let server = serve(echo()).await;
        let address = server.local_addr();
        let client = quick_client(address).await;
        assert_eq!(client.state(), ClientState::Connected);
        for round in 0..3u8 {
            assert_eq!(in_time(client.call("echo", vec![round])).await.unwrap().body, [round][..]);
            if round == 0 {
                server.stop();
                until(|| server.served.is_finished()).await;
                until(|| client.state() != ClientState::Connected).await;
                // Who calls meanwhile waits for the next connection.
                let waiting = tokio::spawn(client.call("echo", "meanwhile"));
                tokio::task::yield_now().await;
                serve_again(address, echo()).await;
                assert_eq!(in_time(waiting).await.unwrap().unwrap().body, "meanwhile");
                until(|| client.state() == ClientState::Connected).await;
            }
        }
        assert_eq!(in_time(client.finish()).await, CloseReason::Local(CloseCode::NORMAL));
    });
}

/// A call that may have been run is not run again, unless its caller says that this does no harm.
#[test]
fn a_call_that_was_lost_is_called_again_only_if_that_does_no_harm() {
    on_both(|| async {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let slow = on_request(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        });
        let server = serve(slow).await;
        let address = server.local_addr();
        let client = quick_client(address).await;
        let careful = tokio::spawn(client.call("pay", "once"));
        let again = tokio::spawn(client.call("read", "twice").idempotent());
        until(|| runs.load(Ordering::SeqCst) == 2).await;
        server.stop();
        until(|| server.served.is_finished()).await;
        serve_again(address, echo()).await;
        let lost = in_time(careful).await.unwrap().unwrap_err();
        assert!(matches!(lost, CallError::Lost { delivery: Delivery::MaybeSent, .. }), "{lost:?}");
        assert_eq!(in_time(again).await.unwrap().unwrap().body, "twice");
    });
}

/// A peer that cannot send DRAIN answers DRAINING instead: such a call was not run, so it is for the next connection.
#[test]
fn a_call_that_is_answered_with_draining_waits_for_the_next_connection() {
    on_both(|| async {
        let gate = Arc::new(Semaphore::new(0));
        let opens = gate.clone();
        let handler = on_request(move |_, request| {
            let gate = opens.clone();
            async move {
                gate.acquire().await.expect("it is never closed").forget();
                Ok(request.body.into())
            }
        });
        let plain = Config::default().capabilities.without(Capabilities::DRAIN);
        let config = Config { capabilities: plain, ..Config::default() };
        let server = Server::builder(handler).config(config).bind("127.0.0.1:0").await.unwrap();
        let (handle, address) = (server.handle(), server.local_addr());
        let serving = tokio::spawn(server.serve());
        let client = quick_client(address).await;
        let held = tokio::spawn(client.call("hold", "first"));
        let received =
            |count| handle.peers().first().is_some_and(|peer| peer.counters().frames_received >= count);
        until(|| received(2)).await;
        handle.shutdown(Duration::from_secs(60));
        let late = tokio::spawn(client.call("echo", "late"));
        until(|| received(3)).await;
        until(|| client.is_draining()).await;
        gate.add_permits(1);
        assert_eq!(in_time(held).await.unwrap().unwrap().body, "first");
        in_time(serving).await.unwrap();
        serve_again(address, echo()).await;
        assert_eq!(in_time(late).await.unwrap().unwrap().body, "late");
    });
}

#[test]
fn while_there_is_no_connection_calls_fail_or_wait_as_was_asked() {
    on_both(|| async {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let build =
            |policy| client(NoHandler).reconnect(quick()).while_down(policy).start([address]).unwrap();

        let failing = build(WhileDown::Fail);
        let refused = in_time(failing.call("echo", "")).await.unwrap_err();
        assert_eq!(refused.refusal(), Some(Refusal::NotOpen));
        assert_eq!(failing.push("note", "").unwrap_err().refusal, Refusal::NotOpen);

        let waiting = build(WhileDown::Wait { calls: 1, bytes: 1000 });
        let first = tokio::spawn(waiting.call("echo", "first"));
        until(|| waiting.held_bytes() > 0).await;
        let second = in_time(waiting.call("echo", "second")).await.unwrap_err();
        assert_eq!(second.refusal(), Some(Refusal::Full));
        let tried = in_time(waiting.try_call("echo", "third")).await.unwrap_err();
        assert_eq!(tried.refusal(), Some(Refusal::NotOpen));
        // A deadline passes while it waits too, and the call was certainly not run.
        let patient = build(WhileDown::default());
        let late = in_time(patient.call("echo", "").timeout(QUICK)).await.unwrap_err();
        assert_eq!(late, CallError::TimedOut(Delivery::NotSent));

        serve_again(address, echo()).await;
        assert_eq!(in_time(first).await.unwrap().unwrap().body, "first");
    });
}

#[test]
fn a_client_gives_up_when_it_is_told_to_and_says_why() {
    on_both(|| async {
        let server = serve(echo()).await;
        let address = server.local_addr();
        let client = quick_client(address).await;
        let info = CloseInfo::with_text("for ever").and_stay_away();
        server.stop_with(CloseCode::NORMAL, &info);
        let reason = in_time(client.closed()).await;
        assert!(matches!(reason, CloseReason::Peer(CloseCode::NORMAL, Some(_))), "{reason:?}");
        let cause = GiveUp::StayAway(CloseCode::NORMAL);
        assert_eq!(client.state(), ClientState::GivenUp { cause, reason });
        let lost = in_time(client.call("echo", "")).await.unwrap_err();
        assert!(!lost.may_have_run(), "{lost:?}");
        in_time(server.served).await.unwrap();
    });
}

#[test]
fn bad_credentials_end_a_client_that_was_started() {
    on_both(|| async {
        let handler = on_request(|_, _| async { Ok("".into()) })
            .on_open(|_, _| async { Err(Refuse::new(CloseCode::BAD_CREDENTIALS, "unknown token")) });
        let server = serve(handler).await;
        let client = client(NoHandler).reconnect(quick()).start([server.local_addr()]).unwrap();
        let called = tokio::spawn(client.call("echo", ""));
        let reason = in_time(client.closed()).await;
        assert_eq!(reason.code(), Some(CloseCode::BAD_CREDENTIALS));
        assert!(matches!(in_time(called).await.unwrap(), Err(CallError::Lost { .. })));
        assert_eq!(in_time(client.opened()).await.unwrap_err(), reason);
    });
}

#[test]
fn stop_is_final_in_every_state() {
    on_both(|| async {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        for wait in [0, 1, 5, 30, 80] {
            let client = client(NoHandler).reconnect(quick()).start([address]).unwrap();
            let called = tokio::spawn(client.call("echo", ""));
            tokio::time::sleep(Duration::from_millis(wait)).await;
            client.close(CloseCode::NORMAL, CloseInfo::default());
            assert_eq!(in_time(client.closed()).await, CloseReason::Local(CloseCode::NORMAL));
            assert!(matches!(client.state(), ClientState::Stopped(_)));
            assert!(in_time(called).await.unwrap().is_err());
        }
    });
}

#[test]
fn several_addresses_are_tried_in_turn() {
    on_both(|| async {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = nobody.local_addr().unwrap();
        drop(nobody);
        let (one, two) = (serve(echo()).await, serve(echo()).await);
        let addresses = [dead, one.local_addr(), two.local_addr()];
        let client = client(NoHandler).reconnect(quick()).connect_any(addresses).await.unwrap();
        assert_eq!(client.remote_addr(), Some(one.local_addr()));
        one.stop();
        in_time(one.served).await.unwrap();
        assert_eq!(in_time(client.call("echo", "over there")).await.unwrap().body, "over there");
        assert_eq!(client.remote_addr(), Some(two.local_addr()));
    });
}

#[test]
fn whoever_watches_a_client_sees_it_go_and_come_back() {
    on_both(|| async {
        let server = serve(echo()).await;
        let address = server.local_addr();
        let client = quick_client(address).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (watched, seeing) = (client.clone(), seen.clone());
        let watching = tokio::spawn(async move {
            let mut state = watched.state();
            while state.end().is_none() {
                state = watched.changed(&state).await;
                seeing.lock().unwrap().push(state.clone());
            }
        });
        server.stop();
        in_time(server.served).await.unwrap();
        until(|| matches!(client.state(), ClientState::Reconnecting { .. })).await;
        serve_again(address, echo()).await;
        in_time(client.opened()).await.unwrap();
        let saw = |like: fn(&ClientState) -> bool| seen.lock().unwrap().iter().any(like);
        until(|| saw(|state| *state == ClientState::Connected)).await;
        client.close(CloseCode::NORMAL, CloseInfo::default());
        in_time(watching).await.unwrap();
        assert!(saw(|state| matches!(state, ClientState::Reconnecting { attempt: 2.., .. })), "{seen:?}");
        let last = seen.lock().unwrap().last().cloned();
        assert!(matches!(last, Some(ClientState::Stopped(_))), "{seen:?}");
    });
}

/// Each attempt asks for the credentials anew, and each connection is announced to the client's handler.
#[test]
fn credentials_that_expire_are_asked_for_again_and_each_connection_is_announced() {
    on_both(|| async {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let seeing = seen.clone();
        let handler = move || {
            let seeing = seeing.clone();
            on_request(|_, _| async { Ok("".into()) }).on_open(move |_, hello| {
                seeing.lock().expect("nobody panics with it").push(hello.credentials.to_vec());
                async { Ok(()) }
            })
        };
        let server = serve(handler()).await;
        let address = server.local_addr();
        let (asked, opened) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let announced = opened.clone();
        let own = on_request(|_, _| async { Ok("".into()) }).on_opened(move |peer| {
            assert!(peer.is_open());
            announced.fetch_add(1, Ordering::SeqCst);
        });
        let client = client(own)
            .reconnect(quick())
            .credentials_with(move || vec![b'a' + asked.fetch_add(1, Ordering::SeqCst) as u8].into())
            .connect(address)
            .await
            .unwrap();
        until(|| opened.load(Ordering::SeqCst) == 1).await;
        server.stop();
        in_time(server.served).await.unwrap();
        until(|| client.state() != ClientState::Connected).await;
        let _again = serve_again(address, handler()).await;
        until(|| opened.load(Ordering::SeqCst) == 2).await;
        let seen = seen.lock().expect("nobody panics with it").clone();
        assert_eq!(seen.first().map(Vec::as_slice), Some(&b"a"[..]));
        assert!(seen.len() == 2 && seen[1] > seen[0], "{seen:?}");
        in_time(client.finish()).await;
    });
}

/// A server that ends idle connections is not met by a client that comes back at once, over and over: it rests until
/// somebody has something to say.
#[test]
fn a_client_with_nothing_to_say_rests() {
    on_both(|| async {
        let config = Config { idle_timeout: Some(3 * QUICK), ..Config::default() };
        let server = serve_with(config, echo()).await;
        let client = quick_client(server.local_addr()).await;
        until(|| client.state() == ClientState::Resting).await;
        tokio::time::sleep(10 * QUICK).await;
        assert_eq!((client.state(), server.connections()), (ClientState::Resting, 0));
        assert_eq!(in_time(client.call("echo", "awake")).await.unwrap().body, "awake");
        until(|| client.state() == ClientState::Resting).await;
        assert_eq!(client.push("note", "").unwrap_err().refusal, Refusal::NotOpen);
        in_time(client.pushed("note", "heard")).await.unwrap();
        until(|| client.state() == ClientState::Resting).await;
        client.close(CloseCode::NORMAL, CloseInfo::default());
        assert_eq!(in_time(client.closed()).await, CloseReason::Local(CloseCode::NORMAL));
    });
}
