//! What takes part: a server and a client that can be started in processes of their own.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use crate::meter::{self, Figures};
use crate::workload::Job;
use crate::{Result, contenders};

/// One that takes part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What it is, in a line.
    pub(crate) about: &'static str,
    /// What it takes part in: workloads by their names, or single points of them.
    pub(crate) workloads: &'static [&'static str],
    /// Serves until the process is ended. It says where it listens with [`listening`].
    pub(crate) serve: fn(&Job) -> Result,
    /// Does the client's part. It tells its figures by returning them.
    pub(crate) load: fn(&Load) -> Result<Figures>,
}

/// Which family a contender belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The operating system, with as little as possible in front of it.
    Limit,
    /// What one would write for a runtime if an echo were all that is wanted.
    ByHand,
    /// Longwire.
    Longwire,
    /// What others offer for the same purpose.
    #[cfg_attr(not(feature = "rivals"), expect(dead_code, reason = "there are none without that feature"))]
    Rival,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::ByHand => "by hand",
            Self::Longwire => "Longwire",
            Self::Rival => "rival",
        }
    }
}

/// What a client is given to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) job: Job,
    pub(crate) address: SocketAddr,
    /// The server's process.
    pub(crate) server: u32,
    /// How long to measure.
    pub(crate) time: Duration,
}

impl Load {
    /// Begins to measure: everything is connected.
    /// One in so many calls is timed.
    pub(crate) fn begin(&self, sample_every: u32) -> Result {
        meter::begin(self.server, self.time, sample_every)
    }
}

/// Tells the orchestrator where the server listens.
pub(crate) fn listening(address: SocketAddr) -> Result {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address}")?;
    Ok(out.flush()?)
}

impl Contender {
    pub(crate) fn find(name: &str) -> Result<Self> {
        let found = contenders::all().into_iter().find(|contender| contender.name == name);
        found.ok_or_else(|| format!("there is no contender {name}; --list says which there are").into())
    }
}
