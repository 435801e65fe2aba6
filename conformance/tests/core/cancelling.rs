//! Calls that are given up at every point of their way: no slot and no byte of credit is lost by it or made of nothing, and
//! what is said about it is true.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::Duration;

use conformance::stepwise::{Action, Entry, World, scenario};
use conformance::{BOTH, LANES, Met, cases, other};
use proptest::prelude::*;
use proto_core::simulation::{Pair, PairConfig, PipeConfig};
use proto_core::wire::{Capabilities, Extensions};
use proto_core::{
    Bytes, Config, Delivery, Event, Message, Outcome, Refusal, Refused, Role, StatusCode, Timeout,
};

const MINUTE: Duration = Duration::from_secs(60);
/// The largest message: three frames of the smallest size.
const LARGEST: usize = 10_000;
/// Both windows, and what they hold beside each other's calls.
const WINDOW: u64 = 3 * (64 + LARGEST as u64) + 500;

/// Two sides that call each other, and one that gives up.
#[derive(Clone, Debug)]
struct Plan {
    pair: PairConfig,
    /// Who calls, with how many bytes.
    calls: Vec<(Role, usize)>,
    reply: usize,
    handlers: Handlers,
    caller: Role,
    /// Which of its calls it gives up; `None` is all of them.
    which: Option<usize>,
}

/// What the applications do while the network runs. In the end they answer all that they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handlers {
    /// They take no event.
    Sleep,
    /// They take requests and keep them.
    Work,
    /// They answer at once.
    Answer,
}

fn plans() -> impl Strategy<Value = Plan> {
    let size = || prop_oneof![1 => 0..100usize, 2 => 4000..LARGEST];
    let calls = prop::collection::vec((scenario::roles(), size()), 1..5);
    let handlers =
        prop_oneof![1 => Just(Handlers::Sleep), 1 => Just(Handlers::Work), 2 => Just(Handlers::Answer)];
    (pairs(), calls, size(), handlers, scenario::roles(), prop::option::of(0..3usize)).prop_map(
        |(pair, calls, reply, handlers, caller, which)| Plan { pair, calls, reply, handlers, caller, which },
    )
}

fn pairs() -> impl Strategy<Value = PairConfig> {
    let capabilities =
        || prop_oneof![2 => Just(Capabilities::SUPPORTED), 2 => (0..8u64).prop_map(Capabilities::from_bits)];
    let commit = prop_oneof![Just(1usize), 1..6000usize];
    let pipe = || {
        (1000..4000usize, 1500..6000usize).prop_map(|(capacity, most)| PipeConfig {
            capacity,
            read_size: most / 2..=most,
            bytes_per_second: NonZeroU32::new(1_000_000),
            ..PipeConfig::default()
        })
    };
    (capabilities(), capabilities(), commit, pipe(), pipe(), any::<u64>()).prop_map(
        |(one, two, commit_limit, to_acceptor, to_dialer, seed)| {
            let config = |capabilities| Config {
                max_frame: 4096,
                max_message: LARGEST as u32,
                call_slots: 50,
                request_window: WINDOW,
                push_window: WINDOW,
                heartbeat: None,
                commit_limit,
                capabilities,
                ..Config::default()
            };
            let [dialer, acceptor] = [one, two].map(|own| config(own).share().expect("sound limits"));
            PairConfig { dialer, acceptor, to_acceptor, to_dialer, seed, ..PairConfig::default() }
        },
    )
}

impl Plan {
    /// The longest message that this side may send.
    fn longest(&self, role: Role) -> usize {
        let config = if role == Role::Dialer { &self.pair.acceptor } else { &self.pair.dialer };
        if config.capabilities.contains(Capabilities::FRAGMENTS) { LARGEST } else { 4096 }
    }

    /// A world in which all calls have been made, which is all that happened since the handshake.
    fn begin(&self, timeout: Option<Duration>) -> World {
        let mut world = World::new(&self.pair);
        assert!(world.pair().handshake());
        world.reply_with(self.reply.min(self.longest(Role::Dialer)).min(self.longest(Role::Acceptor)));
        for (number, &(role, size)) in self.calls.iter().enumerate() {
            let size = size.min(self.longest(role) - 10);
            world.act(role, &Action::Call { size, metadata: 0, timeout, lane: LANES[number % 3] });
        }
        world
    }

    /// The network does one step, and the applications what they do.
    fn step(&self, world: &mut World) {
        world.act(Role::Dialer, &Action::Step(1));
        if self.handlers != Handlers::Sleep {
            for role in BOTH {
                while world.poll(role) {
                    if self.handlers == Handlers::Answer {
                        let size = self.reply.min(self.longest(role));
                        world.act(role, &Action::Reply { which: 0, size });
                    }
                }
            }
        }
    }
}

