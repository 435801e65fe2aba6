//! What is measured. A workload has points: what is measured by itself and shown in one table.

use crate::Result;

/// Bytes of a small message.
const SMALL: usize = 64;
const LARGE: usize = 64 << 10;

/// One question, asked of all contenders.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) points: &'static [Point],
}

/// One answer of each contender.
#[derive(Debug)]
pub(crate) struct Point {
    /// How processes name it to each other.
    pub(crate) id: &'static str,
    /// What is different from the other points of the workload.
    pub(crate) title: &'static str,
    pub(crate) job: Job,
}

/// What server and client do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Calls in a closed loop: who has an answer calls again.
    Echo(Echo),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) connections: usize,
    /// Calls under way on each of them.
    pub(crate) in_flight: usize,
    /// Bytes of a request, and of its reply.
    pub(crate) size: usize,
    /// Further connections that do nothing once they have made a call.
    pub(crate) idle: usize,
}

impl Echo {
    const fn new(connections: usize, in_flight: usize, size: usize) -> Self {
        Self { connections, in_flight, size, idle: 0 }
    }

    /// The latency of one in so many calls is measured: asking for the time twice would cost a tenth of the fastest calls. A prime,
    /// so that it is not always the first of a batch.
    pub(crate) const fn sample_every(self) -> u32 {
        if self.connections * self.in_flight < 16 { 1 } else { 17 }
    }
}

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "W1",
        title: "ping-pong: 1 connection, 1 call in flight, 64 B",
        points: &[Point { id: "W1", title: "", job: Job::Echo(Echo::new(1, 1, SMALL)) }],
    },
    Workload {
        name: "W2",
        title: "pipelined: 1 connection, 128 calls in flight, 64 B",
        points: &[Point { id: "W2", title: "", job: Job::Echo(Echo::new(1, 128, SMALL)) }],
    },
    Workload {
        name: "W3",
        title: "fan-in: 64 connections, 16 calls in flight on each, 64 B",
        points: &[Point { id: "W3", title: "", job: Job::Echo(Echo::new(64, 16, SMALL)) }],
    },
    Workload {
        name: "W4",
        title: "bulk: 1 connection, 8 calls in flight, 64 KiB",
        points: &[Point { id: "W4", title: "", job: Job::Echo(Echo::new(1, 8, LARGE)) }],
    },
];

impl Point {
    pub(crate) fn find(id: &str) -> Result<&'static Self> {
        let mut points = WORKLOADS.iter().flat_map(|workload| workload.points);
        points.find(|point| point.id == id).ok_or_else(|| format!("there is no workload {id}").into())
    }
}
