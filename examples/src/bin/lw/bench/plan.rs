//! What a run is to do: the arguments, checked, with everything decided that they leave open.

use std::num::NonZero;
use std::thread;

use adapter_tokio::proto_core::rng::Rng;
use adapter_tokio::{Address, Bytes, Config, Message, Route};

use super::clock::{Nanos, nanos};
use crate::args::{Arrivals, BenchOptions, Check, Patience};
use crate::exit::{Exit, Failure};
use crate::units::Deadline;

/// Calls in flight on a connection with a rate, unless it is said: as many as a server takes by default. There the rate
/// says how much is called, and this shall not stand in its way.
const IN_FLIGHT_WITH_RATE: u32 = 1024;
/// Calls in flight in all. Each has its place in memory.
const MOST_IN_FLIGHT: u64 = 1 << 24;
/// How long a run goes on unless it is said.
const DURATION: Nanos = 10_000_000_000;
/// How long a lost connection is tried again unless it is said: a restart is measured, a server that has gone ends the run.
const PATIENCE: Deadline = Deadline::After(std::time::Duration::from_secs(10));
/// Different bodies, and how many bytes they take together.
const BODIES: usize = 64;
const BODY_BYTES: usize = 4 << 20;
/// The longest answer to take unless it is said.
const MAX_MESSAGE: u32 = 1 << 20;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) addresses: Vec<Address>,
    /// The addresses as they were given.
    pub(super) target: String,
    pub(super) config: Config,
    pub(super) patience_at_start: Option<Patience>,
    pub(super) patience: Option<Patience>,
    pub(super) connections: usize,
    /// On each connection.
    pub(super) in_flight: usize,
    pub(super) threads: usize,
    /// What to call. Its body is one of `bodies`.
    pub(super) message: Message,
    pub(super) bodies: Vec<Bytes>,
    pub(super) check: bool,
    pub(super) load: Load,
    pub(super) warm_up: Nanos,
    pub(super) duration: Option<Nanos>,
    pub(super) count: Option<u64>,
    pub(super) timeout: Option<Nanos>,
}

/// When calls are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// Each answer is followed by the next call.
    Closed,
    /// Calls are due at times that were fixed before.
    Open {
        /// Calls per second.
        rate: f64,
        arrivals: Arrivals,
        /// Calls that may be due and not sent.
        max_backlog: usize,
    },
}

impl Plan {
    pub(super) fn new(options: &BenchOptions) -> Result<Self, Failure> {
        let usage = |text: String| Err(Failure::new(Exit::Usage, text));
        let load = match options.rate {
            None if options.arrivals == Arrivals::Poisson => {
                return usage("--arrivals makes sense only with --rate".to_owned());
            }
            None => Load::Closed,
            Some(rate) => {
                let max_backlog = options.max_backlog as usize;
                Load::Open { rate, arrivals: options.arrivals, max_backlog }
            }
        };
        let usual = if load == Load::Closed { 1 } else { IN_FLIGHT_WITH_RATE };
        let in_flight = options.in_flight.unwrap_or(usual);
        if u64::from(in_flight) * u64::from(options.connections) > MOST_IN_FLIGHT {
            return usage(format!("--connections times --in-flight must be at most {MOST_IN_FLIGHT}"));
        }
        let duration = options.duration.map(nanos);
        let duration = if options.count.is_none() { duration.or(Some(DURATION)) } else { duration };
        if duration == Some(0) {
            return usage("--duration must be above 0".to_owned());
        }
        if options.timeout.limit().is_some_and(|limit| limit.is_zero()) {
            return usage("--timeout must be above 0".to_owned());
        }
        let bodies = match &options.body {
            Some(body) => vec![Bytes::from(body.as_encoded_bytes().to_vec())],
            None => bodies(options.size as usize),
        };
        // An echo is as long as what was sent.
        let longest = u32::try_from(bodies[0].len()).unwrap_or(u32::MAX);
        let max_message = options.max_message.unwrap_or_else(|| MAX_MESSAGE.max(longest));
        let usual = Config::default();
        let config = Config {
            // What makes a chat forgetful would make calls wait.
            outbox_limit: usual.outbox_limit,
            call_timeout: options.timeout.limit(),
            ..options.link.config(max_message)?
        };
        config.validate().map_err(|error| Failure::new(Exit::Usage, error))?;
        let connections = options.connections as usize;
        Ok(Self {
            addresses: options.link.addresses.each.clone(),
            target: options.link.addresses.to_string(),
            config,
            patience_at_start: options.link.patience_at_start(),
            patience: options.link.patience(Some(PATIENCE)),
            connections,
            in_flight: in_flight as usize,
            threads: options.threads.map_or_else(threads, |threads| threads as usize).min(connections),
            check: match options.check {
                Check::Always => true,
                Check::Never => false,
                Check::Auto => options.route.route() == Route::Name("echo"),
            },
            message: options.route.clone(),
            bodies,
            load,
            warm_up: nanos(options.warm_up),
            duration,
            count: options.count,
            timeout: options.timeout.limit().map(nanos),
        })
    }

