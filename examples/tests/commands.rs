//! `lw push`, `listen`, `ping`, `completion` and `man` from outside, and what programs read of them.

mod common;

use std::process::Child;

use common::{Lines, Server, assert_ended, finish, free_address, lw, run};
use serde_json::{Value, json};

/// `lw listen`, once it is connected: the server tells how many it pushes to.
fn listen(server: &Server, options: &[&str]) -> Child {
    let before = listeners(server);
    let child = lw(&[&["listen", &server.address], options].concat()).spawn().expect("lw starts");
    while listeners(server) == before {}
    child
}

/// How many others are connected. They hear an empty line each time it is asked.
fn listeners(server: &Server) -> u32 {
    let count = server.call(&["chat"]).stdout;
    String::from_utf8_lossy(&count).parse().expect("a number")
}

/// The objects in a program's output, one in each line.
fn objects(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).expect("JSON is UTF-8");
    assert!(text.ends_with('\n'), "{text:?}");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"))).collect()
}

fn push(server: &Server, arguments: &[&str], input: &str) {
    assert_ended(&run(&[&["push", &server.address], arguments].concat(), input), 0, "", &[]);
}

#[test]
fn what_is_pushed_is_heard() {
    let server = Server::start();
    let mut child = listen(&server, &[]);
    let heard = Lines::of(&mut child);
    push(&server, &["chat", "hello"], "");
    assert_eq!(heard.until("hello"), "hello\n");
    push(&server, &["chat", "-"], "one\n\ntwo");
    assert_eq!([heard.next(), heard.next(), heard.next()], ["one\n", "\n", "two\n"]);
    // Who reads no further ends it, as soon as there is something that nobody reads.
    drop(heard);
    while child.try_wait().unwrap().is_none() {
        push(&server, &["chat", "more"], "");
    }
    assert_ended(&finish(child), 0, "", &[]);
}

