//! What only this runtime has: executors of all kinds, under servers that share a socket too. All else is the suite's matter.

use std::sync::Arc;
use std::time::Duration;

use adapter_smol::{Bytes, Handler, NoHandler, Smol, client, connect, listen, on_request, server_on};
use async_io::Timer;
use futures_lite::future;
use smol::Executor;

fn echo() -> impl Handler<Request: Send, Push: Send, Open: Send> + Send + Sync {
    on_request(|_, request| async move { Ok(request.body.into()) })
}

/// Waits for something that happens unless there is a defect.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    future::or(future, async {
        Timer::after(Duration::from_secs(60)).await;
        panic!("it hangs");
    })
    .await
}

#[test]
fn tasks_run_on_any_executor() {
    let own = Arc::new(Executor::new());
    let runtimes =
        [Smol::default(), Smol::threads(1).unwrap(), Smol::threads(3).unwrap(), Smol::on(own.clone())];
    for runtime in runtimes {
        smol::block_on(own.run(async {
            let server = server_on(runtime.clone(), echo()).bind("127.0.0.1:0").await.unwrap();
            let handle = server.handle();
            let serving = smol::spawn(server.serve());
            let client = client(NoHandler).runtime(runtime).connect(handle.local_addr()).await.unwrap();
            for round in 0..50usize {
                let body = Bytes::from(vec![round as u8; round * 1000]);
                assert!(
                    in_time(client.call("echo", body.clone())).await.unwrap().body == body,
                    "round {round}"
                );
            }
            handle.shutdown(Duration::from_secs(10));
            in_time(serving).await;
        }));
    }
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
