//! A drain ends a connection in time, and loses nothing that could still be finished.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::stepwise::scenario;
use conformance::{BOTH, Met, cases, other};
use proptest::prelude::*;
use proto_core::simulation::{Pair, PairConfig, PipeConfig};
use proto_core::wire::{Capabilities, Extensions};
use proto_core::{
    Bytes, CallId, CloseCode, CloseInfo, CloseReason, Config, Connection, Event, Instant, Lane, Message,
    Outcome, Refusal, RequestId, Role, StatusCode, Timeout,
};

const CLOSE: Duration = Duration::from_secs(20);
const CLOSING: Duration = Duration::from_secs(5);
/// More than all the bytes that are under way here ever need.
const NETWORK: Duration = Duration::from_secs(4);

/// Something that an application does at its time.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// It calls, and its peer takes so long for the answer.
    Call(Lane, usize, Duration),
    Push(Lane, usize),
    Drain(Duration),
}

fn deeds() -> impl Strategy<Value = Vec<(Duration, Role, Deed)>> {
    let millis = |most: u64| (0..most).prop_map(Duration::from_millis);
    let size = || prop_oneof![1 => 0..500usize, 1 => 500..4000usize];
    // Much happens at the same time.
    let at = || prop_oneof![Just(Duration::from_millis(200)), millis(500)];
    let deed = prop_oneof![
        6 => (scenario::lanes(), size(), millis(3000)).prop_map(|(lane, size, delay)| Deed::Call(lane, size, delay)),
        3 => (scenario::lanes(), size()).prop_map(|(lane, size)| Deed::Push(lane, size)),
    ];
    let deeds = prop::collection::vec((at(), scenario::roles(), deed), 0..15);
    let drain = || (at(), scenario::roles(), millis(15_000).prop_map(Deed::Drain));
    let drains = prop::collection::vec(drain(), 1..3);
    (deeds, drains).prop_map(|(deeds, drains)| [deeds, drains].concat()).prop_shuffle()
}

fn pairs() -> impl Strategy<Value = PairConfig> {
    let capabilities =
        || prop_oneof![3 => Just(Capabilities::SUPPORTED), 2 => (0..8u64).prop_map(Capabilities::from_bits)];
    let commit = prop_oneof![Just(1usize), 1..100_000usize];
    let pipe = || {
        (500..10_000usize, 1..5000usize, 0..10u64).prop_map(|(capacity, most, latency)| PipeConfig {
            capacity,
            read_size: 1..=most,
            latency: Duration::from_millis(latency),
            ..PipeConfig::default()
        })
    };
    (capabilities(), capabilities(), commit, pipe(), pipe(), any::<u64>()).prop_map(
        |(one, two, commit_limit, to_acceptor, to_dialer, seed)| {
            let config = |capabilities| Config {
                max_frame: 4096,
                heartbeat: None,
                progress: None,
                handshake_timeout: Duration::from_secs(3600),
                write_stall_timeout: Duration::from_secs(3600),
                close_timeout: CLOSE,
                closing_timeout: CLOSING,
                capabilities,
                commit_limit,
                ..Config::default()
            };
            let [dialer, acceptor] = [one, two].map(|own| config(own).share().expect("sound limits"));
            PairConfig { dialer, acceptor, to_acceptor, to_dialer, seed, ..PairConfig::default() }
        },
    )
}

/// A call that was accepted.
#[derive(Debug)]
struct Call {
    id: CallId,
    /// When its callee has the answer, if the request takes no time.
    due: Instant,
    replied: bool,
}

/// What happened on one side.
#[derive(Debug, Default)]
struct Side {
    calls: Vec<Call>,
    requests: Vec<(Instant, Option<RequestId>)>,
    /// When each request was answered that was, by its id on the wire.
    answered: BTreeMap<u64, Instant>,
    pushed: usize,
    pushes: usize,
    /// The code of its first drain, its own or one that it heard of.
    code: Option<CloseCode>,
    /// When its own drain must be over.
    deadline: Option<Instant>,
    refused: usize,
    lost: usize,
    closed: Option<(Instant, CloseReason)>,
}

fn code(role: Role) -> CloseCode {
    CloseCode(0x8000_0000 + role as u32)
}