#[test]
fn thousands_of_pushes_arrive_in_order() {
    let server = Server::start_with(&["--max-message", "2K"]);
    let mut child = listen(&server, &["--routes"]);
    let heard = Lines::of(&mut child);
    let lines: Vec<String> = (1..=3000).map(|line| format!("{line}\n")).collect();
    push(&server, &["chat", "-"], &lines.concat());
    heard.until("\t1\n");
    for line in &lines[1..] {
        assert_eq!(heard.next(), format!("chat\t{line}"));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_push_that_goes_nowhere_is_an_error() {
    let address = free_address();
    assert_ended(
        &run(&["push", &address, "chat", "x"], ""),
        3,
        "",
        &[&format!("cannot connect to {address}")],
    );
    let server = Server::start_with(&["--max-message", "1K"]);
    let long = "x".repeat(2000);
    let output = run(&["push", &server.address, "chat", &long], "");
    assert_ended(&output, 1, "", &["over the peer's limit of 1024; it was not sent"]);
    let output = run(&["push", &server.address, "chat", "-", "--max-message", "1K"], format!("a\n{long}\n"));
    assert_ended(&output, 1, "", &["push 2: longer than --max-message 1,024; it was not sent"]);
}

#[test]
fn a_push_is_not_sent_into_a_lost_connection() {
    use std::io::Write;
    let mut server = Server::start();
    let mut listener = listen(&server, &[]);
    let heard = Lines::of(&mut listener);
    let mut child =
        lw(&["push", &server.address, "chat", "-"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\n").unwrap();
    // It has a connection, then, and knows it.
    heard.until("one");
    server.kill();
    // Nothing more is read, so it is the loss that ends it.
    assert_ended(&finish(child), 4, "", &["connection lost: "]);
    listener.kill().unwrap();
    listener.wait().unwrap();
}

#[test]
fn listening_ends_when_it_was_enough() {
    let server = Server::start();
    let child = listen(&server, &["--count", "3", "--json"]);
    push(&server, &["chat", "-"], "one\ntwo\nthree\nfour\n");
    let output = finish(child);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let heard = objects(&output.stdout);
    assert_eq!(heard.len(), 3);
    for push in &heard {
        assert_eq!(push["route"], "chat");
        assert!(push["body"].is_string() && push["time"].as_f64().unwrap() > 1e9, "{push}");
    }
    assert_ended(&run(&["listen", &server.address, "--for", "50ms"], ""), 0, "", &[]);
    let few = run(&["listen", &server.address, "--for", "50ms", "-n", "1"], "");
    assert_ended(&few, 1, "", &["pushes: 0 of 1"]);
    // It ends in time even if there is nobody to listen to.
    let nobody = ["listen", &free_address(), "--retry-max-time", "never", "--for", "50ms"];
    assert_ended(&run(&nobody, ""), 0, "", &[]);
}

#[cfg(unix)]
#[test]
fn a_listener_comes_back_and_ends_at_ctrl_c() {
    let mut server = Server::start();
    let mut child = listen(&server, &["-v"]);
    let (heard, told) = (Lines::of(&mut child), Lines::of_errors(&mut child));
    // The server knows it a little earlier than it knows itself that it is connected.
    push(&server, &["chat", "first"], "");
    heard.until("first");
    server.restart();
    told.until("connecting again");
    told.until("connected again to ");
    push(&server, &["chat", "again"], "");
    assert_eq!(heard.until("again"), "again\n");
    common::signal(&child, "INT");
    assert_ended(&finish(child), 0, "", &[]);
}

#[test]
fn pings_are_counted_and_timed() {
    let server = Server::start();
    let output = run(&["ping", &server.address, "-c", "5", "-i", "1ms"], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8, "{text}");
    assert!(lines[..5].iter().all(|line| line.starts_with("answer: seq=")), "{text}");
    assert_eq!(lines[5], format!("--- {} ---", server.address));
    assert_eq!(lines[6], "5 sent, 5 answered, 0 lost (0.0 %), connections lost: 0");
    assert!(lines[7].starts_with("time min/avg/max/mdev = "), "{text}");

    // An error status is an answer, too; what comes too late is none.
    let output = run(&["ping", &server.address, "nowhere", "-c", "1", "--json"], "");
    let objects_of_one = objects(&output.stdout);
    assert_eq!((&objects_of_one[0]["status"], output.status.code()), (&json!("UNKNOWN_ROUTE"), Some(0)));
    let arguments = ["ping", &server.address, "sleep", "-c", "2", "-i", "1ms", "--quiet"];
    assert_eq!(String::from_utf8(run(&arguments, "").stdout).unwrap().lines().count(), 3);
    let nobody = run(&["ping", &free_address(), "-c", "2", "-i", "1ms"], "");
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    let text = String::from_utf8(nobody.stdout).unwrap();
    assert!(text.ends_with("\n2 sent, 0 answered, 2 lost (100.0 %), connections lost: 0\n"), "{text}");
}

#[cfg(unix)]
#[test]
fn pings_go_on_through_a_lost_connection() {
    let mut server = Server::start();
    let mut child = lw(&["ping", &server.address, "-i", "5ms", "--json"]).spawn().unwrap();
    let lines = Lines::of(&mut child);
    let mut printed = vec![lines.until("time_ms")];
    server.kill();
    printed.push(lines.until("error"));
    server = Server::start_at(&server.address);
    loop {
        printed.push(lines.next());
        if printed.last().is_some_and(|line| line.contains("time_ms")) {
            break;
        }
    }
    common::signal(&child, "INT");
    let last = lines.until("sent");
    assert_eq!(finish(child).status.code(), Some(0));
    let last = &objects(last.as_bytes())[0];
    assert_eq!(last["connections_lost"], 1);
    let count = |key| last[key].as_u64().unwrap();
    assert!(count("answered") >= 2 && count("lost") >= 1, "{last}");
    assert_eq!(count("sent"), count("answered") + count("lost"));
    assert!(last["min_ms"].as_f64() <= last["avg_ms"].as_f64(), "{last}");
    objects(printed.concat().as_bytes());
    drop(server);
}

#[cfg(unix)]
#[test]
fn a_server_that_is_paused_loses_pings_but_no_connection() {
    let server = Server::start();
    let mut child = lw(&["ping", &server.address, "-i", "10ms", "-W", "500ms"]).spawn().unwrap();
    let lines = Lines::of(&mut child);
    lines.until("answer: ");
    common::signal(&server.child, "STOP");
    assert!(lines.until("no answer: ").contains("the deadline passed"));
    common::signal(&server.child, "CONT");
    lines.until(" time=");
    common::signal(&child, "INT");
    assert!(lines.until(" sent, ").ends_with("connections lost: 0\n"));
    assert_eq!(finish(child).status.code(), Some(0));
}

#[test]
fn calls_are_objects_for_programs() {
    let server = Server::start();
    let one = server.call(&["echo", "a \"b\"", "--json"]);
    assert_eq!(objects(&one.stdout), [json!({"body": "a \"b\""})]);
    let failed = server.call(&["nowhere", "--json"]);
    assert_eq!(failed.status.code(), Some(1));
    let object = &objects(&failed.stdout)[0];
    assert_eq!((&object["status"], &object["may_have_run"]), (&json!("UNKNOWN_ROUTE"), &json!(false)));

    let output = server.stream(&["sleep", "-", "-k", "--json"], "1ms\nsoon\n2ms\n");
    let found = objects(&output.stdout);
    assert_eq!(
        [&found[0], &found[2]],
        [&json!({"line": 1, "body": "1ms"}), &json!({"line": 3, "body": "2ms"})]
    );
    assert_eq!((&found[1]["line"], &found[1]["status"]), (&json!(2), &json!("BAD_REQUEST")));
    let bytes = server.stream(&["echo", "-", "--json"], b"\xff\0\n");
    assert_eq!(objects(&bytes.stdout), [json!({"line": 1, "body_hex": "ff00"})]);
    let long = server.stream(&["echo", "-", "--json"], "x".repeat(2 << 20));
    assert_eq!(objects(&long.stdout)[0]["may_have_run"], false);
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let commands = ["serve", "call", "push", "listen", "ping", "bench", "completion", "man"];
    for shell in ["bash", "fish", "zsh"] {
        let output = run(&["completion", shell], "");
        assert_eq!(output.status.code(), Some(0));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
    }
    let page = String::from_utf8(run(&["man"], "").stdout).unwrap();
    assert!(page.starts_with(".ie") && page.contains(".TH lw 1"), "{page}");
    for command in commands {
        assert!(page.contains(&format!("lw\\-{command}(1)")), "{command}");
        let page = String::from_utf8(run(&["man", command], "").stdout).unwrap();
        assert!(page.contains(&format!(".TH lw-{command} 1")) && page.contains("Examples:"), "{page}");
    }
    assert_eq!(run(&["man", "nothing"], "").status.code(), Some(2));
}

#[test]
fn whoever_reads_too_little_is_no_error() {
    let server = Server::start();
    for arguments in [
        &["ping", &server.address, "-i", "1ms"][..],
        &["ping", &server.address, "-i", "1ms", "--json"],
        &["man", "call"],
        &["completion", "zsh"],
        &["--help"],
    ] {
        let mut child = lw(arguments).spawn().unwrap();
        drop(child.stdout.take());
        assert_ended(&finish(child), 0, "", &[]);
    }
}
