//! Draws scenarios: one family for each promise, so that each meets what it is about.
//!
//! Numbers are small on purpose: windows of a few messages, a few slots, pieces of a few bytes. What can go wrong at a limit goes
//! wrong at a small one too, and much sooner. Scenarios are played in real time on most runners, so waits are short, and what is
//! to be exact is either at once or never.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proto_core::{Lane, Role};

use super::{Answer, Answered, Call, Deed, Dropped, Fault, Limits, Path, Push, Scenario, Trigger, Trouble};
use crate::other;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Calls and pushes both ways of which nothing races with anything: one trace is right.
pub fn whole() -> impl Strategy<Value = Scenario> {
    let deeds = prop_oneof![
        8 => call(answers(), within_far()).prop_map(Deed::Call),
        4 => push(),
        1 => Just(Deed::Await),
        1 => (0..4usize).prop_map(Deed::See),
        1 => (0..3u64).prop_map(|time| Deed::Wait(millis(time))),
    ];
    scenario(limits(), deeds, 12)
}

/// Large messages, in as many fragments as their limits make of them, and small ones beside them.
pub fn large() -> impl Strategy<Value = Scenario> {
    let size = || prop_oneof![1 => 0..2000usize, 3 => 4000..300_000usize];
    let call = (size(), size(), lanes())
        .prop_map(|(size, reply, lane)| Deed::Call(Call { lane, ..Call::new(size, reply) }));
    let push = (size(), lanes()).prop_map(|(size, lane)| Deed::Push(Push { size, lane, dropped: None }));
    let limits = (prop_oneof![Just(4096u32), 4096..70_000u32], prop_oneof![Just(0u32), Just(1u32 << 20)])
        .prop_map(|(frame, window)| Limits { message: 300_000, frame, window, ..Limits::default() });
    scenario(limits, prop_oneof![3 => call, 2 => push], 6).prop_map(|mut scenario| {
        for path in [&mut scenario.to_acceptor, &mut scenario.to_dialer] {
            path.piece = path.piece.max(500);
        }
        scenario
    })
}

/// Deadlines, dropped futures and dropped calls, with few slots: what ends early must leave room for what follows.
pub fn given_up() -> impl Strategy<Value = Scenario> {
    let limits = (1..4u32, 0..3000u32).prop_map(|(slots, window)| Limits {
        slots,
        message: 2000,
        window,
        ..Limits::default()
    });
    let hasty = prop_oneof![
        // The deadline is certain: the answer would come much later.
        2 => (sizes(), 0..8u64).prop_map(|(size, within)| Call { within: Some(millis(within)), ..never(size) }),
        3 => (sizes(), 0..6usize).prop_map(|(size, polls)| Call { dropped: Some(Dropped::AfterPolls(polls)), ..never(size) }),
        2 => (sizes(), 0..8u64).prop_map(|(size, time)| Call { dropped: Some(Dropped::AfterTime(millis(time))), ..never(size) }),
        // And here it races with the answer.
        2 => (call(answers(), within_near()), 0..8u64).prop_map(|(call, time)| Call { dropped: Some(Dropped::AfterTime(millis(time))), ..call }),
        2 => call(answers(), within_near()),
    ];
    let deeds = prop_oneof![
        8 => hasty.prop_map(Deed::Call),
        2 => (0..6usize).prop_map(Deed::Drop),
        2 => call(answers(), Just(None)).prop_map(Deed::Call),
        1 => Just(Deed::Await),
        1 => Just(Deed::Hold),
        1 => Just(Deed::LetGo),
        3 => push(),
        3 => (900..2000usize, lanes(), dropped()).prop_map(|(size, lane, dropped)| {
            Deed::Push(Push { size, lane, dropped: Some(dropped) })
        }),
    ];
    // What follows finds all slots free.
    scenario(limits, deeds, 12).prop_map(|mut scenario| {
        for script in [&mut scenario.dialer, &mut scenario.acceptor] {
            script.extend([Deed::Await, Deed::Call(Call::new(30, 30)), Deed::Await]);
        }
        scenario
    })
}

