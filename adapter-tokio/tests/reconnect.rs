//! Clients that lose their server and come back: what becomes of their calls, and when they give up.

mod common;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use adapter_tokio::proto_core::endpoint::{ClientBuilder, Runtime, Spawn};
use adapter_tokio::proto_core::wire::Capabilities;
use adapter_tokio::proto_core::{Connection, Instant, Role};
use adapter_tokio::{
    CallError, Client, ClientState, Clock, CloseCode, CloseInfo, CloseReason, Config, Delay, Delivery,
    GiveUp, Handler, NoHandler, Peer, ReconnectConfig, Refusal, Refuse, Server, Tokio, WhileDown, client,
    on_request,
};
use common::{echo, in_time, on_both, serve, serve_with, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

const QUICK: Duration = Duration::from_millis(20);

/// Comes back fast enough for a test.
fn quick() -> ReconnectConfig {
    let delay = Delay::Exponential { base: QUICK, cap: 2 * QUICK };
    ReconnectConfig { delay, first_loss_spread: QUICK, ..ReconnectConfig::default() }
}

async fn quick_client(address: SocketAddr) -> Client {
    client(NoHandler).reconnect(quick()).connect(address).await.expect("a server that listens")
}

/// Serves on an address that was just free.
async fn serve_again<H>(address: SocketAddr, handler: H) -> JoinHandle<()>
where
    H: Handler<Request: Send, Push: Send, Open: Send> + Send + Sync,
{
    let server = Server::bind(address, handler).await.expect("the address is free");
    tokio::spawn(server.serve())
}

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

/// A runtime on which the client is told to end in the very moment in which a stream has been opened.
#[derive(Clone, Default)]
struct Meddling {
    tokio: Tokio,
    client: Arc<Mutex<Option<Client>>>,
}

impl Runtime for Meddling {
    type Stream = <Tokio as Runtime>::Stream;
    type Listener = <Tokio as Runtime>::Listener;
    type Socket = std::net::TcpListener;
    type Sleep = <Tokio as Runtime>::Sleep;
    type Resolving = <Tokio as Runtime>::Resolving;
    type Connecting = <Tokio as Runtime>::Connecting;

    fn clock(&self) -> Clock {
        self.tokio.clock()
    }

    fn seed(&self) -> u64 {
        self.tokio.seed()
    }

    fn sleep(&self) -> Self::Sleep {
        self.tokio.sleep()
    }

    fn resolve(&self, address: &str) -> Self::Resolving {
        self.tokio.resolve(address)
    }

    fn bind(&self, address: SocketAddr, backlog: u32) -> io::Result<Self::Listener> {
        self.tokio.bind(address, backlog)
    }

    fn adopt(&self, socket: &std::net::TcpListener) -> io::Result<Self::Listener> {
        self.tokio.adopt(socket)
    }

    fn connect(&self, address: SocketAddr) -> Self::Connecting {
        let (connecting, client) = (self.tokio.connect(address), self.client.clone());
        Box::pin(async move {
            let stream = connecting.await;
            drop(client.lock().expect("nobody panics with it").take());
            stream
        })
    }
}

impl<F: Future<Output: Send> + Send + 'static> Spawn<F> for Meddling {
    fn spawn(&self, future: F) {
        self.tokio.spawn(future);
    }
}

#[test]
fn stop_is_final_in_the_moment_in_which_a_stream_is_opened() {
    on_both(|| async {
        let server = serve(echo()).await;
        let runtime = Meddling::default();
        let builder: ClientBuilder<Meddling, NoHandler> = Client::builder(NoHandler);
        let client =
            builder.runtime(runtime.clone()).reconnect(quick()).start([server.local_addr()]).unwrap();
        let closed = client.closed();
        *runtime.client.lock().unwrap() = Some(client);
        assert_eq!(in_time(closed).await, CloseReason::Local(CloseCode::NORMAL));
        until(|| server.connections() == 0).await;
    });
}

/// A client that does not come back has one attempt, and is a client like any other meanwhile.
#[test]
fn a_client_that_was_started_and_does_not_come_back_connects_once() {
    on_both(|| async {
        let server = serve(echo()).await;
        let start = || client(NoHandler).reconnect(None).start([server.local_addr()]).unwrap();
        let one = start();
        assert_eq!(one.state(), ClientState::Connecting { attempt: 1 });
        in_time(one.opened()).await.unwrap();
        assert_eq!(in_time(start().call("echo", "at once")).await.unwrap().body, "at once");
        until(|| server.connections() == 1).await;
        drop(start());
        let finished = start();
        assert_eq!(in_time(finished.finish()).await, CloseReason::Local(CloseCode::NORMAL));
        until(|| server.connections() == 1).await;
        server.stop();
        assert_eq!(in_time(one.closed()).await, CloseReason::Peer(CloseCode::GOING_AWAY, None));
        assert!(matches!(one.state(), ClientState::GivenUp { cause: GiveUp::TooManyAttempts(1), .. }));
        let lost = in_time(one.call("echo", "")).await.unwrap_err();
        assert!(matches!(lost, CallError::Lost { delivery: Delivery::NotSent, .. }), "{lost:?}");
    });
}

