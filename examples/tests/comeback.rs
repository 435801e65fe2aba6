//! What `lw` does when its server is killed and started again, paused, or moved: no answer is wrong, none is doubled, and
//! none is lost without notice.

#![cfg(unix)]

mod common;

use std::io::Write;
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::Duration;

use common::{Lines, Server, assert_ended, finish, free_address, lw, run, signal};

/// Enough that the server is killed in the midst of them, whatever the pace.
const LINES: usize = 6000;
const KILLS: usize = 3;

/// A stream of calls, and its answers as they come.
struct Running {
    child: Child,
    answers: Lines,
    seen: Vec<String>,
}

impl Running {
    /// Each line waits a little at the server, so that there always are some in flight.
    fn start(addresses: &str, options: &[&str]) -> Self {
        let arguments = [&["call", addresses, "sleep", "-"], options].concat();
        let mut child = lw(&arguments).stdin(Stdio::piped()).spawn().expect("lw starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        thread::spawn(move || {
            for line in 1..=LINES {
                // It may end before it has read all.
                let Ok(()) = writeln!(stdin, "{}us", micros(line)) else { return };
            }
        });
        let answers = Lines::of(&mut child);
        Self { child, answers, seen: Vec::new() }
    }

    /// Until so many answers have come. Says whether they have.
    fn answered(&mut self, count: usize) -> bool {
        while self.seen.len() < count {
            match self.answers.try_next() {
                Some(line) => self.seen.push(line),
                None => return false,
            }
        }
        true
    }

    /// All answers, and how it ended.
    fn finish(mut self) -> (Vec<String>, Output) {
        self.answered(usize::MAX);
        (self.seen, finish(self.child))
    }

    /// Kills the server again and again meanwhile.
    fn under_fire(mut self, server: &mut Server) -> (Vec<String>, Output) {
        for kill in 1..=KILLS {
            if self.answered(kill * LINES / (KILLS + 1)) {
                server.restart();
            }
        }
        self.finish()
    }
}

fn micros(line: usize) -> u64 {
    (line % 5 * 10_000 + line) as u64
}