/// Floods from both sides through narrow pipes, with windows of little more than one message, and sides that do not read for a while.
pub fn floods() -> impl Strategy<Value = Scenario> {
    let limits = (1..5u32, 1024..3000u32, 0..500u32).prop_map(|(slots, message, window)| Limits {
        slots,
        message,
        window,
        ..Limits::default()
    });
    let sizes = || prop_oneof![3 => 0..60usize, 2 => 200..490usize];
    let call = (sizes(), sizes(), any::<bool>()).prop_map(|(size, reply, back)| {
        let mut call = Call::new(size, reply);
        call.answer.back = back.then_some(50);
        Deed::Call(call)
    });
    let deeds = prop_oneof![
        10 => call,
        10 => (sizes(), lanes()).prop_map(|(size, lane)| Deed::Push(Push { size, lane, dropped: None })),
        1 => Just(Deed::Hold),
        1 => Just(Deed::LetGo),
        1 => (0..3u64).prop_map(|time| Deed::Wait(millis(time))),
    ];
    (scenario(limits, deeds, 60), 100..2000usize, 100..2000usize).prop_map(|(mut scenario, one, two)| {
        (scenario.to_acceptor.capacity, scenario.to_dialer.capacity) = (one, two);
        scenario
    })
}

/// A connection that breaks at some byte or at some deed, for good.
pub fn cuts() -> impl Strategy<Value = Scenario> {
    let deeds = {
        prop_oneof![
            8 => call(answers(), within_far()).prop_map(Deed::Call),
            4 => push(),
            1 => (0..3u64).prop_map(|time| Deed::Wait(millis(time))),
            1 => Just(Deed::Await),
        ]
    };
    (scenario(limits(), deeds, 10), faults(2000))
        .prop_map(|(scenario, faults)| Scenario { faults, ..scenario })
}

/// A dialer that comes back, however often its connection breaks or its server is replaced; some of its calls may run twice.
pub fn comebacks() -> impl Strategy<Value = Scenario> {
    let deeds = {
        let call = (call(answers(), Just(None)), any::<bool>())
            .prop_map(|(call, idempotent)| Deed::Call(Call { idempotent, ..call }));
        prop_oneof![
            8 => call,
            3 => push(),
            2 => (0..5u64).prop_map(|time| Deed::Wait(millis(time))),
            1 => Just(Deed::Await),
        ]
    };
    let restarts = prop::collection::vec(any::<Index>(), 0..2);
    (scenario(limits(), deeds, 12), faults(3000), restarts).prop_map(|(mut scenario, faults, restarts)| {
        for place in restarts {
            let place = place.index(scenario.acceptor.len() + 1);
            scenario.acceptor.insert(place, Deed::Restart);
        }
        Scenario { faults, comes_back: true, ..scenario }
    })
}

/// One side drains, or closes, or both do, while the other goes on.
pub fn endings() -> impl Strategy<Value = Scenario> {
    let deeds = {
        prop_oneof![
            8 => call(answers(), within_far()).prop_map(Deed::Call),
            4 => push(),
            1 => (0..3u64).prop_map(|time| Deed::Wait(millis(time))),
            1 => Just(Deed::Await),
        ]
    };
    let end = prop_oneof![5 => Just(Deed::Drain), 2 => Just(Deed::Close), 1 => Just(Deed::Abort)];
    let ends = prop::collection::vec((roles(), any::<Index>(), end), 1..3);
    (scenario(prop_oneof![limits(), Just(Limits::default())], deeds, 10), ends, any::<bool>()).prop_map(
        |(mut scenario, ends, comes_back)| {
            for (role, place, end) in ends {
                let script = match role {
                    Role::Acceptor => &mut scenario.acceptor,
                    Role::Dialer => &mut scenario.dialer,
                };
                let place = place.index(script.len() + 1);
                script.insert(place, end);
            }
            Scenario { comes_back, ..scenario }
        },
    )
}

