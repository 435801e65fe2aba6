//! The same program as on any other runtime: calls both ways, pushes, cancellation, drain, and coming back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adapter_smol::{
    Bytes, CallError, ClientState, CloseCode, Config, Delay, Handler, NoHandler, ReconnectConfig, Route,
    Server, Smol, StatusCode, client, connect, connect_with, listen, on_request, server_on,
};
use async_io::Timer;
use futures_lite::future;

fn echo() -> impl Handler<Request: Send, Push: Send, Open: Send> + Send + Sync {
    on_request(|peer, request| async move {
        match request.route() {
            Route::Name("back") => {
                Ok(peer.call("echo", request.body).await.map(|reply| reply.body).unwrap_or_default().into())
            }
            Route::Name("never") => future::pending().await,
            Route::Name("panic") => panic!("as it was told"),
            _ => Ok(request.body.into()),
        }
    })
}

/// Waits for something that happens unless there is a defect.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    future::or(future, async {
        Timer::after(Duration::from_secs(60)).await;
        panic!("it hangs");
    })
    .await
}

async fn until(mut holds: impl FnMut() -> bool) {
    in_time(async {
        while !holds() {
            Timer::after(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[test]
fn calls_go_both_ways_on_any_executor() {
    for threads in [None, Some(1), Some(3)] {
        smol::block_on(async {
            let runtime = threads.map_or_else(Smol::default, |count| Smol::threads(count).unwrap());
            let server = server_on(runtime.clone(), echo()).bind("127.0.0.1:0").await.unwrap();
            let handle = server.handle();
            let serving = smol::spawn(server.serve());
            let client = client(echo()).runtime(runtime).connect(handle.local_addr()).await.unwrap();
            for round in 0..200usize {
                let body = Bytes::from(vec![round as u8; round * 1000]);
                let (one, two) = in_time(future::zip(
                    client.call("echo", body.clone()),
                    client.call("back", body.clone()),
                ))
                .await;
                assert!(one.unwrap().body == body && two.unwrap().body == body, "round {round}");
            }
            let failed = in_time(client.call("panic", "")).await.unwrap_err();
            assert!(matches!(failed, CallError::Status(status) if status.code == StatusCode::HANDLER_FAILED));
            assert_eq!(in_time(client.call("echo", "still there")).await.unwrap().body, "still there");
            handle.shutdown(Duration::from_secs(10));
            in_time(serving).await;
        });
    }
}

#[test]
fn giving_up_stops_the_work_and_a_drain_has_an_end() {
    smol::block_on(async {
        struct Leaving(Arc<AtomicUsize>);
        impl Drop for Leaving {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let left = Arc::new(AtomicUsize::new(0));
        let counted = left.clone();
        let handler = on_request(move |_, _| {
            let guard = Leaving(counted.clone());
            async move {
                let _guard = guard;
                future::pending().await
            }
        });
        let server = Server::bind("127.0.0.1:0", handler).await.unwrap();
        let handle = server.handle();
        let serving = smol::spawn(server.serve());
        let client = connect(handle.local_addr()).await.unwrap();
        let call = smol::spawn(client.call("wait", ""));
        until(|| handle.peers().iter().any(|peer| peer.counters().frames_received > 1)).await;
        call.cancel().await;
        until(|| left.load(Ordering::SeqCst) == 1).await;
        let late = in_time(client.call("wait", "").timeout(Duration::from_millis(50))).await.unwrap_err();
        assert!(matches!(late, CallError::TimedOut(_)));
        until(|| left.load(Ordering::SeqCst) == 2).await;
        let _held = smol::spawn(client.call("wait", "").no_timeout());
        handle.shutdown(Duration::from_millis(100));
        in_time(serving).await;
    });
}

#[test]
fn a_client_comes_back() {
    smol::block_on(async {
        let delay = Delay::Exponential { base: Duration::from_millis(10), cap: Duration::from_millis(50) };
        let reconnect =
            ReconnectConfig { delay, first_loss_spread: Duration::ZERO, ..ReconnectConfig::default() };
        let server = Server::bind("127.0.0.1:0", echo()).await.unwrap();
        let handle = server.handle();
        let serving = smol::spawn(server.serve());
        let address = handle.local_addr();
        let client = client(NoHandler).reconnect(reconnect).connect(address).await.unwrap();
        handle.stop();
        in_time(serving).await;
        until(|| client.state() != ClientState::Connected).await;
        let waiting = smol::spawn(client.call("echo", "meanwhile"));
        let again = Server::bind(address, echo()).await.unwrap();
        let _serving = smol::spawn(again.serve());
        assert_eq!(in_time(waiting).await.unwrap().body, "meanwhile");
        in_time(client.drain(Duration::from_secs(10))).await;
    });
}

#[test]
fn a_large_message_goes_both_ways_and_idle_clients_are_many() {
    smol::block_on(async {
        let config = || Config::default().with_max_message(20 << 20);
        let server = server_on(Smol::default(), echo()).config(config()).bind("127.0.0.1:0").await.unwrap();
        let handle = server.handle();
        let _serving = smol::spawn(server.serve());
        let client = client(NoHandler).config(config()).connect(handle.local_addr()).await.unwrap();
        let body: Bytes = (0..19 << 20).map(|at: u32| (at / 7) as u8).collect::<Vec<u8>>().into();
        assert!(in_time(client.call("echo", body.clone()).no_timeout()).await.unwrap().body == body);
        let mut clients = Vec::new();
        for _ in 0..200 {
            clients.push(in_time(connect_with(handle.local_addr(), NoHandler)).await.unwrap());
        }
        assert_eq!(handle.connections(), 201);
        handle.stop_with(CloseCode::GOING_AWAY, &adapter_smol::CloseInfo::default().and_stay_away());
        for client in clients {
            in_time(client.closed()).await;
        }
        until(|| handle.connections() == 0).await;
    });
}

#[test]
fn servers_that_share_a_socket_are_one() {
    smol::block_on(async {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let handle = listener.handle();
        let shards = [0, 1].map(|number: u8| {
            let runtime = Smol::threads(1).unwrap();
            let handler = on_request(move |_, _| async move { Ok(Bytes::from(vec![number]).into()) });
            let server = server_on(runtime.clone(), handler).share(&listener).unwrap();
            runtime.executor().unwrap().spawn(server.serve())
        });
        let (mut clients, mut took) = (Vec::new(), [0; 2]);
        in_time(async {
            while took.contains(&0) {
                let client = connect(handle.local_addr()).await.unwrap();
                took[usize::from(client.call("who", "").await.unwrap().body[0])] += 1;
                clients.push(client);
            }
        })
        .await;
        assert_eq!(handle.broadcast("news", "of both").accepted, clients.len());
        handle.stop();
        for shard in shards {
            in_time(shard).await;
        }
    });
}
