//! How `lw serve` ends when it is told to, and what `lw call` makes of it.

#![cfg(unix)]

mod common;

use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::time::Duration;

use adapter_tokio::{Client, CloseCode, CloseReason, NoHandler, Refusal, client, on_request};
use common::{LIMIT, Lines, Server, assert_ended, finish, lw, run, signal};
use tokio::sync::Semaphore;

/// `lw call ADDRESS ROUTE -`, whose standard input stays open, and which ends with its connection.
fn call(address: &str, route: &str, lines: &str) -> (Child, ChildStdin) {
    let mut child =
        lw(&["call", address, route, "-", "--retry", "0"]).stdin(Stdio::piped()).spawn().expect("lw starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(lines.as_bytes()).expect("it reads");
    (child, stdin)
}

/// How the server ended, and what it said before.
#[track_caller]
fn assert_server_ended(mut server: Server, code: i32, said: &[&str]) {
    let stderr = Lines::of_errors(&mut server.child);
    for part in said {
        let line = stderr.next();
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
    assert_eq!(server.child.wait().expect("it was started here").code(), Some(code));
}

#[test]
fn a_server_that_is_told_to_end_answers_what_is_in_flight() {
    let server = Server::start();
    let (mut child, mut stdin) = call(&server.address, "sleep", "1ms\n1500ms\n");
    let answers = Lines::of(&mut child);
    // The second call was sent with the first.
    assert_eq!(answers.next(), "1ms\n");
    signal(&server.child, "TERM");
    assert_eq!(answers.next(), "1.5s\n");
    // Whether it has been told that the server drains, or that it has gone, this is not sent any more.
    stdin.write_all(b"1ms\n").unwrap();
    let output = finish(child);
    assert_ended(&output, 4, "", &["line 3: "]);
    let told = "answered: 2, may have been run without an answer: 0, not sent: 1 and all after";
    assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{output:?}");
    assert_server_ended(server, 0, &["draining 1 connection, for at most 30s"]);
    drop(stdin);
}

/// The connections of a server that was told to end hear of it, on both sides of the signal.
#[tokio::test]
async fn a_client_that_comes_too_late_is_refused() {
    let server = Server::start();
    let client = client(NoHandler).reconnect(None).connect(&*server.address).await.unwrap();
    let call = tokio::spawn(client.call("sleep", "1s"));
    // It is answered behind the other one's request.
    assert!(client.call("time", "").await.is_ok());
    signal(&server.child, "INT");
    in_time(client.draining()).await;
    let late = client.call("time", "").await.unwrap_err();
    assert!(!late.may_have_run(), "{late}");
    if client.close_reason().is_none() {
        assert_eq!(late.refusal(), Some(Refusal::Draining));
    }
    assert_eq!(in_time(call).await.unwrap().unwrap().body, "1s");
    assert_eq!(in_time(client.closed()).await, CloseReason::Peer(CloseCode::GOING_AWAY, None));
    drop::<Client>(client);
    assert_server_ended(server, 0, &["draining 1 connection"]);
}

#[test]
fn a_second_signal_closes_at_once() {
    let mut server = Server::start();
    let said = Lines::of_errors(&mut server.child);
    let (mut child, stdin) = call(&server.address, "sleep", "1ms\n1h\n");
    assert_eq!(Lines::of(&mut child).next(), "1ms\n");
    signal(&server.child, "TERM");
    assert!(said.next().contains("draining 1 connection"));
    signal(&server.child, "TERM");
    let output = finish(child);
    assert_ended(&output, 4, "", &["line 2: closed by the peer: GOING_AWAY"]);
    let told = "answered: 1, may have been run without an answer: 1, not sent: 0";
    assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{output:?}");
    assert_eq!(server.child.wait().unwrap().code(), Some(130));
    drop(stdin);
}

#[test]
fn a_drain_has_an_end() {
    for time in ["50ms", "0"] {
        let server = Server::start_with(&["--drain", time]);
        let (mut child, stdin) = call(&server.address, "sleep", "1ms\n1h\n");
        assert_eq!(Lines::of(&mut child).next(), "1ms\n");
        signal(&server.child, "TERM");
        assert_ended(&finish(child), 4, "", &["line 2: closed by the peer: GOING_AWAY"]);
        let said = ["draining 1 connection, for at most 50ms"];
        assert_server_ended(server, 0, if time == "0" { &[] } else { &said });
        drop(stdin);
    }
}

#[test]
fn a_server_without_connections_ends_without_a_word() {
    let mut server = Server::start();
    signal(&server.child, "TERM");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut server.child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!((server.child.wait().unwrap().code(), &*said), (Some(0), ""));
}

#[test]
fn connections_have_the_age_and_the_patience_that_were_asked_for() {
    for (option, code) in [("--idle", "IDLE"), ("--max-age", "MAX_AGE")] {
        let server = Server::start_with(&[option, "1s", "--verbose"]);
        let (child, mut stdin) = call(&server.address, "echo", "");
        let mut server = server;
        let said = Lines::of_errors(&mut server.child);
        assert!(said.next().ends_with("opened\n"));
        assert!(said.next().ends_with(&format!("ended: closed by this side: {code}\n")));
        stdin.write_all(b"too late\n").unwrap();
        assert_ended(&finish(child), 4, "", &[&format!("line 1: closed by the peer: {code}")]);
    }
    let server = Server::start();
    let output = run(&["serve", &server.address, "--idle", "0"], "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

/// A server of this process drains when `lw call` has one call in flight, and no other one yet.
#[tokio::test]
async fn a_call_that_comes_too_late_is_a_lost_connection_that_was_not_run() {
    let gate = Arc::new(Semaphore::new(0));
    let waits = gate.clone();
    let handler = on_request(move |_, request| {
        let gate = waits.clone();
        async move {
            gate.acquire().await.expect("it is never closed").forget();
            Ok(request.body.into())
        }
    });
    let server = adapter_tokio::Server::bind("127.0.0.1:0", handler).await.unwrap();
    let (handle, address) = (server.handle(), server.local_addr().to_string());
    let serving = tokio::spawn(server.serve());
    let (child, mut stdin) = call(&address, "hold", "first\n");
    let frames = |count| {
        let handle = handle.clone();
        async move {
            while handle.peers().first().is_none_or(|peer| peer.counters().frames_received < count) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    in_time(frames(2)).await;
    let peer = handle.peers().remove(0);
    handle.shutdown(LIMIT);
    // It answers that it has no further calls.
    in_time(async {
        while peer.counters().frames_received < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    stdin.write_all(b"second\nthird\n").unwrap();
    gate.add_permits(1);
    let output = tokio::task::spawn_blocking(|| finish(child)).await.unwrap();
    assert_ended(&output, 4, "first\n", &["line 2: "]);
    let told = "answered: 1, may have been run without an answer: 0, not sent: ";
    assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{output:?}");
    in_time(serving).await.unwrap();
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("it hangs")
}
