//! `lw` from outside: what it prints, where, and with which exit code it ends.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;

use adapter_tokio::{Client, connect_with, on_push};
use common::{LIMIT, Lines, Server, assert_ended, finish, lw, run};

fn numbers(count: u32) -> String {
    (1..=count).map(|number| format!("{number}\n")).collect()
}

#[test]
fn one_call_prints_the_reply_as_it_is() {
    let server = Server::start();
    assert_ended(&server.call(&["echo", "hello"]), 0, "hello", &[]);
    assert_ended(&server.call(&["echo"]), 0, "", &[]);
    assert_ended(&server.call(&["echo", "--", "-v"]), 0, "-v", &[]);
    assert_ended(&server.call(&["sleep", "1.5ms"]), 0, "1.5ms", &[]);
    let time = server.call(&["time"]).stdout;
    assert!(String::from_utf8(time).unwrap().parse::<f64>().unwrap() > 1e9);
}

#[test]
fn answers_come_in_the_order_of_the_lines() {
    let server = Server::start();
    let input = numbers(5000);
    for concurrency in ["1", "64", "1000", "65536"] {
        let output = server.stream(&["echo", "-", "--concurrency", concurrency], input.as_str());
        assert_ended(&output, 0, &input, &[]);
    }
}

#[test]
fn answers_that_overtake_each_other_are_put_in_order() {
    let server = Server::start();
    // Each of seven lines in a row sleeps for another time.
    let times: Vec<String> = (0..500).map(|line| format!("{}ms\n", line * 3 % 7)).collect();
    let expected: String = times.concat().replace("0ms", "0ns");
    assert_ended(&server.stream(&["sleep", "-"], times.concat()), 0, &expected, &[]);
}

#[test]
fn lines_are_bytes_and_the_last_needs_no_newline() {
    let server = Server::start();
    let output = server.stream(&["echo", "-"], b"\xff\0\r\n\nlast");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"\xff\0\r\n\nlast\n"[..]));
    assert_ended(&server.stream(&["echo", "-"], ""), 0, "", &[]);
}

#[test]
fn the_first_failure_ends_it_after_the_answers_before_it() {
    let server = Server::start();
    let output = server.stream(&["sleep", "-"], "20ms\n1ms\nsoon\n1ms\n");
    assert_ended(&output, 1, "20ms\n1ms\n", &["line 3: BAD_REQUEST: \"soon\" is no duration"]);
}

#[test]
fn keep_going_leaves_an_empty_line_for_each_failure() {
    let server = Server::start();
    let output = server.stream(&["sleep", "-", "--keep-going"], "1ms\nsoon\n2ms\nlater\n3ms\n");
    let told = ["line 2: BAD_REQUEST", "line 4: BAD_REQUEST", "failed lines: 2 of 5"];
    assert_ended(&output, 1, "1ms\n\n2ms\n\n3ms\n", &told);
}

#[test]
fn a_line_that_is_too_long_is_a_failure_of_that_line() {
    let server = Server::start();
    let input = format!("before\n{}\nbehind\n", "x".repeat(3 << 20));
    let output = server.stream(&["echo", "-", "--keep-going"], input.as_str());
    let told = ["line 2: longer than --max-message 1,048,576; the call was not sent", "failed lines: 1 of 3"];
    assert_ended(&output, 1, "before\n\nbehind\n", &told);
    // Here the limit is the server's.
    let output = server.stream(&["echo", "-", "--keep-going", "--max-message", "4M"], input);
    let told = ["over the peer's limit of 1048576; the call was not sent", "failed lines: 1 of 3"];
    assert_ended(&output, 1, "before\n\nbehind\n", &told);
}

#[test]
fn a_failed_call_says_whether_it_may_have_been_run() {
    let server = Server::start();
    let unknown = server.call(&["nowhere"]);
    assert_ended(
        &unknown,
        1,
        "",
        &["UNKNOWN_ROUTE: there are echo, time, sleep and chat; the call was not run"],
    );
    let late = server.call(&["sleep", "1m", "--deadline", "50ms"]);
    assert_ended(&late, 1, "", &["the deadline passed; the peer may have run the call"]);
}

