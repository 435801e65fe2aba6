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

#[cfg(test)]
mod tests {
    use super::*;

    /// When it is looked from 3 s to some time, with a look that comes late.
    fn looks(until: Option<Nanos>) -> Vec<Nanos> {
        let mut watched = Watched::default();
        let mut looks = Vec::new();
        while let Some(next) = watched.next(3 * PERIOD, until).filter(|_| looks.len() < 5) {
            looks.push(next);
            watched.look(next + if next == 4 * PERIOD { PERIOD / 10 } else { 0 });
        }
        looks
    }

    #[test]
    fn it_is_looked_at_both_ends_and_in_between() {
        let second = PERIOD;
        let late = 5 * second + second / 10;
        assert_eq!(looks(Some(3 * second + second / 2)), [3 * second, 3 * second + second / 2]);
        assert_eq!(
            looks(Some(5 * second + second / 2)),
            [3 * second, 4 * second, late, 5 * second + second / 2]
        );
        assert_eq!(looks(None), [3 * second, 4 * second, late, late + second, late + 2 * second]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_has_ended_has_used_what_was_seen_last() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut seen = Seen::new(Process::find(child.id()).unwrap());
        seen.look(0);
        seen.look(SHORTEST);
        assert!(!seen.has_ended);
        child.kill().unwrap();
        child.wait().unwrap();
        seen.look(2 * SHORTEST);
        let server = seen.server();
        assert!(server.has_ended);
        assert_eq!(server.cost.unwrap().over, Duration::from_nanos(SHORTEST));
    }

    #[test]
    fn a_moment_says_nothing() {
        let usage = Usage::default();
        let seen = |last| Seen {
            first: Some((0, usage)),
            last: Some((last, usage)),
            ..Seen::new(Process::default())
        };
        assert!(seen(SHORTEST - 1).cost().is_none() && seen(SHORTEST).cost().is_some());
    }
}