/// Who drains a client does not want it to come back: calls in line have no other connection to wait for.
#[test]
fn calls_in_line_are_answered_before_the_end_of_a_client_that_drains() {
    on_both(|| async {
        let server = serve_with(Config { call_slots: 1, ..Config::default() }, echo()).await;
        let client = quick_client(server.local_addr()).await;
        let mut calls: Vec<_> = (0..5u8).map(|number| Box::pin(client.call("echo", vec![number]))).collect();
        for call in &mut calls {
            assert!(std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await.is_pending());
        }
        let reason = in_time(client.drain(Duration::from_secs(30))).await;
        assert_eq!(reason, CloseReason::Local(CloseCode::NORMAL));
        for (number, call) in (0..5u8).zip(calls) {
            assert_eq!(in_time(call).await.unwrap().body, [number][..]);
        }
    });
}

/// The server drains first, so the client is to call nobody on this connection any more, and wants no other one.
#[test]
fn calls_in_line_that_nobody_will_take_any_more_are_told_so() {
    on_both(|| async {
        let release = Arc::new(Notify::new());
        let released = release.clone();
        let slow = on_request(move |_, request| {
            let released = released.clone();
            async move {
                released.notified().await;
                Ok(request.body.into())
            }
        });
        let server = serve_with(Config { call_slots: 1, ..Config::default() }, slow).await;
        let client = quick_client(server.local_addr()).await;
        let running = tokio::spawn(client.call("echo", "first"));
        until(|| client.calls_in_flight() == 1).await;
        let mut in_line = Box::pin(client.call("echo", "second"));
        assert!(std::future::poll_fn(|cx| Poll::Ready(in_line.as_mut().poll(cx))).await.is_pending());
        server.shutdown(Duration::from_secs(30));
        until(|| client.is_draining()).await;
        let draining = tokio::spawn(client.clone().drain(Duration::from_secs(30)));
        let refused = in_time(in_line).await.unwrap_err();
        assert_eq!(refused.refusal(), Some(Refusal::Draining));
        release.notify_one();
        assert_eq!(in_time(running).await.unwrap().unwrap().body, "first");
        in_time(draining).await.unwrap();
    });
}

/// A connection that ends as soon as it is open was one all the same: the client comes back.
#[test]
fn a_first_connection_that_ends_at_once_was_one() {
    on_both(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connecting = tokio::spawn(client(NoHandler).reconnect(quick()).connect(address));
        // WELCOME and CLOSE come together; then an attempt fails; then there is a server.
        let config = Config::default().share().unwrap();
        for welcomed in [true, false] {
            let (mut stream, _) = in_time(listener.accept()).await.unwrap();
            let now = Instant::EPOCH;
            let mut acceptor = Connection::new(&config, Role::Acceptor, now, 1);
            let mut hello = [0; 4096];
            while acceptor.poll_event().is_none() {
                let read = in_time(stream.read(&mut hello)).await.unwrap();
                acceptor.handle_input(now, &mut hello[..read]);
            }
            if welcomed {
                acceptor.accept(now);
            }
            acceptor.close(now, CloseCode::GOING_AWAY, CloseInfo::default());
            let bytes: Vec<u8> = acceptor.transmit().flatten().copied().collect();
            in_time(stream.write_all(&bytes)).await.unwrap();
        }
        drop(listener);
        serve_again(address, echo()).await;
        let client = in_time(connecting).await.unwrap().unwrap();
        assert_eq!(in_time(client.call("echo", "here")).await.unwrap().body, "here");
    });
}

/// What an application may keep with a connection, and what looks at that connection when it is dropped.
struct Session(Peer);

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.is_open();
    }
}

/// Nothing is kept with a connection that does not exist, so nothing is left behind or dropped under a lock.
#[test]
fn attributes_are_not_kept_while_there_is_no_connection() {
    on_both(|| async {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let client = client(NoHandler).reconnect(quick()).start([address]).unwrap();
        let keep = || client.set_attribute(Session(client.peer().clone()));
        keep();
        assert!(client.attribute::<Session>().is_none());
        let server = serve_again(address, echo()).await;
        in_time(client.opened()).await.unwrap();
        keep();
        assert!(client.attribute::<Session>().is_some());
        server.abort();
        until(|| client.attribute::<Session>().is_none()).await;
        keep();
        assert!(client.attribute::<Session>().is_none());
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