#[test]
fn arguments_that_make_no_sense_are_exit_code_2() {
    for arguments in [
        &["call"][..],
        &["call", "nonsense", "echo"],
        &["call", "127.0.0.1:1,", "echo"],
        &["call", "127.0.0.1:1", ""],
        &["call", "127.0.0.1:1", "echo", "--silence", "1s"],
        &["call", "127.0.0.1:1", "echo", "--retry", "often"],
        &["ping", "nonsense"],
        &["ping", "127.0.0.1:1", "--interval", "0"],
        &["ping", "127.0.0.1:1", "--count", "0"],
        &["listen", "127.0.0.1:1", "--count", "0"],
        &["completion", "tcsh"],
        &["call", "127.0.0.1:1", "4294967296"],
        &["call", "127.0.0.1:1", "echo", "-", "--concurrency", "0"],
        &["call", "127.0.0.1:1", "echo", "--deadline", "soon"],
        &["call", "127.0.0.1:1", "echo", "body", "--keep-going"],
        &["serve", "127.0.0.1:0", "--max-message", "7"],
    ] {
        let output = run(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn an_address_that_does_not_work_is_named_with_the_cause() {
    let server = Server::start();
    let address = &server.address;
    let in_use = run(&["serve", address], "");
    assert_ended(&in_use, 3, "", &[&format!("cannot listen on {address}: ")]);
    assert_ended(&run(&["serve", "nonsense"], ""), 3, "", &["cannot resolve nonsense: "]);

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let refused = run(&["call", &free, "echo"], "");
    assert_ended(&refused, 3, "", &[&format!("cannot connect to {free}: ")]);
}

#[test]
fn a_server_of_another_protocol_is_no_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let web = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let output = run(&["call", &address, "echo"], "");
    let told = format!("no handshake with {address}: protocol error: the peer does not speak LW");
    assert_ended(&output, 3, "", &[&told]);
    web.join().unwrap();
}

#[test]
fn a_lost_connection_tells_what_was_answered() {
    let mut server = Server::start();
    let mut child = lw(&["call", &server.address, "sleep", "-", "--retry", "0"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("lw starts");
    // Standard input stays open, so that nothing but the loss ends it.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"1ms\n2ms\n1h\n").unwrap();
    let answers = Lines::of(&mut child);
    assert_eq!([answers.next(), answers.next()], ["1ms\n", "2ms\n"]);
    server.child.kill().unwrap();
    let output = finish(child);
    let told = "answered: 2, may have been run without an answer: 1, not sent: 0";
    assert_ended(&output, 4, "", &[&format!("line 3: {}", "connection lost")]);
    assert!(String::from_utf8_lossy(&output.stderr).contains(told));
    drop(stdin);
}

#[test]
fn whoever_has_read_enough_ends_it_quietly() {
    let server = Server::start();
    let mut child =
        lw(&["call", &server.address, "echo", "-"]).stdin(Stdio::piped()).spawn().expect("lw starts");
    let mut stdin = child.stdin.take().unwrap();
    let endless = thread::spawn(move || while stdin.write_all(b"line\n").is_ok() {});
    let answers = Lines::of(&mut child);
    assert_eq!(answers.next(), "line\n");
    drop(answers);
    assert_ended(&finish(child), 0, "", &[]);
    endless.join().unwrap();
}

#[tokio::test]
async fn a_chat_message_reaches_all_who_are_connected() {
    let server = Server::start();
    let (one, mut hears_one) = chatter(&server.address).await;
    let (_two, mut hears_two) = chatter(&server.address).await;

    one.pushed("chat", "hello").await.unwrap();
    assert_eq!([heard(&mut hears_one).await, heard(&mut hears_two).await], ["hello", "hello"]);

    // The one who calls is connected too.
    let address = server.address.clone();
    let called = tokio::task::spawn_blocking(move || run(&["call", &address, "chat", "all"], ""));
    assert_ended(&called.await.unwrap(), 0, "3", &[]);
    assert_eq!([heard(&mut hears_one).await, heard(&mut hears_two).await], ["all", "all"]);
}

type Heard = tokio::sync::mpsc::UnboundedReceiver<String>;

async fn chatter(address: &str) -> (Client, Heard) {
    let (sender, heard) = tokio::sync::mpsc::unbounded_channel();
    let handler = on_push(move |_, push| {
        let _ = sender.send(String::from_utf8_lossy(&push.body).into_owned());
        std::future::ready(())
    });
    (connect_with(address, handler).await.expect("the server is there"), heard)
}

async fn heard(from: &mut Heard) -> String {
    tokio::time::timeout(LIMIT, from.recv()).await.expect("it comes").expect("the connection is open")
}
