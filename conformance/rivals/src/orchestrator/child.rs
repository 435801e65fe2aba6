//! A child process: what it says, for how long to wait for it, and its end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::system::ProcessClock;

/// Where a child runs, and counts.
pub(crate) struct Place {
    pub(crate) core: usize,
    pub(crate) page: PathBuf,
}

/// A child process, which ends with this value.
pub(crate) struct Child {
    process: process::Child,
    lines: Receiver<String>,
    words: Arc<Mutex<Vec<u8>>>,
}

impl Child {
    pub(crate) fn start(program: &Path, arguments: &[&str], place: &Place) -> Result<Self> {
        let mut process = Command::new(program)
            .args(arguments)
            .args(["--core", &place.core.to_string(), "--parent", &process::id().to_string(), "--page"])
            .arg(&place.page)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("a child without output")?;
        let errors = process.stderr.take().ok_or("a child without errors")?;
        let (sender, lines) = channel();
        // Both threads end with their pipe, and that with the child.
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(|line| line.ok()).try_for_each(|line| sender.send(line))
        });
        let words = Arc::new(Mutex::new(Vec::new()));
        let heard = words.clone();
        thread::spawn(move || listen(errors, &heard));
        Ok(Self { process, lines, words })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self, bound: Duration) -> Result<String> {
        match self.lines.recv_timeout(bound) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("it has said nothing for {bound:?}, {}", self.doing()).into())
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.process.wait()?;
                let words = self.last_words().unwrap_or_else(|| "without a word".into());
                Err(format!("it has ended ({status}), {words}").into())
            }
        }
    }

    /// What it is at, for whoever wants to know why it says nothing.
    fn doing(&self) -> String {
        let of = |name| fs::read_to_string(format!("/proc/{}/{name}", self.id())).unwrap_or_default();
        let status = of("status");
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or("gone").trim();
        let cpu = ProcessClock::of(self.id()).and_then(ProcessClock::now).unwrap_or_default();
        format!("state {state} in {}, {cpu:?} of processor's time", of("wchan"))
    }

    /// The last that it said of its errors.
    pub(crate) fn last_words(&self) -> Option<String> {
        // What it said just now is on its way through the thread that listens.
        thread::sleep(Duration::from_millis(50));
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&words);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join(" / ");
        (!last.is_empty()).then_some(last)
    }
}

/// Most bytes that are kept of what a child says of its errors.
const KEPT: usize = 16 << 10;

fn listen(mut errors: impl Read, heard: &Mutex<Vec<u8>>) {
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = errors.read(&mut part) {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend_from_slice(&part[..read]);
        let excess = heard.len().saturating_sub(KEPT);
        heard.drain(..excess);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It fails only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
