//! `lw` as a child process: how it is started, what it prints, how it ends.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::thread;
use std::time::Duration;

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
        let arguments = [&["serve", "127.0.0.1:0"], options].concat();
        let mut child = lw(&arguments).spawn().expect("lw starts");
        let line = Lines::of(&mut child).next();
        let address = line.strip_prefix("listening on ").expect("the address comes first").trim().to_owned();
        Self { child, address }
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.stream(arguments, "")
    }

    pub(crate) fn stream(&self, arguments: &[&str], input: impl Into<Vec<u8>>) -> Output {
        run(&[&["call", &self.address], arguments].concat(), input)
    }
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
