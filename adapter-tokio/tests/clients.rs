//! How clients begin and end: an end in every moment, one attempt, calls in line when a connection drains, and what is kept
//! with a connection.

mod common;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use adapter_tokio::proto_core::endpoint::{ClientBuilder, Runtime, Spawn};
use adapter_tokio::proto_core::{Connection, Instant, Role};
use adapter_tokio::{
    CallError, Client, ClientState, Clock, CloseCode, CloseInfo, CloseReason, Config, Delivery, GiveUp,
    NoHandler, Peer, Refusal, Tokio, client, on_request,
};
use common::{echo, in_time, on_both, quick, quick_client, serve, serve_again, serve_with, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

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