/// What one plan came to.
#[derive(Debug, Default)]
struct Found {
    given_up: Met,
    unsent: Met,
    in_part: Met,
    late: Met,
    timed_out: Met,
}

/// Lets everything come to rest, and checks what must be so afterwards.
fn check(mut world: World, plan: &Plan, found: &Found) -> Result<(), TestCaseError> {
    // What was given up has time to be heard of before its handler answers.
    for _ in 0..60 {
        plan.step(&mut world);
    }
    world.settle();
    for role in BOTH {
        prop_assert!(!world.is_waiting(role), "the {role:?} waits for ever");
        let connection = world.pair().connection(role);
        prop_assert!(connection.is_open(), "the {role:?} ended: {:?}", connection.close_reason());
        let open = (connection.calls_in_flight(), connection.requests_in_flight());
        prop_assert_eq!(open, (0, 0), "slots of the {:?} are taken, as caller and as callee", role);
        found.late.add(connection.counters().replies_late as usize);
        for is_call in [true, false] {
            check_window(world.pair(), role, is_call, plan.longest(role))?;
        }
    }
    let trace = world.end();
    prop_assert_eq!(trace.check(), Ok(()));
    for role in BOTH {
        let side = trace.side(role);
        let mut given_up = HashSet::new();
        for entry in side.entries() {
            match entry {
                Entry::GivenUp(number) => {
                    prop_assert!(
                        given_up.insert(number),
                        "the {role:?} heard twice that {number} was given up"
                    );
                }
                Entry::Cancelled(_, Some(Delivery::NotSent)) | Entry::TimedOut(_, Delivery::NotSent) => {
                    found.unsent.add(1);
                }
                _ => {}
            }
        }
        found.given_up.add(given_up.len());
        found.timed_out.add(side.count(|entry| matches!(entry, Entry::TimedOut(..))));
    }
    Ok(())
}

/// LW-6.3: when nothing is under way, a side may send messages that use up the peer's window to the byte before the
/// peer has answered or released any of them, and then nothing more.
fn check_window(pair: &mut Pair, role: Role, is_call: bool, longest: usize) -> Result<(), TestCaseError> {
    let send = |pair: &mut Pair, length: usize| {
        let (now, message) = (pair.now(), Message::new(1, vec![1; length]));
        let connection = pair.connection(role);
        let sent = if is_call {
            connection.call(now, message, Timeout::Never).map(drop)
        } else {
            connection.push(now, message)
        };
        sent.map_err(|Refused { refusal, .. }| refusal)
    };
    let mut left = WINDOW as usize;
    while left > 0 {
        let length = longest.min(left - 64);
        // Too little for a message of its own must not be left.
        let length = if (1..64).contains(&(left - 64 - length)) { length - 64 } else { length };
        if send(pair, length) == Err(Refusal::Full) {
            // A grant may be due by now that was not before (LW-6.4).
            prop_assert!(pair.run_until_idle(MINUTE));
            let sent = send(pair, length);
            prop_assert_eq!(
                sent,
                Ok(()),
                "of the {:?}'s window {} bytes are lost (calls: {})",
                role,
                left,
                is_call
            );
        }
        prop_assert!(pair.run_until_idle(MINUTE));
        left -= 64 + length;
    }
    prop_assert_eq!(
        send(pair, 0),
        Err(Refusal::Full),
        "the {:?} has more credit than the window (calls: {})",
        role,
        is_call
    );
    let mut answered = 0;
    loop {
        while let Some((at, event)) = pair.poll_event() {
            let now = pair.now();
            match event {
                Event::Request { id, .. } => {
                    let reply =
                        pair.connection(at).reply(now, id, StatusCode::OK, Extensions::none(), Bytes::new());
                    prop_assert_eq!((at, reply), (other(role), Ok(())));
                }
                Event::Push { token, .. } => pair.connection(at).release(now, token),
                Event::Ended { outcome: Outcome::Reply { status: StatusCode::OK, .. }, .. } => answered += 1,
                Event::Writable => {}
                event => prop_assert!(false, "the {at:?} was told {event:?}"),
            }
        }
        if !pair.step() && !BOTH.iter().any(|&role| pair.connection(role).has_events()) {
            break;
        }
    }
    prop_assert_eq!(answered > 0, is_call);
    Ok(())
}

