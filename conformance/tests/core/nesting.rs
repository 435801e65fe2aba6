//! Handlers that send while they answer: no reply waits for a push, and calls within calls come to their end.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use conformance::stepwise::scenario;
use conformance::{BOTH, LANES, Met, cases};
use proptest::prelude::*;
use proto_core::simulation::{Pair, PairConfig, PipeConfig};
use proto_core::wire::{Capabilities, Extensions};
use proto_core::{
    Bytes, CallId, Config, Event, Lane, Message, Outcome, Refusal, RequestId, Role, StatusCode, Timeout,
};

/// The longest message that both sides take.
fn largest(pair: &PairConfig) -> usize {
    let largest = |config: &Config| {
        let whole = config.capabilities.contains(Capabilities::FRAGMENTS);
        (if whole { config.max_message } else { config.max_message.min(config.max_frame) }) as usize
    };
    largest(&pair.dialer).min(largest(&pair.acceptor))
}

fn body(length: usize) -> Bytes {
    static ZEROS: [u8; 20_000] = [0; 20_000];
    Bytes::from_static(&ZEROS[..length])
}

/// What a side still wants to send: what was refused for lack of room comes first when there is room.
#[derive(Debug, Default)]
struct Caller {
    waiting: VecDeque<Message>,
    blocked: bool,
    answered: usize,
}

impl Caller {
    fn go_on(&mut self, pair: &mut Pair, role: Role) {
        while !self.blocked {
            let Some(message) = self.waiting.pop_front() else { return };
            let now = pair.now();
            if let Err(refused) = pair.connection(role).call(now, message, Timeout::Never) {
                assert!(matches!(refused.refusal, Refusal::Full | Refusal::NoSlot), "{refused:?}");
                self.waiting.push_front(refused.message);
                self.blocked = true;
            }
        }
    }
}

/// LW-5.2, LW-6.5: a handler that pushes and then replies gets its reply through, whatever it pushed before, in whatever
/// lane, and though nobody ever releases a push: those that have no credit are refused, and those that have it go out.
#[test]
fn no_reply_is_blocked_by_the_pushes_in_front_of_it() {
    let [without_credit, taken, fragments] = <[Met; 3]>::default();
    let sizes = || prop_oneof![2 => 0..300usize, 2 => 0..20_000usize];
    let call = (scenario::roles(), scenario::lanes(), sizes());
    let push = (scenario::lanes(), sizes());
    let handler = (prop::collection::vec(push, 0..6), sizes());
    let strategy = (scenario::pairs(), prop::collection::vec(call, 1..20), handler);
    proptest!(cases(700), |((config, calls, (pushes, reply)) in strategy)| {
        let fit = |size: usize| body(size % (largest(&config) + 1));
        let mut pair = Pair::new(&config);
        prop_assume!(pair.handshake());
        let mut callers = BOTH.map(|_| Caller::default());
        for &(role, lane, size) in &calls {
            callers[role as usize].waiting.push_back(Message::new(1, fit(size)).in_lane(lane));
        }
        // Nobody gives this up: what is received is never released.
        let mut tokens = Vec::new();
        loop {
            for role in BOTH {
                callers[role as usize].go_on(&mut pair, role);
            }
            while let Some((role, event)) = pair.poll_event() {
                let now = pair.now();
                let connection = pair.connection(role);
                match event {
                    Event::Request { id, .. } => {
                        for &(lane, size) in &pushes {
                            let message = Message::new(2, fit(size)).in_lane(lane);
                            if let Err(refused) = connection.push(now, message) {
                                prop_assert_eq!(refused.refusal, Refusal::Full);
                                without_credit.add(1);
                            }
                        }
                        let sent = connection.reply(now, id, StatusCode::OK, Extensions::none(), fit(reply));
                        prop_assert_eq!(sent, Ok(()));
                    }
                    Event::Push { token, message } => {
                        tokens.push(token);
                        taken.add(1);
                        fragments.add(usize::from(message.body.len() > 10_000));
                    }
                    Event::Writable => callers[role as usize].blocked = false,
                    Event::Ended { outcome, .. } => {
                        let Outcome::Reply { status: StatusCode::OK, body, .. } = outcome else {
                            return Err(TestCaseError::fail(format!("a call of the {role:?} ended with {outcome:?}")));
                        };
                        prop_assert_eq!(body.len(), fit(reply).len());
                        callers[role as usize].answered += 1;
                    }
                    event => prop_assert!(false, "the {role:?} was told {event:?}"),
                }
            }
            let ready = BOTH.iter().any(|&role| {
                let caller = &callers[role as usize];
                !caller.blocked && !caller.waiting.is_empty()
            });
            if !ready && !pair.step() && !BOTH.iter().any(|&role| pair.connection(role).has_events()) {
                break;
            }
        }
        for role in BOTH {
            let (own, made) = (&callers[role as usize], calls.iter().filter(|call| call.0 == role).count());
            prop_assert_eq!(own.answered, made, "calls of the {:?} wait for ever: {:?}", role, own);
        }
    });
    without_credit.assert("a push without credit");
    taken.assert("a push that came");
    fragments.assert("a push in several fragments");
}

