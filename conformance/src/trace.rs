//! What each side observed: no times in it, and nothing whose order is not promised.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use proto_core::{Lane, Role};

use crate::LANES;
use crate::model::RESTING;

/// What both sides of a played scenario observed, and what it took.
///
/// Calls and pushes of one side are numbered together, from 0, in the order in which its script has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// The side that opened the connection.
    pub dialer: Side,
    /// The side that accepted it.
    pub acceptor: Side,
    /// What the scenario waited for when it had taken far too long.
    pub stuck: Option<String>,
    /// The faults that came, by their place in the scenario: one may wait for bytes that nobody sends.
    pub faults: Vec<usize>,
    /// What it took. It differs from run to run, and is bounded.
    pub work: Work,
}

/// What one side observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Side {
    /// How its calls ended. There must be one ending of each.
    pub calls: BTreeMap<u32, Vec<Ending>>,
    /// What became of its pushes.
    pub pushes: BTreeMap<u32, Pushed>,
    /// What came from the other side, in the order in which it came.
    pub arrivals: Vec<Arrival>,
    /// How many connections it had: as acceptor, let in; as dialer, opened.
    pub opened: usize,
    /// How they ended.
    pub ends: Vec<End>,
    /// What it said, or was told, of broken rules of the protocol.
    pub accusations: Vec<String>,
    /// Turns of its driver while all should have been quiet.
    pub idle_turns: u64,
    /// What no peer has said.
    pub nonsense: Vec<String>,
    /// What was left when all had ended.
    pub left: Left,
}

/// What was left when all calls had ended and everything had been dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// Handlers that had neither ended nor been dropped.
    pub handlers: usize,
    /// Calls that held a slot.
    pub calls: usize,
    /// Connections that the server still counted when its only client had ended.
    pub connections: usize,
    /// Bytes that the connection held.
    pub bytes: usize,
    /// Byte streams, timers and listeners that were there when both endpoints had ended.
    pub parts: usize,
}

impl Left {
    /// Whether it is what a connection at rest has.
    pub(crate) const fn is_rest(&self) -> bool {
        self.calls == 0 && self.bytes <= RESTING && self.handlers == 0
    }
}

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Ending {
    /// With this status, and a body of so many bytes that is the answer to this call.
    Answered(u32, usize),
    /// Its future was dropped.
    Dropped,
    /// Its reply was there, and discarded since too many waited.
    Discarded,
    /// With its connection, and it may have run.
    Lost,
    /// It was refused or lost, and the peer has not seen it.
    NotMade,
    /// It was refused for good: too long, for example.
    Refused,
    /// At its deadline.
    TimedOut,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pushed {
    /// It was accepted.
    Accepted,
    /// Its future was dropped before it was accepted.
    Dropped,
    /// There was no connection for it.
    NotMade,
    /// It was refused for good.
    Refused,
}

/// A message of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Which of the other side's messages it is.
    pub number: u32,
    /// Whether it wants an answer.
    pub is_call: bool,
    /// How urgent it was.
    pub lane: Lane,
    /// On which connection of this side it came: no two have the same number.
    pub connection: u64,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// This side closed it.
    Here,
    /// The peer closed it, with this code.
    There(u32),
    /// It broke, or a limit of time was reached.
    Broken,
    /// A side said that the other broke the protocol.
    Protocol,
}

/// What a scenario took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// How often drivers asked their streams for input.
    pub reads: u64,
    /// Reads that gave something, and writes that took something.
    pub moves: u64,
}

impl Trace {
    /// What one side observed.
    pub const fn side(&self, role: Role) -> &Side {
        match role {
            Role::Acceptor => &self.acceptor,
            Role::Dialer => &self.dialer,
        }
    }

    /// How many calls of either side ended like this.
    pub fn count(&self, like: impl Fn(&Ending) -> bool) -> usize {
        let endings = self.dialer.calls.values().chain(self.acceptor.calls.values()).flatten();
        endings.filter(|ending| like(ending)).count()
    }
}

impl Side {
    /// What must be the same on every runtime where nothing races, as text: arrivals are in order lane by lane. Calls of which the
    /// other side's caller has not seen the answer may have arrived or not.
    pub fn essence(&self, there: &Self) -> String {
        let is_certain = |number: &u32| {
            let endings = there.calls.get(number).map_or(&[][..], |endings| endings);
            endings.iter().all(|ending| !matches!(ending, Ending::Dropped | Ending::TimedOut))
        };
        let arrived =
            |calls| LANES.map(|lane| self.arrived(calls, lane).filter(is_certain).collect::<Vec<_>>());
        format!(
            "calls {:?}; pushes {:?}; calls that came {:?}; pushes that came {:?}; connections {} {:?}",
            self.calls,
            self.pushes,
            arrived(true),
            arrived(false),
            self.opened,
            self.ends
        )
    }

    /// The numbers of what arrived of this kind, lane by lane, in order.
    pub fn arrived(&self, calls: bool, lane: Lane) -> impl Iterator<Item = u32> {
        let like = move |arrival: &&Arrival| arrival.is_call == calls && arrival.lane == lane;
        self.arrivals.iter().filter(like).map(|arrival| arrival.number)
    }

    /// The numbers of the connections on which something arrived.
    pub fn connections(&self) -> BTreeSet<u64> {
        self.arrivals.iter().map(|arrival| arrival.connection).collect()
    }

    /// The same of one connection.
    pub fn arrived_on(&self, connection: u64, calls: bool, lane: Lane) -> impl Iterator<Item = u32> {
        let here = self.arrivals.iter().filter(move |arrival| arrival.connection == connection);
        let like = move |arrival: &&Arrival| arrival.is_call == calls && arrival.lane == lane;
        here.filter(like).map(|arrival| arrival.number)
    }

    /// How often the other side's message of this number arrived.
    pub fn times_arrived(&self, number: u32) -> usize {
        self.arrivals.iter().filter(|arrival| arrival.number == number).count()
    }
}

impl Display for Ending {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(0, size) => write!(f, "answered with {size} bytes"),
            Self::Answered(status, _) => write!(f, "answered with status {status}"),
            Self::Dropped => f.write_str("dropped by its caller"),
            Self::Discarded => f.write_str("its reply discarded"),
            Self::Lost => f.write_str("lost, and perhaps run"),
            Self::NotMade => f.write_str("not sent"),
            Self::Refused => f.write_str("refused"),
            Self::TimedOut => f.write_str("timed out"),
        }
    }
}