/// Others who talk nonsense to the acceptor, or nothing, beside a connection that goes on.
pub fn strangers() -> impl Strategy<Value = Scenario> {
    const PREFACE: &[u8] = &proto_core::wire::PREFACE;
    let begins_well = prop::collection::vec(any::<u8>(), 0..60).prop_map(|rest| [PREFACE, &rest].concat());
    let words = prop_oneof![
        Just(Vec::new()),
        Just(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        (0..=PREFACE.len()).prop_map(|length| PREFACE[..length].to_vec()),
        begins_well,
        prop::collection::vec(any::<u8>(), 1..200),
    ];
    (whole(), prop::collection::vec(words, 1..5))
        .prop_map(|(scenario, strangers)| Scenario { strangers, ..scenario })
}

/// A network that goes silent for longer than heartbeats allow.
pub fn silences() -> impl Strategy<Value = Scenario> {
    let stuck = (sizes(), any::<bool>()).prop_map(|(size, answered)| {
        let call = Call { within: None, ..never(size) };
        Deed::Call(if answered { Call::new(size, 20) } else { call })
    });
    let limits =
        (50..300u64).prop_map(|silence| Limits { silence: Some(millis(silence)), ..Limits::default() });
    let deeds =
        prop_oneof![4 => stuck, 1 => push(), 1 => (0..5u64).prop_map(|time| Deed::Wait(millis(time)))];
    (scenario(limits, deeds, 6), roles(), 0..6usize, any::<bool>()).prop_map(
        |(mut scenario, to, deed, one_way)| {
            // The handshake has a limit of its own.
            scenario.dialer.splice(0..0, [Deed::Call(Call::new(20, 20)), Deed::Await]);
            scenario.dialer.push(Deed::Wait(Duration::ZERO));
            let when = Trigger::Deed(Role::Dialer, (2 + deed).min(scenario.dialer.len() - 1));
            let ways = if one_way { vec![to] } else { vec![to, other(to)] };
            for to in ways {
                let what = Trouble::Stall(to, Duration::from_secs(3600));
                scenario.faults.push(Fault { when, what });
            }
            scenario
        },
    )
}

/// A connection on which little is said for longer than a silent peer would be allowed.
pub fn quiet_lives() -> impl Strategy<Value = Scenario> {
    let call = || Deed::Call(Call::new(20, 20));
    (1500..2500u64, 300..600u64, 1..30usize, 1..30usize).prop_map(move |(wait, silence, one, two)| Scenario {
        limits: Limits { silence: Some(millis(silence)), ..Limits::default() },
        to_acceptor: Path { piece: one, ..Path::default() },
        to_dialer: Path { piece: two, ..Path::default() },
        dialer: vec![call(), Deed::Await, Deed::Wait(millis(wait)), call(), Deed::Await],
        acceptor: vec![call(), Deed::Await],
        ..Scenario::default()
    })
}

/// Some traffic, and then none.
pub fn idleness() -> impl Strategy<Value = Scenario> {
    (whole(), 20..60u64).prop_map(|(mut scenario, idle)| {
        scenario.acceptor.clear();
        scenario.dialer.push(Deed::Idle(millis(idle)));
        scenario
    })
}

/// Up to so many of these deeds on each side, over a network that may be bad and is whole.
fn scenario(
    limits: impl Strategy<Value = Limits>,
    deeds: impl Strategy<Value = Deed> + Clone,
    most: usize,
) -> impl Strategy<Value = Scenario> {
    let script = || prop::collection::vec(deeds.clone(), 0..most);
    let busy = prop::bool::weighted(0.25);
    (any::<u32>(), limits, busy, path(), path(), script(), script()).prop_map(
        |(seed, limits, busy, to_acceptor, to_dialer, dialer, mut acceptor)| {
            // Handlers on both sides that call back may hold all slots and wait for each other: nobody's fault but theirs.
            for deed in &mut acceptor {
                if let Deed::Call(call) = deed {
                    call.answer.back = None;
                }
            }
            Scenario {
                seed: seed.into(),
                limits,
                busy,
                to_acceptor,
                to_dialer,
                dialer,
                acceptor,
                ..Scenario::default()
            }
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    let slots = prop_oneof![Just(1u32), 2..6u32, Just(1024u32)];
    let message = prop_oneof![1024..3000u32, 5000..20_000u32];
    let window = prop_oneof![Just(0u32), 0..5000u32, Just(1u32 << 20)];
    (slots, message, prop_oneof![Just(4096u32), 4096..10_000u32], window)
        .prop_map(|(slots, message, frame, window)| Limits { slots, message, frame, window, silence: None })
}

/// A way that splits, joins, delays and holds up, and brings everything in time.
fn path() -> impl Strategy<Value = Path> {
    let piece = prop_oneof![2 => Just(64usize << 10), 2 => 1..20usize, 1 => 20..2000usize];
    let delay = prop_oneof![4 => Just(0u64), 1 => 1..3u64];
    let capacity = prop_oneof![2 => Just(64usize << 10), 1 => 1000..5000usize];
    (piece, delay, capacity).prop_map(|(piece, delay, capacity)| Path {
        piece,
        delay: millis(delay),
        capacity,
    })
}

/// One or two faults, within the first bytes or at some deed; stalls among them, which end nothing.
fn faults(bytes: u64) -> impl Strategy<Value = Vec<Fault>> {
    let when = prop_oneof![
        3 => (roles(), 0..bytes).prop_map(|(to, bytes)| Trigger::Bytes(to, bytes)),
        1 => (roles(), 0..10usize).prop_map(|(of, deed)| Trigger::Deed(of, deed)),
    ];
    let what = prop_oneof![
        4 => Just(Trouble::Cut),
        2 => roles().prop_map(Trouble::HalfClose),
        1 => (roles(), 1..10u64).prop_map(|(to, time)| Trouble::Stall(to, millis(time))),
    ];
    prop::collection::vec((when, what).prop_map(|(when, what)| Fault { when, what }), 1..3)
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Dialer), Just(Role::Acceptor)]
}

fn lanes() -> impl Strategy<Value = Lane> {
    prop_oneof![3 => Just(Lane::Normal), 1 => Just(Lane::High), 1 => Just(Lane::Bulk)]
}

/// Mostly small, sometimes near the smallest maximum or beyond it.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![10 => 0..64usize, 4 => 64..900usize, 1 => 900..4000usize]
}

