//! `lw bench` from outside: every call is accounted for, whatever happens to the server.

mod common;

use std::process::{Child, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_tokio::{Reply, Request, Status, StatusCode, on_request};
use common::{Lines, Server, assert_ended, finish, free_address, lw, run};
use serde_json::Value;

/// Runs to the end, and gives the report with how it ended.
fn bench(address: &str, options: &[&str]) -> (Value, Output) {
    let output = run(&[&["bench", address, "--json", "--quiet"], options].concat(), "");
    (report(&output), output)
}

/// The report on standard output. All calls and all times in it add up.
#[track_caller]
fn report(output: &Output) -> Value {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let list = |key: &str| report[key].as_array().expect("it is a list");
    let sum = |key: &str, part: &str| -> u64 { list(key).iter().map(|one| number(&one[part])).sum() };
    let calls = |key: &str| number(&report["calls"][key]);
    assert_eq!(calls("due"), calls("answered") + calls("failed") + calls("abandoned"), "{report}");
    assert_eq!(sum("errors", "count"), calls("failed"), "{report}");
    assert_eq!(sum("intervals", "answered"), calls("answered"), "{report}");
    assert_eq!(sum("intervals", "failed"), calls("failed"), "{report}");
    let distribution = list("distribution");
    let up_to = |step: &Value| number(&step["calls_up_to"]);
    assert_eq!(distribution.last().map_or(0, up_to), calls("answered"), "{report}");
    assert!(
        distribution.is_sorted_by_key(up_to) && distribution.is_sorted_by_key(|step| step["us"].as_f64())
    );
    let latency = &report["latency"];
    if calls("answered") > 0 {
        let keys = ["min_us", "p50_us", "p75_us", "p90_us", "p99_us", "p99_9_us", "p99_99_us", "max_us"];
        assert!(keys.is_sorted_by_key(|key| latency[key].as_f64().expect("it is known")), "{latency}");
    } else {
        assert!(latency.is_null());
    }
    report
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// How many calls failed in this way.
fn errors(report: &Value, kind: &str) -> u64 {
    let errors = report["errors"].as_array().expect("it is a list");
    errors.iter().find(|error| error["kind"] == kind).map_or(0, |error| number(&error["count"]))
}

/// `lw bench` that goes on until something ends it, and says so every second; there has been an answer.
fn endless(address: &str, options: &[&str]) -> (Child, Lines) {
    let arguments = [&["bench", address, "--json", "--duration", "1h"], options].concat();
    let mut child = lw(&arguments).spawn().expect("lw starts");
    let told = Lines::of_errors(&mut child);
    assert!(told.until("p99").starts_with("lw: "));
    (child, told)
}

/// A server of this process that counts its calls, and answers as it is told.
async fn counting(
    answer: impl Fn(u64, Request) -> Result<Reply, Status> + Send + Sync + 'static,
) -> (String, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    let (counted, answer) = (calls.clone(), Arc::new(answer));
    let handler = on_request(move |_, request| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(answer(number, request))
    });
    let server = adapter_tokio::Server::bind("127.0.0.1:0", handler).await.expect("a free port");
    let address = server.local_addr().to_string();
    tokio::spawn(server.serve());
    (address, calls)
}

/// Runs `lw bench` beside a server of this process.
async fn bench_beside(address: &str, options: &'static [&'static str]) -> (Value, Output) {
    let address = address.to_owned();
    tokio::task::spawn_blocking(move || bench(&address, options)).await.expect("it does not panic")
}

