//! `custom_loop` from outside: it shows itself at work, understands `lw` and is understood, and harms come to nobody.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use adapter_tokio::{CloseReason, connect_with, on_push};
use socket2::{Domain, Socket, Type};
use tokio::sync::mpsc;

const CUSTOM_LOOP: &str = env!("CARGO_BIN_EXE_custom_loop");
const LW: &str = env!("CARGO_BIN_EXE_lw");

/// More than anything here takes. What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A process that does not outlive its test.
struct Running(Child);

impl Running {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("it starts"))
    }

    /// Gives it this as its input, and waits for its end.
    fn finish(mut self, input: impl Into<Vec<u8>>) -> Output {
        let (mut stdin, input) = (self.0.stdin.take().expect("it is piped"), input.into());
        // It may end before it has read all.
        thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = read_all(self.0.stdout.take().expect("it is piped"));
        let stderr = read_all(self.0.stderr.take().expect("it is piped"));
        let [stdout, stderr] = [stdout, stderr].map(|all| all.recv_timeout(LIMIT).expect("it ends"));
        Output { status: self.0.wait().expect("it was started here"), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

fn run(program: &str, arguments: &[&str], input: impl Into<Vec<u8>>) -> Output {
    Running::start(program, arguments).finish(input)
}

/// A server of either kind, on an address of its own.
struct Server {
    process: Running,
    address: String,
}

impl Server {
    fn start(program: &str) -> Self {
        let mut process = Running::start(program, &["serve", "127.0.0.1:0"]);
        let stdout = process.0.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = lines.recv_timeout(LIMIT).expect("it prints a line in time");
        let address = line.strip_prefix("listening on ").expect("the address comes first").trim().to_owned();
        Self { process, address }
    }

    /// Calls with the other program.
    #[track_caller]
    fn assert_serves(&self) {
        let output = run(LW, &["call", &self.address, "echo", "still there"], "");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.stdout, b"still there");
    }

    /// How many descriptors it has open, where the system tells.
    fn descriptors(&self) -> usize {
        let all = std::fs::read_dir(format!("/proc/{}/fd", self.process.0.id()));
        all.map_or(0, Iterator::count)
    }

    /// Waits until it has no more open than at another time.
    #[track_caller]
    fn wait_for_descriptors(&self, before: usize) {
        wait_until(|| self.descriptors() <= before);
    }
}

/// Asks a process again and again: it does not tell by itself.
#[track_caller]
fn wait_until(mut done: impl FnMut() -> bool) {
    for _ in 0..LIMIT.as_millis() / 10 {
        if done() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it does not come");
}

/// `lw call ADDR sleep -`, which is connected: the calls of one connection, one after another.
struct Sleeper {
    process: Running,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Sleeper {
    fn on(server: &Server) -> Self {
        let mut process = Running::start(LW, &["call", &server.address, "sleep", "-", "--deadline", "never"]);
        let stdin = process.0.stdin.take().expect("it is piped");
        let stdout = BufReader::new(process.0.stdout.take().expect("it is piped"));
        let mut sleeper = Self { process, stdin, stdout };
        sleeper.begin(1);
        assert_eq!(sleeper.end(), "1ms\n");
        sleeper
    }

    fn begin(&mut self, millis: u32) {
        writeln!(self.stdin, "{millis}").expect("it reads");
    }

    fn end(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it answers");
        line
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demonstration_is_content_with_itself() {
    let output = run(CUSTOM_LOOP, &[], "");
    assert_eq!(text(&output.stderr), "");
    assert!(output.status.success());
    let told = text(&output.stdout);
    for part in
        ["a call back", "the client is back", "drains", "no connection is left", "all as it should be"]
    {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
}

#[test]
fn lw_calls_the_loop() {
    let server = Server::start(CUSTOM_LOOP);
    let call = |arguments: &[&str]| run(LW, &[&["call", &server.address], arguments].concat(), "");
    assert_eq!(text(&call(&["echo", "hello"]).stdout), "hello");
    assert_eq!(text(&call(&["sleep", "20ms"]).stdout), "20ms");
    let late = call(&["sleep", "1000000", "--deadline", "20ms"]);
    assert_eq!(late.status.code(), Some(1));
    let unknown = call(&["no such route"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("there are echo, sleep and chat"));

    let input: String = (1..=5000).map(|number| format!("{number}\n")).collect();
    let arguments = ["call", &server.address, "echo", "-", "--concurrency", "500"];
    assert_eq!(text(&run(LW, &arguments, input.as_str()).stdout), input);
    // A line that travels in fragments, both ways.
    let long = "x".repeat(1_000_000) + "\n";
    assert_eq!(run(LW, &arguments, long.repeat(3)).stdout, long.repeat(3).into_bytes());
}

#[test]
fn the_loop_calls_lw() {
    let server = Server::start(LW);
    let call = |route: &str, body: &str| run(CUSTOM_LOOP, &["call", &server.address, route, body], "");
    let output = call("echo", "hello");
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("hello".into(), String::new()));
    assert!(output.status.success());
    assert_eq!(text(&call("sleep", "20ms").stdout), "20ms");
    let unknown = call("no such route", "");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("UNKNOWN_ROUTE"), "{}", text(&unknown.stderr));
}

#[test]
fn who_calls_nobody_gives_up() {
    // A socket that keeps its address and does not listen there.
    let nobody = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    nobody.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("an address");
    let address = nobody.local_addr().expect("an address").as_socket().expect("of the right kind");
    let output = run(CUSTOM_LOOP, &["call", &address.to_string(), "echo", ""], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot connect"), "{}", text(&output.stderr));
    assert_eq!(run(CUSTOM_LOOP, &["serve"], "").status.code(), Some(2));
}

#[test]
fn a_client_that_is_killed_leaves_nothing_behind() {
    let server = Server::start(CUSTOM_LOOP);
    let before = server.descriptors();
    let mut client = Sleeper::on(&server);
    client.begin(3_600_000);
    client.process.0.kill().expect("it was started here");
    server.assert_serves();
    server.wait_for_descriptors(before);
}

#[tokio::test]
async fn two_hundred_clients_are_served_and_hear_each_other() {
    const CLIENTS: usize = 200;
    let server = Server::start(CUSTOM_LOOP);
    let before = server.descriptors();
    let (heard, mut chat) = mpsc::unbounded_channel();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let heard = heard.clone();
        let handler = on_push(move |_, push| {
            let _ = heard.send(push.text().to_string());
            async {}
        });
        clients.push(connect_with(&server.address, handler).await.expect("it connects"));
    }
    let calls = clients.iter().enumerate().map(|(number, client)| client.call("echo", number.to_string()));
    let calls: Vec<_> =
        calls.map(|call| tokio::spawn(async move { call.await.map(|reply| reply.body) })).collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.expect("no panic").expect("an answer"), number.to_string());
    }
    let reached = clients[0].call("chat", "hello, all").await.expect("an answer");
    assert_eq!(reached.text(), CLIENTS.to_string());
    for _ in 0..CLIENTS {
        let word = tokio::time::timeout(LIMIT, chat.recv()).await.expect("in time");
        assert_eq!(word.as_deref(), Some("hello, all"));
    }
    for client in clients {
        assert!(matches!(client.finish().await, CloseReason::Local(_)));
    }
    server.wait_for_descriptors(before);
}

#[test]
fn a_stranger_that_talks_nonsense_harms_nobody() {
    let server = Server::start(CUSTOM_LOOP);
    let before = server.descriptors();
    let nonsense: [&[u8]; 4] = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[0xFF; 100_000], b"L", b""];
    for words in nonsense {
        let mut stranger = TcpStream::connect(&server.address).expect("it listens");
        stranger.set_read_timeout(Some(LIMIT)).expect("a timeout");
        // It may have been sent away before it has said all.
        let _ = stranger.write_all(words);
        let _ = stranger.shutdown(Shutdown::Write);
        server.assert_serves();
        // It is told and sent away, or reset because it was not listened to.
        let _ = stranger.read_to_end(&mut Vec::new());
    }
    server.assert_serves();
    server.wait_for_descriptors(before);
}

/// When a server has no descriptors left, those who are there are served, and further ones as soon as there is room.
#[cfg(target_os = "linux")]
#[test]
fn a_lack_of_descriptors_is_survived() {
    let limited = format!("ulimit -n 40; exec {CUSTOM_LOOP} serve 127.0.0.1:0");
    let mut process = Running::start("sh", &["-c", &limited]);
    let mut line = String::new();
    let stdout = process.0.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("it prints a line");
    let address = line.strip_prefix("listening on ").expect("the address comes first").trim().to_owned();
    let server = Server { process, address };
    let mut sleeper = Sleeper::on(&server);
    let connect = || TcpStream::connect(&server.address).expect("the system takes it");
    let crowd: Vec<TcpStream> = (0..60).map(|_| connect()).collect();
    wait_until(|| server.descriptors() >= 40);
    let before = processor_ticks(&server);
    sleeper.begin(1000);
    assert_eq!(sleeper.end(), "1s\n");
    // In a second it could have used a hundred.
    let ticks = processor_ticks(&server) - before;
    assert!(ticks < 20, "{ticks} ticks of the processor");
    drop(crowd);
    server.assert_serves();
}

/// How much of a processor a server has used, in hundredths of a second.
#[cfg(target_os = "linux")]
fn processor_ticks(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.process.0.id())).expect("it runs");
    let after_name = stat.rsplit(')').next().expect("the name stands in parentheses");
    let fields: Vec<u64> = after_name.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    fields.iter().sum()
}
