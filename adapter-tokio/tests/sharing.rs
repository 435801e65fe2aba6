//! Several servers that share one socket, each with a runtime and a thread of its own, are one server.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use adapter_tokio::{
    Bytes, Client, CloseCode, CloseInfo, Server, SharedListener, connect, listen, on_request,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A server that answers with its number. It serves until it is told to stop, or for so long.
fn shard(listener: &SharedListener, number: u8, most: Option<usize>, within: Duration) -> JoinHandle<()> {
    let listener = listener.clone();
    thread::spawn(move || {
        runtime().block_on(async {
            let handler = on_request(move |_, _| async move { Ok(Bytes::from(vec![number]).into()) });
            let server = Server::builder(handler).max_connections(most).share(&listener).expect("a server");
            let _ = timeout(within, server.serve()).await;
        });
    })
}

const LONG: Duration = Duration::from_secs(60);

async fn who(client: &Client) -> usize {
    timeout(LONG, client.call("who", "")).await.expect("it hangs").expect("an answer").body[0].into()
}

#[test]
fn both_take_connections_and_stop_together() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let handle = listener.handle();
    let shards = [0, 1].map(|number| shard(&listener, number, None, LONG));
    runtime().block_on(async {
        let (mut clients, mut took) = (Vec::new(), [0; 2]);
        timeout(LONG, async {
            while took.contains(&0) {
                let client = connect(handle.local_addr()).await.unwrap();
                took[who(&client).await] += 1;
                clients.push(client);
            }
        })
        .await
        .expect("one of them takes nothing");
        assert_eq!(handle.broadcast("news", "of both").accepted, clients.len());
        handle.stop_with(CloseCode::GOING_AWAY, &CloseInfo::default().and_stay_away());
        for client in clients {
            timeout(LONG, client.closed()).await.expect("a client is left");
        }
    });
    shards.into_iter().for_each(|shard| shard.join().unwrap());
    // Nobody listens any more, though the socket's owner is still there.
    assert!(std::net::TcpStream::connect(handle.local_addr()).is_err());
    drop(listener);
}

#[test]
fn a_shard_that_is_dropped_ends_all() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let shards = [(0, LONG), (1, Duration::from_millis(50))]
        .map(|(number, within)| shard(&listener, number, None, within));
    shards.into_iter().for_each(|shard| shard.join().unwrap());
}

#[test]
fn a_shard_that_never_served_ends_all_too() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let one = shard(&listener, 0, None, LONG);
    runtime().block_on(async {
        assert_eq!(who(&connect(listener.handle().local_addr()).await.unwrap()).await, 0);
        drop(Server::builder(adapter_tokio::NoHandler).share(&listener).unwrap());
    });
    let (told, ended) = std::sync::mpsc::channel();
    thread::spawn(move || told.send(one.join().is_ok()));
    assert!(ended.recv_timeout(LONG / 2).expect("the other one goes on"));
}

#[test]
fn a_place_that_becomes_free_is_taken_on_any_shard() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let handle = listener.handle();
    let shards = [0, 1].map(|number| shard(&listener, number, Some(3), LONG));
    runtime().block_on(async {
        // Each of these must wait for one before it to leave: servers that are not woken by it would hang.
        let all = (0..40).map(|_| {
            let address = handle.local_addr();
            tokio::spawn(async move { timeout(LONG, connect(address)).await.expect("it hangs") })
        });
        let mut most = 0;
        for client in all.collect::<Vec<_>>() {
            let client = client.await.unwrap().unwrap();
            who(&client).await;
            most = most.max(handle.connections());
            client.finish().await;
        }
        // The limit is looked at before a connection is taken: each server may be about to take one.
        assert!((1..=4).contains(&most), "{most}");
        while handle.connections() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        handle.stop();
    });
    shards.into_iter().for_each(|shard| shard.join().unwrap());
}
