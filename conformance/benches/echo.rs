//! How far an adapter is from an echo that is written by hand for the same runtime: `cargo bench -p conformance --bench echo`,
//! of one of them with its name behind `--`.
//!
//! Server and client are two threads with a runtime of one thread each. The echo sends back the bytes that it reads; its
//! client counts messages of 64 bytes by their length. Longwire does all that it does by default: handshake, correlation, deadlines,
//! credit, heartbeats. Rounds of all of them take turns, since machines have moods, and medians are shown.

use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::{AsyncReadExt, AsyncWriteExt, StreamExt};
use futures_util::stream::FuturesUnordered;
use proto_core::Bytes;
use proto_core::endpoint::{Client, ServerHandle};
use proto_core::peer::{Handler, on_request};

/// Bytes of a message.
const SIZE: usize = 64;
/// Messages at once.
const IN_FLIGHT: [usize; 2] = [1, 128];
const ROUND: Duration = Duration::from_millis(700);
const ROUNDS: usize = 5;

fn main() {
    // `cargo test --benches` only sees that it works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runtimes: Vec<&Measured> = RUNTIMES
        .iter()
        .filter(|runtime| wanted.is_empty() || wanted.iter().any(|wanted| wanted == runtime.name))
        .collect();
    let (round, rounds) = if is_test { (Duration::from_millis(20), 1) } else { (ROUND, ROUNDS) };
    println!("messages of {SIZE} bytes per second on one connection; medians of {rounds} rounds\n");
    println!("{:<10} {:>10} {:>12} {:>12} {:>8}", "runtime", "in flight", "by hand", "Longwire", "ratio");
    for in_flight in IN_FLIGHT {
        let mut found: Vec<[Vec<f64>; 2]> = vec![Default::default(); runtimes.len()];
        for _ in 0..rounds {
            for (runtime, found) in runtimes.iter().zip(&mut found) {
                for (measure, found) in [runtime.by_hand, runtime.longwire].into_iter().zip(found) {
                    found.extend(measure(in_flight, round).map_err(|problem| {
                        println!("{:<10} SKIPPED: {problem}", runtime.name);
                    }));
                }
            }
        }
        for (runtime, found) in runtimes.iter().zip(found) {
            let [Some(by_hand), Some(longwire)] = found.map(median) else { continue };
            println!(
                "{:<10} {in_flight:>10} {:>12} {:>12} {:>8.2}",
                runtime.name,
                thousands(by_hand),
                thousands(longwire),
                longwire / by_hand
            );
        }
    }
}

type Measure = fn(usize, Duration) -> Result<f64, String>;

struct Measured {
    name: &'static str,
    by_hand: Measure,
    longwire: Measure,
}

const RUNTIMES: &[Measured] = &[
    Measured { name: "tokio", by_hand: on_tokio::by_hand, longwire: on_tokio::longwire },
    Measured { name: "smol", by_hand: on_smol::by_hand, longwire: on_smol::longwire },
    #[cfg(target_os = "linux")]
    Measured { name: "glommio", by_hand: on_glommio::by_hand, longwire: on_glommio::longwire },
];

fn median(mut found: Vec<f64>) -> Option<f64> {
    found.sort_by(f64::total_cmp);
    found.get(found.len() / 2).copied()
}

