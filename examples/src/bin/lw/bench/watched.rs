//! The processes whose use of the machine is watched: this one, and the server's if it is on this machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::clock::Nanos;
use super::report::Cost;
use super::server::listeners;
use super::usage::{Process, Usage};

/// How often to look. One that ends in between has used what was seen last.
const PERIOD: Nanos = 1_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Watched {
    own: Option<Seen>,
    servers: Vec<Seen>,
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
}

impl Watched {
    /// This process, and those that listen at these addresses.
    pub(super) fn find(addresses: &BTreeSet<SocketAddr>) -> Self {
        let seen = |process| Seen { process, first: None, last: None };
        let mut servers: Vec<Process> = Vec::new();
        for process in addresses.iter().flat_map(|address| listeners(*address)) {
            if !servers.contains(&process) {
                servers.push(process);
            }
        }
        Self {
            own: Process::find(std::process::id()).map(seen),
            servers: servers.into_iter().map(seen).collect(),
            ..Self::default()
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
        for seen in self.own.iter_mut().chain(&mut self.servers) {
            if let Some(usage) = seen.process.usage() {
                seen.first.get_or_insert((now, usage));
                seen.last = Some((now, usage));
            }
        }
    }

    /// What comes after does not count.
    pub(super) const fn end(&mut self) {
        self.has_ended = true;
    }

    /// What this process has used.
    pub(super) fn own(&self) -> Option<Cost> {
        self.own.as_ref().and_then(Seen::cost)
    }

    pub(super) fn servers(&self) -> Vec<(Process, Option<Cost>)> {
        self.servers.iter().map(|seen| (seen.process.clone(), seen.cost())).collect()
    }
}

impl Seen {
    fn cost(&self) -> Option<Cost> {
        let ((begun, first), (ended, last)) = (self.first?, self.last?);
        (ended > begun).then(|| Cost::between(&first, &last, Duration::from_nanos(ended - begun)))
    }
}
