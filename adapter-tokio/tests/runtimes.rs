//! tokio as it is used: its clock when it is paused, its tasks that move between threads, and its descriptors when there
//! are none.

mod common;

use std::time::Duration;

use adapter_tokio::{
    Call, CallError, Client, Delivery, Peer, Server, ServerHandle, connect, connect_with, on_request,
};
use common::{echo, in_time, serve, until};

#[test]
fn what_may_move_between_threads_can() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    fn is_shared<T: Send + Sync>() {}
    is_shared::<(Peer, Client, ServerHandle)>();
    drop(is_send(async {
        let server = Server::bind("127.0.0.1:0", echo()).await.expect("a free port");
        is_send(server.serve()).await;
    }));
    drop(is_send(connect("127.0.0.1:1")));
    drop(is_send(connect_with("127.0.0.1:1", echo())));
    fn of_a_peer(peer: &Peer) {
        let call: Call = is_send(peer.call(1, ""));
        drop(call);
        drop(is_send(peer.closed()));
        drop(is_send(peer.opened()));
        drop(is_send(peer.pushed(1, "")));
    }
    let _ = of_a_peer;
}

#[tokio::test]
async fn an_hour_passes_at_once_when_time_is_paused() {
    let server = serve(on_request(|_, _| std::future::pending())).await;
    let client = connect(server.local_addr()).await.unwrap();
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    let error = client.call(1, "").timeout(Duration::from_secs(3600)).await.unwrap_err();
    assert_eq!(error, CallError::TimedOut(Delivery::MaybeSent));
    assert!(started.elapsed() >= Duration::from_secs(3600));
    assert!(client.is_open());
}

#[test]
fn a_server_and_a_client_may_run_on_different_runtimes() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (theirs, ours) = (runtime().unwrap(), runtime().unwrap());
    let server = theirs.block_on(serve(echo()));
    let client = ours.block_on(connect(server.local_addr())).unwrap();
    // A handle is used from wherever there is one, also where neither of them runs.
    let here = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let reply = here.block_on(in_time(client.call(1, "over there"))).unwrap();
    assert_eq!(reply.body, "over there");
    drop(theirs);
    assert!(here.block_on(in_time(client.call(1, "gone"))).is_err());
}

/// A server without descriptors neither ends nor spins, and goes on once there are some.
#[cfg(unix)]
#[test]
fn a_lack_of_descriptors_is_waited_out() {
    use std::fs::File;

    if !common::is_child_with_descriptors("a_lack_of_descriptors_is_waited_out", 40) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = serve(echo()).await;
        let mut hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(hoard.len() > 8, "the limit was not lowered");
        // One for the client's end; then none is left for the server's.
        hoard.pop();
        let mut waiting = std::net::TcpStream::connect(server.local_addr()).unwrap();
        until(|| server.accept_failures() > 0).await;

        tokio::time::pause();
        let started = tokio::time::Instant::now();
        let failures = server.accept_failures();
        tokio::time::sleep(Duration::from_secs(60)).await;
        tokio::time::resume();
        let failures = server.accept_failures() - failures;
        assert!((50..80).contains(&failures), "{failures} in {:?}", started.elapsed());

        drop(hoard);
        std::io::Write::write_all(&mut waiting, &common::opening()).unwrap();
        until(|| server.peers().len() == 1).await;
        let client = connect(server.local_addr()).await.unwrap();
        assert_eq!(client.call(1, "back").await.unwrap().body, "back");
    });
}
