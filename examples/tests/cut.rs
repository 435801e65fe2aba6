//! `lw call -` through a proxy that cuts connections wherever it happens to be: what is run, and how often.

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use adapter_tokio::{Reply, Server, on_request};
use common::{LIMIT, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LINES: usize = 3000;
/// Bytes that connections carry to the server before they are cut: within frames, between them, in the handshake.
const CUTS: [usize; 5] = [5000, 37, 20_011, 1, 9_999];

type Runs = Arc<Mutex<HashMap<String, usize>>>;

/// A server that counts how often each body is run, and where it can be reached.
async fn counting() -> (Runs, SocketAddr) {
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = on_request(move |_, request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        *counted.lock().expect("no panic").entry(body).or_default() += 1;
        async move { Ok(Reply::from(request.body)) }
    });
    let server = Server::bind("127.0.0.1:0", handler).await.expect("a free port");
    let address = server.local_addr();
    tokio::spawn(server.serve());
    (runs, address)
}

/// Carries connections to a server, each only so far; after all of [`CUTS`] they stay.
async fn cutting(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let mut cuts = CUTS.into_iter();
        while let Ok((mut client, _)) = listener.accept().await {
            let Ok(mut server) = TcpStream::connect(server).await else { return };
            let limit = cuts.next().unwrap_or(usize::MAX);
            let mut carried = 0;
            let (mut from_client, mut from_server) = (vec![0; 4096], vec![0; 4096]);
            while carried < limit {
                let most = from_client.len().min(limit - carried);
                let done = tokio::select! {
                    read = client.read(&mut from_client[..most]) => match read {
                        Ok(n @ 1..) => {
                            carried += n;
                            server.write_all(&from_client[..n]).await
                        }
                        _ => break,
                    },
                    read = server.read(&mut from_server) => match read {
                        Ok(n @ 1..) => client.write_all(&from_server[..n]).await,
                        _ => break,
                    },
                };
                if done.is_err() {
                    break;
                }
            }
        }
    });
    address
}

/// Calls for all lines; gives the output, the exit code, and how often each was run.
async fn stream(options: &'static [&str]) -> (Vec<String>, Option<i32>, HashMap<String, usize>) {
    let (runs, server) = counting().await;
    let address = cutting(server).await.to_string();
    let input: String = (1..=LINES).map(|line| format!("line {line}\n")).collect();
    let called = tokio::task::spawn_blocking(move || {
        // The handshake itself is cut too.
        run(&[&["call", &address, "count", "-", "--retry-max-time", "never"], options].concat(), input)
    });
    let output = tokio::time::timeout(LIMIT, called).await.expect("it hangs").expect("no panic");
    let lines = String::from_utf8(output.stdout).expect("it is text").lines().map(str::to_owned).collect();
    let runs = runs.lock().expect("no panic").clone();
    (lines, output.status.code(), runs)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_run_twice_and_what_is_answered_was_run() {
    let (answers, code, runs) = stream(&["--keep-going"]).await;
    assert_eq!((answers.len(), code), (LINES, Some(1)));
    let mut missing = 0;
    for (line, answer) in (1..).zip(&answers) {
        let body = format!("line {line}");
        let runs = runs.get(&body).copied().unwrap_or_default();
        if answer.is_empty() {
            missing += 1;
            assert!(runs <= 1, "{body} was run {runs} times");
        } else {
            assert_eq!((answer, runs), (&body, 1));
        }
    }
    assert!(missing > 0, "no connection was cut with calls under way");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_run_twice_is_run_at_least_once() {
    let (answers, code, runs) = stream(&["--idempotent"]).await;
    assert_eq!((answers.len(), code), (LINES, Some(0)));
    for (line, answer) in (1..).zip(&answers) {
        assert_eq!(*answer, format!("line {line}"));
        assert!(runs.get(answer).is_some_and(|&runs| runs >= 1), "{answer} was not run");
    }
    assert!(runs.values().any(|&runs| runs > 1), "nothing was called again");
}