/// A request that is answered when the call that its handler made is.
#[derive(Debug)]
struct Level {
    id: RequestId,
    lane: Lane,
    depth: usize,
}

/// LW-4.1, LW-6.1, LW-6.5: a handler calls back, whose handler calls back, and so on until all slots of both sides are
/// taken and all windows used up: it all comes back, level by level, though pushes without end flow beside it.
#[test]
fn calls_within_calls_end() {
    let [deep, fragments] = <[Met; 2]>::default();
    let slots = (1..40u32, 1..40u32);
    let size = prop_oneof![0..200usize, 200..20_000usize];
    let pipes = (scenario::pipes(), scenario::pipes());
    let commit = prop_oneof![Just(1usize), 1..200_000usize];
    let strategy = (slots, size, pipes, commit, scenario::roles(), (0..3usize, any::<u64>()));
    proptest!(cases(150), |(((one, two), size, pipes, commit_limit, first, (turn, seed)) in strategy)| {
        let (slots, window) = (one.min(two), u64::from(one.min(two)) * (64 + size.max(1024)) as u64);
        let config = |call_slots| Config {
            max_frame: 4096,
            max_message: size.max(1024) as u32,
            call_slots,
            // As much as the requests that are open at a time are charged, and not one byte more.
            request_window: window,
            push_window: 64 + 20_000,
            heartbeat: None,
            commit_limit,
            progress: None,
            write_stall_timeout: Duration::from_secs(3600),
            ..Config::default()
        };
        let [dialer, acceptor] = [one, two].map(|slots| config(slots).share().expect("sound limits"));
        let (to_acceptor, to_dialer) = pipes;
        let wide = |pipe: PipeConfig| PipeConfig { capacity: pipe.capacity.max(500), ..pipe };
        let (to_acceptor, to_dialer) = (wide(to_acceptor), wide(to_dialer));
        let mut pair = Pair::new(&PairConfig { dialer, acceptor, to_acceptor, to_dialer, seed, ..PairConfig::default() });
        prop_assume!(pair.handshake());
        // Each side has as many calls in flight as it has slots.
        let depth = 2 * slots as usize;
        let call = |pair: &mut Pair, role, depth: usize| {
            let now = pair.now();
            let message = Message::new(depth as u32, body(size)).in_lane(LANES[(depth + turn) % 3]);
            pair.connection(role).call(now, message, Timeout::Never)
        };
        let root = call(&mut pair, first, depth - 1).expect("the first call");
        let (mut levels, mut reached): (HashMap<(Role, CallId), Level>, _) = (HashMap::new(), 0);
        let mut answer = None;
        let mut tokens = Vec::new();
        loop {
            while let Some((role, event)) = pair.poll_event() {
                let now = pair.now();
                let answered = match event {
                    Event::Request { id, message, .. } => {
                        let level = Level { id, lane: message.lane, depth: message.number as usize };
                        reached += 1;
                        // Pushes beside it, as many as there is credit for.
                        while pair.connection(role).push(now, Message::new(0, body(size / 2)).in_lane(level.lane)).is_ok() {}
                        match level.depth.checked_sub(1) {
                            Some(depth) => {
                                let call = call(&mut pair, role, depth);
                                prop_assert!(call.is_ok(), "a handler could not call back with {depth} to go: {call:?}");
                                levels.extend(call.ok().map(|call| ((role, call), level)));
                                None
                            }
                            None => Some(level),
                        }
                    }
                    Event::Ended { call, outcome } => {
                        prop_assert!(matches!(outcome, Outcome::Reply { status: StatusCode::OK, .. }), "{outcome:?}");
                        if (role, call) == (first, root) {
                            answer = Some(outcome);
                        }
                        levels.remove(&(role, call))
                    }
                    Event::Push { token, .. } => {
                        tokens.push(token);
                        None
                    }
                    Event::Writable => None,
                    event => return Err(TestCaseError::fail(format!("the {role:?} was told {event:?}"))),
                };
                if let Some(Level { id, .. }) = answered {
                    let reply = pair.connection(role).reply(now, id, StatusCode::OK, Extensions::none(), body(size));
                    prop_assert_eq!(reply, Ok(()));
                }
            }
            if !pair.step() && !BOTH.iter().any(|&role| pair.connection(role).has_events()) {
                break;
            }
        }
        prop_assert_eq!(reached, depth, "not all levels were reached");
        prop_assert!(answer.is_some() && levels.is_empty(), "calls wait for ever: {levels:?}");
        for role in BOTH {
            let connection = pair.connection(role);
            prop_assert_eq!((connection.calls_in_flight(), connection.requests_in_flight()), (0, 0), "{:?}", role);
        }
        deep.add(usize::from(depth > 40));
        fragments.add(usize::from(size > 8192));
    });
    deep.assert("more than forty levels");
    fragments.assert("calls in several fragments");
}