#[tokio::test]
async fn a_closed_loop_makes_as_many_calls_as_it_was_asked_for() {
    let (address, calls) = counting(|_, request| Ok(request.body.into())).await;
    let options = &["--count", "1000", "-c", "3", "--in-flight", "7", "--threads", "2", "--size", "1KiB"];
    let (report, output) = bench_beside(&address, options).await;
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 1000);
    assert_eq!((number(&report["calls"]["answered"]), &report["end"]), (1000, &"count".into()));
    assert_eq!((number(&report["connections"]["made"]), number(&report["connections"]["lost"])), (3, 0));
    let throughput = &report["throughput"];
    let [rate, sent, received] = ["calls_per_s", "sent_bytes_per_s", "received_bytes_per_s"]
        .map(|key| throughput[key].as_f64().unwrap());
    assert!((sent - rate * 1024.0).abs() <= sent / 1000.0 && sent == received, "{throughput}");
    assert!((rate * report["measured_s"].as_f64().unwrap() - 1000.0).abs() < 1.0, "{report}");
}

#[tokio::test]
async fn what_is_due_before_the_measurement_is_called_and_not_counted() {
    let (address, calls) = counting(|_, request| Ok(request.body.into())).await;
    // However late they are made: so many are due.
    let options = &["--rate", "1000", "--warm-up", "50ms", "--count", "20", "--threads", "1"];
    let (report, _) = bench_beside(&address, options).await;
    assert_eq!(number(&report["calls"]["due"]), 20);
    assert_eq!(calls.load(Ordering::Relaxed), 70);
}

