//! The judge is judged: each thing that must not be observed is noticed, and by the promise that forbids it.

use std::collections::BTreeMap;

use proto_core::Lane;

use super::*;
use crate::trace::{Arrival, Left};
use crate::virtual_time::VirtualTime;

fn scenario(text: &str) -> Scenario {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Calls and pushes both ways, of which nothing races.
const WHOLE: &str = "\
dialer
  call 100 -> reply 20
  call 100 -> status 1030
  push 10
  push 10
  call 30 within 1ms -> never
  await
acceptor
  call 30 -> reply 7
  push 12 high";

/// The same with an end in the middle.
const ENDS: &str = "\
fault at 300 bytes to acceptor: cut
dialer
  call 100 -> reply 20
  push 10
  push 10
  push 10
  call 100 -> reply 30
acceptor
  call 30 -> reply 7";

/// What a change of a good trace is called by the judge.
fn verdict(text: &str, change: impl FnOnce(&mut Trace)) -> Result<(), &'static str> {
    let scenario = scenario(text);
    let mut trace = VirtualTime::play(&scenario);
    assert_eq!(Model::new(&scenario).judge(&trace), Ok(()), "the trace is good before it is changed");
    change(&mut trace);
    Model::new(&scenario).judge(&trace).map_err(|violation| violation.promise)
}

fn arrival(number: u32, is_call: bool) -> Arrival {
    Arrival { number, is_call, lane: Lane::Normal, connection: 1 }
}

#[test]
fn what_must_not_be_observed_is_noticed() {
    type Change = fn(&mut Trace);
    let changes: [(&str, Change); 26] = [
        ("every scenario comes to its end", |trace| trace.stuck = Some("it waits".into())),
        ("what arrives is what was sent", |trace| trace.acceptor.nonsense.push("?".into())),
        ("every call ends exactly once", |trace| drop(trace.dialer.calls.remove(&0))),
        ("every call ends exactly once", |trace| trace.dialer.calls.entry(0).or_default().push(Ending::Lost)),
        ("a call ends as what happens to it allows", |trace| set(trace, 0, Ending::Lost)),
        ("a call ends as what happens to it allows", |trace| set(trace, 0, Ending::Answered(0, 21))),
        ("a call ends as what happens to it allows", |trace| set(trace, 0, Ending::Answered(3, 0))),
        ("a call ends as what happens to it allows", |trace| set(trace, 0, Ending::TimedOut)),
        ("a call ends as what happens to it allows", |trace| set(trace, 1, Ending::Discarded)),
        ("a call ends as what happens to it allows", |trace| set(trace, 4, Ending::Answered(0, 6))),
        ("no call ends that was not made", |trace| set(trace, 9, Ending::NotMade)),
        ("a push is accepted while there is a connection, unless it is too long", |trace| {
            trace.dialer.pushes.insert(2, Pushed::NotMade);
        }),
        ("no message arrives twice, but calls that may", |trace| {
            trace.acceptor.arrivals.push(arrival(0, true));
        }),
        ("what was accepted arrives", |trace| trace.acceptor.arrivals.retain(|arrival| arrival.number != 0)),
        ("what was accepted arrives", |trace| trace.acceptor.arrivals.retain(|arrival| arrival.number != 3)),
        ("calls of one lane arrive in order, and so do pushes", |trace| trace.acceptor.arrivals.reverse()),
        ("only what was sent arrives, and as what it was", |trace| {
            trace.acceptor.arrivals.push(arrival(77, true));
        }),
        ("only what was sent arrives, and as what it was", |trace| {
            trace.dialer.arrivals.iter_mut().for_each(|arrival| arrival.lane = Lane::Bulk);
        }),
        ("each connection ends once", |trace| trace.dialer.ends.push(End::Here)),
        ("nobody is accused who keeps to the protocol", |trace| trace.dialer.accusations.push("!".into())),
        ("who ends a connection says so, and why", |trace| trace.dialer.ends = vec![End::Broken]),
        ("a connection ends as it is ended, and not before", |trace| trace.dialer.ends = vec![End::There(0)]),
        ("no handler outlives its call or its connection", |trace| trace.acceptor.left.handlers = 1),
        ("a call that has ended has no slot", |trace| trace.dialer.left.calls = 1),
        ("who is at rest holds nothing", |trace| trace.dialer.left = Left { bytes: 9000, ..Left::default() }),
        ("drivers are woken only when there is something to do", |trace| trace.work.reads += 100_000),
    ];
    for (number, (promise, change)) in changes.into_iter().enumerate() {
        assert_eq!(verdict(WHOLE, change), Err(promise), "change {number}");
    }
    let idles = format!("{WHOLE}\ndialer\n idle 20ms");
    let busy = verdict(&idles, |trace| trace.dialer.idle_turns = 50);
    assert_eq!(busy, Err("an idle connection does nothing"));
    // Whoever says that he lives does something, and not much.
    let beats = "limits silence 500ms\ndialer\n idle 3000ms";
    assert_eq!(verdict(beats, |_| {}), Ok(()));
    assert_eq!(verdict(beats, |trace| trace.dialer.idle_turns = 500), Err("an idle connection does nothing"));
    let open = verdict(WHOLE, |trace| trace.dialer.left.parts = 1);
    assert_eq!(open, Err("streams, timers and listeners are gone when endpoints have ended"));
    let known = verdict(WHOLE, |trace| trace.acceptor.left.connections = 1);
    assert_eq!(known, Err("a server forgets who has gone"));
    for end in [End::Broken, End::There(0x401)] {
        let unsaid = verdict("dialer\n drain", |trace| trace.acceptor.ends = vec![end]);
        assert_eq!(unsaid, Err("who ends a connection says so, and why"));
    }
}

