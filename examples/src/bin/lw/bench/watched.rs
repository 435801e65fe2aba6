//! The processes whose use of the machine is watched: this one, and the server's if it is on this machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::clock::Nanos;
use super::report::{Cost, Server};
use super::server::listeners;
use super::usage::{Process, Usage};

/// How often to look. One that ends in between has used what was seen last.
const PERIOD: Nanos = 1_000_000_000;
/// The system counts in steps of 10 ms, which say nothing of a shorter time.
const SHORTEST: Nanos = 200_000_000;

#[derive(Debug, Default)]
pub(super) struct Watched {
    own: Option<Seen>,
    servers: Vec<Seen>,
    /// Where servers listen.
    addresses: BTreeSet<SocketAddr>,
    /// When it was looked last.
    last: Option<Nanos>,
    has_ended: bool,
}

/// A process, with what it had used first and last, and when that was.
#[derive(Clone, Debug)]
struct Seen {
    process: Process,
    first: Option<(Nanos, Usage)>,
    last: Option<(Nanos, Usage)>,
    has_ended: bool,
}

impl Watched {
    /// This process, and those that listen at these addresses.
    pub(super) fn find(addresses: BTreeSet<SocketAddr>) -> Self {
        let own = Process::find(std::process::id()).map(Seen::new);
        let mut watched = Self { own, addresses, ..Self::default() };
        watched.find_servers();
        watched
    }

    fn find_servers(&mut self) {
        for process in self.addresses.iter().flat_map(|address| listeners(*address)) {
            if self.servers.iter().all(|seen| seen.process != process) {
                self.servers.push(Seen::new(process));
            }
        }
    }

    /// When to look next: first at the beginning, last at the end.
    pub(super) fn next(&self, from: Nanos, until: Option<Nanos>) -> Option<Nanos> {
        let last = match self.last {
            _ if self.has_ended => return None,
            Some(last) => last,
            None => return Some(from),
        };
        match until {
            Some(until) if last >= until => None,
            Some(until) => Some(until.min(last + PERIOD)),
            None => Some(last + PERIOD),
        }
    }

    /// Takes note of what they have used by now.
    pub(super) fn look(&mut self, now: Nanos) {
        if self.has_ended {
            return;
        }
        self.last = Some(now);
        if !self.servers.is_empty() && self.servers.iter().all(|seen| seen.has_ended) {
            // Another one may have taken its place.
            self.find_servers();
        }
        self.own.iter_mut().chain(&mut self.servers).for_each(|seen| seen.look(now));
    }

    /// What comes after does not count.
    pub(super) const fn end(&mut self) {
        self.has_ended = true;
    }

    /// It is over, and perhaps was before it was looked at the end.
    pub(super) fn look_last(&mut self, now: Nanos, until: Option<Nanos>) {
        if self.last.is_none_or(|last| until.is_none_or(|until| last < until)) {
            self.look(now);
        }
        self.end();
    }

    /// What this process has used.
    pub(super) fn own(&self) -> Option<Cost> {
        self.own.as_ref().and_then(Seen::cost)
    }

    pub(super) fn servers(&self) -> Vec<Server> {
        self.servers.iter().map(Seen::server).collect()
    }
}

impl Seen {
    const fn new(process: Process) -> Self {
        Self { process, first: None, last: None, has_ended: false }
    }

    fn look(&mut self, now: Nanos) {
        let usage = self.process.usage().map(|usage| (now, usage));
        self.first = self.first.or(usage);
        self.last = usage.or(self.last);
        self.has_ended = usage.is_none();
    }

    fn server(&self) -> Server {
        Server { process: self.process.clone(), cost: self.cost(), has_ended: self.has_ended }
    }

    fn cost(&self) -> Option<Cost> {
        let ((begun, first), (ended, last)) = (self.first?, self.last?);
        let over = ended - begun;
        (over >= SHORTEST).then(|| Cost::between(&first, &last, Duration::from_nanos(over)))
    }
}