/// Plays deeds to the end of the connection, with an application that answers each request in its time, over pipes that
/// stand still for so long.
fn play(
    config: &PairConfig,
    deeds: &[(Duration, Role, Deed)],
    stalls: [Duration; 2],
) -> Result<[Side; 2], TestCaseError> {
    let mut pair = Pair::new(config);
    assert!(pair.handshake());
    let (start, mut sides) = (pair.now(), BOTH.map(|_| Side::default()));
    for (role, stall) in BOTH.into_iter().zip(stalls) {
        pair.pipe_from(role).stall(start + stall);
    }
    let mut deeds: Vec<_> = deeds.to_vec();
    deeds.sort_by_key(|deed| deed.0);
    let mut deeds = deeds.into_iter().peekable();
    loop {
        let now = pair.now();
        while let Some((_, role, deed)) = deeds.next_if(|deed| start + deed.0 <= now) {
            act(pair.connection(role), &mut sides[role as usize], now, role, deed);
        }
        for role in BOTH {
            let (side, connection) = (&mut sides[role as usize], pair.connection(role));
            while let Some(event) = connection.poll_event() {
                match event {
                    Event::Request { id, message, .. } => {
                        let delay = Duration::from_millis(message.number.into());
                        side.requests.push((now + delay, Some(id)));
                    }
                    Event::Push { token, .. } => {
                        side.pushes += 1;
                        connection.release(now, token);
                    }
                    Event::Ended { call, outcome } => match outcome {
                        Outcome::Reply { status: StatusCode::OK, .. } => {
                            side.calls
                                .iter_mut()
                                .filter(|own| own.id == call)
                                .for_each(|own| own.replied = true);
                        }
                        _ => side.lost += 1,
                    },
                    Event::Draining(code) => side.code = side.code.or(Some(code)),
                    Event::Closed(reason) => side.closed = Some((now, reason)),
                    Event::Writable => {}
                    event => prop_assert!(false, "the {role:?} was told {event:?}"),
                }
            }
            for (due, id) in &mut side.requests {
                if let Some(id) = id.take_if(|_| *due <= now) {
                    let sequence = id.sequence().to_u64();
                    let reply = connection.reply(
                        now,
                        id,
                        StatusCode::OK,
                        Extensions::none(),
                        Bytes::from(vec![1; 3000]),
                    );
                    side.answered.extend(reply.is_ok().then_some((sequence, now)));
                }
            }
            // Who is coming to an end takes no further calls (LW-7.10), but pushes.
            if connection.is_draining() {
                let refused = connection
                    .call(now, Message::new(1, "late"), Timeout::Never)
                    .map_err(|refused| refused.refusal);
                prop_assert_eq!(refused, Err(Refusal::Draining));
                side.refused += 1;
            } else if side.code.is_some() {
                prop_assert!(connection.close_reason().is_some(), "the {role:?} does not drain");
            }
        }
        let due = sides.iter().flat_map(|side| {
            side.requests.iter().filter(|request| request.1.is_some()).map(|request| request.0)
        });
        let due = due.chain(deeds.peek().map(|deed| start + deed.0)).filter(|due| *due > now).min();
        if !pair.step_until(due.unwrap_or(Instant::MAX)) {
            match due {
                Some(due) => pair.advance(due.saturating_since(pair.now())),
                None if BOTH.iter().any(|&role| pair.connection(role).has_events()) => {}
                None => return Ok(sides),
            }
        }
    }
}

fn act(connection: &mut Connection, side: &mut Side, now: Instant, role: Role, deed: Deed) {
    match deed {
        Deed::Call(lane, size, delay) => {
            let message = Message::new(delay.as_millis() as u32, vec![1; size]).in_lane(lane);
            let call = connection.call(now, message, Timeout::Never);
            side.calls.extend(call.ok().map(|id| Call { id, due: now + delay, replied: false }));
        }
        Deed::Push(lane, size) => {
            let message = Message::new(1, vec![1; size]).in_lane(lane);
            side.pushed += usize::from(connection.push(now, message).is_ok());
        }
        Deed::Drain(within) => {
            if connection.close_reason().is_none() {
                side.code = side.code.or_else(|| Some(code(role)));
                side.deadline =
                    Some(side.deadline.map_or(now + within, |deadline| deadline.min(now + within)));
            }
            connection.drain(now, code(role), CloseInfo::with_text("enough"), within);
        }
    }
}

