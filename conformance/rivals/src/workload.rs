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
    /// So many connections that do nothing once they have made a call: how much memory they take of the server.
    Idle { connections: usize },
    /// One message of so many bytes to so many peers.
    Broadcast { peers: usize, size: usize },
    /// Small calls, one after the other, on a connection on which there are transfers of so many bytes, one
    /// after the other; none if 0. With `room`, who bounds what waits to be sent has room for them.
    Mixed { transfer: usize, receive_buffer: Option<u32> },
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

    /// The latency of one in so many calls is measured: asking for the time twice would cost a tenth of the
    /// fastest calls. A prime, so that it is not always the first of a batch.
    pub(crate) const fn sample_every(self) -> u32 {
        if self.connections * self.in_flight < 16 { 1 } else { 17 }
    }
}

/// Those in which calls follow one another without a pause.
pub(crate) const CALLS: &[&str] = &["W1", "W2", "W3", "W4"];
/// What everybody is asked for who can keep several calls under way.
pub(crate) const COMMON: &[&str] = &["W1", "W2", "W3", "W4", "W5"];
/// All there is.
pub(crate) const ALL: &[&str] = &["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8"];

/// Bytes of the transfers in W7.
const TRANSFER: usize = 100_000_000;

const fn growth(in_flight: usize) -> Job {
    Job::Echo(Echo::new(1, in_flight, SMALL))
}

const fn beside(idle: usize) -> Job {
    Job::Echo(Echo { idle, ..Echo::new(64, 16, SMALL) })
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
        title: "bulk: 1 connection, 8 calls in flight, 64 KiB, payload of both directions",
        points: &[Point { id: "W4", title: "", job: Job::Echo(Echo::new(1, 8, LARGE)) }],
    },
    Workload {
        name: "W5",
        title: "memory: 10,000 idle connections, resident bytes of the server for each",
        points: &[Point { id: "W5", title: "", job: Job::Idle { connections: 10_000 } }],
    },
    Workload {
        name: "W6",
        title: "broadcast: one message of 256 B to 5,000 peers, until the last has it",
        points: &[Point { id: "W6", title: "", job: Job::Broadcast { peers: 5_000, size: 256 } }],
    },
    Workload {
        name: "W7",
        title: "mixed: small calls on one connection, alone and beside transfers of 100 MB",
        points: &[
            Point {
                id: "W7/alone",
                title: "nothing else",
                job: Job::Mixed { transfer: 0, receive_buffer: None },
            },
            Point {
                id: "W7/transfer",
                title: "beside a transfer",
                job: Job::Mixed { transfer: TRANSFER, receive_buffer: None },
            },
            Point {
                id: "W7/short",
                title: "beside a transfer, with receive buffers of 256 KiB",
                job: Job::Mixed { transfer: TRANSFER, receive_buffer: Some(256 << 10) },
            },
        ],
    },
    Workload {
        name: "W8",
        title: "growth: W2 with more calls in flight, W3 beside idle connections",
        points: &[
            Point { id: "W8/1", title: "1 call in flight", job: growth(1) },
            Point { id: "W8/100", title: "100 calls in flight", job: growth(100) },
            Point { id: "W8/10000", title: "10,000 calls in flight", job: growth(10_000) },
            Point { id: "W8/60000", title: "60,000 calls in flight", job: growth(60_000) },
            Point { id: "W8/beside-0", title: "64 x 16, no idle connections", job: beside(0) },
            Point { id: "W8/beside-9000", title: "64 x 16, 9,000 idle connections", job: beside(9_000) },
        ],
    },
];

impl Point {
    pub(crate) fn find(id: &str) -> Result<&'static Self> {
        let mut points = WORKLOADS.iter().flat_map(|workload| workload.points);
        points.find(|point| point.id == id).ok_or_else(|| format!("there is no workload {id}").into())
    }
}