/// LW-4.3, LW-4.12, LW-4.13, LW-6.3: a side gives up one or all of its calls, after every number of steps of the network,
/// with fragments of requests and replies under way and with peers that know of CANCEL or of fragments and with such
/// that do not. When all has settled, every slot is free on both sides, both windows are whole to the byte, nothing was
/// said of what was given up, and the other side was told at most once, of a request in its hands.
#[test]
fn a_cancel_at_any_step_conserves_slots_and_windows() {
    let found = Found::default();
    proptest!(cases(60), |(plan in plans())| {
        for steps in 0.. {
            let mut world = plan.begin(None);
            for _ in 0..steps {
                plan.step(&mut world);
            }
            let count = world.calls(plan.caller).count();
            let started = world.pair().connection(plan.caller).transmit_len() > 0;
            for which in plan.which.map_or(0..count, |which| which..which + 1) {
                // All of them are the first, one after another.
                let which = if plan.which.is_some() { which } else { 0 };
                world.act(plan.caller, &Action::Cancel { which });
            }
            found.in_part.add(usize::from(started));
            if let Err(error) = check(world, &plan, &found) {
                return Err(TestCaseError::fail(format!("given up after {steps} steps: {error}")));
            }
            if count == 0 || steps > 400 {
                break;
            }
        }
    });
    found.given_up.assert("a request that was given up in its handler's hands");
    found.unsent.assert("a call that was given up before it was sent");
    found.in_part.assert("a call that was given up while something was being written");
    found.late.assert("a reply that came after its call was given up");
}

/// LW-4.3, LW-4.10, LW-4.11, LW-4.12: the same with deadlines that pass after every part of a millisecond.
#[test]
fn a_deadline_at_any_time_conserves_slots_and_windows() {
    let found = Found::default();
    let strategy = (plans(), 100..1500u64);
    proptest!(cases(40), |((plan, micros) in strategy)| {
        for round in 0.. {
            let timeout = Duration::from_micros(round * micros);
            let mut world = plan.begin(Some(timeout));
            let end = world.pair().now() + timeout;
            for _ in 0..300 {
                if world.pair().now() < end {
                    plan.step(&mut world);
                }
            }
            if let Err(error) = check(world, &plan, &found) {
                return Err(TestCaseError::fail(format!("with a deadline of {timeout:?}: {error}")));
            }
            if timeout > Duration::from_millis(100) {
                break;
            }
        }
    });
    found.timed_out.assert("a call that timed out");
    found.unsent.assert("a call that timed out before it was sent");
    found.late.assert("a reply that came after its deadline");
}

/// LW-3.9, LW-4.13: a caller that gives up in the middle of a reply, and that does not take CANCEL itself though it may send
/// it, gets the rest of the reply: it was told CANCEL before, and ended the connection for that.
#[test]
fn a_caller_that_takes_no_cancel_is_sent_none_in_the_middle_of_a_reply() {
    let config = Config { max_frame: 4096, commit_limit: 1, heartbeat: None, ..Config::default() };
    let simple =
        Config { capabilities: Capabilities::SUPPORTED.without(Capabilities::CANCEL), ..config.clone() };
    let mut pair = Pair::new(&PairConfig {
        dialer: simple.share().expect("sound limits"),
        acceptor: config.share().expect("sound limits"),
        to_dialer: PipeConfig { capacity: 1000, ..PipeConfig::default() },
        ..PairConfig::default()
    });
    assert!(pair.handshake());
    let now = pair.now();
    let call = pair.dialer().call(now, Message::new(1, "a long story"), Timeout::Never).expect("room");
    assert!(pair.run_until(|pair| pair.acceptor().requests_in_flight() == 1));
    let Some(Event::Request { id, .. }) = pair.acceptor().poll_event() else { panic!("a request") };
    let (now, story) = (pair.now(), Bytes::from(vec![1; 20_000]));
    assert_eq!(pair.acceptor().reply(now, id, StatusCode::OK, Extensions::none(), story), Ok(()));
    assert!(pair.run_until(|pair| pair.pipe_from(Role::Acceptor).delivered() > 6000));
    let now = pair.now();
    assert_eq!(pair.dialer().cancel(now, call), Some(Delivery::MaybeSent));
    assert!(pair.run_until_idle(MINUTE));
    assert!(pair.dialer().is_open(), "the caller ended: {:?}", pair.dialer().close_reason());
    assert_eq!((pair.dialer().calls_in_flight(), pair.acceptor().requests_in_flight()), (0, 0));
    assert_eq!((pair.poll_event(), pair.dialer().counters().replies_late), (None, 1));
}