fn answer(line: usize) -> String {
    format!("{:?}\n", Duration::from_micros(micros(line)))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The number behind a word, as `lw` writes numbers.
fn number_behind(text: &str, word: &str) -> usize {
    let (_, behind) = text.split_once(word).unwrap_or_else(|| panic!("{word:?} is not in {text:?}"));
    let digits: String = behind.chars().take_while(|c| *c == ',' || c.is_ascii_digit()).collect();
    digits.replace(',', "").parse().expect("a number")
}

#[test]
fn what_may_be_called_twice_survives_a_server_that_is_killed() {
    let mut server = Server::start();
    let (answers, output) = Running::start(&server.address, &["--idempotent", "-v"]).under_fire(&mut server);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(answers, (1..=LINES).map(answer).collect::<Vec<_>>());
    for words in ["connecting again", "connected again to "] {
        assert_eq!(told.matches(words).count(), KILLS, "{told}");
    }
}

#[test]
fn with_keep_going_only_those_that_may_have_been_run_are_missing() {
    let mut server = Server::start();
    let (answers, output) = Running::start(&server.address, &["--keep-going"]).under_fire(&mut server);
    let told = stderr(&output);
    assert_eq!(answers.len(), LINES, "{told}");
    let mut missing = Vec::new();
    for (line, found) in (1..).zip(&answers) {
        if found == "\n" {
            missing.push(line);
        } else {
            assert_eq!(*found, answer(line), "line {line}");
        }
    }
    let named: Vec<usize> = told
        .lines()
        .filter(|line| line.starts_with("lw: line "))
        .map(|line| {
            assert!(line.ends_with("; the peer may have run the call"), "{line}");
            number_behind(line, "line ")
        })
        .collect();
    assert_eq!(named, missing);
    // Some were at the server when it was killed.
    assert!(!missing.is_empty(), "{told}");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(number_behind(&told, "failed lines: "), missing.len());
}

#[test]
fn a_line_that_may_have_been_run_ends_it_and_every_line_is_accounted_for() {
    let mut server = Server::start();
    let (answers, output) = Running::start(&server.address, &[]).under_fire(&mut server);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert_eq!(answers, (1..=answers.len()).map(answer).collect::<Vec<_>>());
    assert_eq!(number_behind(&told, "lw: line "), answers.len() + 1);
    assert_eq!(number_behind(&told, "answered: "), answers.len());
    let may_have_run = number_behind(&told, "may have been run without an answer: ");
    assert!((1..=64).contains(&may_have_run), "{told}");
}

/// Nothing is in flight when the server is killed, so nothing can have been run.
#[test]
fn lines_that_were_not_sent_wait_for_the_next_server() {
    let mut server = Server::start();
    // The deadline is not that of the server to come back.
    let mut child = lw(&["call", &server.address, "echo", "-", "-v", "--deadline", "1s"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("lw starts");
    let mut stdin = child.stdin.take().unwrap();
    let (answers, told) = (Lines::of(&mut child), Lines::of_errors(&mut child));
    stdin.write_all(b"before\n").unwrap();
    assert_eq!(answers.next(), "before\n");
    server.kill();
    told.until("connecting again");
    stdin.write_all(b"meanwhile 1\nmeanwhile 2\n").unwrap();
    thread::sleep(Duration::from_millis(1200));
    server = Server::start_at(&server.address);
    assert_eq!([answers.next(), answers.next()], ["meanwhile 1\n", "meanwhile 2\n"]);
    told.until("connected again to ");
    drop(stdin);
    assert_ended(&finish(child), 0, "", &[]);
    drop(server);
}

#[test]
fn a_server_that_drains_hands_its_lines_to_the_next_one() {
    let mut server = Server::start();
    let address = server.address.clone();
    let mut running = Running::start(&address, &[]);
    assert!(running.answered(LINES / 3));
    signal(&server.child, "TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    server = Server::start_at(&address);
    let (answers, output) = running.finish();
    assert_ended(&output, 0, "", &[]);
    assert_eq!(answers, (1..=LINES).map(answer).collect::<Vec<_>>());
    drop(server);
}

#[test]
fn of_several_addresses_the_next_one_takes_over() {
    let (nobody, mut one, two) = (free_address(), Server::start(), Server::start());
    let addresses = format!("{nobody},{},{}", one.address, two.address);
    let mut running = Running::start(&addresses, &["--idempotent", "-v"]);
    assert!(running.answered(LINES / 3));
    one.kill();
    let (answers, output) = running.finish();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(answers, (1..=LINES).map(answer).collect::<Vec<_>>());
    assert!(told.contains(&format!("connected again to {}", two.address)), "{told}");
}

#[test]
fn a_server_that_does_not_come_back_is_given_up() {
    for (options, told) in [
        (&["--retry", "2"][..], "gave up after 2 attempts to connect again"),
        (&["--retry-max-time", "200ms"], "gave up, as there was no connection for too long"),
        (&["--retry", "0"], "connection lost: "),
    ] {
        let mut server = Server::start();
        let arguments = [&["call", &server.address, "echo", "-"], options].concat();
        let mut child = lw(&arguments).stdin(Stdio::piped()).spawn().expect("lw starts");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"before\n").unwrap();
        assert_eq!(Lines::of(&mut child).next(), "before\n");
        server.kill();
        stdin.write_all(b"behind\n").unwrap();
        let output = finish(child);
        assert_ended(&output, 4, "", &[told]);
        assert_eq!(number_behind(&stderr(&output), "answered: "), 1);
        drop(stdin);
    }
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for_if_asked() {
    let address = free_address();
    let waits = ["call", &address, "echo", "hello", "-v", "--retry-max-time", "never"];
    let mut child = lw(&waits).spawn().expect("lw starts");
    let told = Lines::of_errors(&mut child);
    assert!(told.next().contains(&format!("cannot connect to {address}: ")));
    let server = Server::start_at(&address);
    told.until(&format!("connected to {address}"));
    assert_ended(&finish(child), 0, "hello", &[]);
    drop(server);
    let refused = run(&["call", &address, "echo", "--retry", "1"], "");
    assert_ended(&refused, 3, "", &[&format!("cannot connect to {address}: ")]);
    assert!(stderr(&refused).contains("; gave up after 2 attempts"), "{refused:?}");
}

#[test]
fn a_pause_below_the_limits_is_not_noticed() {
    let server = Server::start();
    let mut running = Running::start(&server.address, &["-v"]);
    assert!(running.answered(LINES / 3));
    signal(&server.child, "STOP");
    thread::sleep(Duration::from_millis(200));
    signal(&server.child, "CONT");
    let (answers, output) = running.finish();
    assert_ended(&output, 0, "", &[]);
    assert_eq!(answers, (1..=LINES).map(answer).collect::<Vec<_>>());
}

#[test]
fn a_pause_beyond_the_deadline_fails_the_call_and_nothing_else() {
    let server = Server::start();
    let mut child = lw(&["call", &server.address, "echo", "-", "-k", "--deadline", "1s"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("lw starts");
    let mut stdin = child.stdin.take().unwrap();
    let (answers, told) = (Lines::of(&mut child), Lines::of_errors(&mut child));
    stdin.write_all(b"before\n").unwrap();
    assert_eq!(answers.next(), "before\n");
    signal(&server.child, "STOP");
    stdin.write_all(b"late\n").unwrap();
    assert_eq!(told.next(), "lw: line 2: the deadline passed; the peer may have run the call\n");
    signal(&server.child, "CONT");
    assert_eq!(answers.next(), "\n");
    stdin.write_all(b"behind\n").unwrap();
    assert_eq!(answers.next(), "behind\n");
    drop(stdin);
    assert_eq!(finish(child).status.code(), Some(1));
}

/// A server that hangs takes no longer than --silence to be left for another one.
#[test]
fn a_server_that_hangs_is_left_for_another_one() {
    let (one, two) = (Server::start(), Server::start());
    let addresses = format!("{},{}", one.address, two.address);
    let mut running = Running::start(&addresses, &["--idempotent", "-v", "--silence", "2s", "-d", "never"]);
    assert!(running.answered(LINES / 3));
    signal(&one.child, "STOP");
    let (answers, output) = running.finish();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(answers, (1..=LINES).map(answer).collect::<Vec<_>>());
    assert!(told.contains("the peer was silent for too long; connecting again"), "{told}");
    assert!(told.contains(&format!("connected again to {}", two.address)), "{told}");
}