#[tokio::test]
async fn failed_calls_are_counted_by_kind() {
    let (address, _) = counting(|number, request| match number % 10 {
        0 => Err(Status::new(StatusCode::OVERLOADED, "try <b>later</b>")),
        1 => Ok("something else".into()),
        _ => Ok(request.body.into()),
    })
    .await;
    let (report, output) = bench_beside(&address, &["-n", "1000", "-i", "8"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "lw: failed calls: 200 of 1,000\n");
    assert_eq!((errors(&report, "OVERLOADED"), errors(&report, "wrong answer")), (100, 100));
    let (report, _) = bench_beside(&address, &["-n", "1000", "--check", "never"]).await;
    assert_eq!((number(&report["calls"]["failed"]), errors(&report, "OVERLOADED")), (100, 100));
}

#[test]
fn what_has_no_room_and_what_is_late_are_errors() {
    let server = Server::start();
    // Nothing is answered in time, so nothing makes room before the last one is due.
    let options =
        ["--route", "sleep", "--body", "1h", "--timeout", "500ms", "--rate", "10k", "--count", "500"];
    let (report, output) = bench(
        &server.address,
        &[&options[..], &["--in-flight", "2", "--max-backlog", "10", "--threads", "1"]].concat(),
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(number(&report["calls"]["failed"]), 500);
    let full = errors(&report, "backlog full");
    // Two more if they were late themselves.
    assert!((488..=490).contains(&full), "{report}");
    assert_eq!(errors(&report, "timed out") + errors(&report, "timed out before it was sent"), 500 - full);
}

#[cfg(unix)]
#[test]
fn a_server_that_stands_still_is_seen_with_all_calls_of_that_time() {
    use common::signal;

    let server = Server::start();
    // Only one call is in flight then, and all others wait behind it.
    let (child, told) = endless(&server.address, &["--rate", "1000", "--in-flight", "1"]);
    signal(&server.child, "STOP");
    std::thread::sleep(std::time::Duration::from_secs(1));
    signal(&server.child, "CONT");
    // Until what waited has been answered for the most part.
    let is_behind = |line: &String| line.contains(" 0.00 calls/s") || line.contains(" µs");
    assert!((0..30).map(|_| told.next()).any(|line| !is_behind(&line)), "nothing has waited");
    told.next();
    signal(&child, "INT");
    drop(told);
    let output = finish(child);
    let report = report(&output);
    assert_eq!((&report["end"], number(&report["calls"]["failed"])), (&"interrupted".into(), 0));
    let latency = |key: &str| report["latency"][key].as_f64().unwrap();
    assert!(latency("max_us") >= 500_000.0, "{report}");
    // A thousand calls that waited for half a second on average. Counted from when they were sent, one waited, for a second.
    let waited = latency("mean_us") * number(&report["calls"]["answered"]) as f64;
    assert!(waited >= 200.0 * 1e6, "{report}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_what_has_been_measured() {
    let server = Server::start();
    let (child, told) = endless(&server.address, &["-c", "2", "-i", "3"]);
    common::signal(&child, "INT");
    drop(told);
    let output = finish(child);
    assert_eq!(output.status.code(), Some(0));
    let report = report(&output);
    assert_eq!(report["end"], "interrupted");
    assert!(number(&report["calls"]["answered"]) > 0);
}

#[cfg(unix)]
#[test]
fn calls_that_are_not_answered_are_not_waited_for_after_ctrl_c() {
    let server = Server::start();
    let (child, told) = endless(&server.address, &["-i", "3"]);
    common::signal(&server.child, "STOP");
    // There is no answer any more.
    told.until(" 0.00 calls/s");
    common::signal(&child, "INT");
    drop(told);
    let output = finish(child);
    assert_eq!((output.status.code(), number(&report(&output)["calls"]["abandoned"])), (Some(0), 3));
}

#[test]
fn without_a_connection_it_ends_with_what_has_been_measured() {
    let mut server = Server::start();
    let (child, told) = endless(&server.address, &["-c", "2", "-i", "3", "--retry", "0"]);
    server.kill();
    let last = std::iter::from_fn(|| told.try_next()).last().unwrap();
    assert!(last.starts_with("lw: connection lost: "), "{last}");
    let output = finish(child);
    let report = report(&output);
    assert_eq!((output.status.code(), &report["end"]), (Some(4), &"connection lost".into()));
    assert_eq!((number(&report["connections"]["lost"]), number(&report["connections"]["given_up"])), (2, 2));
    // None, if it was killed just when all had been answered.
    assert!(number(&report["calls"]["failed"]) <= 6, "{report}");
    let lost = errors(&report, "connection lost") + errors(&report, "connection lost before it was sent");
    assert_eq!(number(&report["calls"]["failed"]), lost);
}

#[cfg(unix)]
#[test]
fn it_goes_on_when_a_server_comes_back() {
    let mut server = Server::start();
    let options = ["--rate", "200", "--retry-max-time", "never", "--timeout", "never", "--verbose"];
    let (child, told) = endless(&server.address, &options);
    server.restart();
    told.until("connected again");
    told.until(" calls/s");
    told.until(" calls/s");
    common::signal(&child, "INT");
    drop(told);
    let output = finish(child);
    let report = report(&output);
    assert_eq!((number(&report["connections"]["made"]), number(&report["connections"]["lost"])), (2, 1));
    // What was due meanwhile has waited. What was in flight was lost.
    let failed = number(&report["calls"]["failed"]);
    assert_eq!(output.status.code(), Some(if failed > 0 { 1 } else { 0 }), "{output:?}");
    assert_eq!(
        failed,
        errors(&report, "connection lost") + errors(&report, "connection lost before it was sent")
    );
}

#[test]
fn a_drained_connection_costs_no_call() {
    let server = Server::start_with(&["--max-age", "1s"]);
    let (report, output) = bench(&server.address, &["--duration", "4s", "--rate", "500", "-c", "2"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(number(&report["calls"]["answered"]), 2000);
    assert!(number(&report["connections"]["drained"]) >= 1, "{report}");
    assert_eq!(report["end"], "duration");
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_on_this_machine_is_found() {
    let server = Server::start();
    let (report, _) = bench(&server.address, &["--duration", "500ms"]);
    assert_eq!(report["servers"][0]["pid"], server.child.id());
    assert_eq!(report["servers"][0]["name"], "lw");
    assert!(number(&report["servers"][0]["peak_memory_bytes"]) > 0);
    assert!(number(&report["client"]["peak_memory_bytes"]) > 0);
}

#[test]
fn the_text_says_what_was_done_and_what_came_of_it() {
    let server = Server::start();
    let output = run(&["bench", &server.address, "-n", "100", "--quiet"], "");
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let first = format!(
        "{}, route echo, 64 bytes: 1 connection, 1 call in flight, 1 thread, 100 calls",
        server.address
    );
    assert_eq!(text.lines().next(), Some(&*first));
    for part in [
        "calls        100 answered, 0 failed, in ",
        "\nthroughput   ",
        "p99.9       max\n",
        "1 made, 0 lost\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn the_page_needs_nothing_else_and_lets_nothing_in() {
    let server = Server::start();
    let path = std::env::temp_dir().join(format!("lw-bench-{}.html", std::process::id()));
    let file = path.to_str().unwrap();
    for (route, code) in [("echo", 0), ("</title><script>alert('x')</script>", 1)] {
        let options = ["--route", route, "-n", "200", "--rate", "2000", "--report", file];
        let (report, output) = bench(&server.address, &options);
        assert_eq!(output.status.code(), Some(code));
        let page = std::fs::read_to_string(&path).unwrap();
        assert_well_formed(&page);
        for foreign in ["http://", "https://", "//", "src=", "href", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(foreign), "{foreign} is in {page}");
        }
        assert_eq!(page.matches("<svg").count(), if code == 0 { 3 } else { 2 });
        assert_eq!(page.contains("&lt;script&gt;"), code == 1);
        assert_eq!(page.contains("UNKNOWN_ROUTE"), code == 1);
        assert!(page.contains("prefers-color-scheme: dark") && page.contains(&server.address));
        assert_eq!(number(&report["calls"]["due"]), 200);
    }
    std::fs::remove_file(path).unwrap();
}

/// Every element that is opened is closed, in order.
#[track_caller]
fn assert_well_formed(page: &str) {
    let page = page.strip_prefix("<!DOCTYPE html>\n").expect("it is a page");
    let mut open = Vec::new();
    for part in page.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>') && tag.matches('"').count().is_multiple_of(2), "{part}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.extend(tag.split(' ').next()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn what_cannot_work_is_said_before_it_begins() {
    let (nobody, server) = (free_address(), Server::start());
    let (path, directory) = (std::env::temp_dir(), std::env::temp_dir());
    let never = path.join(format!("lw-bench-never-{}.html", std::process::id()));
    let cases: [(&[&str], i32, &str); 6] = [
        (&[&nobody], 3, "cannot connect to "),
        (&[&nobody, "-c", "3"], 3, "; 0 of 3 connections were made"),
        // Nothing is left of a report that was not written.
        (&[&nobody, "--report", never.to_str().unwrap()], 3, "cannot connect to "),
        // This is said first, though nobody is there to be measured.
        (&[&nobody, "--report", directory.to_str().unwrap()], 5, "cannot write "),
        (&[&server.address, "--size", "2M"], 1, "over the peer's limit of 1048576"),
        (&[&nobody, "--retry", "1"], 3, "; gave up after 2 attempts"),
    ];
    for (arguments, code, told) in cases {
        assert_ended(&run(&[&["bench"], arguments].concat(), ""), code, "", &[told]);
    }
    assert!(!never.exists());
    for wrong in [
        &["nonsense"][..],
        &["a:1", "--rate", "0"],
        &["a:1", "--count", "0"],
        &["a:1", "--duration", "0"],
        &["a:1", "--connections", "0"],
        &["a:1", "--arrivals", "poisson"],
        &["a:1", "--size", "1", "--body", "x"],
        &["a:1", "--check", "sometimes"],
    ] {
        let output = run(&[&["bench"], wrong].concat(), "");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{wrong:?}");
    }
}

#[test]
fn a_server_of_another_protocol_is_no_handshake() {
    use std::io::{Read, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let web = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let told = format!("no handshake with {address}: protocol error: the peer does not speak LW");
    assert_ended(&run(&["bench", &address], ""), 3, "", &[&told]);
    web.join().unwrap();
}
