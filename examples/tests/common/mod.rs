//! `lw` as a child process: how it is started, what it prints, how it ends.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// More than anything here takes. What takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn lw(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lw"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end, with this on standard input.
pub(crate) fn run(arguments: &[&str], input: impl Into<Vec<u8>>) -> Output {
    let mut child = lw(arguments).stdin(Stdio::piped()).spawn().expect("lw starts");
    let (mut stdin, input) = (child.stdin.take().expect("it is piped"), input.into());
    // It may end before it has read all.
    thread::spawn(move || drop(stdin.write_all(&input)));
    finish(child)
}

/// Waits for the end, with all output that has not been taken.
pub(crate) fn finish(mut child: Child) -> Output {
    let stdout = child.stdout.take().map(read_all);
    let stderr = child.stderr.take().map(read_all);
    let mut wait = |output: Option<Receiver<Vec<u8>>>| match output.map(|output| output.recv_timeout(LIMIT)) {
        None => Vec::new(),
        Some(Ok(bytes)) => bytes,
        Some(Err(_)) => {
            let _ = child.kill();
            panic!("lw does not end");
        }
    };
    let (stdout, stderr) = (wait(stdout), wait(stderr));
    // Its output has ended, so it is as good as gone.
    Output { status: child.wait().expect("it was started here"), stdout, stderr }
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

/// The lines of a child's output, each waited for a bounded time. Dropping it closes the pipe at the next line.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    pub(crate) fn of(child: &mut Child) -> Self {
        Self::read(child.stdout.take().expect("it is piped"))
    }

    /// The lines of standard error.
    pub(crate) fn of_errors(child: &mut Child) -> Self {
        Self::read(child.stderr.take().expect("it is piped"))
    }

    fn read(from: impl Read + Send + 'static) -> Self {
        let mut from = BufReader::new(from);
        // It reads no line before somebody has taken the one before.
        let (sender, lines) = sync_channel(0);
        thread::spawn(move || {
            loop {
                let mut line = String::new();
                match (&mut from).take(1 << 16).read_line(&mut line) {
                    Ok(1..) if sender.send(line).is_ok() => {}
                    _ => return,
                }
            }
        });
        Self(lines)
    }

    /// The next line; `None` at the end.
    #[track_caller]
    pub(crate) fn try_next(&self) -> Option<String> {
        match self.0.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("lw prints no line in time, and does not end"),
        }
    }

    /// The next line that contains this.
    #[track_caller]
    pub(crate) fn until(&self, part: &str) -> String {
        loop {
            let line = self.next();
            if line.contains(part) {
                return line;
            }
        }
    }

    #[track_caller]
    pub(crate) fn next(&self) -> String {
        self.0.recv_timeout(LIMIT).expect("lw prints a line in time")
    }
}

/// `lw serve`, until it is dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these options. Its standard error is piped.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::try_start("127.0.0.1:0", options).expect("the address comes first")
    }

    /// At an address where there was one before, or may be.
    pub(crate) fn start_at(address: &str) -> Self {
        let since = Instant::now();
        loop {
            // The system may not have given the port back yet.
            match Self::try_start(address, &[]) {
                Some(server) => return server,
                None => assert!(since.elapsed() < LIMIT, "{address} does not become free"),
            }
        }
    }

    fn try_start(address: &str, options: &[&str]) -> Option<Self> {
        let arguments = [&["serve", address], options].concat();
        let mut child = lw(&arguments).spawn().expect("lw starts");
        let line = Lines::of(&mut child).0.recv_timeout(LIMIT).unwrap_or_default();
        match line.strip_prefix("listening on ") {
            Some(address) => Some(Self { child, address: address.trim().to_owned() }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                None
            }
        }
    }

    /// Kills it, and starts another one in its place.
    pub(crate) fn restart(&mut self) {
        self.kill();
        *self = Self::start_at(&self.address);
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it was started here");
        self.child.wait().expect("it was started here");
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.stream(arguments, "")
    }

    pub(crate) fn stream(&self, arguments: &[&str], input: impl Into<Vec<u8>>) -> Output {
        run(&[&["call", &self.address], arguments].concat(), input)
    }
}

/// An address on which nobody listens, and most probably nobody will.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").to_string()
}

/// Sends a signal to a child.
#[cfg(unix)]
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub(crate) fn assert_ended(output: &Output, code: i32, stdout: &str, stderr: &[&str]) {
    let (found_out, found_err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "standard error: {found_err}");
    assert_eq!(found_out, stdout);
    assert_eq!(found_err.lines().count(), stderr.len(), "standard error: {found_err}");
    for (line, part) in found_err.lines().zip(stderr) {
        assert!(line.starts_with("lw: ") && line.contains(part), "{part:?} is not in {line:?}");
    }
}