fn set(trace: &mut Trace, number: u32, ending: Ending) {
    trace.dialer.calls.insert(number, vec![ending]);
}

#[test]
fn where_a_connection_ends_more_is_allowed_and_not_everything() {
    // The last pushes of a lane may be lost, not one in the middle.
    let skips = verdict(ENDS, |trace| {
        trace.dialer.pushes = BTreeMap::from([1, 2, 3].map(|number| (number, Pushed::Accepted)));
        trace.acceptor.arrivals = vec![arrival(0, true), arrival(1, false), arrival(3, false)];
        set(trace, 0, Ending::Lost);
        set(trace, 4, Ending::NotMade);
    });
    assert_eq!(skips, Err("a connection that ends loses the last pushes of a lane, not others"));
    let lies = verdict(ENDS, |trace| {
        trace.acceptor.arrivals = vec![arrival(0, true)];
        trace.dialer.pushes.values_mut().for_each(|pushed| *pushed = Pushed::NotMade);
        set(trace, 0, Ending::NotMade);
        set(trace, 4, Ending::NotMade);
    });
    assert_eq!(lies, Err("what was said not to be sent does not arrive"));
    let comes_back = verdict(ENDS, |trace| {
        trace.dialer.opened = 2;
        trace.dialer.ends.push(End::Here);
    });
    assert_eq!(comes_back, Err("who does not come back has one connection"));
}

/// How a call of the dialer may end, in words.
fn allowed(text: &str) -> String {
    let scenario = scenario(text);
    let model = Model::new(&scenario);
    let message = model.messages(Role::Dialer).next().expect("it calls");
    model.allowed(Role::Dialer, &message).to_string()
}

#[test]
fn a_call_may_end_as_what_is_around_it_allows() {
    let answered = "answered with 20 bytes";
    let cases = [
        ("dialer\n call 50 -> reply 20", answered),
        ("dialer\n call 50 -> never, dropped after 0 polls", "dropped by its caller"),
        ("dialer\n call 50 within 5ms -> never", "timed out"),
        ("dialer\n call 50 within 5ms -> reply 20 after 5000ms", "timed out"),
        ("dialer\n call 50 within 5ms -> reply 20", "timed out; or answered with 20 bytes"),
        ("dialer\n call 50 within 60000ms -> reply 20", answered),
        ("dialer\n call 50 -> panic", "answered with status 3"),
        ("dialer\n call 50 -> reply 70000", "answered with status 8"),
        ("dialer\n call 70000 -> reply 20", "refused"),
        ("dialer\n call 50 -> reply 20\n drop 0", "answered with 20 bytes; or dropped by its caller"),
        ("dialer\n call 50 -> reply 20\n await\n close", answered),
        ("dialer\n call 50 -> reply 20\n drain", answered),
        (
            "limits slots 1\ndialer\n call 50 -> reply 20\n call 9 -> panic\n drain",
            "answered with 20 bytes; or not sent",
        ),
        (
            "dialer\n call 50 -> reply 20\n close",
            "answered with 20 bytes; or lost, and perhaps run; or not sent",
        ),
        ("dialer\n close\n call 50 -> reply 20", "not sent"),
        ("dialer\n call 50 -> reply 20\nacceptor\n drain", "answered with 20 bytes; or not sent"),
        ("dialer comes back\ndialer\n call 50 -> reply 20\nacceptor\n drain", answered),
        (
            "dialer comes back\ndialer\n call 50 -> reply 20\nacceptor\n restart",
            "answered with 20 bytes; or lost, and perhaps run",
        ),
        ("dialer comes back\ndialer\n call 50 again -> reply 20\nacceptor\n restart", answered),
        (
            "fault at 9 bytes to dialer: cut\ndialer\n call 50 again -> reply 20",
            "answered with 20 bytes; or lost, and perhaps run; or not sent",
        ),
        ("fault at 9 bytes to dialer: stall to dialer 5ms\ndialer\n call 50 -> reply 20", answered),
    ];
    for (text, expected) in cases {
        assert_eq!(allowed(text), expected, "{text}");
    }
}