fn thousands(number: f64) -> impl Display {
    format!("{:.1} k", number / 1000.0)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Runs a server on another thread until the client on this one has its number.
fn beside<T>(
    server: impl FnOnce(mpsc::Sender<Result<T, String>>) + Send + 'static,
    client: impl FnOnce(T) -> Result<f64, String>,
) -> Result<f64, String>
where
    T: Send + 'static,
{
    let (sender, receiver) = mpsc::channel();
    let serving = thread::spawn(move || server(sender));
    // Whoever could not connect leaves a server behind that waits.
    let measured = client(receiver.recv().map_err(text)??)?;
    serving.join().map_err(|_| "the server panicked")?;
    Ok(measured)
}

fn echo() -> impl Handler<Request: Send, Push: Send, Open: Send> + Send + Sync {
    on_request(|_, request| async move { Ok(request.body.into()) })
}

/// Calls per second.
async fn call(client: Client, in_flight: usize, time: Duration) -> Result<f64, String> {
    let body = Bytes::from(vec![7; SIZE]);
    let started = Instant::now();
    let mut calls: FuturesUnordered<_> = (0..in_flight).map(|_| client.call(1, body.clone())).collect();
    let mut count = 0;
    while started.elapsed() < time {
        calls.next().await.ok_or("no call is under way")?.map_err(text)?;
        calls.push(client.call(1, body.clone()));
        count += 1;
    }
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    drop(calls);
    client.finish().await;
    Ok(rate)
}

/// Messages per second, by hand: what has come back is sent again.
async fn ping(
    mut stream: impl futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin,
    in_flight: usize,
    time: Duration,
) -> Result<f64, String> {
    let mut buffer = vec![7; 64 << 10];
    let started = Instant::now();
    let mut received = 0;
    stream.write_all(&buffer[..in_flight * SIZE]).await.map_err(text)?;
    while started.elapsed() < time {
        let read = stream.read(&mut buffer).await.map_err(text)?;
        received += read;
        stream.write_all(&buffer[..read]).await.map_err(text)?;
    }
    Ok((received / SIZE) as f64 / started.elapsed().as_secs_f64())
}

/// Sends back what comes, until the end.
async fn pong(mut stream: impl futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}

/// Serves until the only client has gone.
async fn serve_one(serving: impl Future<Output = ()>, handle: ServerHandle, said: impl FnOnce(SocketAddr)) {
    said(handle.local_addr());
    let gone = async {
        let peer = loop {
            match handle.peers().pop() {
                Some(peer) => break peer,
                None => futures_lite::future::yield_now().await,
            }
        };
        peer.closed().await;
        handle.stop();
    };
    futures_lite::future::zip(serving, gone).await;
}

mod on_tokio {
    use super::*;
    use adapter_tokio::{Server, connect};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::{Builder, Runtime};

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().expect("tokio starts")
    }

    pub(super) fn longwire(in_flight: usize, time: Duration) -> Result<f64, String> {
        beside(
            |sender| {
                runtime().block_on(async {
                    let server = Server::bind("127.0.0.1:0", echo()).await.expect("a free port");
                    let handle = server.handle();
                    serve_one(server.serve(), handle, |address| drop(sender.send(Ok(address)))).await;
                });
            },
            |address: SocketAddr| {
                runtime()
                    .block_on(async { call(connect(address).await.map_err(text)?, in_flight, time).await })
            },
        )
    }

    /// tokio has traits of its own, so its echo is written again.
    pub(super) fn by_hand(in_flight: usize, time: Duration) -> Result<f64, String> {
        beside(
            |sender| {
                runtime().block_on(async {
                    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                    drop(sender.send(listener.local_addr().map_err(text)));
                    let Ok((mut stream, _)) = listener.accept().await else { return };
                    let _ = stream.set_nodelay(true);
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..read]).await.is_err() {
                            break;
                        }
                    }
                });
            },
            |address| {
                runtime().block_on(async {
                    let mut stream = TcpStream::connect(address).await.map_err(text)?;
                    stream.set_nodelay(true).map_err(text)?;
                    let mut buffer = vec![7; 64 << 10];
                    let started = Instant::now();
                    let mut received = 0;
                    stream.write_all(&buffer[..in_flight * SIZE]).await.map_err(text)?;
                    while started.elapsed() < time {
                        let read = stream.read(&mut buffer).await.map_err(text)?;
                        received += read;
                        stream.write_all(&buffer[..read]).await.map_err(text)?;
                    }
                    Ok((received / SIZE) as f64 / started.elapsed().as_secs_f64())
                })
            },
        )
    }
}

mod on_smol {
    use std::sync::Arc;

    use super::*;
    use adapter_smol::{NoHandler, Smol, client, server_on};
    use smol::Executor;
    use smol::net::{TcpListener, TcpStream};

    pub(super) fn longwire(in_flight: usize, time: Duration) -> Result<f64, String> {
        beside(
            |sender| {
                let executor = Arc::new(Executor::new());
                smol::block_on(executor.run(async {
                    let runtime = Smol::on(executor.clone());
                    let server = server_on(runtime, echo()).bind("127.0.0.1:0").await.expect("a free port");
                    let handle = server.handle();
                    serve_one(server.serve(), handle, |address| drop(sender.send(Ok(address)))).await;
                }));
            },
            |address: SocketAddr| {
                let executor = Arc::new(Executor::new());
                smol::block_on(executor.run(async {
                    let client = client(NoHandler).runtime(Smol::on(executor.clone())).connect(address).await;
                    call(client.map_err(text)?, in_flight, time).await
                }))
            },
        )
    }

    pub(super) fn by_hand(in_flight: usize, time: Duration) -> Result<f64, String> {
        beside(
            |sender| {
                smol::block_on(async {
                    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                    drop(sender.send(listener.local_addr().map_err(text)));
                    let Ok((stream, _)) = listener.accept().await else { return };
                    let _ = stream.set_nodelay(true);
                    pong(stream).await;
                });
            },
            |address| {
                smol::block_on(async {
                    let stream = TcpStream::connect(address).await.map_err(text)?;
                    stream.set_nodelay(true).map_err(text)?;
                    ping(stream, in_flight, time).await
                })
            },
        )
    }
}

#[cfg(target_os = "linux")]
mod on_glommio {
    use super::*;
    use adapter_glommio::{Server, connect, run};
    use glommio::net::{TcpListener, TcpStream};

    pub(super) fn longwire(in_flight: usize, time: Duration) -> Result<f64, String> {
        beside(
            |sender| {
                let told = sender.clone();
                let serving = run(async move {
                    let server = Server::bind("127.0.0.1:0", echo()).await.expect("a free port");
                    let handle = server.handle();
                    serve_one(server.serve(), handle, |address| drop(told.send(Ok(address)))).await;
                });
                drop(serving.map_err(|error| sender.send(Err(text(error)))));
            },
            |address: SocketAddr| {
                run(async move { call(connect(address).await.map_err(text)?, in_flight, time).await })
                    .map_err(text)?
            },
        )
    }

    pub(super) fn by_hand(in_flight: usize, time: Duration) -> Result<f64, String> {
        beside(
            |sender| {
                let told = sender.clone();
                let serving = run(async move {
                    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
                    drop(told.send(listener.local_addr().map_err(text)));
                    let Ok(stream) = listener.accept().await else { return };
                    let _ = stream.set_nodelay(true);
                    pong(stream).await;
                });
                drop(serving.map_err(|error| sender.send(Err(text(error)))));
            },
            |address| {
                run(async move {
                    let stream = TcpStream::connect(address).await.map_err(text)?;
                    stream.set_nodelay(true).map_err(text)?;
                    ping(stream, in_flight, time).await
                })
                .map_err(text)?
            },
        )
    }
}