/// LW-7.9 to LW-7.12, LW-7.1, LW-7.2, LW-7.5: one side drains or both do, with calls and pushes under way in both directions
/// and peers that know of drains and such that do not. Whatever was answered before the deadline is heard by its caller,
/// whatever was pushed before the end arrives, and both sides end in time with the code that was said first.
#[test]
fn a_drain_loses_nothing_that_is_finished_in_time() {
    let [finished, unfinished, crossed, refused, simple] = <[Met; 5]>::default();
    proptest!(cases(1500), |(config in pairs(), deeds in deeds())| {
        let sides = play(&config, &deeds, [Duration::ZERO; 2])?;
        let start = Instant::EPOCH;
        let deadline = sides.iter().filter_map(|side| side.deadline).min().expect("somebody drained");
        let drains = [&config.dialer, &config.acceptor].iter().all(|own| own.capabilities.contains(Capabilities::DRAIN));
        for role in BOTH {
            let (side, peer) = (&sides[role as usize], &sides[other(role) as usize]);
            for Call { id, due, replied } in &side.calls {
                // Where drains are not known, a request may be refused that comes behind one.
                let is_served = drains || peer.deadline.is_none();
                let answered = peer.answered.get(&id.sequence().to_u64());
                if answered.is_some_and(|&at| at <= deadline) || is_served && *due + NETWORK <= deadline {
                    prop_assert!(replied, "call {id:?} of the {role:?} could be finished, and was lost");
                    finished.add(1);
                }
            }
            unfinished.add(side.lost);
            refused.add(side.refused);
            prop_assert_eq!(side.pushed, peer.pushes, "not all pushes of the {:?} arrived", role);
            let Some((at, reason)) = &side.closed else {
                return Err(TestCaseError::fail(format!("the {role:?} never ends")));
            };
            // When the last call has been answered nothing is waited for.
            let dues = sides.iter().flat_map(|side| side.calls.iter().map(|call| call.due));
            let done = dues.fold(start + Duration::from_millis(500), Instant::max).min(deadline);
            let behind = at.saturating_since(done);
            prop_assert!(behind <= NETWORK, "the {role:?} ended {behind:?} after all was done or its time was over");
            let said = match reason {
                CloseReason::Local(said) => (*said, code(role)),
                CloseReason::Peer(said, _) => (*said, code(other(role))),
                reason => return Err(TestCaseError::fail(format!("the {role:?} ended with {reason:?}"))),
            };
            prop_assert_eq!(said.0, said.1, "the {:?} ended with another code than that of who closed", role);
            let own_only = side.deadline.is_some() && peer.deadline.is_none();
            prop_assert!(!own_only || *reason == CloseReason::Local(code(role)), "the {role:?} drained and ended with {reason:?}");
            prop_assert!(side.deadline.is_some() || matches!(reason, CloseReason::Peer(..)), "{reason:?}");
        }
        crossed.add(usize::from(sides[0].code != sides[1].code && sides.iter().all(|side| side.code.is_some())));
        simple.add(usize::from(!drains));
    });
    finished.assert("a call that was finished");
    unfinished.assert("a call that was not finished in time");
    crossed.assert("drains that crossed");
    refused.assert("a call that was refused");
    simple.assert("a peer that does not know of drains");
}

/// LW-7.9, LW-7.11: however long the network stands still, who drains ends by the deadline and the time for a close.
#[test]
fn a_drain_ends_in_time_over_any_network() {
    let late = Met::default();
    let stall = || prop_oneof![Just(Duration::ZERO), (0..40_000u64).prop_map(Duration::from_millis)];
    proptest!(cases(500), |(config in pairs(), deeds in deeds(), stalls in [stall(), stall()])| {
        let sides = play(&config, &deeds, stalls)?;
        for side in &sides {
            let Some((at, _)) = side.closed else { return Err(TestCaseError::fail("a side never ends")) };
            if let Some(deadline) = side.deadline {
                prop_assert!(at <= deadline + CLOSE + CLOSING, "{:?} behind the deadline", at.saturating_since(deadline));
                late.add(usize::from(at > deadline + CLOSING));
            }
        }
    });
    late.assert("a close that took its time");
}