fn dropped() -> impl Strategy<Value = Dropped> {
    prop_oneof![
        1 => (0..6usize).prop_map(Dropped::AfterPolls),
        1 => (0..8u64).prop_map(|time| Dropped::AfterTime(millis(time))),
    ]
}

fn push() -> impl Strategy<Value = Deed> {
    (sizes(), lanes()).prop_map(|(size, lane)| Deed::Push(Push { size, lane, dropped: None }))
}

/// A call that only its caller can end.
const fn never(size: usize) -> Call {
    let answer = Answer { after: Duration::ZERO, back: None, what: Answered::Never };
    Call { answer, ..Call::new(size, 0) }
}

fn call(
    answers: impl Strategy<Value = Answer>,
    within: impl Strategy<Value = Option<Duration>>,
) -> impl Strategy<Value = Call> {
    (sizes(), lanes(), answers, within).prop_map(|(size, lane, answer, within)| Call {
        lane,
        within,
        answer,
        ..Call::new(size, 0)
    })
}

/// Answers that come.
fn answers() -> impl Strategy<Value = Answer> {
    let what = prop_oneof![
        8 => sizes().prop_map(Answered::Reply),
        1 => (1024..2000u16).prop_map(Answered::Status),
        1 => Just(Answered::Panic),
    ];
    let after = prop_oneof![3 => Just(0u64), 1 => 1..6u64];
    let back = prop_oneof![6 => Just(None), 1 => sizes().prop_map(Some)];
    (what, after, back).prop_map(|(what, after, back)| Answer { after: millis(after), back, what })
}

/// Deadlines that never come.
fn within_far() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![3 => Just(None), 1 => Just(Some(millis(60_000)))]
}

/// Deadlines that may come before the answer.
fn within_near() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![1 => Just(None), 2 => (0..10u64).prop_map(|time| Some(millis(time)))]
}