    /// How many of something fall to the thread with this number, if they are dealt out in turn.
    pub(super) const fn share(&self, total: u64, thread: usize) -> u64 {
        let (threads, thread) = (self.threads as u64, thread as u64);
        total / threads + (thread < total % threads) as u64
    }
}

/// The server may be on this machine, and has as much to do.
fn threads() -> usize {
    (thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1)
}

/// Bodies that differ, so that the answer to another call is noticed.
fn bodies(size: usize) -> Vec<Bytes> {
    let count = (BODY_BYTES / size.max(1)).clamp(1, BODIES);
    let mut rng = Rng::new(1);
    let body = |_| -> Bytes { std::iter::repeat_with(|| rng.next_u64() as u8).take(size).collect() };
    (0..count).map(body).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    pub(in super::super) fn plan(options: &str) -> Result<Plan, Failure> {
        let words = format!("lw bench a:1 {options}");
        match Arguments::try_parse_from(words.split_whitespace()).expect("the arguments make sense").command {
            Command::Bench(options) => Plan::new(&options),
            _ => unreachable!("it is lw bench"),
        }
    }

    #[test]
    fn what_is_left_open_is_decided() {
        let closed = plan("").unwrap();
        assert_eq!((closed.connections, closed.in_flight, closed.threads), (1, 1, 1));
        assert_eq!((closed.duration, closed.count), (Some(DURATION), None));
        assert!(closed.check && closed.load == Load::Closed);
        assert_eq!(closed.bodies.len(), BODIES);
        let open = plan("--rate 2k --count 5 --route 7").unwrap();
        assert_eq!((open.in_flight, open.duration, open.count), (1024, None, Some(5)));
        assert!(!open.check);
        assert!(plan("--route 7 --check always").unwrap().check);
        let both = plan("--count 5 --duration 1s -t 64 -c 3").unwrap();
        assert_eq!((both.duration, both.count, both.threads), (Some(1_000_000_000), Some(5), 3));
        let long = plan("--size 8M").unwrap();
        assert_eq!((long.bodies.len(), long.config.max_message), (1, 8 << 20));
        assert_eq!(plan("--body hello").unwrap().bodies, [Bytes::from("hello")]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for options in [
            "--arrivals poisson",
            "--duration 0",
            "--timeout 0",
            "--connections 1000000 --in-flight 17",
            "--max-message 1",
        ] {
            assert!(plan(options).is_err(), "{options}");
        }
    }

    #[test]
    fn shares_add_up() {
        let plan = plan("--connections 10 --threads 4").unwrap();
        assert_eq!([0, 1, 2, 3].map(|thread| plan.share(10, thread)), [3, 3, 2, 2]);
    }

    #[test]
    fn neighbouring_bodies_differ() {
        for size in [1, 64, 1 << 20] {
            let bodies = bodies(size);
            assert!(bodies.iter().all(|body| body.len() == size));
            assert!(size < 8 || bodies.windows(2).all(|two| two[0] != two[1]), "{size}");
        }
        assert_eq!(bodies(0), vec![Bytes::new(); BODIES]);
    }
}
