//! What the threads that call and the one that looks on tell each other.

use std::net::SocketAddr;

use adapter_tokio::Client;

use super::clock::Nanos;
use super::recorder::Summary;
use super::sample::Chunk;
use super::usage::ThreadTime;

/// From a thread that calls.
#[derive(Debug)]
pub(super) enum Word {
    /// A connection was made.
    Made(Option<SocketAddr>),
    /// An attempt to make one failed, and another one follows.
    Missed(String),
    /// A connection was lost, and why. Perhaps another one follows.
    Lost(String),
    /// The server has asked to go elsewhere.
    Drained,
    /// One that is lost, or was never made, will not be made any more.
    GivenUp(String),
    /// Some calls have ended.
    Chunk(Chunk),
    /// Calls like these are never taken, so none is made any more.
    Impossible(String),
    /// All is over.
    Ended(Box<Part>),
    /// The system does not let it go on.
    Broken(String),
}

/// All that a thread has done.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) summary: Summary,
    /// Calls that were in flight or due when it was told not to wait for them.
    pub(super) abandoned: u64,
    /// What it had of the processors while it measured, and how long it measured, if the system tells.
    pub(super) busy: Option<(ThreadTime, Nanos)>,
}

/// To a thread that calls: from the one that looks on, or from what keeps its connections.
#[derive(Debug)]
pub(super) enum Order {
    /// The connection with this number among those of the thread is there, again or for the first time.
    Up(usize, Client),
    /// It takes no further calls.
    Down(usize),
    /// Begin at this time.
    Begin(Nanos),
    /// Make no further calls, and wait for those in flight.
    Stop,
    /// Wait for nothing any more.
    Abandon,
}
